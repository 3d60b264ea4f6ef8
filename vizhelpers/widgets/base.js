// JupyterLab and Notebook 7 take the arrow keys away from a focused list and move to the next
// cell. They let an element keep its keys if that element itself carries this attribute.
const KEEP_KEYS = "data-lm-suppress-shortcuts";

function mark(picker) {
  for (const element of picker.querySelectorAll("select, input, button")) {
    if (!element.hasAttribute(KEEP_KEYS)) element.setAttribute(KEEP_KEYS, "true");
  }
  leadDown(picker.querySelector("input"), picker.querySelector("select"));
  const status = picker.querySelector(".layer-picker-status");
  const image = picker.querySelector("img");
  if (!status || !image) return;
  // What is said instead of the picture: spoken when it changes, and the picture's own text.
  status.setAttribute("aria-live", "polite");
  const text = status.innerText.replace(/\s+/g, " ").trim();
  if (image.alt !== text) image.alt = text;
}

// The down arrow leads from the search box into the list below it.
function leadDown(box, list) {
  if (!box || !list || box.dataset.leadsDown) return;
  box.dataset.leadsDown = "true";
  box.addEventListener("keydown", event => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    list.focus();
  });
}

export default {
  render({ el }) {
    let observer;
    // The widgets are put into the page one after another, this one perhaps first.
    const timer = setInterval(() => {
      const picker = el.closest(".layer-picker");
      if (!picker) return;
      clearInterval(timer);
      mark(picker);
      observer = new MutationObserver(() => mark(picker));
      observer.observe(picker, { childList: true, subtree: true, characterData: true });
    }, 50);
    return () => {
      clearInterval(timer);
      if (observer) observer.disconnect();
    };
  },
};

// A card: what is asked, a button for each choice, and what is said about the one that was chosen.

const PARTS = ["head", "question", "choices", "below"];

// Only what has changed: hints that are open stay open, and the button keeps the keyboard's focus.
function draw(model, card, drawn) {
  const parts = model.get("parts");
  card.style.cssText = parts.style;
  for (const name of PARTS) {
    if (drawn[name] === parts[name]) continue;
    const place = card.querySelector(`.vh-${name}`);
    const focused = place.contains(document.activeElement) && document.activeElement.value;
    place.innerHTML = drawn[name] = parts[name];
    if (focused) place.querySelector(`[value="${focused}"]`)?.focus();
  }
}

export default {
  render({ model, el }) {
    const card = document.createElement("div");
    const drawn = {};
    card.className = "vh-card";
    card.append(
      ...PARTS.map(name => {
        const place = document.createElement("div");
        place.className = `vh-${name}`;
        return place;
      }),
    );
    const [head, , choices, below] = card.children;
    choices.setAttribute("role", "group");
    for (const place of [head, below]) place.setAttribute("aria-live", "polite");
    // JupyterLab takes keys for the notebook from an element without this attribute.
    card.addEventListener("focusin", ({ target }) => {
      target.setAttribute("data-lm-suppress-shortcuts", "true");
    });
    choices.addEventListener("click", event => {
      const button = event.target.closest("button");
      if (button) model.send({ choose: button.value });
    });
    el.append(card);
    const redraw = () => draw(model, card, drawn);
    model.on("change:parts", redraw);
    redraw();
    return () => model.off("change:parts", redraw);
  },
};

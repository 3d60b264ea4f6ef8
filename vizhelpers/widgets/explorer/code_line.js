// Lines of Python, and a button that puts them on the clipboard.

// Where the page may not write to it (no HTTPS, an old browser), what is selected is copied.
async function copy(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

export default {
  render({ model, el }) {
    const frame = document.createElement("div");
    const words = document.createElement("span");
    const code = document.createElement("code");
    const button = document.createElement("button");
    frame.className = "vh-code";
    words.textContent = "Python for this picture";
    button.type = "button";
    button.className = "jupyter-button";
    code.tabIndex = 0;
    code.setAttribute("aria-label", "Python for this picture");
    const head = document.createElement("div");
    const block = document.createElement("pre");
    head.append(words, button);
    block.append(code);
    frame.append(head, block);
    el.append(frame);
    const say = text => {
      button.textContent = text;
    };
    button.addEventListener("click", async () => {
      say((await copy(model.get("code"), code)) ? "Copied" : "Press Ctrl+C");
      setTimeout(() => say("Copy"), 1500);
    });
    const draw = () => {
      code.textContent = model.get("code");
      frame.hidden = !model.get("code");
    };
    say("Copy");
    draw();
    model.on("change:code", draw);
    return () => model.off("change:code", draw);
  },
};

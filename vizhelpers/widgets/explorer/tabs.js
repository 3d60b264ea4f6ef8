// Tabs (WAI-ARIA's pattern), or, where they have pictures, small pictures to choose one of.

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };

export default {
  render({ model, el }) {
    let urls = [];
    const list = document.createElement("div");
    list.setAttribute("aria-label", model.get("label"));
    el.append(list);
    el.setAttribute("data-lm-suppress-shortcuts", "true");

    function choose(key) {
      model.set("chosen", key);
      model.save_changes();
      mark();
      [...list.children].find(button => button.dataset.key === key)?.focus();
    }

    function mark() {
      const refused = model.get("refused");
      const pictures = list.getAttribute("role") === "radiogroup";
      for (const button of list.children) {
        const { key } = button.dataset;
        const chosen = key === model.get("chosen");
        button.setAttribute(pictures ? "aria-checked" : "aria-selected", chosen);
        button.tabIndex = chosen ? 0 : -1;
        button.classList.toggle("vh-refused", key in refused);
        button.title = key in refused ? `Not here: ${refused[key]}` : button.dataset.title;
        if (key in refused) button.setAttribute("aria-description", button.title);
        else button.removeAttribute("aria-description");
      }
    }

    function build() {
      urls.forEach(url => URL.revokeObjectURL(url));
      urls = [];
      const items = model.get("items");
      const pictures = items.some(item => item.png);
      list.className = pictures ? "vh-thumbnails" : "vh-tabs";
      list.setAttribute("role", pictures ? "radiogroup" : "tablist");
      list.replaceChildren(...items.map(({ key, title, png }) => {
        const button = document.createElement("button");
        button.type = "button";
        button.dataset.key = key;
        button.dataset.title = title;
        button.setAttribute("role", pictures ? "radio" : "tab");
        if (png) {
          const image = document.createElement("img");
          urls.push(URL.createObjectURL(new Blob([png], { type: "image/png" })));
          image.src = urls.at(-1);
          image.alt = title;
          button.append(image);
        } else button.textContent = title;
        button.addEventListener("click", () => choose(key));
        return button;
      }));
      mark();
    }

    list.addEventListener("keydown", event => {
      const keys = [...list.children].map(button => button.dataset.key);
      const place = keys.indexOf(model.get("chosen"));
      const ends = { Home: 0, End: keys.length - 1 };
      const next = event.key in STEPS ? (place + STEPS[event.key] + keys.length) % keys.length : ends[event.key];
      if (next === undefined) return;
      choose(keys[next]);
      event.preventDefault();
      event.stopPropagation();
    });
    model.on("change:items", build);
    model.on("change:chosen change:refused", mark);
    build();
    return () => {
      model.off("change:items", build);
      model.off("change:chosen change:refused", mark);
      urls.forEach(url => URL.revokeObjectURL(url));
    };
  },
};

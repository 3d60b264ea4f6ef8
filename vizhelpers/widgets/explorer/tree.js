// A tree of layers (WAI-ARIA's pattern "tree view"): arrows, Home, End, letters, a search box.

const SMALL_TREE = 40; // up to so many rows, all are open at the start

function parentOf(name) {
  return name === "" ? null : name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : "";
}

function element(kind, className, text = "") {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
}

function short(count) {
  const units = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [size, unit] = units.find(([least]) => count >= least) ?? [1, ""];
  const value = count / size;
  return `${value >= 100 || unit === "" ? Math.round(value) : value.toPrecision(2)}${unit && " " + unit}`;
}

function bar(share, kind) {
  const track = element("span", `vh-bar vh-${kind}`);
  const filled = element("span", "");
  filled.style.width = `${share > 0 ? Math.max(100 * share, 2) : 0}%`;
  track.append(filled);
  return track;
}

// What a row says: its name, its class, what it returns, and its share of the whole.
function makeRow(row, whole, isParent) {
  const item = element("li", "vh-layer");
  item.setAttribute("role", "treeitem");
  item.setAttribute("aria-level", row.level);
  item.dataset.name = row.name;
  item.style.setProperty("--level", row.level - 1);
  const words = element("span", "vh-words");
  const first = element("span", "vh-line");
  first.append(element("span", isParent ? "vh-caret" : "vh-caret vh-leaf"));
  first.append(element("span", "vh-label", row.label));
  if (row.label !== row.kind) first.append(element("span", "vh-kind", row.kind));
  words.append(first);
  const second = [row.shape, row.note].filter(Boolean).join(" · ");
  words.append(element("span", "vh-shape", second));
  const bars = element("span", "vh-bars");
  const parts = [["parameters", row.parameters], ["mult_adds", row.mult_adds]];
  for (const [kind, count] of parts) bars.append(bar(count / (whole[kind] || 1), kind));
  item.append(words, bars);
  const costs = `${short(row.parameters)} parameters, ${short(row.mult_adds)} mult-adds`;
  item.dataset.about = [`${row.name || "the whole model"}: ${row.kind}`, row.shape, costs, row.note]
    .filter(Boolean).join(", ");
  return item;
}

class Tree {
  constructor(model, el) {
    this.model = model;
    this.opened = new Set();
    this.search = element("input", "vh-search");
    this.search.type = "search";
    this.search.placeholder = "Search layers: a name or a kind";
    this.search.setAttribute("aria-label", "Search layers");
    this.count = element("div", "vh-count");
    this.count.setAttribute("aria-live", "polite");
    this.list = element("ul", "vh-layers");
    this.list.setAttribute("role", "tree");
    this.list.setAttribute("aria-label", model.get("label"));
    this.legend = element("div", "vh-legend");
    el.append(this.search, this.count, this.legend, this.list);
    this.search.addEventListener("input", () => this.filter());
    this.search.addEventListener("keydown", event => this.leaveSearch(event));
    this.list.addEventListener("click", event => this.click(event));
    this.list.addEventListener("keydown", event => this.key(event));
  }

  // All rows, once for each model; later on they are only shown and hidden.
  build() {
    const rows = this.model.get("rows");
    const parents = new Set(rows.map(row => parentOf(row.name)));
    const whole = rows[0] ?? { parameters: 0, mult_adds: 0 };
    this.rows = new Map(rows.map(row => [row.name, row]));
    this.items = new Map(rows.map(row => [row.name, makeRow(row, whole, parents.has(row.name))]));
    this.parents = parents;
    for (const row of rows)
      if (parents.has(row.name) && (rows.length <= SMALL_TREE || row.level < 2)) this.opened.add(row.name);
    this.list.replaceChildren(...this.items.values());
    this.legend.replaceChildren(
      element("span", "vh-key vh-parameters", `${short(whole.parameters)} parameters`),
      element("span", "vh-key vh-mult_adds", `${short(whole.mult_adds)} mult-adds`),
    );
    this.reveal(this.model.get("chosen"));
    this.filter();
  }

  reveal(name) {
    for (let up = parentOf(name); up !== null; up = parentOf(up)) this.opened.add(up);
  }

  filter() {
    const wanted = this.search.value.trim().toLowerCase();
    const hits = [...this.rows.values()].filter(row =>
      `${row.name} ${row.kind} ${row.note}`.toLowerCase().includes(wanted));
    this.shown = new Set(hits.map(row => row.name));
    this.searching = wanted !== "";
    if (this.searching)
      for (const row of hits)
        for (let up = parentOf(row.name); up !== null; up = parentOf(up)) this.shown.add(up);
    this.hits = new Set(hits.map(row => row.name));
    const all = this.rows.size;
    this.count.textContent = !this.searching ? `${all} layers`
      : hits.length ? `${hits.length} of ${all} layers` : `no layer has “${this.search.value}”`;
    this.draw();
  }

  isVisible(name) {
    if (!this.shown.has(name)) return false;
    if (this.searching) return true;
    for (let up = parentOf(name); up !== null; up = parentOf(up)) if (!this.opened.has(up)) return false;
    return true;
  }

  draw() {
    const chosen = this.model.get("chosen");
    const refused = this.model.get("refused");
    for (const [name, item] of this.items) {
      item.hidden = !this.isVisible(name);
      item.tabIndex = name === chosen ? 0 : -1;
      item.setAttribute("aria-selected", name === chosen);
      if (this.parents.has(name)) item.setAttribute("aria-expanded", this.searching || this.opened.has(name));
      item.classList.toggle("vh-hit", this.searching && this.hits.has(name));
      item.classList.toggle("vh-refused", name in refused);
      const why = name in refused ? `. Here not: ${refused[name]}` : "";
      item.title = item.dataset.about + why;
      item.setAttribute("aria-label", item.dataset.about + why);
    }
    const here = this.items.get(chosen);
    if (here?.hidden) this.visible()[0]?.setAttribute("tabindex", 0);
    else this.scrollTo(here);
  }

  // Only within the list: the page must not move.
  scrollTo(item) {
    if (!item) return;
    const { offsetTop: top, offsetHeight: high } = item;
    const start = top - this.list.offsetTop;
    if (start < this.list.scrollTop) this.list.scrollTop = start;
    const end = start + high - this.list.clientHeight;
    if (end > this.list.scrollTop) this.list.scrollTop = end;
  }

  visible() {
    return [...this.items.values()].filter(item => !item.hidden);
  }

  choose(item, focus = true) {
    if (!item) return;
    this.model.set("chosen", item.dataset.name);
    this.model.save_changes();
    this.draw();
    if (focus) item.focus({ preventScroll: true });
  }

  toggle(name, open) {
    if (!this.parents.has(name)) return;
    if (open) this.opened.add(name);
    else this.opened.delete(name);
    this.draw();
  }

  click(event) {
    const item = event.target.closest(".vh-layer");
    if (!item) return;
    const name = item.dataset.name;
    if (event.target.classList.contains("vh-caret")) this.toggle(name, !this.opened.has(name));
    else this.choose(item);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const items = this.visible();
    const here = event.target.closest(".vh-layer");
    const place = items.indexOf(here);
    const name = here?.dataset.name ?? "";
    const open = this.searching || this.opened.has(name);
    const steps = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: items.length - 1 };
    if (event.key in steps) this.choose(items[steps[event.key]]);
    else if (event.key === "ArrowRight" && this.parents.has(name))
      open ? this.choose(items[place + 1]) : this.toggle(name, true);
    else if (event.key === "ArrowLeft")
      open && this.parents.has(name) && !this.searching ? this.toggle(name, false)
        : this.choose(this.items.get(parentOf(name)));
    else if (event.key === "Enter" || event.key === " ") this.choose(here);
    else if (event.key.length === 1) this.typed(event.key.toLowerCase(), items, place);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The next layer whose name begins with what was typed within half a second.
  typed(letter, items, place) {
    const now = Date.now();
    this.letters = now - (this.typedAt ?? 0) < 500 ? this.letters + letter : letter;
    this.typedAt = now;
    const after = [...items.slice(place + (this.letters.length === 1 ? 1 : 0)), ...items];
    const label = item => this.rows.get(item.dataset.name).label.toLowerCase();
    this.choose(after.find(item => label(item).startsWith(this.letters)));
  }

  leaveSearch(event) {
    event.stopPropagation();
    const first = [...this.items.values()].find(item => !item.hidden && this.hits.has(item.dataset.name));
    if (event.key === "ArrowDown" || event.key === "Enter") this.choose(first);
    else if (event.key === "Escape") {
      this.search.value = "";
      this.filter();
    } else return;
    event.preventDefault();
  }
}

export default {
  render({ model, el }) {
    el.classList.add("vh-tree");
    el.setAttribute("data-lm-suppress-shortcuts", "true");
    const tree = new Tree(model, el);
    const build = () => tree.build();
    const draw = () => {
      tree.reveal(model.get("chosen"));
      tree.draw();
    };
    model.on("change:rows", build);
    model.on("change:chosen change:refused", draw);
    build();
    return () => {
      model.off("change:rows", build);
      model.off("change:chosen change:refused", draw);
    };
  },
};

// A saved report: the explorer's own tree, tabs and lines of code, over panes that are there already.
// Without this script the page shows all panes one below the other.

const read = id => JSON.parse(document.getElementById(id).textContent);
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const part = id => document.getElementById(id);

// What the parts know as a widget's model: values, and callbacks when one changes.
class Values {
  constructor(values) {
    this.values = values;
    this.callbacks = [];
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    for (const [names, callback] of this.callbacks)
      if (names.split(" ").includes(`change:${name}`)) callback();
  }

  on(names, callback) {
    this.callbacks.push([names, callback]);
  }

  off() {}

  save_changes() {}
}

const data = read("data");
const scripts = read("scripts");
const module = async name => (await import(`data:text/javascript;base64,${scripts[name]}`)).default;
const [tree, tabs, codeLine] = await Promise.all(["tree", "tabs", "code_line"].map(module));

const articles = [...document.querySelectorAll("article")];
const NOT_SAVED = "it is not in this report";
const refusals = (keys, why) =>
  Object.fromEntries(keys.map(key => [key, why(key)]).filter(([, words]) => words));
const isIn = value => wanted => wanted === "*" || wanted === value;

const saved = new Set(data.layers);
const layers = new Values({
  rows: data.rows, chosen: data.layer, label: "Layers",
  refused: refusals(data.rows.map(row => row.name), name => !saved.has(name) && NOT_SAVED),
});
const panes = new Values({ items: data.panes, chosen: data.pane, refused: {}, label: "What to see of the layer" });
const pictures = new Values({
  items: data.pictures.map(picture => ({ ...picture, png: bytes(picture.png) })),
  chosen: data.picture, refused: {}, label: "Picture",
});

function find(layer, pane) {
  return articles.filter(({ dataset }) => isIn(layer)(dataset.layer) && dataset.pane === pane);
}

// Why a pane shows nothing of a layer.
function refusal(layer, pane) {
  const found = find(layer, pane);
  if (!found.length) return NOT_SAVED;
  return found[0].querySelector(".vh-refusal")?.textContent;
}

function show() {
  const [layer, pane, picture] = [layers, panes, pictures].map(values => values.get("chosen"));
  for (const article of articles) {
    const { dataset } = article;
    article.classList.toggle("shown", dataset.pane === pane
      && isIn(layer)(dataset.layer) && isIn(picture)(dataset.picture));
  }
  for (const answer of document.querySelectorAll(".answer"))
    answer.classList.toggle("shown", answer.dataset.picture === picture);
  const none = !articles.some(article => article.classList.contains("shown"));
  part("absent").hidden = !none;
  part("absent-layer").textContent = layer || "the whole model";
  panes.set("refused", refusals(data.panes.map(item => item.key), key => refusal(layer, key)));
}

tree.render({ model: layers, el: part("tree") });
for (const name of [...data.layers, data.layer]) layers.set("chosen", name); // the tree opens at each
for (const values of [layers, panes, pictures]) values.on("change:chosen", show);
for (const name of data.layers) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name || "the whole model";
  button.addEventListener("click", () => layers.set("chosen", name));
  part("saved").append(button, " ");
}
document.documentElement.classList.add("js");
show();
tabs.render({ model: panes, el: part("tabs") });
if (data.pictures.length > 1) tabs.render({ model: pictures, el: part("pictures") });
for (const el of document.querySelectorAll(".code")) {
  const code = el.textContent;
  el.replaceChildren();
  codeLine.render({ model: new Values({ code }), el });
}

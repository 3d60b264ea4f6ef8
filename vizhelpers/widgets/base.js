// A picture. If it is one of cells, the mouse chooses the cell under it; a click or an arrow key
// keeps the choice, a second click or Escape lets go of it.

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// What Python calls a grid, in pixels of the picture.
function gridOf(model) {
  const [left, top, across, down, width, height, columns, count] = model.get("grid");
  return { left, top, across, down, width, height, columns, count };
}

// The cell under the mouse, -1 beside all cells.
function cellAt(event, image, grid) {
  const box = image.getBoundingClientRect();
  const shrunk = box.width / image.naturalWidth; // where the page is narrow
  const x = ((event.clientX - box.left) / shrunk - grid.left) / grid.across;
  const y = ((event.clientY - box.top) / shrunk - grid.top) / grid.down;
  if (!(x >= 0 && y >= 0 && x < grid.columns)) return -1;
  const index = Math.floor(y) * grid.columns + Math.floor(x);
  return index < grid.count ? index : -1;
}

function neighbour(index, [right, down], grid) {
  const next = index + right + down * grid.columns;
  return next >= 0 && next < grid.count ? next : index;
}

// Backbone sends nothing new until the kernel has answered, and then only the last state.
function choose(model, state) {
  for (const [name, value] of Object.entries(state)) model.set(name, value);
  model.save_changes();
}

function letGo(model) {
  const home = model.get("home");
  choose(model, { kept: false, ...(home === null ? {} : { chosen: home }) });
}

function listen(model, frame, image) {
  frame.addEventListener("mousemove", event => {
    const index = cellAt(event, image, gridOf(model));
    if (index < 0 || model.get("kept") || index === model.get("chosen")) return;
    choose(model, { chosen: index });
  });
  frame.addEventListener("mouseleave", () => {
    if (gridOf(model).count && !model.get("kept")) letGo(model);
  });
  frame.addEventListener("click", event => {
    const index = cellAt(event, image, gridOf(model));
    if (index < 0) return;
    if (model.get("kept") && index === model.get("chosen")) letGo(model);
    else choose(model, { chosen: index, kept: true });
  });
  frame.addEventListener("keydown", event => {
    if (event.key === "Escape") letGo(model);
    else if (event.key in STEPS) {
      const chosen = neighbour(model.get("chosen"), STEPS[event.key], gridOf(model));
      choose(model, { chosen, kept: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

// What the model says, on the page.
function draw(model, frame, image, mark) {
  const { left, top, across, down, width, height, columns, count } = gridOf(model);
  const chosen = model.get("chosen");
  image.alt = model.get("alt");
  frame.classList.toggle("vh-stale", model.get("stale"));
  frame.classList.toggle("vh-kept", model.get("kept"));
  frame.hidden = !model.get("png")?.byteLength;
  mark.hidden = !(chosen >= 0 && chosen < count);
  if (!count) return;
  const wide = image.naturalWidth / 100; // percent of the picture, which may be drawn smaller
  const high = image.naturalHeight / 100;
  mark.style.left = `${(left + (chosen % columns) * across) / wide}%`;
  mark.style.top = `${(top + Math.floor(chosen / columns) * down) / high}%`;
  mark.style.width = `${width / wide}%`;
  mark.style.height = `${height / high}%`;
  // For somebody who does not see it: one number, which the arrow keys change.
  frame.tabIndex = 0;
  frame.setAttribute("role", "slider");
  frame.setAttribute("aria-label", model.get("label"));
  frame.setAttribute("aria-valuemin", 0);
  frame.setAttribute("aria-valuemax", count - 1);
  frame.setAttribute("aria-valuenow", chosen);
  frame.setAttribute("aria-valuetext", `${chosen}: ${model.get("alt")}`);
}

function load(model, image) {
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
}

// What a view needs once somebody is in it: its line of text is spoken, and its boxes keep the
// arrow keys, which JupyterLab and Notebook 7 take from an element without this attribute.
function enter({ target }) {
  const view = target.closest?.(".vh-view");
  if (!view) return;
  target.setAttribute("data-lm-suppress-shortcuts", "true");
  view.querySelector(".vh-status").setAttribute("aria-live", "polite");
}

// The down arrow leads from the search box into the list below it.
function leadDown(event) {
  if (event.key !== "ArrowDown" || !event.target.matches?.(".vh-choose input[type=text]")) return;
  event.preventDefault();
  event.target.closest(".vh-choose").querySelector("select").focus();
}

export default {
  render({ model, el }) {
    const frame = document.createElement("div");
    const image = document.createElement("img");
    const mark = document.createElement("div");
    frame.className = "vh-frame";
    mark.className = "vh-mark";
    image.draggable = false;
    frame.append(image, mark);
    el.append(frame);
    listen(model, frame, image);
    const redraw = () => draw(model, frame, image, mark);
    const reload = () => load(model, image);
    const gone = new AbortController();
    image.addEventListener("load", redraw); // only then the picture's size is known
    const first = { capture: true, signal: gone.signal }; // before Jupyter takes a key
    document.addEventListener("focusin", event => enter(event), first);
    document.addEventListener("keydown", event => leadDown(event), first);
    model.on("change", redraw);
    model.on("change:png", reload);
    redraw();
    reload();
    return () => {
      gone.abort();
      model.off("change", redraw);
      model.off("change:png", reload);
      URL.revokeObjectURL(image.src);
    };
  },
};

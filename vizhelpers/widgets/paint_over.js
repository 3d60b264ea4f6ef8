// A picture to paint over, and bars that say what the networks answer. The page paints by itself
// and sends the mask to Python, which answers with new bars.

const LONGER_SIDE = 384; // screen pixels of the picture
const BIG_PIXELS = 2; // so much enlarged, a pixel is drawn as a square
const SILENCE = 600; // ms without a new answer before it is spoken
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BRUSH = { "+": 1, "=": 1, "-": -1, "−": -1 };
const HELP =
  "Drag to paint. Keys: arrows move the brush (with Shift by one pixel), Space paints, " +
  "+ and − change its size, U takes back, Escape starts again.";
let count = 0; // of views, for the names of their parts

function make(name, className = "", attributes = {}, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function bytesOf(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// Backbone sends nothing new until the kernel has answered, and then only the last state.
function ask(model, state) {
  for (const [name, value] of Object.entries(state)) model.set(name, value);
  model.set("asked", model.get("asked") + 1);
  model.save_changes();
}

// -- painting -----------------------------------------------------------------------------------

// The mask of painted pixels, and how it has been before each stroke.
class Painting {
  constructor(model) {
    [this.height, this.width] = model.get("size");
    this.model = model;
    this.at = [this.width / 2, this.height / 2]; // of the brush
    this.before = [];
    this.stroke = false;
    this.read();
  }

  read() {
    this.sent = this.model.get("mask");
    this.mask = bytesOf(this.sent).slice();
  }

  // What Python, or another view of the same picture, has painted can be taken back, too.
  readFromElsewhere() {
    if (this.model.get("mask") === this.sent) return;
    this.before.push(this.mask);
    this.read();
  }

  send() {
    this.sent = new DataView(this.mask.slice().buffer);
    ask(this.model, { mask: this.sent });
  }

  begin(place) {
    if (this.stroke) return;
    this.before.push(this.mask.slice());
    this.stroke = true;
    this.at = place;
    this.lineTo(place);
  }

  moveTo(place) {
    if (this.stroke) this.lineTo(place);
    this.at = place;
  }

  end() {
    if (!this.stroke) return;
    this.stroke = false;
    const before = this.before.at(-1);
    if (this.mask.every((painted, pixel) => painted === before[pixel])) this.before.pop();
  }

  // Paint every pixel whose middle is under the brush somewhere on its way.
  lineTo([x, y]) {
    const radius = this.model.get("brush") / 2;
    const [fromX, fromY] = this.at;
    const [alongX, alongY] = [x - fromX, y - fromY];
    const length = alongX * alongX + alongY * alongY;
    const first = value => Math.max(0, Math.floor(value - radius));
    const last = (value, size) => Math.min(size - 1, Math.ceil(value + radius));
    const [top, bottom] = [first(Math.min(y, fromY)), last(Math.max(y, fromY), this.height)];
    const [left, right] = [first(Math.min(x, fromX)), last(Math.max(x, fromX), this.width)];
    let isNew = false;
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const pixel = row * this.width + column;
        const [across, down] = [column + 0.5 - fromX, row + 0.5 - fromY];
        const share = length ? (across * alongX + down * alongY) / length : 0;
        const part = Math.min(1, Math.max(0, share));
        const distance = Math.hypot(across - part * alongX, down - part * alongY);
        if (this.mask[pixel] || distance > radius) continue;
        this.mask[pixel] = 1;
        isNew = true;
      }
    }
    if (isNew) this.send();
  }

  undo() {
    this.end();
    if (!this.before.length) return;
    this.mask = this.before.pop();
    this.send();
  }

  startAgain() {
    this.end();
    if (!this.mask.includes(1)) return;
    this.before.push(this.mask);
    this.mask = new Uint8Array(this.mask.length);
    this.send();
  }

  // The picture as it is now, as the page draws it.
  pixels() {
    const { model, mask } = this;
    const picture = bytesOf(model.get("pixels"));
    const fill = bytesOf(model.get("fills")[model.get("fill")]);
    const drawn = new ImageData(this.width, this.height);
    for (let pixel = 0; pixel < mask.length; pixel++) {
      const source = mask[pixel] ? fill : picture;
      for (let colour = 0; colour < 3; colour++) {
        drawn.data[4 * pixel + colour] = source[3 * pixel + colour];
      }
      drawn.data[4 * pixel + 3] = 255;
    }
    return drawn;
  }
}

function widestBrush(model) {
  return Math.max(1, Math.floor(Math.max(...model.get("size")) / 2));
}

function setBrush(model, brush) {
  model.set("brush", Math.min(widestBrush(model), Math.max(1, brush)));
  model.save_changes();
}

function changeBrush(model, steps) {
  const step = Math.max(1, Math.round(widestBrush(model) / 32));
  setBrush(model, model.get("brush") + steps * step);
}

// -- the parts of the page ----------------------------------------------------------------------

function paper(painting) {
  const { width, height } = painting;
  const zoom = LONGER_SIDE / Math.max(width, height);
  const canvas = make("canvas", "", { width, height, role: "img" });
  if (zoom >= BIG_PIXELS) canvas.classList.add("vh-big-pixels");
  const cursor = make("div", "vh-brush");
  const frame = make("div", "vh-paper", { tabindex: 0, role: "application" }, canvas, cursor);
  frame.style.width = `${width * zoom}px`;
  frame.setAttribute("aria-label", "Picture to paint over");
  return { frame, canvas, cursor };
}

function controls(model) {
  const fill = make("select");
  for (const name of Object.keys(model.get("fills"))) {
    fill.append(make("option", "", { value: name }, name));
  }
  const limits = { type: "range", min: 1, max: widestBrush(model) };
  const brush = make("input", "", limits);
  const undo = make("button", "jupyter-button", { type: "button" }, "Undo");
  const again = make("button", "jupyter-button", { type: "button" }, "Start again");
  const row = make(
    "div",
    "vh-tools",
    {},
    make("label", "", {}, "Paint with ", fill),
    make("label", "", {}, "Brush ", brush),
    undo,
    again,
  );
  for (const control of [fill, brush, undo, again]) {
    control.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  return { row, fill, brush, undo, again };
}

const percent = share => `${Math.round(100 * share)} %`;

function bar(now, start, top) {
  const filled = make("span", "vh-bar");
  const mark = make("span", "vh-bar-start");
  filled.style.width = `${100 * now}%`;
  mark.style.left = `${100 * start}%`;
  const text = make("span", "vh-percent", {}, percent(now));
  if (top) text.append(make("span", "vh-arrow", { "aria-hidden": "true" }, " ◀"));
  const track = make("span", "vh-track", { "aria-hidden": "true" }, filled, mark);
  return make("td", top ? "vh-top" : "", {}, make("div", "", {}, track, text));
}

function drawTable({ models, rows }) {
  const head = make("tr", "", {}, make("td"));
  for (const name of models) head.append(make("th", "", { scope: "col", title: name }, name));
  const body = make("tbody");
  for (const { name, now, start, top } of rows) {
    const line = make("tr", "", {}, make("th", "", { scope: "row", title: name }, name));
    now.forEach((share, k) => line.append(bar(share, start[k], top[k])));
    body.append(line);
  }
  return make("table", "vh-bars", {}, make("thead", "", {}, head), body);
}

// Bars of the same classes grow and shrink; others are drawn anew.
function drawBars(model, element) {
  const tables = model.get("tables").map(drawTable);
  const [old, fresh] = [[...element.querySelectorAll(".vh-bars")], tables];
  const names = table => [...table.querySelectorAll("th")].map(th => th.textContent).join("\n");
  if (old.map(names).join("\n\n") !== fresh.map(names).join("\n\n")) {
    element.replaceChildren(...fresh);
    return;
  }
  old.forEach((table, k) => {
    const cells = fresh[k].querySelectorAll("td");
    table.querySelectorAll("td").forEach((cell, number) => {
      const next = cells[number];
      if (!next.firstChild) return;
      cell.className = next.className;
      cell.querySelector(".vh-bar").style.width = next.querySelector(".vh-bar").style.width;
      cell.querySelector(".vh-percent").replaceWith(next.querySelector(".vh-percent"));
    });
  });
}

// -- mouse, touch, pen and keyboard ---------------------------------------------------------------

function listenToPointer(painting, canvas, frame, show) {
  const place = event => {
    const box = canvas.getBoundingClientRect();
    const across = painting.width / box.width;
    const down = painting.height / box.height;
    return [(event.clientX - box.left) * across, (event.clientY - box.top) * down];
  };
  canvas.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    event.preventDefault(); // no text is selected
    frame.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    painting.begin(place(event));
    show();
  });
  canvas.addEventListener("pointermove", event => {
    painting.moveTo(place(event));
    show();
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(name, () => painting.end());
  }
}

function listenToKeys(model, painting, frame, show) {
  frame.addEventListener("keydown", event => {
    const { key } = event;
    if (key in STEPS) moveBy(model, painting, STEPS[key], event.shiftKey);
    else if (key === " ") {
      if (!event.repeat) painting.begin(painting.at);
    } else if (key in BRUSH) changeBrush(model, BRUSH[key]);
    else if (key === "Escape") painting.startAgain();
    else if (key.toLowerCase() === "u" && !event.ctrlKey && !event.metaKey) painting.undo();
    else if (key === "z" && (event.ctrlKey || event.metaKey)) painting.undo();
    else return;
    event.preventDefault();
    event.stopPropagation();
    show();
  });
  frame.addEventListener("keyup", ({ key }) => {
    if (key === " ") painting.end();
  });
  frame.addEventListener("blur", () => painting.end());
}

function moveBy(model, painting, [right, down], fine) {
  const step = fine ? 1 : Math.max(1, Math.round(model.get("brush") / 3));
  const inside = (value, size) => Math.min(size - 0.5, Math.max(0.5, value));
  const [x, y] = painting.at;
  painting.moveTo([
    inside(x + right * step, painting.width),
    inside(y + down * step, painting.height),
  ]);
}

function listenToControls(model, painting, { fill, brush, undo, again }, show) {
  fill.addEventListener("change", () => {
    ask(model, { fill: fill.value });
    show();
  });
  brush.addEventListener("input", () => {
    setBrush(model, Number(brush.value));
  });
  undo.addEventListener("click", () => {
    painting.undo();
    show();
  });
  again.addEventListener("click", () => {
    painting.startAgain();
    show();
  });
}

// -- all of it ------------------------------------------------------------------------------------

function showPicture(model, painting, { canvas, cursor }, { fill, brush, undo, again }) {
  canvas.getContext("2d").putImageData(painting.pixels(), 0, 0);
  const { width, height } = painting;
  const size = model.get("brush");
  cursor.style.left = `${(100 * (painting.at[0] - size / 2)) / width}%`;
  cursor.style.top = `${(100 * (painting.at[1] - size / 2)) / height}%`;
  cursor.style.width = `${(100 * size) / width}%`;
  cursor.style.height = `${(100 * size) / height}%`;
  fill.value = model.get("fill");
  brush.value = size;
  brush.setAttribute("aria-valuetext", `${size} pixels wide`);
  // Not disabled: the button that was pressed would lose the keyboard.
  undo.setAttribute("aria-disabled", !painting.before.length);
  again.setAttribute("aria-disabled", !painting.mask.includes(1));
}

// What is answered while somebody paints is spoken once it rests.
function speaker(model, element) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => { element.textContent = model.get("alt"); }, SILENCE);
  };
}

export default {
  render({ model, el }) {
    const painting = new Painting(model);
    const sheet = paper(painting);
    const help = make("div", "vh-help", { id: `vh-help-${++count}` }, HELP);
    sheet.frame.setAttribute("aria-describedby", help.id);
    sheet.frame.setAttribute("data-lm-suppress-shortcuts", "true");
    const tools = controls(model);
    const bars = make("div", "vh-answers");
    const legend = make("div", "vh-help", {}, "◀ strongest answer; thin line: before painting");
    const spoken = make("div", "vh-spoken", { "aria-live": "polite" });
    const left = make("div", "vh-left", {}, sheet.frame, help);
    const right = make("div", "vh-right", {}, bars, legend);
    el.append(make("div", "vh-painting", {}, tools.row, left, right), spoken);

    const show = () => showPicture(model, painting, sheet, tools);
    const wait = () => {
      const waiting = model.get("stale") || model.get("answered") !== model.get("asked");
      right.classList.toggle("vh-waiting", waiting);
    };
    const speak = speaker(model, spoken);
    const answer = () => drawBars(model, bars);
    const say = () => {
      sheet.canvas.setAttribute("aria-label", model.get("alt"));
      speak();
    };
    const painted = () => {
      painting.readFromElsewhere();
      show();
    };
    listenToPointer(painting, sheet.canvas, sheet.frame, show);
    listenToKeys(model, painting, sheet.frame, show);
    listenToControls(model, painting, tools, show);
    model.on("change:mask", painted);
    model.on("change:fill change:brush", show);
    model.on("change:tables", answer);
    model.on("change:alt", say);
    model.on("change:asked change:answered change:stale", wait);
    show();
    answer();
    say();
    wait();
    return () => {
      model.off("change:mask", painted);
      model.off("change:fill change:brush", show);
      model.off("change:tables", answer);
      model.off("change:alt", say);
      model.off("change:asked change:answered change:stale", wait);
    };
  },
};

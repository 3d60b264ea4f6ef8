// Slide a kernel over a picture. Python hands over one kernel's numbers; every move is made here.

const SIDE = 680; // pixels of a large canvas's longer side, drawn at about half that size
const CELLS = 280; // and of a small one's
const FRAME = "#e65100";
const COLOURS = ["red", "green", "blue"];
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// -- numbers --------------------------------------------------------------------------------------

function floats(view) {
  const from = view.byteOffset;
  return new Float32Array(view.buffer.slice(from, from + view.byteLength));
}

function bytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// All that Python says, once for each kernel.
function read(model) {
  const [low, high] = model.get("limits");
  const kernel = floats(model.get("kernel"));
  const map = floats(model.get("map"));
  return {
    size: model.get("shape"),
    planes: floats(model.get("planes")),
    kernel,
    map,
    bias: model.get("bias"),
    channel: model.get("channel"),
    photo: bytes(model.get("photo")),
    low,
    high,
    colours: bytes(model.get("colours")),
    signed: bytes(model.get("signed")),
    heaviest: largest(kernel),
    highest: largest(map),
  };
}

function largest(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most || 1;
}

// Where in the picture a weight of the kernel lies; null where that is padding.
function pixelOf(size, place, j, i) {
  const y = place.row * size.step_down - size.top + j * size.spread_down;
  const x = place.column * size.step_across - size.left + i * size.spread_across;
  return y < 0 || x < 0 || y >= size.height || x >= size.width ? null : [y, x];
}

// Pixel, weight and product of each channel under one weight of the kernel.
function factors(data, place, j, i) {
  const { size, planes, kernel } = data;
  const at = pixelOf(size, place, j, i);
  return Array.from({ length: size.channels }, (_, c) => {
    const pixel = at ? planes[(c * size.height + at[0]) * size.width + at[1]] : 0;
    const weight = kernel[(c * size.tall + j) * size.wide + i];
    return { pixel, weight, product: pixel * weight };
  });
}

// The products that are shown, [tall × wide], and the sums.
function addUp(data, place, plane) {
  const { size } = data;
  const products = [];
  let here = 0;
  let all = 0;
  for (let j = 0; j < size.tall; j++) {
    for (let i = 0; i < size.wide; i++) {
      const each = factors(data, place, j, i);
      const total = each.reduce((sum, one) => sum + one.product, 0);
      const shown = plane < 0 ? total : each[plane].product;
      products.push(shown);
      here += shown;
      all += total;
    }
  }
  return { products, here, others: all - here, value: all + (data.bias ?? 0) };
}

function text(value, sign = false) {
  const size = Math.abs(value);
  const digits = size >= 100 ? size.toFixed(1) : size.toFixed(3);
  const small = size > 0 && size < 0.0005;
  const minus = value < 0 && (small || Number(digits) !== 0);
  return (minus ? "−" : sign ? "+" : "") + (small ? size.toExponential(1) : digits);
}

// -- drawing --------------------------------------------------------------------------------------

// A colour of a table of 256, as [red, green, blue].
function colour(table, value, low, high) {
  const index = 3 * clamp(Math.floor(((value - low) / (high - low)) * 256), 0, 255);
  return [table[index], table[index + 1], table[index + 2]];
}

const css = rgb => `rgb(${rgb.map(Math.round).join()})`;

// A small canvas with one pixel for each value; `of(index)` is its colour, or null for none.
function pixels(width, height, of) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let index = 0; index < width * height; index++) {
    const rgb = of(index);
    if (rgb) image.data.set([...rgb, 255], 4 * index);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// What the kernel slides over: the photo, or one channel of what the convolution gets.
function background(data, plane) {
  const { width, height } = data.size;
  const first = plane * width * height;
  return pixels(width, height, index =>
    plane < 0
      ? data.photo.subarray(3 * index, 3 * index + 3)
      : colour(data.colours, data.planes[first + index], data.low, data.high));
}

function hatch(context, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.fillStyle = "#d0d0d0";
  context.fillRect(x, y, width, height);
  context.strokeStyle = "#9e9e9e";
  context.lineWidth = 1.5;
  context.beginPath();
  for (let d = x - height - (x % 9); d < x + width; d += 9) {
    context.moveTo(d, y + height);
    context.lineTo(d + height, y);
  }
  context.stroke();
  context.restore();
}

function drawPicture(canvas, base, data, place, held) {
  const { size } = data;
  const zoom = canvas.width / (size.width + size.left + size.right);
  const context = canvas.getContext("2d");
  if (size.top + size.bottom + size.left + size.right) {
    hatch(context, 0, 0, canvas.width, canvas.height);
  }
  context.imageSmoothingEnabled = false;
  context.drawImage(
    base, size.left * zoom, size.top * zoom, size.width * zoom, size.height * zoom);
  const y = place.row * size.step_down;
  const x = place.column * size.step_across;
  const tall = size.spread_down * (size.tall - 1) + 1;
  const wide = size.spread_across * (size.wide - 1) + 1;
  context.lineWidth = 1.5;
  context.strokeStyle = FRAME;
  if (size.spread_down > 1 || size.spread_across > 1) {
    for (let j = 0; j < size.tall; j++) {
      for (let i = 0; i < size.wide; i++) {
        context.strokeRect(
          (x + i * size.spread_across) * zoom, (y + j * size.spread_down) * zoom, zoom, zoom);
      }
    }
  }
  outline(context, x * zoom, y * zoom, wide * zoom, tall * zoom, held);
}

// A frame that is seen on any colour.
function outline(context, x, y, width, height, thick) {
  context.lineWidth = thick ? 10 : 7;
  context.strokeStyle = "white";
  context.strokeRect(x, y, width, height);
  context.lineWidth = thick ? 7 : 4;
  context.strokeStyle = FRAME;
  context.strokeRect(x, y, width, height);
}

function drawMap(canvas, data, place, seen) {
  const { rows, columns } = data.size;
  const zoom = canvas.width / columns;
  const context = canvas.getContext("2d");
  const painted = pixels(columns, rows, index =>
    seen[index] ? colour(data.signed, data.map[index], -data.highest, data.highest) : null);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(painted, 0, 0, canvas.width, canvas.height);
  outline(context, place.column * zoom, place.row * zoom, zoom, zoom, false);
}

// Cells of a kernel's size; `of(j, i)` is a colour, null for padding.
function drawCells(canvas, size, chosen, of) {
  const context = canvas.getContext("2d");
  const zoom = canvas.width / size.wide;
  for (let j = 0; j < size.tall; j++) {
    for (let i = 0; i < size.wide; i++) {
      const rgb = of(j, i);
      if (rgb) {
        context.fillStyle = css(rgb);
        context.fillRect(i * zoom, j * zoom, zoom, zoom);
      } else hatch(context, i * zoom, j * zoom, zoom, zoom);
    }
  }
  if (chosen) {
    context.lineWidth = 4;
    context.strokeStyle = FRAME;
    context.strokeRect(chosen[1] * zoom + 2, chosen[0] * zoom + 2, zoom - 4, zoom - 4);
  }
}

// -- the page -------------------------------------------------------------------------------------

function make(tag, name, attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// JupyterLab and Notebook 7 take keys from an element without this attribute.
const KEYS = { "data-lm-suppress-shortcuts": "true" };

function canvasOf(wide, tall, side, name, attributes) {
  const zoom = Math.max(1, Math.round(side / Math.max(wide, tall)));
  const canvas = make("canvas", name, attributes);
  canvas.width = wide * zoom;
  canvas.height = tall * zoom;
  canvas.style.width = `${(100 * wide) / Math.max(wide, tall)}%`;
  return canvas;
}

function panel(name, title, ...children) {
  return make("div", `vh-slide-${name}`, {}, make("div", "vh-slide-title", {}, title), ...children);
}

function build(data) {
  const { size } = data;
  const places = size.rows * size.columns;
  const slider = {
    role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": places - 1, ...KEYS,
  };
  const parts = {
    picture: canvasOf(
      size.width + size.left + size.right, size.height + size.top + size.bottom, SIDE,
      "vh-slide-canvas", { ...slider, "aria-label": "Place of the kernel in the picture" }),
    map: canvasOf(size.columns, size.rows, SIDE, "vh-slide-canvas vh-slide-paper", {
      ...slider, "aria-label": "Place in the feature map" }),
    patch: canvasOf(size.wide, size.tall, CELLS, "vh-slide-canvas", {
      role: "slider", tabindex: 0, "aria-label": "Weight of the kernel", "aria-valuemin": 0,
      "aria-valuemax": size.tall * size.wide - 1, ...KEYS }),
    kernel: canvasOf(size.wide, size.tall, CELLS, "vh-slide-canvas", {
      role: "img", "aria-label": "The kernel's weights" }),
    products: canvasOf(size.wide, size.tall, CELLS, "vh-slide-canvas", {
      role: "img", "aria-label": "Products of pixels and weights" }),
    sum: make("div", "vh-slide-sum"),
    cell: make("div", "vh-slide-cell"),
    said: make("div", "vh-slide-said", { role: "status", "aria-live": "polite" }),
    number: make("input", "", { type: "number", min: 0, step: 1, ...KEYS }),
    planes: make("select", "", KEYS),
    fill: make("button", "", { type: "button", ...KEYS }, "Fill the map"),
    again: make("button", "", { type: "button", ...KEYS }, "Start again"),
  };
  const choice = make("label", "", {}, "Input channel ", parts.planes);
  choice.hidden = size.channels === 1;
  if (data.photo.length) parts.planes.append(new Option("all three, as colours", -1));
  for (let c = 0; c < size.channels; c++) {
    const name = data.photo.length ? `${c}: ${COLOURS[c]}` : `${c}`;
    parts.planes.append(new Option(name, c));
  }
  parts.root = make("div", "vh-slide", {},
    make("div", "vh-slide-row", {},
      make("label", "", {}, "Output channel ", parts.number), choice, parts.fill, parts.again),
    make("div", "vh-slide-panels", {},
      panel("large vh-slide-first", "picture: point, or use the arrow keys", parts.picture),
      make("div", "vh-slide-equation", {},
        panel("small", "patch", parts.patch),
        panel("small", "× kernel", parts.kernel),
        panel("small", "= products", parts.products),
        panel("small", "added up", parts.sum),
        parts.cell),
      panel("large vh-slide-last", "feature map, painted as you go", parts.map, legend(data))),
    parts.said);
  return parts;
}

// Numbers at the ends of the map's colours, filled in for each kernel.
function legend() {
  return make("div", "vh-slide-legend", {},
    make("span", "vh-slide-low"), make("i"), make("span", "vh-slide-high"));
}

// One widget on the page: what is chosen in it, and how it is drawn.
class Slider {
  constructor(model, el) {
    this.model = model;
    this.data = read(model);
    this.mapGiven = model.get("map");
    const [row, column] = model.get("at");
    this.place = { row, column };
    this.plane = model.get("plane");
    this.cell = null;
    this.held = false;
    this.seen = new Uint8Array(this.data.map.length);
    this.parts = build(this.data);
    el.append(this.parts.root);
    this.listen();
    this.renew();
  }

  // A new kernel or a new plane: what is painted stays painted, in new colours.
  renew() {
    const { data, parts } = this;
    this.base = background(data, this.plane);
    parts.number.value = data.channel;
    parts.planes.value = this.plane;
    parts.root.querySelector(".vh-slide-low").textContent = text(-data.highest);
    parts.root.querySelector(".vh-slide-high").textContent = text(data.highest);
    this.reach = this.reachOfProducts();
    this.go(this.place.row, this.place.column);
  }

  // One scale for the products of all places, so that a weak place looks weak.
  reachOfProducts() {
    const { rows, columns } = this.data.size;
    let most = 0;
    const step = Math.max(1, Math.floor(Math.max(rows, columns) / 24)); // a sample will do
    for (let row = 0; row < rows; row += step) {
      for (let column = 0; column < columns; column += step) {
        const { products } = addUp(this.data, { row, column }, this.plane);
        for (const value of products) most = Math.max(most, Math.abs(value));
      }
    }
    return most || 1;
  }

  go(row, column) {
    const { rows, columns } = this.data.size;
    const to = { row: clamp(row, 0, rows - 1), column: clamp(column, 0, columns - 1) };
    this.paint(this.place, to);
    this.place = to;
    const [before, beside] = this.model.get("at");
    if (before !== to.row || beside !== to.column) {
      this.model.set("at", [to.row, to.column]);
      this.model.save_changes();
    }
    this.draw();
  }

  // Every place on the straight way; where there are many places, with a broader brush.
  paint(from, to) {
    const { rows, columns } = this.data.size;
    const steps = Math.max(1, Math.abs(to.row - from.row), Math.abs(to.column - from.column));
    const broad = Math.floor(Math.max(rows, columns) / 48);
    for (let step = 0; step <= steps; step++) {
      const y = Math.round(from.row + ((to.row - from.row) * step) / steps);
      const x = Math.round(from.column + ((to.column - from.column) * step) / steps);
      for (let row = Math.max(0, y - broad); row <= Math.min(rows - 1, y + broad); row++) {
        const first = row * columns + Math.max(0, x - broad);
        this.seen.fill(1, first, row * columns + Math.min(columns - 1, x + broad) + 1);
      }
    }
  }

  draw() {
    const { data, parts, place, plane } = this;
    const sums = addUp(data, place, plane);
    drawPicture(parts.picture, this.base, data, place, this.held);
    drawMap(parts.map, data, place, this.seen);
    drawCells(parts.patch, data.size, this.cell, (j, i) => this.patchColour(j, i));
    drawCells(parts.kernel, data.size, this.cell, (j, i) => this.kernelColour(j, i));
    drawCells(parts.products, data.size, this.cell, (j, i) =>
      colour(data.signed, sums.products[j * data.size.wide + i], -this.reach, this.reach));
    this.write(sums);
  }

  patchColour(j, i) {
    const { data } = this;
    const at = pixelOf(data.size, this.place, j, i);
    if (!at) return null;
    const index = at[0] * data.size.width + at[1];
    if (this.plane < 0) return [...data.photo.subarray(3 * index, 3 * index + 3)];
    const value = data.planes[this.plane * data.size.height * data.size.width + index];
    return colour(data.colours, value, data.low, data.high);
  }

  kernelColour(j, i) {
    const { size, kernel, heaviest, signed } = this.data;
    const weight = c => kernel[(c * size.tall + j) * size.wide + i] / heaviest;
    if (this.plane < 0) return [0, 1, 2].map(c => 127.5 + 127.5 * weight(c));
    return colour(signed, weight(this.plane), -1, 1);
  }

  // The numbers, for the eye, for a screen reader and for whoever asks the page.
  write(sums) {
    const { data, parts, place, plane } = this;
    const { size } = data;
    const count = size.tall * size.wide;
    const lines = plane < 0 || size.channels === 1
      ? [[text(sums.here), `${plane < 0 ? 3 * count : count} products`]]
      : [[text(sums.here), `these ${count} products`],
        [text(sums.others, true), `other ${size.channels - 1} channels`]];
    if (data.bias !== null) lines.push([text(data.bias, true), "bias"]);
    const total = [`= ${text(sums.value)}`, `row ${place.row}, column ${place.column}`];
    parts.sum.replaceChildren(
      make("div", "vh-slide-terms", {}, ...lines.flat().map(word => make("span", "", {}, word))),
      make("div", "vh-slide-total", {}, total[0]), make("div", "", {}, `→ ${total[1]}`));
    parts.cell.textContent = this.cell ? this.cellText() : "Point at a cell: pixel × weight = product.";
    for (const canvas of [parts.picture, parts.map]) {
      canvas.setAttribute("aria-valuenow", place.row * size.columns + place.column);
      canvas.setAttribute("aria-valuetext", `${total[1]}: ${text(sums.value)}`);
    }
    const [j, i] = this.cell ?? [0, 0];
    parts.patch.setAttribute("aria-valuenow", j * size.wide + i);
    parts.patch.setAttribute("aria-valuetext", this.cell ? this.cellText() : "no cell chosen");
    Object.assign(parts.root.dataset, {
      channel: data.channel, plane, row: place.row, column: place.column, value: sums.value,
      products: sums.products.map(value => value.toPrecision(6)).join(" "),
      painted: this.seen.reduce((sum, one) => sum + one, 0),
    });
  }

  cellText() {
    const [j, i] = this.cell;
    const each = factors(this.data, this.place, j, i);
    const shown = this.plane < 0 ? each : [each[this.plane]];
    const terms = shown.map(({ pixel, weight }, c) =>
      `${this.plane < 0 ? `${COLOURS[c]} ` : ""}${text(pixel)} × ${text(weight)}`);
    const total = shown.reduce((sum, one) => sum + one.product, 0);
    const padded = pixelOf(this.data.size, this.place, j, i) ? "" : " (padding)";
    return `row ${j}, column ${i} of the kernel${padded}: ${terms.join(" + ")} = ${text(total)}`;
  }

  say(words) {
    this.parts.said.textContent = words;
  }

  // -- what the hand does --

  listen() {
    const { parts } = this;
    this.follow(parts.picture, event => this.underPicture(event));
    this.follow(parts.map, event => this.underMap(event));
    for (const canvas of [parts.patch, parts.kernel, parts.products]) {
      canvas.addEventListener("pointermove", event => this.choose(this.cellUnder(event)));
      canvas.addEventListener("pointerdown", event => this.choose(this.cellUnder(event)));
      canvas.addEventListener("pointerleave", () => this.choose(null));
    }
    parts.patch.addEventListener("blur", () => this.choose(null));
    parts.patch.addEventListener("keydown", event => this.onCellKey(event));
    parts.fill.addEventListener("click", () => this.fill());
    parts.again.addEventListener("click", () => this.again());
    parts.planes.addEventListener("change", () => this.show(Number(parts.planes.value)));
    parts.number.addEventListener("change", () => {
      this.model.set("asked", Math.trunc(Number(parts.number.value)));
      this.model.save_changes();
    });
    this.update = () => this.onModel();
    this.model.on("change", this.update);
  }

  // The kernel follows the mouse, or a finger or pen that is down; a click of the mouse holds it.
  follow(canvas, under) {
    canvas.addEventListener("pointermove", event => {
      if (event.pointerType === "mouse" ? !this.held : event.pressure > 0) this.go(...under(event));
    });
    canvas.addEventListener("pointerdown", event => {
      if (event.pointerType === "mouse") this.held = !this.held;
      this.go(...under(event));
    });
    canvas.addEventListener("keydown", event => this.onKey(event));
  }

  underPicture(event) {
    const { size } = this.data;
    const box = this.parts.picture.getBoundingClientRect();
    const y = ((event.clientY - box.top) / box.height) * (size.height + size.top + size.bottom);
    const x = ((event.clientX - box.left) / box.width) * (size.width + size.left + size.right);
    const tall = size.spread_down * (size.tall - 1) + 1;
    const wide = size.spread_across * (size.wide - 1) + 1;
    return [
      Math.round((y - tall / 2) / size.step_down), Math.round((x - wide / 2) / size.step_across)];
  }

  underMap(event) {
    const { rows, columns } = this.data.size;
    const box = this.parts.map.getBoundingClientRect();
    return [
      Math.floor(((event.clientY - box.top) / box.height) * rows),
      Math.floor(((event.clientX - box.left) / box.width) * columns)];
  }

  cellUnder(event) {
    const { tall, wide } = this.data.size;
    const box = event.target.getBoundingClientRect();
    return [
      clamp(Math.floor(((event.clientY - box.top) / box.height) * tall), 0, tall - 1),
      clamp(Math.floor(((event.clientX - box.left) / box.width) * wide), 0, wide - 1)];
  }

  onKey(event) {
    const { row, column } = this.place;
    const { rows, columns } = this.data.size;
    const jumps = {
      Home: [row, 0], End: [row, columns - 1], PageUp: [0, column], PageDown: [rows - 1, column] };
    if (event.key in STEPS) this.go(row + STEPS[event.key][0], column + STEPS[event.key][1]);
    else if (event.key in jumps) this.go(...jumps[event.key]);
    else if (event.key === "f") this.fill();
    else if (event.key === "r") this.again();
    else if (event.key !== "Escape") return;
    if (event.key in STEPS || event.key in jumps) this.held = true; // against a resting mouse
    if (event.key === "Escape") this.held = false;
    this.draw();
    event.preventDefault();
    event.stopPropagation();
  }

  onCellKey(event) {
    if (!(event.key in STEPS)) return;
    const { tall, wide } = this.data.size;
    const [down, across] = STEPS[event.key];
    const [j, i] = this.cell ?? [0, 0];
    this.choose(this.cell
      ? [clamp(j + down, 0, tall - 1), clamp(i + across, 0, wide - 1)]
      : [0, 0]);
    event.preventDefault();
    event.stopPropagation();
  }

  choose(cell) {
    if (String(cell) === String(this.cell)) return;
    this.cell = cell;
    this.draw();
  }

  fill() {
    this.seen.fill(1);
    this.draw();
    this.say(`The whole map is painted: ${this.seen.length} places.`);
  }

  again() {
    this.seen.fill(0);
    this.paint(this.place, this.place);
    this.held = false;
    this.draw();
    this.say("The map is empty again.");
  }

  show(plane) {
    this.plane = plane;
    this.model.set("plane", plane);
    this.model.save_changes();
    this.renew();
  }

  // What Python has changed, or this page has told it.
  onModel() {
    const { model } = this;
    const [row, column] = model.get("at");
    const fresh = model.get("map") !== this.mapGiven;
    this.mapGiven = model.get("map");
    if (fresh) {
      this.data = read(model);
      this.say(`Output channel ${this.data.channel} is shown.`);
    }
    if (fresh || model.get("plane") !== this.plane) {
      this.plane = model.get("plane");
      this.renew();
    }
    if (row !== this.place.row || column !== this.place.column) this.go(row, column);
  }

  stop() {
    this.model.off("change", this.update);
  }
}

export default {
  render({ model, el }) {
    const slider = new Slider(model, el);
    return () => slider.stop();
  },
};

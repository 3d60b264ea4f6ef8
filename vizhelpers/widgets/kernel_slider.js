// Slide a kernel over a picture. Python hands over one kernel's numbers; every move is made here.

const DENSE = devicePixelRatio > 1 ? 2 : 1; // pixels of a canvas to one of the page
const SIDE = 360 * DENSE; // the longer side of a large canvas, about
const CELLS = 160 * DENSE; // and of a small one
const FILLING = 1500; // milliseconds
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
    reaches: model.get("reaches"),
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

function text(value, sign = false, decimals = 3) {
  const digits = Math.abs(value).toFixed(Math.abs(value) >= 100 ? 1 : decimals);
  const minus = value < 0 && Number(digits) !== 0;
  return (minus ? "−" : sign ? "+" : "") + digits;
}

// -- drawing --------------------------------------------------------------------------------------

// A colour of a table of 256, as [red, green, blue].
function colour(table, value, low, high) {
  const index = 3 * clamp(Math.floor(((value - low) / (high - low)) * 256), 0, 255);
  return [table[index], table[index + 1], table[index + 2]];
}

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
  context.lineWidth = DENSE;
  context.beginPath();
  for (let d = x - height - (x % (5 * DENSE)); d < x + width; d += 5 * DENSE) {
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
  context.lineWidth = DENSE;
  context.strokeStyle = FRAME;
  if (size.spread_down > 1 || size.spread_across > 1) drawTaps(context, size, y, x, zoom);
  outline(context, x * zoom, y * zoom, wide * zoom, tall * zoom, held);
}

// Around each pixel that a kernel with gaps reads.
function drawTaps(context, size, y, x, zoom) {
  const side = Math.max(zoom, 5 * DENSE);
  for (let j = 0; j < size.tall; j++) {
    for (let i = 0; i < size.wide; i++) {
      const middle = [x + i * size.spread_across + 0.5, y + j * size.spread_down + 0.5];
      context.strokeRect(middle[0] * zoom - side / 2, middle[1] * zoom - side / 2, side, side);
    }
  }
}

// A frame that is seen on any colour.
function outline(context, x, y, width, height, thick) {
  context.lineWidth = DENSE * (thick ? 5 : 3.5);
  context.strokeStyle = "white";
  context.strokeRect(x, y, width, height);
  context.lineWidth = DENSE * (thick ? 3.5 : 2);
  context.strokeStyle = FRAME;
  context.strokeRect(x, y, width, height);
}

function drawMap(canvas, paper, size, place) {
  const zoom = canvas.width / size.columns;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(paper, 0, 0, canvas.width, canvas.height);
  outline(context, place.column * zoom, place.row * zoom, zoom, zoom, false);
}

// Cells of a kernel's size. `of(j, i)` is a colour, null for padding; `number(j, i)` is written
// into the cell where there is space for it.
function drawCells(canvas, size, chosen, of, number) {
  const context = canvas.getContext("2d");
  const zoom = canvas.width / size.wide;
  for (let j = 0; j < size.tall; j++) {
    for (let i = 0; i < size.wide; i++) {
      const rgb = of(j, i);
      if (rgb) {
        context.fillStyle = `rgb(${rgb.map(Math.round).join()})`;
        context.fillRect(i * zoom, j * zoom, zoom, zoom);
      } else hatch(context, i * zoom, j * zoom, zoom, zoom);
      if (number) writeNumber(context, number(j, i), rgb, (i + 0.5) * zoom, (j + 0.5) * zoom, zoom);
    }
  }
  if (chosen) {
    context.lineWidth = 2 * DENSE;
    context.strokeStyle = FRAME;
    context.strokeRect(
      chosen[1] * zoom + DENSE, chosen[0] * zoom + DENSE, zoom - 2 * DENSE, zoom - 2 * DENSE);
  }
}

function writeNumber(context, value, rgb, x, y, zoom) {
  const [red, green, blue] = rgb ?? [208, 208, 208];
  context.fillStyle = 0.3 * red + 0.59 * green + 0.11 * blue > 120 ? "black" : "white";
  context.font = `${Math.min(13 * DENSE, zoom * 0.27)}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text(value, false, 2), x, y);
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
  return make("div", `vh-slide-${name}`, {}, make("div", "vh-slide-head", {}, title), ...children);
}

// All that can be pointed at.
function canvases(size) {
  const slider = last => ({
    role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": last - 1, ...KEYS });
  const large = (wide, tall, name, label) => canvasOf(wide, tall, SIDE, name, {
    ...slider(size.rows * size.columns), "aria-label": label });
  const small = attributes => canvasOf(size.wide, size.tall, CELLS, "vh-slide-canvas", attributes);
  const across = size.width + size.left + size.right;
  const down = size.height + size.top + size.bottom;
  return {
    picture: large(across, down, "vh-slide-canvas", "Place of the kernel in the picture"),
    map: large(
      size.columns, size.rows, "vh-slide-canvas vh-slide-paper", "Place in the feature map"),
    patch: small({ ...slider(size.tall * size.wide), "aria-label": "One pixel of the patch" }),
    kernel: small({ role: "img", "aria-label": "The kernel's weights" }),
    products: small({ role: "img", "aria-label": "Products of pixels and weights" }),
  };
}

function controls(data) {
  const planes = make("select", "", KEYS);
  const coloured = data.photo.length > 0;
  if (coloured) planes.append(new Option("all, as colours", -1));
  for (let c = 0; c < data.size.channels; c++) {
    planes.append(new Option(coloured ? `${c}: ${COLOURS[c]}` : `${c}`, c));
  }
  return {
    number: make("input", "", { type: "number", min: 0, step: 1, ...KEYS }),
    planes,
    fill: make("button", "", { type: "button", ...KEYS }, "Fill the map"),
    again: make("button", "", { type: "button", ...KEYS }, "Start again"),
  };
}

// The whole page, with all in it that changes by its name.
function build(data) {
  const parts = { ...canvases(data.size), ...controls(data) };
  const words = ["title", "kernelTitle", "sum", "cell", "low", "high"];
  for (const name of words) parts[name] = make("div", `vh-slide-${name}`);
  parts.said = make("div", "vh-slide-said", { role: "status", "aria-live": "polite" });
  const choice = make("label", "", {}, "Input channel ", parts.planes);
  choice.hidden = data.size.channels === 1;
  const legend = make("div", "vh-slide-legend", {}, parts.low, make("i"), parts.high);
  parts.root = make("div", "vh-slide", {},
    make("div", "vh-slide-row", {},
      make("label", "", {}, "Output channel ", parts.number), choice, parts.fill, parts.again),
    make("div", "vh-slide-panels", {},
      panel("large", parts.title, parts.picture),
      make("div", "vh-slide-equation", {},
        panel("small", "patch", parts.patch),
        panel("small", parts.kernelTitle, parts.kernel),
        panel("small", "= products", parts.products),
        panel("small", "added up", parts.sum),
        parts.cell),
      panel("large", "feature map, painted as you go", parts.map, legend)),
    parts.said);
  return parts;
}

// One widget on the page: what is chosen in it, and how it is drawn.
class Slider {
  constructor(model, el) {
    this.model = model;
    this.data = read(model);
    this.given = model.get("map");
    const [row, column] = model.get("at");
    this.place = { row, column };
    this.plane = model.get("plane");
    this.cell = null;
    this.held = false;
    this.seen = new Uint8Array(this.data.map.length);
    this.painted = 0; // how many places are seen
    this.frame = null; // of the filling that is under way
    this.paper = null; // the painted part of the map, one pixel a place
    this.parts = build(this.data);
    el.append(this.parts.root);
    this.listen();
    this.renew();
    this.go(this.place.row, this.place.column);
  }

  // Another kernel or another plane: what is painted stays painted, in its colours.
  renew() {
    const { data, parts, plane } = this;
    const { rows, columns } = data.size;
    this.base = background(data, plane);
    this.whole = pixels(columns, rows, index =>
      colour(data.signed, data.map[index], -data.highest, data.highest));
    this.paper ??= pixels(columns, rows, () => null);
    const context = this.paper.getContext("2d");
    context.globalCompositeOperation = "source-in";
    context.drawImage(this.whole, 0, 0);
    parts.number.value = data.channel;
    parts.planes.value = plane;
    parts.low.textContent = text(-data.highest);
    parts.high.textContent = text(data.highest);
    parts.kernelTitle.textContent = plane < 0 ? "× kernel (grey: 0)" : "× kernel";
    this.draw();
  }

  go(row, column) {
    const { rows, columns } = this.data.size;
    const to = { row: clamp(row, 0, rows - 1), column: clamp(column, 0, columns - 1) };
    if (this.frame) this.finish();
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
      const top = Math.max(0, y - broad);
      const left = Math.max(0, x - broad);
      this.uncover(
        top, left, Math.min(rows, y + broad + 1) - top, Math.min(columns, x + broad + 1) - left);
    }
  }

  // Paint a rectangle of places.
  uncover(top, left, tall, wide) {
    const { columns } = this.data.size;
    for (let row = top; row < top + tall; row++) {
      for (let index = row * columns + left; index < row * columns + left + wide; index++) {
        this.painted += 1 - this.seen[index];
        this.seen[index] = 1;
      }
    }
    const context = this.paper.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.drawImage(this.whole, left, top, wide, tall, left, top, wide, tall);
  }

  draw() {
    const { data, parts, place, plane, cell } = this;
    const { size } = data;
    const sums = addUp(data, place, plane);
    const reach = data.reaches[plane + 1]; // one scale for all places
    const product = (j, i) => sums.products[j * size.wide + i];
    const numbers = plane >= 0 && Math.max(size.tall, size.wide) <= 4;
    const number = name => numbers && ((j, i) => factors(data, place, j, i)[plane][name]);
    drawPicture(parts.picture, this.base, data, place, this.held);
    drawMap(parts.map, this.paper, size, place);
    drawCells(parts.patch, size, cell, (j, i) => this.patchColour(j, i), number("pixel"));
    drawCells(parts.kernel, size, cell, (j, i) => this.kernelColour(j, i), number("weight"));
    drawCells(parts.products, size, cell, (j, i) =>
      colour(data.signed, product(j, i), -reach, reach), number("product"));
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

  // The numbers: for the eye, for a screen reader, and for whoever asks the page.
  write(sums) {
    const { data, parts, place, plane } = this;
    const { size } = data;
    const where = `row ${place.row}, column ${place.column}`;
    const what = plane < 0 || size.channels === 1 ? "picture" : `input channel ${plane}`;
    const how = this.held ? "held; a click lets go" : "point, or arrow keys";
    parts.title.textContent = `${what} (${how})`;
    parts.sum.replaceChildren(
      make("div", "vh-slide-terms", {}, ...this.terms(sums).map(word => make("span", "", {}, word))),
      make("div", "vh-slide-total", {}, `= ${text(sums.value)}`), `→ ${where}`);
    for (const canvas of [parts.picture, parts.map]) {
      canvas.setAttribute("aria-valuenow", place.row * size.columns + place.column);
      canvas.setAttribute("aria-valuetext", `${where}: ${text(sums.value)}`);
    }
    const [j, i] = this.cell ?? [0, 0];
    const cell = this.cell ? this.cellText() : "Point at a cell: pixel × weight = product.";
    parts.cell.textContent = cell;
    parts.patch.setAttribute("aria-valuenow", j * size.wide + i);
    parts.patch.setAttribute("aria-valuetext", cell);
    Object.assign(parts.root.dataset, {
      channel: data.channel, plane, row: place.row, column: place.column, value: sums.value,
      products: sums.products.join(" "), painted: this.painted,
    });
  }

  // What is added up, each number with a word about it.
  terms(sums) {
    const { size, bias } = this.data;
    const count = size.tall * size.wide;
    const words = this.plane < 0
      ? [text(sums.here), `${size.channels * count} products`]
      : [text(sums.here), count > 1 ? `${count} products` : "1 product"];
    const others = size.channels - 1;
    if (this.plane >= 0 && others > 0) {
      words.push(text(sums.others, true), others > 1 ? `${others} other channels` : "other channel");
    }
    if (bias !== null) words.push(text(bias, true), "bias");
    return words;
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
    parts.number.addEventListener("change", () => this.ask());
    parts.number.addEventListener("keydown", event => event.key === "Enter" && this.ask());
    this.update = () => this.onModel();
    this.model.on("change", this.update);
  }

  // The kernel follows the mouse, or a finger or pen that is down; a click of the mouse holds it.
  follow(canvas, under) {
    canvas.addEventListener("pointermove", event => {
      if (event.pointerType === "mouse" ? !this.held : event.buttons) this.go(...under(event));
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

  // Slide over all places in the order of reading.
  fill() {
    if (this.frame || matchMedia("(prefers-reduced-motion: reduce)").matches) return this.finish();
    const { rows, columns } = this.data.size;
    const back = this.place;
    const start = performance.now();
    let next = 0;
    const step = now => {
      const share = clamp((now - start) / FILLING, 0, 1);
      const end = Math.max(1, Math.floor(share * rows * columns));
      for (; next < end; next++) this.uncover(Math.floor(next / columns), next % columns, 1, 1);
      this.place = { row: Math.floor((end - 1) / columns), column: (end - 1) % columns };
      this.draw();
      this.frame = requestAnimationFrame(step);
      if (share < 1) return;
      this.place = back;
      this.finish();
    };
    this.frame = requestAnimationFrame(step);
  }

  finish() {
    const { rows, columns } = this.data.size;
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.uncover(0, 0, rows, columns);
    this.draw();
    this.say(`The whole map is painted: ${this.painted} places.`);
  }

  again() {
    if (this.frame) this.finish();
    this.seen.fill(0);
    this.painted = 0;
    this.held = false;
    this.paper.getContext("2d").clearRect(0, 0, this.paper.width, this.paper.height);
    this.go(this.place.row, this.place.column);
    this.say("The map is empty again.");
  }

  // Python hands over the other kernel, or says that there is none.
  ask() {
    this.model.set("asked", Math.trunc(Number(this.parts.number.value)));
    this.model.save_changes();
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
    const fresh = model.get("map") !== this.given;
    if (fresh || model.get("plane") !== this.plane) {
      this.data = fresh ? read(model) : this.data;
      this.given = model.get("map");
      this.plane = model.get("plane");
      this.renew();
    }
    if (fresh) this.say(`Output channel ${this.data.channel} is shown.`);
    const [row, column] = model.get("at");
    if (!this.frame && (row !== this.place.row || column !== this.place.column)) {
      this.go(row, column);
    }
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.model.off("change", this.update);
  }
}

export default {
  render({ model, el }) {
    const slider = new Slider(model, el);
    return () => slider.stop();
  },
};

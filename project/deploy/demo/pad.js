// Drawing: strokes of a mouse, a pen or a finger, in white on black, as scans of handwriting are stored.

// Parts of the side of the picture that is sent. Scans of Digits fill their whole height with thick strokes: with these
// values, drawings have about as much ink. Other training data may have thinner strokes or a margin.
const STROKE = 0.2; // width of a stroke
const INSET = 0.07; // from the edge to the middle of the outermost stroke
const SHOWN_STROKE = 0.09; // width of a stroke on the pad, whose drawings have any size
const SMALLEST = 0.15; // part of the pad that fills the picture: a smaller drawing, such as a dot, stays small
const SAMPLES = 8; // points of a pixel along each side, whose mean is its value

/** A canvas on which one draws. */
export class Pad {
  /**
   * @param canvas the element.
   * @param onStart called when a stroke begins.
   * @param onChange called when a stroke has ended or was undone.
   */
  constructor(canvas, onStart, onChange) {
    this.canvas = canvas;
    this.onStart = onStart;
    this.onChange = onChange;
    this.strokes = []; // lists of points [x, y] in [0, 1]
    this.pointer = null; // of the stroke that is being drawn; other fingers are ignored
    canvas.addEventListener("pointerdown", event => this.begin(event));
    canvas.addEventListener("pointermove", event => this.go(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, event => this.end(event));
    this.redraw();
  }

  get isEmpty() {
    return !this.strokes.length;
  }

  clear() {
    this.strokes = [];
    this.pointer = null;
    this.redraw();
  }

  undo() {
    this.strokes.pop();
    this.redraw();
    this.onChange();
  }

  begin(event) {
    if (this.pointer !== null || event.button !== 0) return;
    event.preventDefault(); // selects no text
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([this.locate(event)]);
    this.redraw();
    this.onStart();
  }

  go(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.strokes.at(-1).push(...(events.length ? events : [event]).map(each => this.locate(each)));
    this.redraw();
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.onChange();
  }

  locate(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  redraw() {
    paint(this.canvas, this.strokes, SHOWN_STROKE, point => point);
  }

  /** Return the drawing as a PNG of `side` pixels: cropped to its ink and centred. */
  async toPicture(side) {
    const points = this.strokes.flat();
    const [left, top] = [0, 1].map(axis => Math.min(...points.map(point => point[axis])));
    const [right, bottom] = [0, 1].map(axis => Math.max(...points.map(point => point[axis])));
    const scale = (1 - 2 * INSET) / Math.max(right - left, bottom - top, SMALLEST);
    const large = make(side * SAMPLES);
    paint(large, this.strokes, STROKE, ([x, y]) => [
      0.5 + scale * (x - (left + right) / 2), 0.5 + scale * (y - (top + bottom) / 2),
    ]);
    const picture = make(side);
    picture.getContext("2d").putImageData(average(large, side), 0, 0);
    return new Promise(resolve => picture.toBlob(resolve, "image/png"));
  }
}

function make(side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  return canvas;
}

/** Draw strokes over the whole canvas; `place` maps their points, and widths are parts of its side. */
function paint(canvas, strokes, width, place) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const side = canvas.width;
  context.fillStyle = "#000";
  context.fillRect(0, 0, side, side);
  context.strokeStyle = "#fff";
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = width * side;
  for (const stroke of strokes) {
    context.beginPath();
    for (const point of [stroke[0], ...stroke]) { // the first one twice: a single point is a dot
      const [x, y] = place(point);
      context.lineTo(x * side, y * side);
    }
    context.stroke();
  }
}

/** Return a grey canvas with the mean of each block of pixels: browsers do not agree on how they scale pictures. */
function average(canvas, side) {
  const block = canvas.width / side;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.width);
  const result = new ImageData(side, side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let row = y * block; row < (y + 1) * block; row++) {
        for (let column = x * block; column < (x + 1) * block; column++) sum += data[4 * (row * canvas.width + column)];
      }
      const grey = Math.round(sum / block ** 2);
      result.data.set([grey, grey, grey, 255], 4 * (y * side + x));
    }
  }
  return result;
}

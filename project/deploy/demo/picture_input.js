// An input that is a picture: chosen, dropped, pasted, photographed or drawn.

import { hasCamera, takePhotograph } from "./camera.js";
import { at, showPicture, showText } from "./dom.js";
import { fitPicture } from "./fitting.js";
import { Pad } from "./pad.js";
import { InputError } from "./server.js";
import { formatBytes } from "./words.js";

const DRAWN_SIDE = 128; // pixels of a drawing for a net that takes any size

/** The part of the form for one picture; `element` belongs in the page. */
export class PictureInput {
  /**
   * @param name name of the input.
   * @param model description of the model.
   * @param suffix what makes the ids of a second picture differ.
   * @param onEdit called when the picture changes, or is about to.
   * @param onReady called when there is a picture that can be sent.
   */
  constructor(name, model, { suffix, onEdit, onReady }) {
    const [, height, width] = model.shapes[name];
    Object.assign(this, { name, model, onEdit, onReady });
    this.file = null; // what is sent
    this.shown = null; // the file that was chosen, which may be larger
    this.input = model.inputs[name];
    this.side = this.input.size ?? nearestLength(height, DRAWN_SIDE);
    const canDraw = this.input.channels === 1 && (this.input.size || nearestLength(width, this.side) === this.side);
    this.element = at("picture-input").content.cloneNode(true).firstElementChild;
    for (const part of this.element.querySelectorAll("[id]")) part.id += suffix;
    this.find("legend").textContent = name;
    this.find(".prompt span").textContent = canDraw ? "or drop or paste one" : "or drop or paste one here";
    this.element.classList.toggle("has-pad", Boolean(canDraw));
    this.listenToFiles();
    this.offerCamera();
    if (canDraw) this.offerPad();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** Return the picture to send. */
  read() {
    if (this.file) return this.file;
    throw new InputError(`${this.name}: ${this.pad ? "draw or " : ""}choose a picture first.`, this.find(".drop"));
  }

  /** Whether a file was chosen that cannot be sent yet. */
  get isReading() {
    return Boolean(this.shown && !this.file);
  }

  get isDrawn() {
    return Boolean(this.pad && !this.pad.isEmpty);
  }

  listenToFiles() {
    const drop = this.find(".drop"), file = this.find(".file");
    drop.addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      const files = [...file.files];
      file.value = ""; // so that the same file can be chosen again
      this.take(files);
    });
    this.element.addEventListener("dragover", () => drop.classList.add("over"));
    this.element.addEventListener("dragleave", () => drop.classList.remove("over"));
    this.element.addEventListener("drop", () => drop.classList.remove("over"));
  }

  async offerCamera() {
    const button = this.find(".camera");
    button.addEventListener("click", async () => {
      const photograph = await takePhotograph();
      if (photograph) this.take([new File([photograph], "photograph.jpg", { type: photograph.type })]);
    });
    button.hidden = !(await hasCamera());
  }

  offerPad() {
    this.find(".drawing").hidden = false;
    this.pad = new Pad(this.find(".pad"), () => this.startStroke(), () => this.takeDrawing());
    this.find(".undo").addEventListener("click", () => this.pad.undo());
    this.find(".clear").addEventListener("click", () => {
      this.clear();
      this.onEdit();
    });
  }

  /** Use the first of some files. */
  async take(files) {
    if (!files.length) return; // the chooser was closed
    this.clear();
    const [file] = files;
    const unused = files.length > 1 ? `, the first of ${files.length}` : "";
    const name = (file.name || "pasted picture") + unused;
    this.showFile(file, `${name} · reading …`);
    this.onEdit();
    const { max_pixels: pixels, limits: { body_bytes: bytes } } = this.model;
    const sides = this.input.size ? null : this.model.shapes[this.name].slice(1);
    const fitted = await fitPicture(file, sides, { pixels, bytes });
    if (this.shown !== file) return; // another picture was chosen, or a stroke drawn
    this.file = fitted ? fitted.blob : file;
    const size = fitted ? `${fitted.isScaled ? "scaled" : "cropped"} to ${fitted.width} × ${fitted.height} pixels`
      : formatBytes(file.size);
    showText(this.find(".chosen"), `${name} · ${size}`);
    this.onReady();
  }

  /** Show a file in place of the prompt, or the prompt if there is none. */
  showFile(file, caption) {
    this.shown = file;
    const preview = this.find(".preview");
    this.find(".prompt").hidden = Boolean(file);
    showText(this.find(".chosen"), file ? caption : "");
    showPicture(preview, file);
    preview.onerror = () => showPicture(preview, null); // a format that the server may read, but not the browser
  }

  startStroke() {
    this.file = null;
    this.showFile(null);
    this.showPad();
    this.onEdit();
  }

  async takeDrawing() {
    this.file = null; // until the drawing is a picture
    this.showPad();
    this.onEdit();
    if (this.pad.isEmpty) {
      this.clear();
      return;
    }
    const { strokes } = this.pad, count = strokes.length;
    const file = await this.pad.toPicture(this.side);
    if (this.pad.strokes !== strokes || strokes.length !== count) return; // a stroke has begun since
    this.file = file;
    showPicture(this.find(".tiny"), file);
    this.find(".sent span").textContent = `Sent as ${this.side} × ${this.side} pixels`;
    this.find(".sent").hidden = false;
    this.onReady();
  }

  showPad() {
    const isEmpty = this.pad.isEmpty;
    this.find(".invitation").hidden = !isEmpty;
    this.find(".undo").disabled = this.find(".clear").disabled = isEmpty;
    if (isEmpty) this.find(".sent").hidden = true;
  }

  /** Forget the picture and the drawing. */
  clear() {
    this.file = null;
    this.showFile(null);
    if (!this.pad) return;
    this.pad.clear();
    this.showPad();
  }
}

/** Return the allowed length that is nearest to one. */
function nearestLength({ minimum, maximum, step }, wished) {
  const steps = Math.max(0, Math.round((Math.min(wished, maximum ?? wished) - minimum) / step));
  const length = minimum + step * steps;
  return maximum !== null && length > maximum ? length - step : length;
}

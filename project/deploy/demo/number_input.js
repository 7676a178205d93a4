// An input of numbers: a field for each, or a text for many of them.

import { make } from "./dom.js";
import { InputError } from "./server.js";
import { describeInput } from "./words.js";

const MOST_FIELDS = 32; // longer vectors are written as a text

/** The part of the form for one input of numbers; `element` belongs in the page. */
export class NumberInput {
  /**
   * @param name name of the input.
   * @param model description of the model.
   * @param onEdit called when a number changes.
   */
  constructor(name, model, { onEdit }) {
    this.name = name;
    this.input = model.inputs[name];
    const { shape, dtype } = this.input;
    this.isText = shape.length > 1 || shape.includes(null) || shape[0] > MOST_FIELDS;
    const lengths = model.shapes[name].map(length => length.minimum);
    this.fields = this.isText ? [this.makeText(lengths)] : Array.from({ length: shape[0] ?? 1 }, this.makeField, this);
    const description = `${describeInput(this.input, model.shapes[name])} (${dtype})`;
    // A single number has the description as its label.
    const hint = make("p", { className: "hint", hidden: !shape.length, textContent: description });
    const labels = this.fields.map((field, index) =>
      this.label(field, shape.length ? `${name} ${index}` : description));
    this.element = make("fieldset", { className: "numbers" }, make("legend", { textContent: name }), hint,
      make("div", { className: this.isText ? "" : "fields" }, ...labels));
    this.element.addEventListener("input", event => {
      event.target.removeAttribute("aria-invalid");
      onEdit();
    });
  }

  makeField(_, index) {
    const name = `${this.name}.${index}`;
    if (this.input.dtype === "bool") return make("input", { type: "checkbox", name });
    const step = /int/.test(this.input.dtype) ? "1" : "any";
    const lowest = this.input.dtype.startsWith("u") ? "0" : "";
    return make("input", { type: "number", name, step, min: lowest, value: "0", required: true });
  }

  makeText(lengths) {
    const zero = this.input.dtype === "bool" ? "false" : "0";
    const [first, ...others] = lengths;
    const row = others.reduceRight((inner, length) => `[${Array(length).fill(inner).join(", ")}]`, zero);
    const isVector = !others.length;
    const value = Array(Math.max(first, 1)).fill(row).join(isVector ? ", " : ",\n ");
    return make("textarea", { name: this.name, rows: isVector ? 3 : 6, spellcheck: false, required: true,
      value: isVector ? value : `[${value}]` });
  }

  label(field, description) {
    const isVector = this.input.shape.length === 1;
    const text = !this.isText ? description
      : isVector ? "Values, separated by commas" : "Values as JSON, such as [[1, 2], [3, 4]]";
    const caption = make("span", { textContent: text });
    const isBox = field.type === "checkbox";
    return make("label", { className: field.type }, ...(isBox ? [field, caption] : [caption, field]));
  }

  /** Return the numbers to send: one, a list, or lists of lists. */
  read() {
    if (this.isText) return this.readText(this.fields[0]);
    const values = this.fields.map((field, index) => this.readField(field, index));
    return this.input.shape.length ? values : values[0];
  }

  readField(field, index) {
    if (field.type === "checkbox") return field.checked;
    const value = field.valueAsNumber, isWhole = field.step === "1";
    const name = this.fields.length > 1 ? `${this.name} ${index}` : this.name;
    if (Number.isNaN(value)) this.refuse(field, `${name}: enter a number.`);
    if (isWhole && !Number.isSafeInteger(value)) this.refuse(field, `${name}: enter a whole number.`);
    return value;
  }

  readText(field) {
    const text = field.value.trim();
    try {
      return JSON.parse(this.input.shape.length === 1 && !text.startsWith("[") ? `[${text}]` : text);
    } catch {
      const isVector = this.input.shape.length === 1;
      const form = isVector ? "numbers, separated by commas" : "lists of numbers, such as [[1, 2], [3, 4]]";
      return this.refuse(field, `${this.name}: enter ${form}.`);
    }
  }

  refuse(field, message) {
    field.setAttribute("aria-invalid", "true");
    throw new InputError(message, field);
  }
}

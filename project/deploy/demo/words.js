// Descriptions for people: what a model takes and returns, and numbers.

const MOST_NAMES = 40; // characters of the names of all classes, where they are listed

/** Return whether an input is a picture. */
export const isPicture = input => input.kind === "picture";

/** Return a description of an input, such as "a grey picture, scaled to 8 × 8 pixels". */
export function describeInput(input, lengths) {
  if (!isPicture(input)) return describeNumbers(input, lengths);
  const kind = input.channels === 1 ? "a grey picture" : "a colour picture";
  if (input.size) return `${kind}, its central square scaled to ${input.size} × ${input.size} pixels`;
  const [height, width] = lengths.slice(1).map(length => describeLength(length));
  if (height === width) return height ? `${kind}, each side ${height}` : `${kind} of any size`;
  return `${kind}, height ${height || "any"}, width ${width || "any"}`;
}

/** Return the lengths that a dimension may have, such as "at least 5 pixels"; empty if it may have any. */
function describeLength({ minimum, maximum, step }, unit = " pixels") {
  if (minimum === maximum) return `${minimum}${unit}`;
  if (maximum === null && minimum <= 1 && step === 1) return "";
  const span = maximum === null ? `at least ${minimum}` : `${minimum} to ${maximum}`;
  return `${span}${unit}${step === 1 ? "" : ` in steps of ${step}`}`;
}

function describeNumbers({ shape, dtype }, [length]) {
  const noun = dtype === "bool" ? "yes-or-no value" : /int/.test(dtype) ? "whole number" : "number";
  if (!shape.length) return `a ${noun}`;
  if (shape.length === 1 && shape[0] === null) return `${describeLength(length, "") || "any number of"} ${noun}s`;
  const isOne = shape.every(length => length === 1);
  return `${shape.map(length => length ?? "any").join(" × ")} ${noun}${isOne ? "" : "s"}`;
}

/** Return a description of an answer, such as "one of 10 classes"; empty if only its name is known. */
export function describeAnswer(name, model) {
  if (!Object.hasOwn(model.classes, name)) return "";
  const classes = model.classes[name];
  const names = joinWords(classes, "or");
  return names.length <= MOST_NAMES ? names : `one of ${classes.length} classes`;
}

/** Return "a", "a and b" or "a, b and c". */
export function joinWords(words, conjunction = "and") {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} ${conjunction} ${words.at(-1)}`;
}

/** Return a number with at most 5 significant digits, but all digits of a whole one. */
export function formatNumber(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e7 ? String(Number(value.toPrecision(5))) : value.toExponential(3);
}

/** Return a probability as percent; certainty is only what is exactly certain. */
export function formatPercent(probability) {
  const percent = 100 * probability;
  if (percent > 99.9 && percent < 100) return "> 99.9 %";
  return percent > 0 && percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
}

/** Return a time, such as "6.1 ms". */
export const formatTime = milliseconds =>
  milliseconds < 1000 ? `${Number(milliseconds.toPrecision(2))} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

/** Return a size of a file, such as "1.2 MB". */
export function formatBytes(bytes) {
  if (bytes < 1e3) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Return a text as a sentence; names at its beginning, as in "image: its height is 3", stay as they are. */
export function asSentence(text) {
  const trimmed = text.trim();
  const begin = /^[a-z]+ /.test(trimmed) ? trimmed.charAt(0).toUpperCase() : trimmed.charAt(0);
  return begin + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}

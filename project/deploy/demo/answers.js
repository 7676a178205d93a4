// Answers: classes as bars, pictures as a comparison, and numbers.

import { makeComparison } from "./comparison.js";
import { make } from "./dom.js";
import { describeAnswer, formatNumber, formatPercent, joinWords } from "./words.js";

const MOST_ROWS = 10; // of bars and numbers; the others are shown on demand
const LONG_NAME = 16; // characters; longer names leave too little of the line to the bars
const MOST_CHARACTERS = 20000; // of an array that is shown as text

/** Return the elements that show a prediction; `values` are the inputs that it belongs to, by name. */
export function makeAnswers(prediction, model, values) {
  const numbers = make("dl", { className: "values" });
  const parts = [];
  let isFirstPicture = true;
  for (const name of model.answers) {
    const value = prediction.answers[name];
    if (isPictureAnswer(value)) {
      parts.push(makeComparison(name, value, { model, values, isFirst: isFirstPicture }));
      isFirstPicture = false;
    } else if (Object.hasOwn(prediction.class_names, name)) {
      parts.push(makeClass(name, prediction, model));
    } else if (Array.isArray(value)) {
      parts.push(makeArray(name, value, model.classes[name]));
    } else {
      const number = make("dd", { textContent: formatNumber(value) });
      numbers.append(make("div", {}, make("dt", { textContent: name }), number));
    }
  }
  return numbers.children.length ? [...parts, numbers] : parts;
}

/** Return a prediction in one sentence, which screen readers say. */
export function describePrediction(prediction, model) {
  const words = model.answers.map(name => {
    const value = prediction.answers[name], probabilities = prediction.probabilities[name];
    if (isPictureAnswer(value)) return `${name} is a picture`;
    if (Array.isArray(value)) return `${name} has ${value.length} values`;
    if (!Object.hasOwn(prediction.class_names, name)) return `${name} is ${formatNumber(value)}`;
    const share = probabilities ? ` with ${formatPercent(probabilities[value])}` : "";
    return `${name} is ${prediction.class_names[name]}${share}`;
  });
  return `Answer: ${joinWords(words)}.`;
}

const isPictureAnswer = value => typeof value === "string" && value.startsWith("data:image/");

function makeClass(name, prediction, model) {
  const probabilities = prediction.probabilities[name];
  const winner = make("p", { className: "winner" }, make("strong", { textContent: prediction.class_names[name] }));
  const share = probabilities?.[prediction.answers[name]];
  if (share !== undefined) winner.append(make("span", { textContent: formatPercent(share) }));
  const part = make("section", { className: "class" }, make("h3", { textContent: name }), winner);
  if (probabilities) part.append(...makeBars(probabilities, model.classes[name]));
  else part.append(make("p", { className: "hint", textContent: describeAnswer(name, model) }));
  return part;
}

/** Return bars of probabilities, the largest first. */
function makeBars(probabilities, classes) {
  const sorted = probabilities.map((probability, index) => ({ probability, name: classes[index] ?? String(index) }));
  sorted.sort((one, other) => other.probability - one.probability);
  const rows = sorted.map(({ probability, name }) => {
    const fill = make("span", { className: "fill" });
    fill.style.setProperty("--share", probability);
    return make("li", { className: "bar", "data-class": name, "data-probability": probability },
      make("span", { className: "name", textContent: name }),
      make("span", { className: "track", "aria-hidden": "true" }, fill),
      make("span", { className: "percent", textContent: formatPercent(probability) }));
  });
  const isLong = sorted.slice(0, MOST_ROWS).some(({ name }) => name.length > LONG_NAME);
  const list = make("ol", { className: isLong ? "bars long" : "bars", role: "list" }, ...rows);
  return withMore(list, rows, "classes");
}

function makeArray(name, value, classes) {
  const part = make("section", { className: "array" }, make("h3", { textContent: name }));
  if (!value.some(Array.isArray)) {
    const rows = value.map((number, index) => make("tr", {},
      make("th", { scope: "row", textContent: index }),
      make("td", { textContent: classes?.[number] ?? formatNumber(number) })));
    const titles = ["Index", "Value"].map(text => make("th", { scope: "col", textContent: text }));
    const head = make("thead", {}, make("tr", {}, ...titles));
    const table = make("table", {}, head, make("tbody", {}, ...rows));
    part.append(...withMore(table, rows, "values"));
    return part;
  }
  const text = JSON.stringify(value);
  const isCut = text.length > MOST_CHARACTERS;
  const hint = `${describeShape(value)} values${isCut ? "; the first of them:" : ""}`;
  const shown = isCut ? `${text.slice(0, MOST_CHARACTERS)} …` : text;
  part.append(make("p", { className: "hint", textContent: hint }),
    make("pre", { tabIndex: 0, role: "group", "aria-label": `Values of ${name}`, textContent: shown }));
  return part;
}

function describeShape(value) {
  return Array.isArray(value) ? [value.length, describeShape(value[0])].filter(Boolean).join(" × ") : "";
}

/** Return a list whose later rows are hidden, and a button that shows them. */
function withMore(list, rows, noun) {
  if (rows.length <= MOST_ROWS + 1) return [list];
  const later = rows.slice(MOST_ROWS);
  const button = make("button", { type: "button", className: "more", textContent: `Show all ${rows.length} ${noun}` });
  for (const row of later) row.hidden = true;
  button.addEventListener("click", () => {
    for (const row of later) row.hidden = false;
    later[0].tabIndex = -1;
    later[0].focus();
    button.remove();
  });
  return [list, button];
}

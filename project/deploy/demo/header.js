// What the page says of the model: its task in the header, and its origin in the footer.

import { at, make } from "./dom.js";
import { describeAnswer, describeInput } from "./words.js";

/** Say what the model takes and returns. */
export function describeTask(model) {
  document.title = `${model.name} · demo`;
  at("title").textContent = model.name;
  at("takes").replaceChildren(...Object.entries(model.inputs).map(([name, input]) =>
    item(name, describeInput(input, model.shapes[name]))));
  at("returns").replaceChildren(...model.answers.map(name => item(name, describeAnswer(name, model))));
  at("facts").hidden = false;
}

function item(name, description) {
  return make("span", { className: "item" }, make("code", { textContent: name }), description ? ` ${description}` : "");
}

/** Say where the model comes from. */
export function describeOrigin(model) {
  const versions = Object.entries(model.versions).map(([name, version]) => `${name} ${version}`);
  const facts = [
    ["Checksum (SHA-256)", make("code", { textContent: model.sha256 })],
    ["Checkpoint", model.checkpoint.file ?? ""],
    ["Commit", model.git_commit ? make("code", { textContent: model.git_commit.slice(0, 10) }) : ""],
    ["Exported with", versions.join(", ")],
  ];
  for (const [name, value] of facts) {
    if (value) at("origin").append(make("div", {}, make("dt", { textContent: name }), make("dd", {}, value)));
  }
}

// A picture that the net returns, over the one that it was given, with a slider between them.

import { colourClasses } from "./class_map.js";
import { make, showPicture } from "./dom.js";
import { isPicture } from "./words.js";

const TINY = 96; // pixels of a side; smaller pictures are shown with sharp pixels

/**
 * Return a figure of a picture.
 *
 * @param name name of the answer.
 * @param url the picture, `data:image/png;base64,...`.
 * @param model description of the model.
 * @param values the inputs that were sent, by name.
 * @param isFirst whether the parts get the ids `before`, `after` and `compare`.
 */
export function makeComparison(name, url, { model, values, isFirst }) {
  const result = toBlob(url);
  const before = make("img", { className: "before", alt: "Before: the picture that was sent" });
  const after = make("img", { className: "after", alt: `After: ${name}` });
  const slider = make("input", { type: "range", min: 0, max: 100, value: 50, className: "slider",
    "aria-label": `How much of the picture is shown as it was before ${name}` });
  if (isFirst) [before.id, after.id, slider.id] = ["before", "after", "compare"];
  const frame = make("div", { className: "frame" }, before, after, slider, make("span", { className: "divider" }),
    make("span", { className: "tag left", textContent: "Before", "aria-hidden": "true" }),
    make("span", { className: "tag right", textContent: "After", "aria-hidden": "true" }));
  const move = () => {
    frame.style.setProperty("--split", slider.value);
    slider.setAttribute("aria-valuetext", `${slider.value} % before, ${100 - slider.value} % after`);
  };
  slider.addEventListener("input", move);
  move();
  const size = make("span", { className: "hint" });
  const title = make("span", {}, make("strong", { textContent: name }), size);
  const download = make("a", { href: URL.createObjectURL(result), download: `${model.name}-${name}.png`,
    className: "button", textContent: "Download the result" });
  const caption = make("figcaption", {}, title, download);
  after.addEventListener("load", () => {
    const { naturalWidth: width, naturalHeight: height } = after;
    frame.style.setProperty("--width", width);
    frame.style.setProperty("--height", height);
    frame.classList.toggle("pixels", Math.max(width, height) <= TINY);
    size.textContent = ` ${width} × ${height} pixels`;
  });
  showBefore(frame, before, model, values);
  const isWhole = /int|bool/.test(model.dtypes[name]);
  showAfter(after, result, caption, isWhole ? model.classes[name] ?? [] : null);
  return make("figure", {}, frame, caption);
}

/** Show the picture that the net returned; whole numbers, of which `classes` are the names, are shown in colours. */
async function showAfter(after, result, caption, classes) {
  showPicture(after, result);
  const map = classes && await colourClasses(result, classes);
  if (!map || !after.isConnected) return; // another answer is shown by now
  showPicture(after, map.blob);
  caption.append(map.legend);
}

/** Show the picture that was sent in the colours that the net is given, if the browser can read its format. */
function showBefore(frame, before, model, values) {
  const name = Object.keys(model.inputs).find(each => isPicture(model.inputs[each]));
  const hide = () => frame.classList.add("alone");
  before.addEventListener("error", hide);
  if (!name) return hide();
  before.classList.toggle("grey", model.inputs[name].channels === 1);
  showPicture(before, values[name]);
}

function toBlob(url) {
  const [head, content] = url.split(",");
  const bytes = Uint8Array.from(atob(content), character => character.charCodeAt(0));
  return new Blob([bytes], { type: head.slice("data:".length).split(";")[0] });
}

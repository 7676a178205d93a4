// Elements, texts and data. Provides: data, pages, unpack, el, svg, formatNumber, largestUnit, formatSeconds, HUES, color, ramp.

// What `page` was given; filled by main.js before anything is shown.
const data = {};

// Functions that show a page, by its kind; each adds itself.
const pages = {};

// Return what `page` has packed into the element of id `data`.
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (mark) => mark.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Return an element: el("button", {class: "small", onclick: reset}, "reset"). Children are elements, or texts, which
// are never read as markup; null is left out.
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

// Return an element of a drawing.
const svg = (name, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

// Return a number in at most four digits.
function formatNumber(value) {
  if (typeof value !== "number" || !isFinite(value)) return "—";
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-4 && size < 1e5)) return String(+value.toPrecision(4));
  return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
}

// Return the seconds of the largest unit in which a duration is 1 or more.
const largestUnit = (seconds) => (Math.abs(seconds) >= 3600 ? 3600 : Math.abs(seconds) >= 60 ? 60 : 1);

// Return a duration in its largest unit.
function formatSeconds(seconds) {
  const unit = largestUnit(seconds);
  return `${+(seconds / unit).toPrecision(3)} ${{3600: "h", 60: "min", 1: "s"}[unit]}`;
}

// Colours of things without an order, as hues of equal lightness, and of things with one, by a fraction in [0, 1].
const HUES = [258, 45, 150, 325, 95, 210, 15, 290];
const color = (index) => `oklch(var(--lightness) var(--chroma) ${HUES[index % HUES.length]})`;
const ramp = (fraction) => {
  const lightness = `calc(var(--lightness) + ${((fraction - 0.5) * 0.1).toFixed(3)})`;
  return `oklch(${lightness} var(--chroma) ${Math.round(265 + 150 * fraction) % 360})`;
};

// Parallel coordinates: an axis for each setting and one for a score, and a line for each run. Provides: drawParallel.

const PARALLEL = {height: 300, top: 36, bottom: 16, side: 76, perAxis: 112, brushMargin: 6};

// Draw the axes of columns in an element.
//
// columns: [{name, key, values}], as for `parseFilter`.
// runs: [{title, isShown, rank}] with rank from 0 (worst) to 1 (best), null without a score.
// terms: the filter; choose(column, values) is called when an axis is brushed.
function drawParallel(host, columns, runs, terms, choose) {
  const {height, side, perAxis} = PARALLEL, focused = document.activeElement?.dataset?.axis;
  const axes = columns.map((column) => makeAxis(column, terms));
  const width = Math.max(host.clientWidth, perAxis * (axes.length - 1) + 2 * side);
  axes.forEach((axis, index) => {
    axis.x = axes.length > 1 ? side + ((width - 2 * side) * index) / (axes.length - 1) : width / 2;
    axis.isLast = index > 0 && index === axes.length - 1;
  });
  const plot = svg("svg", {width, height, role: "group", "aria-label": "parallel coordinates"});
  plot.append(...drawRuns(axes, runs), ...axes.map(drawAxis));
  plot.querySelectorAll(".hit").forEach((hit, index) => {
    hit.dataset.axis = index;
    listenToBrush(plot, hit, axes[index], choose);
  });
  host.replaceChildren(plot);
  if (focused !== undefined) plot.querySelector(`[data-axis="${focused}"]`)?.focus({preventScroll: true});
}

// Return {column, places, values, y, ticks, chosen}: the value of each run, those of all in order, where each value is,
// and which ones the filter chooses, null for all.
function makeAxis(column, terms) {
  const {height, top, bottom} = PARALLEL, low = height - bottom;
  // A run that lacks a setting, as it is of another sweep, has a place of its own; one without a result has none.
  const places = data.settings.includes(column) ? column.values.map((value) => value ?? "—") : column.values;
  const values = [...new Set(places)].filter((value) => value !== null).sort(compareValues);
  const own = terms.filter((term) => term.column === column);
  const chosen = own.length ? values.filter((value) => own.every((term) => holds(term, value, ""))) : null;
  const numbers = values.filter((value) => typeof value === "number");
  const texts = values.filter((value) => typeof value !== "number");
  // Beside numbers, texts such as null are below them; alone, they share the axis.
  const step = numbers.length ? Math.min(TEXT_HEIGHT, (low - top) / 2 / texts.length)
    : (low - top) / Math.max(1, texts.length - 1);
  const first = numbers[0], last = numbers.at(-1), isLog = isEvenerInLog(numbers);
  const scale = makeScale(first, last, low - (numbers.length ? step * texts.length : 0), top, isLog);
  const textY = (value) => (values.length > 1 ? low - step * texts.indexOf(value) : (low + top) / 2);
  const y = (value) => (typeof value === "number" ? scale(value) : textY(value));
  const hasPlace = numbers.every((value, index) => !index || scale(numbers[index - 1]) - scale(value) >= LINE_HEIGHT);
  const shownNumbers = hasPlace && numbers.length <= 6 ? numbers : makeTicks(first, last, 5, isLog);
  return {column, places, values, chosen, y, ticks: [...shownNumbers, ...(texts.length <= 20 ? texts : [])]};
}

// Return whether sorted numbers, such as 0.001, 0.003, 0.01, are spread more evenly over a logarithmic axis.
function isEvenerInLog(numbers) {
  if (!(numbers[0] > 0)) return false;
  const largestGap = (values) => Math.max(...values.slice(1).map((value, index) => value - values[index]))
    / (values.at(-1) - values[0]);
  return largestGap(numbers.map(Math.log)) < largestGap(numbers) - 1e-9;
}

const TEXT_HEIGHT = 24, LINE_HEIGHT = 14;
const shorten = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function drawAxis(axis) {
  const {column, values, chosen, x, y, isLast} = axis, {height, top, bottom, brushMargin} = PARALLEL;
  const title = svg("title", null, column.key);
  const group = svg("g", null, svg("line", {x1: x, x2: x, y1: top, y2: height - bottom, class: "spine"}),
    svg("text", {x, y: 16, "text-anchor": "middle", class: "name"}, shorten(column.name, 17), title));
  for (const value of axis.ticks) {
    const text = typeof value === "number" ? formatNumber(value) : shorten(value, 12);
    const anchor = isLast ? "start" : "end";
    group.append(svg("text", {x: x + (isLast ? 8 : -8), y: y(value) + 4, "text-anchor": anchor}, text));
  }
  if (chosen?.length) {
    const ends = chosen.map(y), first = Math.min(...ends) - brushMargin, last = Math.max(...ends) + brushMargin;
    group.append(svg("rect", {class: "brush", x: x - 7, width: 14, y: first, height: last - first, rx: 4}));
  }
  const now = chosen?.length === 1 ? values.indexOf(chosen[0]) + 1 : 0;
  group.append(svg("rect", {class: "hit", x: x - 15, width: 30, y: top - 8, height: height - top - bottom + 16, rx: 4,
    tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-label": column.name,
    "aria-valuemin": 0, "aria-valuemax": values.length, "aria-valuenow": now,
    "aria-valuetext": now ? String(chosen[0]) : `${chosen ? `${chosen.length} of ${values.length}` : "all"} values`}));
  return group;
}

// Return the lines of runs, those on top last: shown ones, and the best of them. Each breaks where it has no value.
function drawRuns(axes, runs) {
  const height = (index) => runs[index].isShown * 2 + (runs[index].rank ?? -1);
  return [...runs.keys()].sort((one, other) => height(one) - height(other)).map((index) => {
    const {title, isShown, rank} = runs[index];
    let path = "", previous = null;
    for (const axis of axes) {
      const value = axis.places[index], x = axis.x, y = value === null ? null : +axis.y(value).toFixed(1);
      const middle = previous && (previous.x + x) / 2;
      if (y !== null) path += previous ? `C${middle} ${previous.y} ${middle} ${y} ${x} ${y}` : `M${x} ${y}`;
      previous = y === null ? null : {x, y};
    }
    return svg("path", {d: path, fill: "none", "stroke-width": isShown ? 1.8 : 1,
      stroke: !isShown ? "var(--line)" : rank === null ? "var(--dim)" : ramp(rank),
      "stroke-dasharray": rank === null ? "3 3" : null,
      opacity: isShown ? (runs.length > 60 ? 0.65 : 0.9) : 0.5}, svg("title", null, title));
  });
}

// Dragging chooses the values between its ends, the arrow keys the next value, a click or Escape all values.
function listenToBrush(plot, hit, axis, choose) {
  let start = null, brush = null;
  const span = (event) => {
    const at = event.clientY - plot.getBoundingClientRect().top;
    return [Math.min(start, at), Math.max(start, at)];
  };
  const end = () => { brush?.remove(); start = brush = null; };
  hit.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = event.clientY - plot.getBoundingClientRect().top;
    brush = svg("rect", {class: "brush", x: axis.x - 7, width: 14, rx: 4});
    hit.before(brush);
    hit.setPointerCapture(event.pointerId);
  });
  hit.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [low, high] = span(event);
    brush.setAttribute("y", low);
    brush.setAttribute("height", high - low);
  });
  hit.addEventListener("pointercancel", end);
  hit.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const [low, high] = span(event);
    end();
    const isClick = high - low < 4;
    choose(axis.column, axis.values.filter((value) => !isClick && axis.y(value) >= low && axis.y(value) <= high));
  });
  hit.addEventListener("keydown", (event) => {
    const step = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, Escape: 0}[event.key];
    if (step === undefined || !axis.values.length) return;
    event.preventDefault();
    const next = +hit.getAttribute("aria-valuenow") + step;
    choose(axis.column, step ? [axis.values[Math.min(axis.values.length, Math.max(1, next)) - 1]] : []);
  });
}

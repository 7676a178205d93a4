// Mouse, touch and keys on charts, and the box that shows values. Provides for chart.js: listen.

const MAX_READINGS = 12;
const box = document.body.appendChild(el("div", {class: "readings", role: "status", hidden: true}));

function listen(chart) {
  const {plot} = chart;
  // The drawing is scaled when it is printed or resized, so places are in its own units.
  const at = (event) => {
    const area = plot.getBoundingClientRect();
    const x = (event.clientX - area.left) * chart.width / area.width;
    return {x, y: (event.clientY - area.top) * chart.height / area.height};
  };
  const readAt = (event) => {
    const {x, y} = at(event);
    read(chart, chart.x.inverse(x), y, {left: event.clientX, top: event.clientY});
  };
  let start = null;
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !chart.x) return;
    if (event.pointerType === "touch") return readAt(event); // a finger that moves scrolls the page
    start = at(event).x;
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", (event) => {
    if (!chart.x) return;
    const {x} = at(event);
    if (start === null) {
      readAt(event);
    } else {
      chart.brush.setAttribute("x", Math.min(x, start));
      chart.brush.setAttribute("width", Math.abs(x - start));
    }
  });
  plot.addEventListener("pointerup", (event) => {
    const end = at(event).x, first = start;
    start = null;
    chart.brush?.setAttribute("width", 0);
    if (first === null || Math.abs(end - first) < 8) return;
    clear();
    setZoom([first, end].sort((one, other) => one - other).map(chart.x.inverse));
  });
  plot.addEventListener("pointercancel", () => { start = null; chart.brush?.setAttribute("width", 0); clear(); });
  // The values of a tap stay until the page is scrolled.
  plot.addEventListener("pointerleave", (event) => { if (start === null && event.pointerType !== "touch") clear(); });
  plot.addEventListener("dblclick", () => setZoom(null));
  plot.addEventListener("blur", clear);
  plot.addEventListener("keydown", (event) => pressKey(chart, event));
}

// Arrow keys go from point to point of the longest line, + and - zoom around the point.
function pressKey(chart, event) {
  if (!chart.x) return;
  const xs = chart.series.reduce((one, other) => (other.x.length > one.x.length ? other : one)).x;
  const index = nearestIndex(xs, chart.position ?? xs.at(-1));
  const next = {ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: xs.length - 1}[event.key];
  if (next !== undefined) {
    chart.position = xs[Math.max(0, Math.min(xs.length - 1, next))];
    const area = chart.plot.getBoundingClientRect();
    const left = area.left + chart.x(chart.position) * area.width / chart.width;
    read(chart, chart.position, chart.height / 2, {left, top: area.top + area.height / 2});
  } else if (event.key === "+" || event.key === "-") {
    const middle = xs[index], factor = event.key === "+" ? 0.25 : 1;
    const half = (chart.x.inverse(chart.width - MARGIN.right) - chart.x.inverse(MARGIN.left)) * factor;
    setZoom([middle - half, middle + half]);
  } else if (event.key === "Escape") {
    clear();
    setZoom(null);
  } else {
    return;
  }
  event.preventDefault();
}

// Show the values of all lines nearest to an x, and a line at it in all charts.
function read(chart, x, y, where) {
  const found = chart.series.map((line) => ({line, index: nearestIndex(line.x, x)}))
    .filter(({line, index}) => isDrawable(line.y[index]))
    .map(({line, index}) => ({line, index, x: line.x[index], y: line.y[index]}));
  if (!found.length) return clear();
  const first = found.reduce((one, other) => (Math.abs(one.x - x) <= Math.abs(other.x - x) ? one : other));
  for (const other of charts) if (other.x && other.isSeen && !other.isStale) point(other, first.x);
  const distance = (reading) => Math.abs(chart.y(reading.y) - y);
  const shown = [...found].sort((one, other) => distance(one) - distance(other)).slice(0, MAX_READINGS)
    .sort((one, other) => other.y - one.y);
  const title = view.axis === "time" ? formatSeconds(first.x) : `step ${first.x}`;
  box.replaceChildren(
    el("div", {class: "title"}, found.length > shown.length ? `${title}, ${shown.length} of ${found.length}` : title),
    ...shown.map((reading) => describe(reading, first.x)));
  box.hidden = false;
  const width = box.offsetWidth, height = box.offsetHeight;
  const left = where.left + 16 + width > innerWidth ? where.left - width - 16 : where.left + 16;
  box.style.left = `${Math.max(4, left)}px`;
  box.style.top = `${Math.min(innerHeight - height - 4, Math.max(4, where.top - height / 2))}px`;
}

function describe({line, index, x, y}, shownX) {
  const spread = line.spread ? ` ± ${formatNumber(+line.spread[index].toPrecision(2))}` : "";
  // A line with fewer points says where its own nearest one is.
  const where = x === shownX ? null : el("small", null, `at ${formatX(x)}`);
  const value = el("b", null, formatNumber(y) + spread);
  return el("div", null, makeDot(line.color), el("span", null, line.name), where, value);
}

function point(chart, x) {
  const place = chart.x(x);
  chart.cursor.setAttribute("x1", place);
  chart.cursor.setAttribute("x2", place);
  const isVisible = place >= MARGIN.left && place <= chart.width - MARGIN.right;
  chart.cursor.setAttribute("visibility", isVisible ? "visible" : "hidden");
  const lines = chart.series.length > MAX_READINGS ? [] : chart.series;
  chart.dots.replaceChildren(...lines.map((line) => ({line, index: nearestIndex(line.x, x)}))
    .filter(({line, index}) => isDrawable(line.y[index]))
    .map(({line, index}) => [line.color, chart.x(line.x[index]), chart.y(line.y[index])])
    .map(([fill, cx, cy]) => svg("circle", {cx, cy, r: 3.4, fill})));
}

function clear() {
  box.hidden = true;
  for (const chart of charts) {
    chart.cursor?.setAttribute("visibility", "hidden");
    chart.dots?.replaceChildren();
  }
}

addEventListener("scroll", () => { box.hidden = true; }, {passive: true});
addEventListener("beforeprint", () => charts.forEach((chart) => { if (chart.isStale) chart.draw(); }));

// What a chart consists of. Provides: MARGIN, isDrawable, findLimits, drawKey, makeDot, drawChart.

const MARGIN = {left: 48, right: 10, top: 8, bottom: 24};
const MAX_DOTS = 12; // lines of more points have no dots

// Return whether a value has a place on the y axis.
const isDrawable = (value) => typeof value === "number" && isFinite(value) && (!view.isLog || value > 0);

// Return {x0, x1, y0, y1, isLog} of what is visible of the lines; null if they have no value.
function findLimits(series) {
  const isZoomed = (x) => x >= view.zoom[0] && x <= view.zoom[1];
  const zoom = view.zoom && series.some((line) => line.x.some(isZoomed)) ? view.zoom : null;
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
  for (const line of series) {
    line.x.forEach((x, index) => {
      if (zoom && (x < zoom[0] || x > zoom[1])) return;
      for (const values of [line.y, line.raw, line.low, line.high]) {
        if (!values) continue;
        const value = values[index];
        if (!isDrawable(value)) continue;
        x0 = Math.min(x0, x); x1 = Math.max(x1, x);
        y0 = Math.min(y0, value); y1 = Math.max(y1, value);
      }
    });
  }
  if (!(y1 >= y0)) return null;
  if (zoom) [x0, x1] = zoom;
  const isLog = view.isLog;
  if (y0 === y1) {
    const margin = Math.abs(y0) * 0.1 || 1;
    y0 = isLog ? y0 / 1.1 : y0 - margin;
    y1 = isLog ? y1 * 1.1 : y1 + margin;
  } else if (isLog) {
    const factor = (y1 / y0) ** 0.04;
    y0 /= factor; y1 *= factor;
  } else {
    const margin = (y1 - y0) * 0.04;
    y0 -= margin; y1 += margin;
  }
  return {x0, x1, y0, y1, isLog};
}

function drawKey(chart) {
  if (!chart.showsKey) return;
  chart.key.replaceChildren(...chart.series.map((line) => {
    const last = (line.raw ?? line.y).findLast((value) => value !== null);
    const name = `${line.label ?? line.name} `;
    return el("span", null, makeDot(line.color), name, el("b", null, formatNumber(last)));
  }));
}

const makeDot = (color) => svg("svg", {class: "dot", viewBox: "0 0 10 10", "aria-hidden": "true"},
  svg("rect", {width: 10, height: 10, rx: 3, fill: color}));

function drawChart(chart, {x0, x1, y0, y1, isLog}) {
  const {left, right, top, bottom} = MARGIN, {plot, width, height} = chart;
  chart.x = makeScale(x0, x1, left, width - right);
  chart.y = makeScale(y0, y1, height - bottom, top, isLog);
  for (const value of makeTicks(y0, y1, height / 45, isLog)) {
    const y = chart.y(value);
    plot.append(svg("line", {class: "grid", x1: left, x2: width - right, y1: y, y2: y}),
      svg("text", {x: left - 7, y: y + 4, "text-anchor": "end"}, formatNumber(value)));
  }
  const unit = view.axis === "time" ? largestUnit(x1) : 1;
  for (const number of makeTicks(x0 / unit, x1 / unit, Math.max(2, width / 90))) {
    const value = number * unit;
    plot.append(svg("text", {x: chart.x(value), y: height - 6, "text-anchor": "middle"}, formatX(value)));
  }
  const floor = height - bottom;
  plot.append(svg("line", {class: "axis", x1: left, x2: width - right, y1: floor, y2: floor}));
  const id = `clip-${charts.indexOf(chart)}`, inner = svg("g", {"clip-path": `url(#${id})`});
  plot.append(svg("clipPath", {id}, svg("rect", {x: left - 4, y: top - 4, width: width - left - right + 8,
    height: height - top - bottom + 8})), inner);
  const mark = chart.mark?.() ?? null;
  if (mark !== null && mark >= x0 && mark <= x1) {
    inner.append(svg("line", {class: "mark", x1: chart.x(mark), x2: chart.x(mark), y1: top, y2: height - bottom}));
  }
  for (const line of chart.series) if (line.low) drawBand(chart, inner, line);
  for (const line of chart.series) drawLine(chart, inner, line);
  chart.cursor = svg("line", {class: "cursor", y1: top, y2: height - bottom, visibility: "hidden"});
  chart.dots = svg("g");
  chart.brush = svg("rect", {class: "brush", y: top, height: height - top - bottom, width: 0});
  plot.append(chart.brush, chart.cursor, chart.dots);
}

const place = (chart, x, y) => `${chart.x(x).toFixed(1)} ${chart.y(y).toFixed(1)}`;

function drawBand(chart, inner, line) {
  const kept = [...line.x.keys()].filter((index) => isDrawable(line.low[index]) && isDrawable(line.high[index]));
  if (kept.length < 2) return;
  const above = kept.map((index) => place(chart, line.x[index], line.high[index]));
  const below = kept.reverse().map((index) => place(chart, line.x[index], line.low[index]));
  inner.append(svg("path", {d: `M${[...above, ...below].join("L")}Z`, fill: line.color, opacity: 0.18}));
}

function drawLine(chart, inner, line) {
  const common = {fill: "none", stroke: line.color, "stroke-linejoin": "round", "stroke-linecap": "round"};
  if (line.raw) inner.append(svg("path", {...common, d: makePath(chart, line.x, line.raw), opacity: 0.28}));
  inner.append(svg("path", {...common, d: makePath(chart, line.x, line.y), "stroke-width": line.isThin ? 1.1 : 1.9,
    opacity: !line.isThin ? 1 : chart.series.length > 60 ? 0.35 : 0.6}));
  if (line.x.length <= MAX_DOTS && !line.isThin) {
    inner.append(svg("path", {...common, d: makeDots(chart, line.x, line.y), "stroke-width": 5.5}));
  }
}

const makeDots = (chart, xs, ys) => xs.map((x, index) => (isDrawable(ys[index])
  ? `M${place(chart, x, ys[index])}h.01` : "")).join("");

// Return the line through values; it is interrupted where one is missing, and a value between two of these is a dot.
function makePath(chart, xs, ys) {
  let path = "", isDown = false;
  xs.forEach((x, index) => {
    const isHere = isDrawable(ys[index]);
    if (isHere) {
      path += `${isDown ? "L" : "M"}${place(chart, x, ys[index])}`;
      if (!isDown && !isDrawable(ys[index + 1])) path += "h.01";
    }
    isDown = isHere;
  });
  return path;
}

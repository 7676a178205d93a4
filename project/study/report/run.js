// The page of a run.

// Colours of the curves of a split.
const SPLITS = {train: 1, val: 0, eval: 2, test: 2, validate: 0};

// Return the split of a curve, such as val of val/set5/psnr; empty for one of no split, such as lr-AdamW.
const splitOf = (name) => (name.includes("/") && Object.hasOwn(SPLITS, name.split("/")[0]) ? name.split("/")[0] : "");

// Return the curves by the title of their chart: those of one metric, of all splits, are in one.
function groupCurves() {
  const groups = new Map();
  for (const name of Object.keys(data.curves)) {
    const title = splitOf(name) ? name.split("/").at(-1) : name;
    groups.set(title, [...(groups.get(title) ?? []), name]);
  }
  const isOfSplit = (names) => names.some((name) => splitOf(name));
  return [...groups].sort((one, other) => isOfSplit(other[1]) - isOfSplit(one[1]));
}

function makeLine(name, colorIndex) {
  const curve = data.curves[name];
  // The title of the chart has the metric already.
  const label = splitOf(name) ? name.split("/").slice(0, -1).join("/") : "last";
  return {name, label, x: data.axes[curve[view.axis]], y: smooth(curve.y, view.smoothing), raw: view.smoothing ? curve.y : null,
    color: color(colorIndex)};
}

pages.run = function showRun() {
  showPictures();
  const host = document.getElementById("charts");
  if (host) {
    makeRunCharts(host);
    const chooseAxis = (axis) => {
      view.axis = axis;
      setZoom(null);
    };
    document.getElementById("controls").append(...(charts.length > 3 ? [makeFilter()] : []), makeSmoothing(), makeLog(),
      makeChoice("x axis", ["step", "time"], "step", chooseAxis));
  }
  follow(() => {}, () => {
    if (!host && Object.keys(data.curves).length) location.reload(); // the first values: there was nothing to keep
    showPictures();
    if (host) makeRunCharts(host);
  });
};

// Make a chart for each title that has none yet.
function makeRunCharts(host) {
  for (const [title, names] of groupCurves()) {
    if (charts.some((chart) => chart.title === title)) continue;
    const chart = new Chart(host, title, () => makeLines(title));
    chart.mark = () => (view.axis === "step" ? data.mark : null);
    chart.showsKey = names.length <= 6;
  }
}

function makeLines(title) {
  const names = groupCurves().find(([other]) => other === title)?.[1] ?? [], used = new Set();
  return names.map((name) => {
    // Further datasets of a split get further colours.
    let index = SPLITS[splitOf(name)] ?? 4;
    while (used.has(index % HUES.length) && used.size < HUES.length) index++;
    used.add(index % HUES.length);
    return makeLine(name, index);
  });
}

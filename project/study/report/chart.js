// A chart of lines and bands over one axis that all charts share.
// Provides: view, charts, redraw, setZoom, formatX, Chart.

// What all charts show: the weight of smoothing, a logarithmic y axis, the x axis (step or time), and the x values
// [from, to] at which they are enlarged.
const view = {smoothing: 0, isLog: false, axis: "step", zoom: null};
const charts = [];

const redraw = () => charts.forEach((chart) => chart.invalidate());

// Draw what is out of sight a little later, one chart at a time: a picture of the whole page shows all.
let drawTimer = null;

function drawLater() {
  clearTimeout(drawTimer);
  drawTimer = setTimeout(() => {
    const chart = charts.find((each) => each.isStale && !each.box.hidden);
    if (!chart) return;
    chart.draw();
    drawLater();
  }, 50);
}

function setZoom(zoom) {
  view.zoom = zoom;
  redraw();
}

const formatX = (value) => (view.axis === "time" ? formatSeconds(value) : formatNumber(value));

// A chart in the element `host`.
//
// makeSeries: returns the lines whenever the chart is drawn, so it may read `data` and `view`. A line is
//   {name, x, y, color} with arrays x (ascending) and y (null where a value is missing), and optionally
//   raw: y before smoothing, drawn faintly; low, high: arrays, drawn as a band; spread: array, shown as ± y;
//   isThin: a fine line, for many of them; label: a short name below the title.
// Set after construction if wanted: `mark`, a function that returns the x of a dashed line, or null;
//   `showsKey`: a line below the title with the names, colours and last values.
class Chart {
  constructor(host, title, makeSeries) {
    Object.assign(this, {title, makeSeries, mark: null, showsKey: false, series: [], isStale: true, isSeen: false});
    this.plot = svg("svg", {class: "plot", role: "application", tabindex: 0, "aria-roledescription": "chart",
      "aria-label": `${title}; arrow keys read the values, + and - zoom, Escape zooms out`});
    this.key = el("div", {class: "key"});
    this.button = el("button", {class: "enlarge", type: "button", title: "enlarge", "aria-label": `enlarge ${title}`,
      "aria-pressed": "false", onclick: () => this.enlarge()}, "⤢");
    this.box = el("div", {class: "chart"}, el("h3", null, title), this.button, this.key, this.plot);
    host.append(this.box);
    charts.push(this);
    listen(this);
    // Charts near the screen are drawn first: a hundred of them take no time at the start.
    drawLater();
    new IntersectionObserver((entries) => {
      this.isSeen = entries.some((entry) => entry.isIntersecting);
      if (this.isSeen && this.isStale) this.draw();
    }, {rootMargin: "600px"}).observe(this.box);
    new ResizeObserver(() => { if (this.width !== this.plot.clientWidth) this.invalidate(); }).observe(this.plot);
  }

  // Draw again, at once if it is seen.
  invalidate() {
    this.isStale = true;
    if (this.isSeen) this.draw();
    else drawLater();
  }

  enlarge() {
    const isLarge = this.box.classList.toggle("large");
    this.button.setAttribute("aria-pressed", isLarge);
    this.draw();
  }

  draw() {
    this.isStale = false;
    this.series = this.makeSeries();
    this.width = this.plot.clientWidth || 380;
    this.height = this.box.classList.contains("large") ? 420 : 220;
    this.plot.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.plot.replaceChildren();
    this.x = this.y = null;
    drawKey(this);
    const limits = findLimits(this.series);
    if (!limits) {
      const middle = {x: this.width / 2, y: this.height / 2, "text-anchor": "middle"};
      this.plot.append(svg("text", middle, "no value to draw"));
      return;
    }
    drawChart(this, limits);
  }
}

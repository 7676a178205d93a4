// Controls above the charts. Provides: makeSmoothing, makeLog, makeChoice, makeFilter.

// Return a slider of the weight of smoothing of all charts.
function makeSmoothing() {
  const shown = el("output", null, "0");
  const change = (event) => {
    view.smoothing = +event.target.value;
    shown.textContent = event.target.value;
    redraw();
  };
  const slider = el("input", {type: "range", min: 0, max: 0.99, step: 0.01, value: 0, oninput: change});
  return el("label", null, "smoothing", slider, shown);
}

// Return a switch of the y axes of all charts.
function makeLog() {
  const change = (event) => {
    view.isLog = event.target.checked;
    redraw();
  };
  return el("label", null, el("input", {type: "checkbox", onchange: change}), "log y");
}

// Return a menu; `choose` is called with the option that was chosen.
function makeChoice(name, options, chosen, choose) {
  const items = options.map((option) => el("option", {value: option, selected: option === chosen}, option));
  return el("label", null, name, el("select", {onchange: (event) => choose(event.target.value)}, ...items));
}

// Return a field for words; charts whose title has not all of them are hidden.
function makeFilter() {
  const change = (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const chart of charts) chart.box.hidden = !words.every((word) => chart.title.toLowerCase().includes(word));
  };
  const label = "filter charts by name";
  return el("input", {type: "search", placeholder: "filter by name", "aria-label": label, oninput: change});
}

// The page of many runs: which runs are shown, and what follows from it. Provides: showRoot.

// What the user has chosen; it stays when the data changes.
const choices = {filter: "", by: "settings", style: STYLES[0], metric: "all", target: null, unfinished: false, hidden: new Set()};
const MAX_AXES = 10, MAX_LEGEND = 40;
let terms = [], shown = [], groups = [];

function showRoot() {
  choices.target = data.target;
  choices.by = (data.groups.length > MAX_COLORS && data.important[0]) || "settings";
  choices.unfinished = !data.runs.some((run) => isCounted(run));
  for (const id of ["groups", "runs"]) {
    const table = document.getElementById(id);
    if (table) makeSortable(table);
  }
  makeFilterBar();
  makeCurveControls();
  makeParallelControls();
  makeCharts();
  refresh();
  let sorted = {};
  follow(() => {
    for (const id of ["groups", "runs"]) sorted[id] = sortedBy(document.getElementById(id));
  }, () => {
    for (const id of ["groups", "runs"]) sortAgain(document.getElementById(id), sorted[id]);
    makeCharts();
    refresh();
  });
}

// Runs of an earlier version do not say that they have finished.
const isCounted = (run) => run.state === "finished" || run.state === "unknown";
const columns = () => [...data.settings, ...data.metrics, {name: "state", key: "state", values: data.runs.map((run) => run.state)}];

// Show the runs that the filter lets through.
function refresh() {
  const rows = [...document.querySelectorAll("#runs tbody tr")];
  const texts = [];
  for (const row of rows) texts[+row.cells[0].dataset.run] = row.textContent.toLowerCase();
  terms = parseFilter(choices.filter, columns());
  shown = data.runs.map((_, run) => terms.every((term) => holds(term, term.column?.values[run], texts[run] ?? "")));
  for (const row of rows) row.hidden = !shown[+row.cells[0].dataset.run];
  const count = shown.filter(Boolean).length;
  document.getElementById("count").textContent = terms.length ? `${count} of ${data.runs.length} runs` : `all ${data.runs.length} runs`;
  document.getElementById("clear").hidden = !terms.length;
  groups = makeGroups(choices.by);
  showLegend();
  showParallel();
  redraw();
}

function setFilter(text) {
  choices.filter = text;
  document.getElementById("words").value = text;
  refresh();
}

function makeFilterBar() {
  const example = [...data.settings].reverse().find((each) => typeof each.values[0] === "number" && !data.repetitions.includes(each.name));
  const words = el("input", {type: "search", id: "words", "aria-label": "filter runs", placeholder:
    `filter runs: a text${example ? `, or ${example.name}>=${formatNumber(example.values[0])}` : ""}`,
    title: "Words that must all hold: a text, or a comparison with = != < > <= >=, such as seed=0|1 or state=finished",
    oninput: (event) => { choices.filter = event.target.value; refresh(); }});
  document.getElementById("filter").append(words, el("output", {id: "count"}),
    el("button", {class: "small", id: "clear", type: "button", onclick: () => { setFilter(""); words.focus(); }}, "show all"));
}

function makeCurveControls() {
  const host = document.getElementById("controls");
  if (!host) return;
  const names = Object.keys(data.curves), hasUnfinished = data.runs.some((run) => !isCounted(run));
  const set = (name) => (value) => { choices[name] = value; if (name === "by") choices.hidden.clear(); refresh(); };
  const showMetric = (name) => {
    choices.metric = name;
    for (const chart of charts) {
      chart.box.hidden = name !== "all" && chart.title !== name;
      if ((chart.title === name) !== chart.box.classList.contains("large")) chart.enlarge();
    }
  };
  host.append(
    ...(names.length > 1 ? [makeChoice("metric", ["all", ...names.sort(compareCurves)], "all", showMetric)] : []),
    makeChoice("colour by", ["settings", ...data.settings.map((each) => each.name), "run"], choices.by, set("by")),
    makeChoice("show", STYLES, choices.style, set("style")), makeSmoothing(), makeLog(),
    ...(hasUnfinished ? [el("label", null, el("input", {type: "checkbox", checked: choices.unfinished,
      onchange: (event) => set("unfinished")(event.target.checked)}), "unfinished runs")] : []));
}

// Validation comes first.
const compareCurves = (one, other) => curveRank(one) - curveRank(other) || one.localeCompare(other, undefined, {numeric: true});
const curveRank = (name) => ["val", "eval", "test", "train"].indexOf(name.split("/")[0]) >>> 0;

// Make a chart for each curve that has none yet.
function makeCharts() {
  const host = document.getElementById("charts");
  if (!host) return;
  for (const name of Object.keys(data.curves).sort(compareCurves)) {
    if (charts.some((chart) => chart.title === name)) continue;
    new Chart(host, name, () => (data.curves[name] ? makeGroupLines(name, visibleGroups(), isDrawn, choices.style) : []));
  }
}

const isDrawn = (run) => shown[run] && (choices.unfinished || isCounted(data.runs[run]));
const visibleGroups = () => groups.filter((group) => !choices.hidden.has(group.id));

function showLegend() {
  const host = document.getElementById("legend");
  markGroups();
  if (!host) return;
  const focused = host.contains(document.activeElement) ? document.activeElement.textContent : null;
  const toggle = (id) => {
    if (!choices.hidden.delete(id)) choices.hidden.add(id);
    showLegend();
    redraw();
  };
  const buttons = groups.slice(0, MAX_LEGEND).map((group) => el("button", {type: "button",
    "aria-pressed": String(!choices.hidden.has(group.id)), onclick: () => toggle(group.id)}, makeDot(group.color), group.name));
  host.replaceChildren(...buttons, groups.length > MAX_LEGEND ? `and ${groups.length - MAX_LEGEND} more` : "");
  buttons.find((button) => button.textContent === focused)?.focus();
}

// Mark the lines of the tables by the colours of the curves.
function markGroups() {
  const colors = new Map(groups.flatMap((group) => group.members.map((run) => [run, group.color])));
  const mark = (cell, run) => {
    cell.querySelector(".dot")?.remove();
    if (colors.has(run)) cell.prepend(makeDot(colors.get(run)));
  };
  for (const cell of document.querySelectorAll("#runs [data-run]")) mark(cell, +cell.dataset.run);
  // A group has a colour only if all of its runs have the same.
  for (const cell of document.querySelectorAll("#groups [data-group]")) {
    const members = [...data.runs.keys()].filter((run) => data.runs[run].group === +cell.dataset.group);
    mark(cell, new Set(members.map((run) => colors.get(run))).size === 1 ? members[0] : null);
  }
}

function makeParallelControls() {
  const host = document.getElementById("parallel-controls");
  if (!host) return;
  if (data.metrics.length > 1) {
    host.append(makeChoice("result", data.metrics.map((each) => each.name), choices.target, (name) => { choices.target = name; showParallel(); }));
  }
  host.append(el("span", {id: "parallel-legend"}));
  const box = document.getElementById("parallel");
  let width = 0;
  new ResizeObserver(() => { if (width !== (width = box.clientWidth)) showParallel(); }).observe(box);
  addEventListener("beforeprint", showParallel);
}

function showParallel() {
  const host = document.getElementById("parallel");
  if (!host) return;
  const target = data.metrics.find((each) => each.name === choices.target), scores = target?.values ?? [];
  const order = (setting) => (data.important.indexOf(setting.name) + 1 || Infinity);
  const settings = data.settings.filter((each) => !data.repetitions.includes(each.name)).sort((one, other) => order(one) - order(other) || 0);
  const axes = [...(settings.length ? settings : data.settings).slice(0, MAX_AXES), ...(target ? [target] : [])];
  const sorted = scores.filter((value) => value !== null).sort((one, other) => one - other), isLower = data.modes[choices.target] === "min";
  const runs = data.runs.map((run, index) => {
    const score = scores[index] ?? null, rank = score === null ? null : sorted.length > 1 ? sorted.indexOf(score) / (sorted.length - 1) : 0.5;
    return {title: `${run.name}: ${score === null ? run.state : formatNumber(score)}`, isShown: shown[index], rank: rank === null || !isLower ? rank : 1 - rank};
  });
  drawParallel(host, axes, runs, terms, (column, chosen) => setFilter(restrict(choices.filter, columns(), column, chosen)));
  const left = settings.length - MAX_AXES;
  const ends = data.modes[choices.target] ? ["worst", "best"] : ["lowest", "highest"];
  document.getElementById("parallel-legend").replaceChildren(...(target ? [ends[0], " ", el("span", {class: "ramp"}), " ", ends[1]] : []),
    left > 0 ? `; ${left} more settings are in the table` : "");
}

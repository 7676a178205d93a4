// The page of many runs: which runs are shown, and what follows from it.

// What the user has chosen; it stays when the data changes.
const choices = {filter: "", by: "settings", style: STYLES[0], metric: "all", target: null, unfinished: false,
  hidden: new Set()};
const TABLES = ["groups", "runs"];
const MAX_AXES = 10, MAX_LEGEND = 40;
let terms = [], shown = [], groups = [];
const known = {};

pages.root = function showRoot() {
  choices.target = data.target;
  choices.by = (data.groups.length > MAX_COLORS && data.important[0]) || "settings";
  choices.unfinished = !data.runs.some((run) => isCounted(run));
  makeSortable();
  makeFilterBar();
  document.getElementById("controls").append(el("span", {class: "menus", id: "menus"}), makeSmoothing(), makeLog());
  showData();
  followParallel();
  let sorted = [];
  follow(() => { sorted = TABLES.map((id) => sortedBy(document.getElementById(id))); }, () => {
    TABLES.forEach((id, index) => sortAgain(document.getElementById(id), sorted[index]));
    showData();
  });
};

// Show `data`, for the first time or again.
function showData() {
  document.getElementById("curves").hidden = !Object.keys(data.curves).length;
  document.getElementById("settings").hidden = !data.settings.length || data.runs.length < 2;
  makeMenus();
  makeParallelMenu();
  makeCharts();
  refresh();
}

// Runs of an earlier version do not say that they have finished.
const isCounted = (run) => run.state === "finished" || run.state === "unknown";
const columns = () => [...data.settings, ...data.metrics,
  {name: "state", key: "state", values: data.runs.map((run) => run.state)}];

// Show the runs that the filter lets through.
function refresh() {
  const rows = [...document.querySelectorAll("#runs tbody tr")];
  const texts = [];
  for (const row of rows) texts[+row.cells[0].dataset.run] = row.textContent.toLowerCase();
  terms = parseFilter(choices.filter, columns());
  shown = data.runs.map((_, run) => terms.every((term) => holds(term, term.column?.values[run], texts[run] ?? "")));
  for (const row of rows) row.hidden = !shown[+row.cells[0].dataset.run];
  const count = shown.filter(Boolean).length;
  const all = data.runs.length === 1 ? "1 run" : `all ${data.runs.length} runs`;
  document.getElementById("count").textContent = terms.length ? `${count} of ${data.runs.length} runs` : all;
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
  const numbers = data.settings.filter((each) => typeof each.values[0] === "number");
  const example = numbers.find((each) => each.name === data.important[0]) ?? numbers.at(-1);
  const words = el("input", {type: "search", id: "words", "aria-label": "filter runs", placeholder:
    `filter runs: a text${example ? `, or ${example.name}>=${formatNumber(example.values[0])}` : ""}`,
    title: "Words that must all hold: a text, or a comparison with = != < > <= >=, such as seed=0|1 or state=finished",
    oninput: (event) => { choices.filter = event.target.value; refresh(); }});
  const clear = () => {
    setFilter("");
    words.focus();
  };
  document.getElementById("filter").append(words, el("output", {id: "count"}),
    el("button", {class: "small", id: "clear", type: "button", onclick: clear}, "show all"));
}

// Make the menus above the curves, unless they have the same options already: one of them may be open.
function makeMenus() {
  const names = Object.keys(data.curves).sort(compareCurves), settings = data.settings.map((each) => each.name);
  const hasUnfinished = data.runs.some((run) => !isCounted(run));
  if (!isNew("menus", [names, settings, hasUnfinished])) return;
  const set = (name) => (value) => {
    choices[name] = value;
    if (name === "by") choices.hidden.clear();
    refresh();
  };
  document.getElementById("menus").replaceChildren(
    ...(names.length > 1 ? [makeChoice("metric", ["all", ...names], choices.metric, chooseMetric)] : []),
    makeChoice("colour by", ["settings", ...settings, "run"], choices.by, set("by")),
    makeChoice("show", STYLES, choices.style, set("style")),
    ...(hasUnfinished ? [el("label", null, el("input", {type: "checkbox", checked: choices.unfinished,
      onchange: (event) => set("unfinished")(event.target.checked)}), "unfinished runs")] : []));
}

// Return whether the options of a menu differ from those at the last call.
function isNew(menu, options) {
  const text = JSON.stringify(options), isOther = known[menu] !== text;
  known[menu] = text;
  return isOther;
}

// Show the chart of one curve, large, or all.
function chooseMetric(name) {
  choices.metric = name;
  for (const chart of charts) {
    chart.box.hidden = name !== "all" && chart.title !== name;
    if ((chart.title === name) !== chart.box.classList.contains("large")) chart.enlarge();
  }
}

// Validation comes first.
const compareCurves = (one, other) => curveRank(one) - curveRank(other) || compareValues(one, other);
const curveRank = (name) => ["val", "eval", "test", "train"].indexOf(name.split("/")[0]) >>> 0;

// Make a chart for each curve that has none yet.
function makeCharts() {
  for (const name of Object.keys(data.curves).sort(compareCurves)) {
    if (charts.some((chart) => chart.title === name)) continue;
    const chart = new Chart(document.getElementById("charts"), name,
      () => (data.curves[name] ? makeGroupLines(name, visibleGroups(), isDrawn, choices.style) : []));
    chart.box.hidden = !["all", name].includes(choices.metric);
  }
}

const isDrawn = (run) => shown[run] && (choices.unfinished || isCounted(data.runs[run]));
const visibleGroups = () => groups.filter((group) => !choices.hidden.has(group.id));

function showLegend() {
  const host = document.getElementById("legend");
  markGroups();
  const focused = host.contains(document.activeElement) ? document.activeElement.textContent : null;
  const toggle = (id) => {
    if (!choices.hidden.delete(id)) choices.hidden.add(id);
    showLegend();
    redraw();
  };
  const buttons = groups.slice(0, MAX_LEGEND).map((group) => el("button", {type: "button",
    "aria-pressed": String(!choices.hidden.has(group.id)), onclick: () => toggle(group.id)},
  makeDot(group.color), group.name));
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

function makeParallelMenu() {
  const names = data.metrics.map((each) => each.name);
  if (!isNew("results", names)) return;
  choices.target = names.includes(choices.target) ? choices.target : data.target;
  const choose = (name) => {
    choices.target = name;
    showParallel();
  };
  document.getElementById("parallel-controls").replaceChildren(
    ...(names.length > 1 ? [makeChoice("result", names, choices.target, choose)] : []),
    el("span", {id: "parallel-legend"}));
}

// Draw the axes again when their place has another width.
function followParallel() {
  const box = document.getElementById("parallel");
  let width = box.clientWidth;
  new ResizeObserver(() => {
    if (width === box.clientWidth) return;
    width = box.clientWidth;
    showParallel();
  }).observe(box);
  addEventListener("beforeprint", showParallel);
}

function showParallel() {
  const target = data.metrics.find((each) => each.name === choices.target), ranks = rankRuns(target);
  const orderOf = (setting) => data.important.indexOf(setting.name) >>> 0; // those that are not in it come last
  const settings = data.settings.filter((each) => !data.repetitions.includes(each.name))
    .sort((one, other) => orderOf(one) - orderOf(other));
  const axes = [...(settings.length ? settings : data.settings).slice(0, MAX_AXES), ...(target ? [target] : [])];
  const runs = data.runs.map((run, index) => ({isShown: shown[index], rank: ranks[index],
    title: `${run.name}: ${ranks[index] === null ? run.state : formatNumber(target.values[index])}`}));
  const choose = (column, chosen) => setFilter(restrict(choices.filter, columns(), column, chosen));
  drawParallel(document.getElementById("parallel"), axes, runs, terms, choose);
  const left = settings.length - MAX_AXES;
  const ends = data.modes[choices.target] ? ["worst", "best"] : ["lowest", "highest"];
  document.getElementById("parallel-legend").replaceChildren(
    ...(target ? [ends[0], " ", el("span", {class: "ramp"}), " ", ends[1]] : []),
    left > 0 ? `; ${left} more settings are in the table` : "");
}

// Return for each run its rank by a metric, from 0 (worst, or lowest) to 1; null without a value.
function rankRuns(metric) {
  const values = metric?.values ?? data.runs.map(() => null), isLower = data.modes[metric?.name] === "min";
  const sorted = values.filter((value) => value !== null).sort((one, other) => (isLower ? other - one : one - other));
  return values.map((value) => {
    if (value === null) return null;
    return sorted.length > 1 ? sorted.indexOf(value) / (sorted.length - 1) : 0.5;
  });
}

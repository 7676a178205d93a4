// Groups of runs and their curves. Provides: makeGroups, makeGroupLines.

const MAX_COLORS = 8, QUARTERS = 4;

// Return [{id, name, color, members}] of runs that share a value. by: "settings", "run", or the name of a setting.
function makeGroups(by) {
  const setting = data.settings.find((each) => each.name === by), found = new Map();
  labelRuns(by, setting).forEach(({name, order}, run) => {
    const id = `${order} ${name}`; // shortened names may be equal
    if (!found.has(id)) found.set(id, {id, name, order, members: []});
    found.get(id).members.push(run);
  });
  const groups = [...found.values()].sort((one, other) => one.order - other.order);
  const single = data.settings.filter((each) => !data.repetitions.includes(each.name));
  const ordering = setting ?? (by === "settings" && single.length === 1 ? single[0] : null);
  const isRamp = groups.length > MAX_COLORS || ordering?.values.every((value) => typeof value === "number");
  groups.forEach((group, index) => {
    group.color = isRamp ? ramp(groups.length > 1 ? index / (groups.length - 1) : 0.5) : color(index);
  });
  return groups;
}

// Return for each run the name and the position of its group.
function labelRuns(by, setting) {
  if (by === "run") return data.runs.map((run, order) => ({name: run.name, order}));
  if (!setting) return data.runs.map((run) => ({name: data.groups[run.group] ?? "—", order: run.group}));
  const values = [...new Set(setting.values)].filter((value) => value !== null).sort(compareValues);
  const numbers = setting.values.filter((value) => typeof value === "number").sort((one, other) => one - other);
  // Numbers with many values form four groups of about equal size.
  const quarters = numbers.length > MAX_COLORS && values.length > MAX_COLORS ? splitNumbers(numbers) : [];
  return setting.values.map((value) => {
    if (value === null) return {name: `${setting.name}=—`, order: Infinity};
    const order = typeof value === "number" ? quarters.findIndex((quarter) => value <= quarter.at(-1)) : -1;
    if (order < 0) return {name: `${setting.name}=${showValue(value)}`, order: QUARTERS + values.indexOf(value)};
    return {name: `${setting.name} ${showBound(quarters[order][0])} to ${showBound(quarters[order].at(-1))}`, order};
  });
}

const showValue = (value) => (typeof value === "number" ? formatNumber(value) : value);
const showBound = (value) => formatNumber(+value.toPrecision(2));

// Return sorted numbers in at most four parts; equal ones are in the same.
function splitNumbers(numbers) {
  const parts = [];
  for (let start = 0; start < numbers.length;) {
    const wanted = Math.max(start + 1, Math.round((parts.length + 1) * numbers.length / QUARTERS));
    const last = numbers[Math.min(numbers.length, wanted) - 1];
    const end = numbers.lastIndexOf(last) + 1;
    parts.push(numbers.slice(start, end));
    start = end;
  }
  return parts;
}

// Return the lines of a chart. isShown: for each run whether it is drawn; style: one of STYLES.
const STYLES = ["mean ± std", "mean, min to max", "each run"];

function makeGroupLines(name, groups, isShown, style) {
  const curves = data.curves[name];
  return groups.flatMap((group) => {
    const members = group.members.filter((run) => curves[run] && isShown(run)).map((run) => ({
      name: data.runs[run].name, x: data.axes[curves[run][0]], values: curves[run][1]}));
    for (const member of members) member.y = smooth(member.values, view.smoothing);
    if (style !== STYLES[2]) return members.length ? [averageLines(group, members, style === STYLES[1])] : [];
    return members.map(({name, x, y, values}) => ({name, x, y, color: group.color, isThin: data.runs.length > 12,
      raw: view.smoothing && data.runs.length <= 12 ? values : null}));
  });
}

function averageLines(group, members, isRange) {
  const {x} = members.reduce((one, other) => (other.x.length > one.x.length ? other : one));
  const isMany = members.length > 1, name = isMany ? `${group.name} (${members.length})` : group.name;
  const line = {name, x, y: [], color: group.color};
  if (isMany) Object.assign(line, {low: [], high: [], spread: isRange ? null : []});
  x.forEach((step, index) => {
    const values = members.map((member) => (member.x === x ? member.y[index] : interpolate(member, step)))
      .filter((value) => value !== null);
    const mean = values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
    line.y.push(mean);
    if (!isMany) return;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const std = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0;
    line.low.push(!values.length ? null : isRange ? Math.min(...values) : mean - std);
    line.high.push(!values.length ? null : isRange ? Math.max(...values) : mean + std);
    line.spread?.push(std);
  });
  return line;
}

// Return the value of a curve between two of its points; null outside of them, and next to a missing one.
function interpolate({x, y}, step) {
  if (!x.length || step < x[0] || step > x.at(-1)) return null;
  const near = nearestIndex(x, step), before = x[near] <= step ? near : near - 1;
  if (x[before] === step) return y[before];
  const [first, second] = [y[before], y[before + 1]];
  if (first === null || second === null) return null;
  return first + (second - first) * (step - x[before]) / (x[before + 1] - x[before]);
}

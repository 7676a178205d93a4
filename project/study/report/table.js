// Tables that are sorted by the buttons in their heads, and the filter of runs.
// Provides: makeSortable, sortedBy, sortAgain, compareValues, parseFilter, holds, restrict.

// Sort a table when a button in its head is pressed; again for the other direction.
function makeSortable() {
  document.addEventListener("click", (event) => {
    const head = event.target.closest("thead button")?.parentNode;
    if (!head) return;
    const isAscending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    sortAgain(head.closest("table"), {name: head.textContent, isAscending});
  });
}

// Return the heading by which a table is sorted, and the direction; undefined if it is in its first order.
function sortedBy(table) {
  const head = [...(table?.tHead.rows[0].cells ?? [])].find((cell) => cell.hasAttribute("aria-sort"));
  return head && {name: head.textContent, isAscending: head.getAttribute("aria-sort") === "ascending"};
}

// Sort by a heading of `sortedBy`, which may have moved since.
function sortAgain(table, sorted) {
  const head = sorted && [...(table?.tHead.rows[0].cells ?? [])].find((cell) => cell.textContent === sorted.name);
  if (!head) return;
  head.setAttribute("aria-sort", sorted.isAscending ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => ({row, value: readCell(row.cells[head.cellIndex])}));
  // Rows without a value are last in both directions.
  rows.sort((one, other) => {
    if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
    return compareValues(one.value, other.value) * (sorted.isAscending ? 1 : -1);
  });
  table.tBodies[0].append(...rows.map(({row}) => row));
}

function readCell(cell) {
  if (cell.dataset.v !== undefined) return +cell.dataset.v;
  return cell.textContent === "—" ? null : cell.textContent;
}

// Numbers come before texts, and numbers in texts are compared as numbers.
function compareValues(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  return one.localeCompare(other, undefined, {numeric: true});
}

// A filter is words that must all hold: a text in the row, or a comparison such as lr>=0.001, seed=0|1, type="a b".
const WORDS = /(?:"[^"]*"|[^\s"])+/g, COMPARISON = /^("[^"]*"|[^"<>=!]+)(<=|>=|!=|=|<|>)(.+)$/;
const unquote = (text) => text.replaceAll('"', "");
const quote = (text) => (/[\s|"<>=!]/.test(text) ? `"${unquote(text)}"` : text);

// Return the terms of a filter. columns: [{name, key, values}] with a value for each run, null for none.
function parseFilter(text, columns) {
  return (text.match(WORDS) ?? []).map((word) => {
    const match = word.match(COMPARISON), name = match && unquote(match[1]).toLowerCase();
    const column = match && findColumn(columns, name);
    if (!column) return {word, text: unquote(word).toLowerCase()};
    return {word, column, sign: match[2], values: (match[3].match(/(?:"[^"]*"|[^|"])+/g) ?? []).map(unquote)};
  });
}

// Return the column of a name, or the only one whose name ends with it.
function findColumn(columns, name) {
  const names = (column) => [column.name.toLowerCase(), column.key.toLowerCase()];
  const endsWith = (own) => own.endsWith(`.${name}`) || own.endsWith(`/${name}`);
  const ending = columns.filter((column) => names(column).some(endsWith));
  return columns.find((column) => names(column).includes(name)) ?? (ending.length === 1 ? ending[0] : undefined);
}

// Return whether a term holds for a run.
function holds(term, value, rowText) {
  if (!term.column) return rowText.includes(term.text);
  const isEqual = (text) => {
    if (value === null) return text === "—";
    return typeof value === "number" ? text !== "" && value === +text : value.toLowerCase() === text.toLowerCase();
  };
  if (term.sign === "=") return term.values.some(isEqual);
  if (term.sign === "!=") return !term.values.some(isEqual);
  const bound = +term.values[0];
  if (typeof value !== "number" || isNaN(bound)) return false;
  return {"<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound}[term.sign];
}

// Return a filter that lets only these values of a column through, or all without any; its other words are kept.
function restrict(text, columns, column, chosen) {
  const kept = parseFilter(text, columns).filter((term) => term.column !== column).map((term) => term.word);
  const name = quote(column.name);
  if (chosen.length > 1 && chosen.every((value) => typeof value === "number")) {
    kept.push(`${name}>=${Math.min(...chosen)}`, `${name}<=${Math.max(...chosen)}`);
  } else if (chosen.length) {
    kept.push(`${name}=${chosen.map((value) => quote(String(value))).join("|")}`);
  }
  return kept.join(" ");
}

// Tables of any length, of which a part is shown. Provides: LongTable.

const START_ROWS = 20, MORE_ROWS = 200;
const DECADES = 8; // of a bar with a logarithmic scale, below the largest value

const isNumeric = (column) => ["number", "bar", "log bar"].includes(column.kind);

// Return the number by which a value is sorted: those that are not finite are texts, and larger than all others.
const sizeOf = (value) => (typeof value === "number" ? value : value === "-inf" ? -Infinity : Infinity);

// Return a function from a value of a column to the width of its bar, in percent.
function makeBars(column) {
  const sizes = column.values.filter((value) => typeof value === "number" && value > 0);
  const most = sizes.reduce((one, other) => Math.max(one, other), 0);
  if (column.kind === "bar") return (value) => (most ? 100 * value / most : 0);
  const least = sizes.reduce((one, other) => Math.min(one, other), most);
  const low = Math.max(Math.log10(least || 1) - 0.2, Math.log10(most || 1) - DECADES), high = Math.log10(most || 1);
  return (value) => 100 * (Math.log10(value) - low) / (high - low || 1);
}

// The rows of `data.tables[key]` in the table of the page with that key.
class LongTable {
  constructor(table) {
    Object.assign(this, {table, columns: data.tables[table.dataset.key], count: START_ROWS, words: [], sorted: null});
    this.order = this.columns[0].values.map((_, row) => row);
    for (const column of this.columns) column.width = column.kind.endsWith("bar") ? makeBars(column) : null;
    this.heads = [...table.tHead.rows[0].cells];
    this.heads.forEach((head, index) => {
      head.replaceChildren(el("button", {type: "button", onclick: () => this.sort(index)}, head.textContent));
      head.classList.toggle("measured", this.columns[index].width !== null);
    });
    this.addControls();
    this.show();
  }

  addControls() {
    this.status = el("output", {class: "dim"});
    this.more = el("button", {class: "small", type: "button", onclick: () => {
      this.count += MORE_ROWS;
      this.show();
    }}, "show more");
    this.table.parentNode.after(el("div", {class: "controls below"}, this.status, this.more));
    if (this.order.length <= START_ROWS) return;
    const filter = (event) => {
      this.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.count = START_ROWS;
      this.show();
    };
    const label = `filter ${this.columns[0].name}s by name`;
    this.table.parentNode.before(el("div", {class: "controls"},
      el("input", {type: "search", placeholder: label, "aria-label": label, oninput: filter})));
  }

  // Sort by a column: numbers begin with the largest; again for the other direction.
  sort(index) {
    const column = this.columns[index], {values} = column, isNumber = isNumeric(column);
    const isAscending = this.sorted === index ? !this.isAscending : !isNumber;
    Object.assign(this, {sorted: index, isAscending, count: START_ROWS});
    this.heads.forEach((head) => head.removeAttribute("aria-sort"));
    this.heads[index].setAttribute("aria-sort", isAscending ? "ascending" : "descending");
    const isMissing = (row) => values[row] === null || values[row] === "";
    const compare = isNumber ? (one, other) => sizeOf(one) - sizeOf(other) || 0 : compareValues;
    this.order.sort((one, other) => {
      if (isMissing(one) || isMissing(other)) return isMissing(one) - isMissing(other);
      return compare(values[one], values[other]) * (isAscending ? 1 : -1);
    });
    this.show();
  }

  show() {
    const texts = this.columns.filter((column) => !isNumeric(column) && column.kind !== "link");
    const holds = (row) => this.words.every((word) =>
      texts.some((column) => String(column.values[row]).toLowerCase().includes(word)));
    const found = this.words.length ? this.order.filter(holds) : this.order;
    const rows = found.slice(0, this.count);
    this.table.tBodies[0].replaceChildren(...rows.map((row) =>
      el("tr", null, ...this.columns.map((column) => this.makeCell(column, column.values[row])))));
    const left = found.length - rows.length, all = this.order.length;
    const format = (count) => count.toLocaleString("en");
    this.status.textContent = all > START_ROWS ? `${format(rows.length)} of ${format(found.length)}` : "";
    this.more.hidden = left <= 0;
    this.more.textContent = `show ${format(Math.min(left, MORE_ROWS))} more`;
  }

  makeCell(column, value) {
    if (column.kind === "link") return el("td", {class: "plain"}, value ? el("a", {href: value}, "picture") : null);
    if (!isNumeric(column)) {
      return el("td", {class: column === this.columns[0] ? null : column.kind === "mark" ? "mark" : "plain"},
        el("bdi", null, value ?? ""));
    }
    const isBad = typeof value === "string", text = isBad ? value : formatNumber(value);
    if (!column.width) return el("td", {class: isBad ? "number bad" : "number"}, text);
    const width = isBad ? 100 : value ? Math.max(0, Math.min(100, column.width(value))) : 0;
    const bar = el("span", {class: isBad ? "share bad" : "share", style: `width: ${width.toFixed(1)}%`});
    const measure = el("span", {class: "measure"}, text, el("span", {class: "track"}, value ? bar : null));
    return el("td", {class: isBad ? "number bad" : "number"}, measure);
  }
}

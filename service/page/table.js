// All images in a table, sorted by any column.

import { COLUMNS, rowOf } from "./csv.js";
import { byId, el, shown } from "./dom.js";
import { labelClass } from "./list.js";
import { problemText, say, shortWarning } from "./texts.js";

const NUMBERS = new Set(["probability", "threshold"]);
const words = new Intl.Collator(undefined, { numeric: true });

export class Table {
  #by = null;
  #down = false;

  constructor({ open }) {
    this.open = open;
    const heads = COLUMNS.map((column) => {
      const button = el("button", { type: "button" }, say(`columns.${column}`));
      button.addEventListener("click", () => this.#sort(column));
      return el("th", { scope: "col", "data-column": column }, button);
    });
    byId("head").replaceChildren(...heads);
  }

  /** The items in the order of the table; without a value they stand last, either way. */
  sorted(items) {
    if (!this.#by) return items;
    const rows = items.map((item) => ({ item, value: rowOf(item)[this.#by] }));
    const compare = NUMBERS.has(this.#by) ? (a, b) => Number(a) - Number(b) : words.compare;
    rows.sort((a, b) => {
      if (!a.value || !b.value) return (a.value ? 0 : 1) - (b.value ? 0 : 1);
      return (this.#down ? -1 : 1) * compare(a.value, b.value);
    });
    return rows.map(({ item }) => item);
  }

  draw(items) {
    this.items = items;
    for (const head of byId("head").children) {
      const order = this.#down ? "descending" : "ascending";
      head.setAttribute("aria-sort", head.dataset.column === this.#by ? order : "none");
    }
    byId("rows").replaceChildren(...this.sorted(items).map((item) => this.#row(item)));
  }

  #sort(column) {
    this.#down = this.#by === column ? !this.#down : NUMBERS.has(column);
    this.#by = column;
    this.draw(this.items);
  }

  #row(item) {
    const { verdict, problem } = item;
    const cells = {
      ...rowOf(item),
      probability: verdict ? shown(verdict.probability) : "",
      threshold: verdict ? verdict.threshold.toFixed(4) : "",
      warnings: (verdict?.warnings ?? []).map(shortWarning).join(" "),
      error: problem ? problemText(problem) : "",
    };
    const open = el("button", { type: "button", className: "link" }, item.name);
    open.addEventListener("click", () => this.open(item));
    const rest = COLUMNS.slice(1).map((column) => {
      const className = column === "label" && verdict ? labelClass(verdict) : column;
      return el("td", { className }, cells[column]);
    });
    return el("tr", {}, el("th", { scope: "row" }, open), ...rest);
  }
}

// The table of all images, which can be sorted by any column.

import { COLUMNS, rowOf } from "./csv.js";
import { byId, el, shown } from "./dom.js";
import { labelClass } from "./list.js";
import { problemText, say, shortWarning } from "./texts.js";

const NUMBERS = new Set(["probability", "threshold"]);
const collator = new Intl.Collator(undefined, { numeric: true });

export class Table {
  #column = null;
  #descending = false;

  constructor({ open }) {
    this.open = open;
    const heads = COLUMNS.map((column) => {
      const button = el("button", { type: "button" }, say(`columns.${column}`));
      button.addEventListener("click", () => this.#sort(column));
      return el("th", { scope: "col", "data-column": column }, button);
    });
    byId("head").replaceChildren(...heads);
  }

  /** The items in the order of the table; items without a value come last in either direction. */
  sorted(items) {
    if (!this.#column) return items;
    const rows = items.map((item) => ({ item, value: rowOf(item)[this.#column] }));
    const compare = NUMBERS.has(this.#column) ? (a, b) => Number(a) - Number(b) : collator.compare;
    rows.sort((a, b) => {
      if (!a.value || !b.value) return (a.value ? 0 : 1) - (b.value ? 0 : 1);
      return (this.#descending ? -1 : 1) * compare(a.value, b.value);
    });
    return rows.map(({ item }) => item);
  }

  draw(items) {
    this.items = items;
    for (const head of byId("head").children) {
      const order = this.#descending ? "descending" : "ascending";
      head.setAttribute("aria-sort", head.dataset.column === this.#column ? order : "none");
    }
    byId("rows").replaceChildren(...this.sorted(items).map((item) => this.#row(item)));
  }

  #sort(column) {
    this.#descending = this.#column === column ? !this.#descending : NUMBERS.has(column);
    this.#column = column;
    this.draw(this.items);
  }

  #row(item) {
    const { verdict, problem } = item;
    const cells = {
      ...rowOf(item),
      label: verdict ? say(`labels.${verdict.label}`) : "",
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

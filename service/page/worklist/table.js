// The table of the images that the filter passes, which can be sorted by any column.

import { byId, el, nameOf } from "../common/dom.js";
import { decimal, problemText, say, shortWarning, shown } from "../common/texts.js";
import { labelClass, labelText, pointText } from "./labels.js";
import { COLUMNS } from "./worklist.js";

export class Table {
  constructor({ worklist, open, sort }) {
    this.worklist = worklist;
    this.open = open;
    this.sort = sort;
  }

  draw() {
    byId("head").replaceChildren(...COLUMNS.map((column) => this.#heading(column)));
    byId("rows").replaceChildren(...this.worklist.visible().map((item) => this.#row(item)));
  }

  #heading(column) {
    const { column: sorted, descending } = this.worklist;
    const order = column !== sorted ? "none" : descending ? "descending" : "ascending";
    const focused = document.activeElement?.closest("th")?.dataset.column === column;
    const button = el("button", { type: "button" }, say(`columns.${column}`));
    button.addEventListener("click", () => this.sort(column));
    if (focused) requestAnimationFrame(() => button.focus());
    return el("th", { scope: "col", "data-column": column, "aria-sort": order }, button);
  }

  #row(item) {
    const cells = cellsOf(item);
    const open = el("button", { type: "button", className: "link" }, nameOf(item.name));
    open.addEventListener("click", () => this.open(item));
    const rest = COLUMNS.slice(1).map((column) => {
      const className = column === "label" && item.verdict ? labelClass(item.verdict) : column;
      return el("td", { className }, cells[column]);
    });
    return el("tr", {}, el("th", { scope: "row" }, open), ...rest);
  }
}

/** What the columns say of an item. */
export function cellsOf(item) {
  const { verdict, problem } = item;
  return {
    name: item.name,
    label: verdict ? labelText(verdict) : "",
    probability: verdict ? shown(verdict.probability) : "",
    threshold: verdict ? decimal(verdict.threshold, 4) : "",
    point: verdict ? pointText(verdict) : "",
    warnings: (verdict?.warnings ?? []).map(shortWarning).join(" \u00b7 "),
    error: problem ? problemText(problem) : "",
    model: verdict ? `${verdict.model.name} ${verdict.model.version}` : "",
    requestId: verdict?.requestId ?? problem?.request_id ?? "",
  };
}

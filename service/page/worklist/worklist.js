// The images in the order, and with the filter, that list, table, viewer and report share.

import { hasWarnings, isOutside } from "../images/items.js";

const collator = new Intl.Collator(undefined, { numeric: true });
const trusted = (item) => item.verdict && !isOutside(item);
const FILTERS = {
  all: () => true,
  positive: (item) => trusted(item) && item.verdict.label === "PNEUMONIA",
  negative: (item) => trusted(item) && item.verdict.label === "NORMAL",
  warnings: hasWarnings,
  failed: (item) => item.state === "failed",
  waiting: (item) => item.state === "waiting" || item.state === "analysing",
};
// What the columns of the table sort by; an item without a value comes last in either direction.
const KEYS = {
  name: (item) => item.name,
  label: (item) => item.verdict?.label,
  probability: (item) => item.verdict?.probability,
  threshold: (item) => item.verdict?.threshold,
  point: (item) => item.verdict?.point,
  warnings: (item) => item.verdict?.warnings.map((warning) => warning.code).join(" "),
  error: (item) => item.problem?.type,
  model: (item) => item.verdict && `${item.verdict.model.name} ${item.verdict.model.version}`,
  requestId: (item) => item.verdict?.requestId ?? item.problem?.request_id,
};

export const COLUMNS = Object.keys(KEYS);
export const NUMBERS = new Set(["probability", "threshold"]);

export class Worklist {
  items = [];
  filter = "all";
  column = null; // as added
  descending = false;

  /** Sort by a column of the table; once more by the same one: the other way round. Numbers begin with the greatest. */
  sortBy(column) {
    this.descending = this.column === column ? !this.descending : NUMBERS.has(column);
    this.column = column;
  }

  /** The items that the filter passes, in order. */
  visible() {
    const passed = this.items.filter(FILTERS[this.filter]);
    return this.column ? this.#sorted(passed, KEYS[this.column]) : passed;
  }

  /** The item so many places after another one in what is seen; the first if that one is not seen. */
  next(item, by) {
    const visible = this.visible();
    const at = visible.indexOf(item);
    return at < 0 ? visible[0] : visible[at + by];
  }

  #sorted(items, keyOf) {
    const compare = NUMBERS.has(this.column) ? (a, b) => a - b : collator.compare;
    const keyed = items.map((item) => ({ item, key: keyOf(item) }));
    const isMissing = (key) => key === undefined || key === null || key === "";
    keyed.sort((a, b) => {
      if (isMissing(a.key) || isMissing(b.key)) return isMissing(a.key) - isMissing(b.key);
      return (this.descending ? -1 : 1) * compare(a.key, b.key);
    });
    return keyed.map(({ item }) => item);
  }
}

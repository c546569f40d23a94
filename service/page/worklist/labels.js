// How a result looks, in the list, the table, the viewer and the report.

import { el } from "../common/dom.js";
import { decimal, pointName, populationName, say, shown } from "../common/texts.js";

/** The CSS classes of a label: an unreliable one looks different. */
export const labelClass = ({ label, unreliable }) => `label ${label} ${unreliable ? "unreliable" : ""}`;

/** A label in the user's language. */
export const labelText = ({ label }) => say(`labels.${label}`);

/** The operating point of a result, with the population that its threshold is for. */
export const pointText = ({ point, population }) =>
  (population ? `${pointName(point)}, ${populationName(population)}` : pointName(point));

/** A bar that shows the probability relative to the threshold, on a scale from 0 to 1. */
export function scale(verdict) {
  const { probability, threshold } = verdict;
  const values = { probability: shown(probability), threshold: decimal(threshold, 4) };
  const className = labelClass(verdict).replace("label", "scale");
  const bar = el("div", { className, role: "img", "aria-label": say("scale", values) });
  for (const [name, value] of [["fill", probability], ["tick", threshold], ["dot", probability]]) {
    const mark = el("span", { className: name });
    mark.style[name === "fill" ? "width" : "left"] = `${100 * value}%`;
    bar.append(mark);
  }
  return bar;
}

// The images on the page, with their state and result.

/** A chosen image. The file stays in the browser and is read from there whenever it is needed. */
export function makeItem(id, file, name) {
  return { id, file, name, state: "waiting", answer: null, problem: null, verdict: null, heatmap: null };
}

/** The operating points of a population; without one, those chosen for all populations together. */
export const pointsOf = (model, population) => (population ? model.populations[population] : model).operating_points;

/** Compute the label of an item at the selected operating point. The operating point may have changed since the image
 * was analysed: the probability stays the same, and is compared again, with the thresholds of the same model. */
export function judge(item, model, pointName) {
  const entry = item.answer?.predictions[0];
  if (!entry) return;
  const same = item.answer.model.name === model.name && item.answer.model.version === model.version;
  const point = same ? pointName : item.answer.operating_point;
  const { population } = item.answer;
  const threshold = same ? pointsOf(model, population)[point].threshold : entry.threshold;
  item.verdict = {
    label: entry.probability >= threshold ? "PNEUMONIA" : "NORMAL",
    probability: entry.probability,
    threshold,
    point: population ? `${point}, ${population}` : point,
    warnings: entry.warnings,
    unreliable: entry.warnings.some((warning) => warning.code === "unlike_training_data"),
    guardScore: entry.guard_score,
    model: item.answer.model,
    requestId: item.answer.request_id,
  };
}

/** Whether the same file may succeed later: the service or the network failed, not the file. */
export const isTransient = ({ status }) => status === 0 || [401, 403, 408, 429].includes(status) || status >= 500;

/** Number of items by state and label. */
export function count(items) {
  const verdicts = items.filter((item) => item.verdict).map((item) => item.verdict);
  return {
    total: items.length,
    done: verdicts.length,
    failed: items.filter((item) => item.state === "failed").length,
    positive: verdicts.filter((verdict) => verdict.label === "PNEUMONIA").length,
    negative: verdicts.filter((verdict) => verdict.label === "NORMAL").length,
    warned: verdicts.filter((verdict) => verdict.warnings.length > 0).length,
  };
}

/** The intended uses of a model, from the section "Uses and directions" of its card; null if they are not stated. */
export function usesOf(card) {
  const section = card.split(/^## /m).find((part) => part.startsWith("Uses and directions")) ?? "";
  const bullet = (name) => {
    const found = section.split(/\n- /).find((part) => part.startsWith(`${name}: `));
    return found ? found.slice(name.length + 2).replace(/\s+/g, " ").replaceAll("`", "").trim() : null;
  };
  return { meantFor: bullet("For"), notMeantFor: bullet("Not for") };
}

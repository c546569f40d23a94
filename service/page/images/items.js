// The images on the page, with their state and result.

import { isAway } from "../service/client.js";
import { pointsOf } from "./points.js";

// Warnings that say: the model is not meant for such an image.
const UNRELIABLE = new Set(["unlike_training_data", "lateral_view", "other_body_part", "age_outside_model"]);

/** A chosen image. The file stays in the browser and is read from there whenever it is needed. */
export function makeItem(id, file, name) {
  return { id, file, name, state: "waiting", answer: null, problem: null, verdict: null, heatmap: null, facts: null };
}

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
    point,
    population,
    warnings: entry.warnings,
    unreliable: entry.warnings.some((warning) => UNRELIABLE.has(warning.code)),
    guardScore: entry.guard_score,
    model: item.answer.model,
    isOfServedModel: same,
    requestId: item.answer.request_id,
  };
}

/** Whether the same file may succeed later: the service or the network failed, not the file. */
export const isTransient = (problem) =>
  isAway(problem) || [401, 403, 408, 429].includes(problem.status) || problem.status >= 500;

/** Whether the model is not meant for an image, by its warnings or by a refusal of the input check: it is in no total of
 * the labels. */
export const isOutside = (item) => item.verdict?.unreliable || item.problem?.type.endsWith("/unlike-training-data");

/** Whether there is something to look at: a warning of any kind. */
export const hasWarnings = (item) => isOutside(item) || item.verdict?.warnings.length > 0;

/** Number of items by state and label. Each item is either waiting, or in one of the others but `warned`. */
export function count(items) {
  const number = (test) => items.filter(test).length;
  const trusted = items.filter((item) => item.verdict && !item.verdict.unreliable);
  const failed = number((item) => item.state === "failed" && !isOutside(item));
  const outside = number(isOutside);
  return {
    total: items.length,
    done: trusted.length + outside + failed,
    failed,
    outside,
    positive: trusted.filter((item) => item.verdict.label === "PNEUMONIA").length,
    negative: trusted.filter((item) => item.verdict.label === "NORMAL").length,
    warned: trusted.filter((item) => item.verdict.warnings.length > 0).length,
    retryable: number((item) => item.state === "failed" && isTransient(item.problem)),
  };
}

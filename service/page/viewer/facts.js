// The facts about an image, in words: for the panel beside the picture, the clipboard and the report.

import { definitions, el } from "../common/dom.js";
import { decimal, percent, problemText, say, shown, warningText } from "../common/texts.js";
import { figuresOf, predictiveValues } from "../images/points.js";
import { labelClass, pointText, scale } from "../worklist/labels.js";

/** The state of an image, its warnings, its label and its scale, as elements. */
export function resultOf(item) {
  const { verdict, problem } = item;
  if (problem) return [el("p", { className: "error" }, `${say("failed")}: ${problemText(problem)}`)];
  if (!verdict) return [el("p", {}, say(item.state === "analysing" ? "analysing" : "waiting"))];
  const warnings = verdict.warnings.map((warning) => el("li", {}, warningText(warning)));
  return [
    warnings.length ? el("ul", { className: "warnings" }, ...warnings) : null,
    el("p", { className: labelClass(verdict) }, el("span", {}, say(`labelMeanings.${verdict.label}`)),
      verdict.unreliable ? el("small", {}, ` ${say("unreliable")}`) : null),
    scale(verdict),
  ].filter(Boolean);
}

/** Terms and values of a result, as [term, text]; empty without one. */
export function termsOf(item, served) {
  const { verdict } = item;
  if (!verdict) return [];
  return [
    [say("probability"), shown(verdict.probability)],
    [say("threshold"), `${decimal(verdict.threshold, 4)} (${pointText(verdict)})`],
    ...pointTerms(verdict, served),
    guardTerm(verdict, served),
    ...objectTerms(item.facts),
    [say("modelName"), `${verdict.model.name} ${verdict.model.version}`],
    [say("requestId"), verdict.requestId],
  ].filter(Boolean);
}

/** The result in one text, for the clipboard. */
export function plainText(item, served) {
  const { verdict, problem } = item;
  const label = verdict ? say(`labelMeanings.${verdict.label}`) : problem ? problemText(problem) : say("waiting");
  const lines = [item.name, verdict?.unreliable ? `${label} (${say("unreliable")})` : label];
  lines.push(...(verdict?.warnings ?? []).map((warning) => `! ${warningText(warning)}`));
  lines.push(...termsOf(item, served).map(([term, text]) => `${term}: ${text}`), say("notDevice"));
  return lines.join("\n");
}

/** Terms and values as a list. */
export const termList = (item, served) => definitions(termsOf(item, served));

/** Sensitivity, specificity and predictive values of the operating point. */
function pointTerms(verdict, { model, card, prevalence }) {
  if (!verdict.isOfServedModel) return [];
  const figures = figuresOf(model, card, verdict.point, verdict.population);
  const [sensitivity, specificity] = [figures.sensitivity, figures.specificity].map(({ value }) => decimal(value, 3));
  const whom = say(figures.where ? "chosenOn" : figures.site ? "measuredAtSite" : "measuredOn", figures);
  return [
    [say("pointFigures"), say("pointFiguresValue", { sensitivity, specificity, whom })],
    prevalence ? [say("predictive", { prevalence: percent(prevalence) }), predictiveText(verdict, figures, prevalence)]
      : null,
  ];
}

function predictiveText(verdict, figures, prevalence) {
  const { ppv, npv } = predictiveValues(figures, prevalence);
  const isPositive = verdict.label === "PNEUMONIA";
  const { value, low, high } = isPositive ? ppv : npv;
  const values = { value: percent(value), low: percent(low), high: percent(high) };
  return say(isPositive ? "ppv" : "npv", values);
}

function guardTerm({ guardScore }, { model }) {
  if (guardScore === null) return null;
  const values = { score: decimal(guardScore, 2), limit: decimal(model.input_guard?.threshold ?? NaN, 2) };
  return [say("guardScore"), say(model.input_guard ? "guardMeaning" : "guardOnly", values)];
}

/** The attributes of a DICOM object. */
function objectTerms(facts) {
  if (!facts) return [];
  const { window, view, age, spacing, size } = facts;
  return [
    view ? [say("viewPosition"), view] : null,
    age === null ? null : [say("age"), say("ageYears", { age: age < 2 ? decimal(age, 1) : decimal(age, 0) })],
    window ? [say("objectWindow"), say("objectWindowValue", { width: window.width, level: window.level })] : null,
    [say("pixels"), `${size.width} \u00d7 ${size.height}`
      + (spacing ? `, ${say(spacing.atDetector ? "spacingAtDetector" : "spacing", { mm: decimal(spacing.x, 3) })}` : "")],
  ];
}

// The printed report: of one image, or of the list. The browser's own printing makes paper or a PDF of it.

import { byId, el } from "../common/dom.js";
import { now, say } from "../common/texts.js";
import { count } from "../images/items.js";
import { resultOf, termList } from "../viewer/facts.js";
import { labelClass } from "../worklist/labels.js";
import { cellsOf } from "../worklist/table.js";

const LONGEST_SIDE = 1400; // pixels of a printed picture
const LIST_COLUMNS = ["name", "label", "probability", "threshold", "point", "warnings", "error"];

/** Print the report of the open image; its picture and heatmap are those on the stage. */
export function printImage(item, served) {
  fillImage(item, served);
  printAs(say("reportOf", { name: item.name }));
}

/** Print the report of a list of items. */
export function printList(items, served) {
  fillList(items, served);
  printAs(say("reportOfList"));
}

/** Fill the report before the browser prints by its own menu. */
export function prepare(item, items, served) {
  if (byId("report").childElementCount) return;
  if (item) fillImage(item, served);
  else if (items.length) fillList(items, served);
}

/** Empty the report once it is printed. */
export function discard() {
  byId("report").replaceChildren();
}

function printAs(title) {
  const before = document.title; // the browser proposes it as the name of a PDF
  document.title = title;
  print();
  document.title = before;
}

function fillImage(item, served) {
  const pictures = picturesOf(item);
  byId("report").replaceChildren(...[
    ...heading(say("reportTitle")),
    el("p", { className: "report-name" }, item.name),
    ...resultOf(item),
    pictures.length ? el("div", { className: "report-pictures" }, ...pictures) : null,
    pictures.length > 1 ? el("p", { className: "legend" }, say("legend")) : null,
    termList(item, served),
    ...closing(served),
  ].filter(Boolean));
}

function fillList(items, served) {
  const { total, positive, negative, outside, warned, failed } = count(items);
  const counts = [say("progress", { done: total, total }), say("counts", { positive, negative })];
  if (outside) counts.push(say("outside", { count: outside }));
  if (warned) counts.push(say("withWarnings", { count: warned }));
  if (failed) counts.push(say("failures", { count: failed }));
  const rows = items.map((item) => {
    const cells = cellsOf(item);
    const classes = { name: "file", label: item.verdict ? labelClass(item.verdict) : "" };
    return el("tr", {}, ...LIST_COLUMNS.map((column) => el("td", { className: classes[column] ?? column }, cells[column])));
  });
  const heads = LIST_COLUMNS.map((column) => el("th", { scope: "col" }, say(`columns.${column}`)));
  byId("report").replaceChildren(
    ...heading(say("reportTitleList")),
    el("p", {}, counts.join(" \u00b7 ")),
    el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)),
    ...closing(served),
  );
}

const heading = (title) => [
  el("h1", {}, title),
  el("p", { className: "report-notice" }, el("strong", {}, say("notDevice")), ` ${say("physician")}`),
];

const closing = ({ model, uses }) => [
  el("p", {}, say("model", model)),
  el("p", {}, uses.meantFor ? say("meantFor", { uses: uses.meantFor }) : say("usesNotStated")),
  el("p", {}, uses.notMeantFor ? say("notMeantFor", { uses: uses.notMeantFor }) : ""),
  el("p", { className: "report-signature" }, say("signature")),
  el("p", { className: "quiet" }, say("printed", { time: now(), service: model.service ?? "" })),
];

/** The picture, and the picture with its heatmap, whatever is shown at the moment. */
function picturesOf(item) {
  const [picture, heat] = [byId("picture"), byId("heat")];
  const plain = drawn(picture, null);
  if (!plain) return [];
  const figure = (canvas, text) => el("figure", {}, canvas, el("figcaption", {}, text));
  const pictures = [figure(plain, say("original"))];
  if (item.heatmap && heat.naturalWidth) pictures.push(figure(drawn(picture, heat), say("heatmap")));
  return pictures;
}

function drawn(picture, heat) {
  const [width, height] = [picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height];
  if (!width || !height) return null;
  const shrink = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const canvas = el("canvas", { width: Math.round(width * shrink), height: Math.round(height * shrink) });
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (heat) {
    context.globalAlpha = 0.6;
    context.drawImage(heat, 0, 0, canvas.width, canvas.height);
  }
  return canvas;
}

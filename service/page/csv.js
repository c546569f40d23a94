// The results as a file for a spreadsheet.

import { say, TEXTS } from "./texts.js";

export const COLUMNS = Object.keys(TEXTS.columns);

/** One row of text an image, by column. Numbers as the service gave them, with all their digits. */
export function rowOf(item) {
  const { verdict, problem } = item;
  return {
    name: item.name,
    label: verdict?.label ?? "",
    probability: verdict ? String(verdict.probability) : "",
    threshold: verdict ? String(verdict.threshold) : "",
    point: verdict?.point ?? "",
    warnings: (verdict?.warnings ?? []).map((warning) => warning.code).join("; "),
    error: problem ? problem.type.split("/").pop() : "",
    model: verdict ? `${verdict.model.name} ${verdict.model.version}` : "",
    requestId: verdict?.requestId ?? problem?.request_id ?? "",
  };
}

/** The file's text: a mark by which Excel knows UTF-8, then RFC 4180. */
export function toCsv(items) {
  const rows = items.map(rowOf).map((row) => COLUMNS.map((column) => row[column]));
  const head = COLUMNS.map((column) => say(`columns.${column}`));
  return "\uFEFF" + [head, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/** Quoted always; what a spreadsheet would take for a formula (a file may be called =cmd) is made text by an apostrophe. */
export function cell(text) {
  const inert = /^\s*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(text) ? `'${text}` : text;
  return `"${inert.replaceAll('"', '""')}"`;
}

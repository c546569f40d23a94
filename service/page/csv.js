// The results as a CSV file for spreadsheets.

import { say, TEXTS } from "./texts.js";

export const COLUMNS = Object.keys(TEXTS.columns);

/** One row per image: texts by column. Numbers keep all digits of the service's answer. */
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

/** The content of the file: a byte order mark, so that Excel detects UTF-8, then CSV by RFC 4180. */
export function toCsv(items) {
  const rows = items.map(rowOf).map((row) => COLUMNS.map((column) => row[column]));
  const head = COLUMNS.map((column) => say(`columns.${column}`));
  return "\uFEFF" + [head, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/** A quoted cell. An apostrophe keeps spreadsheets from running text as a formula: a file may be called =cmd. */
export function cell(text) {
  const safe = /^\s*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

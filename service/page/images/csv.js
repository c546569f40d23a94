// The results as a CSV file for spreadsheets and programs: the same columns as `predict --output results.csv`.

// As COLUMNS in service/client/results.py.
export const COLUMNS = [
  "file", "label", "probability", "threshold", "operating_point", "guard_score", "warnings", "model", "version",
  "request_id", "problem", "detail", "population",
];

/** One row per image: texts by column. Numbers keep all digits of the service's answer. */
export function rowOf(item) {
  const { verdict, problem } = item;
  const cells = { file: item.name };
  if (verdict) {
    Object.assign(cells, {
      label: verdict.label,
      probability: String(verdict.probability),
      threshold: String(verdict.threshold),
      operating_point: verdict.point,
      guard_score: verdict.guardScore === null ? "" : String(verdict.guardScore),
      warnings: verdict.warnings.map((warning) => warning.code).join("; "),
      model: verdict.model.name,
      version: verdict.model.version,
      request_id: verdict.requestId,
      population: verdict.population ?? "",
    });
  } else if (problem) {
    Object.assign(cells, {
      request_id: problem.request_id ?? "",
      problem: problem.type.split("/").pop(),
      detail: problem.detail ?? "",
    });
  }
  return Object.fromEntries(COLUMNS.map((column) => [column, cells[column] ?? ""]));
}

/** The content of the file: a byte order mark, so that Excel detects UTF-8, then CSV by RFC 4180. */
export function toCsv(items) {
  const rows = items.map((item) => Object.values(rowOf(item)));
  return "\uFEFF" + [COLUMNS, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/** A quoted cell. An apostrophe keeps spreadsheets from running text as a formula: a file may be called =cmd. */
export function cell(text) {
  const safe = /^\s*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

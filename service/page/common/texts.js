// The texts of the page in the user's language: one file per language in languages/. {name} is a placeholder.

import { preference, remember } from "./preferences.js";

/** The languages, each by its own name. */
export const LANGUAGES = {
  en: "English", de: "Deutsch", fr: "Français", es: "Español", pt: "Português", zh: "中文",
};

const TIMEOUT_MS = 15_000; // a limit against hangs: the caller tries again

let texts = {};
let language = "en";

/** The language as the browser's user writes it, such as en-GB: for numbers and dates. */
const locale = () => navigator.languages.find((tag) => tag.toLowerCase().startsWith(language)) ?? language;

/** The code of the language in use. */
export const currentLanguage = () => language;

/** Load the texts: those of the remembered language, else of the first of the browser's that there is, else English. */
export async function loadTexts() {
  const wanted = [preference("language"), ...navigator.languages].map((tag) => tag?.slice(0, 2).toLowerCase());
  await use(wanted.find((code) => code in LANGUAGES) ?? "en");
}

/** Change to another language, and remember it. */
export async function changeLanguage(code) {
  await use(code);
  remember("language", code);
}

async function use(code) {
  const url = new URL(`../languages/${code}.json`, import.meta.url);
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`no texts: ${response.status}`);
  [texts, language] = [await response.json(), code];
  document.documentElement.lang = code;
}

/** A text with its placeholders filled in. "columns.name" is the path of a nested text. */
export function say(path, values = {}) {
  const text = find(path);
  if (text === undefined) throw new Error(`no text: ${path}`);
  return fill(text, values);
}

/** Write the texts of an element's descendants: data-text is its text, data-label its label, data-hint both that and
 * its tooltip. */
export function writeTexts(root) {
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
  }
  for (const element of root.querySelectorAll("[data-hint]")) {
    element.setAttribute("aria-label", say(element.dataset.hint));
    element.title = say(element.dataset.hint);
  }
}

/** The text of a warning; for an unknown code, the text that the service sent. */
export const warningText = (warning) => find(`warnings.${warning.code}`) ?? warning.detail;

/** The short text of a warning, for the list and the table. */
export const shortWarning = (warning) => find(`shortWarnings.${warning.code}`) ?? warning.detail;

/** The text of a problem; for an unknown type, the text that the service sent. */
export function problemText(problem) {
  const slug = problem.type.split("/").pop();
  const text = find(problem.format ? `formats.${problem.format}` : `problems.${slug}`);
  return text ? fill(text, { status: problem.status }) : problem.detail ?? problem.title;
}

/** A number with this many decimals, as the language writes it. */
export function decimal(value, digits) {
  return new Intl.NumberFormat(locale(), {
    minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false,
  }).format(value);
}

/** A share of one as a percentage, with at most one decimal. */
export function percent(fraction) {
  return new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 1 }).format(fraction);
}

/** A probability with four decimals, never rounded to 0 or 1. */
export function shown(fraction) {
  if (fraction > 0 && fraction < 0.00005) return `< ${decimal(0.0001, 4)}`;
  if (fraction < 1 && fraction >= 0.99995) return `> ${decimal(0.9999, 4)}`;
  return decimal(fraction, 4);
}

/** A date and time of now. */
export const now = () => new Intl.DateTimeFormat(locale(), { dateStyle: "long", timeStyle: "short" }).format(new Date());

const find = (path) => path.split(".").reduce((node, key) => node?.[key], texts);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** The name of an operating point: one of those that every model has is translated. */
export const pointName = (name) => find(`points.${name}`) ?? name;

/** The name of a population: those of the bundled model are translated. */
export const populationName = (name) => find(`populations.${name}`) ?? name;

/** A list of texts. */
export const list = (path) => find(path);

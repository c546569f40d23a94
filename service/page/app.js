// Connects the parts of the page: the queue submits the chosen files; list, table and viewer show the results.

import { toCsv } from "./csv.js";
import { byId, el, onceAFrame } from "./dom.js";
import { fromDrop, fromInput } from "./files.js";
import { count, judge, makeItem, pointsOf, usesOf } from "./items.js";
import { List } from "./list.js";
import { card, model as fetchModel, predict, problemOf, Queue, requiresKey, useKey } from "./service.js";
import { Table } from "./table.js";
import { say, TEXTS } from "./texts.js";
import { Viewer } from "./viewer.js";

const MAX_IMAGES = 2000;
const NAMED = 5; // of the files skipped
const ANNOUNCE_INTERVAL_MS = 2000;

let items = [];
let model = null;
let session = new AbortController();
let nextId = 0;
let announcedAt = 0;
let keySubmitted = null;

function writeTexts() {
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
  }
  document.title = say("title");
  byId("keys").replaceChildren(...TEXTS.keys.flatMap(([key, action]) => [el("dt", {}, key), el("dd", {}, action)]));
}

writeTexts();
const viewer = new Viewer();
const list = new List({ open, retry });
const table = new Table({ open });
const queue = new Queue(analyse);
const refresh = onceAFrame(() => {
  drawProgress();
  if (!byId("table").hidden) table.draw(items);
});

async function loadModel() {
  while (!model) {
    try {
      model = await fetchModel();
    } catch (error) {
      if (requiresKey(error.problem)) {
        await askForKey(error.problem);
        continue;
      }
      byId("banner").textContent = say("modelUnreachable");
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
  byId("banner").textContent = "";
  byId("model").textContent = say(model.site ? "modelOfSite" : "model", { ...model, site: model.site?.name });
  const options = Object.entries(pointsOf(model, model.population)).map(([name, point]) => el("option", { value: name },
    say("pointOption", {
      name,
      threshold: point.threshold.toFixed(4),
      sensitivity: point.sensitivity.value.toFixed(2),
      specificity: point.specificity.value.toFixed(2),
    })));
  byId("point").replaceChildren(...options);
  byId("point").value = model.operating_point;
  const text = await card().catch(() => null);
  byId("card").textContent = text ?? say("cardMissing");
  const { meantFor, notMeantFor } = usesOf(text ?? "");
  const unstated = say(text === null ? "cardMissing" : "usesNotStated");
  byId("meant-for").textContent = meantFor ? say("meantFor", { uses: meantFor }) : unstated;
  byId("not-meant-for").textContent = notMeantFor ? say("notMeantFor", { uses: notMeantFor }) : "";
}
const ready = loadModel();

/** Ask the user for a key, and wait until it is submitted. Concurrent callers share one form. */
async function askForKey(problem) {
  const form = byId("key-form");
  if (!keySubmitted) {
    const reason = problem.status === 403 ? "keyForbidden" : byId("key").value ? "keyWrong" : "keyNeeded";
    byId("key-why").textContent = say(reason);
    form.hidden = false;
    byId("key").focus();
    keySubmitted = new Promise((resolve) => form.addEventListener("submit", resolve, { once: true }));
  }
  await keySubmitted;
  keySubmitted = null;
  form.hidden = true;
}

function add({ chosen, skipped }) {
  const room = MAX_IMAGES - items.length;
  const added = chosen.slice(0, room).map(({ file, name }) => makeItem(nextId++, file, name));
  const notes = [];
  if (skipped.length) {
    const names = skipped.slice(0, NAMED).join(", ") + (skipped.length > NAMED ? ", …" : "");
    notes.push(say("skipped", { count: skipped.length, names }));
  }
  if (chosen.length > room) notes.push(say("tooMany", { most: MAX_IMAGES, count: chosen.length - room }));
  byId("notes").textContent = notes.join(" ");
  items.push(...added);
  added.forEach((item) => list.add(item));
  document.body.classList.toggle("working", items.length > 0);
  queue.add(added);
  refresh();
}

async function analyse(item) {
  const { signal } = session;
  await ready;
  if (signal.aborted) return;
  update(item, { state: "analysing", problem: null });
  try {
    const answer = await predict(item.file, byId("point").value, signal, () => {
      byId("notes").textContent = say("full");
    });
    if (signal.aborted) return;
    if (byId("notes").textContent === say("full")) byId("notes").textContent = "";
    update(item, { state: "done", answer });
  } catch (error) {
    const problem = problemOf(error, signal);
    if (!problem) return;
    update(item, requiresKey(problem) ? { state: "waiting" } : { state: "failed", problem });
    if (!requiresKey(problem)) return;
    await askForKey(problem);
    if (!signal.aborted) queue.add([item]);
  }
}

function update(item, changes) {
  Object.assign(item, changes);
  judge(item, model, byId("point").value);
  list.update(item);
  if (viewer.item === item) viewer.update();
  refresh();
}

function retry(item) {
  update(item, { state: "waiting", problem: null });
  queue.add([item]);
  list.focus(item);
}

function open(item) {
  showTable(false);
  list.mark(item);
  viewer.open(item);
  byId("stage").focus({ preventScroll: true });
}

function close() {
  const { item } = viewer;
  if (!item) return;
  viewer.close();
  list.mark(null);
  list.focus(item);
}

function step(by) {
  const at = items.indexOf(viewer.item);
  const next = viewer.item ? items[at + by] : items[0];
  if (next) open(next);
}

function clear() {
  session.abort();
  session = new AbortController();
  queue.clear();
  viewer.close();
  list.clear();
  items = [];
  showTable(false);
  document.body.classList.remove("working");
  byId("notes").textContent = "";
  byId("live").textContent = say("removed");
  byId("choose").focus();
  refresh();
}

function drawProgress() {
  const { total, done, failed, positive, negative, warned } = count(items);
  const parts = [say("progress", { done: done + failed, total })];
  if (done) parts.push(say("counts", { positive, negative }));
  if (warned) parts.push(say("withWarnings", { count: warned }));
  if (failed) parts.push(say("failures", { count: failed }));
  byId("progress-bar").max = total || 1;
  byId("progress-bar").value = done + failed;
  byId("progress-bar").hidden = done + failed === total;
  byId("progress").textContent = parts.join(" \u00b7 ");
  byId("csv").disabled = done + failed === 0;
  const finished = total > 0 && done + failed === total;
  const now = performance.now();
  if (total && (finished || now - announcedAt > ANNOUNCE_INTERVAL_MS)) {
    announcedAt = now;
    byId("live").textContent = parts.join(", ");
  }
}

function showTable(visible) {
  byId("table").hidden = !visible;
  byId("panes").hidden = visible;
  byId("view-table").checked = visible;
  byId("view-list").checked = !visible;
  refresh();
}

function downloadCsv() {
  const url = URL.createObjectURL(new Blob([toCsv(table.sorted(items))], { type: "text/csv" }));
  el("a", { href: url, download: "radiographs.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function changePoint() {
  for (const item of items) if (item.answer) update(item, {});
}

function changeTheme() {
  const light = document.documentElement.dataset.theme !== "light";
  document.documentElement.dataset.theme = light ? "light" : "dark";
  byId("theme").textContent = say(light ? "dark" : "light");
}

const KEYS = {
  n: () => step(1),
  p: () => step(-1),
  h: () => viewer.item && viewer.toggleHeat(),
  "[": () => viewer.fade(-10),
  "]": () => viewer.fade(10),
  "+": () => viewer.stage.zoom(1.25),
  "=": () => viewer.stage.zoom(1.25),
  "-": () => viewer.stage.zoom(0.8),
  0: () => viewer.stage.reset(),
  t: () => items.length && showTable(byId("table").hidden),
  o: () => byId("files").click(),
  "?": () => byId("help").showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return close();
  const typing = event.target.matches("select, textarea, input:not([type=checkbox], [type=radio], [type=range])");
  const action = KEYS[event.key.toLowerCase()];
  if (!action || typing || !byId("single-keys").checked) return;
  event.preventDefault();
  action();
}

function addListeners() {
  for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"], ["add", "files"], ["add-folder", "folder"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
  }
  for (const id of ["files", "folder"]) {
    byId(id).addEventListener("change", ({ target }) => {
      add(fromInput(target));
      target.value = "";
    });
  }
  const clicks = {
    clear, csv: downloadCsv, back: close, theme: changeTheme,
    previous: () => step(-1), next: () => step(1),
    "open-help": () => byId("help").showModal(), "open-card": () => byId("about").showModal(),
  };
  for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", action);
  byId("view-list").addEventListener("change", () => showTable(false));
  byId("view-table").addEventListener("change", () => showTable(true));
  byId("point").addEventListener("change", changePoint);
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value.trim());
  });
  document.addEventListener("keydown", onKey);
  // On the whole document: if a file were dropped outside the drop area, the browser would open it instead of the page.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    add(await fromDrop(event.dataTransfer));
  });
}

addListeners();
refresh();

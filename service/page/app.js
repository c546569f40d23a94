// The page's wiring: files come in, the queue has them read, list, table and viewer show what is known.

import { toCsv } from "./csv.js";
import { byId, el, onceAFrame } from "./dom.js";
import { fromDrop, fromInput } from "./files.js";
import { count, judge, makeItem, usesOf } from "./items.js";
import { List } from "./list.js";
import { card, model as askModel, predict, problemOf, Queue, useKey, wantsKey } from "./service.js";
import { Table } from "./table.js";
import { say, TEXTS } from "./texts.js";
import { Viewer } from "./viewer.js";

const MOST_IMAGES = 2000;
const ANNOUNCE_MS = 2000;

let items = [];
let model = null;
let session = new AbortController();
let ids = 0;
let announced = 0;
let keyGiven = null;

function writeTexts() {
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
  }
  document.title = say("title");
  byId("keys").replaceChildren(...TEXTS.keys.flatMap(([key, does]) => [el("dt", {}, key), el("dd", {}, does)]));
}

writeTexts();
const viewer = new Viewer();
const list = new List({ open, retry });
const table = new Table({ open });
const queue = new Queue(read);
const refresh = onceAFrame(() => {
  drawProgress();
  if (!byId("table").hidden) table.draw(items);
});

async function loadModel() {
  while (!model) {
    try {
      model = await askModel();
    } catch (error) {
      if (wantsKey(error.problem)) {
        await needKey(error.problem);
        continue;
      }
      byId("banner").textContent = say("modelUnreachable");
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
  byId("banner").textContent = "";
  byId("model").textContent = say("model", model);
  const options = Object.entries(model.operating_points).map(([name, point]) => el("option", { value: name },
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
  byId("meant-for").textContent = meantFor ? say("meantFor", { uses: meantFor }) : say("usesNotStated");
  byId("not-meant-for").textContent = notMeantFor ? say("notMeantFor", { uses: notMeantFor }) : "";
}
const ready = loadModel();

/** Ask for a key, once for all who need one, and go on when it is there. */
async function needKey(problem) {
  const form = byId("key-form");
  if (!keyGiven) {
    const why = problem.status === 403 ? "keyForbidden" : byId("key").value ? "keyWrong" : "keyNeeded";
    byId("key-why").textContent = say(why);
    form.hidden = false;
    byId("key").focus();
    keyGiven = new Promise((resolve) => form.addEventListener("submit", resolve, { once: true }));
  }
  await keyGiven;
  keyGiven = null;
  form.hidden = true;
}

function add({ chosen, skipped }) {
  const room = MOST_IMAGES - items.length;
  const added = chosen.slice(0, room).map(({ file, name }) => makeItem(ids++, file, name));
  const notes = [];
  if (skipped) notes.push(say("skipped", { count: skipped }));
  if (chosen.length > room) notes.push(say("tooMany", { most: MOST_IMAGES, count: chosen.length - room }));
  byId("notes").textContent = notes.join(" ");
  items.push(...added);
  added.forEach((item) => list.add(item));
  document.body.classList.toggle("working", items.length > 0);
  queue.add(added);
  refresh();
}

async function read(item) {
  const { signal } = session;
  await ready;
  if (signal.aborted) return;
  changed(item, { state: "reading", problem: null });
  try {
    const answer = await predict(item.file, byId("point").value, signal, () => {
      byId("notes").textContent = say("full");
    });
    if (signal.aborted) return;
    if (byId("notes").textContent === say("full")) byId("notes").textContent = "";
    changed(item, { state: "done", answer });
  } catch (error) {
    const problem = problemOf(error, signal);
    if (!problem) return;
    changed(item, wantsKey(problem) ? { state: "waiting" } : { state: "failed", problem });
    if (!wantsKey(problem)) return;
    await needKey(problem);
    if (!signal.aborted) queue.add([item]);
  }
}

function changed(item, what) {
  Object.assign(item, what);
  judge(item, model, byId("point").value);
  list.update(item);
  if (viewer.item === item) viewer.update();
  refresh();
}

function retry(item) {
  changed(item, { state: "waiting", problem: null });
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
  if (failed) parts.push(say("notRead", { count: failed }));
  byId("progress-bar").max = total || 1;
  byId("progress-bar").value = done + failed;
  byId("progress-bar").hidden = done + failed === total;
  byId("progress").textContent = parts.join(" \u00b7 ");
  byId("csv").disabled = done + failed === 0;
  const finished = total > 0 && done + failed === total;
  const now = performance.now();
  if (total && (finished || now - announced > ANNOUNCE_MS)) {
    announced = now;
    byId("live").textContent = parts.join(", ");
  }
}

function showTable(wanted) {
  byId("table").hidden = !wanted;
  byId("panes").hidden = wanted;
  byId("view-table").checked = wanted;
  byId("view-list").checked = !wanted;
  refresh();
}

function downloadCsv() {
  const url = URL.createObjectURL(new Blob([toCsv(table.sorted(items))], { type: "text/csv" }));
  el("a", { href: url, download: "radiographs.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function changePoint() {
  for (const item of items) if (item.answer) changed(item, {});
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
  const busy = event.target.matches("select, textarea, input:not([type=checkbox], [type=radio], [type=range])");
  const action = KEYS[event.key.toLowerCase()];
  if (!action || busy || !byId("single-keys").checked) return;
  event.preventDefault();
  action();
}

function wire() {
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
  // Anywhere on the page: a file dropped beside a target would replace the page, and with it all results.
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

wire();
refresh();

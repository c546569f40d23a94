// What the user presses and types.

import { byId, download } from "./common/dom.js";
import { preference, remember } from "./common/preferences.js";
import { say } from "./common/texts.js";
import { openCard } from "./dialogs/card.js";
import { toCsv } from "./images/csv.js";
import { discard, prepare, printImage, printList } from "./report/report.js";
import { plainText } from "./viewer/facts.js";

/** Connect every control with the session. */
export function startControls(session) {
  startButtons(session);
  startSelects(session);
  startPrevalence(session);
  document.addEventListener("keydown", (event) => onKey(event, keysOf(session)));
  addEventListener("beforeunload", (event) => {
    if (!session.isEmpty) event.preventDefault();
  });
  addEventListener("beforeprint", () => prepare(session.viewer.item, session.worklist.visible(), session.served));
  addEventListener("afterprint", discard);
}

function startButtons(session) {
  const { served, viewer, worklist } = session;
  const clicks = {
    clear: () => session.clear(),
    csv: () => download(new Blob([toCsv(worklist.visible())], { type: "text/csv" }), "radiographs.csv"),
    "retry-all": () => session.retryAll(),
    "print-list": () => printList(worklist.visible(), served),
    print: () => printImage(viewer.item, served),
    copy: () => copy(plainText(viewer.item, served)),
    back: () => session.close(),
    previous: () => session.step(-1),
    next: () => session.step(1),
    "open-help": () => byId("help").showModal(),
    "open-card": () => openCard(served.card || null),
  };
  for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", action);
}

function startSelects(session) {
  byId("view-list").addEventListener("change", () => session.showTable(false));
  byId("view-table").addEventListener("change", () => session.showTable(true));
  byId("point").addEventListener("change", () => session.changePoint());
  byId("population").addEventListener("change", () => session.changePopulation());
  byId("filter").addEventListener("change", ({ target }) => session.filter(target.value));
  byId("sort").addEventListener("change", ({ target }) => {
    const [column, direction] = target.value.split("-");
    session.sortBy(column === "added" ? null : column, direction === "down");
  });
}

/** The prevalence is a percentage; what is no number between 0 and 100 counts as not entered. */
function startPrevalence(session) {
  const input = byId("prevalence");
  const entered = Number(preference("prevalence"));
  if (entered) input.value = String(Math.round(1000 * entered) / 10);
  input.addEventListener("input", () => {
    const share = Number(input.value) / 100;
    remember("prevalence", share > 0 && share < 1 ? String(share) : "");
    session.redraw();
  });
}

/** Copy a text. The clipboard of the browser exists over HTTPS and on this machine only. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = byId("clipboard");
    field.value = text;
    field.hidden = false;
    field.select();
    document.execCommand("copy");
    field.hidden = true;
  }
  byId("live").textContent = say("copied");
}

function keysOf(session) {
  const { viewer } = session;
  const { stage } = viewer;
  return {
    n: () => session.step(1),
    p: () => session.step(-1),
    h: () => viewer.item && viewer.toggleHeat(),
    s: () => viewer.item && viewer.toggleSplit(),
    i: () => stage.invert(),
    r: () => stage.rotate(),
    f: () => stage.flip(),
    1: () => stage.actualSize(),
    m: () => viewer.item && byId("tool-ruler").click(),
    "[": () => viewer.fade(-10),
    "]": () => viewer.fade(10),
    "+": () => stage.zoom(1.25),
    "=": () => stage.zoom(1.25),
    "-": () => stage.zoom(0.8),
    0: () => stage.reset(),
    c: () => viewer.item && byId("copy").click(),
    t: () => !session.isEmpty && session.showTable(byId("table").hidden),
    o: () => byId("files").click(),
    "?": () => byId("help").showModal(),
    Escape: () => session.close(),
  };
}

function onKey(event, keys) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return keys.Escape();
  const isTyping = event.target.matches("select, textarea, input:not([type=checkbox], [type=radio], [type=range])");
  const action = keys[event.key.toLowerCase()];
  if (!action || isTyping || !byId("single-keys").checked) return;
  event.preventDefault();
  action();
}

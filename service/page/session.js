// The images of this page and their life cycle: chosen, analysed, listed, opened, removed.

import { byId, onceAFrame } from "./common/dom.js";
import { problemText, say } from "./common/texts.js";
import { confirmed } from "./dialogs/confirm.js";
import { askForKey } from "./dialogs/key_form.js";
import { formatOf, isReadable } from "./images/formats.js";
import { count, isTransient, judge, makeItem } from "./images/items.js";
import { isAway, predict, problemOf, requiresKey } from "./service/client.js";
import { Outage, Queue } from "./service/queue.js";
import { Served } from "./service/served.js";
import { Viewer } from "./viewer/viewer.js";
import { List } from "./worklist/list.js";
import { Progress } from "./worklist/progress.js";
import { Table } from "./worklist/table.js";
import { Worklist } from "./worklist/worklist.js";

const MAX_IMAGES = 2000;
const NAMED = 5; // of the files skipped
// Of one image while the service is there: the connection breaks over this file.
const MAX_BROKEN = 3;

const wide = matchMedia("(min-width: 761px)");

export class Session {
  #abort = new AbortController();
  #nextId = 0;
  #isBusy = false;
  #isAway = false;

  constructor() {
    this.served = new Served();
    this.worklist = new Worklist();
    this.viewer = new Viewer(this.served);
    this.list = new List({ open: (item) => this.open(item), retry: (item) => this.retry([item]) });
    this.table = new Table({ worklist: this.worklist, open: (item) => this.open(item), sort: (by) => this.sortBy(by) });
    this.progress = new Progress();
    this.queue = new Queue((item) => this.#analyse(item));
    this.outage = new Outage((isAway) => this.#away(isAway));
    this.refresh = onceAFrame(() => this.#draw());
  }

  start() {
    this.served.draw();
    this.ready = this.served.load();
    this.refresh();
  }

  get items() {
    return this.worklist.items;
  }

  get isEmpty() {
    return this.items.length === 0;
  }

  /** Take files as images/files.js finds them: {chosen: [{file, name}], skipped: [name]}. The first image opens by itself. */
  add({ chosen, skipped }) {
    const room = MAX_IMAGES - this.items.length;
    const added = chosen.slice(0, room).map(({ file, name }) => makeItem(this.#nextId++, file, name));
    const notes = [];
    if (skipped.length) {
      const names = skipped.slice(0, NAMED).join(", ") + (skipped.length > NAMED ? ", …" : "");
      notes.push(say("skipped", { count: skipped.length, names }));
    }
    if (chosen.length > room) notes.push(say("tooMany", { most: MAX_IMAGES, count: chosen.length - room }));
    byId("notes").textContent = notes.join(" ");
    this.items.push(...added);
    added.forEach((item) => this.list.add(item));
    document.body.classList.toggle("working", !this.isEmpty);
    this.queue.add(added);
    this.#draw();
    if (!this.viewer.item && wide.matches && byId("table").hidden) this.#view(this.worklist.visible()[0]);
  }

  retry(items) {
    for (const item of items) this.#update(item, { state: "waiting", problem: null });
    this.queue.add(items);
    if (items.length === 1) this.list.focus(items[0]);
  }

  retryAll() {
    this.retry(this.items.filter((item) => item.state === "failed" && isTransient(item.problem)));
  }

  open(item) {
    this.showTable(false);
    this.#view(item);
    byId("stage").focus({ preventScroll: true });
  }

  close() {
    const { item } = this.viewer;
    if (!item) return;
    this.viewer.close();
    this.list.mark(null);
    this.list.focus(item);
  }

  step(by) {
    const next = this.worklist.next(this.viewer.item, by);
    if (next) this.open(next);
  }

  async clear() {
    if (this.isEmpty || !(await confirmed("removeQuestion", "clear"))) return;
    this.#abort.abort();
    this.#abort = new AbortController();
    this.queue.clear();
    this.viewer.close();
    this.list.clear();
    this.worklist.items = [];
    this.filter("all");
    this.showTable(false);
    document.body.classList.remove("working");
    this.#isBusy = false;
    byId("notes").textContent = "";
    byId("live").textContent = say("removed");
    byId("choose").focus();
    this.refresh();
  }

  filter(name) {
    this.worklist.filter = name;
    byId("filter").value = name;
    this.refresh();
  }

  sortBy(column, descending = null) {
    if (descending === null) this.worklist.sortBy(column);
    else Object.assign(this.worklist, { column, descending });
    const { column: by, descending: down } = this.worklist;
    byId("sort").value = by ? `${by}-${down ? "down" : "up"}` : "added"; // nothing selected: by a column of the table only
    this.refresh();
  }

  changePoint() {
    for (const item of this.items) if (item.answer) this.#update(item, {});
  }

  /** Another population has another calibration, and so each image another probability: ask again for those that have
   * one. */
  changePopulation() {
    this.served.draw();
    const answered = this.items.filter((item) => item.answer);
    for (const item of answered) Object.assign(item, { answer: null, verdict: null });
    this.retry(answered);
  }

  showTable(visible) {
    byId("table").hidden = !visible;
    byId("panes").hidden = visible;
    byId("view-table").checked = visible;
    byId("view-list").checked = !visible;
    this.refresh();
  }

  /** Draw everything again: in another language, or with another prevalence. */
  redraw() {
    this.served.draw();
    this.items.forEach((item) => this.list.update(item));
    if (this.viewer.item) this.viewer.update();
    this.viewer.stage.redraw();
    this.#drawBanner();
    this.refresh();
  }

  async #analyse(item) {
    const { signal } = this.#abort;
    await this.ready;
    for (let broken = 0; !signal.aborted;) {
      await this.outage.end();
      if (signal.aborted) return;
      this.#update(item, { state: "analysing", problem: null });
      const problem = await this.#ask(item, signal);
      if (!problem || signal.aborted) return;
      broken += problem.status === 0;
      if (requiresKey(problem)) {
        this.#update(item, { state: "waiting" });
        await askForKey(problem);
      } else if (isAway(problem) && broken < MAX_BROKEN && (await isReadable(item.file))) {
        this.#update(item, { state: "waiting" });
        await this.outage.begin();
      } else {
        return this.#fail(item, problem);
      }
    }
  }

  /** The answer to one image goes to its item; returns the problem if there is none. */
  async #ask(item, signal) {
    try {
      const { choice } = this.served;
      const answer = await predict(item.file, choice, signal, (problem) => this.#busy(problem));
      if (choice.population !== this.served.choice.population) return this.#ask(item, signal); // it changed meanwhile
      if (!signal.aborted) this.#update(item, { state: "done", answer });
      return null;
    } catch (error) {
      return problemOf(error, signal);
    }
  }

  async #fail(item, problem) {
    const isReadableNow = await isReadable(item.file);
    if (!isReadableNow) problem = { type: "/problems/unreadable-file", status: 400 };
    else if (problem.status === 415 || problem.type.endsWith("/unsupported-modality")) {
      const format = item.name.endsWith("DICOMDIR") ? "dicomdir" : await formatOf(item.file);
      if (format && format !== "dicom") problem = { ...problem, format };
    }
    this.#update(item, { state: "failed", problem });
  }

  /** An image waits for the service; null: none does any more. */
  #busy(problem) {
    if (!problem && !this.#isBusy) return;
    this.#isBusy = Boolean(problem);
    byId("notes").textContent = problem ? say("busy", { why: problemText(problem) }) : "";
  }

  /** An outage of the service has begun or ended: it may serve another model now. */
  #away(isAway) {
    this.#isAway = isAway;
    this.#drawBanner();
    if (!isAway) this.ready = this.served.load();
    this.refresh();
  }

  #drawBanner() {
    if (this.#isAway) byId("banner").textContent = say("away");
    else if (this.served.model) byId("banner").textContent = "";
  }

  #update(item, changes) {
    Object.assign(item, changes);
    judge(item, this.served.model, byId("point").value);
    this.list.update(item);
    if (this.viewer.item === item) this.viewer.update();
    this.refresh();
  }

  #view(item) {
    this.list.mark(item);
    this.viewer.open(item);
    this.#drawPlace();
  }

  #draw() {
    const visible = this.worklist.visible();
    this.progress.draw(count(this.items), this.#isAway);
    this.list.arrange(visible);
    byId("list-empty").hidden = visible.length > 0;
    if (!byId("table").hidden) this.table.draw();
    this.#drawPlace();
    for (const id of ["csv", "print-list"]) byId(id).disabled = !this.items.some((item) => item.verdict || item.problem);
  }

  /** Where the open image stands in what is seen. */
  #drawPlace() {
    const visible = this.worklist.visible();
    const at = visible.indexOf(this.viewer.item);
    byId("place").textContent = at < 0 ? "" : say("place", { at: at + 1, total: visible.length });
    byId("previous").disabled = at === 0;
    byId("next").disabled = at >= 0 && at === visible.length - 1;
  }
}

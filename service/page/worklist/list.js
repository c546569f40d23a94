// The list of images: one row per image, in the order of the worklist.

import { byId, el, nameOf } from "../common/dom.js";
import { problemText, say, shortWarning, shown } from "../common/texts.js";
import { isTransient } from "../images/items.js";
import { labelClass, labelText, scale } from "./labels.js";
import { drawThumb, THUMB } from "./thumbs.js";

export class List {
  #rows = new Map();
  #thumbs = Promise.resolve();

  constructor({ open, retry }) {
    this.element = byId("list");
    this.open = open;
    this.retry = retry;
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.visible = new IntersectionObserver((entries) => this.#drawThumbs(entries), { rootMargin: "200px" });
  }

  add(item) {
    const thumb = el("canvas", { className: "thumb", width: 2 * THUMB, height: 2 * THUMB, "aria-hidden": "true" });
    const body = el("span", { className: "body" });
    const button = el("button", { type: "button", className: "row", tabIndex: this.#rows.size ? -1 : 0 }, thumb, body);
    button.addEventListener("click", () => this.open(item));
    button.addEventListener("focus", () => this.#makeCurrent(button));
    const row = el("li", {}, button);
    thumb.item = item;
    this.#rows.set(item, { row, button, body });
    this.visible.observe(thumb);
    this.update(item);
  }

  update(item) {
    const { row, button, body } = this.#rows.get(item);
    const retryable = item.state === "failed" && isTransient(item.problem);
    button.classList.toggle("retryable", retryable);
    body.replaceChildren(nameOf(item.name), ...summary(item));
    row.querySelector(".retry")?.remove();
    if (retryable) row.append(this.#retryButton(item));
  }

  /** Show these items, in this order. The focus stays on its row. */
  arrange(items) {
    const rows = items.map((item) => this.#rows.get(item).row);
    if (rows.length === this.element.children.length && rows.every((row, at) => row === this.element.children[at])) return;
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.element.replaceChildren(...rows);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    const buttons = this.#buttons();
    if (!buttons.some((button) => button.tabIndex === 0) && buttons.length) this.#makeCurrent(buttons[0]);
  }

  #retryButton(item) {
    const button = el("button", { type: "button", className: "retry" }, say("retry"));
    button.setAttribute("aria-label", `${say("retry")}: ${item.name}`);
    button.addEventListener("click", () => this.retry(item));
    return button;
  }

  clear() {
    this.#rows.clear();
    this.visible.disconnect();
    this.element.replaceChildren();
  }

  /** Mark the row of the open item, and scroll it into view. */
  mark(item) {
    for (const { button } of this.#rows.values()) button.removeAttribute("aria-current");
    const found = this.#rows.get(item);
    if (!found) return;
    found.button.setAttribute("aria-current", "true");
    this.#makeCurrent(found.button);
    found.row.scrollIntoView({ block: "nearest" });
  }

  focus(item) {
    this.#rows.get(item)?.button.focus();
  }

  #buttons() {
    return [...this.element.querySelectorAll(".row")];
  }

  /** Roving tab index: Tab reaches one row, the arrow keys reach the others. */
  #makeCurrent(button) {
    for (const other of this.#rows.values()) other.button.tabIndex = other.button === button ? 0 : -1;
  }

  #key(event) {
    const buttons = this.#buttons();
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    buttons[Math.min(Math.max(to, 0), buttons.length - 1)].focus();
  }

  /** One after the other: decoding many large files at once would take too much memory. */
  #drawThumbs(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.visible.unobserve(target);
      this.#thumbs = this.#thumbs.then(() => target.isConnected && drawThumb(target, target.item.file))
        .catch(() => {}); // a file that cannot be decoded has no thumbnail
    }
  }
}

function summary(item) {
  const { verdict, problem } = item;
  if (problem) return [el("span", { className: "error" }, problemText(problem))];
  if (!verdict) return [el("span", { className: "quiet" }, say(item.state === "analysing" ? "analysing" : "waiting"))];
  return [
    el("span", { className: "verdict" },
      el("span", { className: labelClass(verdict) }, labelText(verdict)),
      el("span", { className: "number" }, shown(verdict.probability))),
    scale(verdict),
    ...verdict.warnings.map((warning) => el("span", { className: "warning" }, shortWarning(warning))),
  ];
}

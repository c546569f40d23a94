// The list of images: one row per image, in the order in which they were chosen.

import { byId, el, shown } from "./dom.js";
import { isTransient } from "./items.js";
import { problemText, say, shortWarning } from "./texts.js";

const THUMB = 56;

/** The CSS classes of a label: an unreliable one looks different. */
export const labelClass = ({ label, unreliable }) => `label ${label} ${unreliable ? "unreliable" : ""}`;

/** A bar that shows the probability relative to the threshold, on a scale from 0 to 1. */
export function scale(verdict) {
  const { probability, threshold } = verdict;
  const values = { probability: shown(probability), threshold: threshold.toFixed(4) };
  const bar = el("div", { className: labelClass(verdict).replace("label", "scale"), role: "img", "aria-label": say("scale", values) });
  for (const [name, value] of [["fill", probability], ["tick", threshold], ["dot", probability]]) {
    const mark = el("span", { className: name });
    mark.style[name === "fill" ? "width" : "left"] = `${100 * value}%`;
    bar.append(mark);
  }
  return bar;
}

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
    this.element.append(row);
    this.visible.observe(thumb);
    this.update(item);
  }

  update(item) {
    const { row, button, body } = this.#rows.get(item);
    const retryable = item.state === "failed" && isTransient(item.problem);
    button.classList.toggle("retryable", retryable);
    body.replaceChildren(el("span", { className: "name", title: item.name }, item.name), ...summary(item));
    row.querySelector(".retry")?.remove();
    if (retryable) row.append(this.#retryButton(item));
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

  /** Roving tab index: Tab reaches one row, the arrow keys reach the others. */
  #makeCurrent(button) {
    for (const other of this.#rows.values()) other.button.tabIndex = other.button === button ? 0 : -1;
  }

  #key(event) {
    const buttons = [...this.#rows.values()].map(({ button }) => button);
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
      this.#thumbs = this.#thumbs.then(() => drawThumb(target)).catch(() => {}); // a file that cannot be decoded has no thumbnail
    }
  }
}

async function drawThumb(canvas) {
  if (!canvas.isConnected) return;
  const side = canvas.width;
  const bitmap = await createImageBitmap(canvas.item.file, { resizeWidth: side, resizeQuality: "medium" });
  const height = Math.min((side * bitmap.height) / bitmap.width, side);
  canvas.getContext("2d").drawImage(bitmap, 0, (side - height) / 2, side, height);
  bitmap.close();
}

function summary(item) {
  const { verdict, problem } = item;
  if (problem) return [el("span", { className: "error" }, problemText(problem))];
  if (!verdict) return [el("span", { className: "quiet" }, say(item.state === "analysing" ? "analysing" : "waiting"))];
  return [
    el("span", { className: "verdict" },
      el("span", { className: labelClass(verdict) }, say(`labels.${verdict.label}`)),
      el("span", { className: "number" }, shown(verdict.probability))),
    scale(verdict),
    ...verdict.warnings.map((warning) => el("span", { className: "warning" }, shortWarning(warning))),
  ];
}

// The picture with its heatmap, and beside it without: zoom, position, turns, window and level, by pointer and keyboard.

import { byId, el } from "../common/dom.js";
import { say } from "../common/texts.js";
import { Ruler } from "./ruler.js";
import { bounded, View } from "./view.js";

const FULL_RANGE = { width: 255, level: 127.5 };

export class Stage {
  #view = null;
  #window = { ...FULL_RANGE };
  #inverted = false;
  #pointers = new Map();
  #ruler = new Ruler();
  tool = "window";

  constructor() {
    this.frame = byId("stage");
    this.pane = byId("pane");
    this.frame.addEventListener("pointerdown", (event) => this.#down(event));
    this.frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) this.frame.addEventListener(end, (event) => this.#up(event));
    this.frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#zoomAt(Math.exp(-event.deltaY / 400), event);
    }, { passive: false });
    this.frame.addEventListener("contextmenu", (event) => event.preventDefault());
    this.frame.addEventListener("dblclick", () => this.tool !== "ruler" && this.reset());
    this.frame.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#resized()).observe(this.pane);
  }

  /** Show a picture: a loaded <img>, or a <canvas>.
   *
   * `size`: in pixels of the file, if the picture was made smaller; `spacing`: millimetres a pixel, as Ruler takes it. */
  show(picture, size, spacing = null) {
    const own = { width: picture.naturalWidth ?? picture.width, height: picture.naturalHeight ?? picture.height };
    this.#view = new View(size ?? own, this.#frameSize());
    this.#ruler.spacing = spacing;
    picture.id = "picture";
    byId("picture").replaceWith(picture);
    byId("plain-picture").replaceWith(copyOf(picture));
    for (const plane of this.frame.querySelectorAll(".plane")) {
      plane.style.width = `${this.#view.size.width}px`;
      plane.style.height = `${this.#view.size.height}px`;
    }
    this.reset();
  }

  /** Show nothing, so that the next heatmap never appears over the previous picture. */
  clear() {
    this.#view = null;
    this.#ruler.clear();
    for (const plane of this.frame.querySelectorAll(".plane")) plane.style.width = 0;
    byId("picture").replaceWith(el("img", { id: "picture", alt: "" }));
    byId("plain-picture").replaceWith(el("img", { id: "plain-picture", alt: "" }));
    byId("ruler").classList.remove("seen");
    byId("readout").textContent = "";
  }

  /** Restore the view that the picture was opened with. */
  reset() {
    [this.#window, this.#inverted] = [{ ...FULL_RANGE }, false];
    this.#ruler.clear();
    this.#change((view) => view.reset());
  }

  /** Zoom by a factor around the centre. */
  zoom = (factor) => this.#change((view) => view.zoomBy(factor));
  actualSize = () => this.#change((view) => view.actualSize());
  rotate = () => this.#change((view) => view.rotate());
  flip = () => this.#change((view) => view.flip());

  invert() {
    this.#inverted = !this.#inverted;
    this.#draw();
  }

  /** Show the picture without the heatmap beside it, or no longer. */
  split(isSplit) {
    byId("plain-pane").hidden = !isSplit;
    this.#resized();
  }

  /** Draw again, in another language. */
  redraw() {
    this.#draw();
  }

  #change(change) {
    if (!this.#view || !this.pane.clientWidth) return;
    this.#view.frame = this.#frameSize();
    change(this.#view);
    this.#draw();
  }

  #frameSize() {
    return { width: this.pane.clientWidth, height: this.pane.clientHeight };
  }

  #resized() {
    this.#change((view) => view.isFitted && view.fit());
  }

  #zoomAt(factor, { clientX, clientY, target }) {
    const { x, y } = this.#inPane(clientX, clientY, target);
    this.#change((view) => view.zoomBy(factor, x, y));
  }

  /** A point of the screen within the pane that it is in. */
  #inPane(clientX, clientY, target) {
    const frame = (target?.closest?.(".pane") ?? this.pane).getBoundingClientRect();
    return new DOMPoint(clientX - frame.left, clientY - frame.top);
  }

  /** Sideways: a wider window, less contrast. Downwards: a higher level, darker. The convention of radiology viewers. */
  #adjust(dx, dy) {
    this.#window.width = bounded(this.#window.width + dx, 1, 510);
    this.#window.level = bounded(this.#window.level + dy, 0, 255);
    this.#draw();
  }

  #down(event) {
    this.frame.focus({ preventScroll: true });
    this.frame.setPointerCapture(event.pointerId);
    const tool = event.button !== 0 || event.shiftKey ? "pan" : this.tool;
    const pane = event.target.closest(".pane");
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, tool, pane });
    if (tool === "ruler") this.#measure("press", event, pane);
    event.preventDefault();
  }

  #move(event) {
    const pointer = this.#pointers.get(event.pointerId);
    if (!pointer) return;
    const [dx, dy] = [event.clientX - pointer.x, event.clientY - pointer.y];
    if (this.#pointers.size === 2) this.#pinch(event, pointer);
    else if (pointer.tool === "pan") this.#change((view) => view.pan(dx, dy));
    else if (pointer.tool === "ruler") this.#measure("move", event, pointer.pane);
    else this.#adjust(dx, dy);
    [pointer.x, pointer.y] = [event.clientX, event.clientY];
  }

  #up(event) {
    if (this.#pointers.get(event.pointerId)?.tool === "ruler" && this.#view) this.#ruler.release(this.#view.matrix);
    this.#pointers.delete(event.pointerId);
  }

  #measure(step, event, pane) {
    if (!this.#view) return;
    const point = this.#inPane(event.clientX, event.clientY, pane);
    this.#ruler[step](this.#view.matrix.inverse().transformPoint(point));
    this.#draw();
  }

  /** Two fingers: their distance zooms, their centre pans. */
  #pinch(event, pointer) {
    const other = [...this.#pointers.values()].find((candidate) => candidate !== pointer);
    const before = Math.hypot(pointer.x - other.x, pointer.y - other.y);
    const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    this.#change((view) => view.pan((event.clientX - pointer.x) / 2, (event.clientY - pointer.y) / 2));
    if (before <= 10) return;
    const centre = { clientX: (event.clientX + other.x) / 2, clientY: (event.clientY + other.y) / 2 };
    this.#zoomAt(after / before, { ...centre, target: pointer.pane });
  }

  #key(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!direction || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.shiftKey) this.#adjust(8 * direction[0], 8 * direction[1]);
    else this.#change((view) => view.pan(40 * direction[0], 40 * direction[1]));
    event.preventDefault();
    event.stopPropagation();
  }

  #draw() {
    if (!this.#view) return;
    const { matrix, zoom, isTurned } = this.#view;
    const { width, level } = this.#window;
    for (const plane of this.frame.querySelectorAll(".plane")) plane.style.transform = matrix.toString();
    const sign = this.#inverted ? -1 : 1;
    for (const channel of byId("ramp").children) {
      channel.setAttribute("slope", (sign * 255) / width);
      channel.setAttribute("intercept", 0.5 - (sign * level) / width);
    }
    const unchanged = width === FULL_RANGE.width && level === FULL_RANGE.level && !this.#inverted;
    for (const id of ["picture", "plain-picture"]) byId(id).style.filter = unchanged ? "" : "url(#windowing)";
    this.#ruler.draw(matrix);
    const values = { width: Math.round(width), level: Math.round(level), zoom: Math.round(100 * zoom) };
    const states = [this.#inverted ? say("isInverted") : null, isTurned ? say("isTurned") : null];
    byId("readout").textContent = [say("readout", values), ...states].filter(Boolean).join("  ");
  }
}

function copyOf(picture) {
  const copy = picture.cloneNode();
  copy.id = "plain-picture";
  if (picture instanceof HTMLCanvasElement) copy.getContext("2d").drawImage(picture, 0, 0);
  return copy;
}

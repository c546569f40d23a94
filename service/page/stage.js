// The picture with its heatmap: zoom, position, window and level, by pointer and keyboard.

import { byId, el } from "./dom.js";
import { say } from "./texts.js";

const FULL_RANGE = { width: 255, level: 127.5 };
const MAX_ZOOM = 16;
const bounded = (value, least, most) => Math.min(Math.max(value, least), most);

export class Stage {
  #view = { zoom: 1, x: 0, y: 0 };
  #window = { ...FULL_RANGE };
  #pointers = new Map();
  #fitted = true;
  tool = "window";

  constructor() {
    this.frame = byId("stage");
    this.plane = byId("plane");
    this.frame.addEventListener("pointerdown", (event) => this.#down(event));
    this.frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.frame.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    this.frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
    }, { passive: false });
    this.frame.addEventListener("contextmenu", (event) => event.preventDefault());
    this.frame.addEventListener("dblclick", () => this.reset());
    this.frame.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#fitted && this.#fit()).observe(this.frame);
  }

  /** Show a picture: a loaded <img>, or a <canvas>. */
  show(picture) {
    const [width, height] = [picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height];
    this.plane.style.width = `${width}px`;
    this.plane.style.height = `${height}px`;
    this.size = { width, height };
    picture.id = "picture";
    byId("picture").replaceWith(picture);
    this.reset();
  }

  /** Show nothing, so that the next heatmap never appears over the previous picture. */
  clear() {
    this.size = null;
    this.plane.style.width = 0;
    byId("picture").replaceWith(el("img", { id: "picture", alt: "" }));
    byId("readout").textContent = "";
  }

  /** Restore the view that the picture was opened with. */
  reset() {
    this.#window = { ...FULL_RANGE };
    this.#fit();
  }

  /** Zoom by a factor around a point of the window, by default the centre. */
  zoom(factor, clientX, clientY) {
    if (!this.size) return;
    const frame = this.frame.getBoundingClientRect();
    const x = (clientX ?? frame.left + frame.width / 2) - frame.left;
    const y = (clientY ?? frame.top + frame.height / 2) - frame.top;
    const before = this.#view.zoom;
    const zoom = bounded(before * factor, this.#fittingZoom() / 2, MAX_ZOOM);
    this.#view = {
      zoom,
      x: x - ((x - this.#view.x) * zoom) / before,
      y: y - ((y - this.#view.y) * zoom) / before,
    };
    this.#fitted = false;
    this.#draw();
  }

  #fittingZoom() {
    return Math.min(this.frame.clientWidth / this.size.width, this.frame.clientHeight / this.size.height);
  }

  #fit() {
    if (!this.size || !this.frame.clientWidth) return;
    const zoom = this.#fittingZoom();
    this.#view = {
      zoom,
      x: (this.frame.clientWidth - this.size.width * zoom) / 2,
      y: (this.frame.clientHeight - this.size.height * zoom) / 2,
    };
    this.#fitted = true;
    this.#draw();
  }

  #pan(dx, dy) {
    if (!this.size) return;
    const edge = 40; // CSS pixels of the picture that stay within the frame
    const [width, height] = [this.size.width * this.#view.zoom, this.size.height * this.#view.zoom];
    this.#view.x = bounded(this.#view.x + dx, edge - width, this.frame.clientWidth - edge);
    this.#view.y = bounded(this.#view.y + dy, edge - height, this.frame.clientHeight - edge);
    this.#fitted = false;
    this.#draw();
  }

  /** Sideways: a wider window, less contrast. Downwards: a higher level, darker. The convention of radiology viewers. */
  #adjust(dx, dy) {
    if (!this.size) return;
    this.#window.width = bounded(this.#window.width + dx, 1, 510);
    this.#window.level = bounded(this.#window.level + dy, 0, 255);
    this.#draw();
  }

  #down(event) {
    this.frame.focus({ preventScroll: true });
    this.frame.setPointerCapture(event.pointerId);
    const tool = event.button !== 0 || event.shiftKey ? "pan" : this.tool;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, tool });
    event.preventDefault();
  }

  #move(event) {
    const pointer = this.#pointers.get(event.pointerId);
    if (!pointer) return;
    const [dx, dy] = [event.clientX - pointer.x, event.clientY - pointer.y];
    if (this.#pointers.size === 2) this.#pinch(event, pointer);
    else if (pointer.tool === "pan") this.#pan(dx, dy);
    else this.#adjust(dx, dy);
    [pointer.x, pointer.y] = [event.clientX, event.clientY];
  }

  /** Two fingers: their distance zooms, their centre pans. */
  #pinch(event, pointer) {
    const other = [...this.#pointers.values()].find((candidate) => candidate !== pointer);
    const before = Math.hypot(pointer.x - other.x, pointer.y - other.y);
    const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    this.#pan((event.clientX - pointer.x) / 2, (event.clientY - pointer.y) / 2);
    if (before > 10) this.zoom(after / before, (event.clientX + other.x) / 2, (event.clientY + other.y) / 2);
  }

  #key(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!direction || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.shiftKey) this.#adjust(8 * direction[0], 8 * direction[1]);
    else this.#pan(40 * direction[0], 40 * direction[1]);
    event.preventDefault();
    event.stopPropagation();
  }

  #draw() {
    const { zoom, x, y } = this.#view;
    const { width, level } = this.#window;
    this.plane.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
    for (const channel of byId("ramp").children) {
      channel.setAttribute("slope", 255 / width);
      channel.setAttribute("intercept", 0.5 - level / width);
    }
    const unchanged = width === FULL_RANGE.width && level === FULL_RANGE.level;
    byId("picture").style.filter = unchanged ? "" : "url(#windowing)";
    const values = { width: Math.round(width), level: Math.round(level), zoom: Math.round(100 * zoom) };
    byId("readout").textContent = say("readout", values);
  }
}

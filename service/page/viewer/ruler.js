// A line on the picture, with its length in pixels, or in millimetres where the file says how large a pixel is.

import { byId } from "../common/dom.js";
import { decimal, say } from "../common/texts.js";

const LEAST = 3; // CSS pixels between two ends that were meant

export class Ruler {
  #ends = [];
  #isOpen = false;
  spacing = null; // {x, y} in mm per pixel of the picture, {atDetector}

  /** The first press sets one end; dragging, or the next press, the other. Points are those of the picture. */
  press(point) {
    this.#ends = this.#isOpen ? [this.#ends[0], point] : [point, point];
    this.#isOpen = !this.#isOpen;
  }

  move(point) {
    if (this.#ends.length) this.#ends[1] = point;
  }

  /** The pointer was released: after a drag the line is done, after a click its second end is still to come. */
  release(matrix) {
    if (this.#isOpen && this.#pixelsOnScreen(matrix) >= LEAST) this.#isOpen = false;
  }

  clear() {
    [this.#ends, this.#isOpen] = [[], false];
  }

  /** Draw it as the picture lies. */
  draw(matrix) {
    const group = byId("ruler");
    const isSeen = this.#ends.length === 2 && this.#pixelsOnScreen(matrix) >= LEAST;
    group.classList.toggle("seen", isSeen);
    if (!isSeen) return;
    const [from, to] = this.#ends.map((end) => matrix.transformPoint(end));
    const line = group.querySelector("line");
    for (const [name, value] of [["x1", from.x], ["y1", from.y], ["x2", to.x], ["y2", to.y]]) {
      line.setAttribute(name, value);
    }
    const text = group.querySelector("text");
    text.setAttribute("x", Math.max(from.x, to.x) + 8);
    text.setAttribute("y", from.x > to.x ? from.y : to.y);
    text.textContent = this.text;
  }

  /** Its length, for people; empty without a line. */
  get text() {
    if (this.#ends.length < 2) return "";
    const [from, to] = this.#ends;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    if (!this.spacing) return say("lengthPixels", { length: decimal(Math.hypot(dx, dy), 0) });
    const length = decimal(Math.hypot(dx * this.spacing.x, dy * this.spacing.y), 1);
    return say(this.spacing.atDetector ? "lengthAtDetector" : "length", { length });
  }

  #pixelsOnScreen(matrix) {
    const [from, to] = this.#ends.map((end) => matrix.transformPoint(end));
    return Math.hypot(to.x - from.x, to.y - from.y);
  }
}

// Where a picture lies in its frame: zoom, position, quarter turns and mirroring. All lengths are CSS pixels.

const MAX_ZOOM = 16;
const EDGE = 40; // of the picture that stay within the frame
export const bounded = (value, least, most) => Math.min(Math.max(value, least), most);

export class View {
  #zoom = 1;
  #x = 0;
  #y = 0;
  #quarters = 0;
  #mirrored = false;
  isFitted = true;

  /** `size`: of the picture, {width, height} in its own pixels; `frame`: of what shows it. */
  constructor(size, frame) {
    this.size = size;
    this.frame = frame;
  }

  get zoom() {
    return this.#zoom;
  }

  /** Width and height of the picture as it is turned. */
  get #turned() {
    const { width, height } = this.size;
    return this.#quarters % 2 ? { width: height, height: width } : { width, height };
  }

  get #fittingZoom() {
    const { width, height } = this.#turned;
    return Math.min(this.frame.width / width, this.frame.height / height);
  }

  fit() {
    this.#zoom = this.#fittingZoom;
    this.#centre();
    this.isFitted = true;
  }

  /** Everything as it was at first. */
  reset() {
    [this.#quarters, this.#mirrored] = [0, false];
    this.fit();
  }

  rotate() {
    this.#quarters = (this.#quarters + 1) % 4;
    this.fit();
  }

  /** Mirror left and right, as it is seen. */
  flip() {
    if (this.#quarters % 2) this.#quarters = (this.#quarters + 2) % 4;
    this.#mirrored = !this.#mirrored;
  }

  /** Whether left and right are as in the file. */
  get isTurned() {
    return this.#mirrored || this.#quarters !== 0;
  }

  /** Zoom by a factor around a point of the frame, by default its centre. */
  zoomBy(factor, x = this.frame.width / 2, y = this.frame.height / 2) {
    const before = this.#zoom;
    this.#zoom = bounded(before * factor, this.#fittingZoom / 2, MAX_ZOOM);
    this.#x = x - ((x - this.#x) * this.#zoom) / before;
    this.#y = y - ((y - this.#y) * this.#zoom) / before;
    this.isFitted = false;
  }

  /** One pixel of the picture to one of the screen. */
  actualSize() {
    this.zoomBy(1 / devicePixelRatio / this.#zoom);
  }

  pan(dx, dy) {
    const { width, height } = this.#turned;
    this.#x = bounded(this.#x + dx, EDGE - width * this.#zoom, this.frame.width - EDGE);
    this.#y = bounded(this.#y + dy, EDGE - height * this.#zoom, this.frame.height - EDGE);
    this.isFitted = false;
  }

  /** From pixels of the picture to those of the frame. */
  get matrix() {
    const { width, height } = this.#turned;
    return new DOMMatrix().translate(this.#x, this.#y).scale(this.#zoom).translate(width / 2, height / 2)
      .rotate(90 * this.#quarters).scale(this.#mirrored ? -1 : 1, 1)
      .translate(-this.size.width / 2, -this.size.height / 2);
  }

  #centre() {
    const { width, height } = this.#turned;
    this.#x = (this.frame.width - width * this.#zoom) / 2;
    this.#y = (this.frame.height - height * this.#zoom) / 2;
  }
}

// The picture of a file as the browser shows it: by itself, from 16 bits, or drawn by the service from a DICOM object.

import { el } from "../common/dom.js";
import { isDicom } from "../images/formats.js";
import { render } from "../service/client.js";
import { sixteenBitCanvas } from "./sixteen.js";

const LONGEST_SIDE = 4096;

/** Load the picture of a file: {element, facts}; the element is an <img> or a <canvas>.
 *
 * `urlOf` makes an address of a blob. `facts`: what a DICOM object says of itself; else null. */
export async function loadPicture(file, signal, urlOf) {
  if (await isDicom(file)) {
    const { blob, headers } = await render(file, LONGEST_SIDE, signal);
    return { element: await image(urlOf(blob)), facts: factsOf(headers) };
  }
  const canvas = await sixteenBitCanvas(file).catch(() => null);
  return { element: canvas ?? (await image(urlOf(file))), facts: null };
}

async function image(src) {
  const element = el("img", { alt: "", draggable: false, src });
  await element.decode();
  return element;
}

function factsOf(headers) {
  const numbers = (name) => headers.get(name)?.split(",").map(Number) ?? null;
  const spacing = numbers("X-Pixel-Spacing"); // rows, columns: down, across
  const window = numbers("X-Window");
  return {
    size: { width: Number(headers.get("X-Columns")), height: Number(headers.get("X-Rows")) },
    spacing: spacing && { y: spacing[0], x: spacing[1], atDetector: headers.get("X-Pixel-Spacing-At") === "detector" },
    window: window && { level: window[0], width: window[1] },
    view: headers.get("X-View-Position"),
    age: headers.has("X-Patient-Age") ? Number(headers.get("X-Patient-Age")) : null,
  };
}

// Thumbnails of the list.

import { isDicom } from "../images/formats.js";
import { render } from "../service/client.js";

/** CSS pixels a side. */
export const THUMB = 56;

/** Draw an image file onto a square canvas. A DICOM object is drawn by the service, if it has time for it. */
export async function drawThumb(canvas, file) {
  const side = canvas.width;
  const source = (await isDicom(file))
    ? (await render(file, side, new AbortController().signal, { waits: false })).blob : file;
  const bitmap = await createImageBitmap(source, { resizeWidth: side, resizeQuality: "medium" });
  const height = Math.min((side * bitmap.height) / bitmap.width, side);
  canvas.getContext("2d").drawImage(bitmap, 0, (side - height) / 2, side, height);
  bitmap.close();
}

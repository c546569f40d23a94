// Decodes 16-bit greyscale PNG. A browser keeps the upper 8 bits only, so that 12-bit detector data stored unshifted
// would appear black. This scales as the service does: by the full range, or by 12 bits if no sample is over 4095.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const MAX_PIXELS = 50_000_000;

/** A canvas with the picture; null for other kinds of images, which the browser can display itself. */
export async function sixteenBitCanvas(file) {
  const head = new DataView(await file.slice(0, 29).arrayBuffer());
  if (head.byteLength < 29 || SIGNATURE.some((byte, at) => head.getUint8(at) !== byte)) return null;
  const [width, height] = [head.getUint32(16), head.getUint32(20)];
  const [depth, colour, interlaced] = [head.getUint8(24), head.getUint8(25), head.getUint8(28)];
  if (depth !== 16 || colour !== 0 || interlaced || width * height > MAX_PIXELS) return null;
  const rows = unfiltered(await inflated(new Uint8Array(await file.arrayBuffer())), width, height);
  return drawn(rows, width, height);
}

async function inflated(bytes) {
  const view = new DataView(bytes.buffer);
  const parts = [];
  for (let at = 8; at + 8 <= bytes.length;) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === 0x49444154) parts.push(bytes.subarray(at + 8, at + 8 + length)); // IDAT
    at += 12 + length;
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undo the filter of each row (PNG specification, section 9); two bytes per pixel. */
function unfiltered(data, width, height) {
  const line = 2 * width;
  const rows = new Uint8Array(line * height);
  for (let y = 0; y < height; y += 1) {
    const kind = data[y * (line + 1)];
    for (let x = 0; x < line; x += 1) {
      const at = y * line + x;
      const left = x >= 2 ? rows[at - 2] : 0;
      const up = y ? rows[at - line] : 0;
      const corner = x >= 2 && y ? rows[at - line - 2] : 0;
      rows[at] = data[y * (line + 1) + 1 + x] + guess(kind, left, up, corner);
    }
  }
  return rows;
}

function guess(kind, left, up, corner) {
  if (kind === 1) return left;
  if (kind === 2) return up;
  if (kind === 3) return (left + up) >> 1;
  return kind === 4 ? paeth(left, up, corner) : 0;
}

function paeth(left, up, corner) {
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function drawn(rows, width, height) {
  const samples = new DataView(rows.buffer);
  let most = 0;
  for (let at = 0; at < rows.length; at += 2) most = Math.max(most, samples.getUint16(at));
  const full = most <= 4095 ? 4095 : 65535;
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const grey = Math.floor((samples.getUint16(2 * pixel) * 255 + (full >> 1)) / full);
    image.data.fill(grey, 4 * pixel, 4 * pixel + 3);
    image.data[4 * pixel + 3] = 255;
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

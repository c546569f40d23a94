// What a file is, by its first bytes: to say what to do with those that are not read, and to show DICOM objects.

const HEAD_BYTES = 348;
// Name -> where its mark is, and the mark.
const MARKS = [
  ["dicom", 128, "DICM"],
  ["pdf", 0, "%PDF"],
  ["archive", 0, "PK\x03\x04"],
  ["archive", 0, "Rar!"],
  ["archive", 0, "7z\xBC\xAF"],
  ["archive", 0, "\x1F\x8B"],
  ["picture", 0, "II*\0"],
  ["picture", 0, "MM\0*"],
  ["picture", 0, "BM"],
  ["picture", 0, "GIF8"],
  ["picture", 8, "WEBP"],
  ["picture", 4, "ftyp"],
  ["picture", 4, "jP  "],
  ["picture", 4, "JXL "],
  ["picture", 0, "\xFF\x0A"],
  ["video", 0, "\x1A\x45\xDF\xA3"],
  ["video", 8, "AVI "],
  ["nifti", 344, "n+1"],
];
const VIDEO_BRANDS = /^(isom|mp4|avc|M4V|qt)/;

/** The kind of a file: "dicom", or one of those that are not read; null if it is not known. */
export async function formatOf(file) {
  const head = await headOf(file);
  const mark = MARKS.find(([, at, bytes]) => head.startsWith(bytes, at));
  if (mark?.[0] === "picture" && VIDEO_BRANDS.test(head.slice(8, 12))) return "video";
  return mark?.[0] ?? null;
}

/** Whether a file is a DICOM object. */
export const isDicom = async (file) => (await formatOf(file)) === "dicom";

/** Whether a file can still be opened: it may have been moved, or its drive removed. */
export const isReadable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);

async function headOf(file) {
  const bytes = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  return String.fromCharCode(...bytes);
}

// Collects the files that the user drops or chooses, including the contents of folders.

import { byId } from "../common/dom.js";
import { isDicom } from "./formats.js";

const READABLE = /\.(jpe?g|jpe|jfif|png|dcm|dicom)$/i;
// On the discs of other hospitals, DICOM objects are called IM000001 or like their UID.
const UNTOLD = /^[^.]+$|\.\d+$/;

/** Call take({chosen: [{file, name}], skipped: [name]}) with what the user chooses or drops from now on. */
export function startFiles(take) {
  for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"], ["add", "files"], ["add-folder", "folder"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
  }
  for (const id of ["files", "folder"]) {
    byId(id).addEventListener("change", async ({ target }) => {
      const found = await fromInput(target);
      target.value = "";
      take(found);
    });
  }
  // On the whole document: if a file were dropped outside the drop area, the browser would open it instead of the page.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take(await fromDrop(event.dataTransfer));
  });
}

/** The dropped files as {file, name}, and the names of the files in folders that are no images. */
async function fromDrop(transfer) {
  // All entries must be read synchronously: after the first await, the data of the drop is no longer available.
  const entries = [...transfer.items].filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = { chosen: [], skipped: [] };
  for (const entry of entries) {
    if (entry instanceof File) found.chosen.push({ file: entry, name: entry.name });
    else if (entry) await walk(entry, found, false);
  }
  return found;
}

/** The files of an <input>, like fromDrop. */
async function fromInput(input) {
  const all = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
  if (!input.webkitdirectory) return { chosen: all, skipped: [] };
  const found = { chosen: [], skipped: [] };
  for (const one of all) {
    if (await isImage(one.file)) found.chosen.push(one);
    else found.skipped.push(one.name);
  }
  return found;
}

async function isImage(file) {
  if (READABLE.test(file.name)) return true;
  return UNTOLD.test(file.name) && file.name !== "DICOMDIR" && isDicom(file).catch(() => false);
}

async function walk(entry, found, inFolder) {
  if (entry.isDirectory) {
    for (const child of await children(entry)) await walk(child, found, true);
    return;
  }
  const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
  if (file && (!inFolder || (await isImage(file)))) found.chosen.push({ file, name: entry.fullPath.slice(1) });
  else found.skipped.push(entry.name);
}

async function children(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) { // a reader returns at most about a hundred entries at a time
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return all.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    all.push(...batch);
  }
}

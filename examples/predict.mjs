// A client of the service in JavaScript: in Node 18 or newer as a command,
//
//     node predict.mjs URL FILE...
//     node predict.mjs URL --explain FILE OUT.png
//
// and in Node or a browser as a module, where an image is a Blob (a File is one):
//
//     import { predict } from "./predict.mjs";
//     const { label, probability, warnings } = (await predict("", input.files[0])).predictions[0];
//
// In a browser the page must have the same origin as the service (then the URL is ""), directly or through a proxy: the
// service allows no other origin by default. An API key goes into options.key; the command takes it from
// XRAY_CLIENT_KEY.

const MAX_TRIES = 8;
const TIMEOUT_MS = 60_000;

/** A failed request. `problem`: the problem object of the service (type, title, status, detail, request_id). */
export class RequestFailed extends Error {
  constructor(problem) {
    super(`${problem.title}: ${problem.detail}`);
    this.problem = problem;
  }
}

/** The response for one image (JPEG, PNG or DICOM, as a Blob). options: { key, operatingPoint }. */
export async function predict(url, image, options = {}) {
  const query = options.operatingPoint ? `?operating_point=${encodeURIComponent(options.operatingPoint)}` : "";
  return (await post(`${url}/predict${query}`, image, options)).json();
}

/** The image with the heatmap over it, as a PNG (Blob). */
export async function explain(url, image, options = {}) {
  return (await post(`${url}/explain`, image, options)).blob();
}

/** Send an image as the body, without its file name. Retries after Retry-After while the service is overloaded. */
async function post(address, image, { key }) {
  const headers = { "Content-Type": "application/octet-stream", ...(await digest(image)) };
  if (key) headers.Authorization = `Bearer ${key}`;
  for (let tries = 1; ; tries++) {
    const response = await fetch(address, {
      method: "POST",
      body: image,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.ok) return response;
    if (![429, 503].includes(response.status) || tries === MAX_TRIES) throw new RequestFailed(await problemOf(response));
    await response.arrayBuffer(); // so that the connection can be reused
    const seconds = Number(response.headers.get("Retry-After")) || tries;
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }
}

/** A header by which the service detects damage in transit. Browsers can compute it only on https and localhost. */
async function digest(image) {
  if (!globalThis.crypto?.subtle) return {};
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await image.arrayBuffer()));
  return { "Content-Digest": `sha-256=:${btoa(String.fromCharCode(...hash))}:` };
}

async function problemOf(response) {
  const problem = await response.json().catch(() => null); // a proxy may answer in another format
  return problem?.title ? problem : { title: `${response.status}`, detail: "not an answer of the service" };
}

// Without what a terminal would interpret: a server may send anything.
const printable = (text) => text.replace(/\p{C}/gu, "?");

// fetch says only that it failed; the cause says why.
const reason = (error) => printable(error.cause?.message ? `${error.message}: ${error.cause.message}` : error.message);

async function main([url, ...names]) {
  if (names.length === 0 || (names[0] === "--explain" && names.length !== 3)) {
    throw new Error("usage: predict.mjs URL FILE...   or   predict.mjs URL --explain FILE OUT.png");
  }
  const { readFile, writeFile } = await import("node:fs/promises");
  const options = { key: process.env.XRAY_CLIENT_KEY };
  const open = async (name) => new Blob([await readFile(name)]);
  const base = url.replace(/\/$/, "");
  if (names[0] === "--explain") {
    const png = await explain(base, await open(names[1]), options);
    return writeFile(names[2], Buffer.from(await png.arrayBuffer()));
  }
  for (const name of names) {
    try {
      const [prediction] = (await predict(base, await open(name), options)).predictions;
      const warnings = prediction.warnings.map((warning) => warning.code).join(", ");
      console.log([name, printable(prediction.label), prediction.probability, printable(warnings)].join("\t"));
    } catch (error) {
      console.error(`${name}: ${reason(error)}`);
      process.exitCode = 1;
    }
  }
}

// Only if run as a command, not if imported.
if (globalThis.process?.argv?.[1]?.endsWith("predict.mjs")) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(reason(error));
    process.exitCode = 1;
  });
}

// Asking the service from JavaScript: in Node 18 or newer as a command,
//
//     node predict.mjs URL FILE...
//     node predict.mjs URL --explain FILE OUT.png
//
// and in Node or a browser as a module, where an image is a Blob (a File is one):
//
//     import { predict } from "./predict.mjs";
//     const { label, probability, warnings } = (await predict("", input.files[0])).predictions[0];
//
// In a browser the page has to come from the service's own address (then the URL is ""), or through the same proxy: the
// service lets no other page read its answers. A key goes into options.key, or into XRAY_CLIENT_KEY of the command.

const TRIES = 8;
const ANSWER_MS = 60_000;

/** Why there is no answer: `problem` is what the service said (type, title, status, detail, request_id). */
export class Refused extends Error {
  constructor(problem) {
    super(`${problem.title}: ${problem.detail}`);
    this.problem = problem;
  }
}

/** The answer for one image. options: { key, operatingPoint }. */
export async function predict(url, image, options = {}) {
  const query = options.operatingPoint ? `?operating_point=${encodeURIComponent(options.operatingPoint)}` : "";
  return (await ask(`${url}/predict${query}`, image, options)).json();
}

/** A PNG (Blob) of the image with the heatmap over it. */
export async function explain(url, image, options = {}) {
  return (await ask(`${url}/explain`, image, options)).blob();
}

/** Send one image as the body; its name stays here. While the service is full or starting, wait as it says. */
async function ask(address, image, { key }) {
  const headers = { "Content-Type": "application/octet-stream", ...(await digest(image)) };
  if (key) headers.Authorization = `Bearer ${key}`;
  for (let tries = 1; ; tries++) {
    const response = await fetch(address, {
      method: "POST",
      body: image,
      headers,
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (response.ok) return response;
    if (![429, 503].includes(response.status) || tries === TRIES) throw new Refused(await problemOf(response));
    await response.arrayBuffer(); // so that the connection can be used again
    const seconds = Number(response.headers.get("Retry-After")) || tries;
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }
}

/** The header by which the service notices damage on the way. Browsers can make it on https and localhost only. */
async function digest(image) {
  if (!globalThis.crypto?.subtle) return {};
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await image.arrayBuffer()));
  return { "Content-Digest": `sha-256=:${btoa(String.fromCharCode(...hash))}:` };
}

async function problemOf(response) {
  const said = await response.json().catch(() => null); // something between may say it in its own way
  return said?.title ? said : { title: `${response.status}`, detail: "not an answer of the service" };
}

async function main([url, ...names]) {
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
      console.log([name, prediction.label, prediction.probability, warnings].join("\t"));
    } catch (error) {
      console.error(`${name}: ${error.message}`);
      process.exitCode = 1;
    }
  }
}

// Run as a command, and not imported.
if (globalThis.process?.argv?.[1]?.endsWith("predict.mjs")) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}

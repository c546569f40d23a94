// The client of the service. An image is sent as the raw body, so that its file name is not sent.

const ANALYSIS_TIMEOUT_MS = 60_000;
const METADATA_TIMEOUT_MS = 60_000; // a limit against hangs: the service answers these calls from memory
const PROBE_TIMEOUT_MS = 5_000;

let pausedUntil = 0;
let key = ""; // in memory only: discarded with the page

/** A failed request, with a problem object like those of the service. */
class RequestFailed extends Error {
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/** Send this key with all further requests. */
export function useKey(text) {
  key = text;
}

const authorized = () => (key ? { Authorization: `Bearer ${key}` } : {});

export const model = async () => (await get("model")).json();
export const version = async () => (await get("version")).json();
export const card = async () => (await get("model/card", { Accept: "text/markdown" })).text();

/** The <main> of the rendered model card, as a node of another document; null if the service does not render it. */
export function renderedCard() {
  return new Promise((resolve) => {
    // Trusted Types allow no string to become HTML; this parser takes the response itself, and runs no scripts.
    const request = new XMLHttpRequest();
    request.open("GET", "model/card");
    request.responseType = "document";
    request.timeout = METADATA_TIMEOUT_MS;
    request.setRequestHeader("Accept", "text/html");
    for (const [name, value] of Object.entries(authorized())) request.setRequestHeader(name, value);
    request.onloadend = () => {
      const isHtml = request.status === 200 && request.getResponseHeader("Content-Type")?.startsWith("text/html");
      resolve(isHtml ? request.response?.querySelector("main") ?? null : null);
    };
    request.send();
  });
}

/** Whether the service takes images now. */
export async function isReady() {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  return fetch("health/ready", { cache: "no-store", signal }).then((response) => response.ok, () => false);
}

/** The response of /predict for one image. `problemOf` turns what it throws into a problem object.
 *
 * While the service is at its limit, or the key is, this waits as long as it says; `onWait` is then called with the
 * problem, and with null once it goes on. */
export async function predict(file, { point, population }, signal, onWait) {
  const query = new URLSearchParams({ operating_point: point, ...(population ? { population } : {}) });
  return (await submit(`predict?${query}`, file, signal, onWait)).json();
}

/** The heatmap of one image as a small transparent PNG. */
export async function heatmap(file, signal) {
  return (await submit("explain?format=heatmap", file, signal, () => {})).blob();
}

/** A PNG of a file that the browser cannot show, and the attributes that the file states: {blob, headers}. */
export async function render(file, longest, signal, { waits = true } = {}) {
  const path = `render?longest=${longest}`;
  const response = waits ? await submit(path, file, signal, () => {}) : await checked(await post(path, file, signal));
  return { blob: await response.blob(), headers: response.headers };
}

/** The problem object of a failed call; null if the call was cancelled. */
export function problemOf(error, signal) {
  if (signal.aborted) return null;
  return error instanceof RequestFailed ? error.problem : { type: "/problems/unreachable", status: 0, detail: "" };
}

/** Whether a call failed because a key is missing or not sufficient. */
export const requiresKey = (problem) => problem?.status === 401 || problem?.status === 403;

/** Whether a call failed because the service is unreachable: nothing answers, or only a proxy in front of it. */
export const isAway = ({ status, type }) =>
  status === 0 || ([502, 503, 504].includes(status) && type === "/problems/unknown");

/** Wait; an abort ends it early. */
export function sleep(ms, signal) {
  if (ms <= 0 || signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      resolve();
    };
    const timer = setTimeout(stop, ms);
    signal?.addEventListener("abort", stop);
  });
}

async function get(path, headers = {}) {
  return checked(await fetch(path, {
    headers: { ...headers, ...authorized() }, cache: "no-store", signal: AbortSignal.timeout(METADATA_TIMEOUT_MS),
  }));
}

async function submit(path, file, signal, onWait) {
  for (let waited = false; ; waited = true) {
    await sleep(pausedUntil - performance.now(), signal);
    const response = await post(path, file, signal);
    if (response.status !== 503 && response.status !== 429) {
      if (waited) onWait(null);
      return checked(response);
    }
    const problem = await problemIn(response);
    if (isAway(problem)) throw new RequestFailed(problem);
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    // With jitter, so that clients that were rejected together do not retry together.
    pausedUntil = Math.max(pausedUntil, performance.now() + 1000 * Math.min(seconds, 60) * (1 + Math.random() / 2));
    onWait(problem);
  }
}

async function post(path, file, signal) {
  if (signal.aborted) throw signal.reason;
  const limit = new AbortController(); // AbortSignal.any is missing in older browsers, which some hospitals use
  const stop = () => limit.abort();
  const timer = setTimeout(stop, ANALYSIS_TIMEOUT_MS);
  signal.addEventListener("abort", stop);
  try {
    return await fetch(path, {
      method: "POST",
      body: file,
      headers: { "Content-Type": "application/octet-stream", ...authorized() },
      cache: "no-store",
      signal: limit.signal,
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

async function checked(response) {
  if (response.ok) return response;
  throw new RequestFailed(await problemIn(response));
}

async function problemIn(response) {
  const problem = await response.json().catch(() => null);
  return problem?.type ? problem : { type: "/problems/unknown", status: response.status };
}

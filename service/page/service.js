// The client of the service. An image is sent as the raw body, so that its file name is not sent.

// Concurrent requests: of the six connections that a browser allows, some stay free for heatmaps.
const CONCURRENCY = 4;
const ANALYSIS_TIMEOUT_MS = 60_000;
const METADATA_TIMEOUT_MS = 60_000; // a limit against hangs: the service answers these calls from memory
// How long one image is retried while the service is overloaded or starting.
const RETRY_LIMIT_MS = 180_000;

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
export const card = async () => (await get("model/card")).text();

/** The response of /predict for one image. `problemOf` turns what it throws into a problem object. */
export async function predict(file, point, signal, onWait) {
  return (await submit(`predict?operating_point=${encodeURIComponent(point)}`, file, signal, onWait)).json();
}

/** The heatmap of one image as a small transparent PNG. */
export async function heatmap(file, signal) {
  return (await submit("explain?format=heatmap", file, signal, () => {})).blob();
}

/** The problem object of a failed call; null if the call was cancelled. */
export function problemOf(error, signal) {
  if (signal.aborted) return null;
  return error instanceof RequestFailed ? error.problem : { type: "/problems/unreachable", status: 0, detail: "" };
}

/** Whether a call failed because a key is missing or not sufficient. */
export const requiresKey = (problem) => problem?.status === 401 || problem?.status === 403;

/** Processes items concurrently, including those that are added while it runs. */
export class Queue {
  #waiting = [];
  #running = 0;

  constructor(work) {
    this.work = work;
  }

  add(items) {
    this.#waiting.push(...items);
    while (this.#running < CONCURRENCY && this.#waiting.length) this.#run();
  }

  clear() {
    this.#waiting = [];
  }

  async #run() {
    this.#running += 1;
    while (this.#waiting.length) await this.work(this.#waiting.shift());
    this.#running -= 1;
  }
}

async function get(path) {
  return checked(
    await fetch(path, { headers: authorized(), cache: "no-store", signal: AbortSignal.timeout(METADATA_TIMEOUT_MS) }),
  );
}

async function submit(path, file, signal, onWait) {
  const began = performance.now();
  for (;;) {
    await sleep(pausedUntil - performance.now(), signal);
    const response = await post(path, file, signal);
    const retryable = response.status === 503 || response.status === 429;
    if (!retryable || performance.now() - began > RETRY_LIMIT_MS) return checked(response);
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    // With jitter, so that clients that were rejected together do not retry together.
    pausedUntil = Math.max(pausedUntil, performance.now() + 1000 * Math.min(seconds, 60) * (1 + Math.random() / 2));
    onWait();
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
  const problem = await response.json().catch(() => null);
  throw new RequestFailed(problem?.type ? problem : { type: "/problems/unknown", status: response.status });
}

function sleep(ms, signal) {
  if (ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      resolve(); // the next request fails with the reason of the abort
    };
    const timer = setTimeout(stop, ms);
    signal.addEventListener("abort", stop);
  });
}

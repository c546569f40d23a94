// Asking the service. The image goes as the raw body, so its name stays here.

// At once, so that one connection of the browser's six is always left for a heatmap.
const AT_ONCE = 4;
const ANSWER_MS = 60_000;
const PROMPT_MS = 10_000; // for what is answered from memory
// How long one image is offered to a service that is full or starting.
const PATIENCE_MS = 180_000;

let pausedUntil = 0;
let key = ""; // in memory only: gone with the page

/** A reason why there is no answer, as the service's own problems are shaped. */
class Refused extends Error {
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/** Send this key from now on. */
export function useKey(text) {
  key = text;
}

const authorized = () => (key ? { Authorization: `Bearer ${key}` } : {});

export const model = async () => (await get("model")).json();
export const card = async () => (await get("model/card")).text();

/** The whole answer of /predict for one image. Throws what `problemOf` understands. */
export async function predict(file, point, signal, onWait) {
  return (await ask(`predict?operating_point=${encodeURIComponent(point)}`, file, signal, onWait)).json();
}

/** The heatmap of one image as a small transparent PNG. */
export async function heatmap(file, signal) {
  return (await ask("explain?format=heatmap", file, signal, () => {})).blob();
}

/** What became of a failed call: a problem object, or null if nobody waits for it any more. */
export function problemOf(error, signal) {
  if (signal.aborted) return null;
  return error instanceof Refused ? error.problem : { type: "/problems/unreachable", status: 0, detail: "" };
}

/** Whether a call failed for want of a key that may do it. */
export const wantsKey = (problem) => problem?.status === 401 || problem?.status === 403;

/** Work through items, a few side by side; whatever is added while it runs is done too. */
export class Queue {
  #waiting = [];
  #running = 0;

  constructor(work) {
    this.work = work;
  }

  add(items) {
    this.#waiting.push(...items);
    while (this.#running < AT_ONCE && this.#waiting.length) this.#run();
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
  return answered(
    await fetch(path, { headers: authorized(), cache: "no-store", signal: AbortSignal.timeout(PROMPT_MS) }),
  );
}

async function ask(path, file, signal, onWait) {
  const began = performance.now();
  for (;;) {
    await sleep(pausedUntil - performance.now(), signal);
    const response = await post(path, file, signal);
    const later = response.status === 503 || response.status === 429;
    if (!later || performance.now() - began > PATIENCE_MS) return answered(response);
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    // Spread a little, so that all who were refused together do not come back together.
    pausedUntil = Math.max(pausedUntil, performance.now() + 1000 * Math.min(seconds, 60) * (1 + Math.random() / 2));
    onWait();
  }
}

async function post(path, file, signal) {
  if (signal.aborted) throw signal.reason;
  const limit = new AbortController(); // AbortSignal.any is too new for the browsers of some hospitals
  const stop = () => limit.abort();
  const timer = setTimeout(stop, ANSWER_MS);
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

async function answered(response) {
  if (response.ok) return response;
  const problem = await response.json().catch(() => null);
  throw new Refused(problem?.type ? problem : { type: "/problems/unknown", status: response.status });
}

function sleep(ms, signal) {
  if (ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      resolve(); // what is asked next finds out that it has been given up
    };
    const timer = setTimeout(stop, ms);
    signal.addEventListener("abort", stop);
  });
}

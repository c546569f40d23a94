// Processes images concurrently, and holds them back during an outage of the service.

import { isReady, sleep } from "./client.js";

// Concurrent requests: of the six connections that a browser allows, some stay free for heatmaps.
const CONCURRENCY = 4;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

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

/** An outage of the service: polls it with exponential backoff until it is ready again.
 *
 * `onChange` is called with true when it begins, and with false when it ends. */
export class Outage {
  #end = null;

  constructor(onChange) {
    this.onChange = onChange;
  }

  /** Begin the outage, if it has not begun; resolves when the service is ready again. */
  begin() {
    this.#end ??= this.#await();
    return this.#end;
  }

  /** Resolves when there is no outage: at once, unless one has begun. */
  end() {
    return this.#end ?? Promise.resolve();
  }

  async #await() {
    this.onChange(true);
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      await sleep(pause * (1 + Math.random() / 4));
      if (await isReady()) break;
    }
    this.#end = null;
    this.onChange(false);
  }
}

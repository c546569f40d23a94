// The progress of the analysis: counts, a bar, and the remaining time.

import { byId } from "../common/dom.js";
import { say } from "../common/texts.js";

const ANNOUNCE_INTERVAL_MS = 2000;
const REMEMBERED = 40; // of the last images: their pace decides the estimate
const FEWEST = 5;

export class Progress {
  #finishedAt = [];
  #done = 0;
  #announcedAt = 0;

  /** Show these counts. `paused`: nothing is analysed at the moment. */
  draw(counts, paused) {
    const { total, done, retryable } = counts;
    const now = performance.now();
    this.#remember(done, now);
    const parts = partsOf(counts);
    const left = paused ? null : this.#secondsLeft(total - done);
    byId("progress-bar").max = total || 1;
    byId("progress-bar").value = done;
    byId("progress-bar").hidden = done === total;
    byId("progress").textContent = [...parts, left === null ? null : timeLeft(left)].filter(Boolean).join(" \u00b7 ");
    byId("retry-all").hidden = retryable < 2;
    const finished = total > 0 && done === total;
    if (total && (finished || now - this.#announcedAt > ANNOUNCE_INTERVAL_MS)) {
      this.#announcedAt = now;
      byId("live").textContent = parts.join(", ");
    }
  }

  #remember(done, now) {
    if (done < this.#done) this.#finishedAt = [];
    for (let at = this.#done; at < done; at += 1) this.#finishedAt.push(now);
    this.#finishedAt = this.#finishedAt.slice(-REMEMBERED);
    this.#done = done;
  }

  #secondsLeft(count) {
    if (!count || this.#finishedAt.length < FEWEST) return null;
    const seconds = (this.#finishedAt.at(-1) - this.#finishedAt[0]) / 1000;
    return (count * seconds) / (this.#finishedAt.length - 1);
  }
}

function partsOf({ total, done, failed, outside, positive, negative, warned }) {
  const parts = [say("progress", { done, total })];
  if (positive + negative) parts.push(say("counts", { positive, negative }));
  if (outside) parts.push(say("outside", { count: outside }));
  if (warned) parts.push(say("withWarnings", { count: warned }));
  if (failed) parts.push(say("failures", { count: failed }));
  return parts;
}

function timeLeft(seconds) {
  return seconds < 90 ? say("secondsLeft", { count: Math.max(Math.ceil(seconds), 1) })
    : say("minutesLeft", { count: Math.round(seconds / 60) });
}

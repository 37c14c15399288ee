// How fast a job goes, and when it was what.

import { clockTime, duration, ms, number } from "./format.js";
import { isActive } from "./jobs-words.js";

/** What is told of a job beside its bar: `[name, value]`; `rate` is in images a second, or null. */
export function factsOf(job, rate) {
  const timing = isActive(job) ? timeLeft(job, rate) : timeTaken(job);
  const end = job.finished_at ? [["Ended", clockTime(job.finished_at)]] : [];
  const kept = job.expires_at ? [["Kept until", clockTime(job.expires_at)]] : [];
  return [...timing, ["Priority", job.priority], ["Sent", clockTime(job.created_at)], ...end, ...kept];
}

function timeLeft(job, rate) {
  const left = job.total - job.done - job.failed;
  return [["Rate", rateWords(rate)], ["Time left", rate ? `about ${duration(Math.max(1, left / rate))}` : "–"]];
}

function timeTaken(job) {
  const taken = secondsTaken(job);
  if (taken === null) return [];
  const rate = taken > 0 ? (job.done + job.failed) / taken : null;
  return [["Took", taken < 60 ? ms(1000 * taken) : duration(taken)], ["Rate", rateWords(rate)]];
}

const rateWords = (rate) => (rate ? `${number(Number(rate.toPrecision(3)))} / s` : "–");

/** How long a job took, from its first image to its end; null while it is not over or never began. */
function secondsTaken(job) {
  if (!job.started_at || !job.finished_at) return null;
  return (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
}

/** How fast a job goes, from what was seen of it in the last ten seconds. */
export class Pace {
  #seen = [];

  /** A count of finished images, and when it was seen in seconds. */
  tell(finished, at) {
    const last = this.#seen.at(-1);
    if (last && finished === last.finished) return;
    this.#seen.push({ finished, at });
    while (this.#seen.length > 2 && this.#seen[0].at < at - 10) {
      this.#seen.shift();
    }
  }

  /** Images in a second; null before two changes were seen. */
  get rate() {
    const [first, last] = [this.#seen[0], this.#seen.at(-1)];
    return this.#seen.length > 1 && last.at > first.at ? (last.finished - first.finished) / (last.at - first.at) : null;
  }
}

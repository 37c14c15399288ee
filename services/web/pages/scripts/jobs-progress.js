// How far a job is: its badge, its bar, and following it while it runs.

import { events } from "./api.js";
import { el, replace } from "./dom.js";
import { number } from "./format.js";
import { isActive, stateWords } from "./jobs-words.js";
import { badge } from "./shell.js";

/** A job's state as a word on its colour. */
export function stateBadge(job) {
  const { word, kind } = stateWords(job.state);
  return badge(word, kind);
}

/** A bar of what is answered and what failed; `update(job)` moves it. */
export function progressBar(job, label = "Progress") {
  const done = el("span", { class: "job-bar-done" });
  const failed = el("span", { class: "job-bar-failed" });
  const names = { class: "job-bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0 };
  const element = el("div", names, done, failed);
  const update = (next) => {
    const total = Math.max(next.total, 1);
    done.style.width = `${(100 * next.done) / total}%`;
    failed.style.width = `${(100 * next.failed) / total}%`;
    element.dataset.active = isActive(next);
    element.setAttribute("aria-valuemax", next.total);
    element.setAttribute("aria-valuenow", next.done + next.failed);
    element.setAttribute("aria-valuetext", progressWords(next));
  };
  update(job);
  return { element, update };
}

/** "37 of 50 done, 1 failed". */
export function progressWords(job) {
  const failed = job.failed ? `, ${number(job.failed)} failed` : "";
  return `${number(job.done)} of ${number(job.total)} done${failed}`;
}

/**
 * Tells `onJob(job)` of every change until the job has ended, and `onRefused(problem)` when it cannot be seen (any more).
 * Gives `{close}`.
 */
export function followJob(jobId, onJob, onRefused = () => {}) {
  const stream = events(
    `/v1/jobs/${encodeURIComponent(jobId)}/events`,
    ({ event, data }) => {
      if (event === "end") stream.close();
      if (event === "end" || event === "progress") onJob(data);
    },
    (state, problem) => {
      if (state === "refused") onRefused(problem);
    },
  );
  return stream;
}

/** A region whose words are said aloud when they change. */
export function announcer() {
  const element = el("p", { class: "visually-hidden", role: "status" });
  let said = "";
  return {
    element,
    say(words) {
      if (words !== said) replace(element, words);
      said = words;
    },
  };
}

// The list of jobs, the newest first, as it changes.

import { call } from "./api.js";
import { el, replace } from "./dom.js";
import { clockTime, timeAgo } from "./format.js";
import { followJob, progressBar, progressWords, stateBadge } from "./jobs-progress.js";
import { isActive } from "./jobs-words.js";
import { poll } from "./poll.js";
import { emptyState, failedState, skeleton, toastProblem } from "./shell.js";

const PAGE_JOBS = 20;
const MOST_JOBS = 200; // looked at again and again, however many are shown
const EVERY_MS = 3000;
const FOLLOWED = 2; // a browser opens few connections to one server, and other tabs need some: polling has the rest

/** The list, as `element`. `start()` and `stop()` are for when it is seen and when not; `now()` looks at once. */
export class JobList {
  #items = new Map(); // by the job's id
  #streams = new Map();
  #polling = null;
  #list = el("ul", { class: "job-list" });
  #place = el("div", {}, skeleton(4));
  #more = el("button", { class: "button", type: "button", hidden: true, onclick: () => this.#showOlder() }, "Show older jobs");

  element = el("section", { class: "stack", "aria-labelledby": "jobs-title" },
    el("h2", { id: "jobs-title" }, "Your jobs"), this.#place, el("div", {}, this.#more));

  constructor() {
    window.addEventListener("grayscale:key", () => {
      if (this.#polling === null) return;
      this.#clear(); // another key sees other jobs
      this.start();
    });
  }

  start() {
    this.stop();
    this.#polling = poll(() => this.#look(), { everyMs: EVERY_MS, onError: (error) => this.#failed(error) });
  }

  stop() {
    this.#polling?.stop();
    this.#polling = null;
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  now() {
    this.#polling?.now();
  }

  async #look() {
    const items = this.#items;
    const limit = Math.min(Math.max(PAGE_JOBS, items.size), MOST_JOBS);
    const { jobs } = await call(`/v1/jobs?limit=${limit}`);
    const seen = new Set(jobs.map((job) => job.job_id));
    const oldest = jobs.at(-1)?.created_at ?? "";
    if (items.size === 0) this.#more.hidden = jobs.length < PAGE_JOBS;
    // What is gone from this page was purged or forgotten; what is older was asked for, and stays.
    for (const [id, { job }] of items) if (job.created_at >= oldest && !seen.has(id)) this.#remove(id);
    for (const job of jobs.toReversed()) {
      if (items.has(job.job_id)) items.get(job.job_id).update(job);
      else this.#list.prepend(this.#add(job));
    }
    for (const item of items.values()) item.tick();
    const shown = items.size ? this.#list : nothing();
    if (shown.parentNode !== this.#place) replace(this.#place, shown); // or a focus inside would be lost
    this.#follow();
  }

  async #showOlder() {
    this.#more.disabled = true;
    try {
      const last = this.#list.lastElementChild?.dataset.job;
      const { jobs } = await call(`/v1/jobs?limit=${PAGE_JOBS}${last ? `&before=${last}` : ""}`);
      for (const job of jobs) if (!this.#items.has(job.job_id)) this.#list.append(this.#add(job));
      this.#more.hidden = jobs.length < PAGE_JOBS;
    } catch (error) {
      toastProblem(error, "Older jobs");
    } finally {
      this.#more.disabled = false;
    }
  }

  #add(job) {
    const item = new JobItem(job);
    this.#items.set(job.job_id, item);
    return item.element;
  }

  #remove(id) {
    this.#items.get(id).element.remove();
    this.#items.delete(id);
  }

  #clear() {
    for (const id of [...this.#items.keys()]) this.#remove(id);
  }

  #follow() {
    const inOrder = [...this.#list.children].map((node) => node.dataset.job);
    const active = inOrder.filter((id) => isActive(this.#items.get(id).job));
    const wanted = new Set(active.slice(0, FOLLOWED));
    for (const [id, stream] of this.#streams) {
      if (wanted.has(id)) continue;
      stream.close();
      this.#streams.delete(id);
    }
    for (const id of wanted) {
      if (!this.#streams.has(id)) this.#streams.set(id, followJob(id, (job) => this.#items.get(id)?.update(job)));
    }
  }

  #failed(error) {
    const isRefused = error.status === 401 || error.status === 403;
    if (this.#items.size && !isRefused) return; // what is shown was so a moment ago
    this.#clear();
    this.#more.hidden = true;
    replace(this.#place, failedState(error, () => this.now()));
  }
}

function nothing() {
  return emptyState({
    title: "No jobs yet",
    body: "Drop a folder with pictures, or start one from a shell. Jobs and their results are kept for a day.",
    command: "grayscale jobs submit photos/ --out results.csv",
  });
}

/** One job of the list; `tick()` says anew how long ago it was. */
class JobItem {
  #bar;
  #state = el("span", {});
  #words = el("span", { class: "hint number" });
  #ago;

  constructor(job) {
    this.job = job;
    const version = job.version === null ? "" : ` · version ${job.version}`;
    this.#bar = progressBar(job, `Progress of job ${job.job_id.slice(0, 8)}`);
    this.#ago = el("time", { class: "hint", datetime: job.created_at, title: clockTime(job.created_at) });
    this.element = el("li", { class: "job-item", "data-job": job.job_id },
      el("a", { class: "job-link job-item-head", href: `#job=${job.job_id}` },
        el("span", {}, el("strong", {}, job.model), el("span", { class: "hint" }, version), " ",
          el("span", { class: "hint mono" }, job.job_id.slice(0, 8))),
        this.#state),
      this.#bar.element,
      el("div", { class: "job-item-foot" }, this.#words, this.#ago));
    this.update(job);
    this.tick();
  }

  update(job) {
    this.job = job;
    this.#bar.update(job);
    replace(this.#state, stateBadge(job));
    replace(this.#words, progressWords(job));
  }

  tick() {
    replace(this.#ago, timeAgo(this.job.created_at));
  }
}

// One job: how far it is, what came of every image, and what can be done with it.

import { call, key } from "./api.js";
import { el, replace } from "./dom.js";
import { count, number } from "./format.js";
import { jobActions } from "./jobs-actions.js";
import { classesCard } from "./jobs-classes.js";
import { factsOf, Pace } from "./jobs-facts.js";
import { announcer, followJob, progressBar, progressWords, stateBadge } from "./jobs-progress.js";
import { Results } from "./jobs-results.js";
import { ResultsTable } from "./jobs-table.js";
import { isActive, jobCommands, reasonWords, stateWords } from "./jobs-words.js";
import { copyable, failedState, skeleton } from "./shell.js";

/** A job's view, as `element`, which follows it until `close()`. */
export class OpenJob {
  #jobId;
  #view = null;
  #stream = null;
  #ending = new AbortController();

  element = el("div", { class: "stack" }, backLink(), skeleton(6));

  constructor(jobId) {
    this.#jobId = jobId;
    window.addEventListener("grayscale:key", () => this.#look(), { signal: this.#ending.signal });
    this.#look();
  }

  close() {
    this.#ending.abort();
    this.#stream?.close();
  }

  async #look() {
    this.#stream?.close();
    try {
      const job = await call(`/v1/jobs/${encodeURIComponent(this.#jobId)}`, { signal: this.#ending.signal });
      this.#show(job);
      if (isActive(job)) this.#stream = followJob(this.#jobId, (next) => this.#show(next), (error) => this.#refused(error));
    } catch (error) {
      if (error.name !== "AbortError") this.#refused(error);
    }
  }

  #show(job) {
    if (this.#view === null) {
      this.#view = new JobView(job, this.#ending.signal, () => this.#look());
      replace(this.element, backLink(), this.#view.element);
    }
    this.#view.update(job);
  }

  #refused(error) {
    this.#view = null;
    replace(this.element, backLink(), error.status === 404 ? goneState() : failedState(error, () => this.#look()));
  }
}

function backLink() {
  return el("a", { class: "job-back", href: "#" }, "← All jobs");
}

function goneState() {
  const whose = key.get() ? "it belongs to another key" : "it needs the key that made it";
  return el("div", { class: "empty" },
    el("h1", {}, "There is no such job"),
    el("p", {}, `It was purged, or forgotten a day after its end, or ${whose}.`));
}

class JobView {
  #results;
  #pace = new Pace();
  #bar;
  #actions;
  #table;
  #state = el("span", {});
  #count = el("p", { class: "job-count" });
  #says = el("p", { class: "hint" });
  #facts = el("dl", { class: "stats" });
  #trouble = el("div", { hidden: true });
  #said = announcer();
  #classes = classesCard((label) => this.#table.filter({ label, show: "all" }));

  constructor(job, signal, lookAgain) {
    this.#results = new Results(job.job_id, signal);
    this.#bar = progressBar(job);
    this.#actions = jobActions(job.job_id, lookAgain);
    this.#table = new ResultsTable(job.job_id, this.#results);
    const commands = jobCommands(`${location.origin}/api`, job.job_id);
    this.element = el("div", { class: "stack" },
      el("div", { class: "page-head job-head" }, headline(job), this.#actions.element),
      el("section", { class: "card stack", "aria-label": "Progress" },
        el("div", { class: "row spread" }, this.#count, this.#state), this.#bar.element, this.#says, this.#facts),
      this.#trouble,
      el("div", { class: "job-parts" },
        card("Results", this.#table.element),
        el("div", { class: "stack" }, this.#classes.element,
          card("From a shell",
            copyable(commands.cli, "Results on the command line"), copyable(commands.curl, "Results with curl")))),
      this.#said.element);
  }

  update(job) {
    this.#pace.tell(job.done + job.failed, performance.now() / 1000);
    this.#bar.update(job);
    this.#actions.update(job);
    replace(this.#state, stateBadge(job));
    replace(this.#count, el("strong", {}, number(job.done)), ` of ${count(job.total, "image")} done`,
      job.failed > 0 && el("span", { class: "job-error" }, ` · ${number(job.failed)} failed`));
    replace(this.#says, reasonWords(job));
    this.#says.hidden = !reasonWords(job);
    replace(this.#facts, factsOf(job, this.#pace.rate).map(([name, value]) =>
      el("div", { class: "stat" }, el("dt", {}, name), el("dd", {}, value))));
    const { word } = stateWords(job.state);
    this.#said.say(isActive(job) ? word : `${word}: ${progressWords(job)}`);
    this.#read();
  }

  async #read() {
    try {
      await this.#results.read(() => this.#showResults());
      this.#trouble.hidden = true;
    } catch (error) {
      if (error.name === "AbortError" || error.status === 404) return; // a job that is gone is told by its stream
      replace(this.#trouble, failedState(error, () => this.#read()));
      this.#trouble.hidden = false;
    }
  }

  #showResults() {
    this.#table.update(this.#results);
    this.#classes.show(this.#results.labels);
  }
}

function headline(job) {
  const version = job.version === null ? "" : ` · version ${job.version}`;
  return el("div", {}, el("h1", {}, `${job.model}${version}`), el("p", { class: "mono wrap" }, job.job_id));
}

function card(title, ...content) {
  return el("section", { class: "card stack", "aria-label": title }, el("h2", {}, title), content);
}

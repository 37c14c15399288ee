// A new job: what is in it, what is asked for, and sending it.

import { call } from "./api.js";
import { el, replace } from "./dom.js";
import { bytes, count, number, percent } from "./format.js";
import { dropZone } from "./jobs-drop.js";
import { optionFields } from "./jobs-options.js";
import { selectionView } from "./jobs-selection.js";
import { newKey, sendJob } from "./jobs-send.js";
import { USUAL_LIMITS } from "./jobs-sources.js";
import { rememberFiles } from "./jobs-thumbnails.js";
import { submitCommands } from "./jobs-words.js";
import { copyable, needsKey, problemText, toast } from "./shell.js";

/** The form, as `element`; `onAccepted(jobs)` is told when all of what was sent is a job. */
export class JobForm {
  #limits = USUAL_LIMITS;
  #sending = null; // an AbortController
  #plan = null; // what was begun: its keys stay the same when it is sent again
  #onAccepted;
  #selection = selectionView(() => this.#changed());
  #options = optionFields(() => this.#changed());
  #hint = el("p", { class: "hint" });
  #progress = el("div", { hidden: true });
  #trouble = el("div", {});
  #start = el("button", { class: "button primary", type: "submit", disabled: true }, "Start job");
  #stop = el("button", { class: "button", type: "button", hidden: true, onclick: () => this.#sending?.abort() }, "Stop sending");
  #cli = copyable("", "The same on the command line");
  #curl = copyable("", "The same with curl");
  #fields = el("fieldset", { class: "stack" }, el("legend", { class: "visually-hidden" }, "New job"),
    dropZone((found) => this.#found(found)).element, this.#selection.element, this.#options.element);

  element = el("section", { class: "card stack", "aria-labelledby": "new-job-title" },
    el("div", {}, el("h2", { id: "new-job-title" }, "New job"), this.#hint),
    el("form", { class: "stack", onsubmit: (event) => this.#submit(event) },
      this.#fields, this.#progress, this.#trouble, el("div", { class: "row" }, this.#start, this.#stop)),
    el("details", { class: "job-more" },
      el("summary", {}, "The same from a shell"), el("div", { class: "stack" }, this.#cli, this.#curl)));

  constructor({ onAccepted }) {
    this.#onAccepted = onAccepted;
    window.addEventListener("grayscale:key", () => this.#learnLimits());
    window.addEventListener("beforeunload", (event) => {
      if (this.#sending) event.preventDefault(); // the browser asks whether to leave
    });
    this.#learnLimits();
    this.#show();
  }

  #found(found) {
    if (this.#sending) toast("Something is being sent: wait for it, or stop it", "warn");
    else this.#selection.add(found, this.#limits);
  }

  #changed() {
    this.#plan = null;
    replace(this.#trouble);
    this.#show();
  }

  #show() {
    const parcels = this.#selection.parcels(this.#limits);
    const { model, options } = this.#options.order();
    this.#selection.show(this.#limits);
    replace(this.#hint, `Up to ${count(this.#limits.max_images, "picture")} and ${bytes(this.#limits.max_bytes)}.`);
    this.#start.disabled = this.#sending !== null || !parcels.length || !model;
    const words = parcels.length > 1 ? `Start ${number(parcels.length)} jobs` : "Start job";
    replace(this.#start, this.#plan?.failed ? "Try again" : words);
    const commands = submitCommands(`${location.origin}/api`, model || "digits", options);
    this.#cli.set(commands.cli);
    this.#curl.set(commands.curl);
  }

  #submit(event) {
    event.preventDefault();
    if (this.#sending) return;
    const parcels = this.#selection.parcels(this.#limits);
    this.#plan ??= {
      order: this.#options.order(),
      waiting: parcels.map((parcel) => ({ parcel, idempotencyKey: newKey() })),
      accepted: [],
    };
    this.#send(this.#plan);
  }

  async #send(plan) {
    this.#sending = new AbortController();
    this.#busy(true);
    const { waiting, accepted } = plan;
    try {
      while (waiting.length) {
        accepted.push(await this.#sendPart(plan, waiting[0]));
        this.#selection.remove(waiting.shift().parcel.files);
      }
      this.#selection.clear();
      toast(accepted.length === 1 ? "The job is accepted" : `${number(accepted.length)} jobs are accepted`, "ok");
      this.#onAccepted(accepted);
    } catch (error) {
      plan.failed = true;
      if (!needsKey(error)) replace(this.#trouble, failureNotice(error, accepted.length));
    } finally {
      this.#sending = null;
      this.#busy(false);
    }
  }

  async #sendPart({ order, waiting, accepted }, { parcel, idempotencyKey }) {
    const all = accepted.length + waiting.length;
    const which = all > 1 ? ` job ${accepted.length + 1} of ${all}` : "";
    const show = uploadBar(this.#progress);
    const job = await sendJob(parcel, order, {
      idempotencyKey,
      signal: this.#sending.signal,
      onProgress(share) {
        const sent = `Sending${which}: ${percent(share, 0)} of ${bytes(parcel.bytes)}`;
        show(share, share < 1 ? sent : `Sent${which}: the server checks it`);
      },
      onWait(problem, seconds) {
        show(0, `${problemText(problem)} · trying again in ${number(Math.ceil(seconds))} s`);
      },
    });
    if (!parcel.isArchive) rememberFiles(job.job_id, parcel.files);
    return job;
  }

  #busy(isBusy) {
    this.#fields.disabled = isBusy;
    this.#stop.hidden = this.#progress.hidden = !isBusy;
    if (isBusy) replace(this.#trouble);
    this.#show();
  }

  async #learnLimits() {
    try {
      this.#limits = await call("/v1/jobs/limits");
      this.#show();
    } catch {
      // then the server says what is too much when it comes
    }
  }
}

function uploadBar(place) {
  const fill = el("span", {});
  const words = el("span", { class: "hint number" });
  const names = { role: "progressbar", "aria-label": "Sending", "aria-valuemin": 0, "aria-valuemax": 100 };
  const meter = el("span", { class: "meter", ...names }, fill);
  replace(place, meter, words);
  const show = (share, text) => {
    fill.style.width = `${100 * share}%`;
    meter.setAttribute("aria-valuenow", Math.round(100 * share));
    replace(words, text);
  };
  show(0, "Sending …");
  return show;
}

function failureNotice(error, accepted) {
  const isStopped = error.name === "AbortError";
  const words = isStopped ? "Sending was stopped." : problemText(error);
  const already = accepted > 0 && ` ${count(accepted, "job is", "jobs are")} accepted, and not sent again.`;
  return el("div", { class: "notice", "data-kind": isStopped ? "warn" : "danger", role: "alert" },
    el("p", {}, words, already, " Trying again as it is makes no job twice."));
}

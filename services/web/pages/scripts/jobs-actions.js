// What can be done with a job: cancel, purge, download.

import { call } from "./api.js";
import { el, replace } from "./dom.js";
import { count, number } from "./format.js";
import { csvFile, linesFile, save } from "./jobs-results.js";
import { isActive } from "./jobs-words.js";
import { confirmDialog, toast, toastProblem } from "./shell.js";

/** The buttons; `update(job)` shows those that fit. `onChange()` is told when the job is not what it was. */
export function jobActions(jobId, onChange) {
  const path = `/v1/jobs/${encodeURIComponent(jobId)}`;
  let job = null;
  const cancel = action("Cancel", "button", cancelJob);
  const purge = action("Purge", "button", purgeJob);
  const csv = action("CSV", "button", () => download("csv"));
  const lines = action("NDJSON", "button", () => download("ndjson"));
  const element = el("div", { class: "row job-actions" },
    el("span", { class: "row", role: "group", "aria-label": "Download the results" },
      el("span", { class: "hint", "aria-hidden": "true" }, "Download"), csv, lines),
    cancel, purge);

  async function cancelJob() {
    const left = job.total - job.done - job.failed;
    const isWanted = await confirmDialog({
      title: "Cancel this job?",
      body: `${count(left, "image")} of ${number(job.total)} without a result will get none. The results that are there `
        + "stay. This cannot be undone.",
      action: "Cancel the job",
      dismiss: "Let it go on",
      danger: true,
    });
    if (!isWanted) return;
    await call(path, { method: "DELETE" });
    toast("The job is cancelled", "ok");
    onChange();
  }

  async function purgeJob() {
    const isWanted = await confirmDialog({
      title: "Purge this job?",
      body: `${isActive(job) ? "It is cancelled, and its" : "Its"} ${count(job.total, "image")} and all results are `
        + "removed from the server at once. This cannot be undone.",
      action: "Purge the job",
      dismiss: "Keep it",
      danger: true,
    });
    if (!isWanted) return;
    await call(`${path}?purge=true`, { method: "DELETE" });
    toast("The job is purged", "ok");
    location.hash = "";
  }

  async function download(kind) {
    let file;
    try {
      file = kind === "csv" ? await csvFile(jobId, (rows) => replace(csv, `CSV ${number(rows)} …`)) : await linesFile(jobId);
    } finally {
      replace(csv, "CSV");
    }
    save(file, `job-${jobId.slice(0, 8)}.${kind}`);
  }

  function update(next) {
    job = next;
    cancel.hidden = !isActive(job);
    for (const each of [csv, lines]) each.disabled = job.done + job.failed === 0;
  }

  return { element, update };
}

function action(words, kind, run) {
  const button = el("button", { class: kind, type: "button" }, words);
  button.addEventListener("click", async () => {
    button.setAttribute("aria-busy", "true");
    try {
      await run();
    } catch (error) {
      toastProblem(error, words);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return button;
}

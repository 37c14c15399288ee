// The Jobs page: a new job and the list of all, or with `#job=ID` one job. What is here decides which is shown.

import { byId, el, replace } from "./dom.js";
import { OpenJob } from "./jobs-detail.js";
import { JobForm } from "./jobs-form.js";
import { JobList } from "./jobs-list.js";
import { mount } from "./shell.js";

mount("jobs");
const main = byId("main");
const overview = el("div", { class: "jobs-columns" });
const single = el("div", { hidden: true });
const list = new JobList();
const form = new JobForm({
  onAccepted(jobs) {
    list.now();
    if (jobs.length === 1) location.hash = `job=${jobs[0].job_id}`;
  },
});
const head = main.querySelector(".page-head");
replace(overview, form.element, list.element);
main.append(overview, single);

let opened = null;

function route() {
  // Of all other anchors the page stays as it is: the skip link is one.
  const asked = /^#job=([A-Za-z0-9][A-Za-z0-9_-]*)$/.exec(location.hash)?.[1] ?? "";
  if (!asked && location.hash !== "") return;
  opened?.close();
  opened = asked ? new OpenJob(asked) : null;
  replace(single, opened?.element);
  single.hidden = !asked;
  head.hidden = overview.hidden = Boolean(asked);
  document.title = asked ? `Job ${asked.slice(0, 8)} · Grayscale` : "Jobs · Grayscale";
  if (asked) list.stop();
  else list.start();
}

function routeAndLook() {
  const wasOpened = opened !== null;
  route();
  if ((opened !== null) === wasOpened) return;
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

window.addEventListener("hashchange", routeAndLook);
// Back to the list without loading the page anew, which would forget the pictures that it knows.
byId("shell").querySelector("[aria-current]").addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  location.hash = "";
});
route();

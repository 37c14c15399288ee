// What a new job asks for beside its pictures.

import { call } from "./api.js";
import { el, replace } from "./dom.js";
import { failedState } from "./shell.js";

const UNITS = [["s", 1], ["min", 60], ["hours", 3600], ["days", 86_400]];
const LONGEST_S = 7 * 86_400;

/** The fields. `order()` gives `{model, options}` with the query's options; `onChange()` is told of every change. */
export function optionFields(onChange) {
  const model = el("select", { id: "job-model", required: true });
  const version = el("select", { id: "job-version" });
  const priority = el("select", { id: "job-priority" },
    el("option", { value: "high" }, "High: before all others"),
    el("option", { value: "normal", selected: true }, "Normal"),
    el("option", { value: "low" }, "Low: when nothing else waits"));
  const deadline = el("input", { id: "job-deadline", type: "number", min: 1, step: 1, placeholder: "none" });
  const unit = el("select", { "aria-label": "Unit of the deadline" },
    UNITS.map(([name, seconds]) => el("option", { value: seconds, selected: seconds === 60 }, name)));
  const topK = el("input", { id: "job-top-k", type: "number", min: 1, max: 100, step: 1, value: "5", required: true });
  const callback = el("input", { id: "job-callback", type: "url", placeholder: "https://…", maxlength: 2000 });
  const trouble = el("div", {});
  let models = [];

  function deadlineMs() {
    return Math.min(Number(deadline.value) * Number(unit.value), LONGEST_S) * 1000;
  }

  function order() {
    const options = {};
    if (version.value) options.version = version.value;
    if (topK.value !== "5") options.top_k = topK.value;
    if (priority.value !== "normal") options.priority = priority.value;
    if (deadline.value) options.timeout_ms = String(deadlineMs());
    if (callback.value) options.callback_url = callback.value;
    return { model: model.value, options };
  }

  function showVersions() {
    const chosen = models.find((each) => each.name === model.value);
    replace(version, el("option", { value: "" }, "As released"),
      chosen && readyVersions(chosen).map((each) => el("option", { value: each.version }, `Version ${each.version}`)));
  }

  async function load() {
    replace(trouble);
    try {
      const served = (await call("/v1/models")).models;
      models = served.filter((each) => each.default || readyVersions(each).length > 0);
    } catch (error) {
      replace(trouble, failedState(error, load));
      return;
    }
    replace(model, models.map((each) => el("option", { value: each.name }, each.name)));
    if (!models.length) replace(trouble, noModel());
    showVersions();
    onChange();
  }

  const element = el("div", { class: "stack" },
    trouble,
    el("div", { class: "job-fields" },
      field("Model", model),
      field("Priority", priority),
      field("Deadline", el("div", { class: "job-deadline" }, deadline, unit), {
        id: "job-deadline", hint: "What is not answered by then is given up.",
      })),
    el("details", { class: "job-more" },
      el("summary", {}, "More options"),
      el("div", { class: "job-fields" },
        field("Version", version),
        field("Labels for each picture", topK),
        field("Callback URL", callback, {
          hint: "The server posts the job here when it has ended. The operator lists the hosts.",
        }))));
  element.addEventListener("input", (event) => {
    if (event.target === model) showVersions();
    onChange();
  });
  load();
  return { element, order };
}

const readyVersions = (model) => model.versions.filter((each) => each.state === "READY");

function noModel() {
  return el("p", { class: "notice", "data-kind": "warn" },
    el("span", {}, "No model is loaded: load one on the page ", el("a", { href: "/models" }, "Models"), "."));
}

function field(name, control, { id = control.id, hint = "" } = {}) {
  return el("div", { class: "field" },
    el("label", { for: id }, name), control, hint && el("span", { class: "hint" }, hint));
}

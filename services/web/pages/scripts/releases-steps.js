// The steps of a plan as rows that can be added, changed and taken away.

import { el, replace } from "./dom.js";

const DURATION = "[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)";
const KINDS = { canary: ["weight", "shadow", "pause"], shadow: ["shadow", "pause"], "blue-green": ["shadow", "pause"], ab: ["timed"] };
const WORDS = { weight: "Weight", shadow: "Mirror", pause: "Pause", timed: "All arms" };

/** An editor of `steps` (changed in place), as `{element, update(strategy, steps)}`; `onChange` is called after each
 *  change. */
export function stepsEditor(onChange) {
  let strategy = "canary";
  let steps = [];
  const list = el("ol", { class: "step-rows" });
  const head = el("div", { class: "step-row step-head", "aria-hidden": "true" }, ["Kind", "Share of the keys", "For at least", "Requests at least"].map((title) => el("span", {}, title)));
  const add = el("button", { type: "button", class: "button small", onclick: addStep }, "Add a step");

  function addStep() {
    const [kind] = KINDS[strategy];
    const last = Math.max(0, ...steps.filter((step) => step.kind === "weight").map((step) => step.percent));
    const percent = kind === "weight" ? Math.min(99, last ? last * 2 : 5) : 100;
    steps.push({ kind, percent, for: "60s", min_requests: 100 });
    draw();
    list.lastElementChild.querySelector("select").focus();
    onChange();
  }

  function remove(index) {
    steps.splice(index, 1);
    draw();
    add.focus();
    onChange();
  }

  function row(step, index) {
    const said = `of step ${index + 1}`;
    const set = (name, read) => (event) => {
      step[name] = read(event.target);
      onChange();
    };
    const kinds = KINDS[strategy];
    const chooseKind = (event) => {
      Object.assign(step, { kind: event.target.value, percent: step.percent ?? 100, for: step.for ?? "60s", min_requests: step.min_requests ?? 100 });
      draw();
      list.children[index].querySelector("select").focus();
      onChange();
    };
    const kind = kinds.length > 1
      ? el("select", { "aria-label": `Kind ${said}`, value: step.kind, onchange: chooseKind }, kinds.map((each) => el("option", { value: each }, WORDS[each])))
      : el("span", { class: "label" }, WORDS[step.kind]);
    const timed = step.kind === "pause" ? [el("span", { class: "hint pause-words" }, "until a person resumes it")] : [
      step.kind === "timed" ? null : unit("%", el("input", { type: "number", "aria-label": `Percentage ${said}`, min: 0.1, max: step.kind === "weight" ? 99.9 : 100, step: "any", required: true, value: step.percent, oninput: set("percent", (input) => input.valueAsNumber) })),
      unit("at least", el("input", { type: "text", "aria-label": `Duration ${said}, such as 60s, 5m or 2h`, pattern: DURATION, required: true, value: step.for, oninput: set("for", (input) => input.value.trim()) })),
      unit("requests", el("input", { type: "number", "aria-label": `Requests ${said}, at least`, min: 1, step: 1, required: true, value: step.min_requests, oninput: set("min_requests", (input) => input.valueAsNumber) })),
    ];
    const gone = strategy === "ab" ? null : el("button", { type: "button", class: "button quiet small", "aria-label": `Take step ${index + 1} away`, onclick: () => remove(index) }, "×");
    return el("li", { class: "step-row" }, kind, timed, gone);
  }

  const unit = (words, input) => el("span", { class: "unit" }, input, el("span", { "aria-hidden": "true" }, words));

  function draw() {
    replace(list, steps.map(row));
    add.hidden = strategy === "ab";
    head.hidden = !steps.length || strategy === "ab";
  }

  function update(nextStrategy, nextSteps) {
    strategy = nextStrategy;
    steps = nextSteps;
    draw();
  }

  return { element: el("div", { class: "stack tight" }, head, list, el("div", {}, add)), update };
}

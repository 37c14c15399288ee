// Beginning a release: a form with values that suit most, the plan that it makes, and the command that does the same.

import { call } from "./api.js";
import { el, replace } from "./dom.js";
import { GUARDRAILS, commandsOf, defaultSteps, planOf, planYaml } from "./releases-plan.js";
import { stepsEditor } from "./releases-steps.js";
import { strategyWords } from "./releases-words.js";
import { copyable, failedState, problemText, toast, withKey } from "./shell.js";

const STRATEGIES = {
  canary: "A few percent at a time, judged at each step.",
  shadow: "Copies of requests only: nobody sees the candidate's answers.",
  "blue-green": "Everything at once when it is warm, and back at once.",
  ab: "Both answer with fixed shares, until a person promotes one.",
};

/** Fills `node` with the form when `open()` is called; `onBegun(model)` follows a release that has begun. */
export function releaseForm(node, onBegun) {
  async function open() {
    replace(node, el("p", { class: "muted" }, "Asking which models there are…"));
    try {
      const { models } = await call("/v1/models");
      replace(node, form(models.filter((model) => model.default), models, onBegun));
      node.querySelector("h2").focus();
    } catch (error) {
      replace(node, failedState(error, open));
    }
  }
  return { open };
}

function form(named, models, onBegun) {
  if (!named.length) return heading("There is no model that answers yet: a release needs one that does.");
  const values = { model: named[0].name, strategy: "canary", steps: defaultSteps("canary"), hold: "30m", on_fail: "rollback", share: 50 };
  const guards = GUARDRAILS.map((guardrail) => ({ ...guardrail }));
  const yaml = planText(() => draw());
  const candidates = candidateChoice((candidate) => change({ candidate }));
  const steps = stepsEditor(() => draw());
  const only = (strategies, child) => el("div", { dataset: { only: strategies.join(" ") } }, child);
  const body = el("form", { class: "new-release", novalidate: true },
    el("div", { class: "stack" },
      field("Name that people ask for", select(named.map((model) => model.name), values.model, (model) => change({ model })), "model"),
      field("Candidate: what is to answer for it", candidates.element, "candidate"),
      strategyChoice((strategy) => change({ strategy, steps: defaultSteps(strategy) })),
      only(["ab"], field("Candidate's share of the keys, in percent", el("input", { type: "number", min: 0.1, max: 100, step: "any", value: values.share, oninput: (event) => change({ share: event.target.valueAsNumber }) }), "share")),
      el("fieldset", {}, el("legend", {}, "Steps"), steps.element),
      el("fieldset", { class: "guard-rows" }, el("legend", {}, "Guardrails: how much worse it may be"), guards.map((guard) => guardRow(guard, () => draw()))),
      only(["canary", "blue-green"], field("Hold: how long stable stays warm at the end", el("input", { type: "text", pattern: "[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)", value: values.hold, oninput: (event) => change({ hold: event.target.value.trim() }) }), "hold")),
      field("When a guardrail fails", select(["rollback", "pause"], values.on_fail, (on_fail) => change({ on_fail }), { rollback: "Take everything back", pause: "Wait for a person" }), "on-fail")),
    el("div", { class: "stack made" }, yaml.element, yaml.problem,
      el("div", { class: "row" }, el("button", { type: "submit", class: "button primary" }, "Begin the release"), el("a", { class: "button", href: "#" }, "Cancel"))));

  function change(news) {
    Object.assign(values, news);
    if ("model" in news) values.candidate = candidates.update(models, named.find((model) => model.name === values.model));
    if ("strategy" in news) steps.update(values.strategy, values.steps);
    for (const part of body.querySelectorAll("[data-only]")) part.hidden = !part.dataset.only.split(" ").includes(values.strategy);
    draw();
  }

  function draw() {
    const guardrails = guards.filter((guard) => guard.on).map(({ metric, limit, value }) => ({ metric, [limit]: value }));
    yaml.set(values.candidate ? planYaml(planOf({ ...values, guardrails })) : "# There is no candidate yet.\n", values.model);
  }

  body.addEventListener("submit", async (event) => {
    event.preventDefault();
    await begin(yaml, values.model, onBegun);
  });
  change({ model: values.model, strategy: values.strategy });
  return [heading("It begins as soon as every serving process has the candidate loaded, and needs an administrator's key."), body];
}

async function begin(yaml, model, onBegun) {
  const text = yaml.text();
  const name = /^model:\s*["']?([\w.-]+)/m.exec(text)?.[1] ?? model;
  yaml.say(null);
  try {
    const path = `/v1/models/${encodeURIComponent(name)}/release`;
    await withKey(() => call(path, { method: "PUT", body: text, headers: { "Content-Type": "application/yaml" } }));
    toast(`The release of ${name} has begun`, "ok");
    onBegun(name);
  } catch (error) {
    yaml.say(problemText(error));
  }
}

const heading = (words) => el("div", { class: "card-title" }, el("h2", { id: "new-title", tabindex: "-1" }, "New release"), el("p", { class: "muted" }, words));

function field(words, input, id) {
  input.id = `new-${id}`;
  return el("div", { class: "field" }, el("label", { for: input.id }, words), input);
}

function select(choices, value, onChoose, words = {}) {
  return el("select", { value, onchange: (event) => onChoose(event.target.value) }, choices.map((choice) => el("option", { value: choice }, words[choice] ?? choice)));
}

/** Every version but the one that answers now; first those of the same model, the newest first. */
function candidateChoice(onChoose) {
  const refOf = (text) => ({ model: text.slice(0, text.lastIndexOf("/")), version: Number(text.slice(text.lastIndexOf("/") + 1)) });
  const element = el("select", { onchange: () => onChoose(refOf(element.value)) });
  function update(models, named) {
    const own = (model) => model.name !== named.name;
    const sorted = [...models].sort((one, other) => own(one) - own(other) || one.name.localeCompare(other.name));
    const refs = sorted.flatMap((model) => model.versions.map(({ version }) => version).sort((one, other) => other - one).map((version) => `${model.name}/${version}`));
    const others = refs.filter((ref) => ref !== `${named.default.model}/${named.default.version}`);
    replace(element, others.length ? others.map((ref) => el("option", { value: ref }, ref)) : el("option", { value: "" }, "no other version is in the repository"));
    return others.length ? refOf(others[0]) : null;
  }
  return { element, update };
}

function strategyChoice(onChoose) {
  const says = el("p", { class: "hint" }, STRATEGIES.canary);
  const choose = (event) => {
    says.textContent = STRATEGIES[event.target.value];
    onChoose(event.target.value);
  };
  return el("fieldset", {}, el("legend", {}, "Strategy"),
    el("div", { class: "segments" }, Object.keys(STRATEGIES).map((strategy) => el("label", {},
      el("input", { type: "radio", name: "strategy", value: strategy, checked: strategy === "canary", onchange: choose }), el("span", {}, strategyWords(strategy))))),
    says);
}

function guardRow(guard, onChange) {
  const limit = el("input", { type: "number", step: "any", min: 0, value: guard.value, "aria-label": `Limit of ${guard.metric}`, oninput: (event) => { guard.value = event.target.valueAsNumber; onChange(); } });
  const on = el("input", { type: "checkbox", checked: guard.on, onchange: (event) => { guard.on = event.target.checked; onChange(); } });
  return el("div", { class: "guard-row" }, el("label", {}, on, el("span", {}, el("code", {}, guard.metric), el("small", {}, guard.words))), limit);
}

/** The plan's text, which may be changed by hand: then it is that which is sent. */
function planText(onForm) {
  let byHand = false;
  const back = el("button", { type: "button", class: "button quiet small", hidden: true, onclick: () => { byHand = false; back.hidden = true; onForm(); } }, "Back to the form's plan");
  const area = el("textarea", { id: "new-yaml", rows: 18, spellcheck: "false", class: "mono", oninput: () => { byHand = true; back.hidden = false; } });
  const cli = copyable("", "The command");
  const problem = el("div", { role: "alert" });
  const element = el("div", { class: "stack tight" },
    el("div", { class: "row spread" }, el("label", { for: "new-yaml", class: "label" }, "plan.yaml, which may be changed here"), back), area,
    el("p", { class: "hint" }, "The same from a terminal, with this text in a file:"), cli);
  return {
    element,
    problem,
    text: () => area.value,
    say: (words) => replace(problem, words && el("p", { class: "notice", "data-kind": "danger" }, words)),
    set(text, model) {
      if (!byHand) area.value = text;
      cli.set(commandsOf(model).cli);
    },
  };
}

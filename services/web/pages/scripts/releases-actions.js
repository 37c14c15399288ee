// Promote, pause, resume, roll back and end: each asks first, and needs an administrator's key.

import { call } from "./api.js";
import { byId, el } from "./dom.js";
import { STABLE, armWords } from "./releases-words.js";
import { confirmDialog, toast, toastProblem, withKey } from "./shell.js";

const STEPS = ["shadowing", "progressing"];
const UNDER_WAY = ["pending", ...STEPS, "paused", "promoting"];
const PROMOTABLE = ["pending", ...STEPS, "paused"];

/** Gives `{element, update(chosen)}`; `after` is called when something was done. The buttons stay the same, so that
 *  who stands on one is not thrown off by a look. */
export function actionBar(after) {
  let state = null;
  const button = (name, kind) => el("button", { type: "button", class: `button ${kind}`, dataset: { action: name }, onclick: () => run(name) });
  const buttons = { promote: button("promote", "primary"), pause: button("pause", ""), rollback: button("rollback", "danger"), end: button("end", "quiet") };
  let busy = false;

  async function run(name) {
    const asked = ACTIONS[name](state);
    if (busy || !asked || !(await confirmDialog(asked.question))) return;
    busy = true;
    try {
      await withKey(() => call(`/v1/models/${encodeURIComponent(asked.model)}/release${asked.path}`, asked.options()));
      toast(asked.done, "ok");
      await after();
    } catch (error) {
      toastProblem(error);
    } finally {
      busy = false;
    }
  }

  function update(chosen) {
    state = chosen.state;
    const { phase, failed, step, steps } = state;
    const shown = {
      promote: [PROMOTABLE.includes(phase) && !failed, "Promote…"],
      pause: phase === "paused" ? [!failed && step < steps, "Resume…"] : [STEPS.includes(phase), "Pause…"],
      rollback: [UNDER_WAY.includes(phase), "Roll back…"],
      end: [true, state.is_over ? "Put away…" : "End…"],
    };
    for (const [name, [isShown, words]] of Object.entries(shown)) {
      const node = buttons[name];
      if (!isShown && node === document.activeElement) byId("headline").focus();
      node.hidden = !isShown;
      if (node.textContent !== words) node.textContent = words;
    }
  }

  return { buttons: Object.values(buttons), update };
}

const ACTIONS = { promote, pause: (state) => (state.phase === "paused" ? resume(state) : pause(state)), rollback, end };

function promote(state) {
  const arms = state.arms.filter((arm) => arm.arm !== STABLE);
  const [first] = arms;
  const choice = el("fieldset", { class: "stack" }, el("legend", {}, "Which arm is to answer everything?"), arms.map((arm) =>
    el("label", { class: "row" }, el("input", { type: "radio", name: "arm", value: arm.arm, checked: arm === first }), `${armWords(arm.arm)} (${arm.ref})`)));
  const what = arms.length === 1 ? `${first.ref} is to answer everything` : "The arm is to answer everything";
  const text = el("p", {}, `${what} as soon as it is warm everywhere; what is left of the plan is skipped. Stable stays warm for ${state.plan.hold}, and until then it can be rolled back.`);
  const chosenArm = () => choice.querySelector("input:checked")?.value ?? first.arm;
  return {
    model: state.model,
    path: "/promote",
    options: () => ({ method: "POST", body: { arm: chosenArm() } }),
    question: { title: `Promote ${arms.length === 1 ? first.ref : "an arm"}?`, body: el("div", { class: "stack" }, arms.length > 1 ? choice : null, text), action: "Promote" },
    done: `${state.model} is being promoted`,
  };
}

const posted = () => ({ method: "POST" });

function pause(state) {
  return {
    model: state.model,
    path: "/pause",
    options: posted,
    question: { title: `Pause the release of ${state.model}?`, body: "Weights stay as they are, and guardrails are still watched.", action: "Pause" },
    done: `${state.model} is paused`,
  };
}

function resume(state) {
  const where = state.plan.steps[state.step]?.pause ? "The next step begins." : "The step begins again.";
  return {
    model: state.model,
    path: "/resume",
    options: posted,
    question: { title: `Resume the release of ${state.model}?`, body: where, action: "Resume" },
    done: `${state.model} goes on`,
  };
}

function rollback(state) {
  return {
    model: state.model,
    path: "/rollback",
    options: posted,
    question: { title: `Roll ${state.model} back?`, body: `${state.arms[0].ref} answers everything again at once, and the release is over.`, action: "Roll back", danger: true },
    done: `${state.model} is rolled back`,
  };
}

/** With the revision that was looked at: another release that has begun meanwhile must not be ended instead. */
function end(state) {
  const words = state.is_over
    ? { title: `Put the release of ${state.model} away?`, body: "It is no longer shown; its events are kept, and nothing else changes.", action: "Put away" }
    : { title: `End the release of ${state.model}?`, body: `${state.arms[0].ref} answers everything again, and the release is over.`, action: "End it", danger: true };
  return {
    model: state.model,
    path: "",
    options: () => ({ method: "DELETE", headers: { "If-Match": `"${state.revision}"` } }),
    question: words,
    done: state.is_over ? "It is put away" : `The release of ${state.model} was ended`,
  };
}

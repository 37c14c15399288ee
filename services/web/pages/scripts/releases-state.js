// Where a release is, for one look: its phase and why, who answers how much, and how far along the plan it is.

import { el, replace } from "./dom.js";
import { clockTime, duration, ms, number, percent, timeAgo } from "./format.js";
import { redraw } from "./releases-redraw.js";
import { STABLE, armWords, moment, phaseOf, seconds, strategyWords, weight } from "./releases-words.js";
import { badge } from "./shell.js";

const TONES = ["stable", "candidate", "3", "4", "5", "6"];

/** The tone of an arm's colour: its place among the release's arms. */
export function toneOf(arms, arm) {
  const index = arms.findIndex((each) => each.arm === arm);
  return TONES[(index < 0 ? arms.length : index) % TONES.length];
}

/** Title line: the name, the phase, and what it is. */
export function headline({ state }) {
  const phase = phaseOf(state.phase);
  const versions = state.arms.filter((arm) => arm.arm !== STABLE).map((arm) => arm.ref).join(", ");
  return [
    el("div", { class: "release-title" }, el("h2", { id: "chosen-name" }, state.model), badge(phase.words, phase.kind)),
    el("p", { class: "muted" }, `${strategyWords(state.strategy)} of ${versions} · ${state.release}`),
  ];
}

/** Why it is where it is; how loud depends on what it is. */
export function reasonNotice({ state }) {
  const phase = phaseOf(state.phase);
  const titles = {
    rolled_back: "It was rolled back, stable answers everything",
    rolling_back: "It is being rolled back",
    promoted: `${state.model} means the new version now`,
    paused: state.failed ? "A guardrail has failed: it waits for a person" : "It waits for a person",
    aborted: "It was ended, stable answers everything",
  };
  const title = titles[state.phase];
  return el(
    "div",
    { class: "notice reason", "data-kind": title ? phase.kind : "none" },
    el("div", {}, el("strong", {}, title ?? `${phase.words}: ${phase.says}`), el("p", {}, state.reason)),
  );
}

/** The shares of all arms, large. Gives `{element, update}`: the bar's parts move to their new width. */
export function weightBoard() {
  const cards = el("div", { class: "arms" });
  const bar = el("div", { class: "weight-bar", "aria-hidden": "true" });
  const parts = new Map();
  let shown = "";

  function update({ state, report }) {
    const arms = state.arms;
    const names = arms.map((arm) => arm.arm).join(" ");
    if (names !== shown) {
      shown = names;
      parts.clear();
      for (const arm of arms) parts.set(arm.arm, el("span", { class: `tone-${toneOf(arms, arm.arm)}` }));
      replace(bar, [...parts.values()]);
    }
    for (const arm of arms) parts.get(arm.arm).style.width = `${arm.weight}%`;
    const measured = new Map((report?.arms ?? []).map((arm) => [arm.arm, arm]));
    redraw(cards, arms.map((arm) => armCard(arms, arm, measured.get(arm.arm), state)));
  }

  return { element: el("div", { class: "weights" }, cards, bar), update };
}

function armCard(arms, arm, numbers, state) {
  const mirrored = state.shadow && arm.arm !== STABLE ? `${weight(state.shadow)} mirrored` : "";
  return el(
    "article",
    { class: `arm tone-${toneOf(arms, arm.arm)}`, dataset: { arm: arm.arm } },
    el("h3", {}, el("span", { class: `swatch tone-${toneOf(arms, arm.arm)}`, "aria-hidden": "true" }), armWords(arm.arm), el("small", {}, arm.ref)),
    el("p", { class: "big" }, weight(arm.weight), mirrored && el("small", {}, mirrored)),
    el("dl", {}, facts(numbers).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
  );
}

/** What an arm did in the step that is judged. */
function facts(numbers) {
  if (!numbers?.requests) return [["Requests in this step", "none yet"]];
  return [
    ["Requests in this step", number(numbers.requests)],
    ["Errors", `${number(numbers.errors)} (${percent(numbers.error_rate, 2)})`],
    ["Latency p50 · p95", `${ms(numbers.latency_ms.p50)} · ${ms(numbers.latency_ms.p95)}`],
    ["Keys", number(numbers.keys)],
  ];
}

/** The plan as a row of stops with the current one. `at` is the server's time in Unix milliseconds. */
export function track({ state, report, at }) {
  const stops = stopsOf(state);
  const current = currentStop(state, stops.length);
  return el("ol", { class: "track", "aria-label": "Steps of the plan" }, stops.map((stop, index) => {
    const place = index < current.index ? "done" : index === current.index ? current.kind : "ahead";
    const isCurrent = index === current.index && !state.is_over;
    return el(
      "li",
      { class: place, "aria-current": isCurrent ? "step" : undefined },
      el("span", { class: "stop", "aria-hidden": "true" }),
      el("strong", {}, stop.name),
      el("small", {}, stop.says),
      isCurrent ? progress(state, stop.step, report, at) : null,
    );
  }));
}

function stopsOf(state) {
  const steps = state.plan.steps.map((step) => ({ step, ...stepWords(step, state) }));
  if (state.strategy === "shadow" || state.strategy === "ab") return [...steps, { name: "Decision", says: "a person promotes or ends it" }];
  return [...steps, { name: "100 %", says: `hold of ${duration(seconds(state.plan.hold))}` }, { name: "Promoted", says: "the name's new meaning" }];
}

function stepWords(step, state) {
  if (step.pause) return { name: "Pause", says: "a person resumes" };
  const says = `${duration(seconds(step.for))}, ${number(step.min_requests)} requests`;
  if (step.shadow) return { name: `Mirror ${weight(step.shadow)}`, says };
  return { name: state.strategy === "ab" ? "All arms" : weight(step.weight), says };
}

/** `{index, kind}` of the stop where the release is; kind is "now", "waiting", "failed" or "done". */
function currentStop(state, stops) {
  if (state.phase === "promoted") return { index: stops, kind: "done" };
  const step = state.phase === "promoting" ? state.steps : state.step;
  const index = Math.min(step, stops - 1);
  if (state.phase === "pending") return { index: 0, kind: "ahead" };
  if (["rolling_back", "rolled_back", "aborted"].includes(state.phase)) return { index, kind: "failed" };
  return { index, kind: state.phase === "paused" ? "waiting" : "now" };
}

/** How much of a step's time and of its requests there is, of which the lesser is what it still waits for; of the hold
 *  how much is over. */
function progress(state, step, report, at) {
  const elapsed = Math.max(0, (at - moment(state.since)) / 1000);
  if (state.phase === "promoting") {
    const hold = seconds(state.plan.hold);
    return state.weight === 100 ? progressBar(elapsed / hold, `${duration(Math.min(elapsed, hold))} of ${duration(hold)}`) : null;
  }
  if (!step || step.pause || !["shadowing", "progressing"].includes(state.phase)) return null;
  const needed = seconds(step.for);
  const asked = step.shadow ? (report?.shadow?.requests ?? 0) : leastAsked(report);
  const words = `${duration(Math.min(elapsed, needed))} of ${duration(needed)}, ${number(asked)} of ${number(step.min_requests)} asked`;
  return progressBar(Math.min(elapsed / needed, asked / step.min_requests), words);
}

function progressBar(share, words) {
  const filled = 100 * Math.min(Math.max(share, 0), 1);
  return el("span", { class: "step-progress" }, el("span", { class: "fill", style: { width: `${filled}%` } }), el("small", {}, words));
}

function leastAsked(report) {
  const asked = (report?.arms ?? []).filter((arm) => arm.arm !== STABLE).map((arm) => arm.requests);
  return asked.length ? Math.min(...asked) : 0;
}

/** Says that no controller lives; nothing where one does. */
export function quietNotice({ silentSince }) {
  if (silentSince === null) return null;
  return el("div", { class: "notice", "data-kind": "danger", role: "alert" }, el("div", {},
    el("strong", {}, "No controller is looking after this release"),
    el("p", {}, `Nothing was heard of one since ${clockTime(silentSince)}. Weights stay as they are, and nothing is taken back by itself. Start one: `,
      el("code", {}, "grayscale controller"))));
}

/** The verdict on the whole, in words; nothing where there is none. */
export function verdictLine({ state, report, at }) {
  if (state.is_over || !report?.verdict) return null;
  const { outcome, reason } = report.verdict;
  const words = { pass: "Every guardrail holds", fail: "A guardrail is broken", inconclusive: "Not decided yet" }[outcome] ?? outcome;
  return el("p", { class: "verdict-line" }, el("strong", {}, `${words}. `), reason, el("small", {}, ` Looked at ${timeAgo(report.at, at)}.`));
}

// Guardrails: both versions' numbers, where the truth lies against the limit, and how strong the evidence is.

import { el, svg } from "./dom.js";
import { number } from "./format.js";
import { estimateValue, isNumber, metricValue, metricWords, outcomeOf, short } from "./releases-words.js";
import { badge } from "./shell.js";

const WIDTH = 176;
const HEIGHT = 34;
const EDGE = 8;
const MIDDLE = 17;

/** The table of a report's guardrails; `plan` has their limits as numbers, in the same order for each arm. */
export function guardrailTable(report, plan) {
  const several = new Set(report.guardrails.map((each) => each.arm)).size > 1;
  const titles = ["Guardrail", "Stable", "Candidate", "Interval", "Evidence", "Verdict"];
  const planned = plan.guardrails ?? [];
  const rows = report.guardrails.map((each, index) => row(each, limitOf(planned[index % planned.length]), several));
  return el(
    "table",
    { class: "guardrails", role: "table", "aria-label": "Guardrails" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, titles.map((title) => el("th", { scope: "col", role: "columnheader" }, title)))),
    el("tbody", { role: "rowgroup" }, rows),
  );
}

function row(guardrail, limit, several) {
  const outcome = outcomeOf(guardrail.outcome);
  const cell = (label, ...children) => el("td", { role: "cell", dataset: { label } }, children);
  const name = several ? `${metricWords(guardrail.metric)} (${guardrail.arm})` : metricWords(guardrail.metric);
  return el(
    "tr",
    { role: "row", dataset: { outcome: outcome.kind } },
    el("th", { scope: "row", role: "rowheader" }, name, el("small", {}, guardrail.limit)),
    cell("Stable", value(guardrail, "stable")),
    cell("Candidate", value(guardrail, "candidate")),
    cell("Interval", intervalBar(guardrail, limit), el("small", {}, intervalWords(guardrail))),
    cell("Evidence", evidence(guardrail)),
    cell("Verdict", badge(outcome.words, outcome.kind), el("small", {}, why(guardrail))),
  );
}

function value(guardrail, arm) {
  const asked = guardrail[`count_${arm}`];
  return [metricValue(guardrail.metric, guardrail[arm]), asked ? el("small", {}, `of ${number(asked)}`) : null];
}

/** What a sentence says behind its numbers, which stand beside it. */
function why(guardrail) {
  return guardrail.sentence.slice(guardrail.sentence.lastIndexOf(";") + 1).trim();
}

function evidence(guardrail) {
  if (!guardrail.guaranteed) return el("small", {}, "a plain threshold, outside the guarantee");
  const { e_value: found, threshold } = guardrail;
  const share = isNumber(found) && isNumber(threshold) ? Math.log(Math.max(found, 1)) / Math.log(threshold) : 0;
  const words = `${short(found)} of ${short(threshold)}`;
  const filled = Math.min(Math.max(share, 0), 1);
  const bar = el("span", { class: "evidence", "aria-hidden": "true" }, el("span", { style: { width: `${100 * filled}%` } }));
  return [bar, el("small", {}, words)];
}

function intervalWords(guardrail) {
  const [low, high] = guardrail.interval ?? [];
  const said = (end) => estimateValue(guardrail.metric, end);
  if (!isNumber(low) && !isNumber(high)) return "not known yet";
  if (!isNumber(low)) return `at most ${said(high)}`;
  return isNumber(high) ? `${said(low)} to ${said(high)}` : `at least ${said(low)}`;
}

/** `{at, neutral, isBelow}`: where the limit lies on the scale of the estimate, where "no difference" does, and whether
 *  what is below the limit is bad. Null without a plan's guardrail. */
export function limitOf(guardrail) {
  if (!guardrail) return null;
  if (isNumber(guardrail.max_decrease)) return { at: -guardrail.max_decrease, neutral: 0, isBelow: true };
  if (isNumber(guardrail.max_ratio)) return { at: guardrail.max_ratio, neutral: 1, isBelow: false };
  return { at: guardrail.max_increase ?? guardrail.max, neutral: 0, isBelow: false };
}

/** The interval as a bar, the estimate as its dot, and what is beyond the limit as a shaded ground. */
function intervalBar(guardrail, limit) {
  const [low, high] = guardrail.interval ?? [];
  if (!limit || !(isNumber(low) || isNumber(high) || isNumber(guardrail.estimate))) return null;
  const place = scale(limit, guardrail.estimate, low, high);
  const left = isNumber(low) ? place(low) : EDGE;
  const right = isNumber(high) ? place(high) : WIDTH - EDGE;
  const at = place(limit.at);
  const bad = limit.isBelow ? { x: 0, width: at } : { x: at, width: WIDTH - at };
  const label = `${intervalWords(guardrail)}; the limit is ${estimateValue(guardrail.metric, limit.at)}`;
  return svg(
    "svg",
    { class: "interval", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": label },
    svg("rect", { class: "beyond", y: 3, height: HEIGHT - 6, ...bad }),
    svg("line", { class: "ground", x1: 0, x2: WIDTH, y1: MIDDLE, y2: MIDDLE }),
    svg("line", { class: "neutral", x1: place(limit.neutral), x2: place(limit.neutral), y1: 9, y2: HEIGHT - 9 }),
    isNumber(low) || isNumber(high) ? svg("line", { class: "span", x1: left, x2: Math.max(right, left + 1), y1: MIDDLE, y2: MIDDLE }) : null,
    isNumber(guardrail.estimate) ? svg("circle", { class: "estimate", cx: place(guardrail.estimate), cy: MIDDLE, r: 5 }) : null,
    svg("line", { class: "limit", x1: at, x2: at, y1: 2, y2: HEIGHT - 2 }),
  );
}

/** Where a value is drawn: the limit stands at the same place in every row unless the estimate needs more room. */
function scale(limit, estimate) {
  const span = Math.abs(limit.at - limit.neutral) || Math.abs((estimate ?? 0) - limit.neutral) || 1;
  const ends = limit.isBelow ? [limit.at - 1.5 * span, limit.neutral + 1.5 * span] : [limit.neutral - 1.5 * span, limit.at + 1.5 * span];
  const known = isNumber(estimate) ? estimate : limit.neutral;
  const low = Math.min(ends[0], known - 0.25 * span);
  const high = Math.max(ends[1], known + 0.25 * span);
  return (value) => EDGE + ((WIDTH - 2 * EDGE) * (Math.min(Math.max(value, low), high) - low)) / (high - low);
}

// What a release's documents say, in words and numbers for people. Pure.

import { ms, percent } from "./format.js";

export const STABLE = "stable";
export const SHADOW = "shadow";
const SHARES = new Set(["error_rate", "disagreement", "prediction_shift", "accuracy"]);
const DASH = "–";

const PHASES = {
  pending: { words: "Starting", kind: "accent", says: "its versions are being loaded" },
  shadowing: { words: "Mirroring", kind: "accent", says: "stable answers, copies go to the candidate" },
  progressing: { words: "In progress", kind: "accent", says: "versions share the requests" },
  paused: { words: "Paused", kind: "warn", says: "it waits for a person" },
  promoting: { words: "Promoting", kind: "ok", says: "the candidate answers, stable stays warm" },
  promoted: { words: "Promoted", kind: "ok", says: "the candidate is what the name means" },
  rolling_back: { words: "Rolling back", kind: "danger", says: "stable answers everything again" },
  rolled_back: { words: "Rolled back", kind: "danger", says: "stable answers everything" },
  aborted: { words: "Ended", kind: "none", says: "a person ended it" },
};

const OUTCOMES = {
  pass: { words: "Holds", kind: "ok" },
  fail: { words: "Broken", kind: "danger" },
  inconclusive: { words: "Open", kind: "warn" },
};

const METRICS = {
  error_rate: "Error rate",
  latency_p50: "Latency, median",
  latency_p90: "Latency, p90",
  latency_p95: "Latency, p95",
  latency_p99: "Latency, p99",
  disagreement: "Disagreement",
  prediction_shift: "Prediction shift",
  accuracy: "Accuracy",
  reward: "Reward",
  promql: "Query",
};

const STRATEGIES = { canary: "Canary", ab: "A/B test", shadow: "Shadow", "blue-green": "Blue-green" };

/** `{words, kind, says}`; kind is that of a badge: accent, warn, ok, danger or none. */
export function phaseOf(phase) {
  return PHASES[phase] ?? { words: phase, kind: "none", says: "" };
}

/** `{words, kind}` of a verdict's outcome. */
export function outcomeOf(outcome) {
  return OUTCOMES[outcome] ?? { words: outcome ?? DASH, kind: "none" };
}

export function metricWords(metric) {
  return METRICS[metric] ?? metric;
}

export function strategyWords(strategy) {
  return STRATEGIES[strategy] ?? strategy;
}

export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** Of a percentage from 0 to 100. */
export function weight(value) {
  return isNumber(value) ? `${Number(value.toFixed(1))} %` : DASH;
}

/** Three significant digits, in full up to a million; larger ones as a power of ten, because evidence can be huge. */
export function short(value) {
  if (!isNumber(value)) return DASH;
  const size = Math.abs(value);
  if (size >= 1e6) return `10^${Math.floor(Math.log10(size))}`;
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

/** A metric's own value: a share, a time or a number. */
export function metricValue(metric, value) {
  if (metric.startsWith("latency")) return ms(isNumber(value) ? 1000 * value : value);
  return SHARES.has(metric) ? percent(value, 2) : short(value);
}

/** What a guardrail's limit is about: a multiple of stable's latency, points, or a number. */
export function estimateValue(metric, value) {
  if (!isNumber(value)) return DASH;
  if (metric.startsWith("latency")) return `${short(value)}×`;
  return SHARES.has(metric) ? `${Number((100 * value).toFixed(2))} %` : short(value);
}

/** Seconds of a plan's duration, such as 500ms, 60s, 30m, 2h or 7d; NaN of anything else. */
export function seconds(text) {
  const found = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)$/.exec(text ?? "");
  return found ? Number(found[1]) * { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 }[found[2]] : NaN;
}

/** Unix milliseconds of a time of the API; NaN where there is none. */
export function moment(text) {
  return Date.parse(text ?? "");
}

/** An arm as people call it: its name, with a capital letter. */
export function armWords(arm) {
  return arm === SHADOW ? "Mirrored" : arm.charAt(0).toUpperCase() + arm.slice(1);
}

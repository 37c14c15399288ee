// The course of a release: weights, requests, errors and latency of each arm over time.

import { lineChart } from "./chart.js";
import { el } from "./dom.js";
import { ms, number } from "./format.js";
import { toneOf } from "./releases-state.js";
import { SHADOW, armWords, moment, weight } from "./releases-words.js";

const DRAWN = 240; // points of a line: more look the same
const LEAST_S = 1.5; // that a point of a line tells of
const QUANTILES = [["p50_ms", "p50"], ["p95_ms", "p95"], ["p99_ms", "p99"]];

/** Gives `{element, update(chosen)}`. */
export function courseCharts() {
  let quantile = "p95_ms";
  let last = null;
  const charts = {
    weights: lineChart({ title: "Weight", series: [], min: 0, max: 100, yText: weight, height: 150, empty: "Nothing was let in yet" }),
    requests: lineChart({ title: "Requests per second", series: [], min: 0, yText: number, height: 150 }),
    errors: lineChart({ title: "Errors", series: [], min: 0, least: 1, yText: weight, height: 150, empty: "Nobody was asked yet" }),
    latency: lineChart({ title: "Latency", series: [], min: 0, yText: ms, height: 150, empty: "Nobody was asked yet" }),
  };
  const choose = (event) => {
    quantile = event.target.value;
    if (last) draw(last);
  };
  const choice = el("fieldset", { class: "segments small" },
    el("legend", { class: "visually-hidden" }, "Quantile of the latency"),
    QUANTILES.map(([value, label]) => el("label", {},
      el("input", { type: "radio", name: "quantile", value, checked: value === quantile, onchange: choose }),
      el("span", {}, label))));

  function draw({ state, points }) {
    const lines = series(state, points, quantile);
    for (const [name, chart] of Object.entries(charts)) chart.update(lines[name]);
  }

  function update(chosen) {
    const isNews = last?.points !== chosen.points || last?.state.release !== chosen.state.release;
    last = chosen;
    if (isNews) draw(chosen);
  }

  const element = el("div", { class: "course" },
    ...["weights", "requests", "errors"].map((name) => el("div", { class: "card" }, charts[name].element)),
    el("div", { class: "card latency" }, choice, charts.latency.element));
  return { element, update };
}

/** The lines of all charts, as `{weights, requests, errors, latency}`. A value of null is a gap: nobody was asked. */
export function series(state, points, quantile) {
  const drawn = joined(points, moment(state.created_at) / 1000, DRAWN);
  const arms = state.arms.map((arm) => arm.arm);
  const mirrored = points.some((point) => SHADOW in point.arms);
  const asked = mirrored ? [...arms, SHADOW] : arms;
  const line = (arm, values) => ({ name: armWords(arm), tone: toneOf(state.arms, arm), dashed: arm === SHADOW, points: values });
  const lines = (value) => asked.map((arm) => line(arm, drawn.map((point) => [point.at, value(point, point.arms[arm])])));
  return {
    weights: points.length ? arms.map((arm) => line(arm, stepped(drawn, (point) => point.weights[arm] ?? null))) : [],
    requests: points.length ? lines((point, arm) => (arm?.requests ?? 0) / point.spanS) : [],
    errors: points.length ? lines((point, arm) => (arm?.requests ? (100 * arm.errors) / arm.requests : null)) : [],
    latency: points.length ? lines((point, arm) => arm?.[quantile] ?? null) : [],
  };
}

/** A weight holds until the next point. */
function stepped(drawn, value) {
  return drawn.flatMap((point, index) => (index ? [[point.at, value(drawn[index - 1])], [point.at, value(point)]] : [[point.at, value(point)]]));
}

/** At most so many points, with `at` in Unix seconds and `spanS`, the time each tells of: neighbours become one with
 *  the sums of their counts and the largest of their latencies. Those that come within moments of each other do so too,
 *  because what is counted reaches the controller about once a second. */
function joined(points, beganS, most) {
  const size = Math.ceil(points.length / most) || 1;
  const groups = [];
  let before = beganS;
  let group = [];
  for (const point of points) {
    group.push(point);
    const at = moment(point.at) / 1000;
    if (group.length < size || at - before < LEAST_S) continue;
    groups.push(group);
    before = at;
    group = [];
  }
  if (group.length) groups.push([...(groups.pop() ?? []), ...group]); // what is left is too short to stand alone
  before = beganS;
  return groups.map((each) => {
    const at = moment(each.at(-1).at) / 1000;
    const spanS = Math.max(at - before, LEAST_S);
    before = at;
    return { ...each.at(-1), at, spanS, arms: together(each) };
  });
}

function together(group) {
  const arms = {};
  for (const point of group) {
    for (const [name, one] of Object.entries(point.arms)) {
      const other = arms[name];
      arms[name] = other ? added(other, one) : one;
    }
  }
  return arms;
}

function added(one, other) {
  const larger = (name) => (one[name] === null ? other[name] : other[name] === null ? one[name] : Math.max(one[name], other[name]));
  const times = Object.fromEntries(QUANTILES.map(([name]) => [name, larger(name)]));
  return { requests: one.requests + other.requests, errors: one.errors + other.errors, ...times };
}

// How far the pictures of the last hour are from those that a model was made for.

import { el, svg } from "./dom.js";
import { count, duration, number, percent } from "./format.js";
import { badge } from "./shell.js";

const WIDTH = 220;
const HEIGHT = 60;

/** Two histograms over each other: grey for the reference, the accent for what comes now. Both are shares by bin. */
function compared({ name, live, reference, bins = [] }) {
  const most = Math.max(...live, ...reference, 1e-9);
  const step = WIDTH / reference.length;
  const bar = (value, index, tone, inset) => svg("rect", {
    class: `tone-${tone}`, x: index * step + inset, width: Math.max(1, step - 2 * inset), y: HEIGHT * (1 - value / most), height: (HEIGHT * value) / most, fill: "currentcolor",
  });
  const text = reference.map((value, index) => `${bins[index] ?? index + 1}: ${percent(live[index])} now, ${percent(value)} then`).join("; ");
  return svg("svg", { class: "drift-chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${name}: ${text}` },
    svg("title", {}, text),
    reference.map((value, index) => bar(value, index, "stable", 0.5)),
    live.map((value, index) => bar(value, index, "candidate", step * 0.3)));
}

function featureRow(feature) {
  const share = feature.threshold ? Math.min(1, feature.score / (2 * feature.threshold)) : 0;
  return el("li", {},
    el("div", {}, el("strong", {}, feature.name.replaceAll("_", " ")), " ",
      feature.threshold === null || feature.threshold === undefined ? badge("too few pictures") : badge(feature.drifting ? "drifting" : "steady", feature.drifting ? "danger" : "ok"),
      el("div", { class: "hint number" }, feature.threshold ? `${number(feature.score)}, limit ${number(feature.threshold)}` : ""),
      el("span", { class: "meter", "aria-hidden": "true" }, el("span", { class: feature.drifting ? "over" : "", style: { width: `${100 * share}%` } }))),
    feature.reference.length > 0 && compared(feature));
}

/** Nothing where the API tells nothing. */
export function driftCard(drift) {
  if (!drift) return null;
  const head = el("p", { class: "notice", "data-kind": drift.drifting ? "danger" : undefined },
    el("span", {}, el("strong", {}, drift.drifting ? "The pictures have changed." : "Drift."), " ", drift.sentence));
  if (!drift.features.length) return head;
  const summary = `What is compared: ${count(drift.samples, "picture")} of the last ${duration(drift.window_s)} with ${number(drift.reference_samples)} of the reference`;
  return el("div", { class: "stack" }, head,
    el("details", { class: "model-facts" }, el("summary", {}, summary), el("ul", { class: "drift" }, drift.features.map(featureRow))));
}

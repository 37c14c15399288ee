// How many pictures have which label.

import { barChart } from "./chart.js";
import { el, replace } from "./dom.js";
import { number } from "./format.js";

const BARS = 12;

/** The most frequent labels as bars, each a button that calls `onLabel(label)`; hidden while there is none. */
export function classesCard(onLabel) {
  const place = el("div", {});
  const element = el("section", { class: "card stack", "aria-label": "Labels", hidden: true }, el("h2", {}, "Labels"), place);
  let shown = "";
  const show = (labels) => {
    const sorted = [...labels].sort(([, one], [, other]) => other - one);
    const text = JSON.stringify(sorted);
    if (text === shown) return;
    shown = text;
    element.hidden = !sorted.length;
    const rest = sorted.slice(BARS).reduce((sum, [, many]) => sum + many, 0);
    const rows = sorted.slice(0, BARS).map(([label, value]) => ({ label, value, tone: "candidate" }));
    const others = rest ? [{ label: `${number(sorted.length - BARS)} others`, value: rest, tone: "stable" }] : [];
    const chart = barChart({ title: "Pictures by label", rows: [...rows, ...others] });
    replace(place, chart);
    const names = chart.querySelectorAll(".bar-label");
    rows.forEach(({ label }, at) => replace(names[at], labelButton(label, onLabel)));
  };
  return { element, show };
}

function labelButton(label, onLabel) {
  const props = { class: "job-label-button", type: "button", title: `Show only ${label}`, onclick: () => onLabel(label) };
  return el("button", props, label);
}

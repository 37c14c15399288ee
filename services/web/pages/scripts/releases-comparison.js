// What the arms answered, beside each other: classes, mirrored answers, and the results of an A/B release.

import { el } from "./dom.js";
import { number, percent } from "./format.js";
import { toneOf } from "./releases-state.js";
import { armWords, estimateValue, isNumber, metricValue, metricWords, short } from "./releases-words.js";
import { badge } from "./shell.js";

const OTHER = "other";
const SHOWN = 12;

/** The cards that there are numbers for. */
export function comparisons(chosen) {
  return [abCard(chosen), shadowCard(chosen), classCard(chosen)];
}

function card(title, ...children) {
  return el("section", { class: "card", "aria-label": title }, el("h2", { class: "card-title" }, title), children);
}

function className(labels, index) {
  return index === OTHER ? "all others" : (labels[Number(index)] ?? `class ${index}`);
}

/** The share of each class among an arm's answers. */
function classCard({ state, report, labels }) {
  const arms = (report?.arms ?? []).filter((arm) => Object.keys(arm.classes ?? {}).length);
  if (!arms.length) return null;
  const totals = arms.map((arm) => Object.values(arm.classes).reduce((sum, count) => sum + count, 0));
  const shareOf = (arm, index) => (arm.classes[index] ?? 0) / totals[arms.indexOf(arm)];
  const known = [...new Set(arms.flatMap((arm) => Object.keys(arm.classes)))].filter((index) => index !== OTHER || arms.some((arm) => arm.classes[OTHER]));
  const classes = known.sort((one, other) => (one === OTHER) - (other === OTHER) || shareOf(arms[0], other) - shareOf(arms[0], one) || Number(one) - Number(other));
  const most = Math.max(...arms.flatMap((arm) => classes.map((index) => shareOf(arm, index))), 1e-9);
  const bar = (arm, index) => el("span", { class: `class-bar tone-${toneOf(state.arms, arm.arm)}`, "aria-hidden": "true" },
    el("span", { style: { width: `${(100 * shareOf(arm, index)) / most}%` } }));
  return card("What was answered, in this step",
    el("table", { class: "class-mix" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Class"), el("td", { "aria-hidden": "true" }),
        arms.map((arm) => el("th", { scope: "col", class: `number tone-${toneOf(state.arms, arm.arm)}` }, armWords(arm.arm))))),
      el("tbody", {}, classes.slice(0, SHOWN).map((index) => el("tr", {},
        el("th", { scope: "row" }, className(labels, index)),
        el("td", { "aria-hidden": "true" }, arms.map((arm) => bar(arm, index))),
        arms.map((arm) => el("td", { class: "number" }, percent(shareOf(arm, index)))))))));
}

/** What copies of requests showed. */
function shadowCard({ report, labels }) {
  const shadow = report?.shadow;
  if (!shadow) return null;
  const share = shadow.compared ? shadow.differing / shadow.compared : null;
  const differing = shadow.by_class.filter((each) => each.differing).slice(0, SHOWN);
  return card("Mirrored requests",
    el("dl", { class: "stats" }, [
      ["Another best class", percent(share, 2)],
      ["Compared", number(shadow.compared)],
      ["Errors", number(shadow.errors)],
      ["Dropped, no room", number(shadow.dropped)],
      ["Largest difference of a score", short(shadow.largest_difference)],
    ].map(([name, value]) => el("div", { class: "stat" }, el("dt", {}, name), el("dd", {}, value)))),
    differing.length
      ? el("table", { class: "table" },
        el("thead", {}, el("tr", {}, ["Stable says", "Compared", "Differing"].map((title, index) => el("th", { scope: "col", class: index ? "number" : "" }, title)))),
        el("tbody", {}, differing.map((each) => el("tr", {},
          el("td", {}, className(labels, String(each.class))),
          el("td", { class: "number" }, number(each.compared)),
          el("td", { class: "number" }, `${number(each.differing)} (${percent(each.differing / each.compared)})`)))))
      : el("p", { class: "muted" }, shadow.compared ? "Every answer was the same as stable's." : "Nothing was compared yet."));
}

/** Each arm against the baseline. */
function abCard({ report }) {
  const ab = report?.ab;
  if (!ab) return null;
  const rows = ab.arms.flatMap((arm) => arm.metrics.map((metric) => abRow(arm, metric, ab.baseline)));
  const titles = ["Arm", "Metric", "Arm's", armWords(ab.baseline), "Difference", "Evidence", "Result"];
  return card("A/B results",
    rows.length
      ? el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Table of the results" }, el("table", { class: "table" },
        el("thead", {}, el("tr", {}, titles.map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, rows)))
      : el("p", { class: "muted" }, "Nothing to compare yet: it needs errors, or feedback (right and wrong answers, or rewards)."),
    ab.sample_ratio && el("p", { class: "muted small" }, `${ab.sample_ratio.sentence}: ${ab.sample_ratio.keys.map(number).join(" · ")} keys.`));
}

function abRow(arm, metric, baseline) {
  const [low, high] = metric.interval;
  const said = (value) => estimateValue(metric.metric, value);
  const isKnown = isNumber(low) && isNumber(high);
  return el("tr", {},
    el("td", {}, armWords(arm.arm), " ", el("small", { class: "muted" }, arm.ref)),
    el("td", {}, metricWords(metric.metric)),
    el("td", {}, `${metricValue(metric.metric, metric.value)} of ${number(metric.count)}`),
    el("td", {}, `${metricValue(metric.metric, metric.baseline_value)} of ${number(metric.baseline_count)}`),
    el("td", {}, isKnown ? `${said(metric.lift)} (${said(low)} to ${said(high)})` : said(metric.lift)),
    el("td", {}, `${short(metric.e_value)} of ${short(metric.threshold)}`),
    el("td", {}, metric.winner ? badge(`${armWords(metric.winner)} wins`, metric.winner === baseline ? "warn" : "ok") : badge("Open", "none")));
}

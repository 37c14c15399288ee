// Small charts: lines (or areas) over time, and bars. Each has a title and a table for those who do not see it.

import { el, replace, svg } from "./dom.js";
import { clockTime, number } from "./format.js";

const MARGIN = { top: 10, right: 12, bottom: 22, left: 46 };
const TONES = ["stable", "candidate", "3", "4", "5", "6"];

/** A readable step for an axis of about `ticks` parts: 1, 2 or 5 times a power of ten. */
export function niceStep(span, ticks) {
  const rough = span / Math.max(ticks, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
}

/** The axis from `low` to at least `high`: `{low, high, ticks}`. */
export function axis(low, high, ticks = 4) {
  const top = high > low ? high : low + (Math.abs(low) || 1);
  const step = niceStep(top - low, ticks);
  const first = Math.floor(low / step) * step;
  const marks = [];
  for (let index = 0; first + index * step <= top + step * 0.999 && index < 20; index += 1) {
    marks.push(Number((first + index * step).toPrecision(12)));
  }
  return { low: marks[0], high: marks.at(-1), ticks: marks };
}

/** The path of points, broken where a value is missing (null). */
export function pathOf(points, x, y) {
  let open = false;
  const parts = [];
  for (const [at, value] of points) {
    if (value === null || value === undefined || Number.isNaN(value)) {
      open = false;
      continue;
    }
    parts.push(`${open ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`);
    open = true;
  }
  return parts.join("");
}

const toneOf = (series, index) => series.tone ?? TONES[index % TONES.length];

function legend(series) {
  return el("ul", { class: "legend" }, series.map((each, index) =>
    el("li", { class: `tone-${toneOf(each, index)}` }, el("span", { class: "swatch", "aria-hidden": "true" }), each.name)));
}

function hiddenTable(title, header, rows) {
  // A table is as wide as its words whatever its style says: what is around it is what is small.
  return el("div", { class: "visually-hidden" }, el("table", {},
    el("caption", {}, title),
    el("thead", {}, el("tr", {}, header.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, rows.map(([first, ...rest]) =>
      el("tr", {}, el("th", { scope: "row" }, first), rest.map((text) => el("td", {}, text)))))));
}

function lineTable(title, series, xText, yText) {
  const times = [...new Set(series.flatMap((each) => each.points.map(([x]) => x)))].sort((a, b) => a - b).slice(-20);
  const cells = series.map((each) => new Map(each.points));
  return hiddenTable(title, ["time", ...series.map((each) => each.name)],
    times.map((time) => [xText(time), ...cells.map((values) => yText(values.get(time) ?? null))]));
}

function frame(scale, size, x, y, xText, yText) {
  const { width, height } = size;
  const bottom = height - MARGIN.bottom;
  const places = width > 420 ? [0, 0.5, 1] : [0, 1];
  return svg("g", { class: "axis" },
    scale.y.ticks.map((tick) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
      svg("text", { x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, yText(tick)),
    ]),
    places.map((place) => {
      const at = scale.x[0] + place * (scale.x[1] - scale.x[0]);
      const anchor = place === 0 ? "start" : place === 1 ? "end" : "middle";
      return svg("text", { x: x(at), y: bottom + 16, "text-anchor": anchor }, xText(at));
    }));
}

function drawLines(options, series, width) {
  const height = options.height ?? 180;
  const values = series.flatMap((each) => each.points.map(([, value]) => value)).filter(Number.isFinite);
  const times = series.flatMap((each) => each.points.map(([time]) => time));
  const marks = (options.marks ?? []).map((mark) => mark.value);
  const yAxis = axis(options.min ?? Math.min(0, ...values), options.max ?? (Math.max(0, ...values, ...marks, options.least ?? 0) || 1));
  const span = [Math.min(...times), Math.max(...times)];
  if (span[0] === span[1]) span[0] -= 1;
  const x = (time) => MARGIN.left + ((time - span[0]) / (span[1] - span[0])) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => height - MARGIN.bottom - ((value - yAxis.low) / (yAxis.high - yAxis.low)) * (height - MARGIN.top - MARGIN.bottom);
  const ground = y(Math.max(yAxis.low, 0)).toFixed(1);
  return svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": options.title },
    svg("title", {}, options.title),
    svg("desc", {}, options.description ?? `${series.map((each) => each.name).join(", ")} over time`),
    frame({ x: span, y: yAxis }, { width, height }, x, y, options.xText ?? clockTime, options.yText ?? number),
    (options.marks ?? []).map((mark) =>
      svg("g", { class: "mark" },
        svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(mark.value), y2: y(mark.value) }),
        svg("text", { x: width - MARGIN.right, y: y(mark.value) - 4, "text-anchor": "end" }, mark.label))),
    series.map((each, index) => {
      const path = pathOf(each.points, x, y);
      const known = each.points.filter(([, value]) => Number.isFinite(value));
      const last = known.at(-1);
      const isWhole = known.length === each.points.length && known.length > 1;
      return svg("g", { class: `tone-${toneOf(each, index)}` },
        options.area && isWhole && svg("path", { class: "area", d: `${path}L${x(last[0]).toFixed(1)} ${ground}L${x(known[0][0]).toFixed(1)} ${ground}Z` }),
        svg("path", { class: each.dashed ? "line dashed" : "line", d: path }),
        last && svg("circle", { class: "point", cx: x(last[0]), cy: y(last[1]), r: 3 }));
    }));
}

/** A chart of lines. `options`: {title, description?, series: [{name, tone?, dashed?, points: [[time, value|null], …]}],
 *  height?, area?, min?, max?, least? (where the axis ends at least), marks?: [{value, label}], xText?, yText?}; tones are
 *  "stable", "candidate", "3" … "6", "ok",
 *  "warn", "danger". Gives `{element, update(series)}`. */
export function lineChart(options) {
  const drawing = el("div", { class: "chart-drawing" });
  const below = el("div", {});
  let series = options.series ?? [];
  drawing.style.minHeight = `${options.height ?? 180}px`;
  const draw = () => {
    const width = Math.round(drawing.clientWidth);
    const isEmpty = !series.some((each) => each.points.length);
    if (isEmpty) replace(drawing, el("p", { class: "chart-empty" }, options.empty ?? "No numbers yet"));
    else if (width) replace(drawing, drawLines(options, series, width));
  };
  const update = (next) => {
    series = next;
    draw();
    replace(below, series.length > 1 && legend(series), lineTable(options.title, series, options.xText ?? clockTime, options.yText ?? number));
  };
  new ResizeObserver(draw).observe(drawing);
  update(series);
  return { element: el("figure", { class: "figure" }, el("figcaption", {}, options.title), drawing, below), update };
}

/** Horizontal bars: `rows` are {label, value, text?, tone?}, `max` is what fills the width (default: the greatest
 *  value). Readable as a list; gives the element. */
export function barChart({ title, rows, max, text = number }) {
  const most = max ?? Math.max(...rows.map((row) => row.value), 1e-9);
  return el("figure", { class: "figure" },
    el("figcaption", { class: title ? "" : "visually-hidden" }, title || "Bars"),
    el("ul", { class: "bars" }, rows.map((row, index) => {
      const share = Math.max(0, Math.min(1, row.value / most));
      return el("li", { class: `tone-${row.tone ?? (index === 0 ? "candidate" : "stable")}` },
        el("span", { class: "bar-label", title: row.label }, row.label),
        el("span", { class: "bar-track", "aria-hidden": "true" }, el("span", { class: "bar-fill", style: { width: `${share * 100}%` } })),
        el("span", { class: "bar-value" }, row.text ?? text(row.value)));
    })));
}

// Health: whether every part works, and what they do right now. Asks what monitors ask, and keeps nothing.

import { ApiProblem, call } from "./api.js";
import { lineChart } from "./chart.js";
import { byId, el, replace } from "./dom.js";
import { bytes, count, duration, ms, number, percent } from "./format.js";
import { partsOf, verdictOf } from "./health-parts.js";
import { buckets, parseMetrics, quantile, rise, total } from "./metrics.js";
import { poll } from "./poll.js";
import { badge, mount } from "./shell.js";

mount("health");

const EVERY_MS = 2000;
const KEPT = 150; // points of a chart: five minutes
const SECONDS = "grayscale_http_request_duration_seconds";
const REQUESTS = "grayscale_http_requests_total";
const isAsked = ({ route }) => route === "/v1/models/{model}/predict" || route === "/v2";
const isFailed = (labels) => isAsked(labels) && labels.code.startsWith("5");
const isRefused = (labels) => isAsked(labels) && labels.code === "429";

const SHOWN = ["Predictions per second", "Time for an answer", "In work and waiting", "Pictures of jobs that wait"];
const perSecond = (value) => (value === null ? "" : `${number(Number(value.toFixed(1)))}/s`);
const charts = [
  lineChart({ title: SHOWN[0], area: true, series: [], yText: perSecond, empty: "Two looks are needed" }),
  lineChart({ title: SHOWN[1], series: [], yText: ms, empty: "No prediction since this page is open" }),
  lineChart({ title: SHOWN[2], series: [], empty: "Two looks are needed" }),
  lineChart({ title: SHOWN[3], area: true, series: [], empty: "No jobs are kept here" }),
];
replace(byId("charts"), charts.map((chart) => el("div", { class: "card" }, chart.element)));

const course = []; // what each look found, oldest first
let before = null;

const settled = async (promise) => {
  try {
    return { ok: await promise };
  } catch (error) {
    return { error };
  }
};

async function readyOf(path) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new ApiProblem({ status: 0, title: "No answer", detail: "The server of these pages does not answer." });
  }
  const document = await response.json().catch(() => ({}));
  if (response.ok) return document;
  const error = new ApiProblem({ status: response.status, title: document.title ?? "Not ready", detail: document.detail ?? "" });
  error.reasons = document.reasons;
  throw error;
}

async function metricsText() {
  return parseMetrics(await (await call("/metrics", { raw: true })).text());
}

async function reportsOf(releases) {
  const live = (releases.ok?.releases ?? []).filter((release) => !release.is_over).slice(0, 5);
  const found = await Promise.all(live.map(({ model }) => settled(call(`/v1/models/${encodeURIComponent(model)}/release/report`))));
  return found.filter(({ ok }) => ok).map(({ ok }) => ok);
}

async function look() {
  const [pages, api] = await Promise.all([settled(readyOf("/healthz/ready")), settled(readyOf("/api/healthz/ready"))]);
  const seen = { pages, api, models: {}, releases: {}, metrics: {} };
  const isAway = api.error?.status === 502 || api.error?.status === 0;
  if (!isAway) {
    [seen.models, seen.releases, seen.metrics] = await Promise.all([settled(call("/v1/models")), settled(call("/v1/releases")), settled(metricsText())]);
    seen.reports = await reportsOf(seen.releases);
  }
  showParts(partsOf(seen));
  if (seen.metrics.ok) {
    note(seen.metrics.ok);
    showNow(seen.metrics.ok);
    showProcesses(seen.metrics.ok);
  }
  byId("numbers-hint").textContent = seen.metrics.ok ? "all processes of the API together" : "numbers as they were last";
}

function showParts(parts) {
  const [kind, text] = verdictOf(parts);
  const verdict = byId("verdict");
  if (verdict.textContent !== text) verdict.textContent = text; // said aloud only when it changes
  verdict.dataset.kind = kind;
  replace(byId("parts"), parts.map((part) =>
    el("li", { class: "card part", dataset: { part: part.name, kind: part.kind } },
      el("div", { class: "row spread" }, el("h3", {}, part.name), badge(part.word, part.kind)),
      el("p", { class: "small muted wrap" }, part.text))));
}

function note(metrics) {
  const at = Date.now() / 1000;
  const times = buckets(metrics, SECONDS, isAsked);
  const point = { at, times, metrics, inFlight: inWork(metrics), pending: total(metrics, "nv_inference_pending_request_count") ?? 0, images: total(metrics, "grayscale_jobs_waiting_images") };
  if (before) {
    const seconds = Math.max(at - before.at, 0.1);
    point.all = rise(before.metrics, metrics, REQUESTS, isAsked) / seconds;
    point.failed = rise(before.metrics, metrics, REQUESTS, isFailed) / seconds;
    point.refused = rise(before.metrics, metrics, REQUESTS, isRefused) / seconds;
    for (const share of [50, 99]) {
      const found = quantile(before.times, times, share / 100);
      point[`p${share}`] = found === null ? null : found * 1000;
    }
    course.push(point);
    course.splice(0, Math.max(0, course.length - KEPT));
  }
  before = point;
  for (const old of course.slice(0, -1)) delete old.metrics; // only the newest is compared with
  drawCharts();
}

// Predictions that hold a place; the requests of this page hold none.
const inWork = (metrics) => total(metrics, "grayscale_admission_requests") ?? total(metrics, "grayscale_http_requests_in_flight");
const line = (name, field, tone) => ({ name, tone, points: course.map((point) => [point.at, point[field]]) });

function drawCharts() {
  if (!course.length) return;
  const hasTimes = course.some((point) => point.p50 !== null);
  charts[0].update([line("answered", "all", "candidate"), line("failed", "failed", "danger")]);
  charts[1].update(hasTimes ? [line("half are faster", "p50", "stable"), line("99 of 100 are faster", "p99", "candidate")] : []);
  charts[2].update([line("predictions in work", "inFlight", "stable"), line("waiting for a model", "pending", "candidate")]);
  charts[3].update(course.at(-1).images === null ? [] : [line("pictures", "images", "candidate")]);
}

function showNow(metrics) {
  const last = course.at(-1) ?? {};
  const limit = total(metrics, "grayscale_admission_requests_limit");
  const stats = [
    ["Predictions", last.all === undefined ? "–" : perSecond(last.all)],
    ["Failed", last.all ? percent(last.failed / last.all) : "–"],
    ["Half faster than", ms(last.p50 ?? null)],
    ["99 of 100 faster than", ms(last.p99 ?? null)],
    ["In work", `${number(inWork(metrics))}${limit ? ` of ${number(limit)}` : ""}`],
    ["Waiting for a model", number(total(metrics, "nv_inference_pending_request_count"))],
    ["Memory", bytes(total(metrics, "grayscale_process_pss_bytes"))],
  ];
  replace(byId("now"), stats.map(([name, value]) => el("div", { class: "stat" }, el("dt", {}, name), el("dd", {}, value))));
}

function table(caption, header, rows) {
  return el("div", { class: "table-scroll", role: "region", tabindex: "0", "aria-label": caption }, el("table", { class: "table" },
    el("caption", { class: "visually-hidden" }, caption),
    el("thead", {}, el("tr", {}, header.map((text, index) => el("th", { scope: "col", class: index ? "number" : "" }, text)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((text, index) => el("td", { class: index ? "number" : "" }, text)))))));
}

function showProcesses(metrics) {
  const of = (name) => new Map((metrics.get(name) ?? []).map(({ labels, value }) => [labels.pid, value]));
  const [memory, begun, files, most] = ["pss_bytes", "start_time_seconds", "open_fds", "max_fds"].map((name) => of(`grayscale_process_${name}`));
  const processes = [...memory.keys()].map((pid) => [
    `Process ${pid}`, bytes(memory.get(pid)), begun.has(pid) ? duration(Date.now() / 1000 - begun.get(pid)) : "–", files.has(pid) ? `${number(files.get(pid))} of ${number(most.get(pid))}` : "–",
  ]);
  const runs = (metrics.get("nv_inference_request_success") ?? []).map(({ labels, value }) => {
    const same = (other) => other.model === labels.model && other.version === labels.version;
    const executions = total(metrics, "nv_inference_exec_count", same);
    const busy = total(metrics, "nv_inference_compute_infer_duration_us", same) ?? 0;
    return [`${labels.model}/${labels.version}`, number(value), number(total(metrics, "nv_inference_request_failure", same) ?? 0), value ? ms(busy / value / 1000) : "–", number(executions)];
  });
  replace(byId("processes"), el("div", { class: "stack" },
    processes.length ? table("Processes of the API", ["Process", "Memory", "Runs for", "Open files"], processes) : null,
    runs.length ? table("Models", ["Model", "Answered", "Failed", "Time in the model", "Runs"], runs) : el("p", { class: "hint" }, `${count(0, "model")} loaded in the API's own processes.`)));
}

poll(look, { everyMs: EVERY_MS });

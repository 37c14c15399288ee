// Each part of the stack as one tile: a state, a word for it, and one sentence. Pure: everything comes as arguments.

import { bytes, count, duration, number, percent, timeAgo } from "./format.js";
import { total } from "./metrics.js";

const DISK_WARN = 0.1; // of the disk that is free
const DISK_DANGER = 0.03;
const JOB_WAIT_WARN_S = 120;
const REPORT_LATE_S = 15; // the controller looks every second
const CERTIFICATE_WARN_S = 14 * 86_400;

const part = (name, kind, word, text) => ({ name, kind, word, text });
const problem = (name, error) => part(name, "danger", "No answer", error.detail || error.title || error.message);

/** `seen` is what was found out: each value is {ok: …} or {error: ApiProblem}. */
export function partsOf(seen, now = Date.now()) {
  const away = seen.api.error?.status === 502 || seen.api.error?.status === 0;
  const pages = seen.pages.error ? problem("Pages", seen.pages.error) : part("Pages", "ok", "Up", "They come from a server of their own, and show what is wrong with the others.");
  if (away) return [pages, part("API", "danger", "Away", seen.api.error.detail)];
  const metrics = seen.metrics.ok;
  return [
    pages,
    apiPart(seen.api),
    modelsPart(seen.models),
    metrics && storePart(metrics),
    metrics && jobsPart(metrics),
    releasesPart(seen.releases, seen.reports ?? [], now),
    metrics && diskPart(metrics),
    metrics && certificatePart(metrics, now),
  ].filter(Boolean);
}

function apiPart({ ok, error }) {
  if (ok) return part("API", "ok", "Ready", "A real inference through every default model succeeded.");
  if (error.status !== 503) return problem("API", error);
  return part("API", "warn", "Not ready", error.reasons?.length ? error.reasons.join("; ") : error.message);
}

function modelsPart({ ok, error }) {
  if (error) return problem("Models", error);
  const versions = ok.models.flatMap((model) => model.versions.map((version) => ({ ...version, model: model.name })));
  const ready = versions.filter(({ state }) => state === "READY").length;
  const broken = ok.models.filter((model) => model.reason).map((model) => `${model.name}: ${model.reason}`);
  broken.push(...versions.filter(({ state, reason }) => state === "UNAVAILABLE" && reason && reason !== "unloaded").map(({ model, version, reason }) => `${model}/${version}: ${reason}`));
  const text = `${count(ready, "version")} of ${count(ok.models.length, "model")} loaded.`;
  if (broken.length) return part("Models", "warn", count(broken.length, "problem"), `${text} ${broken[0]}`);
  return ready ? part("Models", "ok", "Loaded", text) : part("Models", "warn", "None loaded", "Load one on the Models page.");
}

function storePart(metrics) {
  const reachable = total(metrics, "grayscale_store_reachable");
  if (reachable === null) return part("Store", "none", "None", "Without Redis there are no jobs and no releases, and each process counts quotas for itself.");
  const offset = total(metrics, "grayscale_clock_offset_seconds");
  if (!reachable) return part("Store", "danger", "Away", "Redis does not answer: jobs and release changes wait, predictions go on.");
  const clock = offset === null ? "" : ` Its clock is ${number(Math.abs(offset) * 1000)} ms from this server's.`;
  return part("Store", Math.abs(offset ?? 0) > 1 ? "warn" : "ok", "Reachable", `Redis keeps jobs, releases and quotas.${clock}`);
}

function jobsPart(metrics) {
  const active = total(metrics, "grayscale_jobs_active");
  if (active === null) return null;
  const waiting = total(metrics, "grayscale_jobs_waiting_images") ?? 0;
  const running = total(metrics, "grayscale_jobs_running_chunks") ?? 0;
  const oldest = Math.max(0, ...(metrics.get("grayscale_jobs_oldest_waiting_seconds") ?? []).map(({ value }) => value));
  const dead = total(metrics, "grayscale_jobs_dead_letters") ?? 0;
  const text = `${count(active, "job")} active, ${count(waiting, "picture")} waiting${oldest ? `, the oldest for ${duration(oldest)}` : ""}${dead ? `; ${count(dead, "picture")} given up` : ""}.`;
  if (waiting && !running && oldest > 10) return part("Jobs", "danger", "Nobody works", `${text} Is a worker running?`);
  if (oldest > JOB_WAIT_WARN_S || dead) return part("Jobs", "warn", "Look at it", text);
  return part("Jobs", "ok", active ? "Working" : "Idle", text);
}

function releasesPart({ ok, error }, reports, now) {
  if (error?.status === 503) return part("Releases", "none", "Not kept here", error.detail);
  if (error) return problem("Releases", error);
  const live = ok.releases.filter((release) => !release.is_over);
  if (!live.length) return part("Releases", "ok", "None live", "The controller has nothing to look after.");
  const names = live.map((release) => `${release.model}: ${release.phase.replaceAll("_", " ")}, ${number(release.weight)} %`).join("; ");
  const newest = Math.max(...reports.map(({ at }) => new Date(at).getTime()), -Infinity);
  if (newest === -Infinity) return part("Releases", "warn", "No report", `${names}. No controller has looked yet.`);
  const late = now - newest > REPORT_LATE_S * 1000;
  return part("Releases", late ? "danger" : "ok", late ? "No controller" : `${live.length} live`, `${names}. The controller looked ${timeAgo(new Date(newest), now)}.`);
}

function diskPart(metrics) {
  const [free, size] = [total(metrics, "grayscale_data_dir_free_bytes"), total(metrics, "grayscale_data_dir_size_bytes")];
  if (free === null || !size) return null;
  const share = free / size;
  const kind = share < DISK_DANGER ? "danger" : share < DISK_WARN ? "warn" : "ok";
  return part("Disk", kind, `${percent(share, 0)} free`, `${bytes(free)} of ${bytes(size)} where the data directory is.`);
}

function certificatePart(metrics, now) {
  const end = total(metrics, "grayscale_tls_certificate_not_after_seconds");
  if (end === null) return null;
  const left = end - now / 1000;
  const kind = left < 0 ? "danger" : left < CERTIFICATE_WARN_S ? "warn" : "ok";
  return part("Certificate", kind, left < 0 ? "Expired" : `${duration(left)} left`, "The API's TLS certificate.");
}

/** One sentence for everything, with its kind. */
export function verdictOf(parts) {
  const bad = parts.filter(({ kind }) => kind === "danger").map(({ name }) => name);
  const worrying = parts.filter(({ kind }) => kind === "warn").map(({ name }) => name);
  if (bad.length) return ["danger", `Something is wrong: ${bad.join(", ")}.`];
  if (worrying.length) return ["warn", `It works, but look at: ${worrying.join(", ")}.`];
  return ["ok", "Everything works."];
}

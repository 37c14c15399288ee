// Where a model's versions came from: what their export wrote down, fetched when somebody opens it.

import { call } from "./api.js";
import { el, replace } from "./dom.js";
import { bytes, clockTime, ms, number, percent } from "./format.js";
import { badge, copyable, problemText } from "./shell.js";

const short = (sha256) => sha256 && el("code", { title: sha256 }, sha256.slice(0, 16));

/** What is worth a line: [name, value] pairs, without what is not there. */
function rowsOf({ made_at: madeAt, variant, precision, source, model_sha256: model, graph, made_with: software = {}, metrics = {} }) {
  const { parity, accuracy, timings = [] } = metrics;
  const fastest = timings.find(({ batch }) => batch === 1);
  const versions = Object.entries(software).map(([name, version]) => `${name} ${version}`).join(", ");
  return [
    ["Made", madeAt && clockTime(madeAt)],
    ["Variant", variant && [variant, precision && precision !== variant ? ` (${precision})` : ""]],
    ["Source", source?.file && [source.file, " ", short(source.sha256)]],
    ["Model file", short(model)],
    ["Accuracy", accuracy && `${percent(accuracy.accuracy, 2)} of ${number(accuracy.images)} pictures`],
    ["Same answer as the original", parity?.top1_agreement !== null && parity?.top1_agreement !== undefined && `${percent(parity.top1_agreement, 2)} of ${number(parity.images)} pictures; largest difference ${number(parity.max_abs)}`],
    ["One picture", fastest && `${ms(fastest.p50_ms)}, ${number(Math.round(fastest.images_per_s))} a second${fastest.resident_bytes ? `, ${bytes(fastest.resident_bytes)}` : ""}`],
    ["Graph", graph && `opset ${graph.opset}${graph.producer ? `, ${graph.producer}` : ""}`],
    ["Made with", versions],
  ].filter(([, value]) => value);
}

function shown(document) {
  return el("div", { class: "stack" },
    el("dl", { class: "facts" }, rowsOf(document).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    document.recipe && el("details", { class: "model-facts" }, el("summary", {}, "Its recipe"), copyable(document.recipe, "Recipe")));
}

async function versionPart(model, version) {
  const head = el("h3", {}, `Version ${version} `);
  try {
    return el("div", { class: "stack" }, head, shown(await call(`/v1/models/${encodeURIComponent(model)}/provenance?version=${version}`)));
  } catch (error) {
    if (error.status === 404) head.append(badge("not made by an export"));
    return el("div", {}, head, error.status !== 404 && el("p", { class: "hint" }, problemText(error)));
  }
}

/** A place to open; the versions are asked for then. */
export function provenanceOf({ name, versions }) {
  if (!versions.length) return null;
  const place = el("div", { class: "stack" });
  const details = el("details", { class: "model-facts" }, el("summary", {}, "Where it comes from"), place);
  details.addEventListener("toggle", async () => {
    if (!details.open || place.childElementCount) return;
    replace(place, await Promise.all(versions.map(({ version }) => versionPart(name, version))));
  });
  return details;
}

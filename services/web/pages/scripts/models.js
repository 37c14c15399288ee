// Models: what is served, in which versions; loading, unloading, and what a name means.

import { call } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { count } from "./format.js";
import { driftCard } from "./models-drift.js";
import { provenanceOf } from "./models-provenance.js";
import { badge, confirmDialog, copyable, emptyState, failedState, mount, skeleton, toast, toastProblem, withKey } from "./shell.js";
import { poll } from "./poll.js";

mount("models");

const EVERY_MS = 3000;
const SEARCH_FROM = 7; // models
const KINDS = { READY: "ok", LOADING: "warn", UNLOADING: "warn", UNAVAILABLE: "none" };
const WORDS = { READY: "Loaded", LOADING: "Loading…", UNLOADING: "Unloading…", UNAVAILABLE: "Not loaded" };
const cards = new Map(); // name -> {element, shown}: redrawn only when something changed, so that focus stays
const busy = new Set(); // "name/version" while something is done to it

const path = (name) => `/v1/models/${encodeURIComponent(name)}`;
const repository = (name, verb) => `/v2/repository/models/${encodeURIComponent(name)}/${verb}`;

async function act({ name, version, verb, question, done, send }) {
  if (question && !(await confirmDialog(question))) return;
  const mark = `${name}/${version}`;
  busy.add(mark);
  look.now();
  try {
    await withKey(send);
    toast(done, "ok");
  } catch (error) {
    toastProblem(error, `${verb} ${mark}`);
  }
  busy.delete(mark);
  look.now();
}

const load = (name, version, again) => act({
  name, version, verb: "Loading", done: `${name}/${version} is loaded on every process.`,
  question: again && { title: `Load ${name}/${version} again?`, body: "It is read from the repository afresh and takes the old one's place when it is ready.", action: "Load again" },
  send: () => call(repository(name, "load"), { method: "POST", body: { parameters: { version } } }),
});

const unload = (name, version, isDefault) => act({
  name, version, verb: "Unloading", done: `${name}/${version} is unloaded.`,
  question: {
    title: `Unload ${name}/${version}?`, danger: true, action: "Unload",
    body: isDefault
      ? `It is what the name ${name} means: requests for ${name} will be refused until another version is its default.`
      : "It finishes the work that it has; requests that name this version are refused from then on.",
  },
  send: () => call(repository(name, "unload"), { method: "POST", body: { parameters: { version } } }),
});

const promote = (name, version) => act({
  name, version, verb: "Promoting", done: `${name} now means version ${version}.`,
  question: { title: `Make version ${version} the default of ${name}?`, action: "Make it the default", body: "Requests that name no version go to it at once. A release would let it in a few percent at a time, and take it back by itself." },
  send: () => call(`${path(name)}/default`, { method: "PUT", body: { version } }),
});

function versionRow(model, { version, state, reason }) {
  const isDefault = model.default?.model === model.name && model.default.version === version;
  const isBusy = busy.has(`${model.name}/${version}`);
  const name = `version ${version} of ${model.name}`;
  const button = (label, action, { hidden = false, kind = "" } = {}) => !hidden &&
    el("button", { class: `button small ${kind}`, type: "button", disabled: isBusy, "aria-label": `${label}: ${name}`, onclick: action }, label);
  const isReady = state === "READY";
  return el("tr", { dataset: { version } },
    el("td", {}, el("strong", {}, `Version ${version}`), " ", isDefault && badge("default", "accent")),
    el("td", {}, badge(isBusy ? "Working…" : WORDS[state] ?? state, isBusy ? "warn" : KINDS[state] ?? "none"), reason && reason !== "unloaded" && el("div", { class: "hint wrap" }, reason)),
    el("td", {}, el("div", { class: "row version-actions" },
      button("Make default", () => promote(model.name, version), { hidden: !isReady || isDefault }),
      button("Load", () => load(model.name, version, false), { hidden: isReady }),
      button("Load again", () => load(model.name, version, true), { hidden: !isReady, kind: "quiet" }),
      button("Unload", () => unload(model.name, version, isDefault), { hidden: !isReady }))));
}

const worded = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
const shapeText = ({ name, datatype, shape }) => `${name}: ${datatype} ${shape.map((side) => (side < 0 ? "any" : side)).join(" × ")}`;

function facts(model) {
  const labels = model.labels ?? [];
  const rows = [
    ["Takes", model.inputs?.map(shapeText).join(", ")],
    ["Gives", model.outputs?.map(shapeText).join(", ")],
    ["Labels", labels.length && `${labels.slice(0, 12).join(", ")}${labels.length > 12 ? ` … ${labels.length} in all` : ""}`],
    ["Largest batch", model.max_batch_size],
    ["Runs on", model.platform],
    ["Checksum", model.sha256 && el("code", {}, model.sha256)],
    ...Object.entries(model.parameters ?? {}).filter(([name]) => name !== "task" && name !== "precision").map(([name, value]) => [worded(name), value]),
  ].filter(([, value]) => value);
  if (!rows.length) return null;
  return el("details", { class: "model-facts" }, el("summary", {}, "What it takes and gives"),
    el("dl", { class: "facts" }, rows.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}

function releaseNote({ name, release }) {
  if (!release) return null;
  const arms = release.arms.map(({ arm, ref, weight }) => `${arm} (${ref}) ${weight} %`).join(", ");
  return el("p", { class: "notice" }, el("span", {}, `A release shares its requests: ${arms}`), el("a", { class: "button small", href: `/releases#${encodeURIComponent(name)}` }, "Watch it"));
}

function headOf(model) {
  const ready = model.versions.filter((version) => version.state === "READY").length;
  const meaning = model.default && model.default.model !== model.name ? `means ${model.default.model}/${model.default.version}` : "";
  return el("div", { class: "card-head" },
    el("div", { class: "row" }, el("h2", {}, model.name), model.task && badge(model.task), model.precision && badge(model.precision), meaning && badge(meaning, "accent")),
    el("div", { class: "row" }, el("span", { class: "hint" }, `${ready} of ${count(model.versions.length, "version")} loaded`),
      el("a", { class: "button small", href: `/#${encodeURIComponent(model.name)}`, "aria-label": `Try ${model.name}` }, "Try it")));
}

function draw(card, model) {
  const wasOpen = [...card.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
  replace(card,
    headOf(model),
    el("div", { class: "stack" },
      model.reason && el("p", { class: "notice", "data-kind": "danger" }, model.reason),
      releaseNote(model),
      model.versions.length > 0 && el("div", { class: "table-scroll", role: "region", tabindex: "0", "aria-label": `Versions of ${model.name}` }, el("table", { class: "table versions" },
        el("caption", { class: "visually-hidden" }, `Versions of ${model.name}`),
        el("thead", {}, el("tr", {}, ["Version", "State", "Actions"].map((text) => el("th", { scope: "col" }, text)))),
        el("tbody", {}, model.versions.map((version) => versionRow(model, version))))),
      driftCard(model.drift),
      facts(model),
      provenanceOf(model)));
  for (const details of card.querySelectorAll("details")) details.open = wasOpen.includes(details.firstChild.textContent);
}

/** Nothing where the API has no such thing, or no reference for this model. */
async function driftOf(name) {
  try {
    return await call(`${path(name)}/drift`);
  } catch {
    return null;
  }
}

async function whole(summary) {
  const hasReady = summary.versions.some((version) => version.state === "READY") || summary.default;
  const [details, drift] = await Promise.all([call(path(summary.name)), hasReady ? driftOf(summary.name) : null]);
  return { ...summary, ...details, drift };
}

function showCards(models) {
  const list = byId("models");
  byId("search-field").hidden = models.length < SEARCH_FROM;
  const wanted = byId("search").value.trim().toLowerCase();
  if (!models.length) {
    cards.clear();
    replace(list, emptyState({ title: "The repository has no model", body: "Make one from a recipe; it is published into the model repository.", command: "grayscale export digits" }));
    return;
  }
  const names = new Set(models.map((model) => model.name));
  for (const [name, { element }] of cards) if (!names.has(name)) { element.remove(); cards.delete(name); }
  if (!cards.size) replace(list);
  for (const model of models) {
    if (!cards.has(model.name)) cards.set(model.name, { element: el("article", { class: "card model", "aria-label": model.name, dataset: { model: model.name } }), shown: "" });
    const card = cards.get(model.name);
    const state = JSON.stringify([model, [...busy].filter((mark) => mark.startsWith(`${model.name}/`))]);
    if (card.shown !== state) {
      const focused = card.element.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
      draw(card.element, model);
      card.shown = state;
      if (focused) card.element.querySelector(`[aria-label=${CSS.escape(focused)}]`)?.focus();
    }
    card.element.hidden = Boolean(wanted) && !model.name.toLowerCase().includes(wanted);
    if (!card.element.isConnected) list.append(card.element);
  }
}

let last = [];
replace(byId("models"), el("div", { class: "card" }, skeleton(4)));
const look = poll(async () => {
  const { models } = await call("/v1/models");
  last = await Promise.all(models.map(whole));
  replace(byId("trouble"));
  showCards(last);
}, {
  everyMs: EVERY_MS,
  onError: (error) => {
    replace(byId("trouble"), failedState(error, () => look.now()));
    if (!last.length) replace(byId("models"));
  },
});
byId("search").addEventListener("input", () => showCards(last));
byId("main").append(el("details", { class: "card as-command" }, el("summary", {}, "The same on the command line"),
  el("div", { class: "stack" }, copyable("grayscale models ls"), copyable("grayscale models load digits --version 1"), copyable("grayscale models promote digits --version 1"))));

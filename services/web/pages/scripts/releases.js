// The releases page: the list, one of them in detail, and how a new one begins.

import { byId, el, replace } from "./dom.js";
import { poll } from "./poll.js";
import { actionBar } from "./releases-actions.js";
import { courseCharts } from "./releases-charts.js";
import { comparisons } from "./releases-comparison.js";
import { earlierList, eventList } from "./releases-events.js";
import { follower } from "./releases-follow.js";
import { releaseForm } from "./releases-form.js";
import { guardrailTable } from "./releases-guardrails.js";
import { commandsOf, planYaml } from "./releases-plan.js";
import { redraw } from "./releases-redraw.js";
import { headline, quietNotice, reasonNotice, track, verdictLine, weightBoard } from "./releases-state.js";
import { phaseOf, weight } from "./releases-words.js";
import { badge, copyable, emptyState, failedState, mount, skeleton } from "./shell.js";

const CALM_LOOKS = 4; // of so many, one is made while nothing goes on
const BEGIN = "grayscale release apply -f plan.yaml --watch";

mount("releases");
replace(byId("waiting"), skeleton(5));

const follow = follower();
const board = weightBoard();
const course = courseCharts();
const actions = actionBar(lookNow);
const form = releaseForm(byId("new"), (model) => {
  location.hash = hashOf(model);
});
replace(byId("weights"), board.element);
replace(byId("course"), course.element);
replace(byId("actions"), actions.buttons);

let calm = false;
let skipped = 0;
let told = "";
let place = { model: "", isNew: false };

const hashOf = (model) => `#release=${encodeURIComponent(model)}`;
/** What the address asks for; a hash that is no place of this page (the skip link's) changes nothing. */
function readPlace() {
  if (location.hash.startsWith("#release=")) place = { model: new URLSearchParams(location.hash.slice(1)).get("release"), isNew: false };
  else if (["", "#", "#new"].includes(location.hash)) place = { ...place, isNew: location.hash === "#new" };
}

async function look() {
  skipped = (skipped + 1) % CALM_LOOKS;
  if (calm && skipped) return;
  const asked = place.model;
  const found = await follow.look(asked);
  if (asked !== place.model) return; // another was chosen meanwhile: the next look is of that
  calm = !found.releases.some((release) => !release.is_over);
  show(found);
}

/** Looks at once, whatever goes on. */
function lookNow() {
  skipped = -1;
  return looking.now();
}

readPlace();
const looking = poll(look, { onError: showTrouble });

/** What is there stays, and is as old as it is. */
function showTrouble(error) {
  redraw(byId("trouble"), el("div", { class: "trouble" }, failedState(error, lookNow)));
  byId("waiting").hidden = true;
}

function show({ releases, unreadable, chosen }) {
  redraw(byId("trouble"), unreadable.length ? unreadableNotice(unreadable) : null);
  byId("waiting").hidden = Boolean(chosen) || place.isNew;
  if (!chosen) {
    const title = "No release is under way";
    const body = "A release gives a new version a share of a model's requests, compares it with the one that answers now, and takes it back when it is worse.";
    redraw(byId("waiting"), el("h2", { class: "visually-hidden" }, "Releases now"), emptyState({ title, body, command: BEGIN, action: el("a", { class: "button primary", href: "#new" }, "New release") }));
  }
  byId("layout").classList.toggle("single", releases.length === 0);
  byId("list").hidden = releases.length === 0;
  redraw(byId("list"), el("ul", {}, releases.map((state) => listItem(state, chosen))));
  byId("chosen").hidden = !chosen || place.isNew;
  if (chosen) detail(chosen);
}

function detail(chosen) {
  const { state } = chosen;
  redraw(byId("headline"), headline(chosen));
  actions.update(chosen);
  redraw(byId("quiet"), quietNotice(chosen));
  redraw(byId("reason"), reasonNotice(chosen));
  board.update(chosen);
  redraw(byId("track"), track(chosen));
  redraw(byId("verdict"), verdictLine(chosen));
  if (!place.isNew) course.update(chosen);
  redraw(byId("guardrails"), guardrails(chosen));
  redraw(byId("comparisons"), comparisons(chosen));
  redraw(byId("events"), eventList(chosen));
  byId("earlier").hidden = !chosen.earlier.length;
  redraw(byId("earlier-list"), earlierList(chosen));
  redraw(byId("plan-text"), planCommands(state));
  announce(state);
}

function guardrails({ state, report }) {
  if (!state.plan.guardrails.length) return el("p", { class: "muted" }, "The plan has none: nothing but a version that cannot be loaded stops it.");
  if (!report?.guardrails.length) return el("p", { class: "muted" }, "The controller has not looked yet: the numbers come with the first requests.");
  return guardrailTable(report, state.plan);
}

function planCommands(state) {
  return [
    copyable(planYaml(state.plan), "The plan as YAML"),
    copyable(commandsOf(state.model).follow, "Watch it in a terminal"),
  ];
}

function listItem(state, chosen) {
  const phase = phaseOf(state.phase);
  const isChosen = state.release === chosen?.state.release && !place.isNew;
  return el("li", {}, el("a", { href: hashOf(state.model), "aria-current": isChosen ? "true" : undefined },
    el("strong", {}, state.model), badge(phase.words, phase.kind), el("span", { class: "number" }, weight(state.weight))));
}

function unreadableNotice(names) {
  return el("p", { class: "notice trouble", "data-kind": "warn" },
    `A newer version of the software wrote the release of ${names.join(", ")}: this one cannot show it.`);
}

/** Says aloud what changed: phase and weight, not every number. */
function announce(state) {
  const words = `${state.model}: ${phaseOf(state.phase).words}, weight ${weight(state.weight)}. ${state.is_over ? state.reason : ""}`;
  if (words === told) return;
  told = words;
  byId("announced").textContent = words;
}

function turn() {
  const before = place;
  readPlace();
  byId("new").hidden = !place.isNew;
  byId("begin").hidden = place.isNew;
  if (place.isNew && !before.isNew) form.open();
  if (place.isNew) byId("chosen").hidden = byId("waiting").hidden = true;
  else if (before.isNew) byId("main").focus();
  lookNow();
}

window.addEventListener("hashchange", turn);
if (place.isNew) {
  place = { ...place, isNew: false };
  turn();
}

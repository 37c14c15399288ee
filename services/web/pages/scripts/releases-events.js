// Who or what changed a release, when and why; and how the releases of the name before it ended.

import { el } from "./dom.js";
import { clockTime } from "./format.js";
import { phaseOf, weight } from "./releases-words.js";
import { badge } from "./shell.js";

const CONTROLLER = "controller";

/** The latest first. */
export function eventList({ events }) {
  if (!events.length) return el("p", { class: "muted" }, "Nothing yet.");
  return el("ol", { class: "events" }, [...events].reverse().map((event) => {
    const phase = phaseOf(event.to);
    const isPerson = event.by !== CONTROLLER;
    return el(
      "li",
      { "data-kind": phase.kind },
      el("time", { datetime: event.at }, clockTime(event.at)),
      el("div", {},
        el("p", {}, badge(phase.words, phase.kind), ` weight ${weight(event.weight)} `,
          el("span", { class: "by" }, `by ${isPerson ? event.by : "the controller"}`)),
        el("p", { class: "why" }, event.why)),
    );
  }));
}

/** How each ended, the latest first. */
export function earlierList({ earlier }) {
  return el("ul", { class: "events" }, earlier.map((event) => {
    const phase = phaseOf(event.to);
    return el("li", { "data-kind": phase.kind },
      el("time", { datetime: event.at }, clockTime(event.at)),
      el("div", {}, el("p", {}, badge(phase.words, phase.kind), ` ${event.release}`), el("p", { class: "why" }, event.why)));
  }));
}

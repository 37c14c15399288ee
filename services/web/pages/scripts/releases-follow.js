// What is known of releases, kept between one look and the next: points and events are only ever asked for once.

import { ApiProblem, call } from "./api.js";
import { moment } from "./releases-words.js";

const PAGE = 1000; // events of one answer
const QUIET_S = 10; // a controller that lives says something more often
const POINT_S = 2; // the least that a controller leaves between two points of a timeline
const POINTS = 500; // and about how many it makes of a release
const IN_TURNS = 5; // releases that get a point at a time
const MOST_POINTS = 2000;

/** Follows all releases, and one of them in detail. `look(model)` gives `{releases, unreadable, chosen}`; `chosen` is
 *  null where there is no release, else `{state, report, points, events, earlier, labels, at, silentSince}`. */
export function follower() {
  const labels = new Map();
  let log = { model: "", events: [] };
  let course = { release: "", points: [] };
  window.addEventListener("grayscale:key", () => { log = { model: "", events: [] }; }); // another key may tell who it was

  async function look(model) {
    const answer = await call("/v1/releases", { raw: true });
    const at = moment(answer.headers.get("Date")) || Date.now();
    const { releases, unreadable } = await answer.json();
    const state = releases.find((release) => release.model === model) ?? releases[0];
    return { releases, unreadable, chosen: state ? await detail(state, at, releases) : null };
  }

  async function detail(state, at, releases) {
    const path = `/v1/models/${encodeURIComponent(state.model)}/release`;
    const known = await Promise.all([orNull(call(`${path}/report`)), points(path, state), events(path, state), labelsOf(state)]);
    const report = known[0]?.release === state.release ? known[0] : null;
    return {
      state,
      report,
      points: known[1],
      events: known[2].filter((event) => event.release === state.release),
      earlier: endings(known[2], state.release),
      labels: known[3],
      at,
      silentSince: silence(state, report, known[1], at, releases.filter((release) => !release.is_over).length),
    };
  }

  async function points(path, state) {
    if (course.release !== state.release) course = { release: state.release, points: [] };
    const last = course.points.at(-1)?.at;
    const query = last ? `?after=${encodeURIComponent(last)}` : "";
    const timeline = await orNull(call(`${path}/timeline${query}`));
    if (timeline?.release === course.release && timeline.points.length) {
      course.points = [...course.points, ...timeline.points].slice(-MOST_POINTS);
    }
    return course.points;
  }

  async function events(path, state) {
    if (log.model !== state.model) log = { model: state.model, events: [] };
    const known = log; // it is replaced when the key is
    for (;;) {
      const page = await call(`${path}/events?start=${known.events.length}&limit=${PAGE}`);
      if (page.events.length) known.events = [...known.events, ...page.events];
      if (page.events.length < PAGE) return known.events;
    }
  }

  async function labelsOf({ model }) {
    if (!labels.has(model)) labels.set(model, (await orNull(call(`/v1/models/${encodeURIComponent(model)}`)))?.labels ?? []);
    return labels.get(model);
  }

  return { look };
}

/** Since when nothing was heard of a controller (Unix seconds); null where none has anything to say, or where it is
 *  no longer than what passes between two looks. `at` is the server's time in Unix milliseconds. */
function silence(state, report, points, at, active) {
  if (state.is_over) return null;
  const signs = [state.created_at, state.since, report?.at, points.at(-1)?.at];
  const heard = Math.max(...signs.map(moment).filter((time) => !Number.isNaN(time)));
  const apartS = Math.max(POINT_S, (at - moment(state.created_at)) / 1000 / POINTS);
  const usualS = Math.max(QUIET_S, 4 * apartS, (4 * POINT_S * active) / IN_TURNS);
  return at - heard > 1000 * usualS ? heard / 1000 : null;
}

/** How each earlier release of the name ended, the latest first. */
function endings(events, current) {
  const last = new Map();
  for (const event of events) {
    // A line that keeps the phase says that it was put away, and not how it ended.
    if (event.release === current || event.from === event.to) continue;
    last.delete(event.release);
    last.set(event.release, event);
  }
  return [...last.values()].reverse();
}

/** The answer, or null where there is none yet. */
async function orNull(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 404) return null;
    throw error;
  }
}

// The results of a job as a table in pages, with what is looked for in them.

import { el, replace } from "./dom.js";
import { count, number, percent } from "./format.js";
import { filterBar } from "./jobs-filter.js";
import { matches } from "./jobs-rows.js";
import { localPath, thumbnail } from "./jobs-thumbnails.js";
import { causeWords } from "./jobs-words.js";

const PAGE_ROWS = 50;

/** The table of one job, as `element`. */
export class ResultsTable {
  #jobId;
  #results = null;
  #wanted = { show: "all", below: 0.6, label: "", text: "" };
  #page = 0;
  #shown = [];
  #body = el("tbody");
  #table = el("table", { class: "table job-results" },
    el("caption", { class: "visually-hidden" }, "Results, in the order of the images"),
    el("thead", {}, el("tr", {},
      el("th", { scope: "col", class: "cell-index" }, "#"),
      el("th", { scope: "col" }, "Image"),
      el("th", { scope: "col" }, "Answer"),
      el("th", { scope: "col", class: "cell-score" }, "Score"))),
    this.#body);
  #filters = filterBar(this.#wanted, (change) => this.filter(change));
  #none = el("p", { class: "job-no-rows hint" });
  #pager = pagerBar((step) => this.#turn(step));

  element = el("div", { class: "stack job-table" },
    this.#filters.element,
    el("div", { class: "table-scroll", role: "group", "aria-label": "Table of results", tabindex: 0 }, this.#table),
    this.#none, this.#pager.element);

  constructor(jobId, results) {
    this.#jobId = jobId;
    this.update(results);
  }

  /** Shows what has come since. */
  update(results) {
    this.#results = results;
    this.#filters.show(this.#wanted, results);
    this.#draw();
  }

  /** Looks for something else: any of `show`, `below`, `label` and `text`, as `matches` has them. */
  filter(change) {
    this.#wanted = { ...this.#wanted, ...change };
    this.#page = 0;
    this.update(this.#results);
  }

  #turn(step) {
    this.#page += step;
    this.#draw();
    this.element.scrollIntoView({ block: "start" });
  }

  #draw() {
    const { rows: all } = this.#results;
    const found = all.filter((row) => matches(row, this.#wanted));
    this.#page = Math.max(0, Math.min(this.#page, Math.ceil(found.length / PAGE_ROWS) - 1));
    this.#drawRows(found.slice(this.#page * PAGE_ROWS, (this.#page + 1) * PAGE_ROWS));
    replace(this.#none, all.length ? "No result is like that." : "No result yet.");
    this.#none.hidden = found.length > 0;
    this.#table.hidden = !found.length;
    this.#pager.show(this.#page, found.length, all.length);
  }

  // Rows that stay are not touched: a page fills while a job runs, and what is read or marked stays where it is.
  #drawRows(rows) {
    const changed = rows.findIndex((row, at) => row !== this.#shown[at]);
    const from = changed < 0 ? rows.length : changed;
    while (this.#body.children.length > from) this.#body.lastElementChild.remove();
    this.#body.append(...rows.slice(from).map((row) => rowElement(this.#jobId, row)));
    this.#shown = rows;
  }
}

function rowElement(jobId, row) {
  const name = localPath(jobId, row.index) || row.name || `image ${row.index}`;
  return el("tr", { "data-index": row.index, "data-failed": row.error !== null },
    el("td", { class: "cell-index" }, String(row.index)),
    el("td", {}, el("div", { class: "job-image" }, thumbnail(jobId, row), el("span", { class: "job-name", title: name }, name))),
    el("td", {}, row.error ? errorCell(row.error) : answerCell(row)),
    el("td", { class: "cell-score" }, row.score !== null && scoreCell(row.score)));
}

function answerCell(row) {
  return [el("span", { class: "job-label" }, row.label), row.note && el("span", { class: "hint" }, row.note)];
}

function errorCell({ cause, detail }) {
  return [el("span", { class: "job-error" }, causeWords(cause)), detail && el("span", { class: "hint" }, detail)];
}

function scoreCell(score) {
  return el("span", { class: "job-score" },
    el("span", { class: "job-score-bar", "aria-hidden": "true" }, el("span", { style: { width: `${100 * score}%` } })),
    percent(score));
}

function pagerBar(onStep) {
  const before = el("button", { class: "button small", type: "button", onclick: () => onStep(-1) }, "Previous");
  const after = el("button", { class: "button small", type: "button", onclick: () => onStep(1) }, "Next");
  const words = el("span", { class: "hint", role: "status" });
  const element = el("div", { class: "job-pager" }, words, el("span", { class: "job-pager-buttons" }, before, after));
  const show = (page, found, all) => {
    const first = page * PAGE_ROWS + 1;
    const last = Math.min(found, first + PAGE_ROWS - 1);
    const of = found === all ? count(all, "result") : `${number(found)} found in ${count(all, "result")}`;
    replace(words, `${number(first)}–${number(last)} of ${of}`);
    before.disabled = page === 0;
    after.disabled = last >= found;
    element.hidden = !found;
  };
  return { element, show };
}

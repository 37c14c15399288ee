// The results of one job as they come: thousands of small rows, and what they add up to.

import { call, lines } from "./api.js";
import { csvHeader, csvOf, rowOf } from "./jobs-rows.js";

const PIECE_CHARACTERS = 2 ** 20;

/**
 * `rows` in the order of the images (those of a job that ended early may have gaps); `labels` counts the pictures that
 * have a label, `failed` those without an answer.
 */
export class Results {
  rows = [];
  next = 0;
  labels = new Map();
  failed = 0;
  #path;
  #signal;
  #reading = false;
  #again = false;

  constructor(jobId, signal) {
    this.#path = `/v1/jobs/${encodeURIComponent(jobId)}/results`;
    this.#signal = signal;
  }

  /**
   * Reads what is there by now, and tells `onRows()` now and then and at the end. Asked for while it reads, it reads
   * once more behind that. Throws ApiProblem; what came before stays, and the next call goes on behind it.
   */
  async read(onRows) {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#again) {
        this.#again = false;
        await this.#readOn(onRows);
      }
    } finally {
      this.#reading = false;
    }
  }

  async #readOn(onRows) {
    let told = performance.now();
    for await (const line of lines(`${this.#path}?from=${this.next}`, { signal: this.#signal })) {
      this.#add(rowOf(line));
      if (performance.now() - told > 300) {
        onRows();
        told = performance.now();
      }
    }
    onRows();
  }

  #add(row) {
    this.rows.push(row);
    this.next = row.index + 1;
    if (row.error) this.failed += 1;
    for (const label of row.labels) this.labels.set(label, (this.labels.get(label) ?? 0) + 1);
  }
}

/** All results that there are as a file of lines, byte for byte as they are served. */
export async function linesFile(jobId) {
  const response = await call(`/v1/jobs/${encodeURIComponent(jobId)}/results`, { raw: true });
  return new Blob([await response.blob()], { type: "application/x-ndjson" });
}

/** The same as CSV; `onCount(lines)` is told now and then. */
export async function csvFile(jobId, onCount = () => {}) {
  const pieces = [];
  let [text, count] = [csvHeader(), 0];
  for await (const line of lines(`/v1/jobs/${encodeURIComponent(jobId)}/results`)) {
    text += csvOf(line);
    count += 1;
    if (text.length > PIECE_CHARACTERS) {
      pieces.push(new Blob([text])); // which the browser may keep on disk
      text = "";
      onCount(count);
    }
  }
  return new Blob([...pieces, text], { type: "text/csv;charset=utf-8" });
}

/** Has the browser save a file. */
export function save(file, name) {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

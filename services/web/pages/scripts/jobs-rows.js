// What a line of a job's results says, as a row of a table and as a row of a CSV file. Pure.

// As `grayscale jobs results --out FILE.csv` writes them.
export const COLUMNS = [
  ..."index name label score predictions model version arm feedback_id error detail".split(" "),
];

/**
 * A line, small enough to keep thousands: masks and embeddings are left out. `labels` are all that the picture has;
 * `score` is null where a task has none; `error` is null or `{cause, detail}`.
 */
export function rowOf(line) {
  const row = { index: line.index, name: line.name ?? "", labels: [], label: "", score: null, note: "", error: null };
  if (line.error) return { ...row, error: { cause: line.error.cause ?? "", detail: line.error.detail ?? "" } };
  const predictions = line.result?.predictions;
  if (Array.isArray(predictions)) {
    return { ...row, ...(isDetection(predictions) ? detected(predictions) : classified(predictions)) };
  }
  if (predictions?.classes) return { ...row, ...segmented(predictions.classes) };
  const length = predictions?.embedding?.length;
  return { ...row, label: length ? `embedding of ${length} numbers` : "" };
}

function isDetection(predictions) {
  return predictions.length === 0 || "box" in predictions[0];
}

function classified([best, second]) {
  const doubt = second && best.score < 0.9 ? `or ${second.label}, ${Math.round(100 * second.score)} %` : "";
  return { labels: [best.label], label: best.label, score: best.score, note: doubt };
}

function detected(objects) {
  const labels = [...new Set(objects.map((object) => object.label))];
  const score = objects.length ? Math.max(...objects.map((object) => object.score)) : null;
  const count = objects.length === 1 ? "1 object" : `${objects.length} objects`;
  return { labels, label: labels.join(", ") || "nothing found", score, note: count };
}

function segmented(classes) {
  const byShare = [...classes].sort((one, other) => other.share - one.share);
  const labels = byShare.map((each) => each.label);
  const note = byShare.map((each) => `${each.label} ${Math.round(100 * each.share)} %`).join(", ");
  return { labels, label: labels[0] ?? "nothing found", note };
}

/** What is shown of all rows: `show` is all, errors or unsure; `below` is a score; `label` "" means any. */
export function matches(row, { show, below, label, text }) {
  if (show === "errors" && !row.error) return false;
  if (show === "unsure" && !(row.score !== null && row.score < below)) return false;
  if (label && !row.labels.includes(label)) return false;
  return !text || row.name.toLowerCase().includes(text.toLowerCase());
}

/** A line as CSV (RFC 4180) with its line end. */
export function csvOf(line) {
  const served = line.result?.served_by ?? {};
  const predictions = line.result?.predictions;
  const best = Array.isArray(predictions) && predictions.length && !isDetection(predictions) ? predictions[0] : null;
  const values = {
    index: line.index,
    name: line.name,
    label: best?.label,
    score: best?.score,
    predictions: line.error || best ? "" : JSON.stringify(predictions ?? null),
    model: served.model,
    version: served.version,
    arm: served.arm,
    feedback_id: line.result?.feedback_id,
    error: line.error?.cause,
    detail: line.error?.detail,
  };
  return csvLine(COLUMNS.map((column) => values[column] ?? ""));
}

/** The header of such a file. */
export function csvHeader() {
  return csvLine(COLUMNS);
}

function csvLine(values) {
  return `${values.map(csvField).join(",")}\r\n`;
}

function csvField(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

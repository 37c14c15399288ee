// Jobs in words: states, causes, and the commands that do the same as this page. Pure.

const STATES = {
  queued: { word: "Waiting", kind: "none", says: "No worker has begun with it yet." },
  running: { word: "Running", kind: "accent", says: "" },
  succeeded: { word: "Done", kind: "ok", says: "" },
  failed: { word: "Failed", kind: "danger", says: "No image has an answer." },
  cancelled: { word: "Cancelled", kind: "none", says: "What had no result then gets none." },
  expired: { word: "Too late", kind: "warn", says: "Its deadline passed before all images had a result." },
};

const CAUSES = {
  undecodable_image: "This file cannot be read as a picture",
  unsupported_media_type: "Not a kind of picture that the server reads",
  too_large: "The picture is too large",
  invalid_input: "The picture cannot be used",
  abandoned: "Given up after several attempts",
  inference_failed: "The model broke on this picture",
  deadline_exceeded: "There was no time left for it",
  not_found: "The model was not there any more",
  not_ready: "The model was not loaded",
  overloaded: "The server was too busy",
  unavailable: "The server was away",
};

/** `{word, kind, says}`; a state that a newer server has is shown as it is. */
export function stateWords(state) {
  return STATES[state] ?? { word: state, kind: "none", says: "" };
}

export function isActive(job) {
  return job.state === "queued" || job.state === "running";
}

export function causeWords(cause) {
  return CAUSES[cause] ?? (cause.replaceAll("_", " ") || "No reason was given");
}

/** Why a job is as it is, or "" where its state says all. */
export function reasonWords(job) {
  const { says } = stateWords(job.state);
  // Of these two the reason says no more than the state.
  const isTold = job.state === "cancelled" || job.state === "expired" || !job.reason;
  return isTold ? says : `${says} ${job.reason[0].toUpperCase()}${job.reason.slice(1)}.`.trim();
}

const FLAGS = { version: "--version", top_k: "--top-k", priority: "--priority", callback_url: "--callback-url" };

/** What does the same for a new job, for a shell. `options` are the query's. */
export function submitCommands(base, model, options) {
  const given = Object.entries(FLAGS).filter(([name]) => options[name]);
  const flags = given.map(([name, flag]) => ` ${flag} ${quoted(options[name])}`);
  const timeout = options.timeout_ms ? ` --timeout ${options.timeout_ms / 1000}` : "";
  const query = new URLSearchParams(options).toString();
  const url = `${base}/v1/models/${model}/jobs${query && `?${query}`}`;
  return {
    cli: `grayscale jobs submit photos/ --model ${model}${flags.join("")}${timeout} --out results.csv --url ${base}`,
    curl: [
      `curl -F image=@a.png -F image=@b.png -H "Authorization: Bearer $GRAYSCALE_KEY"`,
      `     -H "Idempotency-Key: $(uuidgen)" ${quoted(url)}`,
    ].join(" \\\n"),
  };
}

/** What follows and reads a job, for a shell. */
export function jobCommands(base, jobId) {
  return {
    cli: `grayscale jobs results ${jobId} --follow --out results.csv --url ${base}`,
    curl: `curl -N -H "Authorization: Bearer $GRAYSCALE_KEY" ${quoted(`${base}/v1/jobs/${jobId}/results?follow=true`)}`,
  };
}

function quoted(text) {
  return /^[A-Za-z0-9_.:/=-]+$/.test(String(text)) ? String(text) : `'${String(text).replaceAll("'", `'\\''`)}'`;
}

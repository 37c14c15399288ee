// Sending a job: again where it may help, and never twice.

import { ApiProblem, upload } from "./api.js";

const ATTEMPTS = 5;
// No answer, too slow, too many, and what stands before the API or the API itself being away or busy.
const PASSING = new Set([0, 408, 429, 502, 503, 504]);

/** A key that no other job has. (`crypto.randomUUID` is missing on a page without TLS.) */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Sends a parcel (see `parcelsOf`) and gives the job. `order` is `{model, options}`; `idempotencyKey` has to be the same
 * whenever the same parcel may have been sent before. `onProgress(share)` is told of each attempt from 0 on,
 * `onWait(problem, seconds)` of a pause before another one. Throws ApiProblem, or an AbortError.
 */
export async function sendJob(parcel, order, { idempotencyKey, signal, onProgress, onWait }) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { data } = await upload(pathOf(order), {
        body: formOf(parcel),
        headers: { "Idempotency-Key": idempotencyKey },
        signal,
        onProgress,
      });
      return data;
    } catch (error) {
      if (!(error instanceof ApiProblem) || !PASSING.has(error.status) || attempt === ATTEMPTS) throw error;
      const seconds = Math.min(error.retryAfterS ?? 2 ** (attempt - 1), 30);
      onWait(error, seconds);
      await pause(seconds, signal);
    }
  }
}

function pathOf({ model, options }) {
  const query = new URLSearchParams(options).toString();
  return `/v1/models/${encodeURIComponent(model)}/jobs${query && `?${query}`}`;
}

function formOf(parcel) {
  const form = new FormData();
  for (const { file, path } of parcel.files) {
    form.append(parcel.isArchive ? "archive" : "image", file, path.slice(path.lastIndexOf("/") + 1));
  }
  return form;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("ended by the visitor", "AbortError"));
    });
  });
}

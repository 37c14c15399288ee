// The API as the pages see it: forwarded under /api by the server that sent this page.

const BASE = "/api";
const KEY = "grayscale.key";

/** What the API (or the way to it) refused: `status` 0 is "no answer at all". */
export class ApiProblem extends Error {
  constructor({ status, title, detail, errors = [], requestId = "", retryAfterS = null }) {
    super(detail || title);
    this.name = "ApiProblem";
    Object.assign(this, { status, title, detail, errors, requestId, retryAfterS });
  }
}

/** The visitor's key: kept for this tab only, sent as Authorization. `grayscale:key` is dispatched on the window when
 *  it changes. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set(value) {
    sessionStorage.setItem(KEY, value.trim());
    window.dispatchEvent(new Event("grayscale:key"));
  },
  clear() {
    sessionStorage.removeItem(KEY);
    window.dispatchEvent(new Event("grayscale:key"));
  },
};

function withKey(headers) {
  const all = new Headers(headers);
  if (key.get() && !all.has("Authorization")) all.set("Authorization", `Bearer ${key.get()}`);
  return all;
}

function problemOf(status, text, headers) {
  let document = {};
  try {
    document = JSON.parse(text);
  } catch {
    document = { title: `The server answered ${status}`, detail: text.slice(0, 300) };
  }
  return new ApiProblem({
    status,
    title: document.title ?? `The server answered ${status}`,
    detail: document.detail ?? document.error ?? "", // the inference protocol has errors of its own form
    errors: document.errors ?? [],
    requestId: document.request_id ?? headers.get("X-Request-Id") ?? "",
    retryAfterS: Number(headers.get("Retry-After")) || null,
  });
}

const unreachable = () =>
  new ApiProblem({
    status: 0,
    title: "The server does not answer",
    detail: "There is no connection to the server of these pages. It may be restarting: try again in a moment.",
  });

async function request(path, { method = "GET", body, headers, signal } = {}) {
  const all = withKey(headers);
  let payload = body;
  const isPlain = body !== undefined && body !== null && typeof body === "object";
  if (isPlain && !(body instanceof FormData || body instanceof Blob || ArrayBuffer.isView(body))) {
    payload = JSON.stringify(body);
    if (!all.has("Content-Type")) all.set("Content-Type", "application/json");
  }
  let response;
  try {
    response = await fetch(BASE + path, { method, body: payload, headers: all, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (!response.ok) throw problemOf(response.status, await response.text(), response.headers);
  return response;
}

/** Calls the API: `path` begins with `/v1/…`, a plain object as `body` goes as JSON. Gives the parsed JSON (null for an
 *  empty answer), or with `raw` the Response itself. Throws ApiProblem. */
export async function call(path, { raw = false, ...options } = {}) {
  const response = await request(path, options);
  if (raw) return response;
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** Sends a body and tells how much of it is gone: `onProgress(sentShare)` from 0 to 1. Gives `{data, headers, status}`.
 *  Throws ApiProblem, or an AbortError when `signal` ends it. (fetch cannot tell the progress of an upload.) */
export function upload(path, { method = "POST", body, headers, signal, onProgress } = {}) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open(method, BASE + path);
    for (const [name, value] of withKey(headers)) sending.setRequestHeader(name, value);
    sending.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress?.(event.loaded / event.total);
    });
    sending.addEventListener("load", () => {
      const lines = sending.getAllResponseHeaders().trim().split(/\r?\n/);
      const all = new Headers(lines.filter(Boolean).map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (sending.status < 200 || sending.status > 299) {
        reject(problemOf(sending.status, sending.responseText, all));
        return;
      }
      const data = sending.responseText ? JSON.parse(sending.responseText) : null;
      resolve({ data, headers: all, status: sending.status });
    });
    sending.addEventListener("error", () => reject(unreachable()));
    sending.addEventListener("abort", () => reject(new DOMException("ended by the visitor", "AbortError")));
    signal?.addEventListener("abort", () => sending.abort());
    sending.send(body);
  });
}

async function* textLines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      yield* parts;
    }
    if (rest) yield rest;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The documents of an NDJSON answer, one after the other as they come. Throws ApiProblem. */
export async function* lines(path, options) {
  for await (const line of textLines(await request(path, options))) {
    if (line.trim()) yield JSON.parse(line);
  }
}

async function* serverEvents(response) {
  let event = { event: "message", data: [], id: undefined };
  for await (const raw of textLines(response)) {
    const line = raw.replace(/\r$/, "");
    if (line === "") {
      if (event.data.length) yield { event: event.event, data: event.data.join("\n"), id: event.id };
      event = { event: "message", data: [], id: undefined };
      continue;
    }
    const colon = line.indexOf(":");
    const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (name === "data") event.data.push(value);
    else if (name === "event") event.event = value;
    else if (name === "id") event.id = value;
  }
}

const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });

/** Server-sent events, with the key (EventSource cannot send one): `onEvent({event, data, id})` with `data` parsed where
 *  it is JSON; `onState("open" | "waiting" | "refused", problem?)`. Reconnects by itself until `close()` is called or
 *  the API refuses (4xx). Gives `{close}`. */
export function events(path, onEvent, onState = () => {}) {
  const ending = new AbortController();
  const run = async () => {
    let waitMs = 500;
    let lastId;
    while (!ending.signal.aborted) {
      try {
        const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
        const response = await request(path, { headers, signal: ending.signal });
        onState("open");
        for await (const event of serverEvents(response)) {
          waitMs = 500;
          lastId = event.id ?? lastId;
          let data = event.data;
          try {
            data = JSON.parse(event.data);
          } catch {
            // then it is text
          }
          onEvent({ ...event, data });
        }
      } catch (error) {
        if (ending.signal.aborted) return;
        if (error instanceof ApiProblem && error.status >= 400 && error.status < 500 && error.status !== 429) {
          onState("refused", error);
          return;
        }
      }
      if (ending.signal.aborted) return;
      onState("waiting");
      await pause(waitMs, ending.signal);
      waitMs = Math.min(waitMs * 2, 10_000);
    }
  };
  run();
  return { close: () => ending.abort() };
}

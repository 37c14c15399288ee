// Short messages at the edge of the page, which screen readers say aloud.

import { el } from "./dom.js";

const SHOWN_MS = { info: 5000, ok: 5000, warn: 9000, danger: 12_000 };
let region;

function place() {
  region ??= el("div", { class: "toasts", role: "region", "aria-label": "Messages" });
  if (!region.isConnected) document.body.append(region);
  return region;
}

/** Shows a message: `kind` is "info", "ok", "warn" or "danger". It goes by itself, but not while it is pointed at. */
export function toast(message, kind = "info") {
  const note = el(
    "div",
    { class: "toast", "data-kind": kind, role: kind === "danger" ? "alert" : "status" },
    el("span", { class: "toast-text" }, message),
    el("button", { class: "button quiet small", "aria-label": "Close this message", onclick: () => note.remove() }, "×"),
  );
  let timer;
  const start = () => { timer = setTimeout(() => note.remove(), SHOWN_MS[kind] ?? SHOWN_MS.info); };
  note.addEventListener("pointerenter", () => clearTimeout(timer));
  note.addEventListener("pointerleave", start);
  place().append(note);
  start();
  return note;
}

/** An error in words: the API's detail, and what to quote when asking for help. */
export function problemText(error) {
  const fields = (error.errors ?? []).map((each) => each.detail).filter((detail) => detail && detail !== error.detail);
  return [error.detail || error.title || error.message, ...fields].join(" · ");
}

/** Shows an error, with the request's id where there is one; one that ended by the visitor's own wish is not shown. */
export function toastProblem(error, before = "") {
  if (error.name === "AbortError") return;
  const id = error.requestId ? ` (request ${error.requestId})` : "";
  toast(`${before ? `${before}: ` : ""}${problemText(error)}${id}`, "danger");
}

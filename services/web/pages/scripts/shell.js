// What every page has: header, navigation, theme, key, messages; and the pieces that several pages show.

import { call, key } from "./api.js";
import { confirmDialog, keyDialog, needsKey, withKey } from "./dialogs.js";
import { byId, el, replace, svg } from "./dom.js";
import { poll } from "./poll.js";
import { problemText, toast, toastProblem } from "./toast.js";

export { confirmDialog, keyDialog, needsKey, problemText, toast, toastProblem, withKey };

const PAGES = [
  ["try", "/", "Try it"],
  ["releases", "/releases", "Releases"],
  ["jobs", "/jobs", "Jobs"],
  ["models", "/models", "Models"],
  ["health", "/health", "Health"],
];
const THEMES = [["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]];
const READY_EVERY_MS = 5000;

const logo = () =>
  svg("svg", { viewBox: "0 0 32 32", class: "logo", "aria-hidden": "true" },
    [1, 2, 3, 4].map((step) => svg("rect", { x: 8 * (step - 1), y: 4, width: 8, height: 24, class: `logo-${step}` })));

function themeSwitch() {
  const choose = (event) => window.grayscaleTheme.set(event.target.value);
  return el("fieldset", { class: "segments theme-switch" },
    el("legend", { class: "visually-hidden" }, "Theme"),
    THEMES.map(([value, label]) =>
      el("label", {},
        el("input", { type: "radio", name: "theme", value, checked: window.grayscaleTheme.get() === value, onchange: choose }),
        el("span", {}, label))));
}

function keyButton() {
  const button = el("button", { class: "button quiet small key-button", type: "button", onclick: () => keyDialog() });
  const show = () => replace(button, el("span", { class: "dot", "data-kind": key.get() ? "ok" : "none" }), key.get() ? "Key set" : "Set key");
  window.addEventListener("grayscale:key", show);
  show();
  return button;
}

function readyLink() {
  const link = el("a", { class: "ready-link", href: "/health" }, el("span", { class: "dot" }), el("span", {}, "Asking…"));
  const show = (kind, text) => replace(link, el("span", { class: "dot", "data-kind": kind }), el("span", {}, text));
  const look = async () => {
    try {
      await call("/healthz/ready");
      show("ok", "Ready");
    } catch (error) {
      show(error.status === 503 ? "warn" : "danger", error.status === 503 ? "Not ready" : "API away");
      if (error.status !== 503) throw error;
    }
  };
  poll(look, { everyMs: READY_EVERY_MS });
  return link;
}

/** Draws the header into `#shell`; `page` is "try", "releases", "jobs", "models" or "health". */
export function mount(page) {
  const links = PAGES.map(([name, href, label]) =>
    el("li", {}, el("a", { href, "aria-current": name === page ? "page" : undefined }, label)));
  replace(byId("shell"),
    el("a", { class: "skip-link", href: "#main" }, "Skip to the content"),
    el("div", { class: "shell-inner" },
      el("a", { class: "brand", href: "/", "aria-label": "Grayscale, home" }, logo(), el("span", {}, "Grayscale")),
      el("nav", { "aria-label": "Pages" }, el("ul", {}, links)),
      el("div", { class: "shell-tools" }, readyLink(), keyButton(), themeSwitch())));
}

/** Text to copy with its button, for commands; `label` says what it is. The element has `set(text)`. */
export function copyable(text, label = "Command") {
  const code = el("code", {}, text);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      toast("Copied", "ok");
    } catch {
      getSelection().selectAllChildren(code); // without https there is no clipboard: then it is marked at least
      toast("Press Ctrl+C to copy what is marked");
    }
  };
  const block = el("div", { class: "copyable" },
    el("pre", { tabindex: "0", role: "group", "aria-label": label }, code),
    el("button", { class: "button small", type: "button", onclick: copy, "aria-label": `Copy: ${label}` }, "Copy"));
  block.set = (next) => { code.textContent = next; };
  return block;
}

/** What stands where there is nothing yet: a title, what to do, and the command or button that does it. */
export function emptyState({ title, body = "", command = "", action = null }) {
  return el("div", { class: "empty" },
    el("h3", {}, title), body && el("p", {}, body), command && copyable(command), action);
}

/** What stands where something could not be had: the reason, and a button that tries again. */
export function failedState(error, retry = null) {
  const wantsKey = error.status === 401 || error.status === 403;
  return el("div", { class: "notice", "data-kind": wantsKey ? "warn" : "danger", role: "alert" },
    el("div", {}, el("strong", {}, error.title || "Something went wrong"), el("p", {}, problemText(error))),
    wantsKey && el("button", { class: "button small", type: "button", onclick: () => keyDialog() }, "Give a key"),
    !wantsKey && retry && el("button", { class: "button small", type: "button", onclick: retry }, "Try again"));
}

/** A word on a coloured ground: `kind` is "ok", "warn", "danger", "accent" or "none". */
export const badge = (text, kind = "none") => el("span", { class: "badge", "data-kind": kind }, text);

/** `rows` grey bars that stand in for what is being fetched. */
export const skeleton = (rows = 3) =>
  el("div", { class: "stack", "aria-hidden": "true" }, Array.from({ length: rows }, () => el("div", { class: "skeleton" })));

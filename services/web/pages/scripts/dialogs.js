// Questions that stop everything else: native dialogs, so that focus stays inside and comes back.

import { key } from "./api.js";
import { el } from "./dom.js";

let numbered = 0;

function ask({ title, danger = false }, content, actions) {
  numbered += 1;
  const id = `dialog-title-${numbered}`;
  const dialog = el(
    "dialog",
    { class: "dialog", "data-danger": danger, "aria-labelledby": id },
    el("form", { method: "dialog" }, el("h2", { id }, title), content, el("div", { class: "dialog-actions" }, actions)),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue);
      dialog.remove();
    });
    dialog.showModal();
  });
}

const cancelButton = (words = "Cancel") =>
  // formnovalidate: leaving must not need a valid form.
  el("button", { class: "button", value: "", formnovalidate: true }, words);

/** Asks before something is done: `body` is text or nodes, `action` the words on the button, `dismiss` those on the
 *  other. Gives whether to do it; the Escape key is a no. */
export async function confirmDialog({ title, body = "", action = "Go on", dismiss = "Cancel", danger = false }) {
  const text = typeof body === "string" ? el("p", {}, body) : body;
  const button = el("button", { class: danger ? "button danger" : "button primary", value: "yes" }, action);
  return (await ask({ title, danger }, text, [cancelButton(dismiss), button])) === "yes";
}

/** Asks for a key; gives whether one was given. An empty one forgets the key that is kept. */
export async function keyDialog(reason = "") {
  const input = el("input", {
    id: "key-input", type: "password", autocomplete: "off", spellcheck: "false", value: key.get(),
    "aria-describedby": "key-help",
  });
  const content = el(
    "div",
    { class: "stack" },
    reason && el("p", { class: "notice", "data-kind": "warn" }, reason),
    el("div", { class: "field" },
      el("label", { for: "key-input" }, "Key"),
      input,
      el("p", { id: "key-help", class: "hint" },
        "Kept in this tab only and forgotten when it is closed. The administrator's key was printed at the first start and is in the file ",
        el("code", {}, "admin.key"), " of the data directory; other keys are made with ", el("code", {}, "grayscale keys create"), ".")),
  );
  const forget = key.get() && el("button", { class: "button quiet push-left", value: "forget", formnovalidate: true }, "Forget the key");
  const save = el("button", { class: "button primary", value: "save" }, "Use this key");
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // Enter would press the form's first button
    save.click();
  });
  const answer = await ask({ title: "Your key" }, content, [forget, cancelButton(), save]);
  if (answer === "forget" || (answer === "save" && !input.value.trim())) key.clear();
  else if (answer === "save") key.set(input.value);
  return answer === "save" && Boolean(input.value.trim());
}

/** Opens the key dialog where a key is what is missing (401, 403); gives whether it did. */
export function needsKey(error) {
  if (error?.status !== 401 && error?.status !== 403) return false;
  keyDialog(keyReason(error));
  return true;
}

const keyReason = (error) =>
  error.status === 403 ? `This key does not allow it: ${error.detail}` : "This needs a key. What changes something needs the administrator's.";

/** Does `action`; where a key is missing it asks for one and does it once more. Throws what `action` throws. */
export async function withKey(action) {
  try {
    return await action();
  } catch (error) {
    if (error?.status !== 401 && error?.status !== 403) throw error;
    if (!(await keyDialog(keyReason(error)))) throw error;
    return action();
  }
}

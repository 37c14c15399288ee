// Where pictures are dropped or chosen: anywhere on the page, or by two buttons.

import { el } from "./dom.js";
import { chosenFiles, droppedFiles } from "./jobs-sources.js";
import { toast } from "./shell.js";

/** The place; `onFound(files)` gets `{file, path}` of all that was dropped or chosen, whatever it is. */
export function dropZone(onFound) {
  const files = picker({ id: "job-files", multiple: true, accept: "image/*,.zip,.avif,.jfif,.dib" });
  const folder = picker({ id: "job-folder", webkitdirectory: true });
  const element = el("div", { class: "job-drop" },
    el("strong", {}, "Drop a folder, pictures or a zip archive"),
    el("span", { class: "row" },
      el("button", { class: "button", type: "button", onclick: () => files.click() }, "Choose pictures"),
      el("button", { class: "button", type: "button", onclick: () => folder.click() }, "Choose a folder")),
    files, folder);

  function picker(props) {
    const input = el("input", { type: "file", hidden: true, ...props });
    input.addEventListener("change", () => {
      onFound(chosenFiles(input));
      input.value = ""; // the same may be chosen again
    });
    return input;
  }

  const isHere = () => element.isConnected && element.offsetParent !== null;
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // or the browser would open what is dropped in place of this page
    event.dataTransfer.dropEffect = isHere() ? "copy" : "none";
    element.dataset.over = "true";
  });
  window.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) delete element.dataset.over;
  });
  window.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    delete element.dataset.over;
    if (!isHere()) return;
    try {
      onFound(await droppedFiles(event.dataTransfer));
    } catch {
      toast("What was dropped could not be read: choose it with a button instead", "danger");
    }
  });
  return { element };
}

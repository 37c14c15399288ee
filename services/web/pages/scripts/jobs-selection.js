// What is about to be sent, in words: how much it is, what is left out and why, and how many jobs it makes.

import { el, replace } from "./dom.js";
import { bytes, count, number } from "./format.js";
import { NOTHING, parcelsOf, skippedByReason, withFiles } from "./jobs-sources.js";

const NAMED = 200;

/** The selection; `add(found, limits)` and `clear()` change it, and `onChange()` is told. */
export function selectionView(onChange) {
  let selection = NOTHING;
  const element = el("div", { class: "stack job-selection", "aria-live": "polite" });

  function show(limits) {
    const parcels = parcelsOf(selection, limits);
    replace(element,
      parcels.length > 0 && summary(parcels),
      selection.skipped.length > 0 && skippedNotice(selection.skipped),
      parcels.length > 1 && el("p", { class: "notice", "data-kind": "warn" }, splitWords(parcels, limits)));
    element.hidden = element.childElementCount === 0;
  }

  function summary(parcels) {
    const size = parcels.reduce((sum, parcel) => sum + parcel.bytes, 0);
    const archives = selection.archives.length > 0 && count(selection.archives.length, "zip archive");
    const images = selection.images.length > 0 && count(selection.images.length, "picture");
    const words = [images, archives].filter(Boolean).join(" and ");
    return el("div", { class: "row spread" },
      el("span", {}, el("strong", {}, words), el("span", { class: "hint" }, ` · ${bytes(size)}`)),
      el("button", { class: "button quiet small", type: "button", onclick: clear }, "Remove all"));
  }

  function clear() {
    selection = NOTHING;
    onChange();
  }

  function add(found, limits) {
    selection = withFiles(selection, found, limits);
    onChange();
  }

  /** Takes out what has become a job, without a word to `onChange`. */
  function remove(files) {
    const sent = new Set(files);
    const isLeft = (each) => !sent.has(each);
    selection = { ...selection, images: selection.images.filter(isLeft), archives: selection.archives.filter(isLeft) };
  }

  return { element, add, clear, remove, show, parcels: (limits) => parcelsOf(selection, limits) };
}

function skippedNotice(skipped) {
  const files = (paths) => el("ul", { class: "job-skipped mono" },
    paths.slice(0, NAMED).map((path) => el("li", {}, path)),
    paths.length > NAMED && el("li", {}, `and ${number(paths.length - NAMED)} more`));
  return el("div", { class: "notice job-left-out", "data-kind": "warn" },
    el("div", {},
      el("strong", {}, skipped.length === 1 ? "1 file is left out" : `${number(skipped.length)} files are left out`),
      skippedByReason(skipped).map(({ why, paths }) =>
        el("details", {}, el("summary", {}, countWords(paths.length, why)), files(paths)))));
}

function countWords(many, why) {
  if (many === 1) return `1 ${why}`;
  return `${number(many)} ${why.replace(/^is no picture that/, "are no pictures that").replace(/^is /, "are ")}`;
}

function splitWords(parcels, limits) {
  const parts = parcels.map((parcel) => (parcel.isArchive ? parcel.files[0].path : number(parcel.files.length)));
  return `One job takes at most ${count(limits.max_images, "picture")} and ${bytes(limits.max_bytes)}, or one archive. `
    + `This will be ${number(parcels.length)} jobs: ${parts.slice(0, 8).join(", ")}${parts.length > 8 ? " …" : ""}.`;
}

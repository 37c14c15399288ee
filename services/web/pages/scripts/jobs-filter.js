// What is looked for in the results of a job.

import { el, replace } from "./dom.js";
import { number, percent } from "./format.js";

/** The controls; `onChange(change)` gets what was changed, `show(wanted, results)` sets them and lists the labels. */
export function filterBar(wanted, onChange) {
  const kinds = segments(onChange);
  const below = el("input", {
    type: "range", min: 5, max: 100, step: 5, value: 100 * wanted.below, "aria-label": "Unsure means a score below",
    oninput: () => onChange({ show: "unsure", below: below.value / 100 }),
  });
  const belowText = el("output", {});
  const belowBox = el("span", { class: "job-below" }, "score below", below, belowText);
  const label = labelChoice(onChange);
  const text = el("input", {
    type: "search", placeholder: "File name", "aria-label": "File name", oninput: () => onChange({ text: text.value }),
  });
  const show = (next, results) => {
    kinds.show(next.show, results.failed);
    belowBox.hidden = next.show !== "unsure";
    replace(belowText, percent(next.below, 0));
    label.show(next.label, results.labels);
  };
  return { element: el("div", { class: "job-filters" }, kinds.element, belowBox, label.element, text), show };
}

function segments(onChange) {
  const errors = el("span", {}, "Errors");
  const words = [["all", el("span", {}, "All")], ["errors", errors], ["unsure", el("span", {}, "Unsure")]];
  const inputs = words.map(([value]) =>
    el("input", { type: "radio", name: "job-show", value, onchange: () => onChange({ show: value }) }));
  const element = el("fieldset", { class: "segments" },
    el("legend", { class: "visually-hidden" }, "Which results"),
    words.map(([, word], at) => el("label", {}, inputs[at], word)));
  const show = (value, failed) => {
    for (const input of inputs) input.checked = input.value === value;
    replace(errors, failed ? `Errors ${number(failed)}` : "Errors");
  };
  return { element, show };
}

function labelChoice(onChange) {
  const element = el("select", { "aria-label": "Label", onchange: () => onChange({ label: element.value }) });
  let listed = null;
  const show = (label, labels) => {
    const names = [...labels.keys()].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
    const texts = names.map((name) => `${name} (${number(labels.get(name))})`);
    if (texts.join("\n") !== listed && document.activeElement !== element) { // a list that is open must not jump
      listed = texts.join("\n");
      const options = names.map((name, at) => el("option", { value: name }, texts[at]));
      replace(element, el("option", { value: "" }, "Any label"), options);
    }
    element.value = label;
  };
  return { element, show };
}

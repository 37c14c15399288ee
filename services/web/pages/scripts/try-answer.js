// What a model said, by task; and what a person says of it.

import { call } from "./api.js";
import { barChart } from "./chart.js";
import { byId, el, replace } from "./dom.js";
import { count, ms, number, percent } from "./format.js";
import { badge, emptyState, problemText, toast, toastProblem, withKey } from "./shell.js";
import { classColour, clearOverlay, paintBoxes, paintHeat, paintMask } from "./try-stage.js";

let canExplain = true; // until the API says that it has no such thing

export function showNothing(model) {
  replace(byId("served"));
  replace(byId("answer"), emptyState({
    title: "Nothing asked yet",
    body: model ? `Give ${model} a picture, and its answer is here.` : "There is no model that answers.",
  }));
}

export function showProblem(error, retry) {
  replace(byId("served"));
  replace(byId("answer"),
    el("div", { class: "notice", "data-kind": error.status === 422 || error.status === 415 ? "warn" : "danger", role: "alert" },
      el("div", {}, el("strong", {}, error.title), el("p", {}, problemText(error)),
        error.requestId && el("p", { class: "hint" }, "Request ", el("code", {}, error.requestId))),
      el("button", { class: "button small", type: "button", onclick: retry }, "Try again")));
}

/** `asked` is {details, blob, name}: the model's document, and the picture that explaining sends again. */
export function showAnswer(answer, asked) {
  const [result] = answer.results;
  clearOverlay();
  const { version, arm, model } = answer.served_by;
  replace(byId("served"), badge(`${model} version ${version}`, "accent"), " ", badge(arm, arm === "stable" ? "none" : "warn"));
  const [head, body] = byTask(result);
  const isClassifier = Array.isArray(result.predictions) && result.predictions.length > 0 && !result.predictions[0].box;
  replace(byId("answer"), el("div", { class: "stack" },
    head, body,
    el("div", { class: "answer-tools" }, isClassifier && canExplain && explainButton(answer, asked)),
    feedback(answer, asked, isClassifier),
    facts(answer, result)));
}

const verdict = (text, beside) => el("p", { class: "verdict" }, el("strong", {}, text), el("span", {}, beside));

function byTask({ predictions, image }) {
  if (predictions.embedding) return embedding(predictions.embedding);
  if (predictions.classes) return segmentation(predictions);
  if (!predictions.length) return [verdict("Nothing found", "in this picture"), null];
  if (predictions[0].box) return detection(predictions, image);
  const [best] = predictions;
  return [
    verdict(best.label, percent(best.score)),
    barChart({ title: "", max: 1, rows: predictions.map(({ label, score }) => ({ label, value: score, text: percent(score) })) }),
  ];
}

const swatches = (rows) => el("ul", { class: "swatch-list" }, rows.map(([index, label, text]) =>
  el("li", {}, el("span", { class: "swatch", style: { "--swatch": classColour(index) }, "aria-hidden": "true" }), label, el("span", { class: "number" }, text))));

function detection(predictions, image) {
  paintBoxes(predictions, image.width);
  return [
    verdict(count(predictions.length, "thing"), `best: ${predictions[0].label}`),
    swatches(predictions.map(({ index, label, score }) => [index, label, percent(score)])),
  ];
}

function segmentation({ classes, mask_png_b64: mask }) {
  paintMask(mask);
  const sorted = [...classes].sort((a, b) => b.share - a.share);
  return [
    verdict(sorted[0]?.label ?? "Nothing found", sorted[0] ? `${percent(sorted[0].share)} of the picture` : ""),
    swatches(sorted.map(({ index, label, share }) => [index, label, percent(share)])),
  ];
}

function embedding(values) {
  const canvas = el("canvas", { class: "strip", width: values.length, height: 1, role: "img", "aria-label": `${values.length} numbers as colours` });
  const context = canvas.getContext("2d");
  const most = Math.max(...values.map(Math.abs), 1e-9);
  values.forEach((value, at) => {
    const share = Math.abs(value) / most;
    context.fillStyle = value < 0 ? `hsl(222 70% ${95 - 60 * share}%)` : `hsl(20 75% ${95 - 55 * share}%)`;
    context.fillRect(at, 0, 1, 1);
  });
  const norm = Math.hypot(...values);
  return [
    verdict(`${number(values.length)} numbers`, `length ${number(norm)}`),
    el("div", { class: "stack" }, canvas, el("p", { class: "hint" }, "Blue is below zero, orange above; the first are ", el("code", {}, values.slice(0, 5).map((value) => value.toFixed(3)).join(", ")), "…")),
  ];
}

function facts({ timings_ms: times, request_id: id }, { image }) {
  return el("p", { class: "answer-facts" },
    el("span", {}, `${ms(times.total)} in all: decode ${ms(times.decode)}, wait ${ms(times.queue)}, model ${ms(times.infer)}`),
    el("span", {}, `${image.width} × ${image.height} ${image.format.toUpperCase()}`),
    el("span", { class: "wrap" }, "Request ", el("code", { id: "request-id" }, id)));
}

function explainButton(answer, asked) {
  const button = el("button", { class: "button", type: "button" }, "What made this label?");
  const hide = () => el("button", { class: "button small", type: "button", onclick: ({ target }) => {
    clearOverlay();
    target.nextSibling?.remove();
    target.replaceWith(explainButton(answer, asked));
  } }, "Hide it");
  button.addEventListener("click", async () => {
    button.disabled = true;
    replace(button, "Looking…");
    const [best] = answer.results[0].predictions;
    const query = new URLSearchParams({ label: best.label, version: String(answer.served_by.version) });
    const body = new FormData();
    body.append("image", asked.blob, asked.name);
    try {
      const model = encodeURIComponent(answer.served_by.model);
      const found = await withKey(() => call(`/v1/models/${model}/explain?${query}`, { method: "POST", body }));
      await paintHeat(found.heatmap_png_b64);
      button.replaceWith(hide(), el("span", { class: "hint" }, `${found.method}, ${count(found.evaluations, "look")} at ${found.label}`));
    } catch (error) {
      if (error.status === 404 || error.status === 405) {
        canExplain = false;
        button.remove();
        toast("This server does not explain its answers.");
        return;
      }
      toastProblem(error, "Explaining");
      button.disabled = false;
      replace(button, "What made this label?");
    }
  });
  return button;
}

function feedback(answer, { details }, isClassifier) {
  const place = el("div", { class: "answer-tools" });
  const send = async (truth) => {
    try {
      const { counted } = await withKey(() => call("/v1/feedback", { method: "POST", body: { feedback_id: answer.feedback_id, ...truth } }));
      replace(place, badge(counted ? "Thank you: it is counted for this version" : "This answer was judged before", counted ? "ok" : "none"));
    } catch (error) {
      toastProblem(error, "Feedback");
    }
  };
  const wrong = () => {
    if (!isClassifier || !details.labels?.length) {
      send({ correct: false });
      return;
    }
    const select = el("select", { id: "truth" }, details.labels.map((label) => el("option", { value: label }, label)));
    replace(place, el("div", { class: "truth" },
      el("div", { class: "field" }, el("label", { for: "truth" }, "What is it?"), select),
      el("button", { class: "button", type: "button", onclick: () => send({ label: select.value }) }, "Send"),
      el("button", { class: "button quiet", type: "button", onclick: () => send({ correct: false }) }, "I cannot tell")));
    select.focus();
  };
  replace(place, el("span", { class: "hint" }, "Is it right?"),
    el("button", { class: "button small", type: "button", onclick: () => send({ correct: true }) }, "Yes"),
    el("button", { class: "button small", type: "button", onclick: wrong }, "No"));
  return place;
}

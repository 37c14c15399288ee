// A sheet of paper to draw on: black on white in every theme, because that is what is sent.

import { byId, el } from "./dom.js";
import { DIGITS, drawDigit } from "./try-samples.js";

const PEN = 17;

/** `onDrawn(blob | null)` is called with a PNG a moment after each stroke, with null when the paper is empty. */
export function drawingArea(onDrawn) {
  const canvas = byId("drawing");
  const context = canvas.getContext("2d");
  const strokes = []; // each is a list of points, or a digit
  let current = null;
  let timer;

  const pen = () => {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(context, { strokeStyle: "#000", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  };
  const draw = () => {
    pen();
    for (const stroke of strokes) {
      if (typeof stroke === "number") drawDigit(context, stroke, canvas.width);
      else {
        context.beginPath();
        context.moveTo(...stroke[0]);
        for (const point of stroke) context.lineTo(...point);
        context.stroke();
      }
    }
  };
  const tell = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (strokes.length) canvas.toBlob((blob) => onDrawn(blob), "image/png");
      else onDrawn(null);
    }, 150);
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    current = [place(event)];
    strokes.push(current);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!current) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) current.push(place(each));
    draw();
  });
  const lift = () => {
    if (current) tell();
    current = null;
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);

  const change = (act) => () => {
    act();
    draw();
    tell();
  };
  byId("clear").addEventListener("click", change(() => strokes.splice(0)));
  byId("undo").addEventListener("click", change(() => strokes.pop()));
  byId("digits").append(...DIGITS.map((_, digit) =>
    el("button", {
      class: "button small", type: "button", "aria-label": `Draw a ${digit}`,
      onclick: change(() => strokes.splice(0, strokes.length, digit)),
    }, digit)));
  pen();
  return { again: () => strokes.length && tell() };
}

// The picture as it is shown, and what lies over it: boxes, masks, and the part that made a label.

import { byId } from "./dom.js";

const MOST = 1400; // pixels along a side: more than any screen shows here
const SMALL = 160; // pictures below are shown larger, with their pixels seen

const picture = byId("picture");
const overlay = byId("overlay");
const tools = byId("overlay-tools");
let repaint = null;

/** A colour for a class, far from its neighbours' (the golden angle); `alpha` from 0 to 1. */
export function classColour(index, alpha = 1) {
  return `hsl(${(index * 137.5 + 212) % 360} 72% 48% / ${alpha})`;
}

/** Shows a picture file; false where this browser cannot show its kind (the server may still read it). */
export async function showPicture(blob, label) {
  clearOverlay();
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    return false;
  }
  const scale = Math.min(1, MOST / Math.max(bitmap.width, bitmap.height));
  const isSmall = Math.max(bitmap.width, bitmap.height) < SMALL;
  for (const canvas of [picture, overlay]) {
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.classList.toggle("pixelated", isSmall);
  }
  picture.getContext("2d").drawImage(bitmap, 0, 0, picture.width, picture.height);
  picture.setAttribute("aria-label", label);
  bitmap.close();
  return true;
}

export function clearOverlay() {
  repaint = null;
  overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
  tools.hidden = true;
}

/** Puts `paint(context, opacity)` over the picture, with a slider for its opacity called `label`. */
export function setOverlay(label, paint, opacity = 60) {
  const slider = byId("opacity");
  byId("opacity-label").textContent = label;
  slider.value = String(opacity);
  repaint = () => {
    const context = overlay.getContext("2d");
    context.clearRect(0, 0, overlay.width, overlay.height);
    paint(context, Number(slider.value) / 100);
  };
  tools.hidden = false;
  repaint();
}

byId("opacity").addEventListener("input", () => repaint?.());

/** Boxes `[x0, y0, x1, y1]` in pixels of a source that is `width` wide. */
export function paintBoxes(predictions, width) {
  setOverlay("Boxes", (context, opacity) => {
    const scale = overlay.width / width;
    const line = Math.max(2, overlay.width / 300);
    const size = Math.max(12, Math.round(overlay.width / 42));
    Object.assign(context, { lineWidth: line, font: `600 ${size}px system-ui, sans-serif`, globalAlpha: opacity });
    for (const { box, label, index, score } of predictions) {
      const [x0, y0, x1, y1] = box.map((value) => value * scale);
      const text = `${label} ${Math.round(score * 100)} %`;
      const textWidth = context.measureText(text).width + size * 0.8;
      const top = y0 > size * 1.5 ? y0 - size * 1.5 : y0;
      context.strokeStyle = context.fillStyle = classColour(index);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      context.fillRect(x0 - line / 2, top, textWidth, size * 1.5);
      context.fillStyle = "#fff";
      context.fillText(text, x0 + size * 0.4, top + size * 1.1);
    }
  }, 100);
}

/** The values of a grey PNG, as base64. */
async function greyPixels(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { canvas, context, pixels: context.getImageData(0, 0, bitmap.width, bitmap.height) };
}

/** Colours each pixel's grey value by `colour(value)` -> [red, green, blue, alpha], and lays that over the picture. */
async function paintGrey(base64, label, colour, opacity, smooth) {
  const { canvas, context, pixels } = await greyPixels(base64);
  const table = Array.from({ length: 256 }, (_, value) => colour(value));
  for (let at = 0; at < pixels.data.length; at += 4) pixels.data.set(table[pixels.data[at]], at);
  context.putImageData(pixels, 0, 0);
  setOverlay(label, (target, alpha) => {
    target.globalAlpha = alpha;
    target.imageSmoothingEnabled = smooth;
    target.drawImage(canvas, 0, 0, overlay.width, overlay.height);
    target.globalAlpha = 1;
  }, opacity);
}

function rgbOf(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
}

/** A mask whose grey values are class indices; 255 is no class. */
export function paintMask(base64) {
  return paintGrey(base64, "Mask", (value) => (value === 255 ? [0, 0, 0, 0] : rgbOf(classColour(value))), 55, false);
}

/** Where a label came from: white hot is much, nothing is nothing. */
export function paintHeat(base64) {
  const heat = (value) => {
    const share = value / 255;
    return [Math.min(255, 90 + 330 * share), Math.max(0, 400 * (share - 0.42)), Math.max(0, 130 - 260 * share + 380 * Math.max(0, share - 0.75)), Math.round(255 * Math.min(1, share * 1.6))];
  };
  return paintGrey(base64, "What made this label: more heat, more weight", heat, 70, true);
}

// Try it: a picture goes in, an answer comes out.

import { call, key, upload } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { bytes } from "./format.js";
import { copyable, emptyState, failedState, mount, toast, withKey } from "./shell.js";
import { showAnswer, showNothing, showProblem } from "./try-answer.js";
import { cameraArea } from "./try-camera.js";
import { drawingArea } from "./try-drawing.js";
import { SCENES, sceneFile } from "./try-samples.js";
import { showPicture } from "./try-stage.js";

mount("try");

const [modelSelect, versionSelect, armSelect] = [byId("model"), byId("version"), byId("arm")];
const state = { details: null, blob: null, name: "", asking: null };
const curl = copyable("", "curl");
const cli = copyable("", "grayscale");
replace(byId("commands"), curl, cli);

// ---- who answers

async function showModels() {
  try {
    const { models } = await call("/v1/models");
    replace(byId("trouble"));
    const names = models.filter((model) => model.versions.some((version) => version.state === "READY") || model.default).map((model) => model.name);
    const wanted = modelSelect.value || decodeURIComponent(location.hash.slice(1));
    replace(modelSelect, names.map((name) => el("option", { value: name }, name)));
    if (names.includes(wanted)) modelSelect.value = wanted;
    if (!names.length) {
      replace(byId("trouble"), emptyState({ title: "No model is loaded", body: "Put one into the model repository, or load one on the Models page.", command: "grayscale models ls" }));
      showNothing("");
      return;
    }
    await showDetails();
  } catch (error) {
    replace(byId("trouble"), failedState(error, showModels));
  }
}

async function showDetails() {
  const name = modelSelect.value;
  const details = await call(`/v1/models/${encodeURIComponent(name)}`);
  if (name !== modelSelect.value) return;
  state.details = details;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  const ready = details.versions.filter((version) => version.state === "READY");
  const usual = details.release ? "By the release" : details.default ? `Default (${details.default.version})` : "Newest";
  replace(versionSelect, el("option", { value: "" }, usual), ready.map(({ version }) => el("option", { value: version }, `Version ${version}`)));
  const arms = details.release?.arms ?? [];
  byId("arm-field").hidden = !arms.length;
  replace(armSelect, el("option", { value: "" }, "By chance"), arms.map(({ arm, weight }) => el("option", { value: arm }, `${arm} (${weight} %)`)));
  showCommands();
  if (state.blob) ask();
  else showNothing(name);
}

function query() {
  const parameters = new URLSearchParams({ top_k: "5" });
  if (versionSelect.value) parameters.set("version", versionSelect.value);
  return parameters.toString();
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function showCommands() {
  const model = encodeURIComponent(modelSelect.value);
  const file = state.name || "picture.jpg";
  const headers = [
    key.get() && `-H "Authorization: Bearer $GRAYSCALE_KEY"`,
    armSelect.value && `-H ${quoted(`X-Release-Arm: ${armSelect.value}`)}`,
  ].filter(Boolean);
  curl.set(["curl", ...headers, `-F ${quoted(`image=@${file}`)}`, quoted(`${location.origin}/api/v1/models/${model}/predict?${query()}`)].join(" "));
  cli.set(["grayscale predict", quoted(file), `--model ${modelSelect.value}`, versionSelect.value && `--version ${versionSelect.value}`].filter(Boolean).join(" "));
}

// ---- asking

async function ask() {
  const { blob, name, details } = state;
  if (!blob || !details) return;
  state.asking?.abort();
  const asking = (state.asking = new AbortController());
  const send = () => {
    const body = new FormData();
    body.append("image", blob, name);
    const headers = armSelect.value ? { "X-Release-Arm": armSelect.value } : {};
    return upload(`/v1/models/${encodeURIComponent(details.name)}/predict?${query()}`, { body, headers, signal: asking.signal, onProgress: showSent(blob.size) });
  };
  byId("answer").setAttribute("aria-busy", "true");
  const slow = setTimeout(() => { byId("progress").hidden = false; }, 300);
  try {
    const { data } = await withKey(send);
    if (state.asking === asking) showAnswer(data, { blob, name, details });
  } catch (error) {
    if (error.name !== "AbortError" && state.asking === asking) showProblem(error, ask);
  } finally {
    clearTimeout(slow);
    if (state.asking === asking) {
      byId("progress").hidden = true;
      byId("answer").removeAttribute("aria-busy");
    }
  }
}

const showSent = (size) => (share) => {
  byId("progress-bar").style.setProperty("width", `${100 * share}%`);
  byId("progress-text").textContent = share < 1 ? `Sending ${bytes(size)}…` : "Waiting for the answer…";
};

// ---- where the picture comes from

async function takePicture(blob, name) {
  Object.assign(state, { blob, name });
  showCommands();
  byId("picture-name").textContent = `${name}, ${bytes(blob.size)}`;
  byId("choose").hidden = false;
  const visible = await showPicture(blob, `The picture ${name}`);
  byId("shown").hidden = !visible;
  byId("drop").hidden = visible;
  if (!visible) byId("picture-name").textContent += " (this browser cannot show it; the server may still read it)";
  await ask();
}

function takeFile(files) {
  const [file] = files;
  if (!file) return;
  if (files.length > 1) toast("The first of these pictures is taken; the Jobs page takes many.");
  choose("file");
  takePicture(file, file.name || "pasted.png");
}

function choose(way) {
  const radio = document.querySelector(`input[name="way"][value="${way}"]`);
  if (!radio.checked) {
    radio.checked = true;
    showWay(way);
  }
}

const drawing = drawingArea(async (blob) => {
  if (!blob) {
    state.asking?.abort();
    Object.assign(state, { blob: null, name: "" });
    showNothing(state.details?.name);
    return;
  }
  Object.assign(state, { blob, name: "drawing.png" });
  showCommands();
  await showPicture(blob, "Your drawing");
  await ask();
});
const camera = cameraArea((blob) => {
  choose("file");
  takePicture(blob, "camera.jpg");
});

function showWay(way) {
  if (way !== "camera") camera.stop();
  byId("paper").hidden = way !== "draw";
  byId(way === "draw" ? "paper" : "shown").append(byId("overlay"));
  byId("camera").hidden = way !== "camera";
  const hasPicture = way === "file" && state.blob && state.name !== "drawing.png";
  byId("shown").hidden = !hasPicture;
  byId("drop").hidden = way !== "file" || hasPicture;
  byId("overlay-tools").hidden = true;
  for (const row of document.querySelectorAll("[data-way]")) row.hidden = row.dataset.way !== way;
  if (way === "draw") drawing.again();
}

function listen() {
  const [file, stage] = [byId("file"), byId("stage")];
  document.querySelectorAll('input[name="way"]').forEach((radio) => radio.addEventListener("change", () => showWay(radio.value)));
  file.addEventListener("change", () => {
    takeFile(file.files);
    file.value = "";
  });
  byId("choose").addEventListener("click", () => file.click());
  window.addEventListener("dragover", (event) => { event.preventDefault(); stage.dataset.over = ""; });
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) delete stage.dataset.over; });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    delete stage.dataset.over;
    takeFile(event.dataTransfer.files);
  });
  window.addEventListener("paste", (event) => takeFile(event.clipboardData.files));
  byId("scenes").append(...SCENES.map(([name, draw]) =>
    el("button", { class: "button small", type: "button", onclick: async () => takeFile([await sceneFile(name, draw)]) }, name)));
  modelSelect.addEventListener("change", () => showDetails().catch((error) => showProblem(error, showDetails)));
  for (const select of [versionSelect, armSelect]) {
    select.addEventListener("change", () => {
      showCommands();
      ask();
    });
  }
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("grayscale:key", showCommands);
}

listen();
showNothing("a model");
showModels();

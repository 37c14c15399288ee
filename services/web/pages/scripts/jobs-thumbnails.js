// Small pictures of the files that this page sent. They never come back from the server, so they last as long as the page.

import { el } from "./dom.js";

const SIDE = 96; // twice what is shown, for fine screens
const AT_ONCE = 2;

const filesOf = new Map();
const waiting = [];
let running = 0;

/** Keeps the files of a job, in the order of its images. */
export function rememberFiles(jobId, files) {
  filesOf.set(jobId, files);
}

/** The path that a picture of a job had here, or "". */
export function localPath(jobId, index) {
  return filesOf.get(jobId)?.[index]?.path ?? "";
}

/** A tile with the picture as soon as it is drawn; with the kind of the file where the picture is not here. */
export function thumbnail(jobId, row) {
  const file = filesOf.get(jobId)?.[row.index]?.file;
  const kind = row.name.includes(".") ? row.name.slice(row.name.lastIndexOf(".") + 1).slice(0, 4) : "";
  const tile = el("span", { class: "thumb", "aria-hidden": "true" }, kind || "·");
  if (file) {
    waiting.push({ tile, file });
    setTimeout(next); // by then it has its place
  }
  return tile;
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    const { tile, file } = waiting.pop(); // the newest first: they are what is looked at
    if (!tile.isConnected) continue;
    running += 1;
    draw(tile, file).finally(() => {
      running -= 1;
      next();
    });
  }
}

async function draw(tile, file) {
  let picture;
  try {
    picture = await createImageBitmap(file, { resizeWidth: SIDE, resizeQuality: "medium" });
  } catch {
    return; // a file that is broken, or of a kind that this browser does not show: the tile says what it is
  }
  const canvas = el("canvas", { width: SIDE, height: SIDE });
  const scale = Math.max(SIDE / picture.width, SIDE / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  canvas.getContext("2d").drawImage(picture, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  picture.close();
  tile.replaceChildren(canvas);
  tile.classList.add("thumb-drawn");
}

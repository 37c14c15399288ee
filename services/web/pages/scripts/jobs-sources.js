// What was dropped or chosen: pictures, zip archives, and what is left out with the reason.

// Of the kinds that the server reads, as cameras, browsers and Windows call them; the command line has the same list.
const PICTURES = new Set("jpg jpeg jpe jfif png webp gif bmp dib tif tiff avif".split(" "));
const ARCHIVE = "zip";
const MEDIA_TYPES = new Set(["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif"].map((kind) => `image/${kind}`));

/**
 * The files of a drop as `{file, path}`, folders with all that is in them. What is dropped has to be asked for before
 * the first `await`: the browser empties the list afterwards.
 */
export async function droppedFiles(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const dropped = items.map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  const found = [];
  for (const { entry, file } of dropped) {
    if (entry) {
      await walk(entry, found);
    } else if (file) {
      found.push({ file, path: file.name });
    }
  }
  return found;
}

/** The files of an `<input type="file">`, which may be one for a folder. */
export function chosenFiles(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

async function walk(entry, found) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
    found.push({ file, path });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // At most a hundred come at a time, and none when there are no more.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const below of some) {
      await walk(below, found);
    }
  }
}

/** Why a file is not sent, or "" for one that is. */
export function reasonToSkip({ file, path }, limits) {
  if (file === null) return "cannot be read";
  if (path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX")) return "is hidden";
  if (!isArchive(path) && !isPicture(file, path)) return "is no picture that the server reads";
  const most = isArchive(path) ? limits.max_bytes : limits.max_image_bytes;
  return file.size > most ? "is larger than the server takes" : "";
}

/** A selection with more files in it: `{images, archives, skipped}`, each file once, the pictures by their path. */
export function withFiles(selection, found, limits) {
  const known = new Set([...selection.images, ...selection.archives].map(identity));
  const next = { images: [...selection.images], archives: [...selection.archives], skipped: [...selection.skipped] };
  for (const each of found) {
    const why = reasonToSkip(each, limits);
    if (why) {
      next.skipped.push({ path: each.path, why });
    } else if (!known.has(identity(each))) {
      known.add(identity(each));
      (isArchive(each.path) ? next.archives : next.images).push(each);
    }
  }
  const order = new Intl.Collator(undefined, { numeric: true });
  next.images.sort((one, other) => order.compare(one.path, other.path));
  return next;
}

// What a server takes that was not asked to take more or less.
export const USUAL_LIMITS = Object.freeze({ max_images: 1000, max_bytes: 2 ** 30, max_image_bytes: 2 ** 26 });

export const NOTHING = Object.freeze({ images: [], archives: [], skipped: [] });

/** As few jobs as hold the pictures, in order, and one for each archive: a list of `{files, isArchive, bytes}`. */
export function parcelsOf(selection, limits) {
  const parcels = [];
  let parcel = null;
  for (const image of selection.images) {
    if (parcel === null || isFull(parcel, image, limits)) {
      parcel = { files: [], isArchive: false, bytes: 0 };
      parcels.push(parcel);
    }
    parcel.files.push(image);
    parcel.bytes += image.file.size;
  }
  const alone = selection.archives.map((archive) => ({ files: [archive], isArchive: true, bytes: archive.file.size }));
  return [...parcels, ...alone];
}

/** The reasons for which files were left out, each with how many they are and the first of them. */
export function skippedByReason(skipped) {
  const byReason = new Map();
  for (const { path, why } of skipped) {
    const paths = byReason.get(why) ?? [];
    paths.push(path);
    byReason.set(why, paths);
  }
  return [...byReason].map(([why, paths]) => ({ why, paths }));
}

// A form has up to about so much beside each image, and all of it counts.
const HEAD_BYTES = 512;

function isFull(parcel, image, limits) {
  const count = parcel.files.length + 1;
  return count > limits.max_images || parcel.bytes + image.file.size + HEAD_BYTES * count > limits.max_bytes;
}

function identity({ file, path }) {
  return `${path}\0${file.size}\0${file.lastModified}`;
}

function extension(path) {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return name.includes(".") ? name.slice(name.lastIndexOf(".") + 1).toLowerCase() : "";
}

function isArchive(path) {
  return extension(path) === ARCHIVE;
}

function isPicture(file, path) {
  return PICTURES.has(extension(path)) || (extension(path) === "" && MEDIA_TYPES.has(file.type));
}

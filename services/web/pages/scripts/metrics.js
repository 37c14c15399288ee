// Prometheus' text format, read in the browser, and what can be told from two readings.

const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const unescape = (text) => text.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));

/** The samples of a text by name: each is {labels, value}. Buckets have their names with `_bucket`, and so on. */
export function parseMetrics(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    if (!line || line.startsWith("#")) continue;
    const blank = line.lastIndexOf(" ");
    const brace = line.indexOf("{");
    const name = line.slice(0, brace < 0 ? blank : brace);
    const labels = {};
    if (brace >= 0) for (const [, label, value] of line.slice(brace, blank).matchAll(LABEL)) labels[label] = unescape(value);
    if (!families.has(name)) families.set(name, []);
    families.get(name).push({ labels, value: Number(line.slice(blank + 1)) });
  }
  return families;
}

/** The sum of a metric's samples that `wanted(labels)` takes; null where there is none. */
export function total(families, name, wanted = () => true) {
  const found = (families.get(name) ?? []).filter(({ labels }) => wanted(labels));
  return found.length ? found.reduce((sum, { value }) => sum + value, 0) : null;
}

/** How much a counter rose between two readings; a restart counts from zero. */
export function rise(before, now, name, wanted) {
  const [old, fresh] = [total(before, name, wanted) ?? 0, total(now, name, wanted) ?? 0];
  return fresh >= old ? fresh - old : fresh;
}

/** The cumulative buckets of a histogram, added up over what `wanted` takes: [[bound, count], …], ascending. */
export function buckets(families, name, wanted = () => true) {
  const sums = new Map();
  for (const { labels, value } of families.get(`${name}_bucket`) ?? []) {
    if (!wanted(labels)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) ?? 0) + value);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

/** A quantile of what came between two readings of a histogram, interpolated within its bucket; null for nothing. */
export function quantile(before, now, share) {
  const old = new Map(before);
  const risen = now.map(([bound, value]) => [bound, Math.max(0, value - (old.get(bound) ?? 0))]);
  const all = risen.at(-1)?.[1] ?? 0;
  if (!all) return null;
  const rank = share * all;
  let [low, below] = [0, 0];
  for (const [bound, value] of risen) {
    if (value >= rank) {
      if (bound === Infinity) return low;
      return low + ((bound - low) * (rank - below)) / (value - below || 1);
    }
    [low, below] = [bound, value];
  }
  return low;
}

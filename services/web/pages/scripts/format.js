// Numbers, sizes and times as people read them.

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1234.5 -> "1,234.5"; from 100,000 on "123.5K". Nothing known -> "–". */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Math.abs(value) >= 100_000 ? compact.format(value) : plain.format(value);
}

/** A share of 1: 0.1234 -> "12.3 %"; what is not zero never reads as zero, what is not all never as all. */
export function percent(share, digits = 1) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const least = 10 ** -digits;
  const shown = share * 100;
  if (shown > 0 && shown < least / 2) return `< ${least} %`;
  if (shown < 100 && shown > 100 - least / 2) return `> ${(100 - least).toFixed(digits)} %`;
  return `${Number(shown.toFixed(digits))} %`;
}

/** Milliseconds: "0.42 ms", "13 ms", "1.2 s", "3 min". */
export function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value >= 120_000) return `${Math.round(value / 60_000)} min`;
  if (value >= 1000) return `${Number((value / 1000).toFixed(value >= 10_000 ? 0 : 1))} s`;
  return `${Number(value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2))} ms`;
}

/** 1536 -> "1.5 KiB". */
export function bytes(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${Number(rest.toFixed(unit && rest < 100 ? 1 : 0))} ${units[unit]}`;
}

/** Seconds as a length of time: "8 s", "3 min 20 s", "2 h 5 min", "4 d 3 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor((whole % 86_400) / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/** Seconds since the epoch, an ISO text or a Date, as a Date. */
export function toDate(time) {
  if (time instanceof Date) return time;
  return new Date(typeof time === "number" ? time * 1000 : time);
}

/** How long ago: "just now", "12 s ago", "5 min ago", "3 h ago", "2 d ago"; for the future "in 5 min". */
export function timeAgo(time, now = Date.now()) {
  const seconds = (now - toDate(time).getTime()) / 1000;
  const length = Math.abs(seconds);
  if (Number.isNaN(length)) return "–";
  if (length < 2) return "just now";
  const text = duration(length).split(" ").slice(0, 2).join(" ");
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

/** The time of day, and the day where it is another: "14:03:09", "21 Nov, 14:03". */
export function clockTime(time) {
  const date = toDate(time);
  const sameDay = date.toDateString() === new Date().toDateString();
  const options = sameDay
    ? { hour: "2-digit", minute: "2-digit", second: "2-digit" }
    : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat("en-GB", options).format(date);
}

/** "1 picture", "3 pictures". */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

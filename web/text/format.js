/**
 * Values, times and counts as text. Pure functions.
 */

/** Characters of a value in a row. */
const PREVIEW_CHARS = 140;
/** Characters of a value in the view of one entry. A browser needs seconds to lay out more. */
export const MAX_PRETTY_CHARS = 200_000;

/**
 * Return the beginning of a value as JSON on one line. Only the part that is shown is read, however large the value is.
 * @param {*} value
 * @returns {string}
 */
export function preview(value, limit = PREVIEW_CHARS) {
  const parts = [];
  let room = limit;
  const put = (text) => {
    parts.push(text.slice(0, Math.max(0, room)));
    room -= text.length;
  };
  const walk = (part) => {
    if (typeof part === "string") put(JSON.stringify(part.slice(0, room)));
    else if (part === null || typeof part !== "object") put(String(part));
    else if (Array.isArray(part)) walkList(part);
    else walkObject(part);
  };
  const walkList = (list) => {
    put("[");
    for (let i = 0; i < list.length && room > 0; i++) {
      if (i > 0) put(", ");
      walk(list[i]);
    }
    put("]");
  };
  const walkObject = (object) => {
    put("{");
    let first = true;
    for (const key in object) {
      if (room <= 0) break;
      if (!first) put(", ");
      first = false;
      walk(key);
      put(": ");
      walk(object[key]);
    }
    put("}");
  };
  if (value === undefined) return "";
  walk(value);
  return room < 0 ? `${parts.join("").trimEnd()}…` : parts.join("");
}

/** Return a value as JSON over several lines, cut if it is too long. */
export function pretty(value, limit = MAX_PRETTY_CHARS) {
  return cutText(JSON.stringify(value, plainBigInt, 2) ?? "", limit);
}

/** Return a text, or its beginning and a note if it is too long. */
export function cutText(text, limit = MAX_PRETTY_CHARS) {
  if (text.length <= limit) return text;
  return `${text.slice(0, limit)}\n… and ${formatCount(text.length - limit)} more characters`;
}

/** Write a BigInt as an integer. Without JSON.rawJSON it is written in quotes, which keeps all its digits. */
function plainBigInt(_key, value) {
  return typeof value === "bigint" ? (JSON.rawJSON?.(String(value)) ?? String(value)) : value;
}

/** Return an integer with commas: 9412 -> "9,412". */
export function formatCount(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/**
 * Return the last digits of a revision: a hub without a journal counts from the time in microseconds, which is too long
 * for a row.
 */
export function shortRev(rev) {
  return rev < 1e9 ? formatCount(rev) : `…${formatCount(rev).slice(-7)}`;
}

/** Return a count with its noun: "1 event", "12 events". */
export function plural(number, singular, more = `${singular}s`) {
  return `${formatCount(number)} ${number === 1 ? singular : more}`;
}

/**
 * Return the time to a deadline. Seconds are rounded up, so that no entry shows "0 s" before it is "due".
 * @param {number} seconds
 */
export function remaining(seconds) {
  if (seconds <= 0) return "due";
  if (seconds <= 9.9) return `${(Math.ceil(seconds * 10) / 10).toFixed(1)} s`;
  return duration(Math.ceil(seconds));
}

/** Return a duration in the past, rounded down: "12 s", "5 min 3 s", "3 h 20 min", "4 d 2 h". */
export function elapsed(seconds) {
  return duration(Math.floor(seconds));
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 600) return twoUnits(seconds, 60, "min", 1, "s");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return twoUnits(seconds, 3600, "h", 60, "min");
  return twoUnits(seconds, 86400, "d", 3600, "h");
}

function twoUnits(seconds, large, largeUnit, small, smallUnit) {
  const rest = Math.floor((seconds % large) / small);
  return `${formatCount(Math.floor(seconds / large))} ${largeUnit}${rest === 0 ? "" : ` ${rest} ${smallUnit}`}`;
}

/** Return a short duration, given in seconds: "0.4 ms", "12 ms", "1.5 s". */
export function shortDuration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  const ms = seconds * 1000;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

const twoDigits = (number) => String(number).padStart(2, "0");

/** Return the local time of day of an instant (Unix seconds): "12:03:22.417". */
export function timeOfDay(at) {
  const date = new Date(at * 1000);
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}.${ms}`;
}

/** Return the local date and time of an instant (Unix seconds): "2026-11-21 12:03:22". */
export function dateTime(at) {
  const date = new Date(at * 1000);
  const day = `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;
  return `${day} ${timeOfDay(at).slice(0, 8)}`;
}

/** Return a number of bytes: "812 B", "4.2 kB", "118 MB". */
export function formatBytes(number) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (number >= size) return `${number / size < 10 ? (number / size).toFixed(1) : Math.round(number / size)} ${unit}`;
  }
  return `${number} B`;
}

/** Return a rate per second: "0.4", "12", "1,020". */
export function formatRate(number) {
  return number > 0 && number < 9.95 ? number.toFixed(1) : formatCount(number);
}

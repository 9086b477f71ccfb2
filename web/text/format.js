/**
 * How values, times and counts read. Pure: what is wanted comes in, text goes out.
 */

/** Characters of a value that a row shows. */
const PREVIEW = 140;
/** Characters of a value that the view of one entry shows: beyond it a browser takes seconds to lay it out. */
export const MAX_PRETTY_CHARS = 200_000;

/**
 * The beginning of a value as JSON on one line. Looks at no more of it than it shows, however large it is.
 * @param {*} value
 * @returns {string}
 */
export function preview(value, limit = PREVIEW) {
  const parts = [];
  let room = limit;
  const put = (text) => {
    parts.push(text.slice(0, Math.max(0, room)));
    room -= text.length;
  };
  const walk = (it) => {
    if (typeof it === "string") put(JSON.stringify(it.slice(0, room)));
    else if (it === null || typeof it !== "object") put(String(it));
    else if (Array.isArray(it)) walkList(it);
    else walkObject(it);
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

/** A whole value over several lines; says so where it is cut. */
export function pretty(value, limit = MAX_PRETTY_CHARS) {
  const text = JSON.stringify(value, plainBigInt, 2) ?? "";
  return text.length <= limit ? text : `${text.slice(0, limit)}\n… and ${formatCount(text.length - limit)} more characters`;
}

/** An integer too large for a number is one all the same; without rawJSON it is shown in quotes, but exactly. */
function plainBigInt(_key, value) {
  return typeof value === "bigint" ? (JSON.rawJSON?.(String(value)) ?? String(value)) : value;
}

/** 9412 -> "9,412". */
export function formatCount(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** The end of a revision, where there is no room: a hub without a journal counts from the time in microseconds. */
export function shortRev(rev) {
  return rev < 1e9 ? formatCount(rev) : `…${formatCount(rev).slice(-7)}`;
}

/** "1 event", "12 events". */
export function plural(number, one, more = `${one}s`) {
  return `${formatCount(number)} ${number === 1 ? one : more}`;
}

/**
 * How long it is to a deadline, in whole units, seconds rounded up: nothing reads "0 s" before it is "due".
 * @param {number} seconds
 */
export function remaining(seconds) {
  if (seconds <= 0) return "due";
  if (seconds <= 9.9) return `${(Math.ceil(seconds * 10) / 10).toFixed(1)} s`;
  return span(Math.ceil(seconds));
}

/** How long something has been so: "12 s", "5 min 3 s", "3 h 20 min", "4 d 2 h". */
export function elapsed(seconds) {
  return span(Math.floor(seconds));
}

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 600) return pair(seconds, 60, "min", 1, "s");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return pair(seconds, 3600, "h", 60, "min");
  return pair(seconds, 86400, "d", 3600, "h");
}

function pair(seconds, large, largeUnit, small, smallUnit) {
  const rest = Math.floor((seconds % large) / small);
  return `${formatCount(Math.floor(seconds / large))} ${largeUnit}${rest === 0 ? "" : ` ${rest} ${smallUnit}`}`;
}

/** Milliseconds, in the unit that fits: "0.4 ms", "12 ms", "1.5 s". */
export function shortDuration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  const ms = seconds * 1000;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** The time of day of an instant, here: "12:03:22.417". */
export function timeOfDay(at) {
  const date = new Date(at * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** An instant in full, here: "2026-11-21 12:03:22". */
export function dateTime(at) {
  const date = new Date(at * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${timeOfDay(at).slice(0, 8)}`;
}

/** Bytes, in the unit that fits: "812 B", "4.2 kB", "118 MB". */
export function formatBytes(number) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (number >= size) return `${number / size < 10 ? (number / size).toFixed(1) : Math.round(number / size)} ${unit}`;
  }
  return `${number} B`;
}

/** So many in a second: "0.4", "12", "1,020". */
export function formatRate(number) {
  return number > 0 && number < 9.95 ? number.toFixed(1) : formatCount(number);
}

/**
 * The type of a value, and how to show it.
 *
 * Rules:
 *
 * 1. The type is the JSON type. Text is shown as it is. If a text itself contains JSON, as agents sometimes write it,
 *    it can be opened like an object, and its type says that it is text.
 * 2. Next to the type stands a fact that helps to read the value: a length, a count, or the date that a number may
 *    mean. The date is a guess, and its wording says so.
 */

import { dateTime, formatCount, plural, pretty } from "./format.js";

/**
 * Numbers that may be an instant: Unix seconds or milliseconds from 2001 to 2065. Each: units per second, lowest,
 * highest.
 */
const INSTANT_RANGES = [[1, 1e9, 3e9], [1000, 1e12, 3e12]];
/** The longest text that is parsed as JSON. */
const MAX_INNER_JSON_CHARS = 1_000_000;

/**
 * Return the type of a value and how to show it.
 * @param {*} value
 * @returns {{type: string, about: string, tree: *, text: string|null}} `tree` is the object or list to open part by
 *   part (undefined if there is none), `text` is the text to show (null if the tree is shown)
 */
export function describeValue(value) {
  if (value === null) return plain("null", "", "null");
  if (typeof value === "boolean") return plain("boolean", "", String(value));
  if (typeof value === "number" || typeof value === "bigint") return plain("number", instantText(value), String(value));
  if (typeof value === "string") return describeText(value);
  if (Array.isArray(value)) return { type: "list", about: plural(value.length, "item"), tree: value, text: null };
  return { type: "object", about: plural(Object.keys(value).length, "field"), tree: value, text: null };
}

const plain = (type, about, text) => ({ type, about, tree: undefined, text });

function describeText(value) {
  const lines = value.split("\n").length;
  const about = `${plural([...value].length, "character")}${lines > 1 ? `, ${plural(lines, "line")}` : ""}`;
  const inner = innerJson(value);
  return { type: inner === undefined ? "text" : "text holding JSON", about, tree: inner, text: value };
}

/** Return the object or list that a text contains as JSON, undefined if there is none. */
function innerJson(value) {
  if (value.length > MAX_INNER_JSON_CHARS || !/^\s*[[{]/.test(value)) return undefined;
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}

function instantText(number) {
  const unit = INSTANT_RANGES.find(([, low, high]) => number >= low && number < high);
  return unit === undefined ? "" : `as an instant: ${dateTime(Number(number) / unit[0])}`;
}

/** Return the text of a value for a line diff: text as it is, other values as JSON. */
export function diffText(value) {
  return typeof value === "string" ? value : pretty(value);
}

/** Return the first parts of an object or list, `{name, value}`, and how many are left. */
export function parts(value, limit) {
  const names = Array.isArray(value) ? null : Object.keys(value);
  const length = names?.length ?? value.length;
  const shown = Array.from({ length: Math.min(limit, length) }, (_, i) => {
    const name = names === null ? i : names[i];
    return { name: String(name), value: value[name] };
  });
  return { shown, left: length - shown.length };
}

/** Return the text of an object or list that is closed. */
export function brackets(value) {
  return Array.isArray(value) ? `[ ${formatCount(value.length)} ]` : `{ ${formatCount(Object.keys(value).length)} }`;
}

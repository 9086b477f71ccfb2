/**
 * What a value is, and what to show of it, by its type.
 *
 * Laws:
 *
 * 1. The type is that of the JSON. Text is shown as it reads; if it is JSON itself, as an agent may well have written it,
 *    that can be opened too, and is said to be text.
 * 2. Beside it stands what helps to read it: how long, how many, which date a number may mean. That is a guess, and says so.
 * 3. `raw` is the value as JSON, whatever it is.
 */

import { dateTime, formatCount, plural, pretty } from "./format.js";

/** Numbers that are taken for an instant: Unix seconds or milliseconds from 2001 to 2065. */
const INSTANTS = [[1, 1e9, 3e9], [1000, 1e12, 3e12]];
/** The longest text that is tried as JSON. */
const INNER = 1_000_000;

/**
 * @param {*} value
 * @returns {{type: string, about: string, tree: *, text: string|null}} `tree` is what can be opened part by part
 *   (undefined if nothing), `text` what is shown as text (null if it is the tree)
 */
export function seen(value) {
  if (value === null) return plain("null", "", "null");
  if (typeof value === "boolean") return plain("boolean", "", String(value));
  if (typeof value === "number" || typeof value === "bigint") return plain("number", instant(value), String(value));
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return { type: "list", about: plural(value.length, "item"), tree: value, text: null };
  return { type: "object", about: plural(Object.keys(value).length, "field"), tree: value, text: null };
}

const plain = (type, about, said) => ({ type, about, tree: undefined, text: said });

function text(value) {
  const lines = value.split("\n").length;
  const long = `${plural([...value].length, "character")}${lines > 1 ? `, ${plural(lines, "line")}` : ""}`;
  const inner = within(value);
  return { type: inner === undefined ? "text" : "text holding JSON", about: long, tree: inner, text: value };
}

/** The object or list that a text holds as JSON, undefined if it holds none. */
function within(value) {
  if (value.length > INNER || !/^\s*[[{]/.test(value)) return undefined;
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}

function instant(number) {
  const unit = INSTANTS.find(([, low, high]) => number >= low && number < high);
  return unit === undefined ? "" : `as an instant: ${dateTime(Number(number) / unit[0])}`;
}

/** The lines of a value that are compared: of text itself, of all else the JSON. */
export function lines(value) {
  return typeof value === "string" ? value : pretty(value);
}

/** The parts of an object or list: `{name, value}`, and how many were left out beyond the limit. */
export function parts(value, limit) {
  const names = Array.isArray(value) ? null : Object.keys(value);
  const length = names?.length ?? value.length;
  const shown = Array.from({ length: Math.min(limit, length) }, (_, i) => {
    const name = names === null ? i : names[i];
    return { name: String(name), value: value[name] };
  });
  return { shown, left: length - shown.length };
}

/** What stands for an object or list that is closed. */
export function brackets(value) {
  return Array.isArray(value) ? `[ ${formatCount(value.length)} ]` : `{ ${formatCount(Object.keys(value).length)} }`;
}

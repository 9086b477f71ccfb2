/**
 * The commands that wait, as rows: each command, and below it what it waits for, met or not.
 *
 * A `lock` waits for the holders that block it, a `wait` for conditions, a `take` for an entry.
 *
 * @typedef {object} WaitRow
 * @property {string} id
 * @property {object} wait from the reply to `inspect`
 * @property {{text: string, met: boolean|null}|null} part null in the row of the command itself; `met` is null if the
 *   part is not a condition
 */

import { plural, preview, shortRev } from "../text/format.js";
import { targetText } from "./lock-targets.js";

/** Conditions of one wait that are shown. */
const MAX_CONDITIONS = 50;

/**
 * @param {object} inspection a reply to `inspect`
 * @param {{agent: string|null}} filter only commands of this agent, and commands that wait for it
 * @returns {WaitRow[]}
 */
export function waitRows({ waits }, { agent = null } = {}) {
  const rows = [];
  for (const wait of waits) {
    const holders = wait.blocked_by ?? [];
    if (agent !== null && wait.agent !== agent && !holders.some((holder) => holder.agent === agent)) continue;
    const id = waitIdOf(wait);
    rows.push({ id, wait, part: null });
    partsOf(wait).forEach((part, i) => rows.push({ id: `${id}/${i}`, wait, part }));
  }
  return rows;
}

/** Return the id of a waiting command: the command's number is unique only within its session. */
export const waitIdOf = ({ session, id }) => `${session} ${JSON.stringify(id)}`;

/** Return what a command waits for, in words. */
export function waitText(wait) {
  const { op, all, any } = wait;
  if (op === "lock") return `to lock ${targetText(wait)}${wait.mode === "shared" ? ", shared" : ""}`;
  if (op === "take") return `to take one of ${targetText(wait)}`;
  const { met = [] } = wait;
  const count = (all ?? any).length;
  if (count === 1) return `for ${conditionText((all ?? any)[0])}`;
  return all === undefined ? `for any of ${count}` : `for all of ${count}, ${met.length} met`;
}

function partsOf(wait) {
  if (wait.op === "lock") {
    return (wait.blocked_by ?? []).map((holder) => {
      const mode = holder.mode === "shared" ? ", shared" : "";
      return { text: `${holder.agent} holds ${targetText(holder)}${mode}`, met: null };
    });
  }
  if (wait.op === "take") return [];
  const conditions = wait.all ?? wait.any;
  const met = new Set(wait.met);
  const shown = conditions.slice(0, MAX_CONDITIONS);
  const parts = shown.map((condition, i) => ({ text: conditionText(condition), met: met.has(i) }));
  const left = conditions.length - shown.length;
  if (left > 0) parts.push({ text: `and ${left} more`, met: null });
  return parts;
}

/** Return a condition in words: "2 entries of result:* where /ok is true". */
export function conditionText({ key, pattern, count = 1, absent = false, unlocked = false, since, where }) {
  const place = key ?? pattern;
  const limits = limitText(since, where);
  if (absent) {
    const lockText = unlocked ? ", and nothing locked there" : "";
    return `${key === undefined ? "no entry of " : "no "}${place}${limits}${lockText}`;
  }
  if (unlocked) return `nothing locked at ${place}`;
  if (key !== undefined) return `${place}${limits}`;
  return `${plural(count, "entry", "entries")} of ${place}${limits}`;
}

/** Return a condition in words without its key or pattern: "2 entries, where /ok is true". */
export function partText({ key, count = 1, absent = false, unlocked = false, since, where }) {
  const limits = limitText(since, where).trim();
  if (unlocked) return "unlocked";
  const exists = limits === "" ? "exists" : "";
  const state = absent ? "absent" : key === undefined ? plural(count, "entry", "entries") : exists;
  return [state, limits].filter((text) => text !== "").join(", ");
}

function limitText(since, where) {
  const limits = [];
  if (since !== undefined && since !== null) limits.push(`written after revision ${shortRev(since)}`);
  if (where !== undefined && where !== null) limits.push(`where ${whereText(where)}`);
  return limits.length === 0 ? "" : ` ${limits.join(", ")}`;
}

const COMPARISONS = {
  eq: "is", ne: "is not", lt: "<", le: "≤", gt: ">", ge: "≥", in: "is one of", contains: "contains",
};

function whereText({ pointer = "", op = "eq", value }) {
  const part = pointer === "" ? "its value" : pointer;
  if (op === "exists") return `${part} is ${value === false ? "not there" : "there"}`;
  return `${part} ${COMPARISONS[op] ?? op} ${preview(value, 60)}`;
}

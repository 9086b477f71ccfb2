/**
 * The commands that wait, as rows: each command, and under it what it waits for, with what is met and what is not.
 *
 * A `lock` waits for whoever is in its way, a `wait` for conditions, a `take` for an entry.
 *
 * @typedef {object} WaitRow
 * @property {string} id
 * @property {object} wait as `inspect` tells of it
 * @property {{text: string, met: boolean|null}|null} part null in the row of the command itself; `met` is null where there is
 *   nothing to be met
 */

import { targetText } from "./lock-targets.js";
import { plural, preview, shortRev } from "../text/format.js";

/** Conditions of one wait that are shown; a hub allows more than anybody reads. */
const CONDITIONS = 50;

/**
 * @param {object} seen an answer to `inspect`
 * @param {{agent: string|null}} wanted only what this agent waits for, or what waits for it
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

/** Which command a wait is: a number within its session. */
export const waitIdOf = ({ session, id }) => `${session} ${JSON.stringify(id)}`;

/** What a command waits for, in words. */
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
  const parts = conditions.slice(0, CONDITIONS).map((condition, i) => ({ text: conditionText(condition), met: met.has(i) }));
  if (conditions.length > CONDITIONS) parts.push({ text: `and ${conditions.length - CONDITIONS} more`, met: null });
  return parts;
}

/** What a condition asks for: "2 entries of result:* where /ok is true". */
export function conditionText({ key, pattern, count = 1, absent = false, unlocked = false, since, where }) {
  const place = key ?? pattern;
  const which = whichText(since, where);
  if (absent) return `${key === undefined ? "no entry of " : "no "}${place}${which}${unlocked ? ", and nothing locked there" : ""}`;
  if (unlocked) return `nothing locked at ${place}`;
  if (key !== undefined) return `${place}${which}`;
  return `${plural(count, "entry", "entries")} of ${place}${which}`;
}

/** The same without the key or pattern it is about: "2 entries, where /ok is true". */
export function partText({ key, count = 1, absent = false, unlocked = false, since, where }) {
  const which = whichText(since, where).trim();
  if (unlocked) return "unlocked";
  const what = absent ? "gone" : key === undefined ? plural(count, "entry", "entries") : which === "" ? "there" : "";
  return [what, which].filter((text) => text !== "").join(", ");
}

function whichText(since, where) {
  const limits = [];
  if (since !== undefined && since !== null) limits.push(`written after revision ${shortRev(since)}`);
  if (where !== undefined && where !== null) limits.push(`where ${whereText(where)}`);
  return limits.length === 0 ? "" : ` ${limits.join(", ")}`;
}

const COMPARISONS = { eq: "is", ne: "is not", lt: "<", le: "≤", gt: ">", ge: "≥", in: "is one of", contains: "contains" };

function whereText({ pointer = "", op = "eq", value }) {
  const place = pointer === "" ? "its value" : pointer;
  if (op === "exists") return `${place} is ${value === false ? "not there" : "there"}`;
  return `${place} ${COMPARISONS[op] ?? op} ${preview(value, 60)}`;
}

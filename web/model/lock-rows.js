/**
 * The locks as rows: each that is held, in the order in which they were granted, and under it who waits for it, in the
 * order in which they asked.
 *
 * @typedef {object} LockRow
 * @property {string} id
 * @property {object} lock as `inspect` tells of it
 * @property {object|null} waiter null in the row of the lock itself
 * @property {number} place of the waiter in the queue, from 1
 * @property {number|null} until when the waiter gives up, null if never or not known
 */

import { targetsOf, targetText } from "./lock-targets.js";

/**
 * @param {object} seen an answer to `inspect`
 * @param {{agent: string|null, accepts: (text: string) => boolean}} wanted only what concerns this agent, and has a name,
 *   a holder or a waiter that is accepted
 * @returns {LockRow[]}
 */
export function lockRows({ locks, waits }, { agent = null, accepts = () => true } = {}) {
  const deadlines = new Map(waits.filter(({ op }) => op === "lock").map((wait) => [requestOf(wait), wait.until]));
  const rows = [];
  for (const lock of locks) {
    if (agent !== null && !agentsOf(lock).includes(agent)) continue;
    if (![...targetsOf(lock), ...agentsOf(lock)].some(accepts)) continue;
    rows.push({ id: String(lock.token), lock, waiter: null, place: 0, until: null });
    lock.queue.forEach((waiter, i) => {
      const until = deadlines.get(requestOf(waiter)) ?? null;
      rows.push({ id: `${lock.token}/${i + 1}`, lock, waiter, place: i + 1, until });
    });
  }
  return rows;
}

/** Who holds a lock, and who waits for it. */
const agentsOf = ({ agent, queue }) => [agent, ...queue.map((waiter) => waiter.agent)];

const requestOf = ({ session, since, names, patterns }) => JSON.stringify([session, since, names ?? patterns]);

/** What a waiter asks for beyond the lock it waits for, empty if nothing. */
export function alsoWanted(lock, waiter) {
  const held = new Set(targetsOf(lock));
  return targetText({ names: targetsOf(waiter).filter((text) => !held.has(text)) });
}

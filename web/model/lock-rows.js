/**
 * The locks as rows: each lock that is held, in the order of the grants, and below it its queue, in the order of the
 * requests.
 *
 * @typedef {object} LockRow
 * @property {string} id
 * @property {object} lock from the reply to `inspect`
 * @property {object|null} waiter a request in the lock's queue, null in the row of the lock itself
 * @property {number} place of the request in the queue, from 1
 * @property {number|null} until deadline of the request, null if it has none or it is not known
 */

import { targetsOf, targetText } from "./lock-targets.js";

/**
 * @param {object} inspection a reply to `inspect`
 * @param {{agent: string|null, accepts: (text: string) => boolean}} filter only locks that this agent holds or waits
 *   for, and whose name, holder or queue has an accepted text
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

/** Return the agents that hold a lock or wait for it. */
const agentsOf = ({ agent, queue }) => [agent, ...queue.map((waiter) => waiter.agent)];

/**
 * Return a text that tells one request of a session from another. The queue and the list of waits have no common id.
 */
const requestOf = ({ session, since, names, patterns }) => JSON.stringify([session, since, names ?? patterns]);

/** Return what a request asks for besides the lock it waits for, empty if nothing. */
export function alsoRequested(lock, waiter) {
  const held = new Set(targetsOf(lock));
  return targetText({ names: targetsOf(waiter).filter((text) => !held.has(text)) });
}

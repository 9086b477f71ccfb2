/**
 * What the hub says of itself when it is asked (`inspect`): who holds what, which commands wait, and for whom.
 *
 * Laws:
 *
 * 1. It is asked for each second while somebody looks at it, and seldom else. An event of a lock makes what is known old:
 *    then it is asked for at once, but not more often than the page can show it.
 * 2. An answer replaces the one before as a whole: locks and waits in view are of one revision.
 * 3. Not answered is said; what was known stays.
 */

/** Seconds between two questions: while somebody looks, and while nobody does; and how soon after an event of a lock. */
const PERIOD = { watched: 1, unwatched: 4 };
const SOON = { watched: 0.3, unwatched: 1 };

const NOTHING = { rev: 0, at: 0, sessions: [], locks: [], waits: [], cut: [] };

export const LOCK_TYPES = new Set(["lock", "renew", "unlock", "queue"]);

export class Inspection {
  /** The answer that was given last; `rev` is 0 before the first. */
  seen = NOTHING;
  /** Why the last question was not answered, null if it was. */
  wrong = null;
  /** Locks held and commands waiting, for each agent. */
  counts = new Map();
  #asking = false;
  #askedAt = -Infinity;
  #old = true;

  /** Something was heard that what is known does not tell. */
  outdated() {
    this.#old = true;
  }

  /** Whether to ask the hub now; then it counts as asked. */
  due(now, watched) {
    const [soon, period] = watched ? [SOON.watched, PERIOD.watched] : [SOON.unwatched, PERIOD.unwatched];
    if (this.#asking || Math.abs(now - this.#askedAt) < (this.#old ? soon : period)) return false;
    this.#asking = true;
    this.#askedAt = now;
    this.#old = false;
    return true;
  }

  answered(inspection) {
    this.#asking = false;
    this.wrong = null;
    this.seen = inspection;
    this.counts = countEach(inspection);
  }

  failed(message) {
    this.#asking = false;
    this.wrong = message;
  }

  /** How many locks an agent holds, and how many of its commands wait. */
  countOf(agent) {
    return this.counts.get(agent) ?? { locks: 0, waits: 0 };
  }

  /** The lock with this token, null if it is not held, as far as is known. */
  lock(token) {
    return this.seen.locks.find((lock) => lock.token === token) ?? null;
  }
}

function countEach({ locks, waits }) {
  const counts = new Map();
  const add = (agent, what) => {
    const known = counts.get(agent) ?? { locks: 0, waits: 0 };
    known[what] += 1;
    counts.set(agent, known);
  };
  for (const { agent } of locks) add(agent, "locks");
  for (const { agent } of waits) add(agent, "waits");
  return counts;
}

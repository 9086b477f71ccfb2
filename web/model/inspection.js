/**
 * The replies to `inspect`: all locks, their holders and queues, and all commands that wait.
 *
 * Rules:
 *
 * 1. The hub is asked once a second while locks or waits are shown, and less often otherwise. An event of a lock makes
 *    the last reply outdated: then the hub is asked soon, but not more often than the dashboard can show.
 * 2. A reply replaces the one before as a whole: the locks and waits shown are of one revision.
 * 3. An error is shown, and the last reply stays.
 */

/** Time between two `inspect` commands, while locks or waits are shown and while they are not. */
const PERIOD_S = { shown: 1, hidden: 4 };
/** The same while the last reply is outdated. */
const OUTDATED_PERIOD_S = { shown: 0.3, hidden: 1 };

const NOTHING = { rev: 0, at: 0, sessions: [], locks: [], waits: [], cut: [] };

export const LOCK_TYPES = new Set(["lock", "renew", "unlock", "queue"]);

export class Inspection {
  /** The last reply; `rev` is 0 before the first. */
  latest = NOTHING;
  /** The error that came instead of the last reply, null if there was none. */
  error = null;
  /** The number of locks held and of commands that wait, for each agent. */
  counts = new Map();
  #asking = false;
  #askedAt = -Infinity;
  #isOutdated = true;

  /** Note that something changed since the last reply. */
  markOutdated() {
    this.#isOutdated = true;
  }

  /** Return whether to ask the hub now. If so, note that it was asked. */
  beginIfDue(now, shown) {
    const period = (this.#isOutdated ? OUTDATED_PERIOD_S : PERIOD_S)[shown ? "shown" : "hidden"];
    // The absolute value: after the hub's clock was set back, `now` may be far before the last question.
    if (this.#asking || Math.abs(now - this.#askedAt) < period) return false;
    this.#asking = true;
    this.#askedAt = now;
    this.#isOutdated = false;
    return true;
  }

  onReply(ok) {
    this.#asking = false;
    this.error = null;
    this.latest = ok;
    this.counts = countByAgent(ok);
  }

  onError(message) {
    this.#asking = false;
    this.error = message;
  }

  /** Return how many locks an agent holds, and how many of its commands wait. */
  countOf(agent) {
    return this.counts.get(agent) ?? { locks: 0, waits: 0 };
  }

  /** Return the lock with this token, null if the last reply has none. */
  lock(token) {
    return this.latest.locks.find((lock) => lock.token === token) ?? null;
  }
}

function countByAgent({ locks, waits }) {
  const counts = new Map();
  const add = (agent, kind) => {
    const known = counts.get(agent) ?? { locks: 0, waits: 0 };
    known[kind] += 1;
    counts.set(agent, known);
  };
  for (const { agent } of locks) add(agent, "locks");
  for (const { agent } of waits) add(agent, "waits");
  return counts;
}

/**
 * A lock that somebody is about to take from its holder.
 *
 * Laws:
 *
 * 1. It is asked for, with a reason, and is meant for the token that was seen: if that is not held any more, nobody
 *    loses anything.
 * 2. A reason that the hub would not take is not sent.
 */

/** Characters that a reason may have. */
export const REASON = 1_000;

export class LockRelease {
  reason = "";
  busy = false;
  /** Why it was not released, null if nothing is wrong. */
  wrong = null;

  /** @param {object} lock as `inspect` told of it */
  constructor(lock) {
    this.lock = lock;
  }

  type(reason) {
    this.reason = reason;
    this.wrong = null;
  }

  /** The command that releases it, null if it is not to be sent; then the hub counts as being asked. */
  command() {
    if (this.busy) return null;
    const reason = this.reason.trim();
    if (reason === "") {
      this.wrong = "Say why: the holder is told.";
      return null;
    }
    Object.assign(this, { busy: true, wrong: null });
    return { op: "unlock", fields: { token: this.lock.token, force: true, reason } };
  }

  /** The hub did not release it. */
  refused(code, message) {
    this.busy = false;
    this.wrong = code === "not_holder" ? "It is not held any more: nothing was released." : message;
  }
}

/**
 * A forced release: the user is about to take a lock from its holder.
 *
 * Rules:
 *
 * 1. The release needs a reason, and names the token that the user saw. If that lock has ended meanwhile, no lock is
 *    released.
 * 2. A reason that the hub would refuse is not sent.
 */

/** The longest reason that the hub takes. */
export const MAX_REASON_CHARS = 1_000;

export class LockRelease {
  reason = "";
  busy = false;
  /** Why the lock was not released, null if there is no error. */
  error = null;

  /** @param {object} lock from the reply to `inspect` */
  constructor(lock) {
    this.lock = lock;
  }

  setReason(reason) {
    this.reason = reason;
    this.error = null;
  }

  /** Return the command that releases the lock, and note that it was sent; null if it cannot be sent now. */
  command() {
    if (this.busy) return null;
    const reason = this.reason.trim();
    if (reason === "") {
      this.error = "Give a reason: the holder receives it.";
      return null;
    }
    Object.assign(this, { busy: true, error: null });
    return { op: "unlock", fields: { token: this.lock.token, force: true, reason } };
  }

  /** Take the hub's refusal. */
  onRefused(code, message) {
    this.busy = false;
    this.error = code === "not_holder" ? "The lock has ended meanwhile: nothing was released." : message;
  }
}

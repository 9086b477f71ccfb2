/**
 * The names and patterns of locks. A request for a lock, a lock that is held, and a holder that blocks a request have
 * the same shape: `names` or `patterns`, in a namespace, with a mode.
 */

import { BadPattern, compile } from "../text/glob.js";

/** Return the names or patterns of a lock. */
export const targetsOf = ({ names, patterns }) => names ?? patterns ?? [];

/** Return the names or patterns of a lock in one line. */
export const targetText = (lock) => targetsOf(lock).join(", ");

/**
 * Return whether two locks have a name in common. Two patterns are compared as text only: the hub alone decides the
 * rest.
 */
export function overlap(a, b) {
  if (a.ns !== b.ns) return false;
  const texts = new Set(targetsOf(b));
  if (targetsOf(a).some((text) => texts.has(text))) return true;
  return covers(a.patterns, b.names) || covers(b.patterns, a.names);
}

/** Return whether two locks cannot be held at the same time. */
export const conflict = (a, b) => !(a.mode === "shared" && b.mode === "shared") && overlap(a, b);

function covers(patterns, names) {
  if (patterns === undefined || names === undefined) return false;
  return patterns.some((pattern) => names.some(matcher(pattern)));
}

function matcher(pattern) {
  try {
    return compile(pattern);
  } catch (error) {
    if (!(error instanceof BadPattern)) throw error;
    return () => false;
  }
}

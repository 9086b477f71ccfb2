/**
 * Claims on names: a lock that is held, a request that waits for one, a holder in the way. Each is on `names` or on `patterns`,
 * in a namespace.
 */

import { BadPattern, compile } from "../text/glob.js";

/** What a claim is on. */
export const targetsOf = ({ names, patterns }) => names ?? patterns ?? [];

/** The same in one line. */
export const targetText = (claim) => targetsOf(claim).join(", ");

/** Whether two claims are on something in common. Of two patterns the page can tell only if they are the same text. */
export function overlap(a, b) {
  if (a.ns !== b.ns) return false;
  const texts = new Set(targetsOf(b));
  if (targetsOf(a).some((text) => texts.has(text))) return true;
  return covers(a.patterns, b.names) || covers(b.patterns, a.names);
}

/** Whether they cannot both be held. */
export const conflict = (a, b) => !(a.mode === "shared" && b.mode === "shared") && overlap(a, b);

function covers(patterns, names) {
  if (patterns === undefined || names === undefined) return false;
  return patterns.some((pattern) => names.some(accepted(pattern)));
}

function accepted(pattern) {
  try {
    return compile(pattern);
  } catch (error) {
    if (!(error instanceof BadPattern)) throw error;
    return () => false;
  }
}

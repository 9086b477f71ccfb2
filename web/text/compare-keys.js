/** Keys in the order of the hub: by code point. (A string of JavaScript compares by code unit, which differs above U+FFFF.) */

const SURROGATE = /[\ud800-\udfff]/;

/** Below 0, 0 or above 0, as `a` comes before, with or after `b`. */
export function compareKeys(a, b) {
  if (a === b) return 0;
  if (SURROGATE.test(a) || SURROGATE.test(b)) return compareByPoint(a, b);
  return a < b ? -1 : 1;
}

function compareByPoint(a, b) {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for what comes after all other units. */
const rank = (unit) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);

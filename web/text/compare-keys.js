/** The hub's order of keys: by code point. (JavaScript compares strings by code unit, which differs above U+FFFF.) */

const SURROGATE = /[\ud800-\udfff]/;

/** Return a number below 0, 0, or above 0, if `a` comes before, equals, or comes after `b`. */
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

/**
 * Return the rank of a code unit. A surrogate is half of a code point above all others, so it ranks above all other
 * units.
 */
const rank = (unit) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);

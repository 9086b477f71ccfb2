/**
 * Patterns, matched as the hub matches them (section 5 of the protocol).
 *
 * `*` matches any run of characters, `?` one character, `[abc]`, `[a-z]` and `[!x]` one character of a class. `\`
 * makes the next character stand for itself, also in a class. `*` matches `:` and `/`, too, and `**` means the same as
 * `*`. The whole key must match, and case matters. A character is a code point. In a class `]` always closes it, `!`
 * negates only as the first character, and `-` is a range between two members and itself elsewhere. An unclosed class,
 * an empty class, a range that runs backwards, and a `\` at the end are errors.
 *
 * A mismatch goes back to the last star only. So matching takes at most (key's length) x (pattern's length) steps.
 */

const STAR = Symbol("star");
const ANY = () => true;
const SPECIAL = /[*?[\\]/;

/** An error in a pattern. The message is for the user who typed the pattern. */
export class BadPattern extends Error {}

/**
 * Return a function that says whether a key matches a pattern.
 * @param {string} text
 * @returns {(key: string) => boolean}
 * @throws {BadPattern}
 */
export function compile(text) {
  const tokens = parse(Array.from(text));
  return (key) => matches(tokens, Array.from(key));
}

/**
 * Return the same for the text of a filter box. Text without any of `* ? [ \` matches anywhere in a key, other text is
 * a pattern. Empty text matches every key.
 * @param {string} text
 * @returns {(key: string) => boolean}
 * @throws {BadPattern}
 */
export function filter(text) {
  if (text === "") return ANY;
  return SPECIAL.test(text) ? compile(text) : (key) => key.includes(text);
}

/** Return the pattern that asks the hub for the keys of a filter box. */
export function patternOf(text) {
  return SPECIAL.test(text) ? text : text === "" ? "*" : `*${text}*`;
}

function matches(tokens, key) {
  let t = 0;
  let k = 0;
  let star = -1; // the last star, and the index in the key after the characters that this star matches
  let resume = 0;
  while (k < key.length) {
    if (t < tokens.length && tokens[t] === STAR) {
      star = t++;
      resume = k;
    } else if (t < tokens.length && tokens[t](key[k])) {
      t++;
      k++;
    } else if (star >= 0) {
      t = star + 1;
      k = ++resume;
    } else {
      return false;
    }
  }
  while (tokens[t] === STAR) t++;
  return t === tokens.length;
}

function parse(chars) {
  const tokens = [];
  for (let at = 0; at < chars.length; ) {
    const char = chars[at];
    if (char === "*") {
      if (tokens.at(-1) !== STAR) tokens.push(STAR);
      at += 1;
    } else if (char === "?") {
      tokens.push(ANY);
      at += 1;
    } else if (char === "[") {
      const [token, after] = parseClass(chars, at);
      tokens.push(token);
      at = after;
    } else {
      if (char === "\\") at += 1;
      if (at >= chars.length) throw new BadPattern("it ends with a single \\: write \\\\ for a backslash");
      const literal = chars[at];
      tokens.push((c) => c === literal);
      at += 1;
    }
  }
  return tokens;
}

/** Return the class that opens at `opening`, and the index after it. */
function parseClass(chars, opening) {
  let at = opening + 1;
  const negated = chars[at] === "!";
  if (negated) at += 1;
  const ranges = [];
  while (chars[at] !== "]") {
    const [low, next] = member(chars, at);
    let high = low;
    at = next;
    if (chars[at] === "-" && chars[at + 1] !== "]") [high, at] = member(chars, at + 1);
    if (high < low) throw new BadPattern("a range runs backwards: swap its ends");
    ranges.push([low, high]);
  }
  if (ranges.length === 0) throw new BadPattern("a class is empty: write \\] for a bracket in it");
  const within = (char) => {
    const point = char.codePointAt(0);
    return ranges.some(([low, high]) => low <= point && point <= high);
  };
  return [negated ? (char) => !within(char) : within, at + 1];
}

function member(chars, at) {
  const index = chars[at] === "\\" ? at + 1 : at;
  if (index >= chars.length) throw new BadPattern("a class is not closed: add ], or write \\[ for a bracket");
  return [chars[index].codePointAt(0), index + 1];
}

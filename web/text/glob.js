/**
 * Patterns, as the hub matches them (protocol 5).
 *
 * `*` any run of characters, `?` one character, `[abc]`, `[a-z]`, `[!x]` a class, `\` takes the next character as
 * itself, in a class too. `*` crosses `:` and `/`; `**` means the same. The whole key must match; case counts. A
 * character is a code point. In a class `]` always closes, `!` negates only as the first, and `-` is a range between
 * two members and itself elsewhere. An unclosed or empty class, one that runs backwards, and a trailing `\` are errors.
 *
 * Matching goes back to the last star only, so it takes at most (key's length) x (pattern's length) steps.
 */

const STAR = Symbol("star");
const ANY = () => true;
const SPECIAL = /[*?[\\]/;

/** What is wrong with a pattern, in words for the person who typed it. */
export class BadPattern extends Error {}

/**
 * A function that says whether a key matches.
 * @param {string} text
 * @returns {(key: string) => boolean}
 * @throws {BadPattern}
 */
export function compile(text) {
  const tokens = parse(Array.from(text));
  return (key) => matches(tokens, Array.from(key));
}

/**
 * What a filter box means: text without any of `* ? [ \` is looked for anywhere, all else is a pattern.
 * Empty text matches everything.
 * @param {string} text
 * @returns {(key: string) => boolean}
 * @throws {BadPattern}
 */
export function filter(text) {
  if (text === "") return ANY;
  return SPECIAL.test(text) ? compile(text) : (key) => key.includes(text);
}

/** The pattern that says to the hub what a filter box means. */
export function patternOf(text) {
  return SPECIAL.test(text) ? text : text === "" ? "*" : `*${text}*`;
}

function matches(tokens, key) {
  let t = 0;
  let k = 0;
  let star = -1; // the last star, and where the key goes on after what that star has taken
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
      if (at >= chars.length) throw new BadPattern("ends in a single \\: write \\\\ for a backslash");
      const literal = chars[at];
      tokens.push((c) => c === literal);
      at += 1;
    }
  }
  return tokens;
}

/** The class whose bracket is at `opening`, and the place after it. */
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
  const place = chars[at] === "\\" ? at + 1 : at;
  if (place >= chars.length) throw new BadPattern("a class is not closed: add ], or write \\[ for a bracket");
  return [chars[place].codePointAt(0), place + 1];
}

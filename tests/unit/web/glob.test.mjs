// Patterns match in the dashboard as they do in the hub: the cases are the rules of client/waggle/wire/names.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BadPattern, compile, filter } from "../../../web/text/glob.js";

const CASES = [
  // pattern, keys that match, keys that do not
  ["*", ["a", "task:1", "a/b/c"], []],
  ["task:*", ["task:", "task:1", "task:a/b:c"], ["task", "xtask:1", "Task:1"]],
  ["a**b", ["ab", "axb", "axxb"], ["a", "abx"]],
  ["a?c", ["abc", "a/c", "a🐝c"], ["ac", "abbc"]],
  ["*?", ["a", "ab"], [""]],
  ["[abc]x", ["ax", "cx"], ["dx", "x", "abx"]],
  ["[a-z]1", ["a1", "m1", "z1"], ["A1", "-1", "1"]],
  ["[!a-c]", ["d", "-", "!"], ["a", "b", "c", ""]],
  ["[a!]", ["a", "!"], ["b"]],
  ["[^a]", ["^", "a"], ["b"]],
  ["[-a]", ["-", "a"], ["b"]],
  ["[a-]", ["-", "a"], ["b"]],
  ["[a-c-e]", ["a", "b", "c", "-", "e"], ["d"]],
  ["[+--]", ["+", ",", "-"], ["*", "."]],
  ["[\\]a]", ["]", "a"], ["\\"]],
  ["[a\\-z]", ["a", "-", "z"], ["m"]],
  ["[[:alpha:]]", ["a]", ":]", "[]"], ["a", "z]"]],
  ["\\*", ["*"], ["a", ""]],
  ["a\\?b\\[c", ["a?b[c"], ["axb[c"]],
  ["\\\\", ["\\"], ["\\\\"]],
  ["]-!{}^", ["]-!{}^"], ["]"]],
  ["*a*b*", ["ab", "xaxbx"], ["ba", "a"]],
  ["*ab", ["ab", "aab", "abab"], ["aba"]],
  ["a*[0-9]?z", ["a0xz", "a123z"], ["a0z", "axxz"]],
  ["[🐜-🐝]", ["🐝"], ["🦋"]],
];

for (const [pattern, yes, no] of CASES) {
  test(`${pattern} matches as the hub says`, () => {
    const matches = compile(pattern);
    for (const key of yes) assert.ok(matches(key), `${pattern} should match ${key}`);
    for (const key of no) assert.ok(!matches(key), `${pattern} should not match ${key}`);
  });
}

for (const pattern of ["[", "[a", "[]", "[!]", "[]a]", "[z-a]", "a\\", "[a\\", "[!"]) {
  test(`${pattern} is not a pattern`, () => assert.throws(() => compile(pattern), BadPattern));
}

test("a hostile pattern is matched in little time", () => {
  const matches = compile(`${"*a".repeat(127)}*b`);
  assert.ok(!matches("a".repeat(255)));
});

test("a filter box finds plain text anywhere, and treats other text as a pattern", () => {
  assert.ok(filter("")("anything"));
  assert.ok(filter("auth")("task:auth:1"));
  assert.ok(!filter("auth")("task:Auth"));
  assert.ok(!filter("auth*")("task:auth"));
  assert.ok(filter("task:[0-9]")("task:7"));
});

test("all pairs of short patterns and keys match as in a matcher written from the definition", () => {
  const slow = (pattern, key) => {
    if (pattern === "") return key === "";
    if (pattern[0] === "*") return slow(pattern.slice(1), key) || (key !== "" && slow(pattern, key.slice(1)));
    return key !== "" && (pattern[0] === "?" || pattern[0] === key[0]) && slow(pattern.slice(1), key.slice(1));
  };
  const words = (letters, length) =>
    length === 0 ? [""] : words(letters, length - 1).flatMap((word) => [word, ...[...letters].map((l) => word + l)]);
  const keys = new Set(words("ab", 5));
  for (const pattern of new Set(words("ab*?", 4))) {
    const matches = compile(pattern);
    for (const key of keys) assert.equal(matches(key), slow(pattern, key), `${pattern} ${key}`);
  }
});

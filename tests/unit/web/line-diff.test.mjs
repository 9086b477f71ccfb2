// The difference between two texts.

import assert from "node:assert/strict";
import { test } from "node:test";

import { diff, folded } from "../../../web/text/line-diff.js";

const SIGNS = { same: " ", removed: "-", added: "+" };
const diffOf = (before, after) => diff(before, after).map(({ how, text }) => SIGNS[how] + text).join("|");

test("removed and added lines stand where the texts differ", () => {
  assert.equal(diffOf("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
  assert.equal(diffOf("a\nb", "a\nb"), " a| b");
  assert.equal(diffOf("a", "b"), "-a|+b");
  assert.equal(diffOf("a\nb\nc\nd", "b\nc\nd\ne"), "-a| b| c| d|+e");
});

test("a diff contains both texts, over random walks", () => {
  let seed = 3;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  for (let step = 0; step < 500; step++) {
    const text = () => Array.from({ length: 1 + random(12) }, () => "abc"[random(3)]).join("\n");
    const [before, after] = [text(), text()];
    const lines = diff(before, after);
    const of = (how) => lines.filter((it) => it.how === "same" || it.how === how).map((it) => it.text).join("\n");
    assert.equal(of("removed"), before);
    assert.equal(of("added"), after);
  }
});

test("texts too large to compare are all removed and all added, without delay", () => {
  const many = (name) => Array.from({ length: 5000 }, (_, i) => `${name}${i}`).join("\n");
  const lines = diff(`same\n${many("a")}`, `same\n${many("b")}`);
  assert.equal(lines.length, 10_001);
  assert.equal(lines[0].how, "same");
});

test("long runs of equal lines are folded", () => {
  const before = Array.from({ length: 20 }, (_, i) => `l${i}`);
  const after = before.with?.(10, "new") ?? before.map((line, i) => (i === 10 ? "new" : line));
  const lines = folded(diff(before.join("\n"), after.join("\n")), 2);
  assert.deepEqual(lines.map((it) => (it.how === "skip" ? it.lines : it.text)), [8, "l8", "l9", "l10", "new", "l11", "l12", 7]);
});

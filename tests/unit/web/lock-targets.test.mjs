// Claims on names and patterns: what they are on, and whether two of them can be held at once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { conflict, overlap, targetText } from "../../../web/model/lock-targets.js";

const on = (names, more = {}) => ({ ns: "default", mode: "exclusive", names, ...more });
const within = (patterns, more = {}) => ({ ns: "default", mode: "exclusive", patterns, ...more });

test("a claim reads as what it is on", () => {
  assert.equal(targetText(on(["a", "b"])), "a, b");
  assert.equal(targetText(within(["a*"])), "a*");
});

test("claims overlap on a name in common, or one that a pattern matches, in one namespace", () => {
  assert.ok(overlap(on(["a", "b"]), on(["b", "c"])));
  assert.ok(!overlap(on(["a"]), on(["b"])));
  assert.ok(overlap(on(["deploy/eu"]), within(["deploy/*"])));
  assert.ok(overlap(within(["deploy/*"]), on(["deploy/eu"])));
  assert.ok(!overlap(within(["deploy/?"]), on(["deploy/eu"])));
  assert.ok(overlap(within(["x*"]), within(["x*"])));
  assert.ok(!overlap(on(["a"]), on(["a"], { ns: "other" })));
});

test("claims that are both shared are in nobody's way", () => {
  assert.ok(conflict(on(["a"]), on(["a"], { mode: "shared" })));
  assert.ok(!conflict(on(["a"], { mode: "shared" }), on(["a"], { mode: "shared" })));
});

test("a pattern that the page cannot read is in nobody's way", () => {
  assert.ok(!overlap(within(["["]), on(["a"])));
});

// Names and patterns of locks, and whether two locks can be held at the same time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { conflict, overlap, targetText } from "../../../web/model/lock-targets.js";

const on = (names, more = {}) => ({ ns: "default", mode: "exclusive", names, ...more });
const within = (patterns, more = {}) => ({ ns: "default", mode: "exclusive", patterns, ...more });

test("a lock is written as its names or patterns", () => {
  assert.equal(targetText(on(["a", "b"])), "a, b");
  assert.equal(targetText(within(["a*"])), "a*");
});

test("locks overlap if they have a name in common, or one that a pattern matches, in one namespace", () => {
  assert.ok(overlap(on(["a", "b"]), on(["b", "c"])));
  assert.ok(!overlap(on(["a"]), on(["b"])));
  assert.ok(overlap(on(["deploy/eu"]), within(["deploy/*"])));
  assert.ok(overlap(within(["deploy/*"]), on(["deploy/eu"])));
  assert.ok(!overlap(within(["deploy/?"]), on(["deploy/eu"])));
  assert.ok(overlap(within(["x*"]), within(["x*"])));
  assert.ok(!overlap(on(["a"]), on(["a"], { ns: "other" })));
});

test("two shared locks do not conflict", () => {
  assert.ok(conflict(on(["a"]), on(["a"], { mode: "shared" })));
  assert.ok(!conflict(on(["a"], { mode: "shared" }), on(["a"], { mode: "shared" })));
});

test("a pattern that is not valid overlaps with no name", () => {
  assert.ok(!overlap(within(["["]), on(["a"])));
});

// A forced release: asked for, reasoned, and meant for one token.

import assert from "node:assert/strict";
import { test } from "node:test";

import { LockRelease } from "../../../web/model/lock-release.js";

const LOCK = { ns: "default", agent: "a", token: 7, names: ["x"], queue: [] };

test("without a reason nothing is released", () => {
  const release = new LockRelease(LOCK);
  release.type("   ");
  assert.equal(release.command(), null);
  assert.match(release.wrong, /why/);
  assert.equal(release.busy, false);
});

test("it is meant for the token that was seen, and asked for once", () => {
  const release = new LockRelease(LOCK);
  release.type(" it hangs ");
  assert.deepEqual(release.command(), { op: "unlock", fields: { token: 7, force: true, reason: "it hangs" } });
  assert.equal(release.command(), null);
});

test("a lock that has ended meanwhile is not released, and that is said", () => {
  const release = new LockRelease(LOCK);
  release.type("it hangs");
  release.command();
  release.refused("not_holder", "no lock with token 7 is held");
  assert.match(release.wrong, /nothing was released/);
  assert.notEqual(release.command(), null, "it may be tried again");
  release.refused("forbidden", "you may not");
  assert.equal(release.wrong, "you may not");
});

// A forced release: with a reason, and for one token.

import assert from "node:assert/strict";
import { test } from "node:test";

import { LockRelease } from "../../../web/model/lock-release.js";

const LOCK = { ns: "default", agent: "a", token: 7, names: ["x"], queue: [] };

test("without a reason there is no command", () => {
  const release = new LockRelease(LOCK);
  release.setReason("   ");
  assert.equal(release.command(), null);
  assert.match(release.error, /reason/);
  assert.equal(release.busy, false);
});

test("the command names the token that the user saw, and is given once", () => {
  const release = new LockRelease(LOCK);
  release.setReason(" it hangs ");
  assert.deepEqual(release.command(), { op: "unlock", fields: { token: 7, force: true, reason: "it hangs" } });
  assert.equal(release.command(), null);
});

test("a lock that has ended meanwhile is not released, and a message says so", () => {
  const release = new LockRelease(LOCK);
  release.setReason("it hangs");
  release.command();
  release.onRefused("not_holder", "no lock with token 7 is held");
  assert.match(release.error, /nothing was released/);
  assert.notEqual(release.command(), null, "the user may try again");
  release.onRefused("forbidden", "you may not");
  assert.equal(release.error, "you may not");
});

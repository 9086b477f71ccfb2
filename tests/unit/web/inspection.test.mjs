// When the hub is asked to inspect, and what is kept of its reply.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Inspection } from "../../../web/model/inspection.js";

const NOTHING = { rev: 1, at: 0, sessions: [], locks: [], waits: [], cut: [] };

/** Return the times, in seconds, at which the hub was asked. Each question is answered at once. */
function askTimes(inspection, shown, seconds, atTenth = () => {}) {
  const asked = [];
  for (let tenth = 0; tenth < seconds * 10; tenth++) {
    atTenth(tenth);
    if (!inspection.beginIfDue(1000 + tenth / 10, shown)) continue;
    asked.push(tenth / 10);
    inspection.onReply(NOTHING);
  }
  return asked;
}

test("the hub is asked every second while locks are shown, and less often otherwise", () => {
  assert.deepEqual(askTimes(new Inspection(), true, 3), [0, 1, 2]);
  assert.deepEqual(askTimes(new Inspection(), false, 9), [0, 4, 8]);
});

test("one event of a lock makes a question at once, a thousand events make few questions", () => {
  const few = new Inspection();
  assert.deepEqual(askTimes(few, true, 2, (tenth) => tenth === 4 && few.markOutdated()), [0, 0.4, 1.4]);
  const many = new Inspection();
  assert.ok(askTimes(many, true, 3, () => many.markOutdated()).length <= 10);
});

test("one question is open at a time, and is repeated after an error", () => {
  const inspection = new Inspection();
  assert.ok(inspection.beginIfDue(0, true));
  assert.ok(!inspection.beginIfDue(60, true));
  inspection.onError("too busy");
  assert.equal(inspection.error, "too busy");
  assert.ok(inspection.beginIfDue(60, true));
  inspection.onReply(NOTHING);
  assert.equal(inspection.error, null);
});

test("a clock that is set back does not stop the questions", () => {
  const inspection = new Inspection();
  inspection.beginIfDue(5000, true);
  inspection.onReply(NOTHING);
  assert.ok(inspection.beginIfDue(1000, true));
});

test("locks held and commands that wait are counted for each agent", () => {
  const inspection = new Inspection();
  inspection.onReply({ ...NOTHING, locks: [{ agent: "a", token: 7 }, { agent: "a", token: 8 }], waits: [{ agent: "b" }] });
  assert.deepEqual(inspection.countOf("a"), { locks: 2, waits: 0 });
  assert.deepEqual(inspection.countOf("b"), { locks: 0, waits: 1 });
  assert.deepEqual(inspection.countOf("c"), { locks: 0, waits: 0 });
  assert.equal(inspection.lock(8).agent, "a");
  assert.equal(inspection.lock(9), null);
});

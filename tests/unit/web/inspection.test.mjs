// When the hub is asked who holds what, and what is known of the answer.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Inspection } from "../../../web/model/inspection.js";

const NOTHING = { rev: 1, at: 0, sessions: [], locks: [], waits: [], cut: [] };

/** The seconds, of so many tenths, at which it asked; each question is answered at once. */
function asks(inspected, watched, seconds, at = () => {}) {
  const asked = [];
  for (let tenth = 0; tenth < seconds * 10; tenth++) {
    at(tenth);
    if (!inspected.due(1000 + tenth / 10, watched)) continue;
    asked.push(tenth / 10);
    inspected.answered(NOTHING);
  }
  return asked;
}

test("it is asked each second while somebody looks, and seldom else", () => {
  assert.deepEqual(asks(new Inspection(), true, 3), [0, 1, 2]);
  assert.deepEqual(asks(new Inspection(), false, 9), [0, 4, 8]);
});

test("an event of a lock has it asked at once, and a thousand of them not a thousand times", () => {
  const one = new Inspection();
  assert.deepEqual(asks(one, true, 2, (tenth) => tenth === 4 && one.outdated()), [0, 0.4, 1.4]);
  const many = new Inspection();
  assert.ok(asks(many, true, 3, () => many.outdated()).length <= 10);
});

test("there is one question at a time, and one that is not answered is asked again", () => {
  const inspected = new Inspection();
  assert.ok(inspected.due(0, true));
  assert.ok(!inspected.due(60, true));
  inspected.failed("too busy");
  assert.equal(inspected.wrong, "too busy");
  assert.ok(inspected.due(60, true));
  inspected.answered(NOTHING);
  assert.equal(inspected.wrong, null);
});

test("a clock that is set back does not keep it from asking", () => {
  const inspected = new Inspection();
  inspected.due(5000, true);
  inspected.answered(NOTHING);
  assert.ok(inspected.due(1000, true));
});

test("it counts for each agent what it holds and what it waits for", () => {
  const inspected = new Inspection();
  inspected.answered({ ...NOTHING, locks: [{ agent: "a", token: 7 }, { agent: "a", token: 8 }], waits: [{ agent: "b" }] });
  assert.deepEqual(inspected.countOf("a"), { locks: 2, waits: 0 });
  assert.deepEqual(inspected.countOf("b"), { locks: 0, waits: 1 });
  assert.deepEqual(inspected.countOf("c"), { locks: 0, waits: 0 });
  assert.equal(inspected.lock(8).agent, "a");
  assert.equal(inspected.lock(9), null);
});

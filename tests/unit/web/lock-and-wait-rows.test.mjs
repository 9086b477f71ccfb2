// Locks and waits as rows and in words.

import assert from "node:assert/strict";
import { test } from "node:test";

import { alsoRequested, lockRows } from "../../../web/model/lock-rows.js";
import { conditionText, partText, waitRows, waitText } from "../../../web/model/wait-rows.js";

const lock = (token, agent, names, queue = []) => ({ ns: "default", mode: "exclusive", agent, session: `s-${agent}`, token, since: 1, expires_at: 31, names, queue });
const waiter = (agent, names, since = 2) => ({ agent, session: `s-${agent}`, mode: "exclusive", since, names });
const request = (agent, names, more = {}) => ({ op: "lock", id: 1, ns: "default", until: null, ...waiter(agent, names), ...more });
const waits = (agent, more) => ({ op: "wait", id: 2, agent, session: `s-${agent}`, ns: "default", since: 2, until: 30, ...more });

test("below each lock stands its queue, in the order of the requests", () => {
  const inspection = { locks: [lock(7, "a", ["x"], [waiter("c", ["x"]), waiter("b", ["x"])]), lock(9, "d", ["y"])], waits: [] };
  const rows = lockRows(inspection).map((row) => [row.lock.token, row.waiter?.agent ?? null, row.place]);
  assert.deepEqual(rows, [[7, null, 0], [7, "c", 1], [7, "b", 2], [9, null, 0]]);
  assert.equal(new Set(lockRows(inspection).map((row) => row.id)).size, 4);
});

test("the row of a request has its deadline, and what else it asks for", () => {
  const inspection = {
    locks: [lock(7, "a", ["x", "y"], [waiter("b", ["x", "z"]), waiter("c", ["x"])])],
    waits: [request("b", ["x", "z"], { until: 99 }), request("c", ["x"])],
  };
  const [held, b, c] = lockRows(inspection);
  assert.deepEqual([b.until, c.until], [99, null]);
  assert.equal(alsoRequested(held.lock, b.waiter), "z");
  assert.equal(alsoRequested(held.lock, c.waiter), "");
});

test("locks are filtered by name, holder and queue, and by agent", () => {
  const inspection = { locks: [lock(7, "anna", ["x"], [waiter("ben", ["x"])]), lock(9, "carl", ["y"])], waits: [] };
  const tokensOf = (filter) => lockRows(inspection, filter).filter((row) => row.waiter === null).map((row) => row.lock.token);
  assert.deepEqual(tokensOf({ accepts: (text) => text === "y" }), [9]);
  assert.deepEqual(tokensOf({ accepts: (text) => text === "ben" }), [7]);
  assert.deepEqual(tokensOf({ agent: "carl" }), [9]);
  assert.deepEqual(tokensOf({ agent: "ben" }), [7]);
});

test("a wait is shown with its conditions, met or not", () => {
  const all = [{ key: "a" }, { pattern: "r:*", count: 2 }];
  const rows = waitRows({ waits: [waits("b", { all, met: [1] })] });
  assert.equal(waitText(rows[0].wait), "for all of 2, 1 met");
  assert.deepEqual(rows.slice(1).map((row) => row.part), [{ text: "a", met: false }, { text: "2 entries of r:*", met: true }]);
});

test("each op says in words what it waits for", () => {
  assert.equal(waitText(waits("b", { any: [{ key: "a" }, { key: "b" }] })), "for any of 2");
  assert.equal(waitText(waits("b", { all: [{ key: "a", absent: true }] })), "for no a");
  assert.equal(waitText(request("b", ["x", "y"])), "to lock x, y");
  assert.equal(waitText(request("b", ["x"], { mode: "shared" })), "to lock x, shared");
  assert.equal(waitText({ ...waits("b", { patterns: ["job:*"] }), op: "take" }), "to take one of job:*");
});

test("a request for a lock is shown with the holders that block it", () => {
  const blocked_by = [{ agent: "a", session: "s", mode: "shared", names: ["x"] }];
  const inspection = { waits: [request("b", ["x"], { blocked_by }), request("c", ["y"], { id: 3 })] };
  assert.deepEqual(waitRows(inspection)[1].part, { text: "a holds x, shared", met: null });
  assert.deepEqual(waitRows(inspection, { agent: "a" }).map((row) => row.wait.agent), ["b", "b"]);
  assert.deepEqual(waitRows(inspection, { agent: "c" }).map((row) => row.wait.agent), ["c"]);
});

test("a wait for a thousand conditions says how many are not shown", () => {
  const rows = waitRows({ waits: [waits("b", { all: Array.from({ length: 1000 }, (_, n) => ({ key: `k${n}` })), met: [] })] });
  assert.equal(rows.length, 52);
  assert.deepEqual(rows.at(-1).part, { text: "and 950 more", met: null });
});

test("a condition is written in words", () => {
  const texts = {
    "a": { key: "a" },
    "1 entry of r:*": { pattern: "r:*" },
    "no entry of r:*": { pattern: "r:*", absent: true },
    "nothing locked at a": { key: "a", unlocked: true },
    "no a, and nothing locked there": { key: "a", absent: true, unlocked: true },
    "a where /n ≥ 3": { key: "a", where: { pointer: "/n", op: "ge", value: 3 } },
    'a where its value is "go"': { key: "a", where: { value: "go" } },
    "a where /ok is not there": { key: "a", where: { pointer: "/ok", op: "exists", value: false } },
    "a where /ok is there": { key: "a", where: { pointer: "/ok", op: "exists" } },
    "2 entries of r:* written after revision 4, where /ok is true": { pattern: "r:*", count: 2, since: 4, where: { pointer: "/ok", value: true } },
  };
  for (const [text, condition] of Object.entries(texts)) assert.equal(conditionText(condition), text);
});

test("beside its key, a condition is written without the key", () => {
  assert.equal(partText({ key: "a" }), "exists");
  assert.equal(partText({ key: "a", absent: true }), "absent");
  assert.equal(partText({ key: "a", unlocked: true }), "unlocked");
  assert.equal(partText({ pattern: "a*", count: 2 }), "2 entries");
  assert.equal(partText({ key: "a", where: { pointer: "/n", op: "lt", value: 3 } }), "where /n < 3");
});

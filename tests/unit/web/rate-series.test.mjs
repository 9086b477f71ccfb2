// Rates over the last minutes, from counters.

import assert from "node:assert/strict";
import { test } from "node:test";

import { RateSeries, WINDOW_S } from "../../../web/model/rate-series.js";

test("a rate is the growth between two readings divided by their time", () => {
  const series = new RateSeries();
  assert.equal(series.latest("events"), null);
  series.read(100, { events: 1000, revisions: 7 });
  assert.equal(series.latest("events"), null);
  series.read(102, { events: 1500, revisions: 7 });
  assert.equal(series.latest("events"), 250);
  assert.equal(series.latest("revisions"), 0);
  series.read(103, { events: 1510, revisions: 7 });
  assert.deepEqual(series.lines("events", 104), [[{ ago: 2, rate: 250 }, { ago: 1, rate: 10 }]]);
  assert.equal(series.highest("events"), 250);
});

test("a gap or a counter that fell interrupts the line", () => {
  const series = new RateSeries();
  for (const [at, events] of [[1, 0], [2, 10], [30, 500], [31, 510], [32, 3], [33, 5]]) series.read(at, { events });
  assert.deepEqual(series.lines("events", 33).map((line) => line.map(({ rate }) => rate)), [[10], [10], [2]]);
});

test("a reading that is not newer than the last is ignored", () => {
  const series = new RateSeries();
  for (const [at, events] of [[1, 0], [2, 10], [2, 10], [1.5, 5]]) series.read(at, { events });
  assert.equal(series.lines("events", 2)[0].length, 1);
});

test("only the shown time is kept", () => {
  const series = new RateSeries();
  for (let at = 0; at < 3 * WINDOW_S; at++) series.read(at, { events: at });
  assert.ok(series.lines("events", 3 * WINDOW_S)[0].length <= WINDOW_S + 1);
});

// Rates over minutes, from counters.

import assert from "node:assert/strict";
import { test } from "node:test";

import { RateSeries, SPAN } from "../../../web/model/rate-series.js";

test("a rate is the growth between two readings, by the time between them", () => {
  const series = new RateSeries();
  assert.equal(series.now("events"), null);
  series.read(100, { events: 1000, revisions: 7 });
  assert.equal(series.now("events"), null);
  series.read(102, { events: 1500, revisions: 7 });
  assert.equal(series.now("events"), 250);
  assert.equal(series.now("revisions"), 0);
  series.read(103, { events: 1510, revisions: 7 });
  assert.deepEqual(series.lines("events", 104), [[{ ago: 2, rate: 250 }, { ago: 1, rate: 10 }]]);
  assert.equal(series.most("events"), 250);
});

test("a gap, and another hub's counters, interrupt the line", () => {
  const series = new RateSeries();
  for (const [at, events] of [[1, 0], [2, 10], [30, 500], [31, 510], [32, 3], [33, 5]]) series.read(at, { events });
  assert.deepEqual(series.lines("events", 33).map((line) => line.map(({ rate }) => rate)), [[10], [10], [2]]);
});

test("a reading that is not newer than the last is left out", () => {
  const series = new RateSeries();
  for (const [at, events] of [[1, 0], [2, 10], [2, 10], [1.5, 5]]) series.read(at, { events });
  assert.equal(series.lines("events", 2)[0].length, 1);
});

test("no more is kept than is shown", () => {
  const series = new RateSeries();
  for (let at = 0; at < 3 * SPAN; at++) series.read(at, { events: at });
  assert.ok(series.lines("events", 3 * SPAN)[0].length <= SPAN + 1);
});

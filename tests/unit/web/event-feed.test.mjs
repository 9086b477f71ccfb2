// The events that are kept, and which of them are shown.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventFeed, MAX_EVENTS } from "../../../web/model/event-feed.js";

const event = (key, more = {}) => ({ type: "set", ns: "default", key, by: "a", rev: 1, dashboard: false, ...more });
const keys = (feed) => feed.shown().map((it) => it.key);

function feedOf(...events) {
  const feed = new EventFeed();
  for (const it of events) feed.record(typeof it === "string" ? event(it) : it);
  return feed;
}

test("all events are counted, and the newest are kept", () => {
  const feed = new EventFeed();
  for (let i = 0; i < 3500; i++) feed.record(event(`k${i}`));
  assert.equal(feed.seq, 3500);
  assert.equal(feed.shown().length, MAX_EVENTS);
  assert.equal(feed.shown()[0].key, "k3499");
});

test("a rare event stays visible while many others happen", () => {
  const feed = feedOf("rare");
  feed.filterKeys("rare");
  for (let i = 0; i < 5000; i++) feed.record(event("often"));
  feed.record(event("rare"));
  assert.deepEqual(keys(feed), ["rare", "rare"]);
});

test("types, key and agent filter together", () => {
  const feed = feedOf(event("task:1", { by: "x" }), event("task:2"), event("note", { by: "x" }), event("task:3", { type: "delete", by: "x" }));
  feed.filterKeys("task:*");
  assert.deepEqual(keys(feed), ["task:3", "task:2", "task:1"]);
  feed.filterAgents("x");
  assert.deepEqual(keys(feed), ["task:3", "task:1"]);
  feed.toggleType("delete");
  assert.deepEqual(keys(feed), ["task:1"]);
  assert.equal(feed.filtered, true);
  feed.filterKeys("task[");
  assert.match(feed.keyFilter.error, /not closed/);
  assert.deepEqual(keys(feed), ["task:1"], "text that is not a pattern yet keeps the old filter");
});

test("following an agent shows its events and its presence", () => {
  const feed = feedOf("a", event("b", { by: "x" }), event("x", { type: "agent", ns: "$agents", by: "$hub" }), event("x"));
  feed.follow({ agent: "x" });
  assert.deepEqual(feed.shown().map((it) => [it.type, it.key]), [["agent", "x"], ["set", "b"]]);
  feed.follow(null);
  assert.equal(feed.shown().length, 4);
});

test("following a key shows exactly that key of that namespace", () => {
  const feed = feedOf("a", "ab", event("a", { ns: "docs" }), event("a", { type: "expire" }));
  feed.follow({ ns: "default", key: "a" });
  assert.deepEqual(feed.shown().map((it) => it.type), ["expire", "set"]);
});

test("notes about the connection pass every filter", () => {
  const feed = feedOf("a", { type: "connection", note: {}, at: 1 });
  feed.filterKeys("nothing");
  assert.deepEqual(feed.shown().map((it) => it.type), ["connection"]);
});

test("dashboards are hidden until the user shows them", () => {
  const feed = feedOf(event("d", { type: "agent", dashboard: true }));
  assert.deepEqual(keys(feed), []);
  feed.showDashboards(true);
  assert.deepEqual(keys(feed), ["d"]);
});

test("a paused feed does not change, and can be filtered", () => {
  const feed = feedOf("a", "b");
  feed.pause(true);
  for (let i = 0; i < 3000; i++) feed.record(event("c"));
  assert.deepEqual(keys(feed), ["b", "a"]);
  assert.equal(feed.sincePause(), 3000);
  feed.filterKeys("b");
  feed.pause(false);
  assert.deepEqual(keys(feed), []);
  assert.equal(feed.sincePause(), 0);
});

test("following a lock shows its events on all its names, and no others", () => {
  const feed = new EventFeed();
  const event = (type, key, ns = "default") => ({ type, key, ns, by: "a", at: 1 });
  feed.follow({ ns: "default", lock: ["x", "y"] });
  for (const type of ["lock", "renew", "queue", "unlock"]) feed.record(event(type, "x"));
  feed.record(event("lock", "y"));
  feed.record(event("lock", "z"));
  feed.record(event("lock", "x", "other"));
  feed.record(event("set", "x"));
  assert.deepEqual(feed.shown().map(({ type, key }) => `${type} ${key}`).reverse(), ["lock x", "renew x", "queue x", "unlock x", "lock y"]);
});

// The events that are kept, and which of them are shown.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventFeed, KEPT } from "../../../web/model/event-feed.js";

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
  assert.equal(feed.shown().length, KEPT);
  assert.equal(feed.shown()[0].key, "k3499");
});

test("what is rare stays in view while much else happens", () => {
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
  assert.match(feed.keys.wrong, /not closed/);
  assert.deepEqual(keys(feed), ["task:1"], "text that is no pattern yet leaves the filter as it was");
});

test("one agent is followed: what it did, and its own coming and going", () => {
  const feed = feedOf("a", event("b", { by: "x" }), event("x", { type: "agent", ns: "$agents", by: "$hub" }), event("x"));
  feed.follow({ agent: "x" });
  assert.deepEqual(feed.shown().map((it) => [it.type, it.key]), [["agent", "x"], ["set", "b"]]);
  feed.follow(null);
  assert.equal(feed.shown().length, 4);
});

test("one key is followed: that of its namespace, to the letter", () => {
  const feed = feedOf("a", "ab", event("a", { ns: "docs" }), event("a", { type: "expire" }));
  feed.follow({ ns: "default", key: "a" });
  assert.deepEqual(feed.shown().map((it) => it.type), ["expire", "set"]);
});

test("what is said of the connection passes every filter", () => {
  const feed = feedOf("a", { type: "connection", note: {}, at: 1 });
  feed.filterKeys("nothing");
  assert.deepEqual(feed.shown().map((it) => it.type), ["connection"]);
});

test("dashboards are left out until they are asked for", () => {
  const feed = feedOf(event("d", { type: "agent", dashboard: true }));
  assert.deepEqual(keys(feed), []);
  feed.showDashboards(true);
  assert.deepEqual(keys(feed), ["d"]);
});

test("a paused view stands still, and can be filtered", () => {
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

test("a lock is followed: its own events and no others, on all that it is on", () => {
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

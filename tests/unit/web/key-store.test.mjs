// The key store: pages and events, joined. The fake hub is a map that answers as the hub does.

import assert from "node:assert/strict";
import { test } from "node:test";

import { KeyStore } from "../../../web/model/key-store.js";
import { compareKeys } from "../../../web/text/compare-keys.js";

const T = 1_800_000_000;

/** A hub that keeps entries, makes events, and answers `namespaces` and `list` in pages of `page`. */
class FakeHub {
  rev = 0;
  entries = new Map();
  events = [];
  constructor(page = 3) {
    this.page = page;
  }
  set(key, { ns = "default", by = "a", ttl = null } = {}) {
    const old = this.entries.get(`${ns}\n${key}`);
    const version = (old?.version ?? 0) + 1;
    const expires_at = ttl === null ? null : T + ttl;
    const entry = { key, ns, by, version, kind: "persistent", rev: ++this.rev, updated_at: T, created_at: T, expires_at };
    this.entries.set(`${ns}\n${key}`, entry);
    this.events.push({ ...entry, type: "set", at: T });
  }
  delete(key, ns = "default") {
    if (!this.entries.delete(`${ns}\n${key}`)) return;
    this.events.push({ type: "delete", key, ns, by: "a", rev: ++this.rev, version: 1, at: T });
  }
  touch(key, ttl, ns = "default") {
    const entry = this.entries.get(`${ns}\n${key}`);
    if (entry === undefined) return;
    entry.expires_at = T + ttl;
    this.events.push({ type: "touch", key, ns, by: "a", rev: ++this.rev, expires_at: T + ttl, at: T });
  }
  answer({ op, fields }) {
    const all = [...this.entries.values()];
    if (op === "namespaces") {
      const names = [...new Set(["$agents", ...all.map((entry) => entry.ns)])].sort(compareKeys);
      return { namespaces: names.map((ns) => ({ ns, keys: all.filter((entry) => entry.ns === ns).length, bytes: 0 })) };
    }
    const matching = all
      .filter(({ ns, key }) => ns === fields.ns && (fields.after === undefined || compareKeys(key, fields.after) > 0))
      .sort((a, b) => compareKeys(a.key, b.key));
    const entries = matching.slice(0, this.page).map((entry) => ({ ...entry }));
    return { entries, next: matching.length > this.page ? entries.at(-1).key : null, rev: this.rev };
  }
}

function read(store, hub) {
  for (let question = store.nextQuestion(); question !== null; question = store.nextQuestion()) store.onReply(hub.answer(question));
}

const keys = (store) => [...store.listed].map((record) => record.key);

test("all namespaces except the hub's own are read, a page at a time", () => {
  const hub = new FakeHub(2);
  for (const key of ["c", "a", "b", "e", "d"]) hub.set(key);
  hub.set("x", { ns: "docs" });
  const store = new KeyStore();
  assert.deepEqual(store.nextQuestion(), { op: "namespaces", fields: {} });
  assert.equal(store.nextQuestion(), null, "one question at a time");
  store.onReply(hub.answer({ op: "namespaces", fields: {} }));
  assert.deepEqual(store.nextQuestion().fields, { pattern: "*", ns: "default", limit: 1000, values: false });
  store.onReply(hub.answer({ op: "list", fields: { ns: "default" } }));
  assert.equal(store.settled, false);
  assert.equal(store.nextQuestion().fields.after, "b");
  store.onReply(hub.answer({ op: "list", fields: { ns: "default", after: "b" } }));
  read(store, hub);
  assert.equal(store.settled, true);
  assert.deepEqual(keys(store), ["a", "b", "c", "d", "e", "x"]);
  assert.deepEqual([...store.namespaces], [["default", 5], ["docs", 1]]);
  assert.equal(store.expected, 6);
});

test("an event beyond the read position is left to a later page, one before it is applied", () => {
  const hub = new FakeHub(2);
  for (const key of ["a", "c", "e", "g"]) hub.set(key);
  const store = new KeyStore({ ns: "default" });
  store.onReply(hub.answer(store.nextQuestion()));
  hub.events = [];
  hub.set("b");
  hub.set("f");
  hub.delete("a");
  for (const event of hub.events) store.onEvent(event);
  assert.deepEqual(keys(store), ["b", "c"]);
  read(store, hub);
  assert.deepEqual(keys(store), ["b", "c", "e", "f", "g"]);
  store.check();
});

test("late events that a page already contains change nothing", () => {
  const hub = new FakeHub(10);
  hub.set("a");
  hub.delete("a");
  hub.set("a", { by: "newest" });
  hub.set("b");
  hub.delete("b");
  const store = new KeyStore({ ns: "default" });
  read(store, hub);
  for (const event of hub.events) store.onEvent(event);
  assert.deepEqual(keys(store), ["a"]);
  assert.equal(store.records.get("default\na").by, "newest");
});

test("a namespace created during the reading is known by its events", () => {
  const hub = new FakeHub(1);
  hub.set("a");
  hub.set("b");
  const store = new KeyStore();
  store.onReply(hub.answer(store.nextQuestion()));
  hub.events = [];
  hub.set("x", { ns: "aaa" });
  for (const event of hub.events) store.onEvent(event);
  read(store, hub);
  assert.deepEqual(keys(store), ["x", "a", "b"]);
});

test("a filtered store reads its pattern and ignores other events", () => {
  const store = new KeyStore({ ns: "default", pattern: "task:*", accepts: (key) => key.startsWith("task:") });
  assert.equal(store.nextQuestion().fields.pattern, "task:*");
  store.onReply({ entries: [], next: null, rev: 1 });
  const set = { type: "set", rev: 9, version: 1, by: "a", at: T, expires_at: null };
  store.onEvent({ ...set, ns: "default", key: "note" });
  store.onEvent({ ...set, ns: "docs", key: "task:1" });
  store.onEvent({ ...set, ns: "default", key: "task:2" });
  assert.deepEqual(keys(store), ["task:2"]);
});

test("a full store stops reading, stays exact up to its read position, and sets full", () => {
  const hub = new FakeHub(3);
  for (let i = 0; i < 9; i++) hub.set(`k${i}`);
  const store = new KeyStore({}, { maxKeys: 4 });
  read(store, hub);
  assert.equal(store.full, true);
  assert.deepEqual(keys(store), ["k0", "k1", "k2", "k3", "k4", "k5"]);
  hub.events = [];
  hub.set("k8");
  hub.delete("k1");
  for (const event of hub.events) store.onEvent(event);
  assert.deepEqual(keys(store), ["k0", "k2", "k3", "k4", "k5"]);
});

test("a hub that refuses is not asked again", () => {
  const store = new KeyStore({ ns: "default" });
  store.nextQuestion();
  store.onError("pattern: too long");
  assert.equal(store.settled, true);
  assert.equal(store.nextQuestion(), null);
  assert.equal(store.error, "pattern: too long");
});

test("lists follow changes of deadlines and authors", () => {
  const hub = new FakeHub(10);
  hub.set("a", { by: "x", ttl: 50 });
  hub.set("b", { by: "y" });
  const store = new KeyStore();
  read(store, hub);
  store.listAuthor("x", "deadline");
  hub.events = [];
  hub.set("b", { by: "x", ttl: 20 });
  hub.touch("a", 10);
  for (const event of hub.events) store.onEvent(event);
  assert.deepEqual([...store.deadlines].map((it) => it.key), ["a", "b"]);
  assert.deepEqual([...store.authorList].map((it) => it.key), ["a", "b"]);
  assert.equal(store.countOf("x"), 2);
  assert.equal(store.countOf("y"), 0);
  hub.events = [];
  hub.set("a", { by: "z" });
  for (const event of hub.events) store.onEvent(event);
  assert.deepEqual([...store.authorList].map((it) => it.key), ["b"]);
  store.listAuthor("z", "key", (record) => record.key !== "a");
  assert.deepEqual([...store.authorList], []);
});

test("keys are in the order of the hub, by code point", () => {
  const order = ["A", "a", "\uffee", "\u{1f41d}"];
  assert.deepEqual([...order].reverse().sort(compareKeys), order);
  assert.ok(compareKeys("a", "ab") < 0 && compareKeys("\u{1f41d}", "\u{1f41d}x") < 0 && compareKeys("x", "x") === 0);
});

test("pages and events joined equal the hub, over random walks", () => {
  for (let seed = 1; seed <= 30; seed++) {
    let state = seed;
    const random = (n) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
    const hub = new FakeHub(4);
    const change = () => {
      const key = "abcdefgh"[random(8)] + ":/"[random(2)] + random(6);
      const ns = ["default", "docs", "zoo"][random(3)];
      const kind = random(10);
      if (kind < 6) hub.set(key, { ns, by: "xyz"[random(3)], ttl: random(2) ? 10 + random(50) : null });
      else if (kind < 8) hub.delete(key, ns);
      else hub.touch(key, 10 + random(50), ns);
    };
    for (let i = 0; i < 60; i++) change();
    hub.events = [];
    const store = new KeyStore();
    store.listAuthor("x");
    const delayed = []; // events come in order, but conflation can delay them beyond a page that contains them
    const deliverSome = () => {
      delayed.push(...hub.events.splice(0));
      for (const event of delayed.splice(0, random(delayed.length + 1))) store.onEvent(event);
    };
    while (!store.settled) {
      for (let i = random(6); i > 0; i--) change();
      const question = store.nextQuestion();
      deliverSome();
      store.onReply(hub.answer(question));
      deliverSome();
    }
    for (const event of [...delayed, ...hub.events]) store.onEvent(event);
    store.check();
    const known = [...store.records.values()].map(({ id, rev, by, expiresAt }) => [id, rev, by, expiresAt]).sort();
    const expected = [...hub.entries].map(([id, { rev, by, expires_at }]) => [id, rev, by, expires_at]).sort();
    assert.deepEqual(known, expected, `seed ${seed}`);
  }
});

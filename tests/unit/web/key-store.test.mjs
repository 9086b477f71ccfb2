// A book of keys: pages and events, joined. The hub here is an array that answers as the hub does.

import assert from "node:assert/strict";
import { test } from "node:test";

import { KeyStore } from "../../../web/model/key-store.js";
import { compareKeys } from "../../../web/text/compare-keys.js";

const T = 1_800_000_000;

/** A hub that holds entries, makes events, and answers `namespaces` and `list` in pages of `page`. */
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
    const found = all
      .filter(({ ns, key }) => ns === fields.ns && (fields.after === undefined || compareKeys(key, fields.after) > 0))
      .sort((a, b) => compareKeys(a.key, b.key));
    const entries = found.slice(0, this.page).map((entry) => ({ ...entry }));
    return { entries, next: found.length > this.page ? entries.at(-1).key : null, rev: this.rev };
  }
}

function read(book, hub) {
  for (let question = book.next(); question !== null; question = book.next()) book.answered(hub.answer(question));
}

const keys = (book) => [...book.listed].map((record) => record.key);

test("all namespaces are read, a page at a time, but for the hub's own", () => {
  const hub = new FakeHub(2);
  for (const key of ["c", "a", "b", "e", "d"]) hub.set(key);
  hub.set("x", { ns: "docs" });
  const book = new KeyStore();
  assert.deepEqual(book.next(), { op: "namespaces", fields: {} });
  assert.equal(book.next(), null, "one question at a time");
  book.answered(hub.answer({ op: "namespaces", fields: {} }));
  assert.deepEqual(book.next().fields, { pattern: "*", ns: "default", limit: 1000, values: false });
  book.answered(hub.answer({ op: "list", fields: { ns: "default" } }));
  assert.equal(book.settled, false);
  assert.equal(book.next().fields.after, "b");
  book.answered(hub.answer({ op: "list", fields: { ns: "default", after: "b" } }));
  read(book, hub);
  assert.equal(book.settled, true);
  assert.deepEqual(keys(book), ["a", "b", "c", "d", "e", "x"]);
  assert.deepEqual([...book.namespaces], [["default", 5], ["docs", 1]]);
  assert.equal(book.expected, 6);
});

test("an event beyond the edge is left to the page to come; one before it counts", () => {
  const hub = new FakeHub(2);
  for (const key of ["a", "c", "e", "g"]) hub.set(key);
  const book = new KeyStore({ ns: "default" });
  book.answered(hub.answer(book.next()));
  hub.events = [];
  hub.set("b");
  hub.set("f");
  hub.delete("a");
  for (const event of hub.events) book.heard(event);
  assert.deepEqual(keys(book), ["b", "c"]);
  read(book, hub);
  assert.deepEqual(keys(book), ["b", "c", "e", "f", "g"]);
  book.check();
});

test("events that come late, after a page that has them in it, change nothing", () => {
  const hub = new FakeHub(10);
  hub.set("a");
  hub.delete("a");
  hub.set("a", { by: "newest" });
  hub.set("b");
  hub.delete("b");
  const book = new KeyStore({ ns: "default" });
  read(book, hub);
  for (const event of hub.events) book.heard(event);
  assert.deepEqual(keys(book), ["a"]);
  assert.equal(book.records.get("default\na").by, "newest");
});

test("a namespace that comes while others are read is known by its events", () => {
  const hub = new FakeHub(1);
  hub.set("a");
  hub.set("b");
  const book = new KeyStore();
  book.answered(hub.answer(book.next()));
  hub.events = [];
  hub.set("x", { ns: "aaa" });
  for (const event of hub.events) book.heard(event);
  read(book, hub);
  assert.deepEqual(keys(book), ["x", "a", "b"]);
});

test("a scope asks the hub for its pattern, and hears of nothing else", () => {
  const book = new KeyStore({ ns: "default", pattern: "task:*", accepts: (key) => key.startsWith("task:") });
  assert.equal(book.next().fields.pattern, "task:*");
  book.answered({ entries: [], next: null, rev: 1 });
  const set = { type: "set", rev: 9, version: 1, by: "a", at: T, expires_at: null };
  book.heard({ ...set, ns: "default", key: "note" });
  book.heard({ ...set, ns: "docs", key: "task:1" });
  book.heard({ ...set, ns: "default", key: "task:2" });
  assert.deepEqual(keys(book), ["task:2"]);
});

test("a book that is full stops reading, stays exact up to its edge, and says so", () => {
  const hub = new FakeHub(3);
  for (let i = 0; i < 9; i++) hub.set(`k${i}`);
  const book = new KeyStore({}, { most: 4 });
  read(book, hub);
  assert.equal(book.full, true);
  assert.deepEqual(keys(book), ["k0", "k1", "k2", "k3", "k4", "k5"]);
  hub.events = [];
  hub.set("k8");
  hub.delete("k1");
  for (const event of hub.events) book.heard(event);
  assert.deepEqual(keys(book), ["k0", "k2", "k3", "k4", "k5"]);
});

test("a hub that refuses is not asked again", () => {
  const book = new KeyStore({ ns: "default" });
  book.next();
  book.refused("pattern: too long");
  assert.equal(book.settled, true);
  assert.equal(book.next(), null);
  assert.equal(book.wrong, "pattern: too long");
});

test("lists follow what moves: deadlines, and who wrote last", () => {
  const hub = new FakeHub(10);
  hub.set("a", { by: "x", ttl: 50 });
  hub.set("b", { by: "y" });
  const book = new KeyStore();
  read(book, hub);
  book.hold("x", "deadline");
  hub.events = [];
  hub.set("b", { by: "x", ttl: 20 });
  hub.touch("a", 10);
  for (const event of hub.events) book.heard(event);
  assert.deepEqual([...book.deadlines].map((it) => it.key), ["a", "b"]);
  assert.deepEqual([...book.held].map((it) => it.key), ["a", "b"]);
  assert.equal(book.countOf("x"), 2);
  assert.equal(book.countOf("y"), 0);
  hub.events = [];
  hub.set("a", { by: "z" });
  for (const event of hub.events) book.heard(event);
  assert.deepEqual([...book.held].map((it) => it.key), ["b"]);
  book.hold("z", "key", (record) => record.key !== "a");
  assert.deepEqual([...book.held], []);
});

test("keys are in the order of the hub: by code point", () => {
  const order = ["A", "a", "\uffee", "\u{1f41d}"];
  assert.deepEqual([...order].reverse().sort(compareKeys), order);
  assert.ok(compareKeys("a", "ab") < 0 && compareKeys("\u{1f41d}", "\u{1f41d}x") < 0 && compareKeys("x", "x") === 0);
});

test("pages and events joined agree with the hub, over random walks", () => {
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
    const book = new KeyStore();
    book.hold("x");
    const underway = []; // events come in order, but maybe after a page that has them in it: they are conflated
    const some = () => {
      underway.push(...hub.events.splice(0));
      for (const event of underway.splice(0, random(underway.length + 1))) book.heard(event);
    };
    while (!book.settled) {
      for (let i = random(6); i > 0; i--) change();
      const question = book.next();
      some();
      book.answered(hub.answer(question));
      some();
    }
    for (const event of [...underway, ...hub.events]) book.heard(event);
    book.check();
    const seen = [...book.records.values()].map(({ id, rev, by, expiresAt }) => [id, rev, by, expiresAt]).sort();
    const there = [...hub.entries].map(([id, { rev, by, expires_at }]) => [id, rev, by, expires_at]).sort();
    assert.deepEqual(seen, there, `seed ${seed}`);
  }
});

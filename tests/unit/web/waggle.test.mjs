// The browser's client against a fake socket and a fake clock, which the test controls.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";

import { connect, WaggleError } from "../../../web/waggle.js";

globalThis.crypto ??= webcrypto;

class Socket {
  static all = [];
  sent = [];
  closedWith = null;
  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    Socket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close(code) {
    this.closedWith = code ?? 1000;
  }
  /** The hub sends these lines as one message. */
  say(...lines) {
    this.onmessage?.({ data: lines.map((line) => JSON.stringify(line)).join("\n") });
  }
  /** The hub answers the newest command with this op. */
  answer(op, ok) {
    this.say({ id: this.last(op).id, ok });
  }
  refuse(op, error) {
    this.say({ id: this.last(op).id, error: { message: error.code, ...error } });
  }
  last(op) {
    const command = this.sent.filter((it) => it.op === op).at(-1);
    assert.ok(command, `no ${op} was sent`);
    return command;
  }
  ops() {
    return this.sent.map((it) => it.op);
  }
}

const time = { now: 0, timers: [] };
const real = {};
beforeEach(() => {
  Socket.all = [];
  Object.assign(time, { now: 0, timers: [] });
  for (const name of ["setTimeout", "clearTimeout", "setInterval", "clearInterval"]) real[name] = globalThis[name];
  globalThis.setTimeout = (run, ms) => push({ at: time.now + ms / 1000, run });
  globalThis.setInterval = (run, ms) => push({ at: time.now + ms / 1000, run, every: ms / 1000 });
  globalThis.clearTimeout = globalThis.clearInterval = (timer) => {
    time.timers = time.timers.filter((it) => it !== timer);
  };
});
afterEach(() => Object.assign(globalThis, real));

function push(timer) {
  time.timers.push(timer);
  return timer;
}

function pass(seconds) {
  const end = time.now + seconds;
  for (;;) {
    const [next] = time.timers.filter((it) => it.at <= end).sort((a, b) => a.at - b.at);
    if (next === undefined) break;
    time.now = next.at;
    if (next.every === undefined) clearTimeout(next);
    else next.at += next.every;
    next.run();
  }
  time.now = end;
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const socket = () => Socket.all.at(-1);
const welcome = (more = {}) => ({ session: "s1", secret: "x", agent: "me", resumed: false, epoch: "e1", rev: 10, subs: {}, ...more });

/** Return a hub whose `hello` was answered. */
async function opened(options = {}) {
  const states = [];
  const hub = connect({
    url: "http://hub:4483", WebSocket: Socket, clock: () => time.now, chance: () => 1,
    onstate: (state) => states.push(state.name),
    ...options,
  });
  await settle();
  socket().onopen();
  socket().answer("hello", welcome());
  return { hub, states };
}

/** Lose the connection and open another. */
function reconnect(code = 1006, reason = "") {
  socket().onclose({ code, reason });
  pass(20);
  socket().onopen();
}

function listen(hub, interest) {
  const lines = [];
  const subscription = hub.subscribe({ patterns: ["*"], ...interest }, (line) => lines.push(line));
  return { subscription, lines, seen: () => lines.map((it) => (it.key ? `${it.type} ${it.key}` : it.type)) };
}

const event = (rev, after, key = `k${rev}`, more = {}) => ({ sub: 3, rev, after, type: "set", key, ns: "default", ...more });

// --- addresses, commands ---

test("the address of the socket follows the address of the hub", async () => {
  const cases = { "http://h:1": "ws://h:1/ws", "https://h/waggle/": "wss://h/waggle/ws", "ws://h:2/ws": "ws://h:2/ws" };
  for (const [url, expected] of Object.entries(cases)) {
    connect({ url, WebSocket: Socket, clock: () => 0 });
    await settle();
    assert.equal(socket().url, expected);
    assert.equal(socket().protocol, "waggle.v1");
  }
});

test("hello carries the agent's name, and commands wait for its reply", async () => {
  const hub = connect({ url: "http://hub", agent: "me", meta: { role: "x" }, WebSocket: Socket, clock: () => 0 });
  const got = hub.get("a");
  await settle();
  socket().onopen();
  assert.deepEqual(socket().sent, [{ id: 1, op: "hello", agent: "me", meta: { role: "x" } }]);
  socket().answer("hello", welcome());
  assert.equal(socket().last("get").rid, undefined);
  socket().answer("get", { entry: { key: "a" }, rev: 10 });
  assert.deepEqual(await got, { key: "a" });
});

test("an error reply rejects with its code and details", async () => {
  const { hub } = await opened();
  const set = hub.set("a", 1, { if_rev: 3 });
  socket().refuse("set", { code: "conflict", current: null });
  await assert.rejects(set, (error) => error instanceof WaggleError && error.code === "conflict" && error.details.current === null);
});

test("a change whose reply was lost is sent again with the same rid", async () => {
  const { hub } = await opened();
  const set = hub.set("a", 1);
  const { rid, id } = socket().last("set");
  reconnect();
  socket().answer("hello", welcome({ resumed: true }));
  const again = socket().last("set");
  assert.equal(again.rid, rid);
  assert.notEqual(again.id, id);
  socket().answer("set", { rev: 11, version: 1, expires_at: null });
  assert.equal((await set).rev, 11);
});

test("in a new session a change without a reply is refused, and a read is sent again", async () => {
  const { hub } = await opened();
  const set = hub.set("a", 1);
  const get = hub.get("a");
  reconnect();
  const unsent = hub.set("b", 2);
  socket().refuse("hello", { code: "session_lost" });
  socket().answer("hello", welcome({ session: "s2" }));
  await assert.rejects(set, { code: "session_lost" });
  assert.deepEqual(socket().ops(), ["hello", "hello", "get", "set"]);
  socket().answer("get", { entry: null });
  socket().answer("set", { rev: 12 });
  assert.equal(await get, null);
  assert.equal((await unsent).rev, 12);
});

test("a command made before the reply to hello is sent once", async () => {
  let asked = null;
  const hub = connect({ url: "http://hub", WebSocket: Socket, clock: () => 0, onhello: () => (asked = hub.command("ping")) });
  await settle();
  socket().onopen();
  socket().answer("hello", welcome());
  assert.deepEqual(socket().ops(), ["hello", "ping"]);
  socket().answer("ping", { rev: 10, at: 5 });
  assert.equal((await asked).at, 5);
});

// --- subscriptions ---

test("a snapshot is followed by the later events", async () => {
  const { hub } = await opened();
  const { seen, subscription } = listen(hub, { snapshot: true });
  socket().say(
    { id: socket().last("subscribe").id, ok: { sub: 3, epoch: "e1", rev: 10 } },
    event(4, 0, "a", { snapshot: true }),
    { sub: 3, type: "synced", rev: 10 },
    event(11, 10),
  );
  assert.deepEqual(seen(), ["reset", "set a", "synced", "set k11"]);
  assert.equal(subscription.cursor, 11);
  assert.equal(await subscription.ready, subscription);
});

test("events of one revision come together, and come again whole after a cut", async () => {
  const { hub } = await opened();
  const { seen, subscription } = listen(hub);
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say(event(11, 10, "a", { more: true }));
  assert.deepEqual(seen(), []);
  assert.equal(subscription.cursor, 10);
  reconnect();
  assert.deepEqual(socket().last("hello").cursors, { 3: 10 });
  socket().answer("hello", welcome({ resumed: true, subs: { 3: 3 }, rev: 12 }));
  socket().say(event(11, 10, "a", { more: true }), event(11, 11, "b"), event(12, 11));
  assert.deepEqual(seen(), ["resumed", "set a", "set b", "set k12"]);
});

test("an event after a gap is not delivered, and the gap is asked for from the cursor", async () => {
  const { hub } = await opened();
  const { seen } = listen(hub);
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say(event(11, 10), event(14, 13), event(15, 14));
  assert.deepEqual(seen(), ["set k11"]);
  assert.deepEqual(socket().last("subscribe").since, { epoch: "e1", rev: 11 });
  assert.equal(socket().ops().filter((op) => op === "subscribe").length, 2);
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 15, resumed: true });
  socket().say(event(13, 11), event(14, 13), event(15, 14), { sub: 3, type: "mark", rev: 15 });
  assert.deepEqual(seen(), ["set k11", "resumed", "set k13", "set k14", "set k15"]);
});

test("an event is not delivered twice", async () => {
  const { hub } = await opened();
  const { seen } = listen(hub);
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say(event(11, 10), event(11, 10), event(9, 8), event(12, 11));
  assert.deepEqual(seen(), ["set k11", "set k12"]);
});

test("marks of the subscription and of the connection move the cursor", async () => {
  const { hub } = await opened();
  const { subscription } = listen(hub);
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say({ sub: 3, type: "mark", rev: 20 });
  assert.equal(subscription.cursor, 20);
  socket().say({ type: "mark", rev: 30 }, { type: "mark", rev: 25 });
  assert.equal(subscription.cursor, 30);
  socket().say(event(31, 10));
  assert.equal(subscription.cursor, 31);
});

test("a subscription in the middle of its snapshot is left out of cursors, and begins again", async () => {
  const { hub } = await opened();
  const { seen } = listen(hub, { snapshot: true });
  const other = listen(hub, { patterns: ["b"] });
  const [first, second] = socket().sent.filter((it) => it.op === "subscribe");
  socket().say({ id: first.id, ok: { sub: 3, epoch: "e1", rev: 10 } }, { id: second.id, ok: { sub: 4, epoch: "e1", rev: 10 } });
  socket().say(event(4, 0, "a", { snapshot: true }), { type: "mark", rev: 50 });
  reconnect();
  assert.deepEqual(socket().last("hello").cursors, { 4: 50 });
  socket().answer("hello", welcome({ resumed: true, subs: { 3: 7, 4: 8 } }));
  socket().say({ ...event(4, 0, "a", { snapshot: true }), sub: 7 }, { sub: 7, type: "synced", rev: 60 }, { ...event(61, 50), sub: 8 });
  socket().say(event(62, 61, "for the subscription that had this number"));
  assert.deepEqual(seen(), ["reset", "set a", "reset", "set a", "synced"]);
  assert.deepEqual(other.seen(), ["resumed", "set k61"]);
});

test("lost begins a new snapshot", async () => {
  const { hub } = await opened();
  const { lines, seen, subscription } = listen(hub);
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say({ sub: 3, type: "lost", reason: "compacted" });
  assert.equal(subscription.synced, false);
  socket().say(event(4, 0, "a", { snapshot: true }), { sub: 3, type: "synced", rev: 99 }, event(100, 99));
  assert.deepEqual(seen(), ["reset", "set a", "synced", "set k100"]);
  assert.equal(lines[0].reason, "compacted");
});

test("in a new session subscriptions continue from their cursors, or get a reset with the reason", async () => {
  const { hub } = await opened();
  const { seen, lines } = listen(hub, { snapshot: true });
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say({ sub: 3, type: "synced", rev: 10 });
  reconnect();
  socket().refuse("hello", { code: "session_lost" });
  assert.equal(socket().last("hello").session, undefined);
  socket().answer("hello", welcome({ session: "s2", epoch: "e2" }));
  assert.deepEqual(socket().last("subscribe").since, { epoch: "e1", rev: 10 });
  socket().answer("subscribe", { sub: 1, epoch: "e2", rev: 2, resumed: false, reason: "epoch" });
  socket().say({ sub: 1, type: "synced", rev: 2 });
  assert.deepEqual(seen(), ["reset", "synced", "reset", "synced"]);
  assert.equal(lines[2].reason, "epoch");
});

test("a hub whose revision is before the cursor is asked for a snapshot", async () => {
  const { hub } = await opened();
  const { lines } = listen(hub, { snapshot: true });
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say({ sub: 3, type: "synced", rev: 10 });
  reconnect();
  socket().refuse("hello", { code: "bad_request", field: "cursors" });
  socket().answer("hello", welcome({ session: "s2", rev: 5 }));
  socket().refuse("subscribe", { code: "bad_request", field: "since" });
  assert.equal(socket().last("subscribe").since, undefined);
  assert.equal(lines.at(-1).reason, "restart");
});

test("a subscription that the hub refuses gets the error and ends", async () => {
  const { hub } = await opened();
  const { seen, subscription } = listen(hub, { patterns: ["["] });
  socket().refuse("subscribe", { code: "bad_request", field: "patterns" });
  await assert.rejects(subscription.ready, { code: "bad_request" });
  assert.deepEqual(seen(), ["refused"]);
  listen(hub, { patterns: ["["] });
});

test("the same interest cannot be subscribed to twice until it is closed", async () => {
  const { hub } = await opened();
  const { subscription } = listen(hub, { patterns: ["b", "a"], types: ["set", "expire"] });
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  assert.throws(() => listen(hub, { patterns: ["a", "b", "a"], types: ["expire", "set"], snapshot: true }), /already/);
  subscription.close();
  assert.equal(socket().last("unsubscribe").sub, 3);
  listen(hub, { patterns: ["a", "b"], types: ["set", "expire"] });
});

test("an error in a handler is reported and stops nothing else", async () => {
  const { hub } = await opened();
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  let calls = 0;
  hub.subscribe({ patterns: ["*"] }, () => {
    calls += 1;
    throw new Error("no");
  });
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say(event(11, 10), event(12, 11));
  delete globalThis.reportError;
  assert.equal(calls, 2);
  assert.deepEqual(reported, ["no", "no"]);
});

// --- the connection ---

test("the backoff grows after each failure, up to its limit", async () => {
  const { hub } = await opened();
  const waits = [];
  socket().onclose({ code: 1006, reason: "" });
  for (let i = 0; i < 8; i++) {
    waits.push(hub.state.retryIn);
    pass(hub.state.retryIn);
    socket().onclose({ code: 1006, reason: "" });
  }
  assert.deepEqual(waits, [0.25, 0.5, 1, 2, 4, 8, 10, 10]);
  pass(10);
  socket().onopen();
  socket().answer("hello", welcome({ resumed: true }));
  socket().onclose({ code: 1006, reason: "" });
  assert.equal(hub.state.retryIn, 0.25);
});

test("a hub that stops is called again after the pause that it gave", async () => {
  const { hub } = await opened();
  socket().onclose({ code: 4000, reason: "2" });
  assert.equal(hub.state.retryIn, 2.25);
});

test("after a final close code the client does not connect again", async () => {
  for (const code of [1000, 4002, 4400, 4401, 4403, 1009]) {
    const { hub } = await opened();
    const get = hub.get("a");
    const sockets = Socket.all.length;
    socket().onclose({ code, reason: "because" });
    assert.equal(hub.state.name, "closed");
    await assert.rejects(get, { code: "disconnected" });
    await assert.rejects(hub.get("b"), { code: "disconnected" });
    pass(100);
    assert.equal(Socket.all.length, sockets);
  }
});

test("a hub that refuses hello is not called again", async () => {
  const hub = connect({ url: "http://hub", WebSocket: Socket, clock: () => time.now });
  await settle();
  socket().onopen();
  socket().refuse("hello", { code: "unauthorized", message: "this hub asks for a token" });
  assert.equal(hub.state.name, "closed");
  assert.equal(hub.state.reason, "this hub asks for a token");
});

test("a silent hub gets a ping, and its connection is given up without a reply", async () => {
  const { hub, states } = await opened();
  pass(11);
  assert.ok(!socket().ops().includes("ping"));
  pass(4);
  assert.equal(socket().ops().filter((op) => op === "ping").length, 1);
  socket().answer("ping", { rev: 10, at: 1 });
  pass(10);
  assert.equal(hub.state.name, "open");
  const silent = socket();
  pass(15);
  assert.notEqual(silent.closedWith, null);
  assert.deepEqual(states.slice(-2), ["waiting", "connecting"]);
  silent.say(event(11, 10));
});

test("a connection that does not open is given up", async () => {
  const hub = connect({ url: "http://hub", WebSocket: Socket, clock: () => time.now, chance: () => 1 });
  await settle();
  pass(10);
  assert.equal(hub.state.name, "waiting");
  assert.equal(Socket.all.length, 1);
  pass(0.25);
  assert.equal(Socket.all.length, 2);
});

test("close sends bye, and is final", async () => {
  const { hub } = await opened();
  hub.close();
  assert.deepEqual(socket().ops(), ["hello", "bye"]);
  assert.equal(socket().closedWith, 1000);
  pass(100);
  assert.equal(Socket.all.length, 1);
});

test("the hub's time comes from the measurement with the shortest round trip", async () => {
  const { hub } = await opened();
  const measure = async (trip, at) => {
    const measured = hub.syncClock();
    time.now += trip;
    socket().answer("ping", { rev: 10, at });
    await measured;
  };
  time.now = 100;
  await measure(0.2, 5000.1);
  assert.equal(Math.round(hub.now() * 1000), 5000200);
  await measure(2, 9000);
  time.now = 110;
  assert.equal(Math.round(hub.now() * 1000), 5010000);
});

// --- the rest of what it offers ---

test("an update carries its change and a rid", async () => {
  const { hub } = await opened();
  const updated = hub.update("a", { incr: 2 }, { pointer: "/n", if_rev: 4 });
  const { id, rid, ...command } = socket().last("update");
  assert.deepEqual(command, { op: "update", key: "a", incr: 2, pointer: "/n", if_rev: 4 });
  assert.equal(typeof rid, "string");
  reconnect();
  socket().answer("hello", welcome({ resumed: true }));
  assert.equal(socket().last("update").rid, rid, "asked again, it is the same change");
  socket().answer("update", { rev: 11, version: 2, value: { n: 3 }, expires_at: null });
  assert.deepEqual(await updated, { rev: 11, version: 2, value: { n: 3 }, expires_at: null });
});

test("history and namespaces return the contents of the reply", async () => {
  const { hub } = await opened();
  const history = hub.history("a", { ns: "docs", limit: 5 });
  assert.deepEqual({ ...socket().last("history"), id: 0 }, { id: 0, op: "history", key: "a", ns: "docs", limit: 5 });
  socket().answer("history", { entries: [{ version: 2 }, { version: 1 }] });
  assert.deepEqual(await history, [{ version: 2 }, { version: 1 }]);
  const namespaces = hub.namespaces();
  socket().answer("namespaces", { namespaces: [{ ns: "default", keys: 3, bytes: 40 }] });
  assert.deepEqual(await namespaces, [{ ns: "default", keys: 3, bytes: 40 }]);
});

test("reads carry no rid", async () => {
  const { hub } = await opened();
  const stats = hub.stats();
  assert.equal(socket().last("stats").rid, undefined);
  reconnect();
  socket().answer("hello", welcome({ session: "s2" }));
  socket().answer("stats", { keys: 3 });
  assert.deepEqual(await stats, { keys: 3 });
});

test("conflation is sent to the hub, and two interests can differ by it alone", async () => {
  const { hub } = await opened();
  listen(hub, { conflate: 0.25 });
  assert.equal(socket().last("subscribe").conflate, 0.25);
  assert.throws(() => listen(hub, { conflate: 0.25 }), /subscribed to this already/);
  listen(hub, { conflate: 0.5 });
  listen(hub, {});
  assert.equal(socket().sent.filter(({ op }) => op === "subscribe").length, 3);
});

test("revisions left out by conflation are not a gap", async () => {
  const { hub } = await opened();
  const { seen } = listen(hub, { conflate: 0.25 });
  socket().answer("subscribe", { sub: 3, epoch: "e1", rev: 10 });
  socket().say(event(14, 10), event(19, 14));
  assert.deepEqual(seen(), ["set k14", "set k19"]);
});

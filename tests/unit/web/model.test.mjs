// The model: lines and intents in, state out. Time is an argument, so no test waits.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as model from "../../../web/model/model.js";

const T = 1_800_000_000;
const WELCOME = { agent: "me", epoch: "e1", rev: 10, hub: { name: "waggle", version: "1" }, durability: "memory" };

/** Return a state after `hello`, with these keys read at revision 10. */
function connected(entries = [], agents = [], bounds = {}) {
  const state = model.initial(bounds);
  model.onWelcome(state, WELCOME, { first: true, takenOver: false }, T);
  answerAll(state, entries);
  agentsAre(state, agents);
  return state;
}

/** Answer the model's questions as a hub with these entries would. */
function answerAll(state, entries) {
  for (let asked = model.questions(state); asked.length > 0; asked = model.questions(state)) {
    for (const { op, fields, onReply } of asked) onReply(answerOf(op, fields, entries));
  }
}

function answerOf(op, fields, entries) {
  if (op === "inspect") return { rev: 10, at: T, sessions: [], locks: [], waits: [], subscriptions: [], cut: [] };
  if (op === "namespaces") return { namespaces: [...new Set(entries.map((it) => it.ns))].map((ns) => ({ ns, keys: 1 })) };
  if (op === "get") return { entry: entries.find((it) => it.key === fields.key) ?? null };
  const text = fields.pattern.replaceAll("*", "");
  const matching = entries.filter((it) => it.ns === fields.ns && it.key.includes(text));
  return { entries: matching, next: null, rev: 10 };
}

function agentsAre(state, lines, reason = null, now = T) {
  model.onEvent(state, "agents", { type: "reset", reason }, now);
  for (const line of lines) model.onEvent(state, "agents", { ...line, snapshot: true }, now);
  model.onEvent(state, "agents", { type: "synced", rev: 10 }, now);
}

const set = (key, more = {}) => ({
  type: "set", key, ns: "default", rev: 5, version: 1, kind: "persistent", by: "a", at: T, updated_at: T, value: 1,
  expires_at: null, ...more,
});
const ended = (type, key, more = {}) => ({ type, key, ns: "default", rev: 11, version: 1, by: "a", at: T, ...more });
const agent = (name, value = {}, more = {}) =>
  set(name, { ns: "$agents", value: { connected: true, since: T, meta: {}, status: null, sessions: 1, ...value }, ...more });
const keys = (state) => [...model.shownKeys(state)].map((entry) => entry.key);
const events = (state) => state.feed.shown().map((event) => [event.type, event.key]);

// --- keys ---

test("set, touch, delete, expire and evict events change the keys", () => {
  const state = connected([set("a"), set("b"), set("c"), set("d")]);
  model.onEvent(state, "keys", set("e", { rev: 11 }), T);
  model.onEvent(state, "keys", ended("delete", "a"), T);
  model.onEvent(state, "keys", ended("expire", "b", { late: 0.001 }), T);
  model.onEvent(state, "keys", ended("evict", "c"), T);
  model.onEvent(state, "keys", { type: "touch", key: "d", ns: "default", rev: 15, by: "a", at: T + 1, expires_at: T + 9 }, T);
  assert.deepEqual(keys(state), ["d", "e"]);
  const [d] = model.shownKeys(state);
  assert.equal(d.expiresAt, T + 9);
  assert.equal(d.rev, 5, "a touch changes no revision of the entry");
  assert.equal(model.nextToExpire(state).key, "d");
});

test("keys are shown as a tree, by key, or by deadline if they have one", () => {
  const state = connected([set("b:1", { expires_at: T + 9 }), set("a"), set("b:2", { expires_at: T + 3 })]);
  assert.deepEqual([...model.shownTree(state)].map((row) => row.prefix ?? row.key), ["b:", "b:1", "b:2", "a"]);
  assert.deepEqual(keys(state), ["a", "b:1", "b:2"]);
  model.chooseKeyView(state, "deadline");
  assert.deepEqual(keys(state), ["b:2", "b:1"]);
});

test("a filter reads keys from the hub, and the old keys stay until the first new ones come", () => {
  const all = [set("task:1"), set("note"), set("task:2", { ns: "docs" })];
  const state = connected(all);
  model.filterKeys(state, "task:*");
  assert.equal(keys(state).length, 3);
  answerAll(state, all);
  assert.deepEqual(keys(state), ["task:2", "task:1"].sort());
  model.onEvent(state, "keys", set("task:3", { rev: 11 }), T);
  model.onEvent(state, "keys", set("other", { rev: 12 }), T);
  assert.deepEqual(keys(state), ["task:1", "task:3", "task:2"], "by namespace, then by key");
  model.chooseNamespace(state, "docs");
  answerAll(state, all);
  assert.deepEqual(keys(state), ["task:2"]);
  model.chooseNamespace(state, null);
  model.filterKeys(state, "");
  assert.equal(keys(state).length, 5, "all keys are there at once, and up to date");
});

test("text that is not a pattern yet keeps the old filter and gives an error", () => {
  const all = [set("task:1"), set("note")];
  const state = connected(all);
  model.filterKeys(state, "task*");
  answerAll(state, all);
  model.filterKeys(state, "task[");
  assert.deepEqual(model.questions(state), []);
  assert.deepEqual(keys(state), ["task:1"]);
  assert.match(state.ui.keyFilter.error, /not closed/);
});

test("after a gap in the stream the keys are read again while the known keys stay", () => {
  const state = connected([set("a"), set("b")]);
  model.onEvent(state, "keys", { type: "reset", reason: "compacted" }, T);
  assert.deepEqual(keys(state), ["a", "b"]);
  model.onEvent(state, "keys", set("c", { rev: 12 }), T);
  answerAll(state, [set("b", { rev: 11 }), set("c", { rev: 12 })]);
  assert.deepEqual(keys(state), ["b", "c"]);
});

test("the keys that one agent wrote last are shown, and follow events", () => {
  const state = connected([set("a", { by: "x" }), set("b", { by: "y", expires_at: T + 5 }), set("c", { by: "y" })]);
  model.showKeysOf(state, "y");
  assert.deepEqual(keys(state), ["b", "c"]);
  assert.equal(model.shownKeyView(state), "key", "as a list");
  model.onEvent(state, "keys", set("a", { by: "y", rev: 11 }), T);
  model.onEvent(state, "keys", set("c", { by: "x", rev: 12 }), T);
  assert.deepEqual(keys(state), ["a", "b"]);
  model.filterKeys(state, "b");
  assert.deepEqual(keys(state), ["b"], "the filter applies, too");
  model.showKeysOf(state, null);
  model.filterKeys(state, "");
  assert.equal(keys(state).length, 3);
});

test("a limit on the number of keys is shown", () => {
  const state = connected(Array.from({ length: 9 }, (_, i) => set(`k${i}`, { ns: i < 6 ? "a" : "b" })), [], { maxKeys: 5 });
  model.onStats(state, { rev: 20, at: T, events: 3, keys: 1000 });
  assert.match(model.boundText(state), /^Only the first 6 of 1,000 keys are kept/);
  assert.equal(model.boundText(connected([set("a")])), "");
});

test("values of rows are kept as previews, and become stale when the key is written", () => {
  const state = connected([set("a")]);
  const [a] = model.shownKeys(state);
  assert.deepEqual(model.previewOf(state, a), { text: "", stale: true });
  model.onValue(state, a, { rev: 5, value: { n: 1 } });
  assert.deepEqual(model.previewOf(state, a), { text: '{"n": 1}', stale: false });
  model.onEvent(state, "keys", set("a", { rev: 11, version: 2 }), T);
  assert.equal(model.previewOf(state, a).stale, true);
  model.onEvent(state, "events", set("a", { rev: 11, value: "new" }), T);
  assert.deepEqual(model.previewOf(state, a), { text: '"new"', stale: false }, "an event has the value, too");
  model.onValue(state, a, { rev: 5, value: "late" });
  assert.equal(model.previewOf(state, a).text, '"new"', "a late reply changes nothing");
});

test("a countdown is rounded up and is due exactly at the deadline", () => {
  const entry = { expiresAt: T + 100, since: T };
  const at = (seconds) => model.countdown(entry, T + seconds);
  assert.deepEqual(at(0), { text: "1 min 40 s", part: 1, due: false, tone: "calm" });
  assert.equal(at(50).text, "50 s");
  assert.equal(at(50).part, 0.5);
  assert.equal(at(90.25).text, "9.8 s");
  assert.equal(at(99.99).text, "0.1 s");
  assert.equal(at(99.99).due, false);
  assert.deepEqual(at(100), { text: "due", part: 0, due: true, tone: "due" });
  assert.equal(at(1e6).text, "due");
  assert.equal(model.countdown({ expiresAt: null }, T), null);
});

// --- agents ---

test("agents join, go away, come back and leave", () => {
  const state = connected([], [agent("b", { meta: { role: "tester" }, status: "busy" })]);
  model.onEvent(state, "agents", agent("a", {}, { rev: 11 }), T);
  model.onEvent(state, "agents", agent("b", { connected: false }, { rev: 12 }), T);
  assert.deepEqual(model.shownAgents(state).map((it) => [it.name, it.connected]), [["a", true], ["b", false]]);
  model.onEvent(state, "agents", agent("b", {}, { rev: 13 }), T);
  model.onEvent(state, "agents", { ...ended("delete", "a", { rev: 14 }), ns: "$agents" }, T);
  assert.deepEqual(model.shownAgents(state).map((it) => it.name), ["b"]);
  assert.deepEqual(state.feed.shown().map((it) => it.summary), ["left", "back", "away", "joined"]);
  assert.deepEqual(model.countAgents(state), { here: 1, away: 0, dashboards: 0 });
});

test("dashboards are hidden among the agents and the events until the user shows them", () => {
  const dashboard = { meta: { role: "dashboard" } };
  const state = connected([], [agent("a"), agent("me", dashboard)]);
  model.onEvent(state, "agents", agent("other", dashboard, { rev: 11 }), T);
  model.onEvent(state, "agents", { ...ended("delete", "other", { rev: 12 }), ns: "$agents" }, T);
  assert.deepEqual(model.shownAgents(state).map((it) => it.name), ["a"]);
  assert.deepEqual(events(state), []);
  model.showDashboards(state, true);
  assert.deepEqual(model.shownAgents(state).map((it) => it.name), ["a", "me"]);
  assert.equal(events(state).length, 2);
});

test("an agent's meta and status may be any JSON", () => {
  const odd = [{ meta: null, status: { a: 1 } }, { meta: { role: 7 }, status: 0 }, { meta: [], status: "x" }];
  const state = connected([], odd.map((value, i) => agent(`a${i}`, value)));
  assert.deepEqual(model.shownAgents(state).map((it) => [it.role, it.status]), [["", '{"a": 1}'], ["", "0"], ["", "x"]]);
});

// --- events ---

test("an event is kept with a summary and moves the revision", () => {
  const state = connected();
  model.onEvent(state, "events", set("a", { rev: 11, value: [1] }), T);
  model.onEvent(state, "events", { ...ended("message", "chat", { rev: 12 }), data: "hi" }, T);
  assert.deepEqual(state.feed.shown().map((it) => it.summary), ['"hi"', "[1]"]);
  assert.equal(state.rev, 12);
});

test("an event of an unknown type is shown under its own name", () => {
  const state = connected();
  model.onEvent(state, "events", ended("blossom", "a"), T);
  assert.deepEqual(events(state), [["blossom", "a"]]);
});

test("statistics of the hub make rates", () => {
  const state = connected();
  model.onStats(state, { rev: 20, at: T, events: 100 });
  model.onStats(state, { rev: 30, at: T + 2, events: 140 });
  assert.equal(state.rates.latest("revisions"), 5);
  assert.equal(state.rates.latest("events"), 20);
  assert.equal(state.rev, 30);
});

// --- the connection ---

const connectionOf = (state, now = T) => {
  const { text, note } = model.connectionText(state, now);
  return note === "" ? text : `${text}: ${note}`;
};

test("the state of the connection is shown in words", () => {
  const state = model.initial();
  assert.equal(connectionOf(state), "connecting");
  model.onConnectionState(state, { name: "waiting", attempt: 1, retryIn: 2 }, T);
  assert.equal(connectionOf(state), "no hub here yet: attempt 2 in 2 s");
  model.onWelcome(state, WELCOME, { first: true, takenOver: false }, T);
  assert.equal(connectionOf(state), "connected");
  model.onConnectionState(state, { name: "waiting", attempt: 1, retryIn: 2 }, T);
  assert.equal(connectionOf(state, T + 0.5), "reconnecting: attempt 2 in 2 s");
  model.onConnectionState(state, { name: "connecting", attempt: 1 }, T);
  assert.equal(connectionOf(state), "reconnecting: attempt 2");
  model.onConnectionState(state, { name: "closed", attempt: 0, reason: "session taken over" }, T);
  assert.equal(connectionOf(state), "closed: session taken over");
});

test("after a takeover the missed events are counted, without the dashboard's own reconnect", () => {
  const state = connected();
  model.onConnectionState(state, { name: "waiting", attempt: 1, retryIn: 1 }, T);
  model.onWelcome(state, { ...WELCOME, rev: 20 }, { first: false, takenOver: true }, T + 3);
  assert.equal(connectionOf(state, T + 3), "connected: resumed, 0 events caught up");
  model.onEvent(state, "events", { type: "resumed", rev: 20 }, T + 3);
  model.onEvent(state, "agents", agent("me", { meta: { role: "dashboard" } }, { rev: 18 }), T + 3);
  model.onEvent(state, "events", set("a", { rev: 19 }), T + 3);
  model.onEvent(state, "events", set("b", { rev: 20 }), T + 3);
  model.onEvent(state, "events", set("c", { rev: 21 }), T + 3);
  assert.equal(connectionOf(state, T + 4), "connected: resumed, 2 events caught up");
  assert.equal(connectionOf(state, T + 100), "connected", "only for a while");
  const note = state.feed.shown().find((event) => event.type === "connection").note;
  assert.equal(model.noteText(note, note.at), "resumed, 2 events caught up", "but always among the events");
});

test("a new session of the same hub resumes, too", () => {
  const state = connected();
  model.onWelcome(state, { ...WELCOME, rev: 20 }, { first: false, takenOver: false }, T);
  model.onEvent(state, "events", { type: "resumed", rev: 22 }, T);
  model.onEvent(state, "events", set("a", { rev: 22 }), T);
  assert.equal(connectionOf(state), "connected: resumed in a new session, 1 event caught up");
});

test("a restart of the hub and lost events are told apart", () => {
  const restarted = connected([set("a")]);
  model.onWelcome(restarted, { ...WELCOME, epoch: "e2", rev: 3 }, { first: false, takenOver: false }, T);
  model.onEvent(restarted, "keys", { type: "reset", reason: "epoch" }, T);
  assert.equal(connectionOf(restarted), "connected: hub restarted: fresh snapshot");

  const late = connected([set("a")]);
  model.onWelcome(late, { ...WELCOME, rev: 900 }, { first: false, takenOver: true }, T);
  model.onEvent(late, "keys", { type: "reset", reason: "compacted" }, T);
  assert.equal(connectionOf(late), "connected: missed too much: fresh snapshot");

  const slow = connected([set("a")]);
  model.onEvent(slow, "events", { type: "reset", reason: "compacted" }, T + 100);
  agentsAre(slow, [], "compacted", T + 101);
  assert.equal(connectionOf(slow, T + 101), "connected: missed too much: fresh snapshot");
  assert.equal(slow.feed.shown().length, 1, "once, although both subscriptions lost events");
});

test("the revision goes back only with a new epoch", () => {
  const state = connected();
  model.onEvent(state, "events", set("a", { rev: 50 }), T);
  model.onWelcome(state, { ...WELCOME, rev: 40 }, { first: false, takenOver: true }, T);
  assert.equal(state.rev, 50);
  model.onWelcome(state, { ...WELCOME, epoch: "e2", rev: 3 }, { first: false, takenOver: false }, T);
  assert.equal(state.rev, 3);
});

// --- one entry ---

test("the selected entry is read, and read again after an event of it", () => {
  const state = connected([set("a")]);
  model.select(state, model.idOf("default", "a"));
  answerAll(state, [set("a", { value: 7 })]);
  assert.equal(state.ui.selected.entry.value, 7);
  model.onEvent(state, "events", set("b", { rev: 11 }), T);
  assert.deepEqual(model.questions(state), []);
  model.onEvent(state, "events", set("a", { rev: 12 }), T);
  assert.deepEqual(model.questions(state).map(({ op }) => op), ["get"]);
});

test("a late reply belongs to the entry it was asked for", () => {
  const state = connected([set("a"), set("b")]);
  model.select(state, model.idOf("default", "a"));
  const [first] = model.questions(state);
  model.select(state, model.idOf("default", "b"));
  first.onReply({ entry: set("a") });
  assert.equal(state.ui.selected.entry, null);
});

// --- locks and waits ---

const LOCK = { ns: "default", mode: "exclusive", agent: "a", session: "s-a", token: 7, since: T, expires_at: T + 30, names: ["x"], queue: [] };
const inspection = (more = {}) => ({ rev: 20, at: T, sessions: [], locks: [LOCK], waits: [], subscriptions: [], cut: [], ...more });

/** Answer the model's `inspect` commands. Return how many there were. */
function inspect(state, answer, now) {
  const asked = model.questions(state, now).filter(({ op }) => op === "inspect");
  for (const question of asked) question.onReply(answer);
  return asked.length;
}

test("the hub is asked to inspect while locks are shown, and soon after an event of a lock", () => {
  const state = connected();
  assert.equal(inspect(state, inspection(), T), 1);
  model.showSection(state, "locks");
  assert.equal(inspect(state, inspection(), T + 0.5), 0);
  model.onEvent(state, "events", { type: "unlock", key: "x", ns: "default", rev: 21, by: "a", at: T, reason: "released", token: 7 }, T);
  assert.equal(inspect(state, inspection({ locks: [] }), T + 0.6), 1);
  assert.deepEqual(model.shownLocks(state), []);
});

test("events of locks have a summary and change no key", () => {
  const state = connected([set("x")]);
  const line = { key: "x", ns: "default", rev: 21, by: "a", at: T };
  model.onEvent(state, "events", { ...line, type: "lock", token: 21, mode: "shared" }, T);
  model.onEvent(state, "events", { ...line, type: "queue", waiting: 3 }, T);
  assert.deepEqual(state.feed.shown().map(({ summary }) => summary), ["3 waiting", "shared · token 21"]);
  assert.deepEqual(keys(state), ["x"]);
});

test("a lock in a snapshot is not taken for an agent", () => {
  const state = connected([], [agent("a")]);
  model.onEvent(state, "events", { ...LOCK, type: "lock", key: "x", rev: 7, by: "a", at: T, snapshot: true }, T);
  assert.deepEqual(model.shownAgents(state).map(({ name }) => name), ["a"]);
});

test("locks are filtered by text and by agent", () => {
  const state = connected();
  inspect(state, inspection({ locks: [LOCK, { ...LOCK, token: 8, agent: "b", names: ["y"] }] }), T);
  const tokens = () => model.shownLocks(state).map((row) => row.lock.token);
  model.filterLocks(state, "y");
  assert.deepEqual(tokens(), [8]);
  model.filterLocks(state, "");
  model.focusAgent(state, "a");
  assert.deepEqual(tokens(), [7]);
  model.focusAgent(state, null);
  assert.deepEqual(tokens(), [7, 8]);
});

test("locks that the hub leaves out are counted in a note", () => {
  const state = connected();
  assert.equal(model.cutText(state, "locks"), "");
  inspect(state, inspection({ cut: ["locks"] }), T);
  state.stats = { locks: 2500 };
  assert.match(model.cutText(state, "locks"), /first 1 of 2,500 locks/);
  assert.equal(model.cutText(state, "waits"), "");
});

test("a forced release names the old and the new holder for a while", () => {
  const state = connected();
  inspect(state, inspection(), T);
  model.askToRelease(state, 7);
  model.setReleaseReason(state, "it hangs");
  const { release } = state.ui;
  release.command();
  model.onReleased(state, release, 25, T + 1);
  assert.equal(state.ui.release, null);
  assert.equal(model.releasedText(state, T + 1), "x was released: a lost it and receives your reason.");
  inspect(state, inspection({ rev: 26, locks: [{ ...LOCK, token: 26, agent: "b" }] }), T + 2);
  assert.equal(model.releasedText(state, T + 2), "x was released: a lost it and receives your reason. Now held by b.");
  inspect(state, inspection({ rev: 27, locks: [] }), T + 10);
  assert.match(model.releasedText(state, T + 10), /No agent holds it now/);
  assert.equal(model.releasedText(state, T + 100), "");
});

test("a lock that has ended cannot be chosen for release", () => {
  const state = connected();
  model.askToRelease(state, 99);
  assert.equal(state.ui.release, null);
});

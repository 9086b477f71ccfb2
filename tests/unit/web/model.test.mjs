// The model: lines and intents in, state out. Time is an argument, so there is nothing to wait for.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as model from "../../../web/model.js";

const T = 1_800_000_000;
const WELCOME = { agent: "me", epoch: "e1", rev: 10, hub: { name: "waggle", version: "1" }, durability: "memory" };

/** A state that has been welcomed and holds these entries, at revision 10. */
function connected(entries = [], agents = []) {
  const state = model.initial();
  model.welcomed(state, WELCOME, { first: true, takenOver: false }, T);
  snapshot(state, "entries", entries);
  snapshot(state, "agents", agents);
  return state;
}

function snapshot(state, from, lines, reason = null, now = T) {
  model.heard(state, from, { type: "reset", reason }, now);
  for (const line of lines) model.heard(state, from, { ...line, snapshot: true }, now);
  model.heard(state, from, { type: "synced", rev: 10 }, now);
}

const set = (key, more = {}) => ({
  type: "set", key, ns: "default", rev: 5, version: 1, kind: "persistent", by: "a", at: T, value: 1, expires_at: null, ...more,
});
const ended = (type, key, more = {}) => ({ type, key, ns: "default", rev: 11, version: 1, by: "a", at: T, ...more });
const agent = (name, value = {}, more = {}) =>
  set(name, { ns: "$agents", value: { connected: true, since: T, meta: {}, status: null, sessions: 1, ...value }, ...more });
const keys = (state) => model.shownKeys(state).map((entry) => entry.key);
const events = (state) => model.shownEvents(state).map((event) => [event.type, event.key]);

// --- entries ---

test("a set, a touch, a delete, an expire and an evict do to the entries what they say", () => {
  const state = connected([set("a"), set("b"), set("c"), set("d")]);
  model.heard(state, "entries", set("e", { rev: 11 }), T);
  model.heard(state, "entries", ended("delete", "a"), T);
  model.heard(state, "entries", ended("expire", "b", { late: 0.001 }), T);
  model.heard(state, "entries", ended("evict", "c"), T);
  model.heard(state, "entries", { type: "touch", key: "d", ns: "default", rev: 15, by: "a", at: T + 1, expires_at: T + 9 }, T);
  assert.deepEqual(keys(state), ["d", "e"]);
  const [d] = model.shownKeys(state);
  assert.equal(d.expiresAt, T + 9);
  assert.equal(d.rev, 5, "a touch changes no revision of the entry");
  assert.equal(state.rev, 15);
});

test("the same key in two namespaces is two entries", () => {
  const state = connected([set("a"), set("a", { ns: "docs" })]);
  model.heard(state, "entries", ended("delete", "a", { ns: "docs" }), T);
  assert.deepEqual(model.shownKeys(state).map((entry) => entry.ns), ["default"]);
  assert.deepEqual([...state.namespaces], [["default", 1]]);
});

test("what was known stays in view until the new snapshot is complete", () => {
  const state = connected([set("a"), set("b")]);
  model.heard(state, "entries", { type: "reset", reason: "compacted" }, T);
  model.heard(state, "entries", set("b", { snapshot: true, value: 2 }), T);
  assert.deepEqual(keys(state), ["a", "b"]);
  model.heard(state, "entries", { type: "synced", rev: 20 }, T);
  assert.deepEqual(keys(state), ["b"]);
  assert.equal(model.shownKeys(state)[0].preview, "2");
});

test("keys are sorted by code unit, or by deadline with those that have none at the end", () => {
  const state = connected([set("b", { expires_at: T + 9 }), set("a"), set("c", { expires_at: T + 3 }), set("B")]);
  assert.deepEqual(keys(state), ["B", "a", "b", "c"]);
  model.sortKeys(state, "deadline");
  assert.deepEqual(keys(state), ["c", "b", "B", "a"]);
  model.heard(state, "entries", set("d", { expires_at: T + 5, rev: 11 }), T);
  assert.deepEqual(keys(state), ["c", "d", "b", "B", "a"]);
  assert.equal(model.nextToExpire(state).key, "c");
});

test("the filter and the namespace hold for what comes later too", () => {
  const state = connected([set("task:1"), set("note"), set("task:2", { ns: "docs" })]);
  model.filterKeys(state, "task:*");
  assert.deepEqual(keys(state), ["task:1", "task:2"]);
  model.chooseNamespace(state, "docs");
  model.heard(state, "entries", set("task:3", { rev: 11, ns: "docs" }), T);
  model.heard(state, "entries", set("other", { rev: 12, ns: "docs" }), T);
  assert.deepEqual(keys(state), ["task:2", "task:3"]);
  model.chooseNamespace(state, null);
  model.filterKeys(state, "");
  assert.equal(keys(state).length, 5);
});

test("text that is no pattern yet leaves the filter as it was, and says why", () => {
  const state = connected([set("task:1"), set("note")]);
  model.filterKeys(state, "task*");
  model.filterKeys(state, "task[");
  assert.deepEqual(keys(state), ["task:1"]);
  assert.match(state.want.keys.wrong, /not closed/);
  model.filterKeys(state, "task[:]*");
  assert.equal(state.want.keys.wrong, null);
});

test("the ordered lists agree with sorting anew, over a random walk", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const state = connected();
  model.filterKeys(state, "*[0-6]");
  const known = new Map();
  for (let step = 0; step < 4000; step++) {
    const key = `k${random(60)}`;
    const kind = random(10);
    if (kind < 5) {
      const expires_at = random(2) ? T + random(100) : null;
      model.heard(state, "entries", set(key, { rev: 11 + step, expires_at }), T);
      known.set(key, expires_at);
    } else if (kind < 7) {
      model.heard(state, "entries", ended("delete", key, { rev: 11 + step }), T);
      known.delete(key);
    } else if (kind === 7 && known.has(key)) {
      model.heard(state, "entries", { ...ended("touch", key, { rev: 11 + step }), expires_at: T + step }, T);
      known.set(key, T + step);
    } else if (kind === 8) {
      model.sortKeys(state, random(2) ? "key" : "deadline");
    } else {
      state.keys.check();
      state.deadlines.check();
      assert.deepEqual(keys(state).sort(), [...known.keys()].filter((k) => /[0-6]$/.test(k)).sort());
      assert.equal(state.deadlines.items().length, [...known.values()].filter((at) => at !== null).length);
    }
  }
  assert.equal(state.namespaces.get("default"), known.size);
});

// --- deadlines ---

test("a countdown is rounded up, and due at its deadline: never alive past it", () => {
  const [entry] = model.shownKeys(connected([set("a", { expires_at: T + 100 })]));
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

test("agents come, go away, come back and leave", () => {
  const state = connected([], [agent("b", { meta: { role: "tester" }, status: "busy" })]);
  model.heard(state, "agents", agent("a", {}, { rev: 11 }), T);
  model.heard(state, "agents", agent("b", { connected: false }, { rev: 12 }), T);
  assert.deepEqual(model.shownAgents(state).map((it) => [it.name, it.connected]), [["a", true], ["b", false]]);
  model.heard(state, "agents", agent("b", {}, { rev: 13 }), T);
  model.heard(state, "agents", { ...ended("delete", "a", { rev: 14 }), ns: "$agents" }, T);
  assert.deepEqual(model.shownAgents(state).map((it) => it.name), ["b"]);
  assert.deepEqual(model.shownEvents(state).map((it) => it.said), ["left", "back", "away", "joined"]);
  assert.deepEqual(model.countAgents(state), { here: 1, away: 0, dashboards: 0 });
});

test("dashboards stay out of the agents and the events until they are asked for", () => {
  const dashboard = { meta: { role: "dashboard" } };
  const state = connected([], [agent("a"), agent("me", dashboard)]);
  model.heard(state, "agents", agent("other", dashboard, { rev: 11 }), T);
  model.heard(state, "agents", { ...ended("delete", "other", { rev: 12 }), ns: "$agents" }, T);
  assert.deepEqual(model.shownAgents(state).map((it) => it.name), ["a"]);
  assert.deepEqual(events(state), []);
  model.showDashboards(state, true);
  assert.deepEqual(model.shownAgents(state).map((it) => it.name), ["a", "me"]);
  assert.equal(events(state).length, 2);
});

test("an agent's meta and status may be anything", () => {
  const odd = [{ meta: null, status: { a: 1 } }, { meta: { role: 7 }, status: 0 }, { meta: [], status: "x" }];
  const state = connected([], odd.map((value, i) => agent(`a${i}`, value)));
  assert.deepEqual(model.shownAgents(state).map((it) => [it.role, it.status]), [["", '{"a": 1}'], ["", "0"], ["", "x"]]);
});

// --- events ---

test("events are newest first, bounded, and filtered by key and type", () => {
  const state = connected();
  for (let i = 0; i < 5000; i++) model.heard(state, "entries", set(`k${i % 10}`, { rev: 11 + i }), T);
  assert.ok(state.feed.length < model.FEED * 2);
  assert.equal(model.shownEvents(state).length, model.FEED);
  assert.equal(model.shownEvents(state)[0].rev, 5010);
  model.heard(state, "entries", ended("expire", "k1", { rev: 6000, late: 0.002 }), T);
  model.filterEvents(state, "k[12]");
  model.toggleType(state, "set");
  assert.deepEqual(events(state), [["expire", "k1"]]);
  model.toggleType(state, "set");
  assert.equal(model.shownEvents(state).length, 201);
  assert.equal(model.latenessP99(state), 0.002);
});

test("a paused view stands still, however much happens", () => {
  const state = connected();
  model.heard(state, "entries", set("a", { rev: 11 }), T);
  model.pauseEvents(state, true);
  for (let i = 0; i < 3000; i++) model.heard(state, "entries", set("b", { rev: 12 + i }), T);
  assert.deepEqual(events(state), [["set", "a"]]);
  assert.equal(model.eventsSincePause(state), 3000);
  model.pauseEvents(state, false);
  assert.equal(model.shownEvents(state)[0].rev, 3011);
  assert.equal(model.eventsSincePause(state), 0);
});

test("a type the page does not know is shown under its own name", () => {
  const state = connected();
  model.heard(state, "entries", ended("blossom", "a"), T);
  assert.deepEqual(events(state), [["blossom", "a"]]);
});

test("events of a snapshot are no events", () => {
  const state = connected([set("a")]);
  assert.deepEqual(events(state), []);
});

test("rates are those of whole seconds that are over", () => {
  const state = connected();
  for (let i = 0; i < 300; i++) model.heard(state, "entries", set("a", { rev: 11 + i }), T + i);
  for (let i = 0; i < 4; i++) model.heard(state, "entries", set("a", { rev: 500 + i }), T + 300.5);
  assert.equal(model.ratesUntil(state, T + 300.9).at(-1), 1);
  assert.equal(model.ratesUntil(state, T + 301).at(-1), 4);
  assert.ok(state.rates.size <= 2 * model.SECONDS + 1);
});

// --- the connection ---

const said = (state, now = T) => {
  const { text, note } = model.connectionText(state, now);
  return note === "" ? text : `${text}: ${note}`;
};

test("the connection says what it is", () => {
  const state = model.initial();
  assert.equal(said(state), "connecting");
  model.connectionChanged(state, { name: "waiting", attempt: 1, retryIn: 2 }, T);
  assert.equal(said(state), "no hub here yet: attempt 2 in 2 s");
  model.welcomed(state, WELCOME, { first: true, takenOver: false }, T);
  assert.equal(said(state), "connected");
  model.connectionChanged(state, { name: "waiting", attempt: 1, retryIn: 2 }, T);
  assert.equal(said(state, T + 0.5), "reconnecting: attempt 2 in 2 s");
  model.connectionChanged(state, { name: "connecting", attempt: 1 }, T);
  assert.equal(said(state), "reconnecting: attempt 2");
  model.connectionChanged(state, { name: "closed", attempt: 0, reason: "session taken over" }, T);
  assert.equal(said(state), "closed: session taken over");
});

test("after a takeover it counts what was caught up, but not its own coming and going", () => {
  const state = connected();
  model.connectionChanged(state, { name: "waiting", attempt: 1, retryIn: 1 }, T);
  model.welcomed(state, { ...WELCOME, rev: 20 }, { first: false, takenOver: true }, T + 3);
  assert.equal(said(state, T + 3), "connected: resumed, 0 events caught up");
  model.heard(state, "entries", { type: "resumed", rev: 20 }, T + 3);
  model.heard(state, "agents", agent("me", { meta: { role: "dashboard" } }, { rev: 18 }), T + 3);
  model.heard(state, "entries", set("a", { rev: 19 }), T + 3);
  model.heard(state, "entries", set("b", { rev: 20 }), T + 3);
  model.heard(state, "entries", set("c", { rev: 21 }), T + 3);
  assert.equal(said(state, T + 4), "connected: resumed, 2 events caught up");
  assert.equal(said(state, T + 100), "connected", "it does not say so for ever");
  const note = model.shownEvents(state).find((event) => event.type === "connection").note;
  assert.equal(model.noteText(note, note.at), "resumed, 2 events caught up", "but the events do");
});

test("a new session of the same hub resumes as well", () => {
  const state = connected();
  model.welcomed(state, { ...WELCOME, rev: 20 }, { first: false, takenOver: false }, T);
  model.heard(state, "entries", { type: "resumed", rev: 22 }, T);
  model.heard(state, "entries", set("a", { rev: 22 }), T);
  assert.equal(said(state), "connected: resumed in a new session, 1 event caught up");
});

test("a restart of the hub and a loss are said as they are", () => {
  const restarted = connected([set("a")]);
  model.welcomed(restarted, { ...WELCOME, epoch: "e2", rev: 3 }, { first: false, takenOver: false }, T);
  snapshot(restarted, "entries", [], "epoch");
  assert.equal(said(restarted), "connected: hub restarted: fresh snapshot");
  assert.deepEqual(keys(restarted), []);

  const late = connected([set("a")]);
  model.welcomed(late, { ...WELCOME, rev: 900 }, { first: false, takenOver: true }, T);
  snapshot(late, "entries", [], "compacted");
  assert.equal(said(late), "connected: missed too much: fresh snapshot");

  const slow = connected([set("a")]);
  snapshot(slow, "entries", [], "compacted", T + 100);
  snapshot(slow, "agents", [], "compacted", T + 101);
  assert.equal(said(slow, T + 101), "connected: missed too much: fresh snapshot");
  assert.equal(model.shownEvents(slow).length, 1, "once, though both subscriptions lost");
});

test("revisions go back with a new epoch only", () => {
  const state = connected();
  model.heard(state, "entries", set("a", { rev: 50 }), T);
  model.welcomed(state, { ...WELCOME, rev: 40 }, { first: false, takenOver: true }, T);
  assert.equal(state.rev, 50);
  model.welcomed(state, { ...WELCOME, epoch: "e2", rev: 3 }, { first: false, takenOver: false }, T);
  assert.equal(state.rev, 3);
});

// --- one entry ---

test("the value of the selected entry is asked for once, and again when it is written", () => {
  const state = connected([set("a")]);
  const id = model.idOf("default", "a");
  model.select(state, id);
  assert.deepEqual(model.ask(state), { id, ns: "default", key: "a" });
  assert.equal(model.ask(state), null);
  model.answered(state, id, { key: "a", value: 1 });
  model.heard(state, "entries", set("b", { rev: 11 }), T);
  assert.equal(model.ask(state), null);
  model.heard(state, "entries", set("a", { rev: 12 }), T);
  assert.notEqual(model.ask(state), null);
});

test("a selected entry that goes says how, and keeps what it was", () => {
  const state = connected([set("a")]);
  const id = model.idOf("default", "a");
  model.select(state, id);
  model.answered(state, id, { key: "a", value: 1 });
  model.heard(state, "entries", ended("expire", "a", { rev: 12 }), T);
  assert.deepEqual(state.want.selected.gone, { how: "expire", rev: 12 });
  assert.equal(state.want.selected.entry.value, 1);
  model.answered(state, id, null);
  assert.equal(state.want.selected.gone.how, "expire");
  model.answered(state, "default\nother", { key: "other" });
  assert.equal(state.want.selected.entry.key, "a", "an answer that comes late is for another entry");
});

test("a selected entry that comes back is there again", () => {
  const state = connected([set("a")]);
  const id = model.idOf("default", "a");
  model.select(state, id);
  model.heard(state, "entries", ended("delete", "a", { rev: 12 }), T);
  model.heard(state, "entries", set("a", { rev: 13 }), T);
  model.answered(state, id, { key: "a", value: 2 });
  assert.equal(state.want.selected.gone, null);
});

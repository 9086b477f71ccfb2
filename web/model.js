/**
 * The model of the page: what is known of the hub, and what the person wants to see of it.
 *
 * Laws:
 *
 * 1. No clock, no DOM, no socket, no chance. Time comes in as an argument (`now`: the hub's clock, Unix seconds), so the
 *    same lines at the same times give the same state, and all of it runs under `node --test`.
 * 2. Changes are made in place: 100,000 entries are not copied for every event. Only the functions here make them.
 *    Entries and events are never changed, but replaced.
 * 3. Everything that grows has a bound here, but for the entries and agents themselves, which are the hub's.
 * 4. A snapshot replaces what was known at its `synced`, at once: until then what was known stays in view.
 *
 * Values are kept as previews of some 140 characters; the view of one entry asks the hub for the whole.
 */

import { BadPattern, filter } from "./glob.js";
import { Ordered } from "./ordered.js";
import { many, preview, remaining } from "./text.js";

/** Events kept, about 400 bytes each: 0.4 MB. */
export const FEED = 1_000;
/** Seconds of the chart of events. */
export const SECONDS = 60;
/** Expiry latenesses kept. */
const LATENESSES = 100;
/** Seconds for which the page says what became of the last reconnect; the events keep saying it. */
const NOTE = 60;
/** Seconds within which a reset belongs to the reconnect, or to the loss, that was noted last. */
const SAME_CAUSE = 5;

/** Seconds before its deadline, within the last quarter of its time, in which an entry is marked as going soon. */
const SOON = 60;

export const AGENTS = "$agents";
const DASHBOARD = "dashboard";

/** The types a person may choose from; others are shown under their own name, always. */
export const TYPES = ["set", "touch", "delete", "expire", "evict", "message", "agent"];

const ORDERS = {
  key: (a, b) => compareText(a.key, b.key) || compareText(a.ns, b.ns),
  deadline: (a, b) => (a.expiresAt ?? Infinity) - (b.expiresAt ?? Infinity) || ORDERS.key(a, b),
};
// Infinity - Infinity is NaN, which is falsy: entries without a deadline come last, by key.

/** The state before anything was heard. */
export function initial() {
  return {
    welcome: null,
    connection: { name: "connecting", attempt: 0 },
    note: null,
    rev: 0,
    trip: null,
    entries: source(),
    agents: source(),
    namespaces: new Map(),
    keys: new Ordered(ORDERS.key),
    deadlines: new Ordered(ORDERS.deadline, (entry) => entry.expiresAt !== null),
    feed: [],
    feedSeq: 0,
    rates: new Map(),
    late: [],
    want: {
      ns: null,
      keys: box(),
      sort: "key",
      events: box(),
      hidden: new Set(),
      paused: null,
      dashboards: false,
      selected: null,
    },
  };
}

/** What one subscription has told: what is known, and the snapshot that is on its way. */
const source = () => ({ known: new Map(), incoming: null, synced: false });

/** A filter box: its text, what it accepts, and what is wrong with it. */
const box = () => ({ text: "", accepts: filter(""), wrong: null });

const compareText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** The name of an entry within the page: a key has no control characters. */
export const idOf = (ns, key) => `${ns}\n${key}`;

// --- the connection -----------------------------------------------------------------------------------------------

/** The connection is in another state. */
export function connectionChanged(state, connection, now) {
  if (state.connection.name === "open" && connection.name !== "open") state.note = null;
  const retryAt = connection.retryIn === undefined ? null : now + connection.retryIn;
  state.connection = { ...connection, retryAt };
}

/** The hub has answered `hello`. */
export function welcomed(state, welcome, { first, takenOver }, now) {
  const restarted = !first && welcome.epoch !== state.welcome.epoch;
  state.welcome = welcome;
  state.rev = restarted ? welcome.rev : Math.max(state.rev, welcome.rev);
  state.connection = { name: "open", attempt: 0, retryAt: null };
  if (first) return;
  noted(state, { at: now, rev: welcome.rev, restarted, takenOver });
}

/** Something became of the connection: the header says it for a while, and it is among the events. */
function noted(state, what) {
  state.note = { caughtUp: 0, fresh: null, restarted: false, ...what };
  record(state, { type: "connection", note: state.note, at: what.at });
}

/** How long a reply took, there and back. */
export function measured(state, trip) {
  state.trip = trip;
}

/**
 * The state of the connection as words: `tone` is good, busy or bad.
 * @returns {{tone: string, text: string, note: string}}
 */
export function connectionText(state, now) {
  const { name, attempt, retryAt, reason } = state.connection;
  if (name === "open") return { tone: "good", text: "connected", note: noteText(state.note, now) };
  if (name === "closed") return { tone: "bad", text: "closed", note: reason || "the hub ended this connection" };
  if (state.welcome === null && attempt === 0) return { tone: "busy", text: "connecting", note: "" };
  const text = state.welcome === null ? "no hub here yet" : "reconnecting";
  const wait = name === "waiting" ? Math.ceil(retryAt - now) : 0;
  const note = wait > 0 ? `attempt ${attempt + 1} in ${wait} s` : `attempt ${attempt + 1}`;
  return { tone: "bad", text, note };
}

/** What became of a reconnect, in words; empty when it is long ago. */
export function noteText(note, now) {
  if (note === null || now - note.at > NOTE) return "";
  if (note.restarted || note.fresh === "epoch" || note.fresh === "restart") return "hub restarted: fresh snapshot";
  if (note.fresh !== null) return "missed too much: fresh snapshot";
  return `resumed${note.takenOver ? "" : " in a new session"}, ${many(note.caughtUp, "event")} caught up`;
}

// --- lines --------------------------------------------------------------------------------------------------------

/**
 * A line of one of the two subscriptions: `from` is "entries" or "agents".
 * @param {"entries"|"agents"} from
 */
export function heard(state, from, line, now) {
  const it = state[from];
  switch (line.type) {
    case "reset":
      it.incoming = new Map();
      it.synced = false;
      if (line.reason !== null) refreshed(state, line.reason, now);
      break;
    case "resumed":
      if (state.note !== null) state.note.rev = Math.max(state.note.rev, line.rev);
      break;
    case "synced":
      swap(state, from);
      state.rev = Math.max(state.rev, line.rev);
      break;
    case "refused":
      state.connection = { name: "closed", attempt: 0, retryAt: null, reason: line.error.message };
      break;
    default:
      if (line.snapshot) it.incoming?.set(idOf(line.ns, line.key), fromLine(from, line));
      else happened(state, from, line, now);
  }
}

/** The hub could not tell all that was missed, and sends a fresh snapshot instead. */
function refreshed(state, reason, now) {
  if (state.note === null || now - state.note.at > SAME_CAUSE) noted(state, { at: now, rev: 0, takenOver: true });
  state.note.fresh = reason;
}

/** The snapshot is complete: it is what is known from now on. */
function swap(state, from) {
  const it = state[from];
  it.known = it.incoming ?? it.known;
  it.incoming = null;
  it.synced = true;
  if (from === "agents") return;
  state.namespaces = new Map();
  for (const entry of it.known.values()) countNamespace(state, entry.ns, 1);
  state.deadlines.reset(it.known.values());
  rearrange(state);
  const { selected } = state.want;
  if (selected === null) return;
  if (it.known.has(selected.id)) selected.stale = true;
  else gone(selected, "absent", null);
}

/** An event. */
function happened(state, from, line, now) {
  state.rev = Math.max(state.rev, line.rev);
  const item = from === "agents" ? presenceItem(state, line) : entryItem(line);
  if (from === "agents") agentEvent(state, line);
  else entryEvent(state, line);
  const own = from === "agents" && line.key === state.welcome?.agent;
  if (!own && state.note !== null && line.rev <= state.note.rev) state.note.caughtUp += 1;
  if (line.type === "expire" && line.late !== undefined) {
    state.late.push(line.late);
    if (state.late.length > LATENESSES) state.late.shift();
  }
  record(state, item);
  countRate(state, now);
}

function entryEvent(state, line) {
  const id = idOf(line.ns, line.key);
  const old = state.entries.known.get(id);
  switch (line.type) {
    case "set":
      replace(state, id, old, fromLine("entries", line));
      break;
    case "touch":
      if (old) replace(state, id, old, { ...old, expiresAt: line.expires_at, from: line.at });
      break;
    case "delete":
    case "expire":
    case "evict":
      replace(state, id, old, undefined);
      if (state.want.selected?.id === id) gone(state.want.selected, line.type, line.rev);
      break;
  }
}

function replace(state, id, old, entry) {
  const { known } = state.entries;
  for (const list of [state.keys, state.deadlines]) {
    if (old) list.drop(old);
    if (entry) list.put(entry);
  }
  if (entry) known.set(id, entry);
  else known.delete(id);
  const { ns } = entry ?? old ?? {};
  if (ns !== undefined && !old !== !entry) countNamespace(state, ns, entry ? 1 : -1);
  if (entry && state.want.selected?.id === id) state.want.selected.stale = true;
}

function countNamespace(state, ns, by) {
  const keys = (state.namespaces.get(ns) ?? 0) + by;
  if (keys > 0) state.namespaces.set(ns, keys);
  else state.namespaces.delete(ns);
}

function agentEvent(state, line) {
  const id = idOf(line.ns, line.key);
  if (line.type === "set") state.agents.known.set(id, fromLine("agents", line));
  else if (line.type !== "touch") state.agents.known.delete(id);
}

/** An entry or agent as the page knows it. */
function fromLine(from, line) {
  const { ns, key, rev, version, by, at, kind, value } = line;
  const id = idOf(ns, key);
  if (from === "entries") {
    return { id, ns, key, rev, version, by, kind, preview: preview(value), expiresAt: line.expires_at ?? null, from: at };
  }
  const { connected, since, meta, status, sessions } = value ?? {};
  const role = typeof meta?.role === "string" ? meta.role : "";
  const words = status === null || status === undefined ? "" : typeof status === "string" ? status : preview(status);
  return { id, name: key, connected: connected !== false, since: since ?? at, role, status: words, sessions: sessions ?? 1 };
}

// --- events -------------------------------------------------------------------------------------------------------

function entryItem(line) {
  const { type, ns, key, by, rev, at, late, reason } = line;
  const said = preview(type === "message" ? line.data : line.value);
  return { type, ns, key, by, rev, at, late, reason, said, dashboard: false };
}

/** An event of `$agents`, said as what became of the agent. */
function presenceItem(state, line) {
  const { ns, key, by, rev, at } = line;
  const old = state.agents.known.get(idOf(ns, key));
  const agent = line.type === "set" ? fromLine("agents", line) : undefined;
  const dashboard = (agent ?? old)?.role === DASHBOARD;
  return { type: "agent", ns, key, by, rev, at, said: presenceText(old, agent), dashboard };
}

function presenceText(old, agent) {
  if (agent === undefined) return "left";
  if (!agent.connected) return "away";
  if (old === undefined) return "joined";
  if (!old.connected) return "back";
  return agent.status === old.status ? "here" : `status ${agent.status}`;
}

function record(state, item) {
  state.feedSeq += 1;
  state.feed.push({ ...item, seq: state.feedSeq });
  if (state.feed.length >= FEED * 2) state.feed = state.feed.slice(-FEED);
}

function countRate(state, now) {
  const second = Math.floor(now);
  state.rates.set(second, (state.rates.get(second) ?? 0) + 1);
  if (state.rates.size <= SECONDS * 2) return;
  for (const old of state.rates.keys()) if (old < second - SECONDS) state.rates.delete(old);
}

/** The events to show, newest first: those that pass the filters, or passed them when the view was paused. */
export function shownEvents(state) {
  const { paused, events, hidden, dashboards } = state.want;
  const feed = paused ?? state.feed.slice(-FEED);
  const shown = [];
  for (let i = feed.length - 1; i >= 0; i--) {
    const item = feed[i];
    if (item.type === "connection") shown.push(item);
    else if (!hidden.has(item.type) && (dashboards || !item.dashboard) && events.accepts(item.key)) shown.push(item);
  }
  return shown;
}

/** How many events have come since the view was paused. */
export function eventsSincePause(state) {
  const { paused } = state.want;
  return paused === null ? 0 : state.feedSeq - (paused.at(-1)?.seq ?? 0);
}

/** Events for each of the last 60 whole seconds, oldest first. */
export function ratesUntil(state, now) {
  const last = Math.floor(now) - 1;
  return Array.from({ length: SECONDS }, (_, i) => state.rates.get(last - SECONDS + 1 + i) ?? 0);
}

/** The lateness that 99 of the last 100 expiries did not exceed, null before the first. */
export function latenessP99(state) {
  const late = [...state.late].sort((a, b) => a - b);
  return late.length === 0 ? null : late[Math.ceil(late.length * 0.99) - 1];
}

// --- entries ------------------------------------------------------------------------------------------------------

/** The entries to show, in the order wanted. */
export function shownKeys(state) {
  return state.keys.items();
}

/**
 * How far an entry is from its deadline, null if it has none.
 * @returns {{text: string, part: number, due: boolean, tone: string}|null} `part` is what is left of the whole time, 0 to 1
 */
export function countdown(entry, now) {
  if (entry.expiresAt === null) return null;
  const left = entry.expiresAt - now;
  const whole = Math.max(entry.expiresAt - entry.from, 0.001);
  const part = Math.min(1, Math.max(0, left / whole));
  const due = left <= 0;
  return { text: remaining(left), part, due, tone: due ? "due" : left < SOON && part < 0.25 ? "soon" : "calm" };
}

/** The entry that is next to expire, null if none has a deadline. */
export function nextToExpire(state) {
  return state.deadlines.items()[0] ?? null;
}

function rearrange(state) {
  const { ns, keys, sort } = state.want;
  const accept = (entry) => (ns === null || entry.ns === ns) && keys.accepts(entry.key);
  state.keys.reset(state.entries.known.values(), ORDERS[sort], accept);
}

// --- agents -------------------------------------------------------------------------------------------------------

/** The agents to show: connected first, then by name; dashboards only if they are wanted, and last. */
export function shownAgents(state) {
  const agents = [...state.agents.known.values()];
  const rank = (agent) => (agent.role === DASHBOARD ? 2 : agent.connected ? 0 : 1);
  return agents
    .filter((agent) => state.want.dashboards || agent.role !== DASHBOARD)
    .sort((a, b) => rank(a) - rank(b) || compareText(a.name, b.name));
}

/** How many agents there are: here, away, and dashboards. */
export function countAgents(state) {
  const counts = { here: 0, away: 0, dashboards: 0 };
  for (const agent of state.agents.known.values()) {
    if (agent.role === DASHBOARD) counts.dashboards += 1;
    else if (agent.connected) counts.here += 1;
    else counts.away += 1;
  }
  return counts;
}

// --- what the person wants ----------------------------------------------------------------------------------------

/** Show the keys of one namespace, or of all (null). */
export function chooseNamespace(state, ns) {
  state.want.ns = ns;
  rearrange(state);
}

/** Sort keys by "key" or by "deadline". */
export function sortKeys(state, sort) {
  state.want.sort = sort;
  rearrange(state);
}

export function filterKeys(state, text) {
  if (typeInto(state.want.keys, text)) rearrange(state);
}

export function filterEvents(state, text) {
  typeInto(state.want.events, text);
}

/** A pattern that is not one (yet) leaves the filter as it was; returns whether it changed. */
function typeInto(target, text) {
  target.text = text;
  try {
    target.accepts = filter(text);
    target.wrong = null;
    return true;
  } catch (error) {
    if (!(error instanceof BadPattern)) throw error;
    target.wrong = error.message;
    return false;
  }
}

export function toggleType(state, type) {
  const { hidden } = state.want;
  if (!hidden.delete(type)) hidden.add(type);
}

/** Hold the events in view as they are, or go on. */
export function pauseEvents(state, paused) {
  if (paused === (state.want.paused !== null)) return;
  state.want.paused = paused ? state.feed.slice(-FEED) : null;
}

export function showDashboards(state, shown) {
  state.want.dashboards = shown;
}

/** Look at one entry, or at none (null). Its value is then to be asked for. */
export function select(state, id) {
  const [ns, key] = id === null ? [] : id.split("\n");
  state.want.selected = id === null ? null : { id, ns, key, entry: null, stale: true, gone: null, error: null };
}

/** What to ask the hub for the selected entry, null if nothing; once told, it counts as asked. */
export function ask(state) {
  const { selected } = state.want;
  if (selected === null || !selected.stale) return null;
  selected.stale = false;
  return { id: selected.id, ns: selected.ns, key: selected.key };
}

/** The hub's answer to the question for the selected entry. */
export function answered(state, id, entry, error = null) {
  const { selected } = state.want;
  if (selected?.id !== id) return;
  selected.error = error;
  if (entry !== null) Object.assign(selected, { entry, gone: null });
  else if (error === null && selected.gone === null) gone(selected, "absent", null);
}

function gone(selected, how, rev) {
  selected.gone = { how, rev };
}

/**
 * The model of the page: what is known of the hub, and what the person wants to see of it.
 *
 * Laws:
 *
 * 1. No clock, no DOM, no socket, no chance. Time comes in as an argument (`now`: the hub's clock, Unix seconds), so the
 *    same lines at the same times give the same state, and all of it runs under `node --test`.
 * 2. Changes are made in place: 100,000 keys are not copied for every event. Only the functions here make them.
 * 3. Everything that grows has a bound, but for the agents, who are the hub's.
 * 4. What is read anew replaces what was known at its end, at once: until then what was known stays in view.
 * 5. What to ask the hub is asked for here (`questions`), and answered here: whoever carries it knows nothing of it.
 *
 * Its parts, each with laws of its own: `book.js` (keys) with `tree.js`, `feed.js` (events), `series.js` (rates),
 * `selected.js` (one entry), `inspected.js` (locks and waits) with `locks.js`, `waits.js`, `chains.js`, `release.js`. What
 * comes in are three streams: `keys` (entry events, conflated, without values), `events` (all of them, with values), `agents`.
 */

import { KeyStore, idOf, ORDERS } from "./key-store.js";
import { box, typeInto } from "./filter-box.js";
import { overlap, targetText } from "./lock-targets.js";
import { EventFeed } from "./event-feed.js";
import { Inspection, LOCK_TYPES } from "./inspection.js";
import { lockRows } from "./lock-rows.js";
import { LockRelease } from "./lock-release.js";
import { SelectedEntry } from "./selected-entry.js";
import { RateSeries } from "./rate-series.js";
import { formatCount, plural, preview, remaining } from "../text/format.js";
import { compareKeys } from "../text/compare-keys.js";
import { waitRows } from "./wait-rows.js";

/** Seconds for which the page says what became of the last reconnect; the events keep saying it. */
const NOTE = 60;
/** Seconds within which a reset belongs to the reconnect, or to the loss, that was noted last. */
const SAME_CAUSE = 5;
/** Seconds before its deadline, within the last quarter of its time, in which an entry is marked as going soon. */
const SOON = 60;
/** Previews of values that are kept: of the keys that were in view lately. */
const PREVIEWS = 2_000;
/** Seconds for which the page says what became of a forced release. */
const RELEASED = 60;
/** A folder of so many rows opens by itself where keys are filtered. */
const FEW_FOUND = 500;

export const AGENTS = "$agents";
const DASHBOARD = "dashboard";

/** The state before anything was heard. */
export function initial(bounds = {}) {
  return {
    welcome: null,
    connection: { name: "connecting", attempt: 0 },
    note: null,
    rev: 0,
    trip: null,
    stats: null,
    rates: new RateSeries(),
    bounds,
    /** All keys, as far as they are kept. */
    book: new KeyStore({}, bounds),
    /** Those of one namespace or pattern, null if all are wanted. */
    scoped: null,
    /** A book that is being read, and takes the place of one of the two. */
    next: { book: null, scoped: null },
    previews: new Map(),
    agents: source(),
    feed: new EventFeed(),
    inspected: new Inspection(),
    /** What became of the last forced release. */
    released: null,
    want: {
      ns: null, keys: box(), view: "tree", by: null, dashboards: false, selected: null,
      place: "keys", locks: box(), concerned: null, release: null,
    },
  };
}

/** What one subscription has told: what is known, and the snapshot that is on its way. */
const source = () => ({ known: new Map(), incoming: null, synced: false });

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
  state.inspected.outdated();
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
  return `resumed${note.takenOver ? "" : " in a new session"}, ${plural(note.caughtUp, "event")} caught up`;
}

// --- lines --------------------------------------------------------------------------------------------------------

/**
 * A line of one of the three streams.
 * @param {"keys"|"events"|"agents"} from
 */
export function heard(state, from, line, now) {
  switch (line.type) {
    case "reset":
      if (line.reason !== null) refreshed(state, line.reason, now);
      if (from === "agents") Object.assign(state.agents, { incoming: new Map(), synced: false });
      if (from === "keys") readAgain(state);
      if (from === "events") state.want.selected?.outdated();
      break;
    case "resumed":
      if (state.note !== null) state.note.rev = Math.max(state.note.rev, line.rev);
      break;
    case "synced":
      Object.assign(state.agents, { known: state.agents.incoming ?? state.agents.known, incoming: null, synced: true });
      state.rev = Math.max(state.rev, line.rev);
      break;
    case "refused":
      state.connection = { name: "closed", attempt: 0, retryAt: null, reason: line.error.message };
      break;
    default:
      if (from === "keys") keyHeard(state, line);
      else if (from === "agents" && line.snapshot) state.agents.incoming?.set(idOf(line.ns, line.key), agentOf(line));
      else happened(state, from, line);
  }
}

/** The hub could not tell all that was missed. */
function refreshed(state, reason, now) {
  if (state.note === null || now - state.note.at > SAME_CAUSE) noted(state, { at: now, rev: 0, takenOver: true });
  state.note.fresh = reason;
}

function keyHeard(state, line) {
  for (const book of books(state)) book.heard(line);
}

/** An event, as it happened. */
function happened(state, from, line) {
  state.rev = Math.max(state.rev, line.rev);
  const own = from === "agents" && line.key === state.welcome?.agent;
  if (!own && state.note !== null && line.rev <= state.note.rev) state.note.caughtUp += 1;
  if (from === "agents") {
    record(state, presenceItem(state, line));
    agentEvent(state, line);
    return;
  }
  if (LOCK_TYPES.has(line.type)) {
    record(state, lockItem(line));
    state.inspected.outdated();
    return;
  }
  const item = entryItem(line);
  record(state, item);
  const id = idOf(line.ns, line.key);
  if (line.type !== "message" && state.want.selected?.id === id) state.want.selected.heard(line);
  if (line.type === "set" && state.previews.has(id)) keepPreview(state, id, line.rev, item.said);
}

function agentEvent(state, line) {
  const id = idOf(line.ns, line.key);
  if (line.type === "set") state.agents.known.set(id, agentOf(line));
  else if (line.type !== "touch") state.agents.known.delete(id);
}

function agentOf({ ns, key, at, value }) {
  const { connected, since, meta, status, sessions } = value ?? {};
  const role = typeof meta?.role === "string" ? meta.role : "";
  const words = status === null || status === undefined ? "" : typeof status === "string" ? status : preview(status);
  return {
    id: idOf(ns, key), name: key, connected: connected !== false, since: since ?? at, role, status: words,
    sessions: sessions ?? 1,
  };
}

function record(state, item) {
  state.feed.record(item);
}

function entryItem(line) {
  const { type, ns, key, by, rev, at, late, reason } = line;
  const said = preview(type === "message" ? line.data : line.value);
  return { type, ns, key, by, rev, at, late, reason, said, dashboard: false };
}

/** An event of a lock: `by` has it, or has lost it, or waits for it. */
function lockItem(line) {
  const { type, ns, key, by, rev, at, reason, token, mode, waiting } = line;
  const words = [];
  if (waiting !== undefined) words.push(`${formatCount(waiting)} waiting`);
  if (mode === "shared") words.push("shared");
  if (token !== undefined) words.push(`token ${formatCount(token)}`);
  return { type, ns, key, by, rev, at, reason, said: words.join(" · "), dashboard: false };
}

/** An event of `$agents`, said as what became of the agent. */
function presenceItem(state, line) {
  const { ns, key, by, rev, at } = line;
  const old = state.agents.known.get(idOf(ns, key));
  const agent = line.type === "set" ? agentOf(line) : undefined;
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

// --- keys ---------------------------------------------------------------------------------------------------------

/** The book whose keys are in view. */
export const shownBook = (state) => state.scoped ?? state.book;

const books = (state) => [state.book, state.scoped, state.next.book, state.next.scoped].filter((book) => book !== null);

/** What was heard of the keys has a gap: read them anew, behind what is known. */
function readAgain(state) {
  state.next.book = new KeyStore({}, state.bounds);
  if (state.scoped !== null || state.next.scoped !== null) state.next.scoped = scopedBook(state);
  state.want.selected?.outdated();
}

/** Another namespace or pattern: nothing to read anew if all is wanted. */
function rescope(state) {
  const { ns, keys } = state.want;
  const all = ns === null && keys.text === "";
  if (all) state.scoped = null;
  state.next.scoped = all ? null : scopedBook(state);
  holdWanted(state);
}

function scopedBook(state) {
  const { ns, keys } = state.want;
  return new KeyStore({ ns, pattern: keys.pattern, accepts: keys.accepts }, { ...state.bounds, few: FEW_FOUND });
}

/**
 * The next pages to ask for: each with the command, and what to do with its reply.
 * @returns {{op: string, fields: object, answered: (ok: object) => void, failed: (error: Error) => void}[]}
 */
export function questions(state, now = 0) {
  const asked = [];
  for (const book of books(state)) {
    const question = book.next();
    if (question === null) continue;
    const answered = (ok) => {
      book.answered(ok);
      turned(state, book);
    };
    asked.push({ ...question, answered, failed: (error) => book.refused(error.message) });
  }
  const { selected } = state.want;
  const question = selected?.question() ?? null;
  if (question !== null) {
    const failed = (error) => selected.failed(error.message);
    asked.push({ ...question, answered: (ok) => selected.answered(ok), failed });
  }
  const { inspected } = state;
  if (inspected.due(now, isWatched(state))) {
    const failed = (error) => inspected.failed(error.message);
    asked.push({ op: "inspect", fields: {}, answered: (ok) => inspected.answered(ok), failed });
  }
  return asked;
}

/** A page of a book has come: it may take its place. What was filtered does as soon as it has something to show. */
function turned(state, book) {
  for (const place of ["book", "scoped"]) {
    const ready = book.settled || (place === "scoped" && book.records.size > 0);
    if (state.next[place] !== book || !ready) continue;
    state[place] = book;
    state.next[place] = null;
    holdWanted(state);
  }
}

/** The rows of the tree. */
export const shownTree = (state) => shownBook(state).tree.rows();

/** The keys to show as a list, in the order wanted. */
export function shownKeys(state) {
  const book = shownBook(state);
  if (state.want.by !== null) return state.book.held;
  return state.want.view === "deadline" ? book.deadlines : book.listed;
}

/** The view that is shown: what one agent wrote is a list. */
export const shownView = ({ want }) => (want.by !== null && want.view === "tree" ? "key" : want.view);

/** What the page says of how much it shows, empty if that is all there is. */
export function boundText(state) {
  const book = state.want.by === null ? shownBook(state) : state.book;
  if (book.wrong !== null) return `The hub did not tell all keys: ${book.wrong}`;
  if (!book.full) return "";
  const all = book.expected === null ? "" : ` of ${formatCount(Math.max(book.expected, state.stats?.keys ?? 0))}`;
  return `Only the first ${formatCount(book.records.size)}${all} keys are kept here: a filter or a namespace shows others.`;
}

/**
 * How far an entry is from its deadline, null if it has none.
 * @param {{expiresAt: number|null, since: number}} entry
 * @returns {{text: string, part: number, due: boolean, tone: string}|null} `part` is what is left of the whole time, 0 to 1
 */
export function countdown({ expiresAt, since }, now) {
  if (expiresAt === null) return null;
  const left = expiresAt - now;
  const part = Math.min(1, Math.max(0, left / Math.max(expiresAt - since, 0.001)));
  const due = left <= 0;
  return { text: remaining(left), part, due, tone: due ? "due" : left < SOON && part < 0.25 ? "soon" : "calm" };
}

/** The entry that is next to expire, null if none has a deadline. */
export function nextToExpire(state) {
  return state.book.deadlines.at(0) ?? null;
}

/** The beginning of the value of a key, as far as it is known; `stale` if it is to be asked for. */
export function previewOf(state, { id, rev }) {
  const known = state.previews.get(id);
  return { text: known?.text ?? "", stale: known === undefined || known.rev < rev };
}

/** A value was read: for the rows that show it. */
export function valueRead(state, { id, rev }, entry) {
  keepPreview(state, id, entry?.rev ?? rev, entry === null ? "" : preview(entry.value));
}

function keepPreview(state, id, rev, text) {
  const known = state.previews.get(id);
  if (known !== undefined && known.rev > rev) return;
  state.previews.delete(id);
  state.previews.set(id, { rev, text });
  if (state.previews.size > PREVIEWS) state.previews.delete(state.previews.keys().next().value);
}

// --- agents -------------------------------------------------------------------------------------------------------

/** The agents to show: connected first, then by name; dashboards only if they are wanted, and last. */
export function shownAgents(state) {
  const agents = [...state.agents.known.values()];
  const rank = (agent) => (agent.role === DASHBOARD ? 2 : agent.connected ? 0 : 1);
  return agents
    .filter((agent) => state.want.dashboards || agent.role !== DASHBOARD)
    .sort((a, b) => rank(a) - rank(b) || compareKeys(a.name, b.name));
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

// --- locks and waits ----------------------------------------------------------------------------------------------

const isWatched = ({ want }) => want.place !== "keys" || want.release !== null;

/** The locks to show, with who waits for each. */
export function shownLocks({ inspected, want }) {
  return lockRows(inspected.seen, { agent: want.concerned, accepts: want.locks.accepts });
}

/** The waiting commands to show, with what they wait for. */
export function shownWaits({ inspected, want }) {
  return waitRows(inspected.seen, { agent: want.concerned });
}

/** How long a lock is held for, or a command waits: as the countdown of an entry; null without end. */
export const claimCountdown = ({ since, until }, now) => countdown({ since, expiresAt: until }, now);

/** What the page says of "locks" or "waits" that it does not show, empty if that is all there is. */
export function cutText({ inspected, stats }, what) {
  if (inspected.wrong !== null) return `The hub did not tell: ${inspected.wrong}`;
  if (!inspected.seen.cut.includes(what)) return "";
  const all = stats === null ? "" : ` of ${formatCount(stats[what])}`;
  return `Only the first ${formatCount(inspected.seen[what].length)}${all} ${what} are shown: the hub tells no more at a time.`;
}

/** What became of the last forced release, empty when it is long ago. */
export function releasedText({ released, inspected }, now) {
  if (released === null || now - released.at > RELEASED) return "";
  const { lock: lost, rev } = released;
  const text = `${targetText(lost)} was taken from ${lost.agent}, who is told why.`;
  if (inspected.seen.rev < rev) return text; // what is known is older
  const holders = new Set(inspected.seen.locks.filter((lock) => overlap(lock, lost)).map((lock) => lock.agent));
  return `${text} ${holders.size === 0 ? "Nobody holds it now." : `Now held by ${[...holders].join(", ")}.`}`;
}

// --- figures ------------------------------------------------------------------------------------------------------

/** The hub has answered `stats`. */
export function counted(state, stats) {
  state.stats = stats;
  state.rev = Math.max(state.rev, stats.rev);
  state.rates.read(stats.at, { revisions: stats.rev, events: stats.events });
}

// --- what the person wants ----------------------------------------------------------------------------------------

/** Show the keys of one namespace, or of all (null). */
export function chooseNamespace(state, ns) {
  state.want.ns = ns;
  rescope(state);
}

export function filterKeys(state, text) {
  if (typeInto(state.want.keys, text)) rescope(state);
}

/** Show keys as a "tree", as a list by "key", or those with a deadline by "deadline". */
export function chooseView(state, view) {
  state.want.view = view;
  holdWanted(state);
}

/** Show only what one agent wrote last, or all (null). */
export function showKeysOf(state, agent) {
  state.want.by = agent;
  holdWanted(state);
}

function holdWanted(state) {
  const { by, view, ns, keys } = state.want;
  const accepts = (record) => (ns === null || record.ns === ns) && keys.accepts(record.key);
  state.book.hold(by, view === "deadline" ? "deadline" : "key", accepts);
}

/** Open or close a folder of the tree. */
export function toggleFolder(state, folder, open) {
  shownBook(state).tree.toggle(folder, open);
}

/** Anything a person may want of the events: `wantOfEvents(state, "filterKeys", "task:*")`. */
export function wantOfEvents(state, verb, ...args) {
  state.feed[verb](...args);
}

export function showDashboards(state, shown) {
  state.want.dashboards = shown;
  state.feed.showDashboards(shown);
}

/** Show one of "keys", "locks", "waits". */
export function goTo(state, place) {
  state.want.place = place;
}

export function filterLocks(state, text) {
  typeInto(state.want.locks, text);
}

/** Show only locks and waits that concern one agent, or all (null). */
export function concern(state, agent) {
  state.want.concerned = agent;
}

/** Begin to release the lock with this token; null leaves it held. */
export function askToRelease(state, token) {
  const lock = token === null ? null : state.inspected.lock(token);
  state.want.release = lock === null ? null : new LockRelease(lock);
}

export function giveReason(state, reason) {
  state.want.release?.type(reason);
}

/** The hub has released the lock. */
export function released(state, release, rev, now) {
  state.released = { lock: release.lock, rev, at: now };
  if (state.want.release === release) state.want.release = null;
  state.inspected.outdated();
}

/** Look at one entry, or at none (null). */
export function select(state, id) {
  state.want.selected = id === null ? null : new SelectedEntry(...id.split("\n"));
}

/** Anything a person may want of the selected entry: `wantOfSelected(state, "show", "history")`. */
export function wantOfSelected(state, verb, ...args) {
  state.want.selected?.[verb](...args);
}

export { idOf, ORDERS };

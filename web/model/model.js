/**
 * The model of the dashboard: what is known of the hub, and what the user has chosen to see.
 *
 * Rules:
 *
 * 1. The model has no clock, DOM, socket or random number. Time comes in as an argument (`now`: the hub's clock, Unix
 *    seconds). The same lines at the same times give the same state, so all of it is tested under `node --test`.
 * 2. Changes are made in place: copying 100,000 keys for every event would take too long. Only the functions here make
 *    them.
 * 3. Everything that grows has a limit, except the list of agents, which the hub limits.
 * 4. Data that is read again replaces the old data in one step, at its end. Until then the old data stays visible.
 * 5. The model decides which commands to send (`questions`) and takes their replies. The code that sends them does not
 *    depend on what they mean.
 *
 * Its parts, each with rules of its own: `key-store.js` (keys) with `key-tree.js`, `event-feed.js` (events),
 * `rate-series.js` (rates), `selected-entry.js` (one entry), `inspection.js` (locks and waits) with `lock-rows.js`,
 * `wait-rows.js`, `wait-graph.js` and `lock-release.js`. Three streams come in: `keys` (events of entries, conflated,
 * without values), `events` (all events, with values) and `agents`.
 */

import { compareKeys } from "../text/compare-keys.js";
import { formatCount, plural, preview, remaining } from "../text/format.js";
import { EventFeed } from "./event-feed.js";
import { createFilterBox, setFilterText } from "./filter-box.js";
import { Inspection, LOCK_TYPES } from "./inspection.js";
import { idOf, KeyStore, ORDERS } from "./key-store.js";
import { LockRelease } from "./lock-release.js";
import { lockRows } from "./lock-rows.js";
import { overlap, targetText } from "./lock-targets.js";
import { RateSeries } from "./rate-series.js";
import { SelectedEntry } from "./selected-entry.js";
import { waitRows } from "./wait-rows.js";

/** How long the header shows the result of the last reconnect. The list of events keeps it. */
const RECONNECT_NOTE_S = 60;
/** A reset within this time of the last note has the same cause, so it changes that note instead of adding another. */
const SAME_CAUSE_S = 5;
/** An entry is marked as expiring soon this long before its deadline, and only within the last quarter of its time. */
const EXPIRES_SOON_S = 60;
/** Previews of values that are kept, for the keys shown most recently. */
const MAX_PREVIEWS = 2_000;
/** How long the result of a forced release is shown. */
const RELEASE_NOTE_S = 60;
/** While keys are filtered, a folder with at most this many rows opens by itself. */
const AUTO_OPEN_FILTERED_ROWS = 500;

export const AGENTS = "$agents";
const DASHBOARD = "dashboard";

/** Return the state before the first line from the hub. */
export function initial(bounds = {}) {
  return {
    welcome: null,
    connection: { name: "connecting", attempt: 0 },
    note: null,
    rev: 0,
    roundTrip: null,
    stats: null,
    rates: new RateSeries(),
    bounds,
    /** All keys, up to the limit of the store. */
    keyStore: new KeyStore({}, bounds),
    /** The keys of one namespace or pattern, null if all keys are shown. */
    filteredStore: null,
    /** Stores that are being read. Each replaces the store of the same name above when it is ready. */
    loading: { keyStore: null, filteredStore: null },
    previews: new Map(),
    agents: { known: new Map(), incoming: null, synced: false },
    feed: new EventFeed(),
    inspection: new Inspection(),
    /** The last forced release and its result. */
    lastRelease: null,
    /** What the user has chosen to see. */
    ui: {
      section: "keys",
      ns: null,
      keyFilter: createFilterBox(),
      keyView: "tree",
      author: null,
      lockFilter: createFilterBox(),
      focusedAgent: null,
      showDashboards: false,
      selected: null,
      release: null,
    },
  };
}

// --- the connection -----------------------------------------------------------------------------------------------

/** Take over the new state of the connection. */
export function onConnectionState(state, connection, now) {
  if (state.connection.name === "open" && connection.name !== "open") state.note = null;
  const retryAt = connection.retryIn === undefined ? null : now + connection.retryIn;
  state.connection = { ...connection, retryAt };
}

/** Take the hub's reply to `hello`. */
export function onWelcome(state, welcome, { first, takenOver }, now) {
  const restarted = !first && welcome.epoch !== state.welcome.epoch;
  state.welcome = welcome;
  state.inspection.markOutdated();
  // Revisions of another epoch cannot be compared, so a restarted hub sets the revision back.
  state.rev = restarted ? welcome.rev : Math.max(state.rev, welcome.rev);
  state.connection = { name: "open", attempt: 0, retryAt: null };
  if (first) return;
  addReconnectNote(state, { at: now, rev: welcome.rev, restarted, takenOver });
}

/** Note the result of a reconnect: the header shows it for a while, and the list of events keeps it. */
function addReconnectNote(state, facts) {
  state.note = { caughtUp: 0, fresh: null, restarted: false, ...facts };
  state.feed.record({ type: "connection", note: state.note, at: facts.at });
}

/** Take the time from a command to its reply, in seconds. */
export function onRoundTrip(state, seconds) {
  state.roundTrip = seconds;
}

/**
 * Return the state of the connection as words: `tone` is good, busy or bad.
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

/** Return the result of a reconnect in words; empty when it is too long ago. */
export function noteText(note, now) {
  if (note === null || now - note.at > RECONNECT_NOTE_S) return "";
  if (note.restarted || note.fresh === "epoch" || note.fresh === "restart") return "hub restarted: fresh snapshot";
  if (note.fresh !== null) return "missed too much: fresh snapshot";
  return `resumed${note.takenOver ? "" : " in a new session"}, ${plural(note.caughtUp, "event")} caught up`;
}

// --- lines --------------------------------------------------------------------------------------------------------

/**
 * Take a line of one of the three streams.
 * @param {"keys"|"events"|"agents"} stream
 */
export function onEvent(state, stream, line, now) {
  switch (line.type) {
    case "reset":
      if (line.reason !== null) noteFreshSnapshot(state, line.reason, now);
      if (stream === "agents") Object.assign(state.agents, { incoming: new Map(), synced: false });
      if (stream === "keys") reloadAllKeys(state);
      if (stream === "events") state.ui.selected?.markOutdated();
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
      if (stream === "keys") for (const store of keyStores(state)) store.onEvent(line);
      else if (stream === "agents" && line.snapshot) state.agents.incoming?.set(idOf(line.ns, line.key), agentOf(line));
      else applyEvent(state, stream, line);
  }
}

/** Note that the hub sends a snapshot because it no longer has all that was missed. */
function noteFreshSnapshot(state, reason, now) {
  if (state.note === null || now - state.note.at > SAME_CAUSE_S) {
    addReconnectNote(state, { at: now, rev: 0, takenOver: true });
  }
  state.note.fresh = reason;
}

/** Record an event of the stream `events` or `agents`, and update what depends on it. */
function applyEvent(state, stream, line) {
  state.rev = Math.max(state.rev, line.rev);
  // The dashboard's own reconnect is an event too, but it was not missed.
  const own = stream === "agents" && line.key === state.welcome?.agent;
  if (!own && state.note !== null && line.rev <= state.note.rev) state.note.caughtUp += 1;
  if (stream === "agents") {
    state.feed.record(presenceItem(state, line));
    applyAgentEvent(state, line);
    return;
  }
  if (LOCK_TYPES.has(line.type)) {
    state.feed.record(lockItem(line));
    state.inspection.markOutdated();
    return;
  }
  const item = entryItem(line);
  state.feed.record(item);
  const id = idOf(line.ns, line.key);
  if (line.type !== "message" && state.ui.selected?.id === id) state.ui.selected.onEvent(line);
  if (line.type === "set" && state.previews.has(id)) keepPreview(state, id, line.rev, item.summary);
}

function applyAgentEvent(state, line) {
  const id = idOf(line.ns, line.key);
  if (line.type === "set") state.agents.known.set(id, agentOf(line));
  else if (line.type !== "touch") state.agents.known.delete(id);
}

/** Return an agent from its entry in `$agents`. Role and status come from the agent itself and may be any JSON. */
function agentOf({ ns, key, at, value }) {
  const { connected, since, meta, status, sessions } = value ?? {};
  const role = typeof meta?.role === "string" ? meta.role : "";
  const statusText = typeof status === "string" ? status : preview(status ?? undefined);
  return {
    id: idOf(ns, key), name: key, connected: connected !== false, since: since ?? at, role, status: statusText,
    sessions: sessions ?? 1,
  };
}

function entryItem(line) {
  const { type, ns, key, by, rev, at, late, reason } = line;
  const summary = preview(type === "message" ? line.data : line.value);
  return { type, ns, key, by, rev, at, late, reason, summary, dashboard: false };
}

/** Return the item of a lock's event: `by` is the agent that holds the lock, lost it, or waits for it. */
function lockItem(line) {
  const { type, ns, key, by, rev, at, reason, token, mode, waiting } = line;
  const facts = [];
  if (waiting !== undefined) facts.push(`${formatCount(waiting)} waiting`);
  if (mode === "shared") facts.push("shared");
  if (token !== undefined) facts.push(`token ${formatCount(token)}`);
  return { type, ns, key, by, rev, at, reason, summary: facts.join(" · "), dashboard: false };
}

/** Return the item of an event of `$agents`, as a change of the agent: joined, away, back, left. */
function presenceItem(state, line) {
  const { ns, key, by, rev, at } = line;
  const old = state.agents.known.get(idOf(ns, key));
  const agent = line.type === "set" ? agentOf(line) : undefined;
  const dashboard = (agent ?? old)?.role === DASHBOARD;
  return { type: "agent", ns, key, by, rev, at, summary: presenceText(old, agent), dashboard };
}

function presenceText(old, agent) {
  if (agent === undefined) return "left";
  if (!agent.connected) return "away";
  if (old === undefined) return "joined";
  if (!old.connected) return "back";
  return agent.status === old.status ? "here" : `status ${agent.status}`;
}

// --- keys ---------------------------------------------------------------------------------------------------------

/** Return the store whose keys are shown. */
export const shownKeyStore = (state) => state.filteredStore ?? state.keyStore;

function keyStores({ keyStore, filteredStore, loading }) {
  return [keyStore, filteredStore, loading.keyStore, loading.filteredStore].filter((store) => store !== null);
}

/** Read all keys again, because the stream of their events has a gap. */
function reloadAllKeys(state) {
  state.loading.keyStore = new KeyStore({}, state.bounds);
  const isFiltered = state.filteredStore !== null || state.loading.filteredStore !== null;
  if (isFiltered) state.loading.filteredStore = createFilteredStore(state);
  state.ui.selected?.markOutdated();
}

/**
 * Read the keys of the namespace and pattern now chosen. The store of all keys is complete, so "all" needs no reading.
 */
function reloadFilteredKeys(state) {
  const { ns, keyFilter } = state.ui;
  const all = ns === null && keyFilter.text === "";
  if (all) state.filteredStore = null;
  state.loading.filteredStore = all ? null : createFilteredStore(state);
  updateAuthorList(state);
}

function createFilteredStore(state) {
  const { ns, keyFilter } = state.ui;
  return new KeyStore(
    { ns, pattern: keyFilter.pattern, accepts: keyFilter.accepts },
    { ...state.bounds, autoOpenRows: AUTO_OPEN_FILTERED_ROWS },
  );
}

/**
 * Return the commands to send now, each with what to do with its reply.
 * @returns {{op: string, fields: object, onReply: (ok: object) => void, onError: (error: Error) => void}[]}
 */
export function questions(state, now = 0) {
  const asked = [];
  for (const store of keyStores(state)) {
    const question = store.nextQuestion();
    if (question === null) continue;
    const onReply = (ok) => {
      store.onReply(ok);
      showWhenReady(state, store);
    };
    asked.push({ ...question, onReply, onError: (error) => store.onError(error.message) });
  }
  const { selected } = state.ui;
  const question = selected?.nextQuestion() ?? null;
  if (question !== null) {
    const onError = (error) => selected.onError(error.message);
    asked.push({ ...question, onReply: (ok) => selected.onReply(ok), onError });
  }
  const { inspection } = state;
  if (inspection.beginIfDue(now, isInspectionShown(state))) {
    const onError = (error) => inspection.onError(error.message);
    asked.push({ op: "inspect", fields: {}, onReply: (ok) => inspection.onReply(ok), onError });
  }
  return asked;
}

/**
 * Show a store that was being read, if it is ready. Filtered keys are shown as soon as there is one: the user waits for
 * them.
 */
function showWhenReady(state, store) {
  for (const name of ["keyStore", "filteredStore"]) {
    const ready = store.settled || (name === "filteredStore" && store.records.size > 0);
    if (state.loading[name] !== store || !ready) continue;
    state[name] = store;
    state.loading[name] = null;
    updateAuthorList(state);
  }
}

/** Return the rows of the tree. */
export const shownTree = (state) => shownKeyStore(state).tree.rows();

/** Return the keys to show as a list, in the chosen order. */
export function shownKeys(state) {
  const store = shownKeyStore(state);
  if (state.ui.author !== null) return state.keyStore.authorList;
  return state.ui.keyView === "deadline" ? store.deadlines : store.listed;
}

/** Return the view that is shown. The keys of one agent are always a list. */
export const shownKeyView = ({ ui }) => (ui.author !== null && ui.keyView === "tree" ? "key" : ui.keyView);

/** Return the text that says how many keys are left out, empty if all are shown. */
export function boundText(state) {
  const store = state.ui.author === null ? shownKeyStore(state) : state.keyStore;
  if (store.error !== null) return `The hub did not list all keys: ${store.error}`;
  if (!store.full) return "";
  const all = store.expected === null ? "" : ` of ${formatCount(Math.max(store.expected, state.stats?.keys ?? 0))}`;
  const kept = `${formatCount(store.records.size)}${all}`;
  return `Only the first ${kept} keys are kept here: use a filter or a namespace to see others.`;
}

/**
 * Return the time to an entry's deadline, null if it has none.
 * @param {{expiresAt: number|null, since: number}} entry
 * @returns {{text: string, part: number, due: boolean, tone: string}|null} `part` is what is left of the whole time, 0
 *   to 1
 */
export function countdown({ expiresAt, since }, now) {
  if (expiresAt === null) return null;
  const left = expiresAt - now;
  const part = Math.min(1, Math.max(0, left / Math.max(expiresAt - since, 0.001)));
  const due = left <= 0;
  const soon = left < EXPIRES_SOON_S && part < 0.25;
  return { text: remaining(left), part, due, tone: due ? "due" : soon ? "soon" : "calm" };
}

/** Return the entry with the earliest deadline, null if none has a deadline. */
export function nextToExpire(state) {
  return state.keyStore.deadlines.at(0) ?? null;
}

/** Return the known beginning of a key's value. `stale` means that the value has to be read. */
export function previewOf(state, { id, rev }) {
  const known = state.previews.get(id);
  return { text: known?.text ?? "", stale: known === undefined || known.rev < rev };
}

/** Take a value that was read for a row. */
export function onValue(state, { id, rev }, entry) {
  keepPreview(state, id, entry?.rev ?? rev, entry === null ? "" : preview(entry.value));
}

function keepPreview(state, id, rev, text) {
  const known = state.previews.get(id);
  if (known !== undefined && known.rev > rev) return;
  // A map keeps the order of insertion: deleting first puts the newest at the end, so the first one is the oldest.
  state.previews.delete(id);
  state.previews.set(id, { rev, text });
  if (state.previews.size > MAX_PREVIEWS) state.previews.delete(state.previews.keys().next().value);
}

// --- agents -------------------------------------------------------------------------------------------------------

/** Return the agents to show: connected ones first, then by name. Dashboards come last, and only if chosen. */
export function shownAgents(state) {
  const agents = [...state.agents.known.values()];
  const rank = (agent) => (agent.role === DASHBOARD ? 2 : agent.connected ? 0 : 1);
  return agents
    .filter((agent) => state.ui.showDashboards || agent.role !== DASHBOARD)
    .sort((a, b) => rank(a) - rank(b) || compareKeys(a.name, b.name));
}

/** Return how many agents are here and away, and how many dashboards are open. */
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

const isInspectionShown = ({ ui }) => ui.section !== "keys" || ui.release !== null;

/** Return the locks to show, each with its queue. */
export function shownLocks({ inspection, ui }) {
  return lockRows(inspection.latest, { agent: ui.focusedAgent, accepts: ui.lockFilter.accepts });
}

/** Return the waiting commands to show, each with what it waits for. */
export function shownWaits({ inspection, ui }) {
  return waitRows(inspection.latest, { agent: ui.focusedAgent });
}

/** Return the time until a wait or a lock ends, as `countdown` does for an entry; null without a deadline. */
export const waitCountdown = ({ since, until }, now) => countdown({ since, expiresAt: until }, now);

/** Return the text that says how many "locks" or "waits" are left out, empty if all are shown. */
export function cutText({ inspection, stats }, kind) {
  if (inspection.error !== null) return `The hub did not answer: ${inspection.error}`;
  if (!inspection.latest.cut.includes(kind)) return "";
  const all = stats === null ? "" : ` of ${formatCount(stats[kind])}`;
  const shown = formatCount(inspection.latest[kind].length);
  return `Only the first ${shown}${all} ${kind} are shown: the hub lists no more at a time.`;
}

/** Return the result of the last forced release, empty when it is too long ago. */
export function releasedText({ lastRelease, inspection }, now) {
  if (lastRelease === null || now - lastRelease.at > RELEASE_NOTE_S) return "";
  const { lock: lost, rev } = lastRelease;
  const text = `${targetText(lost)} was released: ${lost.agent} lost it and receives your reason.`;
  if (inspection.latest.rev < rev) return text; // the locks known now are older than the release
  const holders = new Set(inspection.latest.locks.filter((lock) => overlap(lock, lost)).map((lock) => lock.agent));
  return `${text} ${holders.size === 0 ? "No agent holds it now." : `Now held by ${[...holders].join(", ")}.`}`;
}

// --- statistics ---------------------------------------------------------------------------------------------------

/** Take the hub's reply to `stats`. */
export function onStats(state, stats) {
  state.stats = stats;
  state.rev = Math.max(state.rev, stats.rev);
  state.rates.read(stats.at, { revisions: stats.rev, events: stats.events });
}

// --- choices of the user ------------------------------------------------------------------------------------------

/** Show the keys of one namespace, or of all (null). */
export function chooseNamespace(state, ns) {
  state.ui.ns = ns;
  reloadFilteredKeys(state);
}

export function filterKeys(state, text) {
  if (setFilterText(state.ui.keyFilter, text)) reloadFilteredKeys(state);
}

/** Show keys as a "tree", as a list by "key", or the ones with a deadline by "deadline". */
export function chooseKeyView(state, view) {
  state.ui.keyView = view;
  updateAuthorList(state);
}

/** Show only keys that one agent wrote last, or all (null). */
export function showKeysOf(state, agent) {
  state.ui.author = agent;
  updateAuthorList(state);
}

function updateAuthorList(state) {
  const { author, keyView, ns, keyFilter } = state.ui;
  const accepts = (record) => (ns === null || record.ns === ns) && keyFilter.accepts(record.key);
  state.keyStore.listAuthor(author, keyView === "deadline" ? "deadline" : "key", accepts);
}

/** Open or close a folder of the tree. */
export function toggleFolder(state, folder, open) {
  shownKeyStore(state).tree.toggle(folder, open);
}

/** Call a method of the event feed: `changeFeed(state, "filterKeys", "task:*")`. */
export function changeFeed(state, method, ...args) {
  state.feed[method](...args);
}

export function showDashboards(state, shown) {
  state.ui.showDashboards = shown;
  state.feed.showDashboards(shown);
}

/** Show one of the sections "keys", "locks", "waits". */
export function showSection(state, section) {
  state.ui.section = section;
}

export function filterLocks(state, text) {
  setFilterText(state.ui.lockFilter, text);
}

/** Show only the locks and waits in which one agent takes part, or all (null). */
export function focusAgent(state, agent) {
  state.ui.focusedAgent = agent;
}

/** Open the dialog that releases the lock with this token; null closes it. */
export function askToRelease(state, token) {
  const lock = token === null ? null : state.inspection.lock(token);
  state.ui.release = lock === null ? null : new LockRelease(lock);
}

export function setReleaseReason(state, reason) {
  state.ui.release?.setReason(reason);
}

/** Take the hub's reply that it released the lock. */
export function onReleased(state, release, rev, now) {
  state.lastRelease = { lock: release.lock, rev, at: now };
  // The user may have opened the dialog for another lock meanwhile.
  if (state.ui.release === release) state.ui.release = null;
  state.inspection.markOutdated();
}

/** Show one entry, or none (null). */
export function select(state, id) {
  state.ui.selected = id === null ? null : new SelectedEntry(...id.split("\n"));
}

/** Call a method of the selected entry: `changeSelected(state, "show", "history")`. */
export function changeSelected(state, method, ...args) {
  state.ui.selected?.[method](...args);
}

export { idOf, ORDERS };

/**
 * The dashboard's session with the hub: three subscriptions, and the commands it sends.
 *
 * Rules:
 *
 * 1. Every line goes to the model, with the hub's time. The model decides which commands to send and takes their
 *    replies.
 * 2. `keys` is conflated and without values: four deliveries a second, however many events happen. `events` has every
 *    event with its value, because the list of events must be complete.
 * 3. If the hub no longer has what was missed, a resumed subscription would get a snapshot of all entries. That may be
 *    far more than the dashboard shows. So it subscribes again without a snapshot, and reads the keys page by page.
 */

import { readPreference, savePreference } from "./browser/preferences.js";
import { LOCK_TYPES } from "./model/inspection.js";
import * as model from "./model/model.js";
import { connect } from "./waggle.js";

/** Time between two deliveries of the stream `keys`. */
const CONFLATE_S = 0.25;
/** Time between two `stats` commands, and between two measurements of the hub's clock. */
const STATS_PERIOD_MS = 1_000;
const CLOCK_PERIOD_MS = 3_000;
/** Values for rows that are read at the same time. */
const MAX_READS = 8;
const ENTRY_TYPES = ["set", "delete", "expire", "evict", "touch"];

/**
 * Connect to the hub that serves the dashboard.
 * @param {object} state the model
 * @param {(change: Function, ...args: any[]) => void} applyUpdate changes the model and shows the change soon
 */
export function connectHub(state, applyUpdate) {
  const hub = connect({
    agent: dashboardName(),
    meta: { role: "dashboard" },
    onstate: (connection) => applyUpdate(model.onConnectionState, connection, hub.now()),
    onhello: (welcome, how) => {
      applyUpdate(model.onWelcome, welcome, how, hub.now());
      measureClock();
      readStats();
    },
  });

  subscribe("keys", { patterns: ["*"], ns: "*", types: ENTRY_TYPES, values: false, conflate: CONFLATE_S });
  subscribe("events", { patterns: ["*"], ns: "*", types: [...ENTRY_TYPES, ...LOCK_TYPES, "message"] });
  const agents = { patterns: ["*"], ns: model.AGENTS, types: ["set", "delete", "expire", "evict"], snapshot: true };
  hub.subscribe(agents, (line) => {
    applyUpdate(model.onEvent, "agents", line, hub.now());
  });
  setInterval(measureClock, CLOCK_PERIOD_MS);
  setInterval(readStats, STATS_PERIOD_MS);

  function subscribe(stream, interest) {
    hub.subscribe(interest, (line, subscription) => {
      if (line.type === "reset") {
        subscription.close();
        subscribe(stream, interest); // rule 3
      }
      applyUpdate(model.onEvent, stream, line, hub.now());
    });
  }

  // Both are repeated, so an error of one is ignored: the next one may succeed.
  function measureClock() {
    if (hub.state.name !== "open") return;
    hub.syncClock().then((seconds) => applyUpdate(model.onRoundTrip, seconds), () => {});
  }

  let readingStats = false;
  function readStats() {
    if (readingStats || hub.state.name !== "open") return;
    readingStats = true;
    hub.stats().then((stats) => applyUpdate(model.onStats, stats), () => {}).finally(() => (readingStats = false));
  }

  /** Send the commands that the model asks for. */
  function ask() {
    for (const { op, fields, onReply, onError } of model.questions(state, hub.now())) {
      send({ op, fields }, onReply, onError).finally(ask);
    }
  }

  const reading = new Set();

  /** Read the value of a visible row. */
  function readValue(record) {
    if (reading.has(record.id) || reading.size >= MAX_READS || hub.state.name !== "open") return;
    reading.add(record.id);
    hub
      .get(record.key, { ns: record.ns })
      .then((entry) => applyUpdate(model.onValue, record, entry), () => {})
      .finally(() => reading.delete(record.id));
  }

  /** Write the draft of the selected entry. */
  function saveEntry() {
    const { selected } = state.ui;
    send(selected?.saveCommand(), () => selected.onSaved(), ({ code, message, details }) => {
      selected.onSaveRefused(code, message, details?.current ?? null);
    });
  }

  /** Delete the selected entry. */
  function deleteEntry() {
    const { selected } = state.ui;
    send(selected?.deleteCommand(), () => selected.cancelDelete(), ({ code, message, details }) => {
      selected.onDeleteRefused(code, message, details?.current ?? null);
    });
  }

  /** Release by force the lock that the user chose. */
  function releaseLock() {
    const { release } = state.ui;
    const command = release?.command() ?? null;
    if (command === null) applyUpdate(() => {}); // show why there is no command
    send(
      command,
      ({ rev }) => model.onReleased(state, release, rev, hub.now()),
      ({ code, message }) => release.onRefused(code, message),
    );
  }

  /** Send a command, if there is one, and change the model by its reply or error. */
  async function send(command, onReply, onError) {
    if (!command) return;
    await hub.command(command.op, command.fields).then(
      (ok) => applyUpdate(() => onReply(ok)),
      (error) => applyUpdate(() => onError(error)),
    );
  }

  return { hub, now: () => hub.now(), ask, readValue, saveEntry, deleteEntry, releaseLock };
}

/** Return one name for this browser, so that the hub knows one dashboard for it and not a new one for each visit. */
function dashboardName() {
  const known = readPreference("dashboard");
  if (known !== null) return known;
  const [random] = crypto.getRandomValues(new Uint32Array(1));
  const name = `dashboard-${random.toString(36)}`;
  savePreference("dashboard", name);
  return name;
}

/**
 * The page's session with the hub: the three streams it hears, and the questions it asks.
 *
 * Laws:
 *
 * 1. What comes is handed to the model with the hub's time; what the model wants to know is asked, and answered to it.
 * 2. `keys` is conflated and without values: four deliveries a second, however much happens. `events` is every event with
 *    its value: what the page shows as a list of all events is all of them.
 * 3. Where the hub cannot tell what was missed it would send all entries it has. The page does not want that: it
 *    subscribes anew, and reads the keys again, a page at a time.
 */

import { readPreference, savePreference } from "./browser/preferences.js";
import * as model from "./model/model.js";
import { connect } from "./waggle.js";

/** Seconds between two deliveries of what became of the keys. */
const CONFLATE_S = 0.25;
/** Milliseconds between two looks at the figures of the hub, and between two measurements of its clock. */
const STATS_PERIOD_MS = 1_000;
const CLOCK_PERIOD_MS = 3_000;
/** Values of rows in view that are asked for at one time. */
const MAX_READS = 8;
const LOCK_TYPES = ["lock", "renew", "unlock", "queue"];
const ENTRY_TYPES = ["set", "delete", "expire", "evict", "touch"];

/**
 * @param {object} state the model
 * @param {(change: Function, ...args: any[]) => void} change changes the model, and shows it soon
 */
export function connectHub(state, change) {
  const hub = connect({
    agent: ownName(),
    meta: { role: "dashboard" },
    onstate: (connection) => change(model.connectionChanged, connection, hub.now()),
    onhello: (welcome, how) => {
      change(model.welcomed, welcome, how, hub.now());
      measure();
      readStats();
    },
  });

  listen("keys", { patterns: ["*"], ns: "*", types: ENTRY_TYPES, values: false, conflate: CONFLATE_S });
  listen("events", { patterns: ["*"], ns: "*", types: [...ENTRY_TYPES, ...LOCK_TYPES, "message"] });
  hub.subscribe({ patterns: ["*"], ns: model.AGENTS, types: ["set", "delete", "expire", "evict"], snapshot: true }, (line) => {
    change(model.heard, "agents", line, hub.now());
  });
  setInterval(measure, CLOCK_PERIOD_MS);
  setInterval(readStats, STATS_PERIOD_MS);

  function listen(from, interest) {
    hub.subscribe(interest, (line, subscription) => {
      if (line.type === "reset") {
        subscription.close();
        listen(from, interest);
      }
      change(model.heard, from, line, hub.now());
    });
  }

  function measure() {
    if (hub.state.name !== "open") return;
    hub.syncClock().then((trip) => change(model.measured, trip), () => {});
  }

  let readingStats = false;
  function readStats() {
    if (readingStats || hub.state.name !== "open") return;
    readingStats = true;
    hub.stats().then((stats) => change(model.counted, stats), () => {}).finally(() => (readingStats = false));
  }

  /** Ask what the model wants to know, if anything. */
  function ask() {
    for (const { op, fields, answered, failed } of model.questions(state, hub.now())) {
      hub
        .command(op, fields)
        .then((ok) => change(() => answered(ok)), (error) => change(() => failed(error)))
        .finally(ask);
    }
  }

  const reading = new Set();

  /** The value of a row in view. */
  function read(record) {
    if (reading.has(record.id) || reading.size >= MAX_READS || hub.state.name !== "open") return;
    reading.add(record.id);
    hub
      .get(record.key, { ns: record.ns })
      .then((entry) => change(model.valueRead, record, entry), () => {})
      .finally(() => reading.delete(record.id));
  }

  /** Write the draft of the selected entry. */
  function write() {
    const { selected } = state.want;
    const command = selected?.save() ?? null;
    if (command === null) return;
    const refused = ({ code, message, details }) => selected.refused(code, message, details?.current ?? null);
    hub
      .command(command.op, command.fields)
      .then(() => change(() => selected.saved()), (error) => change(() => refused(error)));
  }

  /** Delete the selected entry. */
  function remove() {
    const { selected } = state.want;
    const command = selected?.delete() ?? null;
    if (command === null) return;
    const refused = ({ code, message, details }) => selected.notDeleted(code, message, details?.current ?? null);
    hub
      .command(command.op, command.fields)
      .then(() => change(() => selected.keep()), (error) => change(() => refused(error)));
  }

  /** Take the lock that the person chose from its holder. */
  function release() {
    const { release } = state.want;
    const command = release?.command() ?? null;
    if (command === null) {
      change(() => {}); // it says why
      return;
    }
    hub.command(command.op, command.fields).then(
      ({ rev }) => change(model.released, release, rev, hub.now()),
      ({ code, message }) => change(() => release.refused(code, message)),
    );
  }

  return { hub, now: () => hub.now(), ask, read, write, remove, release };
}

/** One name for this browser, so that the hub remembers one dashboard of it and not one for each visit. */
function ownName() {
  const known = readPreference("dashboard");
  if (known !== null) return known;
  const [random] = crypto.getRandomValues(new Uint32Array(1));
  const name = `dashboard-${random.toString(36)}`;
  savePreference("dashboard", name);
  return name;
}

/**
 * The page, put together. What the hub says goes into the model; once a frame, if anything changed, the views show it;
 * what the person does comes back as an intent, which changes the model or asks the hub.
 *
 *     hub -> line -> model -> (one frame) -> views -> intent -> model, hub
 */

import { byId, setAttribute } from "./dom.js";
import { recall, remember } from "./memory.js";
import * as model from "./model.js";
import { connect } from "./waggle.js";
import { mountAgents } from "./views/agents.js";
import { mountEntry } from "./views/entry.js";
import { mountEvents } from "./views/events.js";
import { mountHeader } from "./views/header.js";
import { mountHealth } from "./views/health.js";
import { mountKeys } from "./views/keys.js";
import { mountTheme } from "./views/theme.js";

/** Milliseconds between two looks at the countdowns: they show tenths of a second near the end. */
const TICK = 100;
/** Milliseconds between two measurements of the hub's clock. */
const CLOCK = 3_000;
const EVENT_TYPES = ["set", "delete", "expire", "evict", "touch", "lock", "unlock", "message"];

const state = model.initial();

const hub = connect({
  agent: ownName(),
  meta: { role: "dashboard" },
  onstate: (connection) => change(model.connectionChanged, connection, hubTime()),
  onhello: (welcome, how) => {
    change(model.welcomed, welcome, how, hubTime());
    measure();
  },
});
hub.subscribe({ patterns: ["*"], ns: "*", types: EVENT_TYPES, snapshot: true }, (line) => {
  change(model.heard, "entries", line, hubTime());
});
hub.subscribe({ patterns: ["*"], ns: model.AGENTS, snapshot: true }, (line) => {
  change(model.heard, "agents", line, hubTime());
});

// --- what the person does -----------------------------------------------------------------------------------------

const verb = (change_) => (...args) => change(change_, ...args);
const intents = {
  look: soon,
  retry: () => hub.retry(),
  filterKeys: verb(model.filterKeys),
  sortKeys: verb(model.sortKeys),
  chooseNamespace: verb(model.chooseNamespace),
  filterEvents: verb(model.filterEvents),
  toggleType: verb(model.toggleType),
  pauseEvents: verb(model.pauseEvents),
  showDashboards: verb(model.showDashboards),
  select: verb(model.select),
};

mountTheme();
const views = [
  mountHeader(intents),
  mountHealth(intents),
  mountAgents(intents),
  mountKeys(intents),
  mountEntry(intents),
  mountEvents(intents),
];

for (const tab of document.querySelectorAll("[data-tab]")) {
  tab.addEventListener("click", () => {
    setAttribute(byId("main"), "data-view", tab.dataset.tab);
    for (const other of document.querySelectorAll("[data-tab]")) {
      setAttribute(other, "aria-pressed", String(other === tab));
    }
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  byId("filter-keys").focus();
});
addEventListener("online", () => hub.retry());
addEventListener("pagehide", () => hub.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

// --- time ---------------------------------------------------------------------------------------------------------

setInterval(soon, TICK);
setInterval(measure, CLOCK);

let scheduled = false;

function change(change_, ...args) {
  change_(state, ...args);
  soon();
}

/** Show what is known in the next frame. */
function soon() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(show);
}

function show() {
  scheduled = false;
  const now = hubTime();
  askForSelected();
  for (const update of views) update(state, now);
}

function hubTime() {
  return hub.now();
}

function measure() {
  if (hub.state.name !== "open") return;
  hub.syncClock().then((trip) => change(model.measured, trip), () => {});
}

/** The value of the selected entry, asked for anew whenever it was written; one question at a time. */
let asking = false;
function askForSelected() {
  if (asking || hub.state.name !== "open") return;
  const question = model.ask(state);
  if (question === null) return;
  const { id, ns, key } = question;
  asking = true;
  hub
    .get(key, { ns })
    .then((entry) => change(model.answered, id, entry), (error) => change(model.answered, id, null, error.message))
    .finally(() => (asking = false));
}

/** One name for this browser, so that the hub remembers one dashboard of it and not one for each visit. */
function ownName() {
  const known = recall("dashboard");
  if (known !== null) return known;
  const [random] = crypto.getRandomValues(new Uint32Array(1));
  const name = `dashboard-${random.toString(36)}`;
  remember("dashboard", name);
  return name;
}

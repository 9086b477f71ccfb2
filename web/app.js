/**
 * The page, put together. What the hub says goes into the model; the views show it, at most once a frame;
 * what the person does comes back as an intent, which changes the model or asks the hub.
 *
 *     hub -> line -> model -> (one frame) -> views -> intent -> model, hub
 *
 * A view is a section of index.html and a module of views/ that mounts on it and gives `update(model, now)`. A new one is
 * these two, its line in `views` below, and a button in the list of views.
 */

import { connectHub } from "./hub-session.js";
import { byId } from "./browser/elements.js";
import * as model from "./model/model.js";
import { mountAgents } from "./views/agents.js";
import { mountWaitGraph } from "./views/wait-graph-view.js";
import { mountEntry } from "./views/entry/entry.js";
import { mountEvents } from "./views/events.js";
import { mountHeader } from "./views/header.js";
import { mountHealth } from "./views/health.js";
import { mountKeys } from "./views/keys.js";
import { mountLocks } from "./views/locks.js";
import { mountRates } from "./views/rates.js";
import { mountReleaseDialog } from "./views/release-dialog.js";
import { mountTabs } from "./views/tabs.js";
import { mountTheme } from "./views/theme.js";
import { mountWaits } from "./views/waits.js";

/**
 * Milliseconds between two looks at the countdowns, which show tenths of a second near the end; and from what the hub
 * says until it is seen, at most. What comes alone is shown at once.
 */
const TICK = 100;

const state = model.initial();
const { hub, now, ask, write, remove, release, read } = connectHub(state, learn);

// --- what the person does -----------------------------------------------------------------------------------------

const verb = (change_) => (...args) => change(change_, ...args);
const intents = {
  look: soon,
  retry: () => hub.retry(),
  filterKeys: verb(model.filterKeys),
  chooseView: verb(model.chooseView),
  chooseNamespace: verb(model.chooseNamespace),
  showKeysOf: verb(model.showKeysOf),
  toggleFolder: verb(model.toggleFolder),
  readValue: read,
  ofEvents: verb(model.wantOfEvents),
  showDashboards: verb(model.showDashboards),
  select: verb(model.select),
  ofSelected: verb(model.wantOfSelected),
  save: write,
  remove,
  goTo: verb(model.goTo),
  filterLocks: verb(model.filterLocks),
  concern: verb(model.concern),
  askToRelease: verb(model.askToRelease),
  giveReason: verb(model.giveReason),
  release,
};

mountTheme();
mountTabs(intents);
const views = [
  mountHeader(intents),
  mountHealth(intents),
  mountRates(intents),
  mountAgents(intents),
  mountKeys(intents),
  mountEntry(intents),
  mountLocks(intents),
  mountWaits(intents),
  mountWaitGraph(),
  mountReleaseDialog(intents),
  mountEvents(intents),
];

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  byId(state.want.place === "locks" ? "filter-locks" : "filter-keys").focus();
});
addEventListener("online", () => hub.retry());
addEventListener("pagehide", () => hub.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

// --- one frame ----------------------------------------------------------------------------------------------------

setInterval(soon, TICK);

let scheduled = false;
let shownAt = 0;

/** The person wants something: it is shown in the next frame. */
function change(change_, ...args) {
  change_(state, ...args);
  soon();
}

/** The hub says something: much of it may come, and nobody reads faster than that. */
function learn(change_, ...args) {
  change_(state, ...args);
  if (performance.now() - shownAt >= TICK) soon();
}

/** Show what is known in the next frame. */
function soon() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(show);
}

function show() {
  scheduled = false;
  shownAt = performance.now();
  const time = now();
  ask();
  for (const update of views) update(state, time);
}

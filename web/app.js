/**
 * The dashboard, put together. Lines from the hub change the model, and the views show the model, at most once a frame.
 * The user's input comes back as an intent, which changes the model or sends a command.
 *
 *     hub -> line -> model -> (one frame) -> views -> intent -> model, hub
 *
 * A view is a section of index.html and a module of views/ that mounts on the section and returns `update(model,
 * now)`. To add a view, write these two, add the module to `views` below, and add a button to the list of views in
 * index.html.
 */

import { byId } from "./browser/elements.js";
import { connectHub } from "./hub-session.js";
import * as model from "./model/model.js";
import { mountAgents } from "./views/agents.js";
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
import { mountWaitGraph } from "./views/wait-graph-view.js";
import { mountWaits } from "./views/waits.js";

/**
 * The time between two updates of the countdowns, which show tenths of a second near their end. It is also the longest
 * time from a line of the hub until it is shown, when many lines come. A single line is shown at once.
 */
const UPDATE_PERIOD_MS = 100;

const state = model.initial();
const { hub, now, ask, readValue, saveEntry, deleteEntry, releaseLock } = connectHub(state, applyHubUpdate);

// --- the user's intents -------------------------------------------------------------------------------------------

const changes = (change) => (...args) => applyIntent(change, ...args);
const intents = {
  scheduleRender,
  retry: () => hub.retry(),
  filterKeys: changes(model.filterKeys),
  chooseKeyView: changes(model.chooseKeyView),
  chooseNamespace: changes(model.chooseNamespace),
  showKeysOf: changes(model.showKeysOf),
  toggleFolder: changes(model.toggleFolder),
  readValue,
  changeFeed: changes(model.changeFeed),
  showDashboards: changes(model.showDashboards),
  select: changes(model.select),
  changeSelected: changes(model.changeSelected),
  saveEntry,
  deleteEntry,
  showSection: changes(model.showSection),
  filterLocks: changes(model.filterLocks),
  focusAgent: changes(model.focusAgent),
  askToRelease: changes(model.askToRelease),
  setReleaseReason: changes(model.setReleaseReason),
  releaseLock,
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
  byId(state.ui.section === "locks" ? "filter-locks" : "filter-keys").focus();
});
addEventListener("online", () => hub.retry());
addEventListener("pagehide", () => hub.close());
// A page from the browser's back-forward cache has no connection any more, and its session has ended.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// --- one frame ----------------------------------------------------------------------------------------------------

setInterval(scheduleRender, UPDATE_PERIOD_MS);

let scheduled = false;
let renderedAt = 0;

/** Change the model for the user, and show the change in the next frame. */
function applyIntent(change, ...args) {
  change(state, ...args);
  scheduleRender();
}

/** Change the model for the hub. The interval above shows what comes too soon after the last frame. */
function applyHubUpdate(change, ...args) {
  change(state, ...args);
  if (performance.now() - renderedAt >= UPDATE_PERIOD_MS) scheduleRender();
}

/** Show the model in the next frame. */
function scheduleRender() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(render);
}

function render() {
  scheduled = false;
  renderedAt = performance.now();
  const time = now();
  ask();
  for (const update of views) update(state, time);
}

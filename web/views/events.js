/** The events, newest first. Scrolling down or the button Pause freezes the list, while events are still counted. */

import { byId, create, setAttribute, setHidden, setText } from "../browser/elements.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { MAX_EVENTS, TYPES } from "../model/event-feed.js";
import { LOCK_TYPES } from "../model/inspection.js";
import { idOf, noteText } from "../model/model.js";
import { formatCount, plural, shortDuration, shortRev, timeOfDay } from "../text/format.js";
import { showTab } from "./tabs.js";

/**
 * @param {object} intents
 * @param {(method: string, ...args: any[]) => void} intents.changeFeed
 * @param {(id: string) => void} intents.select
 * @param {(text: string) => void} intents.filterLocks
 * @param {() => void} intents.scheduleRender
 */
export function mountEvents(intents) {
  const list = byId("events");
  const total = byId("events-count");
  const none = byId("events-none");
  const byKey = byId("filter-events");
  const byAgent = byId("filter-agents");
  const error = byId("filter-events-error");
  const pause = byId("pause");
  const newer = byId("newer");
  const followed = byId("followed");
  const chips = TYPES.map((type) => create("button", "chip", { type: "button", "data-type": type }, type));
  const rows = mountVirtualList(list, {
    idOf: (event) => event.seq, make: makeRow, fill, onScroll: intents.scheduleRender,
  });
  let paused = false;

  byId("types").append(...chips);
  byId("types").addEventListener("click", (event) => {
    const chip = event.target.closest("[data-type]");
    if (chip !== null) intents.changeFeed("toggleType", chip.dataset.type);
  });
  byKey.addEventListener("input", () => intents.changeFeed("filterKeys", byKey.value));
  byAgent.addEventListener("input", () => intents.changeFeed("filterAgents", byAgent.value));
  byId("unfollow").addEventListener("click", () => intents.changeFeed("follow", null));
  pause.addEventListener("click", () => (paused ? resume() : intents.changeFeed("pause", true)));
  newer.addEventListener("click", resume);
  list.addEventListener("scroll", () => {
    if (list.scrollTop > 8) intents.changeFeed("pause", true);
  });
  list.addEventListener("click", (event) => {
    const { entry, lock } = event.target.closest("button")?.dataset ?? {};
    if (entry !== undefined) intents.select(entry);
    else if (lock !== undefined) intents.filterLocks(lock);
    else return;
    showTab(entry === undefined ? "locks" : "keys");
  });

  function resume() {
    rows.toTop();
    intents.changeFeed("pause", false);
  }

  function makeRow() {
    return create("div", "row event", { role: "listitem", tabindex: "-1" },
      create("span", "chip"),
      create("button", "key", { type: "button", tabindex: "-1" }),
      create("span", "rev"),
      create("span", "more"),
    );
  }

  function fill(row, event) {
    const [chip, key, rev, more] = row.children;
    const { type } = event;
    const isLock = LOCK_TYPES.has(type);
    const isEntry = !isLock && type !== "connection" && type !== "agent" && type !== "message";
    setAttribute(row, "data-type", type);
    setAttribute(row, "data-rev", event.rev === undefined ? null : String(event.rev));
    setAttribute(row, "data-key", event.key ?? null);
    setText(chip, type);
    setAttribute(chip, "data-type", type);
    const name = type === "connection" ? noteText(event.note, event.at) : event.key;
    setText(key, name);
    setAttribute(key, "title", name);
    setAttribute(key, "data-entry", isEntry ? idOf(event.ns, event.key) : null);
    setAttribute(key, "data-lock", isLock ? event.key : null);
    if (key.disabled === (isEntry || isLock)) key.disabled = !(isEntry || isLock);
    setText(rev, event.rev === undefined ? "" : shortRev(event.rev));
    setAttribute(rev, "title", event.rev === undefined ? null : `revision ${formatCount(event.rev)}`);
    setText(more, moreText(event));
  }

  return function update({ feed }, now) {
    const events = feed.shown();
    const newerCount = feed.sincePause();
    paused = feed.paused;
    setText(total, countText(feed, events.length));
    setText(error, errorText(feed));
    setAttribute(byKey, "aria-invalid", feed.keyFilter.error === null ? null : "true");
    setAttribute(byAgent, "aria-invalid", feed.agentFilter.error === null ? null : "true");
    for (const chip of chips) setAttribute(chip, "aria-pressed", String(!feed.hiddenTypes.has(chip.dataset.type)));
    setText(pause, paused ? "Resume" : "Pause");
    setAttribute(pause, "aria-pressed", String(paused));
    setHidden(newer, !paused || newerCount === 0);
    setText(newer, `${plural(newerCount, "newer event")}: show`);
    setHidden(followed, feed.followed === null);
    setText(followed.firstChild, followedText(feed.followed));
    setHidden(none, events.length > 0);
    setText(none, feed.seq === 0 ? "No events since this page was opened." : "No event matches.");
    rows.update(events, now);
  };
}

function countText(feed, shown) {
  if (feed.seq === 0) return "";
  if (shown === feed.seq) return formatCount(shown);
  const newest = shown === MAX_EVENTS ? "newest " : "";
  if (feed.filtered) return `${newest}${formatCount(shown)} that match, of ${formatCount(feed.seq)}`;
  return newest === "" ? formatCount(shown) : `${newest}${formatCount(shown)} of ${formatCount(feed.seq)}`;
}

function errorText({ keyFilter, agentFilter }) {
  const error = keyFilter.error ?? agentFilter.error;
  return error === null ? "" : `Not a pattern yet: ${error}.`;
}

function followedText(followed) {
  if (followed === null) return "";
  if (followed.lock !== undefined) return `Following the lock ${followed.lock.join(", ")}`;
  return followed.agent === undefined ? `Following the key ${followed.key}` : `Following the agent ${followed.agent}`;
}

function moreText(event) {
  const facts = [timeOfDay(event.at)];
  if (event.type === "connection") return `${facts[0]}  this dashboard`;
  if (event.type !== "agent") facts.push(`by ${event.by}`, event.ns);
  if (event.late !== undefined) facts.push(`${shortDuration(event.late)} late`);
  if (event.reason !== undefined) facts.push(event.reason.replace("_", " "));
  if (event.summary) facts.push(event.summary);
  return facts.join(" · ");
}

/** What happened, newest first. Scrolling down or pressing Pause holds the view; events go on being counted. */

import { byId, makeElement, setAttribute, setHidden, setText } from "../browser/elements.js";
import { KEPT, TYPES } from "../model/event-feed.js";
import { LOCK_TYPES } from "../model/inspection.js";
import { idOf, noteText } from "../model/model.js";
import { formatCount, plural, shortDuration, shortRev, timeOfDay } from "../text/format.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { showTab } from "./tabs.js";

/**
 * @param {object} intents
 * @param {(verb: string, ...args: any[]) => void} intents.ofEvents
 * @param {(id: string) => void} intents.select
 * @param {(text: string) => void} intents.filterLocks
 * @param {() => void} intents.look
 */
export function mountEvents(intents) {
  const list = byId("events");
  const total = byId("events-count");
  const none = byId("events-none");
  const byKey = byId("filter-events");
  const byAgent = byId("filter-agents");
  const wrong = byId("filter-events-wrong");
  const pause = byId("pause");
  const newer = byId("newer");
  const followed = byId("followed");
  const chips = TYPES.map((type) => makeElement("button", "chip", { type: "button", "data-type": type }, type));
  const rows = mountVirtualList(list, { idOf: (event) => event.seq, make: makeRow, fill, changed: intents.look });
  let paused = false;

  byId("types").append(...chips);
  byId("types").addEventListener("click", (event) => {
    const chip = event.target.closest("[data-type]");
    if (chip !== null) intents.ofEvents("toggleType", chip.dataset.type);
  });
  byKey.addEventListener("input", () => intents.ofEvents("filterKeys", byKey.value));
  byAgent.addEventListener("input", () => intents.ofEvents("filterAgents", byAgent.value));
  byId("unfollow").addEventListener("click", () => intents.ofEvents("follow", null));
  pause.addEventListener("click", () => (paused ? goOn() : intents.ofEvents("pause", true)));
  newer.addEventListener("click", goOn);
  list.addEventListener("scroll", () => {
    if (list.scrollTop > 8) intents.ofEvents("pause", true);
  });
  list.addEventListener("click", (event) => {
    const { entry, lock } = event.target.closest("button")?.dataset ?? {};
    if (entry !== undefined) intents.select(entry);
    else if (lock !== undefined) intents.filterLocks(lock);
    else return;
    showTab(entry === undefined ? "locks" : "keys");
  });

  function goOn() {
    rows.toTop();
    intents.ofEvents("pause", false);
  }

  function makeRow() {
    return makeElement("div", "row event", { role: "listitem", tabindex: "-1" },
      makeElement("span", "chip"),
      makeElement("button", "key", { type: "button", tabindex: "-1" }),
      makeElement("span", "rev"),
      makeElement("span", "more"),
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
    const waiting = feed.sincePause();
    paused = feed.paused;
    setText(total, countText(feed, events.length));
    setText(wrong, wrongText(feed));
    setAttribute(byKey, "aria-invalid", feed.keys.wrong === null ? null : "true");
    setAttribute(byAgent, "aria-invalid", feed.agents.wrong === null ? null : "true");
    for (const chip of chips) setAttribute(chip, "aria-pressed", String(!feed.hidden.has(chip.dataset.type)));
    setText(pause, paused ? "Go on" : "Pause");
    setAttribute(pause, "aria-pressed", String(paused));
    setHidden(newer, !paused || waiting === 0);
    setText(newer, `${plural(waiting, "newer event")}: show`);
    setHidden(followed, feed.followed === null);
    setText(followed.firstChild, followedText(feed.followed));
    setHidden(none, events.length > 0);
    setText(none, feed.seq === 0 ? "Nothing has happened since this page was opened." : "No event matches.");
    rows.update(events, now);
  };
}

function countText(feed, shown) {
  if (feed.seq === 0) return "";
  if (shown === feed.seq) return formatCount(shown);
  if (feed.filtered) return `${shown === KEPT ? "newest " : ""}${formatCount(shown)} that match, of ${formatCount(feed.seq)}`;
  return shown === KEPT ? `newest ${formatCount(shown)} of ${formatCount(feed.seq)}` : formatCount(shown);
}

function wrongText({ keys, agents }) {
  const wrong = keys.wrong ?? agents.wrong;
  return wrong === null ? "" : `Not a pattern yet: ${wrong}.`;
}

function followedText(followed) {
  if (followed === null) return "";
  if (followed.lock !== undefined) return `Following the lock ${followed.lock.join(", ")}`;
  return followed.agent === undefined ? `Following the key ${followed.key}` : `Following the agent ${followed.agent}`;
}

function moreText(event) {
  const words = [timeOfDay(event.at)];
  if (event.type === "connection") return `${words[0]}  this page`;
  if (event.type !== "agent") words.push(`by ${event.by}`, event.ns);
  if (event.late !== undefined) words.push(`${shortDuration(event.late)} late`);
  if (event.reason !== undefined) words.push(event.reason.replace("_", " "));
  if (event.said) words.push(event.said);
  return words.join(" · ");
}

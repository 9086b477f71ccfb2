/**
 * The events that are kept, and the ones among them that the user has chosen to see.
 *
 * Rules:
 *
 * 1. All events are counted. The newest 1,000 are kept, and so are the newest 1,000 that pass the filters: a rare event
 *    stays visible while many others happen.
 * 2. The filters are: types, a pattern for the key, a pattern for the agent, and one key, lock or agent that is
 *    followed. An event is shown if it passes all of them. Notes about the connection always are.
 * 3. While the feed is paused the shown events do not change. Counting and keeping go on.
 */

import { createFilterBox, setFilterText } from "./filter-box.js";
import { LOCK_TYPES } from "./inspection.js";
import { idOf } from "./key-store.js";

/** Events that are kept, about 400 bytes each. */
export const MAX_EVENTS = 1_000;

/** The types that can be hidden. Events of other types are always shown, under their own name. */
export const TYPES = [
  "set", "touch", "delete", "expire", "evict", "lock", "renew", "unlock", "queue", "message", "agent",
];

/**
 * @typedef {{agent: string}|{ns: string, key: string}|{ns: string, lock: string[]}} Followed an agent, a key, or a lock
 *   with all its names and patterns
 */
export class EventFeed {
  /** The number of events so far. */
  seq = 0;
  keyFilter = createFilterBox();
  agentFilter = createFilterBox();
  hiddenTypes = new Set();
  dashboardsShown = false;
  /** @type {Followed|null} */
  followed = null;
  #kept = [];
  #passed = [];
  /** The events shown since the pause, and the number of events at that time. Null if not paused. */
  #paused = null;

  get paused() {
    return this.#paused !== null;
  }

  /** Keep an event. */
  record(item) {
    this.seq += 1;
    const event = { ...item, seq: this.seq };
    this.#kept = appended(this.#kept, event);
    if (this.#passes(event)) this.#passed = appended(this.#passed, event);
  }

  /** Return the events to show, newest first. */
  shown() {
    return this.#paused?.events ?? newestFirst(this.#passed);
  }

  /** Return how many events have come since the pause. */
  sincePause() {
    return this.#paused === null ? 0 : this.seq - this.#paused.seq;
  }

  /** Whether a filter of the user leaves events out. */
  get filtered() {
    const { hiddenTypes, keyFilter, agentFilter, followed } = this;
    return hiddenTypes.size > 0 || keyFilter.text !== "" || agentFilter.text !== "" || followed !== null;
  }

  pause(paused) {
    if (paused === this.paused) return;
    this.#paused = paused ? { events: newestFirst(this.#passed), seq: this.seq } : null;
  }

  filterKeys(text) {
    if (setFilterText(this.keyFilter, text)) this.#filter();
  }

  filterAgents(text) {
    if (setFilterText(this.agentFilter, text)) this.#filter();
  }

  toggleType(type) {
    if (!this.hiddenTypes.delete(type)) this.hiddenTypes.add(type);
    this.#filter();
  }

  showDashboards(shown) {
    this.dashboardsShown = shown;
    this.#filter();
  }

  /** Follow one agent, key or lock; null ends that. */
  follow(followed) {
    this.followed = followed;
    this.#filter();
  }

  #filter() {
    const passed = this.#kept.filter((event) => this.#passes(event));
    this.#passed = passed;
    if (this.#paused !== null) {
      this.#paused.events = newestFirst(passed.filter(({ seq }) => seq <= this.#paused.seq));
    }
  }

  #passes(event) {
    if (event.type === "connection") return true;
    if (this.hiddenTypes.has(event.type) || (event.dashboard && !this.dashboardsShown)) return false;
    return this.keyFilter.accepts(event.key) && this.agentFilter.accepts(event.by) && this.#isFollowed(event);
  }

  #isFollowed({ ns, key, by, type }) {
    const { followed } = this;
    if (followed === null) return true;
    if (followed.agent !== undefined) return by === followed.agent || (type === "agent" && key === followed.agent);
    if (followed.lock !== undefined) return LOCK_TYPES.has(type) && ns === followed.ns && followed.lock.includes(key);
    return idOf(ns, key) === idOf(followed.ns, followed.key);
  }
}

/**
 * Return the events with one more at the end. The list is cut only at twice its limit, so that few events pay for it.
 */
function appended(events, event) {
  events.push(event);
  return events.length < 2 * MAX_EVENTS ? events : events.slice(-MAX_EVENTS);
}

const newestFirst = (events) => events.slice(-MAX_EVENTS).reverse();

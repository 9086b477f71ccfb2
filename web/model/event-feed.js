/**
 * The events that are kept, and those of them that the person wants to see.
 *
 * Laws:
 *
 * 1. All events are counted. The newest 1,000 are kept, and the newest 1,000 that pass the filters: what is rare stays in
 *    view while much else happens.
 * 2. The filters are: types, a pattern for the key, one for the agent, and one key, lock or agent that is followed. An event
 *    passes if it passes all. What is said of the connection always does.
 * 3. Paused, what is shown stands still; all else goes on.
 */

import { idOf } from "./key-store.js";
import { box, typeInto } from "./filter-box.js";
import { LOCK_TYPES } from "./inspection.js";

/** Events kept, about 400 bytes each. */
export const KEPT = 1_000;

/** The types a person may choose from; others are shown under their own name, always. */
export const TYPES = ["set", "touch", "delete", "expire", "evict", "lock", "renew", "unlock", "queue", "message", "agent"];

/**
 * @typedef {{agent: string}|{ns: string, key: string}|{ns: string, lock: string[]}} Followed one agent, one key, or a lock with
 *   all that it is on
 */
export class EventFeed {
  /** How many events there were. */
  seq = 0;
  keys = box();
  agents = box();
  hidden = new Set();
  dashboards = false;
  /** @type {Followed|null} */
  followed = null;
  #kept = [];
  #passed = [];
  /** The events that are held in view, and up to where all were counted then. */
  #paused = null;

  get paused() {
    return this.#paused !== null;
  }

  /** Keep an event. */
  record(item) {
    this.seq += 1;
    const event = { ...item, seq: this.seq };
    this.#kept = kept(this.#kept, event);
    if (this.#passes(event)) this.#passed = kept(this.#passed, event);
  }

  /** The events to show, newest first. */
  shown() {
    return this.#paused?.events ?? newestFirst(this.#passed);
  }

  /** How many have come since the view was paused. */
  sincePause() {
    return this.#paused === null ? 0 : this.seq - this.#paused.seq;
  }

  /** Whether anything is left out by choice. */
  get filtered() {
    return this.hidden.size > 0 || this.keys.text !== "" || this.agents.text !== "" || this.followed !== null;
  }

  pause(paused) {
    if (paused === this.paused) return;
    this.#paused = paused ? { events: newestFirst(this.#passed), seq: this.seq } : null;
  }

  filterKeys(text) {
    if (typeInto(this.keys, text)) this.#filter();
  }

  filterAgents(text) {
    if (typeInto(this.agents, text)) this.#filter();
  }

  toggleType(type) {
    if (!this.hidden.delete(type)) this.hidden.add(type);
    this.#filter();
  }

  showDashboards(shown) {
    this.dashboards = shown;
    this.#filter();
  }

  /** Follow one agent, key or lock, or nobody (null). */
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
    if (this.hidden.has(event.type) || (event.dashboard && !this.dashboards)) return false;
    return this.keys.accepts(event.key) && this.agents.accepts(event.by) && this.#isFollowed(event);
  }

  #isFollowed({ ns, key, by, type }) {
    const { followed } = this;
    if (followed === null) return true;
    if (followed.agent !== undefined) return by === followed.agent || (type === "agent" && key === followed.agent);
    if (followed.lock !== undefined) return LOCK_TYPES.has(type) && ns === followed.ns && followed.lock.includes(key);
    return idOf(ns, key) === idOf(followed.ns, followed.key);
  }
}

function kept(events, event) {
  events.push(event);
  return events.length < 2 * KEPT ? events : events.slice(-KEPT);
}

const newestFirst = (events) => events.slice(-KEPT).reverse();

/**
 * The keys of one scope, as far as they are kept: the pages of `list`, joined with the events that come meanwhile.
 *
 * Laws:
 *
 * 1. Namespaces are read one after another, each in the order of its keys, a page at a time. How far that went is the
 *    edge. Up to the edge the book is as the hub is, give or take what is on its way; beyond it, it holds nothing.
 * 2. So an event counts if its key lies up to the edge: what lies beyond will be in a page to come. A namespace that was
 *    not there when reading began has no edge: all its keys come as events.
 * 3. Of what is known of a key the newer revision counts, whichever came first.
 * 4. A book holds some 200,000 keys, about 500 bytes each. One that is full stops reading, and says so.
 * 5. Records are changed in place. A list they are in hears of it only if their place in it may change.
 */

import { SortedList } from "./sorted-list.js";
import { compareKeys } from "../text/compare-keys.js";
import { KeyTree } from "./key-tree.js";

/** Keys that a book reads. */
export const MOST = 200_000;
/** Keys of one page: the most that the hub gives. */
const PAGE = 1_000;
/** By how much events may take a book beyond its bound. */
const SLACK = 1.1;

export const ORDERS = {
  key: (a, b) => compareKeys(a.ns, b.ns) || compareKeys(a.key, b.key),
  deadline: (a, b) => (a.expiresAt ?? Infinity) - (b.expiresAt ?? Infinity) || ORDERS.key(a, b),
};
// Infinity - Infinity is NaN, which is falsy: records without a deadline come last, by key.

/** The name of an entry within the page: a key has no control characters. */
export const idOf = (ns, key) => `${ns}\n${key}`;

export class KeyStore {
  records = new Map();
  /** How many keys each namespace has, here. */
  namespaces = new Map();
  tree;
  listed = new SortedList(ORDERS.key);
  deadlines = new SortedList(ORDERS.deadline, (record) => record.expiresAt !== null);
  /** The keys that one agent wrote last, null if nobody asked. @type {SortedList|null} */
  held = null;
  full = false;
  /** Why the hub did not tell its keys, null if it did. @type {string|null} */
  wrong = null;
  /** How many keys there were when reading began, null if that is not known. @type {number|null} */
  expected = null;
  #authors = new Map();
  #most;
  #toRead = null;
  #edge = null;
  #read = new Set();
  #asked = false;

  /**
   * @param {object} [scope]
   * @param {string|null} [scope.ns] null is every namespace
   * @param {string} [scope.pattern]
   * @param {(key: string) => boolean} [scope.accepts] whether a key matches the pattern
   * @param {{few?: number, most?: number}} [bounds]
   */
  constructor({ ns = null, pattern = "*", accepts = () => true } = {}, { few, most = MOST } = {}) {
    Object.assign(this, { ns, pattern, accepts });
    this.#most = most;
    this.tree = new KeyTree(few);
    if (ns !== null) this.#begin([ns]);
  }

  /** Whether all has been read that will be. */
  get settled() {
    return this.tree.settled;
  }

  /** How many keys an agent wrote last. */
  countOf(agent) {
    return this.#authors.get(agent)?.size ?? 0;
  }

  /** Keep a list of the keys that one agent wrote last and that are accepted, in one of the ORDERS; null for none. */
  hold(agent, order = "key", accepts = () => true) {
    this.held = agent === null ? null : new SortedList(ORDERS[order], (record) => record.by === agent && accepts(record));
    this.held?.reset(this.#authors.get(agent) ?? []);
  }

  // --- reading ----------------------------------------------------------------------------------------------------

  /** The command to ask next, null if there is none, or one is being answered. */
  next() {
    if (this.#asked || this.settled) return null;
    this.#asked = true;
    if (this.#toRead === null) return { op: "namespaces", fields: {} };
    const { ns, after } = this.#edge;
    const fields = { pattern: this.pattern, ns, limit: PAGE, values: false };
    return { op: "list", fields: after === null ? fields : { ...fields, after } };
  }

  /** The reply to that command. */
  answered(ok) {
    this.#asked = false;
    if (ok.namespaces !== undefined) {
      const spaces = ok.namespaces.filter(({ ns }) => !ns.startsWith("$"));
      this.expected = spaces.reduce((sum, { keys }) => sum + keys, 0);
      this.#begin(spaces.map(({ ns }) => ns));
      return;
    }
    for (const entry of ok.entries) this.#put(fromEntry(entry));
    const { ns } = this.#edge;
    if (ok.next !== null) this.#edge = { ns, after: ok.next };
    else this.#goOn();
    if (!this.settled && this.records.size >= this.#most) this.#stop();
  }

  /** The hub refused to answer: there is no more to be had. */
  refused(message) {
    this.wrong = message;
    this.tree.settle();
  }

  #begin(namespaces) {
    this.#toRead = namespaces;
    this.#goOn();
  }

  #goOn() {
    if (this.#edge !== null) this.#read.add(this.#edge.ns);
    const ns = this.#toRead.shift();
    this.#edge = ns === undefined ? null : { ns, after: null };
    if (ns === undefined) this.tree.settle();
  }

  #stop() {
    this.full = true;
    this.tree.settle();
  }

  #reached(ns, key) {
    if (this.#toRead === null) return false;
    if (this.#edge?.ns === ns) return this.#edge.after !== null && compareKeys(key, this.#edge.after) <= 0;
    return this.#read.has(ns) || !this.#toRead.includes(ns);
  }

  // --- events -----------------------------------------------------------------------------------------------------

  /** An event of a key. */
  heard(line) {
    const { ns, key, rev } = line;
    if ((this.ns !== null && ns !== this.ns) || !this.accepts(key) || !this.#reached(ns, key)) return;
    const record = this.records.get(idOf(ns, key));
    if (record === undefined) {
      if (line.type === "set") this.#comeNew(fromSet(line));
    } else if (line.type === "set") this.#put(fromSet(line));
    else if (rev < record.rev) return;
    else if (line.type === "touch") this.#change(record, { expiresAt: line.expires_at, since: line.at });
    else this.#drop(record);
  }

  #comeNew(fresh) {
    if (this.records.size < this.#most * SLACK) this.#put(fresh);
    else this.full = true;
  }

  #put(fresh) {
    const known = this.records.get(fresh.id);
    if (known !== undefined) {
      if (fresh.rev >= known.rev) this.#change(known, fresh);
      return;
    }
    this.records.set(fresh.id, fresh);
    this.namespaces.set(fresh.ns, (this.namespaces.get(fresh.ns) ?? 0) + 1);
    this.tree.put(fresh);
    this.#arrange(fresh, "put");
  }

  #drop(record) {
    this.records.delete(record.id);
    const keys = this.namespaces.get(record.ns) - 1;
    if (keys > 0) this.namespaces.set(record.ns, keys);
    else this.namespaces.delete(record.ns);
    this.tree.drop(record);
    this.#arrange(record, "drop");
  }

  #change(record, fresh) {
    const moves = fresh.expiresAt !== record.expiresAt || (fresh.by ?? record.by) !== record.by;
    if (moves) this.#arrange(record, "drop", false);
    Object.assign(record, fresh);
    if (moves) this.#arrange(record, "put", false);
  }

  /** Put it into the lists, or drop it from them; by key it stands where it stands. */
  #arrange(record, verb, byKey = true) {
    if (byKey) this.listed[verb](record);
    this.deadlines[verb](record);
    this.held?.[verb](record);
    let own = this.#authors.get(record.by);
    if (verb === "put") {
      if (own === undefined) this.#authors.set(record.by, (own = new Set()));
      own.add(record);
    } else if (own.delete(record) && own.size === 0) this.#authors.delete(record.by);
  }

  /** Throw if a law is broken; for tests. */
  check() {
    this.tree.check();
    this.listed.check();
    this.deadlines.check();
    const sizes = [this.listed.length, [...this.namespaces.values()].reduce((a, b) => a + b, 0)];
    if (sizes.some((size) => size !== this.records.size)) throw new Error(`${sizes} of ${this.records.size}`);
    this.held?.check();
  }
}

function fromEntry({ ns, key, rev, version, kind, by, updated_at, expires_at }) {
  return record(ns, key, { rev, version, kind, by, expiresAt: expires_at, since: updated_at });
}

function fromSet({ ns, key, rev, version, kind, by, at, expires_at }) {
  return record(ns, key, { rev, version, kind, by, expiresAt: expires_at ?? null, since: at });
}

/** `since` is when its time began to run; `depth` and `cut` are the tree's. */
function record(ns, key, facts) {
  return { id: idOf(ns, key), ns, key, ...facts };
}

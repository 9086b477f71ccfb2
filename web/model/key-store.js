/**
 * The keys of one namespace, of one pattern, or all: the pages of `list`, joined with the events that arrive meanwhile.
 *
 * Rules:
 *
 * 1. Namespaces are read one after another, each in the order of its keys, a page at a time. The last key that was read
 *    is the read position. Up to the read position the store equals the hub, apart from events that are still on the
 *    way. Beyond it the store is empty.
 * 2. So an event is applied only if its key lies up to the read position: a later page will contain the others. A
 *    namespace that did not exist when reading began is in no page, so all its keys come as events.
 * 3. If a page and an event tell of the same key, the newer revision counts, whichever arrived first.
 * 4. A store keeps some 200,000 keys, about 500 bytes each. A full store stops reading and sets `full`.
 * 5. Records are changed in place. A list that contains a record is updated only if the record's place in it may
 *    change.
 */

import { compareKeys } from "../text/compare-keys.js";
import { KeyTree } from "./key-tree.js";
import { SortedList } from "./sorted-list.js";

/** Keys that a store reads. */
export const MAX_KEYS = 200_000;
/** Keys of one page: the most that the hub gives. */
const PAGE_KEYS = 1_000;
/** Events may fill a store up to this multiple of its limit. */
const EVENT_SLACK = 1.1;

// Infinity - Infinity is NaN, which is falsy: records without a deadline come last, ordered by key.
export const ORDERS = {
  key: (a, b) => compareKeys(a.ns, b.ns) || compareKeys(a.key, b.key),
  deadline: (a, b) => (a.expiresAt ?? Infinity) - (b.expiresAt ?? Infinity) || ORDERS.key(a, b),
};

/**
 * Return the id of an entry within the dashboard. A key has no control characters, so the line break separates the two.
 */
export const idOf = (ns, key) => `${ns}\n${key}`;

export class KeyStore {
  records = new Map();
  /** The number of keys in each namespace, in this store. */
  namespaces = new Map();
  tree;
  listed = new SortedList(ORDERS.key);
  deadlines = new SortedList(ORDERS.deadline, (record) => record.expiresAt !== null);
  /** The keys that one agent wrote last, null if no agent was chosen. @type {SortedList|null} */
  authorList = null;
  full = false;
  /** The error with which the hub refused to list keys, null if it did not. @type {string|null} */
  error = null;
  /** The number of keys when reading began, null if it is not known. @type {number|null} */
  expected = null;
  #recordsByAuthor = new Map();
  #maxKeys;
  #namespacesToRead = null;
  /**
   * The read position: the namespace being read and its last key that was read. Null before the first and after the
   * last.
   */
  #position = null;
  #namespacesRead = new Set();
  #asked = false;

  /**
   * @param {object} [scope]
   * @param {string|null} [scope.ns] null is every namespace
   * @param {string} [scope.pattern]
   * @param {(key: string) => boolean} [scope.accepts] whether a key matches the pattern
   * @param {{autoOpenRows?: number, maxKeys?: number}} [bounds]
   */
  constructor({ ns = null, pattern = "*", accepts = () => true } = {}, { autoOpenRows, maxKeys = MAX_KEYS } = {}) {
    Object.assign(this, { ns, pattern, accepts });
    this.#maxKeys = maxKeys;
    this.tree = new KeyTree(autoOpenRows);
    if (ns !== null) this.#begin([ns]);
  }

  /** Whether reading has ended. */
  get settled() {
    return this.tree.settled;
  }

  /** Return how many keys an agent wrote last. */
  countOf(agent) {
    return this.#recordsByAuthor.get(agent)?.size ?? 0;
  }

  /** Keep a list of the accepted keys that one agent wrote last, in one of the ORDERS; null keeps no list. */
  listAuthor(agent, order = "key", accepts = () => true) {
    const isListed = (record) => record.by === agent && accepts(record);
    this.authorList = agent === null ? null : new SortedList(ORDERS[order], isListed);
    this.authorList?.reset(this.#recordsByAuthor.get(agent) ?? []);
  }

  // --- reading ----------------------------------------------------------------------------------------------------

  /** Return the command to send next, null if there is none or the last one has no reply yet. */
  nextQuestion() {
    if (this.#asked || this.settled) return null;
    this.#asked = true;
    if (this.#namespacesToRead === null) return { op: "namespaces", fields: {} };
    const { ns, after } = this.#position;
    const fields = { pattern: this.pattern, ns, limit: PAGE_KEYS, values: false };
    return { op: "list", fields: after === null ? fields : { ...fields, after } };
  }

  /** Take the reply to that command. */
  onReply(ok) {
    this.#asked = false;
    if (ok.namespaces !== undefined) {
      const namespaces = ok.namespaces.filter(({ ns }) => !ns.startsWith("$"));
      this.expected = namespaces.reduce((sum, { keys }) => sum + keys, 0);
      this.#begin(namespaces.map(({ ns }) => ns));
      return;
    }
    for (const entry of ok.entries) this.#put(fromEntry(entry));
    const { ns } = this.#position;
    if (ok.next !== null) this.#position = { ns, after: ok.next };
    else this.#readNextNamespace();
    if (!this.settled && this.records.size >= this.#maxKeys) this.#stop();
  }

  /** Take the hub's refusal: reading ends here, asking again would be refused again. */
  onError(message) {
    this.error = message;
    this.tree.settle();
  }

  #begin(namespaces) {
    this.#namespacesToRead = namespaces;
    this.#readNextNamespace();
  }

  #readNextNamespace() {
    if (this.#position !== null) this.#namespacesRead.add(this.#position.ns);
    const ns = this.#namespacesToRead.shift();
    this.#position = ns === undefined ? null : { ns, after: null };
    if (ns === undefined) this.tree.settle();
  }

  #stop() {
    this.full = true;
    this.tree.settle();
  }

  /** Return whether a key lies up to the read position (rule 2). */
  #isRead(ns, key) {
    if (this.#namespacesToRead === null) return false;
    if (this.#position?.ns === ns) return this.#position.after !== null && compareKeys(key, this.#position.after) <= 0;
    return this.#namespacesRead.has(ns) || !this.#namespacesToRead.includes(ns);
  }

  // --- events -----------------------------------------------------------------------------------------------------

  /** Apply an event of a key. */
  onEvent(line) {
    const { ns, key, rev } = line;
    if ((this.ns !== null && ns !== this.ns) || !this.accepts(key) || !this.#isRead(ns, key)) return;
    const record = this.records.get(idOf(ns, key));
    if (record === undefined) {
      if (line.type === "set") this.#putNew(fromSet(line));
    } else if (line.type === "set") this.#put(fromSet(line));
    else if (rev < record.rev) return;
    else if (line.type === "touch") this.#change(record, { expiresAt: line.expires_at, since: line.at });
    else this.#drop(record);
  }

  #putNew(fresh) {
    if (this.records.size < this.#maxKeys * EVENT_SLACK) this.#put(fresh);
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
    this.#updateLists(fresh, "put");
  }

  #drop(record) {
    this.records.delete(record.id);
    const keys = this.namespaces.get(record.ns) - 1;
    if (keys > 0) this.namespaces.set(record.ns, keys);
    else this.namespaces.delete(record.ns);
    this.tree.drop(record);
    this.#updateLists(record, "drop");
  }

  #change(record, fresh) {
    const moves = fresh.expiresAt !== record.expiresAt || (fresh.by ?? record.by) !== record.by;
    // A sorted list finds a record by what it compares, so the record leaves the lists before it changes.
    if (moves) this.#updateLists(record, "drop", false);
    Object.assign(record, fresh);
    if (moves) this.#updateLists(record, "put", false);
  }

  /** Put a record into the lists, or drop it from them. A change of a record never moves it in the list by key. */
  #updateLists(record, method, byKey = true) {
    if (byKey) this.listed[method](record);
    this.deadlines[method](record);
    this.authorList?.[method](record);
    let own = this.#recordsByAuthor.get(record.by);
    if (method === "put") {
      if (own === undefined) this.#recordsByAuthor.set(record.by, (own = new Set()));
      own.add(record);
    } else if (own.delete(record) && own.size === 0) this.#recordsByAuthor.delete(record.by);
  }

  /** Throw if a rule is broken; for tests. */
  check() {
    this.tree.check();
    this.listed.check();
    this.deadlines.check();
    const sizes = [this.listed.length, [...this.namespaces.values()].reduce((a, b) => a + b, 0)];
    if (sizes.some((size) => size !== this.records.size)) throw new Error(`${sizes} of ${this.records.size}`);
    this.authorList?.check();
  }
}

function fromEntry({ ns, key, rev, version, kind, by, updated_at, expires_at }) {
  return createRecord(ns, key, { rev, version, kind, by, expiresAt: expires_at, since: updated_at });
}

function fromSet({ ns, key, rev, version, kind, by, at, expires_at }) {
  return createRecord(ns, key, { rev, version, kind, by, expiresAt: expires_at ?? null, since: at });
}

/** Return a record. `since` is the start of its time to live; the tree adds `depth` and `cut`. */
function createRecord(ns, key, facts) {
  return { id: idOf(ns, key), ns, key, ...facts };
}

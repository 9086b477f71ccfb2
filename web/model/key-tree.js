/**
 * The keys as a tree: split behind each `:` and `/`, with the number of keys in every folder.
 *
 * Rules:
 *
 * 1. A folder exists as long as a key is in it. `count` is the number of keys in it, at any depth.
 * 2. `rows()` gives the visible rows from top to bottom: folders, and the contents of open folders, folders before
 *    keys.
 * 3. Every row has a meaning of its own. A folder with one key is shown as that key. A folder that contains only a
 *    folder is shown as one row with it. A namespace is a row only if there are several.
 * 4. A folder with few keys opens by itself when it is first shown. After that only the user opens and closes it.
 * 5. Only visible folders are sorted: a closed folder costs its map of names and no more. Nothing is copied: the cost
 *    of a change grows with the number of visible folders, not with the number of keys.
 *
 * A row learns its place when it is read: `depth`, and `cut`, the length of the part of its key that the rows above
 * show.
 */

import { compareKeys } from "../text/compare-keys.js";
import { JoinedList } from "./joined-list.js";
import { SortedList } from "./sorted-list.js";

/**
 * A folder opens by itself if it has at most so many rows right below it, and at most so many keys for each such row.
 */
const AUTO_OPEN_ROWS = 60;
const AUTO_OPEN_KEYS_PER_ROW = 20;

const textOf = (item) => item.prefix ?? item.key;
const byText = (a, b) => compareKeys(textOf(a), textOf(b));
const byNs = (a, b) => compareKeys(a.ns, b.ns);

/** A folder of keys. `prefix` is the beginning of their names, null for a namespace and for the root. */
class Folder {
  children = new Map();
  count = 0;
  /** Undefined until the folder is first shown. @type {boolean|undefined} */
  open = undefined;
  depth = 0;
  cut = 0;
  /** The children in order, folders and keys. Null while the folder is closed (rule 5). */
  #folders = null;
  #keys = null;

  constructor(ns, prefix, compare = byText) {
    this.ns = ns;
    this.prefix = prefix;
    this.compare = compare;
    this.id = `${ns}\n${prefix ?? ""}\n`; // differs from the id of every key, since no key has a line break
  }

  get isFolder() {
    return true;
  }

  get folders() {
    this.#sort();
    return this.#folders;
  }

  get keys() {
    this.#sort();
    return this.#keys;
  }

  #sort() {
    if (this.#keys !== null) return;
    this.#folders = new SortedList(this.compare, (child) => child.isFolder === true);
    this.#keys = new SortedList(this.compare, (child) => child.isFolder !== true);
    this.#folders.reset(this.children.values());
    this.#keys.reset(this.children.values());
  }

  add(name, child) {
    this.children.set(name, child);
    this.#keys?.put(child);
    this.#folders?.put(child);
  }

  remove(name, child) {
    this.children.delete(name);
    this.#keys?.drop(child);
    this.#folders?.drop(child);
  }

  /** Drop the sorted lists of a folder that was closed. */
  dropOrder() {
    this.#folders = this.#keys = null;
  }

  first() {
    return this.children.values().next().value;
  }
}

export class KeyTree {
  #root = new Folder("", null, byNs);
  #rows = null;
  #autoOpenRows;
  /** Whether all keys were read. Before that the size of a folder is not known, so none opens by itself. */
  settled = false;

  /** @param {number} [autoOpenRows] a folder with at most so many rows opens by itself */
  constructor(autoOpenRows = AUTO_OPEN_ROWS) {
    this.#autoOpenRows = autoOpenRows;
  }

  /** Add a record `{ns, key}` that is not in the tree. */
  put(record) {
    this.#rows = null;
    let folder = this.#root;
    folder.count += 1;
    for (const [name, prefix] of steps(record)) {
      let next = folder.children.get(name);
      if (next === undefined) folder.add(name, (next = new Folder(record.ns, prefix)));
      folder = next;
      folder.count += 1;
    }
    folder.add(lastName(record), record);
  }

  /** Remove a record that is in the tree. */
  drop(record) {
    this.#rows = null;
    const path = [this.#root];
    for (const [name] of steps(record)) path.push(path.at(-1).children.get(name));
    path.at(-1).remove(lastName(record), record);
    const names = [...steps(record)].map(([name]) => name);
    for (let i = path.length - 1; i >= 0; i--) {
      path[i].count -= 1;
      if (i > 0 && path[i].count === 0) path[i - 1].remove(names[i - 1], path[i]);
    }
  }

  /** Open or close a folder. */
  toggle(folder, open) {
    folder.open = open;
    if (!open) folder.dropOrder();
    this.#rows = null;
  }

  /** Note that all keys were read. */
  settle() {
    this.settled = true;
    this.#rows = null;
  }

  /** Return the visible rows: records and folders. The same list until something changes. @returns {JoinedList} */
  rows() {
    if (this.#rows !== null) return this.#rows;
    const rows = new JoinedList();
    const namespaces = this.#root.folders;
    if (namespaces.length === 1) this.#addRows(namespaces.at(0), 1, 0, rows);
    else {
      for (const namespace of namespaces) {
        rows.push(Object.assign(namespace, { depth: 1, cut: 0 }));
        if (this.#isOpen(namespace)) this.#addRows(namespace, 2, 0, rows);
      }
    }
    return (this.#rows = rows);
  }

  #addRows(folder, depth, cut, rows) {
    for (const child of folder.folders) {
      const item = Object.assign(shortened(child), { depth, cut });
      rows.push(item);
      if (item.isFolder && this.#isOpen(item)) this.#addRows(item, depth + 1, item.prefix.length, rows);
    }
    rows.append(folder.keys, (record) => Object.assign(record, { depth, cut }));
  }

  #isOpen(folder) {
    if (folder.open === undefined && this.settled) {
      const maxKeys = this.#autoOpenRows * AUTO_OPEN_KEYS_PER_ROW;
      folder.open = folder.children.size <= this.#autoOpenRows && folder.count <= maxKeys;
    }
    return folder.open === true;
  }

  /** Throw if a rule is broken; for tests. */
  check() {
    const walk = (item) => {
      if (!item.isFolder) return 1;
      let count = 0;
      for (const child of item.children.values()) count += walk(child);
      if (count !== item.count) throw new Error(`${item.id} counts ${item.count}, and has ${count}`);
      if (count === 0 && item !== this.#root) throw new Error(`${item.id} is empty`);
      return count;
    };
    walk(this.#root);
  }
}

/** Give the folders on the way to a record, from the namespace down: the name in the folder above, and the prefix. */
function* steps({ ns, key }) {
  yield [ns, null];
  let from = 0;
  for (let i = 0; i < key.length; i++) {
    const char = key.charCodeAt(i);
    if (char !== 58 && char !== 47) continue; // ":" and "/"
    yield [key.slice(from, i + 1), key.slice(0, i + 1)];
    from = i + 1;
  }
}

/** Return the key's name behind the last separator. A folder's name ends with a separator, so the two never collide. */
const lastName = ({ key }) => key.slice(Math.max(key.lastIndexOf(":"), key.lastIndexOf("/")) + 1);

/** Return the row for a folder (rule 3): the only key below it, or the first folder below it with several children. */
function shortened(folder) {
  let item = folder;
  while (item.isFolder && item.children.size === 1) item = item.first();
  return item;
}

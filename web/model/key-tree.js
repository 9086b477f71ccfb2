/**
 * Keys as a tree: split behind each `:` and `/`, with the number of keys in every folder.
 *
 * Laws:
 *
 * 1. A folder is there as long as a key is in it, and `count` is the number of keys in it, at any depth.
 * 2. `rows()` is what is to be seen, top down: folders, and what is in those that are open, folders before keys.
 * 3. No row says nothing: a folder with one key is shown as that key, and one that holds a folder only, as both in one.
 *    So are the namespaces, where there is but one.
 * 4. Until somebody opens or closes it, a folder opens by itself when it is first shown, if little is in it.
 * 5. Nothing is sorted that is not shown: a closed folder costs its map of names, and no more. Nor is anything copied: a
 *    change costs as much as there are folders in view, however many keys.
 *
 * Where a row stands is written onto it when it is looked at: `depth`, and `cut`, the length of what the rows above it
 * have said of its key.
 */

import { SortedList } from "./sorted-list.js";
import { compareKeys } from "../text/compare-keys.js";
import { JoinedList } from "./joined-list.js";

/** A folder with so many rows right below opens by itself, if it has no more than so many times as many keys. */
const FEW = 60;
const DEEP = 20;

const textOf = (item) => item.prefix ?? item.key;
const byText = (a, b) => compareKeys(textOf(a), textOf(b));
const byNs = (a, b) => compareKeys(a.ns, b.ns);

/** Some keys below one another. `prefix` is what their names begin with; null is a namespace, or the root. */
class Folder {
  children = new Map();
  count = 0;
  /** Undefined until it was first shown. @type {boolean|undefined} */
  open = undefined;
  depth = 0;
  cut = 0;
  /** What is right below, in order, as long as somebody looks: folders, and keys. */
  #folders = null;
  #keys = null;

  constructor(ns, prefix, compare = byText) {
    this.ns = ns;
    this.prefix = prefix;
    this.compare = compare;
    this.id = `${ns}\n${prefix ?? ""}\n`; // no key has a line break
  }

  get isFolder() {
    return true;
  }

  get folders() {
    this.#arrange();
    return this.#folders;
  }

  get keys() {
    this.#arrange();
    return this.#keys;
  }

  #arrange() {
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

  forgetOrder() {
    this.#folders = this.#keys = null;
  }

  first() {
    return this.children.values().next().value;
  }
}

export class KeyTree {
  #root = new Folder("", null, byNs);
  #rows = null;
  #few;
  /** While keys are still being read, no folder opens by itself: it is not known yet how many it will have. */
  settled = false;

  /** @param {number} [few] a folder of so many rows opens by itself */
  constructor(few = FEW) {
    this.#few = few;
  }

  /** Put a record `{ns, key}`, which is not in the tree. */
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

  /** Drop a record that is in the tree. */
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
    if (!open) folder.forgetOrder();
    this.#rows = null;
  }

  /** All keys have been read. */
  settle() {
    this.settled = true;
    this.#rows = null;
  }

  /** The rows to be seen: records and folders. The same as long as nothing changes. @returns {JoinedList} */
  rows() {
    if (this.#rows !== null) return this.#rows;
    const rows = new JoinedList();
    const spaces = this.#root.folders;
    if (spaces.length === 1) this.#show(spaces.at(0), 1, 0, rows);
    else {
      for (const space of spaces) {
        rows.push(Object.assign(space, { depth: 1, cut: 0 }));
        if (this.#isOpen(space)) this.#show(space, 2, 0, rows);
      }
    }
    return (this.#rows = rows);
  }

  #show(folder, depth, cut, rows) {
    for (const child of folder.folders) {
      const item = Object.assign(shortened(child), { depth, cut });
      rows.push(item);
      if (item.isFolder && this.#isOpen(item)) this.#show(item, depth + 1, item.prefix.length, rows);
    }
    rows.append(folder.keys, (record) => Object.assign(record, { depth, cut }));
  }

  #isOpen(folder) {
    if (folder.open === undefined && this.settled) folder.open = folder.children.size <= this.#few && folder.count <= this.#few * DEEP;
    return folder.open === true;
  }

  /** Throw if a law is broken; for tests. */
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

/** The folders on the way to a record, from the namespace down: the name in the folder above, and the prefix. */
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

/** What stands behind the last separator: no folder has such a name. */
const lastName = ({ key }) => key.slice(Math.max(key.lastIndexOf(":"), key.lastIndexOf("/")) + 1);

/** A folder that holds one thing only is shown as that: in the end as a key, or as the folder where the ways part. */
function shortened(folder) {
  let item = folder;
  while (item.isFolder && item.children.size === 1) item = item.first();
  return item;
}

/**
 * A list that stays sorted while items are added and removed, so that 100,000 keys are never sorted again.
 *
 * Rules:
 *
 * 1. The list is sorted by `compare`. It contains exactly the accepted items that were put and not dropped since.
 * 2. An item may change only while it is not in the list: drop it, change it, put it back.
 * 3. A change takes about as long with 100,000 items as with 1,000: the list consists of chunks, and a change touches
 *    one. So does reading an item by its index.
 */

/** Items of a chunk. A chunk that grows to twice as many is split. */
const CHUNK_ITEMS = 500;

export class SortedList {
  #compare;
  #accept;
  #chunks = [];
  length = 0;

  /**
   * @param {(a: object, b: object) => number} compare a total order: no two items are equal
   * @param {(item: object) => boolean} [accept] which items are in the list at all
   */
  constructor(compare, accept = () => true) {
    this.#compare = compare;
    this.#accept = accept;
  }

  /** Add an item that is not in the list. */
  put(item) {
    if (!this.#accept(item)) return;
    this.length += 1;
    if (this.#chunks.length === 0) {
      this.#chunks.push([item]);
      return;
    }
    const at = Math.min(this.#chunkOf(item), this.#chunks.length - 1);
    const chunk = this.#chunks[at];
    chunk.splice(this.#indexIn(chunk, item), 0, item);
    if (chunk.length < 2 * CHUNK_ITEMS) return;
    this.#chunks.splice(at, 1, chunk.slice(0, CHUNK_ITEMS), chunk.slice(CHUNK_ITEMS));
  }

  /** Remove an item that was put, whether or not it was accepted. */
  drop(item) {
    if (!this.#accept(item)) return;
    const at = this.#chunkOf(item);
    const chunk = this.#chunks[at];
    const index = chunk === undefined ? -1 : this.#indexIn(chunk, item);
    if (chunk?.[index] !== item) throw new Error("an item that is not in the list was dropped");
    chunk.splice(index, 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    this.length -= 1;
  }

  /** Replace all items. */
  reset(items) {
    const sorted = [...items].filter(this.#accept).sort(this.#compare);
    this.length = sorted.length;
    this.#chunks = [];
    for (let i = 0; i < sorted.length; i += CHUNK_ITEMS) this.#chunks.push(sorted.slice(i, i + CHUNK_ITEMS));
  }

  /** Return the item at an index, undefined beyond the end. */
  at(index) {
    let left = index;
    for (const chunk of this.#chunks) {
      if (left < chunk.length) return chunk[left];
      left -= chunk.length;
    }
    return undefined;
  }

  *[Symbol.iterator]() {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** Return the index of the first chunk whose last item is not before this item. */
  #chunkOf(item) {
    return lowest(this.#chunks.length, (i) => this.#compare(this.#chunks[i].at(-1), item) >= 0);
  }

  #indexIn(chunk, item) {
    return lowest(chunk.length, (i) => this.#compare(chunk[i], item) >= 0);
  }

  /** Throw if a rule is broken; for tests. */
  check() {
    const items = [...this];
    for (let i = 1; i < items.length; i++) {
      if (this.#compare(items[i - 1], items[i]) >= 0) throw new Error(`out of order at ${i}`);
    }
    if (!items.every(this.#accept)) throw new Error("an item in the list is not accepted");
    if (items.length !== this.length) throw new Error(`length is ${this.length}, but there are ${items.length} items`);
    const isBadChunk = ({ length }) => length === 0 || length >= 2 * CHUNK_ITEMS;
    if (this.#chunks.some(isBadChunk)) throw new Error("a chunk is empty or too long");
  }
}

/** Return the lowest number from 0 for which `holds` is true, `end` if there is none below it. */
function lowest(end, holds) {
  let low = 0;
  let high = end;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

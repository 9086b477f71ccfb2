/**
 * A list kept in order while its items come and go: what a view of 100,000 keys shows, without sorting it anew.
 *
 * Laws:
 *
 * 1. `items()` is sorted by `compare`, and holds exactly the items that were put, not dropped since, and accepted.
 * 2. A change costs nothing until somebody looks: then all changes since go in at once, with one pass over the list.
 */
export class Ordered {
  #compare;
  #accept;
  #items = [];
  #added = new Set();
  #dropped = new Set();

  /**
   * @param {(a: object, b: object) => number} compare a total order: no two items are equal
   * @param {(item: object) => boolean} [accept] which items are in the list at all
   */
  constructor(compare, accept = () => true) {
    this.#compare = compare;
    this.#accept = accept;
  }

  /** Put an item, which is not in the list. */
  put(item) {
    if (this.#accept(item)) this.#added.add(item);
  }

  /** Drop an item, whether or not it was accepted. */
  drop(item) {
    if (!this.#added.delete(item) && this.#accept(item)) this.#dropped.add(item);
  }

  /** Begin again with these items, in another order or with another condition if one is given. */
  reset(items, compare = this.#compare, accept = this.#accept) {
    this.#compare = compare;
    this.#accept = accept;
    this.#items = [];
    this.#dropped.clear();
    this.#added.clear();
    for (const item of items) this.put(item);
  }

  /** The items in order. The array is the list's own: look, but do not touch; the next change makes another. */
  items() {
    if (this.#dropped.size === 0 && this.#added.size === 0) return this.#items;
    const added = [...this.#added].sort(this.#compare);
    const kept = this.#dropped.size === 0 ? this.#items : this.#items.filter((item) => !this.#dropped.has(item));
    this.#items = merge(kept, added, this.#compare);
    this.#added.clear();
    this.#dropped.clear();
    return this.#items;
  }

  /** Throw if a law is broken; for tests. */
  check() {
    const items = this.items();
    for (let i = 1; i < items.length; i++) {
      if (this.#compare(items[i - 1], items[i]) >= 0) throw new Error(`out of order at ${i}`);
    }
    if (!items.every(this.#accept)) throw new Error("an item that is not accepted");
  }
}

function merge(left, right, compare) {
  if (left.length === 0) return right;
  if (right.length === 0) return left;
  const merged = [];
  let from = 0;
  for (const item of right) {
    const place = firstAfter(left, item, from, compare);
    for (; from < place; from++) merged.push(left[from]);
    merged.push(item);
  }
  for (; from < left.length; from++) merged.push(left[from]);
  return merged;
}

/** The first place at or after `from` whose item comes after `item`. */
function firstAfter(items, item, from, compare) {
  let low = from;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(items[middle], item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * A list kept in order while its items come and go: what a view of 100,000 keys shows, without sorting it anew.
 *
 * Laws:
 *
 * 1. It is sorted by `compare`, and holds exactly the items that were put, not dropped since, and accepted.
 * 2. An item may change only while it is not in the list: drop it, change it, put it back.
 * 3. A change takes as long with 100,000 items as with 1,000: the list is in pieces, of which it touches one. So does
 *    looking at one place.
 */

/** Items of a piece: one that grows to twice as many is cut in two. */
const PIECE = 500;

export class SortedList {
  #compare;
  #accept;
  #pieces = [];
  length = 0;

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
    if (!this.#accept(item)) return;
    this.length += 1;
    if (this.#pieces.length === 0) {
      this.#pieces.push([item]);
      return;
    }
    const at = Math.min(this.#pieceOf(item), this.#pieces.length - 1);
    const piece = this.#pieces[at];
    piece.splice(this.#placeIn(piece, item), 0, item);
    if (piece.length >= 2 * PIECE) this.#pieces.splice(at, 1, piece.slice(0, PIECE), piece.slice(PIECE));
  }

  /** Drop an item that was put, whether or not it was accepted. */
  drop(item) {
    if (!this.#accept(item)) return;
    const at = this.#pieceOf(item);
    const piece = this.#pieces[at];
    const place = piece === undefined ? -1 : this.#placeIn(piece, item);
    if (piece?.[place] !== item) throw new Error("an item that is not in the list was dropped");
    piece.splice(place, 1);
    if (piece.length === 0) this.#pieces.splice(at, 1);
    this.length -= 1;
  }

  /** Begin again with these items. */
  reset(items) {
    const sorted = [...items].filter(this.#accept).sort(this.#compare);
    this.length = sorted.length;
    this.#pieces = [];
    for (let i = 0; i < sorted.length; i += PIECE) this.#pieces.push(sorted.slice(i, i + PIECE));
  }

  /** The item at a place, undefined beyond the end. */
  at(index) {
    let left = index;
    for (const piece of this.#pieces) {
      if (left < piece.length) return piece[left];
      left -= piece.length;
    }
    return undefined;
  }

  *[Symbol.iterator]() {
    for (const piece of this.#pieces) yield* piece;
  }

  /** The first piece that ends with the item, or beyond. */
  #pieceOf(item) {
    return lowest(this.#pieces.length, (i) => this.#compare(this.#pieces[i].at(-1), item) >= 0);
  }

  #placeIn(piece, item) {
    return lowest(piece.length, (i) => this.#compare(piece[i], item) >= 0);
  }

  /** Throw if a law is broken; for tests. */
  check() {
    const items = [...this];
    for (let i = 1; i < items.length; i++) {
      if (this.#compare(items[i - 1], items[i]) >= 0) throw new Error(`out of order at ${i}`);
    }
    if (!items.every(this.#accept)) throw new Error("an item that is not accepted");
    if (items.length !== this.length) throw new Error(`${this.length} said, ${items.length} there`);
    if (this.#pieces.some((piece) => piece.length === 0 || piece.length >= 2 * PIECE)) throw new Error("a piece out of bounds");
  }
}

/** The lowest of 0 to `end` for which it holds, `end` if for none. */
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

/**
 * Several lists of rows, one behind the other, as one list. No list is copied, however long it is.
 *
 * Rule: `at(i)` is the i-th of all rows, in the order in which they were added.
 */
export class JoinedList {
  #parts = [];
  #single = null;
  length = 0;

  /** Add one row. */
  push(row) {
    if (this.#single === null) this.#parts.push({ from: this.length, list: (this.#single = []), prepare: null });
    this.#single.push(row);
    this.length += 1;
  }

  /** Add a whole list. `prepare` is called with each of its rows when the row is read. */
  append(list, prepare) {
    if (list.length === 0) return;
    this.#single = null;
    this.#parts.push({ from: this.length, list, prepare });
    this.length += list.length;
  }

  at(index) {
    if (index < 0 || index >= this.length) return undefined;
    let low = 0;
    let high = this.#parts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#parts[middle].from <= index) low = middle;
      else high = middle - 1;
    }
    const { from, list, prepare } = this.#parts[low];
    const row = list.at(index - from);
    prepare?.(row);
    return row;
  }

  *[Symbol.iterator]() {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }
}

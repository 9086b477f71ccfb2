/**
 * Rows of several lists, one behind the other, as one list: none is copied, however long.
 *
 * Law: `at(i)` is the i-th of all rows, in the order in which they were added.
 */
export class JoinedList {
  #parts = [];
  #single = null;
  length = 0;

  /** Add one row. */
  push(row) {
    if (this.#single === null) this.#parts.push({ from: this.length, list: (this.#single = []), dress: null });
    this.#single.push(row);
    this.length += 1;
  }

  /** Add a whole list, whose rows are dressed when somebody looks at them. */
  append(list, dress) {
    if (list.length === 0) return;
    this.#single = null;
    this.#parts.push({ from: this.length, list, dress });
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
    const { from, list, dress } = this.#parts[low];
    const row = list.at(index - from);
    dress?.(row);
    return row;
  }

  *[Symbol.iterator]() {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }
}

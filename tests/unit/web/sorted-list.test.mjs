// Lists that stay sorted, and several lists as one.

import assert from "node:assert/strict";
import { test } from "node:test";

import { SortedList } from "../../../web/model/sorted-list.js";
import { JoinedList } from "../../../web/model/joined-list.js";

const byN = (a, b) => a.n - b.n;

test("a list equals a freshly sorted one, over a random walk", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const list = new SortedList(byN, (item) => item.n % 3 !== 0);
  const known = new Map();
  for (let step = 0; step < 30_000; step++) {
    const n = random(4000);
    if (known.has(n)) {
      list.drop(known.get(n));
      known.delete(n);
    } else {
      known.set(n, { n });
      list.put(known.get(n));
    }
    if (step % 3000 !== 0) continue;
    list.check();
    const sorted = [...known.values()].filter((item) => item.n % 3 !== 0).sort(byN);
    assert.deepEqual([...list], sorted);
    for (const place of [0, 1, sorted.length >> 1, sorted.length - 1]) assert.equal(list.at(place), sorted[place]);
    assert.equal(list.at(sorted.length), undefined);
  }
});

test("a reset replaces all items", () => {
  const list = new SortedList(byN);
  list.put({ n: 9 });
  list.reset(Array.from({ length: 1700 }, (_, i) => ({ n: (i * 7919) % 1700 })));
  list.check();
  assert.equal(list.length, 1700);
  assert.equal(list.at(1699).n, 1699);
});

test("an item that is not in the list cannot be dropped", () => {
  const list = new SortedList(byN);
  list.put({ n: 1 });
  assert.throws(() => list.drop({ n: 1 }), /not in the list/);
  assert.throws(() => list.drop({ n: 2 }), /not in the list/);
});

test("several lists are one list, whose rows are prepared when they are read", () => {
  const rows = new JoinedList();
  const prepared = [];
  rows.push("a");
  rows.append([], () => {});
  rows.push("b");
  rows.append(["c", "d"], (row) => prepared.push(row));
  rows.push("e");
  assert.equal(rows.length, 5);
  assert.deepEqual([0, 2, 4, 5, -1].map((i) => rows.at(i)), ["a", "c", "e", undefined, undefined]);
  assert.deepEqual(prepared, ["c"]);
  assert.deepEqual([...rows], ["a", "b", "c", "d", "e"]);
});

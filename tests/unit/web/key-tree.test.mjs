// The keys as a tree: split, counted, shortened, opened.

import assert from "node:assert/strict";
import { test } from "node:test";

import { KeyTree } from "../../../web/model/key-tree.js";

const record = (key, ns = "default") => ({ id: `${ns}\n${key}`, ns, key });

function treeOf(keys, autoOpenRows) {
  const tree = new KeyTree(autoOpenRows);
  for (const key of keys) tree.put(typeof key === "string" ? record(key) : key);
  tree.settle();
  return tree;
}

const linesOf = (tree) => [...tree.rows()].map((row) => {
  const name = row.isFolder ? `${(row.prefix ?? row.ns).slice(row.cut)} (${row.count})` : row.key.slice(row.cut);
  return "  ".repeat(row.depth - 1) + name;
});
const folder = (tree, prefix) => [...tree.rows()].find((row) => row.isFolder && row.prefix === prefix);

test("keys are split behind each colon and slash, and counted", () => {
  const tree = treeOf(["task:1", "task:2", "src/a/x.py", "src/a/y.py", "src/b.py", "note"]);
  assert.deepEqual(linesOf(tree), ["src/ (3)", "  a/ (2)", "    x.py", "    y.py", "  b.py", "task: (2)", "  1", "  2", "note"]);
});

test("a folder with one key is shown as the key, one with one folder as a single row", () => {
  const tree = treeOf(["a/b/c", "x/y/1", "x/y/2"]);
  assert.deepEqual(linesOf(tree), ["a/b/c", "x/y/ (2)", "  1", "  2"]);
  tree.put(record("x/z"));
  assert.deepEqual(linesOf(tree), ["a/b/c", "x/ (3)", "  y/ (2)", "    1", "    2", "  z"]);
});

test("a key may have the name of a folder, with or without the separator", () => {
  const tree = treeOf(["a", "a/", "a/b", "a//b"]);
  assert.deepEqual(linesOf(tree), ["a/ (3)", "  /b", "  ", "  b", "a"]);
});

test("several namespaces are the first level, a single one is not shown", () => {
  const docs = record("k", "docs");
  const tree = treeOf(["k", "l", docs]);
  assert.deepEqual(linesOf(tree), ["default (2)", "  k", "  l", "docs (1)", "  k"]);
  tree.drop(docs);
  assert.deepEqual(linesOf(tree), ["k", "l"]);
});

test("a folder with few keys opens by itself, one with many does not, and the user's choice stays", () => {
  const tree = treeOf(["a:1", "a:2", "b:1", "b:2", "b:3"], 2);
  assert.deepEqual(linesOf(tree), ["a: (2)", "  1", "  2", "b: (3)"]);
  tree.toggle(folder(tree, "a:"), false);
  tree.toggle(folder(tree, "b:"), true);
  tree.put(record("b:4"));
  assert.deepEqual(linesOf(tree), ["a: (2)", "b: (4)", "  1", "  2", "  3", "  4"]);
});

test("while keys are being read no folder opens by itself", () => {
  const tree = new KeyTree();
  for (const key of ["a:1", "a:2"]) tree.put(record(key));
  assert.deepEqual(linesOf(tree), ["a: (2)"]);
  tree.settle();
  assert.deepEqual(linesOf(tree), ["a: (2)", "  1", "  2"]);
});

test("rows are the same list until something changes", () => {
  const tree = treeOf(["a:1", "a:2"]);
  assert.equal(tree.rows(), tree.rows());
  const before = tree.rows();
  tree.put(record("c"));
  assert.notEqual(tree.rows(), before);
});

test("the tree contains the same keys as a map, over a random walk", () => {
  let seed = 5;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const tree = new KeyTree(1e9);
  tree.settle();
  const known = new Map();
  for (let step = 0; step < 3000; step++) {
    const key = Array.from({ length: 1 + random(4) }, () => "ab:/"[random(4)]).join("") + random(3);
    if (known.has(key)) {
      tree.drop(known.get(key));
      known.delete(key);
    } else {
      known.set(key, record(key));
      tree.put(known.get(key));
    }
    if (step % 50 === 0) {
      tree.check();
      const shown = [...tree.rows()].filter((row) => !row.isFolder).map((row) => row.key);
      assert.deepEqual(shown.sort(), [...known.keys()].sort());
    }
  }
});

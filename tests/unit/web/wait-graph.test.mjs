// The graph of who waits for whom, and its layout.

import assert from "node:assert/strict";
import { test } from "node:test";

import { buildWaitGraph, MAX_NODES } from "../../../web/model/wait-graph.js";
import { layout } from "../../../web/views/graph-layout.js";

const holder = (agent, names, more = {}) => ({ agent, session: `s-${agent}`, mode: "exclusive", names, ...more });
const request = (agent, names, blocked_by, more = {}) => ({
  op: "lock", id: 1, agent, session: `s-${agent}`, ns: "default", since: 1, until: null, mode: "exclusive", names, blocked_by, ...more,
});
const wait = (agent, all, met = []) => ({ op: "wait", id: 2, agent, session: `s-${agent}`, ns: "default", since: 1, until: 9, all, met });
const inspection = (waits, locks = []) => ({ waits, locks });
const edgesOf = ({ edges }) => edges.map(({ from, to, text }) => `${from.name} -> ${to.name}: ${text}`);
const levels = ({ nodes }) => Object.fromEntries(nodes.map(({ name, level }) => [name, level]));

/** Each agent waits for a lock of the one before it. */
const queue = (count, name = "w") =>
  Array.from({ length: count }, (_, n) => request(`${name}${n + 1}`, [`l${n}`], [holder(`${name}${n}`, [`l${n}`])]));

test("a request for a lock leads to the holder, labelled with the names they have in common", () => {
  const graph = buildWaitGraph(inspection([request("b", ["x", "z"], [holder("a", ["x", "y"])])]));
  assert.deepEqual(edgesOf(graph), ["b -> a: x"]);
  assert.deepEqual(levels(graph), { a: 0, b: 1 });
});

test("a holder with a pattern is labelled with the name that was asked for", () => {
  const { names, ...all } = holder("a", []);
  assert.deepEqual(edgesOf(buildWaitGraph(inspection([request("b", ["x1"], [{ ...all, patterns: ["x*"] }])]))), ["b -> a: x1"]);
});

test("without a holder that blocks it, a request leads to an earlier request", () => {
  const a = request("a", ["x"], [holder("h", ["x"], { mode: "shared" })]);
  const b = request("b", ["x"], [], { mode: "shared", since: 2 });
  assert.deepEqual(edgesOf(buildWaitGraph(inspection([a, b]))), ["a -> h: x", "b -> a: x"]);
});

test("a wait leads to the keys of unmet conditions, and to the holder of a key that is to be unlocked", () => {
  const all = [{ key: "done" }, { key: "k", where: { pointer: "/n", value: 1 } }, { key: "x", unlocked: true }, { key: "free", unlocked: true }];
  const graph = buildWaitGraph(inspection([wait("b", all, [0])], [{ ns: "default", ...holder("a", ["x"]) }]));
  assert.deepEqual(edgesOf(graph), ["b -> k: where /n is 1", "b -> a: x", "b -> free: unlocked"]);
  assert.deepEqual(graph.nodes.filter((node) => node.kind === "key").map((node) => node.name).sort(), ["free", "k"]);
});

test("a take leads to its pattern", () => {
  const take = { op: "take", id: 3, agent: "b", session: "s-b", ns: "default", since: 1, until: null, patterns: ["job:*"] };
  assert.deepEqual(edgesOf(buildWaitGraph(inspection([take]))), ["b -> job:*: take"]);
});

test("several reasons between two nodes are one edge", () => {
  const waits = [request("b", ["x"], [holder("a", ["x"])]), request("b", ["y"], [holder("a", ["y"])], { id: 2 })];
  assert.deepEqual(edgesOf(buildWaitGraph(inspection(waits))), ["b -> a: x, y"]);
});

test("two sessions of one agent have their session as qualifier", () => {
  const waits = [request("b", ["x"], [holder("a", ["x"])]), request("a", ["y"], [holder("b", ["y"])], { session: "s-2" })];
  const graph = buildWaitGraph(inspection(waits));
  assert.deepEqual(graph.nodes.map(({ name, qualifier }) => `${name} ${qualifier}`).sort(), ["a s-2", "a s-a", "b "]);
  assert.ok(graph.nodes.every((node) => !node.inCycle));
});

test("a deadlock cycle is marked, and a node that only leads into it is not", () => {
  const waits = [request("a", ["y"], [holder("b", ["y"])]), request("b", ["x"], [holder("a", ["x"])]), request("c", ["x"], [holder("a", ["x"])])];
  const graph = buildWaitGraph(inspection(waits));
  assert.deepEqual(graph.nodes.filter((node) => node.inCycle).map((node) => node.name).sort(), ["a", "b"]);
  assert.deepEqual(graph.edges.map((edge) => edge.inCycle), [true, true, false]);
  assert.ok(layout(graph).edges.some((edge) => edge.around));
});

test("a session that waits for itself is a cycle", () => {
  const graph = buildWaitGraph(inspection([request("a", ["x"], [holder("a", ["x"])])]));
  assert.ok(graph.nodes[0].inCycle);
  assert.equal(layout(graph).nodes.length, 1);
});

test("a graph with too many nodes keeps the longest chains and counts the omitted nodes", () => {
  const short = Array.from({ length: 100 }, (_, n) => request(`s${n}`, ["s"], [holder("t", ["s"])]));
  const graph = buildWaitGraph(inspection([...short, ...queue(20)]));
  assert.equal(graph.nodes.length, MAX_NODES);
  assert.equal(graph.omitted, 122 - MAX_NODES);
  assert.equal(Math.max(...graph.nodes.map((node) => node.level)), 20);
  assert.ok(graph.edges.length >= 20 + (MAX_NODES - 21 - 1), "each node that is shown waits for a node that is shown");
});

test("with an agent given, only nodes connected with it are kept", () => {
  const waits = [...queue(2), ...queue(3, "v")];
  assert.deepEqual(buildWaitGraph(inspection(waits), { agent: "v2" }).nodes.map((node) => node.name).sort(), ["v0", "v1", "v2", "v3"]);
});

test("a chain of a thousand nodes gets its levels", () => {
  assert.equal(buildWaitGraph(inspection(queue(1000))).omitted, 1001 - MAX_NODES);
});

test("the same waits have the same layout in any order", () => {
  const waits = [...queue(5), wait("z", [{ key: "k" }])];
  const places = (graph) => Object.fromEntries(layout(graph).nodes.map(({ node, x, y }) => [node.name, [x, y]]));
  assert.deepEqual(places(buildWaitGraph(inspection(waits))), places(buildWaitGraph(inspection([...waits].reverse()))));
});

test("no two nodes overlap, and all are within the drawing", () => {
  const fan = Array.from({ length: 28 }, (_, n) => request(`f${n}`, ["f"], [holder("t", ["f"]), holder(`w${n % 5}`, ["f"])]));
  const { nodes, width, height } = layout(buildWaitGraph(inspection([...fan, ...queue(6), wait("f3", [{ key: "a" }, { key: "b" }, { key: "c" }])])));
  for (const [i, a] of nodes.entries()) {
    assert.ok(a.x >= 0 && a.y >= 0 && a.x + a.width <= width && a.y + a.height <= height);
    for (const b of nodes.slice(i + 1)) {
      assert.ok(a.x !== b.x || a.y + a.height <= b.y || b.y + b.height <= a.y, `${a.node.name} and ${b.node.name}`);
    }
  }
});

test("a chain is a straight line to the right of the node that waits for no other", () => {
  const { nodes } = layout(buildWaitGraph(inspection(queue(3))));
  assert.equal(new Set(nodes.map((node) => node.y)).size, 1);
  const order = [...nodes].sort((a, b) => a.x - b.x).map(({ node }) => node.name);
  assert.deepEqual(order, ["w0", "w1", "w2", "w3"]);
});

test("a key that one session waits for stands beside that session", () => {
  const graph = buildWaitGraph(inspection([...queue(3), wait("w3", [{ key: "go" }])]));
  assert.equal(levels(graph).go, 2);
  const { nodes } = layout(graph);
  const [go, w3] = ["go", "w3"].map((name) => nodes.find(({ node }) => node.name === name));
  assert.ok(go.x < w3.x && go.y - w3.y < 60);
});

test("without waits the graph and its layout are empty", () => {
  const graph = buildWaitGraph(inspection([]));
  assert.deepEqual([graph.nodes, graph.edges, graph.omitted], [[], [], 0]);
  assert.deepEqual(layout(graph).nodes, []);
});

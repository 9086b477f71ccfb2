// Who waits for whom as a graph, and where it is drawn.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chains, MOST } from "../../../web/model/wait-graph.js";
import { layout } from "../../../web/views/graph-layout.js";

const holder = (agent, names, more = {}) => ({ agent, session: `s-${agent}`, mode: "exclusive", names, ...more });
const request = (agent, names, blocked_by, more = {}) => ({
  op: "lock", id: 1, agent, session: `s-${agent}`, ns: "default", since: 1, until: null, mode: "exclusive", names, blocked_by, ...more,
});
const wait = (agent, all, met = []) => ({ op: "wait", id: 2, agent, session: `s-${agent}`, ns: "default", since: 1, until: 9, all, met });
const seen = (waits, locks = []) => ({ waits, locks });
const said = ({ edges }) => edges.map(({ from, to, text }) => `${from.name} -> ${to.name}: ${text}`);
const levels = ({ nodes }) => Object.fromEntries(nodes.map(({ name, level }) => [name, level]));

/** Each agent waits for a lock of the one before it. */
const queue = (count, name = "w") =>
  Array.from({ length: count }, (_, n) => request(`${name}${n + 1}`, [`l${n}`], [holder(`${name}${n}`, [`l${n}`])]));

test("who waits for a lock waits for whoever holds it, by the names they have in common", () => {
  const graph = chains(seen([request("b", ["x", "z"], [holder("a", ["x", "y"])])]));
  assert.deepEqual(said(graph), ["b -> a: x"]);
  assert.deepEqual(levels(graph), { a: 0, b: 1 });
});

test("a pattern in the way is said by what is asked for", () => {
  const { names, ...all } = holder("a", []);
  assert.deepEqual(said(chains(seen([request("b", ["x1"], [{ ...all, patterns: ["x*"] }])]))), ["b -> a: x1"]);
});

test("where no holder is in the way it is who asked earlier", () => {
  const a = request("a", ["x"], [holder("h", ["x"], { mode: "shared" })]);
  const b = request("b", ["x"], [], { mode: "shared", since: 2 });
  assert.deepEqual(said(chains(seen([a, b]))), ["a -> h: x", "b -> a: x"]);
});

test("a wait leads to the keys that do not meet it yet, and to who has locked what is to be unlocked", () => {
  const all = [{ key: "done" }, { key: "k", where: { pointer: "/n", value: 1 } }, { key: "x", unlocked: true }, { key: "free", unlocked: true }];
  const graph = chains(seen([wait("b", all, [0])], [{ ns: "default", ...holder("a", ["x"]) }]));
  assert.deepEqual(said(graph), ["b -> k: where /n is 1", "b -> a: x", "b -> free: unlocked"]);
  assert.deepEqual(graph.nodes.filter((node) => node.kind === "key").map((node) => node.name).sort(), ["free", "k"]);
});

test("a take leads to its pattern", () => {
  const take = { op: "take", id: 3, agent: "b", session: "s-b", ns: "default", since: 1, until: null, patterns: ["job:*"] };
  assert.deepEqual(said(chains(seen([take]))), ["b -> job:*: take"]);
});

test("several reasons between two are one edge", () => {
  const waits = [request("b", ["x"], [holder("a", ["x"])]), request("b", ["y"], [holder("a", ["y"])], { id: 2 })];
  assert.deepEqual(said(chains(seen(waits))), ["b -> a: x, y"]);
});

test("two sessions of one name are told apart", () => {
  const waits = [request("b", ["x"], [holder("a", ["x"])]), request("a", ["y"], [holder("b", ["y"])], { session: "s-2" })];
  const graph = chains(seen(waits));
  assert.deepEqual(graph.nodes.map(({ name, more }) => `${name} ${more}`).sort(), ["a s-2", "a s-a", "b "]);
  assert.ok(graph.nodes.every((node) => !node.circle));
});

test("a circle is shown as one, and what only leads into it is not", () => {
  const waits = [request("a", ["y"], [holder("b", ["y"])]), request("b", ["x"], [holder("a", ["x"])]), request("c", ["x"], [holder("a", ["x"])])];
  const graph = chains(seen(waits));
  assert.deepEqual(graph.nodes.filter((node) => node.circle).map((node) => node.name).sort(), ["a", "b"]);
  assert.deepEqual(graph.edges.map((edge) => edge.circle), [true, true, false]);
  assert.ok(layout(graph).edges.some((edge) => edge.around));
});

test("one that waits for itself is a circle of one", () => {
  const graph = chains(seen([request("a", ["x"], [holder("a", ["x"])])]));
  assert.ok(graph.nodes[0].circle);
  assert.equal(layout(graph).nodes.length, 1);
});

test("beyond its bound it shows the longest chains, and how much is left out", () => {
  const short = Array.from({ length: 100 }, (_, n) => request(`s${n}`, ["s"], [holder("t", ["s"])]));
  const graph = chains(seen([...short, ...queue(20)]));
  assert.equal(graph.nodes.length, MOST);
  assert.equal(graph.left, 122 - MOST);
  assert.equal(Math.max(...graph.nodes.map((node) => node.level)), 20);
  assert.ok(graph.edges.length >= 20 + (MOST - 21 - 1), "whoever is shown waits for somebody who is shown");
});

test("of one agent only what hangs together with it is shown", () => {
  const waits = [...queue(2), ...queue(3, "v")];
  assert.deepEqual(chains(seen(waits), { agent: "v2" }).nodes.map((node) => node.name).sort(), ["v0", "v1", "v2", "v3"]);
});

test("a chain of a thousand is measured", () => {
  assert.equal(chains(seen(queue(1000))).left, 1001 - MOST);
});

test("the same is drawn at the same place, whatever the order in which it was told", () => {
  const waits = [...queue(5), wait("z", [{ key: "k" }])];
  const places = (graph) => Object.fromEntries(layout(graph).nodes.map(({ node, x, y }) => [node.name, [x, y]]));
  assert.deepEqual(places(chains(seen(waits))), places(chains(seen([...waits].reverse()))));
});

test("no two nodes overlap, and all is within the drawing", () => {
  const fan = Array.from({ length: 28 }, (_, n) => request(`f${n}`, ["f"], [holder("t", ["f"]), holder(`w${n % 5}`, ["f"])]));
  const { nodes, width, height } = layout(chains(seen([...fan, ...queue(6), wait("f3", [{ key: "a" }, { key: "b" }, { key: "c" }])])));
  for (const [i, a] of nodes.entries()) {
    assert.ok(a.x >= 0 && a.y >= 0 && a.x + a.width <= width && a.y + a.height <= height);
    for (const b of nodes.slice(i + 1)) {
      assert.ok(a.x !== b.x || a.y + a.height <= b.y || b.y + b.height <= a.y, `${a.node.name} and ${b.node.name}`);
    }
  }
});

test("a chain is a straight line to the right of who waits for nobody", () => {
  const { nodes } = layout(chains(seen(queue(3))));
  assert.equal(new Set(nodes.map((node) => node.y)).size, 1);
  const order = [...nodes].sort((a, b) => a.x - b.x).map(({ node }) => node.name);
  assert.deepEqual(order, ["w0", "w1", "w2", "w3"]);
});

test("what nobody else waits for stands beside the one who does", () => {
  const graph = chains(seen([...queue(3), wait("w3", [{ key: "go" }])]));
  assert.equal(levels(graph).go, 2);
  const { nodes } = layout(graph);
  const [go, w3] = ["go", "w3"].map((name) => nodes.find(({ node }) => node.name === name));
  assert.ok(go.x < w3.x && go.y - w3.y < 60);
});

test("nothing to draw is drawn as nothing", () => {
  const graph = chains(seen([]));
  assert.deepEqual([graph.nodes, graph.edges, graph.left], [[], [], 0]);
  assert.deepEqual(layout(graph).nodes, []);
});

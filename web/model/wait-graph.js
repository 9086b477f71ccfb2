/**
 * Who waits for whom, as a graph: sessions, and the keys that they wait for.
 *
 * Laws:
 *
 * 1. An edge goes from who waits to what it waits for: to the holder of a lock; to whoever asked earlier, where no holder is
 *    in its way; to a key or pattern. Of a `wait` only what is not met is shown.
 * 2. The same answer of the hub gives the same graph in the same order: nothing moves that need not.
 * 3. Of a graph with more than `MOST` nodes the longest chains are shown, and how many nodes are left out is said.
 * 4. The hub refuses whoever would close a circle. Were there one all the same, it is shown as one.
 */

import { conflict, overlap, targetsOf, targetText } from "./lock-targets.js";
import { compareKeys } from "../text/compare-keys.js";
import { partText } from "./wait-rows.js";

/** Nodes that are drawn. */
export const MOST = 60;
/** Edges that one command makes. */
const FAN = 12;

/**
 * @typedef {object} Node
 * @property {string} id
 * @property {"agent"|"key"} kind
 * @property {string} name
 * @property {string} more what tells it from another of this name, empty if there is none
 * @property {number} level the longest way from here to who waits for nobody; who waits for nobody stands one below the lowest of
 *   those that wait for it
 * @property {number} chain the longest way through here
 * @property {boolean} circle
 *
 * @typedef {{from: Node, to: Node, text: string, circle: boolean}} Edge
 *
 * @param {object} seen an answer to `inspect`
 * @param {{agent?: string|null, most?: number}} wanted only who hangs together with this agent; and how many nodes
 * @returns {{nodes: Node[], edges: Edge[], left: number}}
 */
export function chains(seen, { agent = null, most = MOST } = {}) {
  const graph = new Graph();
  for (const wait of seen.waits) connect(graph, wait, seen);
  if (agent !== null) graph.keepAround(agent);
  graph.findCircles();
  graph.measure();
  graph.tellApart();
  return graph.longest(most);
}

/** The edges of one command. */
function connect(graph, wait, { waits, locks }) {
  const from = graph.agent(wait);
  const edges = { lock: lockEdges, wait: waitEdges, take: takeEdges }[wait.op]?.(wait, waits, locks) ?? [];
  for (const { claim, place, text } of edges.slice(0, FAN)) {
    graph.edge(from, claim === undefined ? graph.key(place) : graph.agent(claim), text);
  }
}

function lockEdges(wait, waits) {
  const { ns, blocked_by: holders = [] } = wait;
  const inTheWay = holders.length > 0 ? holders : waits.filter((other) => isBefore(other, wait) && conflict(other, wait));
  return inTheWay.map((claim) => ({ claim, text: inCommon(wait, { ns, ...claim }) }));
}

const isBefore = (other, wait) => other.op === "lock" && other !== wait && other.since < wait.since;

function inCommon(wait, other) {
  const texts = new Set(targetsOf(other));
  return targetsOf(wait).filter((text) => texts.has(text)).join(", ") || targetText(wait);
}

function waitEdges(wait, _waits, locks) {
  const met = new Set(wait.met);
  return (wait.all ?? wait.any).flatMap((condition, i) => {
    if (met.has(i)) return [];
    const { key, pattern, unlocked, ns = wait.ns } = condition;
    const place = { ns, text: key ?? pattern };
    const claim = { ns, ...(key === undefined ? { patterns: [pattern] } : { names: [key] }) };
    const holders = unlocked ? locks.filter((lock) => overlap(lock, claim)) : [];
    if (holders.length > 0) return holders.map((lock) => ({ claim: lock, text: place.text }));
    return [{ place, text: partText(condition) }];
  });
}

function takeEdges(wait) {
  return targetsOf(wait).map((text) => ({ place: { ns: wait.ns, text }, text: "take" }));
}

class Graph {
  #nodes = new Map();
  #edges = new Map();

  agent({ session, agent }) {
    return this.#node(`session ${session}`, "agent", agent, session);
  }

  key({ ns, text }) {
    return this.#node(`key ${ns}\n${text}`, "key", text, ns);
  }

  #node(id, kind, name, more) {
    let node = this.#nodes.get(id);
    if (node === undefined) {
      node = { id, kind, name, more, level: 0, chain: 0, circle: false, out: [], into: [] };
      this.#nodes.set(id, node);
    }
    return node;
  }

  edge(from, to, text) {
    const id = JSON.stringify([from.id, to.id]);
    const known = this.#edges.get(id);
    if (known !== undefined) {
      if (!known.texts.includes(text)) known.texts.push(text);
      return;
    }
    const edge = { from, to, texts: [text], circle: false };
    this.#edges.set(id, edge);
    from.out.push(edge);
    to.into.push(edge);
  }

  /** Leave out what does not hang together with an agent. */
  keepAround(agent) {
    const near = new Set();
    const visit = (node) => {
      if (near.has(node)) return;
      near.add(node);
      for (const { to } of node.out) visit(to);
      for (const { from } of node.into) visit(from);
    };
    for (const node of this.#nodes.values()) if (node.kind === "agent" && node.name === agent) visit(node);
    for (const [id, node] of this.#nodes) if (!near.has(node)) this.#nodes.delete(id);
    for (const [id, edge] of this.#edges) if (!near.has(edge.from)) this.#edges.delete(id);
  }

  /** What lies on a circle: each part of the graph where every node leads to every other (by Tarjan). */
  findCircles() {
    const order = new Map();
    const low = new Map();
    const part = new Map();
    const open = [];
    const visit = (node) => {
      order.set(node, order.size);
      low.set(node, order.get(node));
      open.push(node);
      for (const { to } of node.out) {
        if (!order.has(to)) visit(to);
        if (!part.has(to)) low.set(node, Math.min(low.get(node), low.get(to)));
      }
      if (low.get(node) !== order.get(node)) return;
      const members = open.splice(open.indexOf(node));
      for (const member of members) part.set(member, node);
    };
    for (const node of this.#nodes.values()) if (!order.has(node)) visit(node);
    for (const edge of this.#edges.values()) {
      if (part.get(edge.from) === part.get(edge.to)) edge.circle = edge.from.circle = edge.to.circle = true;
    }
  }

  /** How far each node is from both ends of the longest chain through it; a circle is cut where it was entered. */
  measure() {
    const down = longestWay((node) => node.out.map(({ to }) => to));
    const up = longestWay((node) => node.into.map(({ from }) => from));
    for (const node of this.#nodes.values()) {
      node.level = down(node);
      node.chain = node.level + up(node);
    }
    for (const node of this.#nodes.values()) {
      if (node.out.length === 0) node.level = Math.min(...node.into.map(({ from }) => from.level)) - 1;
    }
  }

  /** A name is enough where it is the only one. */
  tellApart() {
    const known = new Map();
    for (const node of this.#nodes.values()) known.set(nameOf(node), (known.get(nameOf(node)) ?? 0) + 1);
    for (const node of this.#nodes.values()) if (known.get(nameOf(node)) === 1) node.more = "";
  }

  longest(most) {
    const nodes = [...this.#nodes.values()].sort(
      (a, b) => b.circle - a.circle || b.chain - a.chain || a.level - b.level || byName(a, b),
    );
    const shown = new Set(nodes.slice(0, most));
    const edges = [...this.#edges.values()].filter(({ from, to }) => shown.has(from) && shown.has(to));
    const text = ({ texts }) => texts.join(", ");
    return {
      nodes: [...shown],
      edges: edges.map((edge) => ({ from: edge.from, to: edge.to, text: text(edge), circle: edge.circle })),
      left: nodes.length - shown.size,
    };
  }
}

export const byName = (a, b) => compareKeys(a.name, b.name) || compareKeys(a.id, b.id);

const nameOf = ({ kind, name }) => `${kind} ${name}`;

/** The number of steps of the longest way from a node on. */
function longestWay(next) {
  const known = new Map();
  const visit = (node) => {
    if (known.has(node)) return known.get(node);
    known.set(node, -1); // what leads back here is no step
    const steps = Math.max(0, ...next(node).map((other) => visit(other) + 1));
    known.set(node, steps);
    return steps;
  };
  return visit;
}

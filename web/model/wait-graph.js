/**
 * Who waits for whom, as a graph of sessions and of the keys that they wait for.
 *
 * Rules:
 *
 * 1. An edge leads from a session to what it waits for: to the holder of a lock; to a session that asked for the lock
 *    earlier, if no holder blocks the request; to a key or pattern. For a `wait` only the conditions that are not met
 *    make edges.
 * 2. The same reply of the hub gives the same graph in the same order, so nothing moves on the screen without a reason.
 * 3. If a graph has more than `MAX_NODES` nodes, the longest chains are kept, and `omitted` is the number of the other
 *    nodes.
 * 4. The hub refuses a request that would close a deadlock cycle. If there is one anyway, it is marked.
 */

import { compareKeys } from "../text/compare-keys.js";
import { conflict, overlap, targetsOf, targetText } from "./lock-targets.js";
import { partText } from "./wait-rows.js";

/** Nodes that are drawn. */
export const MAX_NODES = 60;
/** Edges of one command that are drawn. */
const MAX_EDGES_PER_COMMAND = 12;

/**
 * @typedef {object} Node
 * @property {string} id
 * @property {"agent"|"key"} kind
 * @property {string} name
 * @property {string} qualifier the session or namespace, if another node has the same name; else empty
 * @property {number} level the column: the length of the longest way from this node. A node without edges of its own
 *   stands one column before the nearest node that waits for it
 * @property {number} chain the length of the longest chain through this node
 * @property {boolean} inCycle
 *
 * @typedef {{from: Node, to: Node, text: string, inCycle: boolean}} Edge
 *
 * Return the graph of a reply to `inspect`.
 * @param {object} inspection the reply
 * @param {{agent?: string|null, maxNodes?: number}} filter only nodes connected with this agent; and how many nodes
 * @returns {{nodes: Node[], edges: Edge[], omitted: number}}
 */
export function buildWaitGraph(inspection, { agent = null, maxNodes = MAX_NODES } = {}) {
  const graph = new Graph();
  for (const wait of inspection.waits) addEdges(graph, wait, inspection);
  if (agent !== null) graph.keepConnected(agent);
  graph.findCycles();
  graph.setLevels();
  graph.dropNeedlessQualifiers();
  return graph.longestChains(maxNodes);
}

/** Add the edges of one command: each leads to a session, by a lock or a request of it, or to a key. */
function addEdges(graph, wait, { waits, locks }) {
  const from = graph.agent(wait);
  const edges = { lock: lockEdges, wait: waitEdges, take: takeEdges }[wait.op]?.(wait, waits, locks) ?? [];
  for (const { lock, key, text } of edges.slice(0, MAX_EDGES_PER_COMMAND)) {
    graph.edge(from, lock === undefined ? graph.key(key) : graph.agent(lock), text);
  }
}

function lockEdges(wait, waits) {
  const { ns, blocked_by: holders = [] } = wait;
  const earlier = (other) => isBefore(other, wait) && conflict(other, wait);
  const blockers = holders.length > 0 ? holders : waits.filter(earlier);
  return blockers.map((lock) => ({ lock, text: commonTargets(wait, { ns, ...lock }) }));
}

const isBefore = (other, wait) => other.op === "lock" && other !== wait && other.since < wait.since;

function commonTargets(wait, other) {
  const texts = new Set(targetsOf(other));
  return targetsOf(wait).filter((text) => texts.has(text)).join(", ") || targetText(wait);
}

function waitEdges(wait, _waits, locks) {
  const met = new Set(wait.met);
  return (wait.all ?? wait.any).flatMap((condition, i) => {
    if (met.has(i)) return [];
    const { key: name, pattern, unlocked, ns = wait.ns } = condition;
    const key = { ns, text: name ?? pattern };
    const target = { ns, ...(name === undefined ? { patterns: [pattern] } : { names: [name] }) };
    const holders = unlocked ? locks.filter((lock) => overlap(lock, target)) : [];
    if (holders.length > 0) return holders.map((lock) => ({ lock, text: key.text }));
    return [{ key, text: partText(condition) }];
  });
}

function takeEdges(wait) {
  return targetsOf(wait).map((text) => ({ key: { ns: wait.ns, text }, text: "take" }));
}

class Graph {
  #nodes = new Map();
  #edges = new Map();

  /** Return the node of a session, given anything that names its session and agent. */
  agent({ session, agent }) {
    return this.#node(`session ${session}`, "agent", agent, session);
  }

  key({ ns, text }) {
    return this.#node(`key ${ns}\n${text}`, "key", text, ns);
  }

  #node(id, kind, name, qualifier) {
    let node = this.#nodes.get(id);
    if (node === undefined) {
      node = { id, kind, name, qualifier, level: 0, chain: 0, inCycle: false, outgoing: [], incoming: [] };
      this.#nodes.set(id, node);
    }
    return node;
  }

  /** Add an edge, or a text to the edge that is there already. */
  edge(from, to, text) {
    const id = JSON.stringify([from.id, to.id]);
    const known = this.#edges.get(id);
    if (known !== undefined) {
      if (!known.texts.includes(text)) known.texts.push(text);
      return;
    }
    const edge = { from, to, texts: [text], inCycle: false };
    this.#edges.set(id, edge);
    from.outgoing.push(edge);
    to.incoming.push(edge);
  }

  /** Remove all nodes that have no connection with an agent. */
  keepConnected(agent) {
    const near = new Set();
    const visit = (node) => {
      if (near.has(node)) return;
      near.add(node);
      for (const { to } of node.outgoing) visit(to);
      for (const { from } of node.incoming) visit(from);
    };
    for (const node of this.#nodes.values()) if (node.kind === "agent" && node.name === agent) visit(node);
    for (const [id, node] of this.#nodes) if (!near.has(node)) this.#nodes.delete(id);
    for (const [id, edge] of this.#edges) if (!near.has(edge.from)) this.#edges.delete(id);
  }

  /** Mark all deadlock cycles: the strongly connected components, found with Tarjan's algorithm. */
  findCycles() {
    const order = new Map();
    const low = new Map();
    const component = new Map();
    const open = [];
    const visit = (node) => {
      order.set(node, order.size);
      low.set(node, order.get(node));
      open.push(node);
      for (const { to } of node.outgoing) {
        if (!order.has(to)) visit(to);
        if (!component.has(to)) low.set(node, Math.min(low.get(node), low.get(to)));
      }
      if (low.get(node) !== order.get(node)) return;
      const members = open.splice(open.indexOf(node));
      for (const member of members) component.set(member, node);
    };
    for (const node of this.#nodes.values()) if (!order.has(node)) visit(node);
    for (const edge of this.#edges.values()) {
      const { from, to } = edge;
      if (component.get(from) === component.get(to)) edge.inCycle = from.inCycle = to.inCycle = true;
    }
  }

  /** Set `level` and `chain` of every node. A cycle is cut at the node where it was entered. */
  setLevels() {
    const down = longestWay((node) => node.outgoing.map(({ to }) => to));
    const up = longestWay((node) => node.incoming.map(({ from }) => from));
    for (const node of this.#nodes.values()) {
      node.level = down(node);
      node.chain = node.level + up(node);
    }
    for (const node of this.#nodes.values()) {
      if (node.outgoing.length === 0) node.level = Math.min(...node.incoming.map(({ from }) => from.level)) - 1;
    }
  }

  /** Remove the qualifier of every name that only one node has. */
  dropNeedlessQualifiers() {
    const known = new Map();
    for (const node of this.#nodes.values()) known.set(nameOf(node), (known.get(nameOf(node)) ?? 0) + 1);
    for (const node of this.#nodes.values()) if (known.get(nameOf(node)) === 1) node.qualifier = "";
  }

  /** Return the graph, cut to so many nodes: cycles first, then the longest chains. */
  longestChains(maxNodes) {
    const nodes = [...this.#nodes.values()].sort(
      (a, b) => b.inCycle - a.inCycle || b.chain - a.chain || a.level - b.level || byName(a, b),
    );
    const shown = new Set(nodes.slice(0, maxNodes));
    const edges = [...this.#edges.values()].filter(({ from, to }) => shown.has(from) && shown.has(to));
    const text = ({ texts }) => texts.join(", ");
    return {
      nodes: [...shown],
      edges: edges.map((edge) => ({ from: edge.from, to: edge.to, text: text(edge), inCycle: edge.inCycle })),
      omitted: nodes.length - shown.size,
    };
  }
}

export const byName = (a, b) => compareKeys(a.name, b.name) || compareKeys(a.id, b.id);

const nameOf = ({ kind, name }) => `${kind} ${name}`;

/** Return a function that gives the number of steps of the longest way from a node. */
function longestWay(next) {
  const known = new Map();
  const visit = (node) => {
    if (known.has(node)) return known.get(node);
    known.set(node, -1); // a way back to this node, in a cycle, counts as no step
    const steps = Math.max(0, ...next(node).map((other) => visit(other) + 1));
    known.set(node, steps);
    return steps;
  };
  return visit;
}

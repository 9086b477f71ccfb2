/**
 * The layout of a wait graph: each node stands to the right of what it waits for. Pure functions: the same graph has
 * the same layout.
 *
 * Rules:
 *
 * 1. No two nodes overlap. Connected nodes are close to each other, and a chain is a straight line if there is room.
 * 2. Each edge leaves its node at a height of its own, and its label stands there.
 * 3. An edge that does not lead to the left goes around the right side. Only a deadlock cycle has such an edge.
 */

import { byName } from "../model/wait-graph.js";

/**
 * In pixels: a node; `port` the height between two edges of a node; `gap` between two columns; `space` between two
 * nodes of a column; `edge` around the drawing; `bulge` of an edge around the right side.
 */
export const SIZES = { width: 136, height: 32, port: 18, gap: 126, space: 12, edge: 16, bulge: 70 };

/**
 * Return positions and sizes, in pixels.
 * @param {{nodes: object[], edges: object[]}} graph
 * @returns {{width: number, height: number, nodes: object[], edges: object[]}} nodes with x, y, width, height; edges
 *   with the path to draw (`d`) and the point where their label ends (`x`, `y`), or begins if `around` is true
 */
export function layout({ nodes, edges }, sizes = SIZES) {
  const outgoing = new Map(nodes.map((node) => [node, []]));
  for (const edge of edges) outgoing.get(edge.from).push(edge);
  const boxes = place(nodes, outgoing, sizes);
  const drawn = edges.map((edge) => draw(edge, boxes, outgoing.get(edge.from), sizes));
  const around = drawn.some((edge) => edge.around) ? 2 * sizes.bulge : 0;
  const farthest = (side) => Math.max(0, ...[...boxes.values()].map(side));
  return {
    width: farthest((box) => box.x + box.width) + around + sizes.edge,
    height: farthest((box) => box.y + box.height) + sizes.edge,
    nodes: nodes.map((node) => ({ ...boxes.get(node), node })),
    edges: drawn,
  };
}

/**
 * Place the nodes depth first, beginning with those that wait for no other: the neighbours of a node stand beside and
 * below it.
 */
function place(nodes, outgoing, { width, height, port, gap, space, edge }) {
  const boxes = new Map();
  const free = []; // for each column, the first y that is free
  const waiters = new Map(nodes.map((node) => [node, []]));
  for (const edges of outgoing.values()) for (const { from, to } of edges) waiters.get(to).push(from);

  const put = (node, minY) => {
    if (boxes.has(node)) return;
    const y = Math.max(minY, free[node.level] ?? edge);
    const tall = Math.max(height, outgoing.get(node).length * port + height - port);
    boxes.set(node, { x: edge + node.level * (width + gap), y, width, height: tall });
    free[node.level] = y + tall + space;
    for (const other of outgoing.get(node).map(({ to }) => to).sort(byChain)) put(other, y);
    for (const other of waiters.get(node).sort(byChain)) put(other, y);
  };
  for (const node of [...nodes].sort((a, b) => a.level - b.level || byChain(a, b))) {
    // Below everything placed so far: a node that has no place yet is not connected with any of it.
    put(node, Math.max(edge, ...free.filter((y) => y !== undefined)));
  }
  return boxes;
}

const byChain = (a, b) => b.chain - a.chain || byName(a, b);

function draw(edge, boxes, siblings, { height, port, gap, bulge }) {
  const [from, to] = [boxes.get(edge.from), boxes.get(edge.to)];
  const out = from.y + height / 2 + siblings.indexOf(edge) * port;
  const target = to.y + height / 2;
  if (to.x + to.width < from.x) {
    const [x, end] = [from.x, to.x + to.width];
    const bend = Math.min(gap, (x - end) / 2) * 0.8;
    const d = `M${x} ${out}C${x - bend} ${out} ${end + bend} ${target} ${end + 2} ${target}`;
    return { edge, d, x: x - 10, y: out - 5, around: false };
  }
  const [x, end] = [from.x + from.width, to.x + to.width];
  const far = Math.max(x, end) + bulge;
  const d = `M${x} ${out + 6}C${far} ${out + 6} ${far} ${target - 6} ${end + 2} ${target - 6}`;
  return { edge, d, x: far - 8, y: (out + target) / 2 + 4, around: true };
}

/**
 * Where the nodes of a graph of waiting stand: each to the right of what it waits for. Pure: sizes in, places out, the same for
 * the same graph.
 *
 * Laws:
 *
 * 1. No two nodes overlap. What hangs together stands together, and a chain is a straight line where nothing is in its way.
 * 2. Each edge leaves its node at a height of its own, where its words stand.
 * 3. An edge that does not lead to the left (only a circle has one) goes around the right side.
 */

import { byName } from "../model/wait-graph.js";

export const SIZES = { width: 136, height: 32, port: 18, gap: 126, space: 12, edge: 16, bulge: 70 };

/**
 * @param {{nodes: object[], edges: object[]}} graph
 * @returns {{width: number, height: number, nodes: object[], edges: object[]}} nodes with x, y, width, height; edges with the path
 *   to draw (`d`) and where their words end (`x`, `y`), or begin (`around`)
 */
export function layout({ nodes, edges }, sizes = SIZES) {
  const leaving = new Map(nodes.map((node) => [node, []]));
  for (const edge of edges) leaving.get(edge.from).push(edge);
  const boxes = place(nodes, leaving, sizes);
  const drawn = edges.map((edge) => draw(edge, boxes, leaving.get(edge.from), sizes));
  const around = drawn.some((edge) => edge.around) ? 2 * sizes.bulge : 0;
  const of = (side) => Math.max(0, ...[...boxes.values()].map(side));
  return {
    width: of((box) => box.x + box.width) + around + sizes.edge,
    height: of((box) => box.y + box.height) + sizes.edge,
    nodes: nodes.map((node) => ({ ...boxes.get(node), node })),
    edges: drawn,
  };
}

/** Depth first from those who wait for nobody: what a node waits for, and who waits for it, stand beside and below it. */
function place(nodes, leaving, { width, height, port, gap, space, edge }) {
  const boxes = new Map();
  const free = []; // the first free height of each column
  const waiting = new Map(nodes.map((node) => [node, []]));
  for (const edges of leaving.values()) for (const { from, to } of edges) waiting.get(to).push(from);

  const put = (node, least) => {
    if (boxes.has(node)) return;
    const y = Math.max(least, free[node.level] ?? edge);
    const tall = Math.max(height, leaving.get(node).length * port + height - port);
    boxes.set(node, { x: edge + node.level * (width + gap), y, width, height: tall });
    free[node.level] = y + tall + space;
    for (const other of leaving.get(node).map(({ to }) => to).sort(byChain)) put(other, y);
    for (const other of waiting.get(node).sort(byChain)) put(other, y);
  };
  for (const node of [...nodes].sort((a, b) => a.level - b.level || byChain(a, b))) {
    put(node, Math.max(edge, ...free.filter((y) => y !== undefined))); // below all that hangs together
  }
  return boxes;
}

const byChain = (a, b) => b.chain - a.chain || byName(a, b);

function draw(edge, boxes, leaving, { height, port, gap, bulge }) {
  const [from, to] = [boxes.get(edge.from), boxes.get(edge.to)];
  const out = from.y + height / 2 + leaving.indexOf(edge) * port;
  const target = to.y + height / 2;
  if (to.x + to.width < from.x) {
    const [x, end] = [from.x, to.x + to.width];
    const bend = Math.min(gap, (x - end) / 2) * 0.8;
    return { edge, d: `M${x} ${out}C${x - bend} ${out} ${end + bend} ${target} ${end + 2} ${target}`, x: x - 10, y: out - 5, around: false };
  }
  const [x, end] = [from.x + from.width, to.x + to.width];
  const far = Math.max(x, end) + bulge;
  return { edge, d: `M${x} ${out + 6}C${far} ${out + 6} ${far} ${target - 6} ${end + 2} ${target - 6}`, x: far - 8, y: (out + target) / 2 + 4, around: true };
}

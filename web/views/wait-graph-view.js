/** The drawing of who waits for whom, and the same as a table for screen readers. */

import { byId, create, setAttribute, setHidden, setText } from "../browser/elements.js";
import { buildWaitGraph } from "../model/wait-graph.js";
import { formatCount, plural } from "../text/format.js";
import { layout } from "./graph-layout.js";

const SVG = "http://www.w3.org/2000/svg";
/** Characters of a name in its box, and of the label of an edge. */
const MAX_NAME_CHARS = 16;
const MAX_LABEL_CHARS = 16;

export function mountWaitGraph() {
  const figure = byId("wait-graph");
  const title = byId("wait-graph-title");
  const drawing = byId("drawing");
  const tableBox = byId("wait-graph-table");
  const deadlock = byId("deadlock");
  let inspected = null;
  let agent = null;
  let drawn = "";

  return function update({ inspection, ui }) {
    if (ui.section !== "waits" || (inspection.latest === inspected && ui.focusedAgent === agent)) return;
    inspected = inspection.latest;
    agent = ui.focusedAgent;
    const graph = buildWaitGraph(inspected, { agent });
    setHidden(figure, graph.edges.length === 0);
    const rows = graph.edges.map(cellsOf);
    const omitted = graph.omitted === 0 ? "" : `: the longest chains, ${formatCount(graph.omitted)} more are left out`;
    setText(title, `Who waits for whom${omitted}`);
    setText(deadlock, deadlockText(graph));
    const now = JSON.stringify([rows, graph.nodes.map(({ id }) => id)]);
    if (now === drawn) return; // the same graph: leave the drawing, its focus and its scroll position as they are
    drawn = now;
    drawing.replaceChildren(draw(graph));
    tableBox.replaceChildren(makeTable(rows));
  };
}

function draw(graph) {
  const { width, height, nodes, edges } = layout(graph);
  const nodeCount = plural(graph.nodes.length, "agent or key", "agents and keys");
  const about = `${plural(graph.edges.length, "line")} between ${nodeCount}`;
  const svg = shape("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${about}; the same as a table follows`,
  });
  svg.append(shape("defs", {}, arrow("arrow", ""), arrow("arrow-cycle", "cycle")));
  for (const { edge, d, x, y, around } of edges) {
    const kind = edge.inCycle ? "cycle" : "";
    const arrowId = edge.inCycle ? "arrow-cycle" : "arrow";
    const anchor = around ? "start" : "end";
    svg.append(shape("path", { d, class: `edge ${kind}`, "marker-end": `url(#${arrowId})` }));
    svg.append(label(edge.text, MAX_LABEL_CHARS, { x, y, class: `words ${kind}`, "text-anchor": anchor }));
  }
  for (const { node, x, y, width, height } of nodes) {
    const box = shape("g", { class: `node ${node.kind} ${node.inCycle ? "cycle" : ""}`, "data-node": node.name });
    box.append(shape("rect", { x, y, width, height, rx: node.kind === "agent" ? 8 : 2 }));
    const shorten = node.kind === "key" ? lastOf : undefined;
    box.append(label(nameOf(node), MAX_NAME_CHARS, { x: x + 10, y: y + height / 2 + 4.5 }, shorten));
    svg.append(box);
  }
  return svg;
}

function arrow(id, kind) {
  return shape("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    shape("path", { d: "M0 0.5 8 4 0 7.5z", class: `head ${kind}` }));
}

function shape(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Return a text that is cut to fit, with the whole text as its title. It is cut by code points, so no character is
 * split.
 */
function label(whole, maxChars, attributes, shorten = (points) => `${points.slice(0, maxChars - 1).join("")}…`) {
  const element = shape("text", attributes);
  const points = Array.from(whole);
  setText(element, points.length <= maxChars ? whole : shorten(points));
  const title = shape("title", {});
  setText(title, whole);
  element.append(title);
  return element;
}

function makeTable(edges) {
  const cells = (tag, texts) => texts.map((each) => {
    const cell = create(tag);
    setText(cell, each);
    return cell;
  });
  const rows = edges.map((each) => create("tr", "", {}, ...cells("td", each)));
  const head = create("tr", "", {}, ...cells("th", ["agent", "waits for", "of"]));
  for (const cell of head.children) setAttribute(cell, "scope", "col");
  const body = create("tbody", "", {}, ...rows);
  return create("table", "", { "aria-label": "Who waits for whom" }, create("thead", "", {}, head), body);
}

/** Return the end of a key: keys usually differ there. */
const lastOf = (points) => `…${points.slice(1 - MAX_NAME_CHARS).join("")}`;

const cellsOf = ({ from, to, text }) => [nameOf(from), text, nameOf(to)];
const nameOf = ({ name, qualifier }) => (qualifier === "" ? name : `${name} · ${qualifier}`);

function deadlockText({ nodes }) {
  const names = nodes.filter((node) => node.inCycle).map(nameOf);
  if (names.length === 0) return "";
  const exception = "unless one session waits in several tasks";
  return `Deadlock cycle: ${names.join(", ")} wait for each other. None of them can go on, ${exception}.`;
}

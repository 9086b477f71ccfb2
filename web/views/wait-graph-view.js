/** Who waits for whom, drawn; and the same in words, for who cannot see it. */

import { chains } from "../model/wait-graph.js";
import { byId, makeElement, setAttribute, setHidden, setText } from "../browser/elements.js";
import { layout } from "./graph-layout.js";
import { formatCount, plural } from "../text/format.js";

const SVG = "http://www.w3.org/2000/svg";
/** Characters of a name in its box, and of the words beside an edge. */
const NAME = 16;
const WORDS = 16;

export function mountWaitGraph() {
  const figure = byId("chains");
  const title = byId("chains-title");
  const place = byId("drawing");
  const words = byId("chains-words");
  const circles = byId("circles");
  let seen = null;
  let concerned = null;
  let drawn = "";

  return function update({ inspected, want }) {
    if (want.place !== "waits" || (inspected.seen === seen && want.concerned === concerned)) return;
    ({ seen } = inspected);
    ({ concerned } = want);
    const graph = chains(seen, { agent: concerned });
    setHidden(figure, graph.edges.length === 0);
    const said = graph.edges.map(wordsOf);
    const left = graph.left === 0 ? "" : `: the longest chains, ${formatCount(graph.left)} more are left out`;
    setText(title, `Who waits for whom${left}`);
    setText(circles, circleText(graph));
    const now = JSON.stringify([said, graph.nodes.map(({ id }) => id)]);
    if (now === drawn) return; // nothing of it has changed
    drawn = now;
    place.replaceChildren(draw(graph));
    words.replaceChildren(table(said));
  };
}

function draw(graph) {
  const { width, height, nodes, edges } = layout(graph);
  const about = `${plural(graph.edges.length, "line")} between ${plural(graph.nodes.length, "agent or key", "agents and keys")}`;
  const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${about}; a table says the same` });
  svg.append(shape("defs", {}, arrow("arrow", ""), arrow("arrow-circle", "circle")));
  for (const { edge, d, x, y, around } of edges) {
    const kind = edge.circle ? "circle" : "";
    svg.append(shape("path", { d, class: `edge ${kind}`, "marker-end": `url(#${edge.circle ? "arrow-circle" : "arrow"})` }));
    svg.append(text(edge.text, WORDS, { x, y, class: `words ${kind}`, "text-anchor": around ? "start" : "end" }));
  }
  for (const { node, x, y, width, height } of nodes) {
    const box = shape("g", { class: `node ${node.kind} ${node.circle ? "circle" : ""}`, "data-node": node.name });
    box.append(shape("rect", { x, y, width, height, rx: node.kind === "agent" ? 8 : 2 }));
    box.append(text(nameOf(node), NAME, { x: x + 10, y: y + height / 2 + 4.5 }, node.kind === "key" ? lastOf : undefined));
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

function text(whole, most, attributes, shorten = (points) => `${points.slice(0, most - 1).join("")}…`) {
  const element = shape("text", attributes);
  const points = Array.from(whole);
  setText(element, points.length <= most ? whole : shorten(points));
  const title = shape("title", {});
  setText(title, whole);
  element.append(title);
  return element;
}

function table(said) {
  const cells = (tag, texts) => texts.map((each) => {
    const cell = makeElement(tag);
    setText(cell, each);
    return cell;
  });
  const rows = said.map((each) => makeElement("tr", "", {}, ...cells("td", each)));
  const head = makeElement("tr", "", {}, ...cells("th", ["who waits", "for", "of"]));
  for (const cell of head.children) setAttribute(cell, "scope", "col");
  return makeElement("table", "", { "aria-label": "Who waits for whom" }, makeElement("thead", "", {}, head), makeElement("tbody", "", {}, ...rows));
}

/** Keys differ at their end. */
const lastOf = (points) => `…${points.slice(1 - NAME).join("")}`;

const wordsOf = ({ from, to, text }) => [nameOf(from), text, nameOf(to)];
const nameOf = ({ name, more }) => (more === "" ? name : `${name} · ${more}`);

function circleText({ nodes }) {
  const names = nodes.filter((node) => node.circle).map(nameOf);
  if (names.length === 0) return "";
  return `A circle: ${names.join(", ")} wait for each other. Unless some of it are different tasks of one session, none of them goes on.`;
}

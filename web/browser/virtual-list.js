/**
 * A window on a long list: only the rows in view exist, whatever the length of the list.
 *
 * Laws:
 *
 * 1. A row stays with its item while the item is in view, so focus and hover stay where they are. Then it is given to
 *    another, where it stands if it can be: elements that come and go cost the browser most.
 * 2. The order of the rows in the document is the order on the screen.
 * 3. Nothing here measures the layout while rows change: sizes come from ResizeObserver, the place from scroll events.
 *
 * Every row has the height `--row` of its list, in pixels. For the keyboard the list is one stop: there the arrows up and
 * down, Home and End go from row to row, those to the sides from button to button, or wherever the list says.
 */

import { setAttribute } from "./elements.js";

/** Rows beyond the edges, so that a flick of the wheel shows no hole. */
const MARGIN = 4;

/**
 * @template Item
 * @param {HTMLElement} scroller the element that scrolls
 * @param {object} how
 * @param {(item: Item) => string|number} how.idOf
 * @param {() => HTMLElement} how.make an empty row
 * @param {(row: HTMLElement, item: Item, now: number) => void} how.fill idempotent
 * @param {() => void} how.changed another part of the list is in view: call `update` soon
 * @param {(item: Item, step: 1|-1, index: number) => number|null} [how.aside] an arrow to the side: the row to go to
 * @returns {{update: (items: {length: number, at: (i: number) => Item}, now: number) => void, toTop: () => void, show: (index: number) => void}}
 */
export function mountVirtualList(scroller, { idOf, make, fill, changed, aside }) {
  const canvas = document.createElement("div");
  canvas.className = "canvas";
  canvas.setAttribute("role", "presentation");
  scroller.append(canvas);
  scroller.tabIndex = 0;

  let rows = new Map();
  let spare = [];
  let items = [];
  let top = 0;
  let height = 0;
  let rowHeight = 40;
  let focusAt = null;

  const measure = () => {
    height = scroller.clientHeight;
    rowHeight = Number.parseFloat(getComputedStyle(scroller).getPropertyValue("--row")) || rowHeight;
    const row = scroller.contains(document.activeElement) ? document.activeElement.closest("[data-index]") : null;
    if (row !== null && height > 0) show(Number(row.dataset.index)); // the row that has the keyboard stays in view
    changed();
  };
  new ResizeObserver(measure).observe(scroller);
  scroller.addEventListener("scroll", () => {
    top = scroller.scrollTop;
    changed();
  });
  scroller.addEventListener("keydown", (event) => {
    if (items.length === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const row = event.target.closest("[data-index]");
    const at = row === null ? Math.ceil(top / rowHeight) - 1 : Number(row.dataset.index);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (to !== undefined) show(to);
    else if (step === undefined || row === null) return;
    else if (aside === undefined) beside(row, step);
    else {
      const place = aside(items.at(at), step, at);
      if (place !== null) show(place);
    }
    event.preventDefault();
  });

  /** Bring a row into view, and the keyboard to it. */
  function show(index) {
    focusAt = Math.min(items.length - 1, Math.max(0, index));
    const place = focusAt * rowHeight;
    if (place < scroller.scrollTop) scroller.scrollTop = place;
    else if (place + rowHeight > scroller.scrollTop + height) scroller.scrollTop = place + rowHeight - height;
    top = scroller.scrollTop;
    changed();
  }

  function beside(row, step) {
    const buttons = [...row.querySelectorAll("button:enabled:not([hidden])")];
    const at = buttons.indexOf(document.activeElement);
    (buttons[at + step] ?? buttons[at])?.focus();
  }

  function inView() {
    const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN);
    const last = Math.min(items.length, Math.ceil((top + height) / rowHeight) + MARGIN);
    return height === 0 ? [0, 0] : [Math.min(first, last), last];
  }

  function update(next, now) {
    items = next;
    setHeight(items.length * rowHeight);
    const [first, last] = inView();
    const wanted = new Map();
    for (let i = first; i < last; i++) wanted.set(idOf(items.at(i)), i);
    const before = rows;
    const leaving = new Set();
    rows = new Map();
    for (const [id, row] of before) {
      if (wanted.has(id)) rows.set(id, row);
      else if (row.contains(document.activeElement)) row.remove(); // the keyboard does not go over to another item
      else leaving.add(row);
    }
    let place = canvas.firstElementChild;
    for (const [id, index] of wanted) {
      let row = rows.get(id);
      if (row === undefined) {
        row = (leaving.has(place) ? place : null) ?? leaving.values().next().value ?? spare.pop() ?? make();
        leaving.delete(row);
        rows.set(id, row);
      }
      if (row === place) place = place.nextElementSibling;
      else canvas.insertBefore(row, place);
      put(row, index);
      fill(row, items.at(index), now);
    }
    for (const row of leaving) {
      row.remove();
      spare.push(row);
    }
    if (spare.length > 50) spare = spare.slice(0, 50);
    focus();
  }

  function setHeight(pixels) {
    const text = `${pixels}px`;
    if (canvas.style.height !== text) canvas.style.height = text;
  }

  function put(row, index) {
    if (row.dataset.index !== String(index)) {
      row.dataset.index = String(index);
      const place = { listitem: "aria-posinset", row: "aria-rowindex" }[row.getAttribute("role")];
      if (place !== undefined) row.setAttribute(place, String(index + 1));
    }
    if (row.hasAttribute("aria-posinset")) setAttribute(row, "aria-setsize", String(items.length));
    const place = `translateY(${index * rowHeight}px)`;
    if (row.style.transform !== place) row.style.transform = place;
  }

  function focus() {
    if (focusAt === null) return;
    const row = canvas.querySelector(`[data-index="${focusAt}"]`);
    if (row === null) return;
    focusAt = null;
    const button = row.getAttribute("role") === "treeitem" ? null : row.querySelector("button:enabled:not([hidden])");
    (button ?? row).focus({ preventScroll: true });
  }

  function toTop() {
    scroller.scrollTop = top = 0;
    changed();
  }

  return { update, toTop, show };
}

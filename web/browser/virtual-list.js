/**
 * A virtual list: only the visible rows exist as elements, however long the list is.
 *
 * Rules:
 *
 * 1. A row stays with its item while the item is visible, so focus and hover stay where they are. After that the row is
 *    reused for another item, if possible without moving it: adding and removing elements is the most expensive part
 *    for the browser.
 * 2. The order of the rows in the document is the order on the screen.
 * 3. The layout is not measured while rows change: sizes come from ResizeObserver, the position from scroll events.
 *
 * Every row has the height `--row` of its list, in pixels. The list is one stop for the tab key. Arrow up and down,
 * Home and End move from row to row; arrow left and right move from button to button, unless the list handles them
 * itself.
 */

import { setAttribute } from "./elements.js";

/** Extra rows above and below the visible ones, so that fast scrolling shows no gap. */
const MARGIN_ROWS = 4;

/**
 * Mount a virtual list on an element.
 * @template Item
 * @param {HTMLElement} scroller the element that scrolls
 * @param {object} options
 * @param {(item: Item) => string|number} options.idOf
 * @param {() => HTMLElement} options.make returns an empty row
 * @param {(row: HTMLElement, item: Item, now: number) => void} options.fill shows an item in a row; called again for
 *   the same item
 * @param {() => void} options.onScroll another part of the list is visible: `update` has to be called soon
 * @param {(item: Item, step: 1|-1, index: number) => number|null} [options.onSideArrow] handles arrow right (1) and
 *   left (-1); returns the index of the row to go to, null to stay
 * @returns {{update: (items: {length: number, at: (i: number) => Item}, now: number) => void, toTop: () => void,
 *   show: (index: number) => void}}
 */
export function mountVirtualList(scroller, { idOf, make, fill, onScroll, onSideArrow }) {
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
  /** The row that gets the focus as soon as it exists, null if none. */
  let focusIndex = null;

  const onResize = () => {
    height = scroller.clientHeight;
    rowHeight = Number.parseFloat(getComputedStyle(scroller).getPropertyValue("--row")) || rowHeight;
    const row = scroller.contains(document.activeElement) ? document.activeElement.closest("[data-index]") : null;
    if (row !== null && height > 0) show(Number(row.dataset.index)); // the row with the focus stays visible
    onScroll();
  };
  new ResizeObserver(onResize).observe(scroller);
  scroller.addEventListener("scroll", () => {
    top = scroller.scrollTop;
    onScroll();
  });
  scroller.addEventListener("keydown", (event) => {
    if (items.length === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const row = event.target.closest("[data-index]");
    const at = row === null ? Math.ceil(top / rowHeight) - 1 : Number(row.dataset.index);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (to !== undefined) show(to);
    else if (step === undefined || row === null) return;
    else if (onSideArrow === undefined) focusNextButton(row, step);
    else {
      const index = onSideArrow(items.at(at), step, at);
      if (index !== null) show(index);
    }
    event.preventDefault();
  });

  /** Scroll to a row and focus it. */
  function show(index) {
    focusIndex = Math.min(items.length - 1, Math.max(0, index));
    const y = focusIndex * rowHeight;
    if (y < scroller.scrollTop) scroller.scrollTop = y;
    else if (y + rowHeight > scroller.scrollTop + height) scroller.scrollTop = y + rowHeight - height;
    top = scroller.scrollTop;
    onScroll();
  }

  function focusNextButton(row, step) {
    const buttons = [...row.querySelectorAll("button:enabled:not([hidden])")];
    const at = buttons.indexOf(document.activeElement);
    (buttons[at + step] ?? buttons[at])?.focus();
  }

  function visibleRange() {
    const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN_ROWS);
    const last = Math.min(items.length, Math.ceil((top + height) / rowHeight) + MARGIN_ROWS);
    return height === 0 ? [0, 0] : [Math.min(first, last), last];
  }

  function update(newItems, now) {
    items = newItems;
    setHeight(items.length * rowHeight);
    const [first, last] = visibleRange();
    const indexes = new Map(); // of the visible items, by id
    for (let i = first; i < last; i++) indexes.set(idOf(items.at(i)), i);
    const before = rows;
    const leaving = new Set();
    rows = new Map();
    for (const [id, row] of before) {
      if (indexes.has(id)) rows.set(id, row);
      // Reusing a row that has the focus would move the focus to another item.
      else if (row.contains(document.activeElement)) row.remove();
      else leaving.add(row);
    }
    let next = canvas.firstElementChild;
    for (const [id, index] of indexes) {
      let row = rows.get(id);
      if (row === undefined) {
        row = (leaving.has(next) ? next : null) ?? leaving.values().next().value ?? spare.pop() ?? make();
        leaving.delete(row);
        rows.set(id, row);
      }
      if (row === next) next = next.nextElementSibling;
      else canvas.insertBefore(row, next);
      placeRow(row, index);
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

  function placeRow(row, index) {
    if (row.dataset.index !== String(index)) {
      row.dataset.index = String(index);
      const attribute = { listitem: "aria-posinset", row: "aria-rowindex" }[row.getAttribute("role")];
      if (attribute !== undefined) row.setAttribute(attribute, String(index + 1));
    }
    if (row.hasAttribute("aria-posinset")) setAttribute(row, "aria-setsize", String(items.length));
    const transform = `translateY(${index * rowHeight}px)`;
    if (row.style.transform !== transform) row.style.transform = transform;
  }

  function focus() {
    if (focusIndex === null) return;
    const row = canvas.querySelector(`[data-index="${focusIndex}"]`);
    if (row === null) return;
    focusIndex = null;
    const button = row.getAttribute("role") === "treeitem" ? null : row.querySelector("button:enabled:not([hidden])");
    (button ?? row).focus({ preventScroll: true });
  }

  function toTop() {
    scroller.scrollTop = top = 0;
    onScroll();
  }

  return { update, toTop, show };
}

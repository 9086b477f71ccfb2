/**
 * A window on a long list: only the rows in view exist, whatever the length of the list.
 *
 * Laws:
 *
 * 1. A row stays with its item while the item is in view, so focus and hover stay where they are.
 * 2. The order of the rows in the document is the order on the screen.
 * 3. Nothing here measures the layout while rows change: sizes come from ResizeObserver, the place from scroll events.
 *
 * Every row has the height `--row` of its list, in pixels. For the keyboard the list is one stop: there the arrows up and
 * down, Home and End go from row to row.
 */

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
 * @returns {{update: (items: Item[], now: number) => void, toTop: () => void}}
 */
export function mountRows(scroller, { idOf, make, fill, changed }) {
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
    changed();
  };
  new ResizeObserver(measure).observe(scroller);
  scroller.addEventListener("scroll", () => {
    top = scroller.scrollTop;
    changed();
  });
  scroller.addEventListener("keydown", (event) => {
    const to = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (to === undefined || items.length === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const row = event.target.closest("[data-index]");
    const at = row === null ? Math.ceil(top / rowHeight) - 1 : Number(row.dataset.index);
    focusAt = Math.min(items.length - 1, Math.max(0, at + to));
    const place = focusAt * rowHeight;
    if (place < scroller.scrollTop) scroller.scrollTop = place;
    else if (place + rowHeight > scroller.scrollTop + height) scroller.scrollTop = place + rowHeight - height;
    top = scroller.scrollTop;
    changed();
  });

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
    for (let i = first; i < last; i++) wanted.set(idOf(items[i]), i);
    const before = rows;
    rows = new Map();
    for (const [id, row] of before) {
      if (wanted.has(id)) rows.set(id, row);
      else {
        row.remove();
        spare.push(row);
      }
    }
    let place = canvas.firstElementChild;
    for (const [id, index] of wanted) {
      const row = rows.get(id) ?? spare.pop() ?? make();
      rows.set(id, row);
      if (row === place) place = place.nextElementSibling;
      else canvas.insertBefore(row, place);
      put(row, index);
      fill(row, items[index], now);
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
      row.setAttribute(row.getAttribute("role") === "listitem" ? "aria-posinset" : "aria-rowindex", String(index + 1));
    }
    const place = `translateY(${index * rowHeight}px)`;
    if (row.style.transform !== place) row.style.transform = place;
  }

  function focus() {
    if (focusAt === null) return;
    const row = canvas.querySelector(`[data-index="${focusAt}"]`);
    if (row === null) return;
    focusAt = null;
    (row.querySelector("button:enabled") ?? row).focus({ preventScroll: true });
  }

  function toTop() {
    scroller.scrollTop = top = 0;
    changed();
  }

  return { update, toTop };
}

/**
 * The keys as a tree. Arrow up and down move from row to row; arrow right opens a folder or enters it, arrow left
 * closes or leaves it.
 */

import { create, setAttribute, setHidden, setText } from "../browser/elements.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { shownTree } from "../model/model.js";
import { formatCount } from "../text/format.js";
import { fillFacts, makeFacts } from "./key-facts.js";

/** Rows deeper than this level are not indented any further. */
const MAX_INDENT_LEVEL = 10;
const INDENT_PX = 18;

/**
 * @param {HTMLElement} tree
 * @param {object} intents
 * @param {(folder: object, open: boolean) => void} intents.toggleFolder
 * @param {(id: string|null) => void} intents.select
 * @param {(record: object) => void} intents.readValue
 * @param {() => void} intents.scheduleRender
 */
export function mountKeyTree(tree, intents) {
  let model = null;
  let items = [];
  const rows = mountVirtualList(tree, {
    idOf: (item) => item.id, make: makeRow, fill, onScroll: intents.scheduleRender, onSideArrow,
  });

  tree.addEventListener("click", (event) => {
    const row = event.target.closest("[data-index]");
    if (row !== null) activate(items.at(Number(row.dataset.index)));
  });
  tree.addEventListener("keydown", (event) => {
    const row = event.target.closest("[data-index]");
    if (row === null || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    activate(items.at(Number(row.dataset.index)));
  });

  function activate(item) {
    if (item === undefined) return;
    if (item.isFolder) intents.toggleFolder(item, item.open !== true);
    else intents.select(item.id === model.ui.selected?.id ? null : item.id);
  }

  /**
   * Open a folder, then go to its first row (right); close it, then go to the row of its parent (left). Return the row
   * to go to.
   */
  function onSideArrow(item, step, index) {
    if (item.isFolder && (item.open === true) !== (step === 1)) {
      intents.toggleFolder(item, step === 1);
      return null;
    }
    if (step === 1) return item.isFolder ? index + 1 : null;
    for (let i = index - 1; i >= 0; i--) if (items.at(i).depth < item.depth) return i;
    return null;
  }

  function makeRow() {
    return create("div", "row columns entry-row", { role: "treeitem", tabindex: "-1" },
      create("span", "c-key", {},
        create("span", "twisty", { "aria-hidden": "true" }), create("span", "key"), create("span", "ns")),
      ...makeFacts(null),
    );
  }

  function fill(row, item, now) {
    const [first, ...facts] = row.children;
    const [twisty, key, ns] = first.children;
    const { isFolder = false } = item;
    const isNamespace = isFolder && item.prefix === null;
    setAttribute(row, "data-key", isFolder ? null : item.key);
    setAttribute(row, "data-rev", isFolder ? null : String(item.rev));
    setAttribute(row, "data-folder", isFolder ? (item.prefix ?? item.ns) : null);
    setAttribute(row, "data-namespace", isNamespace ? "true" : null);
    setAttribute(row, "aria-level", String(item.depth));
    setAttribute(row, "aria-expanded", isFolder ? String(item.open === true) : null);
    const selected = !isFolder && item.id === model.ui.selected?.id;
    setAttribute(row, "aria-selected", isFolder ? null : String(selected));
    setAttribute(row, "data-selected", selected ? "true" : null);
    const inset = `${(Math.min(item.depth, MAX_INDENT_LEVEL) - 1) * INDENT_PX}px`;
    if (row.style.getPropertyValue("--inset") !== inset) row.style.setProperty("--inset", inset);
    setAttribute(twisty, "data-open", isFolder ? String(item.open === true) : null);
    setText(key, nameOf(item));
    setAttribute(key, "title", isFolder ? (item.prefix ?? `namespace ${item.ns}`) : item.key);
    setHidden(ns, !isFolder);
    setText(ns, isFolder ? `${formatCount(item.count)}${isNamespace ? " keys" : ""}` : "");
    for (const cell of facts) setHidden(cell, isFolder);
    if (!isFolder) fillFacts(facts, item, model, now, intents.readValue);
  }

  return {
    toTop: rows.toTop,
    update(model_, now, shown) {
      model = model_;
      items = shown ? shownTree(model) : [];
      rows.update(items, now);
    },
  };
}

/**
 * Return the part of the name that the rows above do not show. A key that equals its folder's name has no such part: it
 * is shown whole.
 */
function nameOf({ isFolder, prefix, ns, key, cut }) {
  if (isFolder) return prefix === null ? ns : prefix.slice(cut);
  return key.slice(cut) || key;
}

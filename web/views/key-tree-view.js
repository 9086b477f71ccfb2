/** The keys as a tree. The arrows up and down go from row to row, those to the sides open and close, or go in and out. */

import { makeElement, setAttribute, setHidden, setText } from "../browser/elements.js";
import { shownTree } from "../model/model.js";
import { formatCount } from "../text/format.js";
import { fillFacts, makeFacts } from "./key-facts.js";
import { mountVirtualList } from "../browser/virtual-list.js";

/** Levels beyond which rows are not set in any further. */
const DEEPEST = 10;

/**
 * @param {HTMLElement} tree
 * @param {object} intents
 * @param {(folder: object, open: boolean) => void} intents.toggleFolder
 * @param {(id: string|null) => void} intents.select
 * @param {(record: object) => void} intents.readValue
 * @param {() => void} intents.look
 */
export function mountKeyTree(tree, intents) {
  let model = null;
  let items = [];
  const rows = mountVirtualList(tree, { idOf: (item) => item.id, make: makeRow, fill, changed: intents.look, aside });

  tree.addEventListener("click", (event) => {
    const row = event.target.closest("[data-index]");
    if (row !== null) act(items.at(Number(row.dataset.index)));
  });
  tree.addEventListener("keydown", (event) => {
    const row = event.target.closest("[data-index]");
    if (row === null || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    act(items.at(Number(row.dataset.index)));
  });

  function act(item) {
    if (item === undefined) return;
    if (item.isFolder) intents.toggleFolder(item, item.open !== true);
    else intents.select(item.id === model.want.selected?.id ? null : item.id);
  }

  /** To the right: open, then in; to the left: close, then out. */
  function aside(item, step, index) {
    if (item.isFolder && (item.open === true) !== (step === 1)) {
      intents.toggleFolder(item, step === 1);
      return null;
    }
    if (step === 1) return item.isFolder ? index + 1 : null;
    for (let i = index - 1; i >= 0; i--) if (items.at(i).depth < item.depth) return i;
    return null;
  }

  function makeRow() {
    return makeElement("div", "row columns entry-row", { role: "treeitem", tabindex: "-1" },
      makeElement("span", "c-key", {},
        makeElement("span", "twisty", { "aria-hidden": "true" }), makeElement("span", "key"), makeElement("span", "ns")),
      ...makeFacts(null),
    );
  }

  function fill(row, item, now) {
    const [first, ...facts] = row.children;
    const [twisty, key, ns] = first.children;
    const { isFolder = false } = item;
    const isSpace = isFolder && item.prefix === null;
    setAttribute(row, "data-key", isFolder ? null : item.key);
    setAttribute(row, "data-rev", isFolder ? null : String(item.rev));
    setAttribute(row, "data-folder", isFolder ? (item.prefix ?? item.ns) : null);
    setAttribute(row, "data-space", isSpace ? "true" : null);
    setAttribute(row, "aria-level", String(item.depth));
    setAttribute(row, "aria-expanded", isFolder ? String(item.open === true) : null);
    const selected = !isFolder && item.id === model.want.selected?.id;
    setAttribute(row, "aria-selected", isFolder ? null : String(selected));
    setAttribute(row, "data-selected", selected ? "true" : null);
    const inset = `${(Math.min(item.depth, DEEPEST) - 1) * 18}px`;
    if (row.style.getPropertyValue("--inset") !== inset) row.style.setProperty("--inset", inset);
    setAttribute(twisty, "data-open", isFolder ? String(item.open === true) : null);
    setText(key, nameOf(item));
    setAttribute(key, "title", isFolder ? (item.prefix ?? `namespace ${item.ns}`) : item.key);
    setHidden(ns, !isFolder);
    setText(ns, isFolder ? `${formatCount(item.count)}${isSpace ? " keys" : ""}` : "");
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

/** What the rows above have not said of it; a key that ends with a separator is its folder's name again. */
function nameOf({ isFolder, prefix, ns, key, cut }) {
  if (isFolder) return prefix === null ? ns : prefix.slice(cut);
  return key.slice(cut) || key;
}

/** The keys: as a tree, as a list, or those with a deadline, next to expire first. */

import { byId, makeElement, setAttribute, setHidden, setText } from "../browser/elements.js";
import { boundText, shownBook, shownKeys, shownView } from "../model/model.js";
import { formatCount, plural } from "../text/format.js";
import { fillFacts, makeFacts } from "./key-facts.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { mountKeyTree } from "./key-tree-view.js";

/** The namespace that goes without saying. */
const USUAL = "default";
/** Milliseconds after the last key press in which the filter is asked for. */
const TYPING = 120;

/**
 * @param {object} intents
 * @param {(text: string) => void} intents.filterKeys
 * @param {(view: string) => void} intents.chooseView
 * @param {(ns: string|null) => void} intents.chooseNamespace
 * @param {(agent: string|null) => void} intents.showKeysOf
 * @param {(id: string|null) => void} intents.select
 * @param {(record: object) => void} intents.readValue
 * @param {() => void} intents.look
 */
export function mountKeys(intents) {
  const list = byId("list");
  const total = byId("keys-count");
  const tab = byId("tab-keys");
  const none = byId("keys-none");
  const begin = byId("begin");
  const table = byId("keys-table");
  const treeTable = byId("keys-tree");
  const input = byId("filter-keys");
  const wrong = byId("filter-keys-wrong");
  const namespace = byId("namespace");
  const chosen = byId("keys-of");
  const bound = byId("keys-bound");
  const ways = [...document.querySelectorAll("[data-keys-as]")];
  const rows = mountVirtualList(list, { idOf: (record) => record.id, make: makeRow, fill, changed: intents.look });
  const tree = mountKeyTree(byId("tree"), intents);
  let model = null;
  let typing = null;

  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => narrow(intents.filterKeys, input.value), TYPING);
  });
  namespace.addEventListener("change", () => narrow(intents.chooseNamespace, namespace.value || null));
  for (const way of ways) way.addEventListener("click", () => narrow(intents.chooseView, way.dataset.keysAs));
  byId("keys-of-all").addEventListener("click", () => narrow(intents.showKeysOf, null));
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-id]");
    if (row !== null) intents.select(row.dataset.id === model.want.selected?.id ? null : row.dataset.id);
  });
  byId("begin-shell").textContent = `${hubElsewhere()}waggle set hello '"world"' --ttl 60`;
  byId("begin-python").textContent =
    `async with waggle.connect("${location.origin}") as hub:\n    await hub.set("hello", "world", ttl=60)`;

  function narrow(intent, what) {
    intent(what);
    rows.toTop();
    tree.toTop();
  }

  function makeRow() {
    return makeElement("div", "row columns entry-row", { role: "row" },
      makeElement("span", "c-key", { role: "cell" }, makeElement("button", "key", { type: "button", tabindex: "-1" }), makeElement("span", "ns")),
      ...makeFacts("cell"),
    );
  }

  function fill(row, record, now) {
    const [first, ...facts] = row.children;
    const [button, ns] = first.children;
    setAttribute(row, "data-id", record.id);
    setAttribute(row, "data-key", record.key);
    setAttribute(row, "data-rev", String(record.rev));
    const selected = record.id === model.want.selected?.id ? "true" : null;
    setAttribute(row, "data-selected", selected);
    setAttribute(button, "aria-current", selected);
    setText(button, record.key);
    setAttribute(button, "title", record.key);
    setHidden(ns, model.want.ns !== null || record.ns === USUAL);
    setText(ns, record.ns);
    fillFacts(facts, record, model, now, intents.readValue);
  }

  return function update(model_, now) {
    model = model_;
    const { want, book } = model;
    const scope = shownBook(model);
    const view = shownView(model);
    const asTree = view === "tree";
    const keys = asTree ? null : shownKeys(model);
    const shown = keys === null ? scope.records.size : keys.length;
    const empty = book.settled && book.records.size === 0;
    setText(total, countText(model, shown));
    setText(tab, formatCount(book.full ? (model.stats?.keys ?? book.records.size) : book.records.size));
    setText(wrong, want.keys.wrong === null ? "" : `Not a pattern yet: ${want.keys.wrong}.`);
    setAttribute(input, "aria-invalid", want.keys.wrong === null ? null : "true");
    for (const way of ways) setAttribute(way, "aria-pressed", String(way.dataset.keysAs === view));
    setHidden(chosen, want.by === null);
    setText(chosen.firstChild, want.by === null ? "" : `Written last by ${want.by}`);
    setHidden(bound, boundText(model) === "");
    setText(bound, boundText(model));
    fillNamespaces(book, want);
    setHidden(begin, !empty);
    setHidden(table, empty || asTree);
    setHidden(treeTable, empty || !asTree);
    setHidden(none, empty || shown > 0 || !scope.settled);
    setText(none, noneText(view, want));
    setAttribute(table, "aria-rowcount", String(shown));
    tree.update(model, now, asTree);
    rows.update(keys ?? [], now);
  };

  function fillNamespaces({ namespaces }, want) {
    const names = [...namespaces.keys()].sort();
    if (want.ns !== null && !namespaces.has(want.ns)) names.push(want.ns);
    const wanted = [["", "all namespaces"], ...names.map((ns) => [ns, `${ns} (${formatCount(namespaces.get(ns) ?? 0)})`])];
    wanted.forEach(([value, text], i) => {
      const option = namespace.options[i] ?? namespace.appendChild(makeElement("option"));
      if (option.value !== value || !option.hasAttribute("value")) option.value = value;
      setText(option, text);
    });
    while (namespace.options.length > wanted.length) namespace.lastChild.remove();
    const value = want.ns ?? "";
    if (namespace.value !== value) namespace.value = value;
  }
}

function countText({ book, want, scoped, next }, shown) {
  const all = book.records.size;
  if (!book.settled) return all === 0 ? "" : `${plural(all, "key")} so far …`;
  if ([scoped, next.scoped].some((scope) => scope?.settled === false)) return `${formatCount(shown)} so far …`;
  return want.ns === null && want.keys.text === "" && shown === all ? formatCount(all) : `${formatCount(shown)} of ${formatCount(all)}`;
}

function noneText(view, want) {
  if (want.by !== null) return "It wrote no key last, or none that matches.";
  if (view === "deadline" && want.keys.text === "") return "No key has a deadline.";
  return "No key matches. Text is found anywhere in a key; * ? [a-z] make it a pattern for the whole key.";
}

/** What a shell must be told where this hub is not at the usual place. */
function hubElsewhere() {
  return location.origin === "http://127.0.0.1:4483" ? "" : `WAGGLE_URL=${location.origin} `;
}

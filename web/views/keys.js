/** The keys: as a tree, as a list, or the ones with a deadline, next to expire first. */

import { byId, create, setAttribute, setHidden, setText } from "../browser/elements.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { boundText, shownKeys, shownKeyStore, shownKeyView } from "../model/model.js";
import { formatCount, plural } from "../text/format.js";
import { DEFAULT_NAMESPACE, fillFacts, makeFacts } from "./key-facts.js";
import { mountKeyTree } from "./key-tree-view.js";

/** Time from the last key press in the filter until the hub is asked: not every letter is worth a command. */
const FILTER_DELAY_MS = 120;

/**
 * @param {object} intents
 * @param {(text: string) => void} intents.filterKeys
 * @param {(view: string) => void} intents.chooseKeyView
 * @param {(ns: string|null) => void} intents.chooseNamespace
 * @param {(agent: string|null) => void} intents.showKeysOf
 * @param {(id: string|null) => void} intents.select
 * @param {(record: object) => void} intents.readValue
 * @param {() => void} intents.scheduleRender
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
  const error = byId("filter-keys-error");
  const namespace = byId("namespace");
  const chosen = byId("keys-of");
  const bound = byId("keys-bound");
  const viewButtons = [...document.querySelectorAll("[data-keys-as]")];
  const rows = mountVirtualList(list, {
    idOf: (record) => record.id, make: makeRow, fill, onScroll: intents.scheduleRender,
  });
  const tree = mountKeyTree(byId("tree"), intents);
  let model = null;
  let typing = null;

  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => choose(intents.filterKeys, input.value), FILTER_DELAY_MS);
  });
  namespace.addEventListener("change", () => choose(intents.chooseNamespace, namespace.value || null));
  for (const button of viewButtons) {
    button.addEventListener("click", () => choose(intents.chooseKeyView, button.dataset.keysAs));
  }
  byId("keys-of-all").addEventListener("click", () => choose(intents.showKeysOf, null));
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-id]");
    if (row !== null) intents.select(row.dataset.id === model.ui.selected?.id ? null : row.dataset.id);
  });
  byId("begin-shell").textContent = `${urlForShell()}waggle set hello '"world"' --ttl 60`;
  byId("begin-python").textContent =
    `async with waggle.connect("${location.origin}") as hub:\n    await hub.set("hello", "world", ttl=60)`;

  /** Change what is shown, and begin at the top again. */
  function choose(intent, choice) {
    intent(choice);
    rows.toTop();
    tree.toTop();
  }

  function makeRow() {
    return create("div", "row columns entry-row", { role: "row" },
      create("span", "c-key", { role: "cell" },
        create("button", "key", { type: "button", tabindex: "-1" }), create("span", "ns")),
      ...makeFacts("cell"),
    );
  }

  function fill(row, record, now) {
    const [first, ...facts] = row.children;
    const [button, ns] = first.children;
    setAttribute(row, "data-id", record.id);
    setAttribute(row, "data-key", record.key);
    setAttribute(row, "data-rev", String(record.rev));
    const selected = record.id === model.ui.selected?.id ? "true" : null;
    setAttribute(row, "data-selected", selected);
    setAttribute(button, "aria-current", selected);
    setText(button, record.key);
    setAttribute(button, "title", record.key);
    setHidden(ns, model.ui.ns !== null || record.ns === DEFAULT_NAMESPACE);
    setText(ns, record.ns);
    fillFacts(facts, record, model, now, intents.readValue);
  }

  return function update(model_, now) {
    model = model_;
    const { ui, keyStore } = model;
    const store = shownKeyStore(model);
    const view = shownKeyView(model);
    const asTree = view === "tree";
    const keys = asTree ? null : shownKeys(model);
    const shown = keys === null ? store.records.size : keys.length;
    const empty = keyStore.settled && keyStore.records.size === 0;
    setText(total, countText(model, shown));
    setText(tab, formatCount(keyStore.full ? (model.stats?.keys ?? keyStore.records.size) : keyStore.records.size));
    setText(error, ui.keyFilter.error === null ? "" : `Not a pattern yet: ${ui.keyFilter.error}.`);
    setAttribute(input, "aria-invalid", ui.keyFilter.error === null ? null : "true");
    for (const button of viewButtons) setAttribute(button, "aria-pressed", String(button.dataset.keysAs === view));
    setHidden(chosen, ui.author === null);
    setText(chosen.firstChild, ui.author === null ? "" : `Last written by ${ui.author}`);
    setHidden(bound, boundText(model) === "");
    setText(bound, boundText(model));
    fillNamespaces(keyStore, ui);
    setHidden(begin, !empty);
    setHidden(table, empty || asTree);
    setHidden(treeTable, empty || !asTree);
    setHidden(none, empty || shown > 0 || !store.settled);
    setText(none, noneText(view, ui));
    setAttribute(table, "aria-rowcount", String(shown));
    tree.update(model, now, asTree);
    rows.update(keys ?? [], now);
  };

  function fillNamespaces({ namespaces }, ui) {
    const names = [...namespaces.keys()].sort();
    if (ui.ns !== null && !namespaces.has(ui.ns)) names.push(ui.ns);
    const textOf = (ns) => `${ns} (${formatCount(namespaces.get(ns) ?? 0)})`;
    const options = [["", "all namespaces"], ...names.map((ns) => [ns, textOf(ns)])];
    options.forEach(([value, text], i) => {
      const option = namespace.options[i] ?? namespace.appendChild(create("option"));
      if (option.value !== value || !option.hasAttribute("value")) option.value = value;
      setText(option, text);
    });
    while (namespace.options.length > options.length) namespace.lastChild.remove();
    const value = ui.ns ?? "";
    if (namespace.value !== value) namespace.value = value;
  }
}

function countText({ keyStore, ui, filteredStore, loading }, shown) {
  const all = keyStore.records.size;
  if (!keyStore.settled) return all === 0 ? "" : `${plural(all, "key")} so far …`;
  const isReading = (store) => store?.settled === false;
  if ([filteredStore, loading.filteredStore].some(isReading)) return `${formatCount(shown)} so far …`;
  const isAll = ui.ns === null && ui.keyFilter.text === "" && shown === all;
  return isAll ? formatCount(all) : `${formatCount(shown)} of ${formatCount(all)}`;
}

function noneText(view, ui) {
  if (ui.author !== null) return "No matching key was last written by this agent.";
  if (view === "deadline" && ui.keyFilter.text === "") return "No key has a deadline.";
  return "No key matches. Text matches anywhere in a key; with * ? or [a-z] it is a pattern for the whole key.";
}

/** Return the setting that a shell needs if this hub has another address than the default. */
function urlForShell() {
  return location.origin === "http://127.0.0.1:4483" ? "" : `WAGGLE_URL=${location.origin} `;
}

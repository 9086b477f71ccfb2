/** The keys, each with a preview of its value and the time to its deadline. */

import { byId, make, setAttribute, setHidden, setText } from "../dom.js";
import { countdown, shownKeys } from "../model.js";
import { count, many } from "../text.js";
import { mountRows } from "./rows.js";

/** The namespace that goes without saying. */
const USUAL = "default";

/**
 * @param {object} intents
 * @param {(text: string) => void} intents.filterKeys
 * @param {(sort: string) => void} intents.sortKeys
 * @param {(ns: string|null) => void} intents.chooseNamespace
 * @param {(id: string|null) => void} intents.select
 * @param {() => void} intents.look
 */
export function mountKeys(intents) {
  const list = byId("keys");
  const total = byId("keys-count");
  const tab = byId("tab-keys");
  const none = byId("keys-none");
  const begin = byId("begin");
  const table = byId("keys-table");
  const input = byId("filter-keys");
  const wrong = byId("filter-keys-wrong");
  const namespace = byId("namespace");
  const sorts = [...document.querySelectorAll("[data-sort]")];
  let selected = null;
  let chosen = null;
  const rows = mountRows(list, { idOf: (entry) => entry.id, make: makeRow, fill, changed: intents.look });

  input.addEventListener("input", () => {
    intents.filterKeys(input.value);
    rows.toTop();
  });
  namespace.addEventListener("change", () => {
    intents.chooseNamespace(namespace.value === "" ? null : namespace.value);
    rows.toTop();
  });
  for (const button of sorts) {
    button.addEventListener("click", () => {
      intents.sortKeys(button.dataset.sort);
      rows.toTop();
    });
  }
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-id]");
    if (row !== null) intents.select(row.dataset.id === selected ? null : row.dataset.id);
  });
  byId("begin-shell").textContent = `${hubElsewhere()}waggle set hello '"world"' --ttl 60`;
  byId("begin-python").textContent =
    `async with waggle.connect("${location.origin}") as hub:\n    await hub.set("hello", "world", ttl=60)`;

  function makeRow() {
    return make("div", "row columns entry-row", { role: "row" },
      make("span", "c-key", { role: "cell" }, make("button", "key", { type: "button", tabindex: "-1" }), make("span", "ns")),
      make("span", "c-value", { role: "cell" }),
      make("span", "c-version", { role: "cell" }),
      make("span", "c-by", { role: "cell" }),
      make("span", "c-deadline countdown", { role: "cell" },
        make("span", "meter", { "aria-hidden": "true" }, make("span", "fill")), make("span", "left")),
    );
  }

  function fill(row, entry, now) {
    const [key, value, version, by, deadline] = row.children;
    const [button, ns] = key.children;
    setAttribute(row, "data-id", entry.id);
    setAttribute(row, "data-key", entry.key);
    setAttribute(row, "data-rev", String(entry.rev));
    setAttribute(button, "aria-current", entry.id === selected ? "true" : null);
    setText(button, entry.key);
    setAttribute(button, "title", entry.key);
    setHidden(ns, chosen !== null || entry.ns === USUAL);
    setText(ns, entry.ns);
    setText(value, entry.preview);
    setText(version, `v${entry.version}`);
    setText(by, entry.by);
    setAttribute(by, "title", entry.by);
    fillCountdown(deadline, deadline.firstChild.firstChild, deadline.lastChild, countdown(entry, now));
  }

  return function update(model, now) {
    const { want, entries } = model;
    const keys = shownKeys(model);
    selected = want.selected?.id ?? null;
    chosen = want.ns;
    const loading = entries.incoming === null ? 0 : entries.incoming.size;
    setText(total, countText(keys.length, entries, loading));
    setText(tab, count(entries.known.size));
    setText(wrong, want.keys.wrong === null ? "" : `Not a pattern yet: ${want.keys.wrong}.`);
    setAttribute(input, "aria-invalid", want.keys.wrong === null ? null : "true");
    for (const button of sorts) setAttribute(button, "aria-pressed", String(button.dataset.sort === want.sort));
    fillNamespaces(model);
    const empty = entries.synced && entries.known.size === 0;
    setHidden(begin, !empty);
    setHidden(table, empty);
    setHidden(none, empty || keys.length > 0 || !entries.synced);
    setText(none, "No key matches. Text is found anywhere in a key; * ? [a-z] make it a pattern for the whole key.");
    setAttribute(table, "aria-rowcount", String(keys.length));
    rows.update(keys, now);
  };

  function fillNamespaces({ namespaces, want }) {
    const names = [...namespaces.keys()].sort();
    if (want.ns !== null && !namespaces.has(want.ns)) names.push(want.ns);
    const wanted = [["", "all namespaces"], ...names.map((ns) => [ns, `${ns} (${count(namespaces.get(ns) ?? 0)})`])];
    wanted.forEach(([value, text], i) => {
      const option = namespace.options[i] ?? namespace.appendChild(make("option"));
      if (option.value !== value || !option.hasAttribute("value")) option.value = value;
      setText(option, text);
    });
    while (namespace.options.length > wanted.length) namespace.lastChild.remove();
    const value = want.ns ?? "";
    if (namespace.value !== value) namespace.value = value;
  }
}

/** Fill a bar and the words beside it; shared with the view of one entry. */
export function fillCountdown(element, bar, words, left) {
  setAttribute(element, "data-tone", left === null ? "none" : left.tone);
  setText(words, left === null ? "no deadline" : left.text);
  const scale = left === null ? "" : `scaleX(${left.part.toFixed(3)})`;
  if (bar.style.transform !== scale) bar.style.transform = scale;
}

function countText(shown, { known, synced }, loading) {
  if (!synced && loading > 0) return `${many(loading, "key")} so far …`;
  if (!synced && known.size === 0) return "";
  return shown === known.size ? count(shown) : `${count(shown)} of ${count(known.size)}`;
}

/** What a shell must be told where this hub is not at the usual place. */
function hubElsewhere() {
  return location.origin === "http://127.0.0.1:4483" ? "" : `WAGGLE_URL=${location.origin} `;
}

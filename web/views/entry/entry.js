/** One entry in full: its metadata, its value, its history, and the editor of its value. */

import { byId, create, setAttribute, setHidden, setText } from "../../browser/elements.js";
import { countdown } from "../../model/model.js";
import { dateTime, formatCount } from "../../text/format.js";
import { fillCountdown } from "../key-facts.js";
import { showTab } from "../tabs.js";
import { mountHistory } from "./history.js";
import { mountValueEditor } from "./value-editor.js";
import { mountValue } from "./value.js";

/** The ways in which an entry ends. */
const GONE = {
  delete: "Deleted",
  expire: "Expired",
  evict: "Evicted because the hub was full",
  absent: "This entry does not exist any more",
};

/**
 * @param {object} intents
 * @param {(id: string|null) => void} intents.select
 * @param {(method: string, ...args: any[]) => void} intents.changeSelected
 * @param {(method: string, ...args: any[]) => void} intents.changeFeed
 * @param {() => void} intents.saveEntry
 * @param {() => void} intents.deleteEntry
 */
export function mountEntry(intents) {
  const panel = byId("entry");
  const title = byId("entry-key");
  const bar = byId("entry-bar");
  const left = byId("entry-left");
  const gone = byId("entry-gone");
  const facts = byId("entry-facts");
  const confirm = byId("entry-confirm");
  const remove = byId("entry-delete");
  const follow = byId("entry-follow");
  const tabs = [...document.querySelectorAll("[data-part]")];
  const parts = { value: mountValue(), history: mountHistory(intents), edit: mountValueEditor(intents) };
  let selected = null;
  let shown = null;

  byId("entry-close").addEventListener("click", () => intents.select(null));
  panel.addEventListener("keydown", onEscape);
  byId("keys").addEventListener("keydown", onEscape);
  for (const tab of tabs) tab.addEventListener("click", () => intents.changeSelected("show", tab.dataset.part));
  remove.addEventListener("click", () => intents.changeSelected("askToDelete"));
  byId("entry-delete-confirm").addEventListener("click", () => intents.deleteEntry());
  byId("entry-delete-cancel").addEventListener("click", () => intents.changeSelected("cancelDelete"));
  follow.addEventListener("click", () => {
    const on = follow.getAttribute("aria-pressed") === "true";
    intents.changeFeed("follow", on ? null : { ns: selected.ns, key: selected.key });
    if (!on) showTab("events");
  });

  /** Cancel a deletion, or else close the entry. Escape never discards a draft. */
  function onEscape(event) {
    if (event.key !== "Escape" || selected === null || selected.draft !== null) return;
    if (selected.deleting !== null) intents.changeSelected("cancelDelete");
    else intents.select(null);
  }

  return function update(model, now) {
    if (selected?.id !== model.ui.selected?.id) shown = null;
    ({ selected } = model.ui);
    setHidden(panel, selected === null);
    if (selected === null) return;
    const { entry, tab, deleting } = selected;
    const exists = entry !== null && selected.gone === null;
    setText(title, selected.key);
    setAttribute(panel, "data-gone", String(selected.gone !== null));
    setAttribute(panel, "data-tab", tab);
    setHidden(gone, selected.gone === null && selected.error === null);
    setText(gone, goneText(selected));
    setHidden(left.parentElement, !exists);
    if (exists) fillCountdown(left.parentElement, bar, left, countdown(timesOf(entry, model), now));
    for (const button of tabs) setAttribute(button, "aria-pressed", String(button.dataset.part === tab));
    const followed = model.feed.followed;
    const isFollowed = followed?.key === selected.key && followed.ns === selected.ns;
    setAttribute(follow, "aria-pressed", String(isFollowed));
    setText(follow, isFollowed ? "Following" : "Follow");
    setHidden(remove, !exists || deleting !== null);
    const wasAsked = !confirm.hidden;
    setHidden(confirm, deleting === null);
    if (deleting !== null) {
      const question = `Delete version ${formatCount(entry.version)} of this entry?`;
      setText(byId("entry-confirm-text"), deleting.error ?? question);
      if (!wasAsked) byId("entry-delete-cancel").focus();
    }
    if (entry !== shown) {
      shown = entry;
      facts.replaceChildren(...(entry === null ? [] : factsOf(entry)));
    }
    for (const [name, part] of Object.entries(parts)) {
      setHidden(byId(`part-${name}`), name !== tab);
      if (name === tab) part(selected);
    }
  };
}

/**
 * Return the entry's deadline. After a `touch` the list of keys has the new deadline before the entry is read again.
 */
function timesOf(entry, { keyStore }) {
  const known = keyStore.records.get(`${entry.ns}\n${entry.key}`);
  return known?.rev === entry.rev ? known : { expiresAt: entry.expires_at, since: entry.updated_at };
}

function goneText({ gone, error }) {
  if (error !== null) return `The hub did not answer: ${error}`;
  if (gone === null) return "";
  if (gone.rev === null) return `${GONE[gone.how]}.`;
  return `${GONE[gone.how]} at revision ${formatCount(gone.rev)}. The last value is shown.`;
}

function factsOf(entry) {
  const facts = [
    ["namespace", entry.ns],
    ["version", formatCount(entry.version)],
    ["by", entry.by],
    ["kind", entry.kind],
    ["updated", dateTime(entry.updated_at)],
    ["created", dateTime(entry.created_at)],
    ["deadline", entry.expires_at === null ? "none" : dateTime(entry.expires_at)],
    ["revision", formatCount(entry.rev)],
  ];
  if (entry.meta !== null && entry.meta !== undefined) facts.push(["meta", JSON.stringify(entry.meta)]);
  return facts.map(([name, text]) => {
    const description = create("dd");
    setText(description, text);
    return create("div", "", {}, create("dt", "", {}, name), description);
  });
}

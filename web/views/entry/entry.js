/** One entry in full: all that is known of it, its value, its history, and a draft of another value. */

import { byId, makeElement, setAttribute, setHidden, setText } from "../../browser/elements.js";
import { countdown } from "../../model/model.js";
import { dateTime, formatCount } from "../../text/format.js";
import { mountValueEditor } from "./value-editor.js";
import { mountHistory } from "./history.js";
import { fillCountdown } from "../key-facts.js";
import { showTab } from "../tabs.js";
import { mountValue } from "./value.js";

const GONE = {
  delete: "Deleted",
  expire: "Expired",
  evict: "Evicted, since the hub was full",
  absent: "No longer there",
};

/**
 * @param {object} intents
 * @param {(id: string|null) => void} intents.select
 * @param {(verb: string, ...args: any[]) => void} intents.ofSelected
 * @param {(verb: string, ...args: any[]) => void} intents.ofEvents
 * @param {() => void} intents.save
 * @param {() => void} intents.remove
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
  panel.addEventListener("keydown", escape);
  byId("keys").addEventListener("keydown", escape);
  for (const tab of tabs) tab.addEventListener("click", () => intents.ofSelected("show", tab.dataset.part));
  remove.addEventListener("click", () => intents.ofSelected("askToDelete"));
  byId("entry-delete-yes").addEventListener("click", () => intents.remove());
  byId("entry-delete-no").addEventListener("click", () => intents.ofSelected("keep"));
  follow.addEventListener("click", () => {
    const on = follow.getAttribute("aria-pressed") === "true";
    intents.ofEvents("follow", on ? null : { ns: selected.ns, key: selected.key });
    if (!on) showTab("events");
  });

  /** Out of what was begun, and then out of the entry; a draft is not thrown away by one key. */
  function escape(event) {
    if (event.key !== "Escape" || selected === null || selected.draft !== null) return;
    if (selected.deleting !== null) intents.ofSelected("keep");
    else intents.select(null);
  }

  return function update(model, now) {
    if (selected?.id !== model.want.selected?.id) shown = null;
    ({ selected } = model.want);
    setHidden(panel, selected === null);
    if (selected === null) return;
    const { entry, tab, deleting } = selected;
    const there = entry !== null && selected.gone === null;
    setText(title, selected.key);
    setAttribute(panel, "data-gone", String(selected.gone !== null));
    setAttribute(panel, "data-tab", tab);
    setHidden(gone, selected.gone === null && selected.error === null);
    setText(gone, goneText(selected));
    setHidden(left.parentElement, !there);
    if (there) fillCountdown(left.parentElement, bar, left, countdown(timesOf(entry, model), now));
    for (const button of tabs) setAttribute(button, "aria-pressed", String(button.dataset.part === tab));
    const followed = model.feed.followed;
    const isFollowed = followed?.key === selected.key && followed.ns === selected.ns;
    setAttribute(follow, "aria-pressed", String(isFollowed));
    setText(follow, isFollowed ? "Following" : "Follow");
    setHidden(remove, !there || deleting !== null);
    const asked = !confirm.hidden;
    setHidden(confirm, deleting === null);
    if (deleting !== null) {
      setText(byId("entry-confirm-text"), deleting.wrong ?? `Delete version ${formatCount(entry.version)} of this entry?`);
      if (!asked) byId("entry-delete-no").focus();
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

/** Its deadline: the list of keys hears of one that was moved before the value is read again. */
function timesOf(entry, { book }) {
  const known = book.records.get(`${entry.ns}\n${entry.key}`);
  return known?.rev === entry.rev ? known : { expiresAt: entry.expires_at, since: entry.updated_at };
}

function goneText({ gone, error }) {
  if (error !== null) return `The hub did not tell: ${error}`;
  if (gone === null) return "";
  return gone.rev === null ? `${GONE[gone.how]}.` : `${GONE[gone.how]} at revision ${formatCount(gone.rev)}. This is what it was.`;
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
    const said = makeElement("dd");
    setText(said, text);
    return makeElement("div", "", {}, makeElement("dt", "", {}, name), said);
  });
}

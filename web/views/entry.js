/** One entry in full: its value, and all that is known of it. */

import { byId, make, setAttribute, setHidden, setText } from "../dom.js";
import { countdown } from "../model.js";
import { count, dateTime, pretty } from "../text.js";
import { fillCountdown } from "./keys.js";

const GONE = {
  delete: "Deleted",
  expire: "Expired",
  evict: "Evicted, since the hub was full",
  absent: "No longer there",
};

/** @param {{select: (id: string|null) => void}} intents */
export function mountEntry(intents) {
  const panel = byId("entry");
  const title = byId("entry-key");
  const bar = byId("entry-bar");
  const left = byId("entry-left");
  const gone = byId("entry-gone");
  const facts = byId("entry-facts");
  const value = byId("entry-value");
  let shown = null;

  byId("entry-close").addEventListener("click", () => intents.select(null));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) intents.select(null);
  });

  return function update(model, now) {
    const { selected } = model.want;
    setHidden(panel, selected === null);
    if (selected === null) return;
    const { entry } = selected;
    const known = model.entries.known.get(selected.id);
    setText(title, selected.key);
    setAttribute(panel, "data-gone", String(selected.gone !== null));
    setHidden(gone, selected.gone === null && selected.error === null);
    setText(gone, goneText(selected));
    fillCountdown(left.parentElement, bar, left, known === undefined ? null : countdown(known, now));
    setHidden(left.parentElement, known === undefined);
    if (entry !== shown) {
      shown = entry;
      setText(value, entry === null ? "" : pretty(entry.value));
      facts.replaceChildren(...(entry === null ? [] : factsOf(entry)));
    }
  };
}

function goneText({ gone, error }) {
  if (error !== null) return `The hub did not tell its value: ${error}`;
  if (gone === null) return "";
  return gone.rev === null ? `${GONE[gone.how]}.` : `${GONE[gone.how]} at revision ${count(gone.rev)}. This is what it was.`;
}

function factsOf(entry) {
  const facts = [
    ["namespace", entry.ns],
    ["revision", count(entry.rev)],
    ["version", count(entry.version)],
    ["kind", entry.kind],
    ["by", entry.by],
    ["created", dateTime(entry.created_at)],
    ["updated", dateTime(entry.updated_at)],
    ["deadline", entry.expires_at === null ? "none" : dateTime(entry.expires_at)],
  ];
  if (entry.meta !== null && entry.meta !== undefined) facts.push(["meta", JSON.stringify(entry.meta)]);
  return facts.map(([name, text]) => make("div", "", {}, make("dt", "", {}, name), make("dd", "", {}, text)));
}

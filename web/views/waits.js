/** The commands that wait: who waits for what, since when, for how long, and what of it is met. */

import { byId, makeElement, setAttribute, setHidden, setText } from "../browser/elements.js";
import { claimCountdown, cutText, shownWaits } from "../model/model.js";
import { elapsed, formatCount } from "../text/format.js";
import { waitText } from "../model/wait-rows.js";
import { mountAgentFilter } from "./agent-filter.js";
import { fillCountdown } from "./key-facts.js";
import { mountVirtualList } from "../browser/virtual-list.js";

/**
 * @param {object} intents
 * @param {(agent: string|null) => void} intents.concern
 * @param {() => void} intents.look
 */
export function mountWaits(intents) {
  const list = byId("waits");
  const table = byId("waits-table");
  const total = byId("waits-count");
  const tab = byId("tab-waits");
  const none = byId("waits-none");
  const cut = byId("waits-cut");
  const concerned = mountAgentFilter(table.parentElement, intents);
  const rows = mountVirtualList(list, { idOf: (row) => row.id, make: makeRow, fill, changed: intents.look });

  function makeRow() {
    const cell = (name, ...children) => makeElement("span", name, { role: "cell" }, ...children);
    return makeElement("div", "row claim waiting", { role: "row", tabindex: "-1" },
      cell("c-who"),
      cell("c-what", makeElement("span", "mark"), makeElement("span", "what")),
      cell("c-age"),
      cell("c-deadline countdown", makeElement("span", "meter", { "aria-hidden": "true" }, makeElement("span", "fill")), makeElement("span", "left")),
    );
  }

  function fill(row, { wait, part }, now) {
    const [who, what, age, deadline] = row.children;
    const [mark, words] = what.children;
    const text = part === null ? waitText(wait) : part.text;
    setAttribute(row, "data-agent", wait.agent);
    setAttribute(row, "data-op", wait.op);
    setAttribute(row, "data-met", part === null || part.met === null ? null : String(part.met));
    setAttribute(row, "data-part", part === null ? null : "true");
    setText(who, part === null ? wait.agent : "");
    setAttribute(who, "title", part === null ? `${wait.agent}, session ${wait.session}` : null);
    setHidden(mark, part === null || part.met === null);
    setText(mark, part?.met ? "met" : "not yet");
    setText(words, text);
    setAttribute(words, "title", text);
    setText(age, part === null ? elapsed(Math.max(0, now - wait.since)) : "");
    const left = part === null ? claimCountdown(wait, now) : null;
    fillCountdown(deadline, deadline.firstChild.firstChild, deadline.lastChild, left);
    if (left === null) setText(deadline.lastChild, part === null ? "never" : "");
  }

  return function update(model, now) {
    const { inspected, want } = model;
    const { waits } = inspected.seen;
    setText(tab, waits.length === 0 ? "" : formatCount(waits.length));
    if (want.place !== "waits") return;
    const shown = shownWaits(model);
    const commands = shown.filter((row) => row.part === null).length;
    setText(total, totalText(inspected.seen, commands));
    concerned(model);
    setHidden(cut, cutText(model, "waits") === "");
    setText(cut, cutText(model, "waits"));
    setHidden(none, inspected.seen.rev === 0 || shown.length > 0);
    setText(none, waits.length === 0 ? "Nobody waits." : "No wait concerns it.");
    setHidden(table, shown.length === 0);
    setAttribute(table, "aria-rowcount", String(shown.length));
    rows.update(shown, now);
  };
}

function totalText({ rev, waits }, shown) {
  if (rev === 0) return "";
  return shown === waits.length ? formatCount(shown) : `${formatCount(shown)} of ${formatCount(waits.length)}`;
}

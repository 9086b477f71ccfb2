/** The commands that wait: the agent, what it waits for, its age, its deadline, and which conditions are met. */

import { byId, create, setAttribute, setHidden, setText } from "../browser/elements.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { cutText, shownWaits, waitCountdown } from "../model/model.js";
import { waitText } from "../model/wait-rows.js";
import { elapsed, formatCount } from "../text/format.js";
import { mountAgentFilter } from "./agent-filter.js";
import { fillCountdown, makeCountdown } from "./key-facts.js";

/**
 * @param {object} intents
 * @param {(agent: string|null) => void} intents.focusAgent
 * @param {() => void} intents.scheduleRender
 */
export function mountWaits(intents) {
  const list = byId("waits");
  const table = byId("waits-table");
  const total = byId("waits-count");
  const tab = byId("tab-waits");
  const none = byId("waits-none");
  const cut = byId("waits-cut");
  const updateAgentFilter = mountAgentFilter(table.parentElement, intents);
  const rows = mountVirtualList(list, {
    idOf: (row) => row.id, make: makeRow, fill, onScroll: intents.scheduleRender,
  });

  function makeRow() {
    const cell = (name, ...children) => create("span", name, { role: "cell" }, ...children);
    return create("div", "row request waiting", { role: "row", tabindex: "-1" },
      cell("c-agent"),
      cell("c-what", create("span", "mark"), create("span", "what")),
      cell("c-age"),
      cell("c-deadline countdown", ...makeCountdown()),
    );
  }

  function fill(row, { wait, part }, now) {
    const [agent, what, age, deadline] = row.children;
    const [mark, words] = what.children;
    const text = part === null ? waitText(wait) : part.text;
    setAttribute(row, "data-agent", wait.agent);
    setAttribute(row, "data-op", wait.op);
    setAttribute(row, "data-met", part === null || part.met === null ? null : String(part.met));
    setAttribute(row, "data-part", part === null ? null : "true");
    setText(agent, part === null ? wait.agent : "");
    setAttribute(agent, "title", part === null ? `${wait.agent}, session ${wait.session}` : null);
    setHidden(mark, part === null || part.met === null);
    setText(mark, part?.met ? "met" : "not yet");
    setText(words, text);
    setAttribute(words, "title", text);
    setText(age, part === null ? elapsed(Math.max(0, now - wait.since)) : "");
    const left = part === null ? waitCountdown(wait, now) : null;
    fillCountdown(deadline, deadline.firstChild.firstChild, deadline.lastChild, left);
    if (part !== null) setText(deadline.lastChild, "");
  }

  return function update(model, now) {
    const { inspection, ui } = model;
    const { waits } = inspection.latest;
    setText(tab, waits.length === 0 ? "" : formatCount(waits.length));
    if (ui.section !== "waits") return;
    const shown = shownWaits(model);
    const commands = shown.filter((row) => row.part === null).length;
    setText(total, totalText(inspection.latest, commands));
    updateAgentFilter(model);
    setHidden(cut, cutText(model, "waits") === "");
    setText(cut, cutText(model, "waits"));
    setHidden(none, inspection.latest.rev === 0 || shown.length > 0);
    setText(none, waits.length === 0 ? "No command waits." : "No command waits for this agent or is one of its own.");
    setHidden(table, shown.length === 0);
    setAttribute(table, "aria-rowcount", String(shown.length));
    rows.update(shown, now);
  };
}

function totalText({ rev, waits }, shown) {
  if (rev === 0) return "";
  return shown === waits.length ? formatCount(shown) : `${formatCount(shown)} of ${formatCount(waits.length)}`;
}

/** The locks: the holder of each, its token, its age and its deadline, and its queue, in order. */

import { byId, create, setAttribute, setHidden, setText } from "../browser/elements.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { alsoRequested } from "../model/lock-rows.js";
import { targetsOf, targetText } from "../model/lock-targets.js";
import { cutText, releasedText, shownLocks, waitCountdown } from "../model/model.js";
import { elapsed, formatCount, shortRev } from "../text/format.js";
import { mountAgentFilter } from "./agent-filter.js";
import { DEFAULT_NAMESPACE, fillCountdown, makeCountdown } from "./key-facts.js";
import { showTab } from "./tabs.js";

/**
 * @param {object} intents
 * @param {(text: string) => void} intents.filterLocks
 * @param {(agent: string|null) => void} intents.focusAgent
 * @param {(token: number) => void} intents.askToRelease
 * @param {(method: string, ...args: any[]) => void} intents.changeFeed
 * @param {() => void} intents.scheduleRender
 */
export function mountLocks(intents) {
  const list = byId("locks");
  const table = byId("locks-table");
  const total = byId("locks-count");
  const tab = byId("tab-locks");
  const none = byId("locks-none");
  const input = byId("filter-locks");
  const error = byId("filter-locks-error");
  const cut = byId("locks-cut");
  const outcome = byId("released");
  const updateAgentFilter = mountAgentFilter(table.parentElement, intents);
  const rows = mountVirtualList(list, {
    idOf: (row) => row.id, make: makeRow, fill, onScroll: intents.scheduleRender,
  });
  let model = null;

  input.addEventListener("input", () => {
    intents.filterLocks(input.value);
    rows.toTop();
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    const token = Number(button.closest("[data-token]").dataset.token);
    const lock = model.inspection.lock(token);
    if (button.classList.contains("releases")) intents.askToRelease(token);
    else if (lock !== null) follow(lock, button.getAttribute("aria-pressed") === "true");
  });

  function follow(lock, on) {
    intents.changeFeed("follow", on ? null : { ns: lock.ns, lock: targetsOf(lock) });
    if (!on) showTab("events");
  }

  function makeRow() {
    const cell = (name, ...children) => create("span", name, { role: "cell" }, ...children);
    return create("div", "row request", { role: "row" },
      cell("c-key", create("span", "place"), create("span", "name"),
        create("span", "mode", {}, "shared"), create("span", "ns")),
      cell("c-agent"),
      cell("c-age"),
      cell("c-token"),
      cell("c-deadline countdown", ...makeCountdown()),
      cell("c-actions",
        create("button", "small follows", { type: "button", tabindex: "-1" }, "follow"),
        create("button", "small releases", { type: "button", tabindex: "-1" }, "release …")),
    );
  }

  function fill(row, { lock, waiter, place, until }, now) {
    const [first, agent, age, token, deadline, actions] = row.children;
    const [ordinal, name, mode, ns] = first.children;
    const [follows, releases] = actions.children;
    const request = waiter ?? lock;
    const text = waiter === null ? targetText(lock) : waiterText(lock, waiter);
    setAttribute(row, "data-token", String(lock.token));
    setAttribute(row, "data-waiter", waiter === null ? null : waiter.agent);
    setHidden(ordinal, waiter === null);
    setText(ordinal, waiter === null ? "" : `${formatCount(place)}.`);
    setText(name, text);
    setAttribute(name, "title", text);
    setHidden(mode, request.mode !== "shared");
    setHidden(ns, waiter !== null || lock.ns === DEFAULT_NAMESPACE);
    setText(ns, lock.ns);
    setText(agent, request.agent);
    setAttribute(agent, "title", `${request.agent}, session ${request.session}`);
    setText(age, elapsed(Math.max(0, now - request.since)));
    setText(token, waiter === null ? shortRev(lock.token) : "");
    setAttribute(token, "title", waiter === null ? `token ${lock.token}` : null);
    const left = waitCountdown({ since: request.since, until: waiter === null ? lock.expires_at : until }, now);
    fillCountdown(deadline, deadline.firstChild.firstChild, deadline.lastChild, left);
    for (const button of [follows, releases]) setHidden(button, waiter !== null);
    if (waiter !== null) return;
    setAttribute(follows, "aria-label", `follow the lock ${text}`);
    setAttribute(follows, "aria-pressed", String(isFollowed(lock)));
    setAttribute(releases, "aria-label", `release the lock ${text} that ${lock.agent} holds`);
  }

  function isFollowed({ ns, ...lock }) {
    const { followed } = model.feed;
    if (followed?.lock === undefined || followed.ns !== ns) return false;
    return followed.lock.join("\n") === targetsOf(lock).join("\n");
  }

  return function update(model_, now) {
    model = model_;
    const { inspection, ui } = model;
    const { locks } = inspection.latest;
    setText(tab, locks.length === 0 ? "" : formatCount(locks.length));
    if (ui.section !== "locks") return;
    const shown = shownLocks(model);
    const held = shown.filter((row) => row.waiter === null).length;
    setText(total, totalText(inspection, held, shown.length - held));
    setText(error, ui.lockFilter.error === null ? "" : `Not a pattern yet: ${ui.lockFilter.error}.`);
    setAttribute(input, "aria-invalid", ui.lockFilter.error === null ? null : "true");
    if (input.value !== ui.lockFilter.text && document.activeElement !== input) input.value = ui.lockFilter.text;
    updateAgentFilter(model);
    setHidden(cut, cutText(model, "locks") === "");
    setText(cut, cutText(model, "locks"));
    setText(outcome, releasedText(model, now));
    setHidden(none, inspection.latest.rev === 0 || shown.length > 0);
    setText(none, locks.length === 0 ? "No lock is held." : "No lock matches.");
    setHidden(table, shown.length === 0);
    setAttribute(table, "aria-rowcount", String(shown.length));
    rows.update(shown, now);
  };
}

function waiterText(lock, waiter) {
  const also = alsoRequested(lock, waiter);
  return also === "" ? "waits" : `waits, and for ${also}`;
}

function totalText({ latest }, held, waiting) {
  if (latest.rev === 0) return "";
  const total = latest.locks.length;
  const all = held === total ? formatCount(held) : `${formatCount(held)} of ${formatCount(total)}`;
  return waiting === 0 ? all : `${all}, ${formatCount(waiting)} waiting`;
}

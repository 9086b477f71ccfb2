/** The locks: who holds each, by which token, since when and for how long, and who waits for it, in order. */

import { targetsOf, targetText } from "../model/lock-targets.js";
import { byId, makeElement, setAttribute, setHidden, setText } from "../browser/elements.js";
import { alsoWanted } from "../model/lock-rows.js";
import { claimCountdown, cutText, releasedText, shownLocks } from "../model/model.js";
import { elapsed, formatCount, plural, shortRev } from "../text/format.js";
import { mountAgentFilter } from "./agent-filter.js";
import { fillCountdown } from "./key-facts.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { showTab } from "./tabs.js";

/** The namespace that goes without saying. */
const USUAL = "default";

/**
 * @param {object} intents
 * @param {(text: string) => void} intents.filterLocks
 * @param {(agent: string|null) => void} intents.concern
 * @param {(token: number) => void} intents.askToRelease
 * @param {(verb: string, ...args: any[]) => void} intents.ofEvents
 * @param {() => void} intents.look
 */
export function mountLocks(intents) {
  const list = byId("locks");
  const table = byId("locks-table");
  const total = byId("locks-count");
  const tab = byId("tab-locks");
  const none = byId("locks-none");
  const input = byId("filter-locks");
  const wrong = byId("filter-locks-wrong");
  const cut = byId("locks-cut");
  const outcome = byId("released");
  const concerned = mountAgentFilter(table.parentElement, intents);
  const rows = mountVirtualList(list, { idOf: (row) => row.id, make: makeRow, fill, changed: intents.look });
  let model = null;

  input.addEventListener("input", () => {
    intents.filterLocks(input.value);
    rows.toTop();
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    const token = Number(button.closest("[data-token]").dataset.token);
    const lock = model.inspected.lock(token);
    if (button.classList.contains("releases")) intents.askToRelease(token);
    else if (lock !== null) follow(lock, button.getAttribute("aria-pressed") === "true");
  });

  function follow(lock, on) {
    intents.ofEvents("follow", on ? null : { ns: lock.ns, lock: targetsOf(lock) });
    if (!on) showTab("events");
  }

  function makeRow() {
    const cell = (name, ...children) => makeElement("span", name, { role: "cell" }, ...children);
    return makeElement("div", "row claim", { role: "row" },
      cell("c-key", makeElement("span", "place"), makeElement("span", "name"), makeElement("span", "mode", {}, "shared"), makeElement("span", "ns")),
      cell("c-who"),
      cell("c-age"),
      cell("c-token"),
      cell("c-deadline countdown", makeElement("span", "meter", { "aria-hidden": "true" }, makeElement("span", "fill")), makeElement("span", "left")),
      cell("c-do",
        makeElement("button", "small follows", { type: "button", tabindex: "-1" }, "follow"),
        makeElement("button", "small releases", { type: "button", tabindex: "-1" }, "release …")),
    );
  }

  function fill(row, { lock, waiter, place, until }, now) {
    const [first, who, age, token, deadline, actions] = row.children;
    const [ordinal, name, mode, ns] = first.children;
    const [follows, releases] = actions.children;
    const claim = waiter ?? lock;
    const text = waiter === null ? targetText(lock) : waiterText(lock, waiter);
    setAttribute(row, "data-token", String(lock.token));
    setAttribute(row, "data-waiter", waiter === null ? null : waiter.agent);
    setHidden(ordinal, waiter === null);
    setText(ordinal, waiter === null ? "" : `${formatCount(place)}.`);
    setText(name, text);
    setAttribute(name, "title", text);
    setHidden(mode, claim.mode !== "shared");
    setHidden(ns, waiter !== null || lock.ns === USUAL);
    setText(ns, lock.ns);
    setText(who, claim.agent);
    setAttribute(who, "title", `${claim.agent}, session ${claim.session}`);
    setText(age, elapsed(Math.max(0, now - claim.since)));
    setText(token, waiter === null ? shortRev(lock.token) : "");
    setAttribute(token, "title", waiter === null ? `token ${lock.token}` : null);
    const left = claimCountdown({ since: claim.since, until: waiter === null ? lock.expires_at : until }, now);
    fillCountdown(deadline, deadline.firstChild.firstChild, deadline.lastChild, left);
    if (left === null) setText(deadline.lastChild, "waits on");
    for (const button of [follows, releases]) setHidden(button, waiter !== null);
    if (waiter !== null) return;
    setAttribute(follows, "aria-label", `follow the lock ${text}`);
    setAttribute(follows, "aria-pressed", String(isFollowed(lock)));
    setAttribute(releases, "aria-label", `release the lock ${text} that ${lock.agent} holds`);
  }

  function isFollowed({ ns, ...lock }) {
    const { followed } = model.feed;
    return followed?.lock !== undefined && followed.ns === ns && followed.lock.join("\n") === targetsOf(lock).join("\n");
  }

  return function update(model_, now) {
    model = model_;
    const { inspected, want } = model;
    const { locks } = inspected.seen;
    setText(tab, locks.length === 0 ? "" : formatCount(locks.length));
    if (want.place !== "locks") return;
    const shown = shownLocks(model);
    const held = shown.filter((row) => row.waiter === null).length;
    setText(total, totalText(inspected, held, shown.length - held));
    setText(wrong, want.locks.wrong === null ? "" : `Not a pattern yet: ${want.locks.wrong}.`);
    setAttribute(input, "aria-invalid", want.locks.wrong === null ? null : "true");
    if (input.value !== want.locks.text && document.activeElement !== input) input.value = want.locks.text;
    concerned(model);
    setHidden(cut, cutText(model, "locks") === "");
    setText(cut, cutText(model, "locks"));
    setText(outcome, releasedText(model, now));
    setHidden(none, inspected.seen.rev === 0 || shown.length > 0);
    setText(none, locks.length === 0 ? "No lock is held." : "No lock that is held matches.");
    setHidden(table, shown.length === 0);
    setAttribute(table, "aria-rowcount", String(shown.length));
    rows.update(shown, now);
  };
}

function waiterText(lock, waiter) {
  const also = alsoWanted(lock, waiter);
  return also === "" ? "waits" : `waits, and for ${also}`;
}

function totalText({ seen }, held, waiting) {
  if (seen.rev === 0) return "";
  const all = held === seen.locks.length ? formatCount(held) : `${formatCount(held)} of ${formatCount(seen.locks.length)}`;
  return waiting === 0 ? all : `${all}, ${plural(waiting, "waits", "wait")} for them`;
}

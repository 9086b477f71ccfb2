/** What happened, newest first. Scrolling down or pressing Pause holds the view; events go on being counted. */

import { byId, make, setAttribute, setHidden, setText } from "../dom.js";
import { eventsSincePause, idOf, noteText, shownEvents, TYPES } from "../model.js";
import { brief, count, many, shortRev, timeOfDay } from "../text.js";
import { mountRows } from "./rows.js";

/**
 * @param {object} intents
 * @param {(text: string) => void} intents.filterEvents
 * @param {(type: string) => void} intents.toggleType
 * @param {(paused: boolean) => void} intents.pauseEvents
 * @param {(id: string) => void} intents.select
 * @param {() => void} intents.look
 */
export function mountEvents(intents) {
  const list = byId("events");
  const total = byId("events-count");
  const none = byId("events-none");
  const input = byId("filter-events");
  const wrong = byId("filter-events-wrong");
  const pause = byId("pause");
  const newer = byId("newer");
  const chips = TYPES.map((type) => make("button", "chip", { type: "button", "data-type": type }, type));
  const rows = mountRows(list, { idOf: (event) => event.seq, make: makeRow, fill, changed: intents.look });
  let paused = false;

  byId("types").append(...chips);
  byId("types").addEventListener("click", (event) => {
    const chip = event.target.closest("[data-type]");
    if (chip !== null) intents.toggleType(chip.dataset.type);
  });
  input.addEventListener("input", () => intents.filterEvents(input.value));
  pause.addEventListener("click", () => (paused ? goOn() : intents.pauseEvents(true)));
  newer.addEventListener("click", goOn);
  list.addEventListener("scroll", () => {
    if (list.scrollTop > 8) intents.pauseEvents(true);
  });
  list.addEventListener("click", (event) => {
    const id = event.target.closest("button")?.dataset.entry;
    if (id !== undefined) intents.select(id);
  });

  function goOn() {
    rows.toTop();
    intents.pauseEvents(false);
  }

  function makeRow() {
    return make("div", "row event", { role: "listitem", tabindex: "-1" },
      make("span", "chip"),
      make("button", "key", { type: "button", tabindex: "-1" }),
      make("span", "rev"),
      make("span", "more"),
    );
  }

  function fill(row, event) {
    const [chip, key, rev, more] = row.children;
    const { type } = event;
    const isEntry = type !== "connection" && type !== "agent" && type !== "message";
    setAttribute(row, "data-type", type);
    setAttribute(row, "data-rev", event.rev === undefined ? null : String(event.rev));
    setAttribute(row, "data-key", event.key ?? null);
    setText(chip, type);
    setAttribute(chip, "data-type", type);
    const name = type === "connection" ? noteText(event.note, event.at) : event.key;
    setText(key, name);
    setAttribute(key, "title", name);
    setAttribute(key, "data-entry", isEntry ? idOf(event.ns, event.key) : null);
    if (key.disabled === isEntry) key.disabled = !isEntry;
    setText(rev, event.rev === undefined ? "" : shortRev(event.rev));
    setAttribute(rev, "title", event.rev === undefined ? null : `revision ${count(event.rev)}`);
    setText(more, moreText(event));
  }

  return function update(model, now) {
    const { want } = model;
    const events = shownEvents(model);
    const waiting = eventsSincePause(model);
    paused = want.paused !== null;
    setText(total, countText(model, events.length));
    setText(wrong, want.events.wrong === null ? "" : `Not a pattern yet: ${want.events.wrong}.`);
    setAttribute(input, "aria-invalid", want.events.wrong === null ? null : "true");
    for (const chip of chips) setAttribute(chip, "aria-pressed", String(!want.hidden.has(chip.dataset.type)));
    setText(pause, paused ? "Go on" : "Pause");
    setAttribute(pause, "aria-pressed", String(paused));
    setHidden(newer, !paused || waiting === 0);
    setText(newer, `${many(waiting, "newer event")}: show`);
    setHidden(none, events.length > 0);
    setText(none, model.feed.length === 0 ? "Nothing has happened since this page was opened." : "No event matches.");
    rows.update(events, now);
  };
}

function countText(model, shown) {
  const told = model.feedSeq > model.feed.length ? `newest ${count(shown)} of ${count(model.feedSeq)}` : count(shown);
  return model.feedSeq === 0 ? "" : told;
}

function moreText(event) {
  const words = [timeOfDay(event.at)];
  if (event.type === "connection") return `${words[0]}  this page`;
  if (event.type !== "agent") words.push(`by ${event.by}`, event.ns);
  if (event.late !== undefined) words.push(`${brief(event.late)} late`);
  if (event.reason !== undefined) words.push(event.reason.replace("_", " "));
  if (event.said) words.push(event.said);
  return words.join(" · ");
}

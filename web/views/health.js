/** The strip of figures: what the hub promises, how much it holds, how late and how burdened it is. */

import { byId, makeElement, setAttribute, setText } from "../browser/elements.js";
import { countAgents, countdown, nextToExpire } from "../model/model.js";
import { formatBytes, formatCount, formatRate, plural, shortDuration } from "../text/format.js";

/** What each durability promises, in the words of the hub's guarantees. */
const DURABILITIES = {
  full: "Every change is on disk before anyone is told of it.",
  relaxed: "The journal is at most 50 ms behind: a crash may lose that much.",
  memory: "Nothing is on disk: all is gone when this hub stops.",
};

/** Each figure: its label, what the label means, and how it is made: text, more about it, and whether it is alarming. */
const FIGURES = {
  mode: ["mode", "What the hub promises of what it was told", mode],
  agents: ["agents", "Agents that are connected", agents],
  keys: ["keys", "Entries of this hub, and how many it may hold", keys],
  connections: ["connections", "Sockets to this hub, this page's among them; sessions outlive them for a while", connections],
  locks: ["locks", "Locks that are held, and commands that wait", locks],
  slow: ["slow readers", "Connections whose agents read more slowly than they are told", slow],
  memory: ["memory", "Of the process of the hub; the values take part of it", memory],
  late: ["expiry lateness", "99 in 100 of the last thousand expiries were no later than this", late],
  trip: ["round trip", "A command of this page there, and its reply back", trip],
  next: ["next to expire", "The entry whose deadline comes first", next],
};

export function mountHealth() {
  const tiles = Object.entries(FIGURES).map(([name, [label, meaning, figure]]) => {
    const tile = makeElement("div", "tile", { "data-figure": name, title: meaning },
      makeElement("dt", "label", {}, label), makeElement("dd", "", {}, makeElement("b", "", {}, "–"), makeElement("span", "of")));
    return { tile, figure, value: tile.querySelector("b"), more: tile.querySelector(".of") };
  });
  byId("tiles").append(...tiles.map(({ tile }) => tile));
  tiles[0].value.setAttribute("data-testid", "durability");

  return function update(model, now) {
    if (model.welcome === null) return;
    for (const { tile, figure, value, more } of tiles) {
      const { text = "–", of = "", title = null, bad = false } = figure(model, now) ?? {};
      setText(value, text);
      setText(more, of);
      setAttribute(more, "title", title);
      setAttribute(tile, "data-bad", bad ? "true" : null);
    }
  };
}

function mode({ welcome: { durability } }) {
  return { text: durability, title: DURABILITIES[durability] ?? null };
}

function agents(model) {
  const { here, away } = countAgents(model);
  return { text: formatCount(here), of: away === 0 ? "" : `+ ${formatCount(away)} away` };
}

function keys({ stats, book }) {
  if (stats === null || (book.settled && !book.full)) {
    return { text: formatCount(book.records.size), of: stats === null ? "" : formatBytes(stats.bytes) };
  }
  const full = stats.max_keys > 0 && stats.keys > 0.9 * stats.max_keys;
  const of = stats.max_keys > 0 ? `of ${short(stats.max_keys)}` : "";
  return { text: formatCount(stats.keys), of, title: `${formatBytes(stats.bytes)} of values`, bad: full };
}

function connections({ stats }) {
  return stats && { text: formatCount(stats.connections), of: plural(stats.sessions, "session") };
}

function locks({ stats }) {
  return stats && { text: formatCount(stats.locks), of: stats.waits === 0 ? "" : plural(stats.waits, "waits", "wait") };
}

function slow({ stats }) {
  return stats && { text: formatCount(stats.slow), bad: stats.slow > 0 };
}

function memory({ stats }) {
  return stats && { text: formatBytes(stats.memory) };
}

function late({ stats }) {
  const lateness = stats?.lateness;
  if (!lateness || lateness.count === 0) return null;
  return { text: shortDuration(lateness.p99), bad: lateness.p99 > 1 };
}

function trip(model) {
  return model.trip === null ? null : { text: shortDuration(model.trip) };
}

function next(model, now) {
  const entry = nextToExpire(model);
  return entry === null ? null : { text: countdown(entry, now).text, of: entry.key, title: entry.key };
}

const short = (number) => (number >= 1e6 ? `${formatRate(number / 1e6).replace(/\.0$/, "")} million` : formatCount(number));

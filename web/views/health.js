/** The strip of figures: the hub's durability, its contents, its load and its delays. */

import { byId, create, setAttribute, setText } from "../browser/elements.js";
import { countAgents, countdown, nextToExpire } from "../model/model.js";
import { formatBytes, formatCount, formatRate, plural, shortDuration } from "../text/format.js";

/** What each durability mode promises, as in the hub's guarantees. */
const DURABILITIES = {
  full: "Every change is on disk before any agent is told of it.",
  relaxed: "The journal is at most 50 ms behind: a crash may lose the changes of that time.",
  memory: "Nothing is on disk: all data is lost when this hub stops.",
};

/**
 * Each figure: its label, the meaning of the label, and a function that returns its text, more text, and whether it is
 * bad.
 */
const FIGURES = {
  mode: ["mode", "What happens to changes if the hub stops", mode],
  agents: ["agents", "Agents that are connected", agents],
  keys: ["keys", "Entries in this hub, and the most that it accepts", keys],
  connections: ["connections", "Open connections, with this dashboard's. Sessions last a while longer", connections],
  locks: ["locks", "Locks that are held, and commands that wait", locks],
  slow: ["slow readers", "Connections that read more slowly than the hub sends", slow],
  memory: ["memory", "Memory of the hub's process; the values are part of it", memory],
  late: ["expiry lateness", "99 of 100 entries expired with no more delay than this, of the last thousand", late],
  roundTrip: ["round trip", "Time from a command of this dashboard to its reply", roundTrip],
  next: ["next to expire", "The entry with the earliest deadline", next],
};

export function mountHealth() {
  const tiles = Object.entries(FIGURES).map(([name, [label, meaning, figure]]) => {
    const tile = create("div", "tile", { "data-figure": name, title: meaning },
      create("dt", "label", {}, label), create("dd", "", {}, create("b", "", {}, "–"), create("span", "of")));
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

function keys({ stats, keyStore }) {
  if (stats === null || (keyStore.settled && !keyStore.full)) {
    return { text: formatCount(keyStore.records.size), of: stats === null ? "" : formatBytes(stats.bytes) };
  }
  const full = stats.max_keys > 0 && stats.keys > 0.9 * stats.max_keys;
  const of = stats.max_keys > 0 ? `of ${short(stats.max_keys)}` : "";
  return { text: formatCount(stats.keys), of, title: `${formatBytes(stats.bytes)} of values`, bad: full };
}

function connections({ stats }) {
  return stats && { text: formatCount(stats.connections), of: plural(stats.sessions, "session") };
}

function locks({ stats }) {
  return stats && { text: formatCount(stats.locks), of: stats.waits > 0 ? `${formatCount(stats.waits)} waiting` : "" };
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

function roundTrip(model) {
  return model.roundTrip === null ? null : { text: shortDuration(model.roundTrip) };
}

function next(model, now) {
  const entry = nextToExpire(model);
  return entry === null ? null : { text: countdown(entry, now).text, of: entry.key, title: entry.key };
}

const short = (number) => {
  return number >= 1e6 ? `${formatRate(number / 1e6).replace(/\.0$/, "")} million` : formatCount(number);
};

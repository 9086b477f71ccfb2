/** The header: which hub this is, what it promises, and how the connection is. */

import { byId, setAttribute, setHidden, setText } from "../dom.js";
import { connectionText } from "../model.js";
import { count } from "../text.js";

/** What each durability promises, in the words of the hub's guarantees. */
const DURABILITIES = {
  full: "Every change is on disk before anyone is told of it.",
  relaxed: "The journal is at most 50 ms behind: a crash may lose that much.",
  memory: "Nothing is on disk: all is gone when this hub stops.",
};

/** @param {{retry: () => void}} intents */
export function mountHeader(intents) {
  const conn = byId("conn");
  const state = byId("conn-state");
  const retry = byId("retry");
  const facts = {
    version: byId("hub-version"),
    durability: byId("hub-durability"),
    epoch: byId("hub-epoch"),
    rev: byId("hub-rev"),
  };
  retry.addEventListener("click", () => intents.retry());

  return function update(model, now) {
    const { tone, text, note } = connectionText(model, now);
    setAttribute(conn, "data-tone", tone);
    setText(state, note === "" ? text : `${text} · ${note}`);
    setHidden(retry, model.connection.name !== "waiting");
    document.title = tone === "bad" ? `(${text}) Waggle` : "Waggle";
    if (model.welcome === null) return;
    const { hub, durability, epoch } = model.welcome;
    setText(facts.version, `${hub.name} ${hub.version}`);
    setText(facts.durability, durability);
    setAttribute(facts.durability, "data-durability", durability);
    setAttribute(facts.durability, "title", DURABILITIES[durability] ?? null);
    setText(facts.epoch, epoch);
    setAttribute(facts.epoch, "title", epoch);
    setText(facts.rev, count(model.rev));
  };
}

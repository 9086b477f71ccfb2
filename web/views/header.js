/** The header: the hub's version, epoch and revision, and the state of the connection. */

import { byId, setAttribute, setHidden, setText } from "../browser/elements.js";
import { connectionText } from "../model/model.js";
import { formatCount } from "../text/format.js";

/** @param {{retry: () => void}} intents */
export function mountHeader(intents) {
  const conn = byId("conn");
  const state = byId("conn-state");
  const retry = byId("retry");
  const facts = {
    version: byId("hub-version"),
    epoch: byId("hub-epoch"),
    rev: byId("hub-rev"),
  };
  retry.addEventListener("click", () => intents.retry());

  return function update(model, now) {
    const { tone, text, note } = connectionText(model, now);
    setAttribute(conn, "data-tone", tone);
    setAttribute(document.body, "data-tone", tone); // without a connection all is grey: it may be out of date
    setText(state, note === "" ? text : `${text} · ${note}`);
    setHidden(retry, model.connection.name !== "waiting");
    document.title = tone === "bad" ? `(${text}) Waggle` : "Waggle";
    if (model.welcome === null) return;
    const { hub, epoch } = model.welcome;
    setText(facts.version, `${hub.name} ${hub.version}`);
    setText(facts.epoch, epoch);
    setAttribute(facts.epoch, "title", epoch);
    setText(facts.rev, formatCount(model.rev));
  };
}

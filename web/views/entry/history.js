/** The earlier values of an entry, and what changed between two of them. */

import { byId, makeElement, setHidden, setText } from "../../browser/elements.js";
import { formatCount, timeOfDay } from "../../text/format.js";
import { lines } from "../../text/describe-value.js";
import { showDiff } from "./diff-view.js";

/** @param {{ofSelected: (verb: string, ...args: any[]) => void}} intents */
export function mountHistory(intents) {
  const choices = { older: byId("compare-older"), newer: byId("compare-newer") };
  const compare = byId("compare");
  const about = byId("compare-about");
  const hint = byId("history-hint");
  const place = byId("diff");
  let shown = {};

  for (const [which, choice] of Object.entries(choices)) {
    choice.addEventListener("change", () => intents.ofSelected("compare", which, Number(choice.value)));
  }

  return function update({ versions, compared, entry }) {
    if (shown.versions === versions && shown.compared === compared) return;
    shown = { versions, compared };
    const several = (versions?.length ?? 0) > 1;
    setHidden(compare, !several);
    setHidden(place, !several);
    setText(hint, hintText(versions, entry));
    if (!several) return;
    for (const [which, choice] of Object.entries(choices)) {
      choice.replaceChildren(...versions.map((version, i) => {
        const option = makeElement("option", "", { value: String(i) });
        setText(option, `v${formatCount(version.version)} · ${version.by} · ${timeOfDay(version.updated_at).slice(0, 8)}`);
        return option;
      }));
      choice.value = String(compared[which]);
    }
    const [older, newer] = [versions[compared.older], versions[compared.newer]];
    const { gone, come } = showDiff(place, lines(older.value), lines(newer.value));
    setText(about, gone + come === 0 ? "no difference" : `${formatCount(gone)} gone, ${formatCount(come)} new`);
  };
}

function hintText(versions, entry) {
  if (versions === null) return "";
  if (versions.length > 1) return "";
  if (entry?.kind === "versioned") return "It was written once since its history is kept.";
  return `An entry of kind versioned keeps its earlier values; this one is ${entry?.kind ?? "gone"}.`;
}

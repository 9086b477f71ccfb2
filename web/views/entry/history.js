/** The versions of an entry, and the difference between two of them. */

import { byId, create, setHidden, setText } from "../../browser/elements.js";
import { diffText } from "../../text/describe-value.js";
import { formatCount, timeOfDay } from "../../text/format.js";
import { showDiff } from "./diff-view.js";

/** @param {{changeSelected: (method: string, ...args: any[]) => void}} intents */
export function mountHistory(intents) {
  const choices = { older: byId("compare-older"), newer: byId("compare-newer") };
  const compare = byId("compare");
  const about = byId("compare-about");
  const hint = byId("history-hint");
  const diff = byId("diff");
  let shown = {};

  for (const [side, choice] of Object.entries(choices)) {
    choice.addEventListener("change", () => intents.changeSelected("compare", side, Number(choice.value)));
  }

  return function update({ versions, compared, entry }) {
    if (shown.versions === versions && shown.compared === compared) return;
    shown = { versions, compared };
    const several = (versions?.length ?? 0) > 1;
    setHidden(compare, !several);
    setHidden(diff, !several);
    setText(hint, hintText(versions, entry));
    if (!several) return;
    for (const [side, choice] of Object.entries(choices)) {
      choice.replaceChildren(...versions.map((version, i) => {
        const option = create("option", "", { value: String(i) });
        const time = timeOfDay(version.updated_at).slice(0, 8);
        setText(option, `v${formatCount(version.version)} · ${version.by} · ${time}`);
        return option;
      }));
      choice.value = String(compared[side]);
    }
    const [older, newer] = [versions[compared.older], versions[compared.newer]];
    const { removed, added } = showDiff(diff, diffText(older.value), diffText(newer.value));
    const counts = `${formatCount(removed)} removed, ${formatCount(added)} added`;
    setText(about, removed + added === 0 ? "no difference" : counts);
  };
}

function hintText(versions, entry) {
  if (versions === null || versions.length > 1) return "";
  if (entry?.kind === "versioned") return "This entry was written only once since its history is kept.";
  return entry === null
    ? "This entry was deleted, and no earlier values are kept."
    : `Only an entry of kind versioned keeps its earlier values. The kind of this one is ${entry.kind}.`;
}

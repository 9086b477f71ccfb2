/** The editor of a value. If another agent wrote the entry first, it shows the current value beside the draft. */

import { byId, setAttribute, setHidden, setText } from "../../browser/elements.js";
import { formatCount, pretty, shortRev } from "../../text/format.js";
import { parseValue } from "../../waggle.js";
import { showDiff } from "./diff-view.js";

/**
 * @param {object} intents
 * @param {(method: string, ...args: any[]) => void} intents.changeSelected
 * @param {() => void} intents.saveEntry
 */
export function mountValueEditor(intents) {
  const form = byId("part-edit");
  const area = byId("draft");
  const error = byId("draft-error");
  const save = byId("draft-save");
  const takeCurrent = byId("draft-take");
  const about = byId("draft-about");
  const hint = byId("edit-hint");
  const current = byId("current");
  let selected = null;
  let conflict = null;

  area.addEventListener("input", () => intents.changeSelected("setDraftText", area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  byId("draft-discard").addEventListener("click", () => intents.changeSelected("discardDraft"));
  takeCurrent.addEventListener("click", () => intents.changeSelected("takeCurrent"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (selected.draft?.conflict) intents.changeSelected("keepDraft");
    intents.saveEntry();
  });

  return function update(selected_) {
    selected = selected_;
    const { draft, entry } = selected;
    setHidden(byId("beside"), draft === null);
    setHidden(save.parentElement, draft === null);
    if (draft === null) {
      setText(hint, entry === null ? "" : "This value is too long to edit here.");
      setText(error, "");
      return;
    }
    if (area.value !== draft.text) area.value = draft.text;
    setAttribute(area, "aria-invalid", draft.error === null ? null : "true");
    setText(error, draft.error !== null ? `Not JSON yet: ${draft.error}` : (draft.refused ?? ""));
    const off = draft.busy || draft.error !== null;
    if (save.disabled !== off) save.disabled = off;
    setText(save, draft.conflict === null ? "Write" : "Overwrite with my value");
    setHidden(takeCurrent, draft.conflict === null);
    setText(takeCurrent, draft.conflict?.current === null ? "Leave it deleted" : "Use the current value");
    const condition = draft.rev === 0 ? "deleted" : `at revision ${shortRev(draft.rev)}`;
    setText(about, `only if the entry is still ${condition}`);
    setText(hint, hintText(selected));
    setHidden(current, draft.conflict === null);
    if (draft.conflict !== conflict) {
      conflict = draft.conflict;
      if (conflict !== null) showConflict(conflict.current, draft);
    }
  };

  function showConflict(current, draft) {
    const title = byId("current-title");
    const value = byId("current-value");
    if (current === null) {
      setText(title, "Current value: none, the entry was deleted");
      value.replaceChildren();
      return;
    }
    setText(title, `Current value: v${formatCount(current.version)}, by ${current.by}, compared with yours`);
    showDiff(value, pretty(current.value), pretty(parseValue(draft.text)), Infinity);
  }
}

function hintText({ draft, isDraftOutdated }) {
  if (draft.conflict !== null) {
    return draft.conflict.current === null
      ? "Nothing was written: the entry was deleted meanwhile."
      : "Nothing was written: another agent wrote the entry first. Choose a value, or edit yours before that.";
  }
  return isDraftOutdated ? "The entry was written since you began to edit." : "";
}

/** A draft of another value; and when somebody else was faster, what is there now beside it. */

import { byId, setAttribute, setHidden, setText } from "../../browser/elements.js";
import { formatCount, pretty, shortRev } from "../../text/format.js";
import { parseValue } from "../../waggle.js";
import { showDiff } from "./diff-view.js";

/**
 * @param {object} intents
 * @param {(verb: string, ...args: any[]) => void} intents.ofSelected
 * @param {() => void} intents.save
 */
export function mountValueEditor(intents) {
  const form = byId("part-edit");
  const area = byId("draft");
  const wrong = byId("draft-wrong");
  const save = byId("draft-save");
  const take = byId("draft-take");
  const about = byId("draft-about");
  const hint = byId("edit-hint");
  const theirs = byId("theirs");
  let selected = null;
  let conflict = null;

  area.addEventListener("input", () => intents.ofSelected("type", area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  byId("draft-discard").addEventListener("click", () => intents.ofSelected("discard"));
  take.addEventListener("click", () => intents.ofSelected("takeTheirs"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (selected.draft?.conflict) intents.ofSelected("keepMine");
    intents.save();
  });

  return function update(selected_) {
    selected = selected_;
    const { draft, entry } = selected;
    setHidden(byId("beside"), draft === null);
    setHidden(save.parentElement, draft === null);
    if (draft === null) {
      setText(hint, entry === null ? "" : "This value is too long to be edited here.");
      setText(wrong, "");
      return;
    }
    if (area.value !== draft.text) area.value = draft.text;
    setAttribute(area, "aria-invalid", draft.wrong === null ? null : "true");
    setText(wrong, draft.wrong !== null ? `Not JSON yet: ${draft.wrong}` : (draft.refused ?? ""));
    const off = draft.busy || draft.wrong !== null;
    if (save.disabled !== off) save.disabled = off;
    setText(save, draft.conflict === null ? "Write" : "Write mine over it");
    setHidden(take, draft.conflict === null);
    setText(take, draft.conflict?.current === null ? "Leave it deleted" : "Take what is there");
    setText(about, draft.rev === 0 ? "if it is still absent" : `if revision ${shortRev(draft.rev)} is still the one there`);
    setText(hint, hintText(selected));
    setHidden(theirs, draft.conflict === null);
    if (draft.conflict !== conflict) {
      conflict = draft.conflict;
      if (conflict !== null) showConflict(conflict.current, draft);
    }
  };

  function showConflict(current, draft) {
    const title = byId("theirs-title");
    const value = byId("theirs-value");
    if (current === null) {
      setText(title, "There now: nothing");
      value.replaceChildren();
      return;
    }
    setText(title, `There now: v${formatCount(current.version)}, by ${current.by}, and how yours differs`);
    showDiff(value, pretty(current.value), pretty(parseValue(draft.text)), Infinity);
  }
}

function hintText({ draft, overtaken }) {
  if (draft.conflict !== null) {
    return draft.conflict.current === null
      ? "Nothing was written: the entry is not there any more."
      : "Nothing was written: somebody else was faster. Choose, or change yours first.";
  }
  return overtaken ? "It has been written since this draft was begun." : "";
}

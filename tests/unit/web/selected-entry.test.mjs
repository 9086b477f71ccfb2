// The selected entry: value, history, draft, deletion.

import assert from "node:assert/strict";
import { test } from "node:test";

import { SelectedEntry } from "../../../web/model/selected-entry.js";

const entry = (more = {}) => ({ ns: "default", key: "a", rev: 5, version: 2, kind: "persistent", meta: null, value: { n: 1 }, ...more });

/** Return a selected entry whose value was read. */
function selectedEntry(more = {}) {
  const selected = new SelectedEntry("default", "a");
  selected.nextQuestion();
  selected.onReply({ entry: entry(more) });
  return selected;
}

/** Return a selected entry with a draft. */
function entryWithDraft(text = '{"n": 2}') {
  const selected = selectedEntry();
  selected.show("edit");
  selected.setDraftText(text);
  return selected;
}

// --- the entry of the hub ---

test("the value is read once, and again after each write", () => {
  const selected = new SelectedEntry("default", "a");
  assert.deepEqual(selected.nextQuestion(), { op: "get", fields: { ns: "default", key: "a" } });
  assert.equal(selected.nextQuestion(), null);
  selected.onEvent({ type: "set", rev: 6 });
  assert.equal(selected.nextQuestion(), null, "one question at a time");
  selected.onReply({ entry: entry() });
  assert.equal(selected.nextQuestion().op, "get");
  selected.onReply({ entry: entry({ rev: 6 }) });
  assert.equal(selected.nextQuestion(), null);
});

test("a removed entry says how it ended, and keeps its last value", () => {
  const selected = selectedEntry();
  selected.onEvent({ type: "expire", rev: 9 });
  selected.nextQuestion();
  selected.onReply({ entry: null });
  assert.deepEqual(selected.gone, { how: "expire", rev: 9 });
  assert.deepEqual(selected.entry.value, { n: 1 });
  selected.onEvent({ type: "set", rev: 10 });
  selected.nextQuestion();
  selected.onReply({ entry: entry({ rev: 10 }) });
  assert.equal(selected.gone, null, "the entry exists again after a new write");
});

test("an entry that does not exist is absent, and a failed question is not repeated", () => {
  const selected = new SelectedEntry("default", "a");
  selected.nextQuestion();
  selected.onReply({ entry: null });
  assert.deepEqual(selected.gone, { how: "absent", rev: null });
  selected.markOutdated();
  selected.nextQuestion();
  selected.onError("no");
  assert.equal(selected.error, "no");
  assert.equal(selected.nextQuestion(), null);
});

test("the history is read when it is shown, and again after each write", () => {
  const selected = selectedEntry({ kind: "versioned" });
  assert.equal(selected.nextQuestion(), null);
  selected.show("history");
  assert.deepEqual(selected.nextQuestion(), { op: "history", fields: { ns: "default", key: "a", limit: 50 } });
  selected.onReply({ entries: [entry({ version: 2 }), entry({ version: 1 })] });
  assert.deepEqual(selected.compared, { older: 1, newer: 0 });
  selected.compare("older", 0);
  assert.deepEqual(selected.compared, { older: 0, newer: 0 });
  selected.onEvent({ type: "delete", rev: 9 });
  selected.nextQuestion();
  selected.onReply({ entry: null });
  assert.equal(selected.nextQuestion().op, "history");
  selected.onReply({ entries: [] });
  assert.equal(selected.versions.length, 2, "the known versions of a deleted entry stay");
});

// --- the draft ---

test("a draft is written only over its own revision, and changes only the value", () => {
  const selected = entryWithDraft();
  const patch = [{ op: "replace", path: "", value: { n: 2 } }];
  assert.deepEqual(selected.saveCommand(), { op: "update", fields: { ns: "default", key: "a", patch, if_rev: 5 } });
  assert.equal(selected.saveCommand(), null, "not twice");
  selected.onSaved();
  assert.equal(selected.draft, null);
  assert.equal(selected.tab, "value");
  assert.equal(selected.nextQuestion().op, "get");
});

test("a draft that is not JSON is not written, and has an error", () => {
  const selected = entryWithDraft("{oops");
  assert.ok(selected.draft.error.length > 0);
  assert.equal(selected.saveCommand(), null);
  selected.setDraftText("[1e400]");
  assert.match(selected.draft.error, /too large/, "a browser would write null instead");
  selected.setDraftText('"fine"');
  assert.equal(selected.draft.error, null);
});

test("after a conflict the draft is based on the current entry, or replaced by it", () => {
  const kept = entryWithDraft();
  kept.saveCommand();
  kept.onSaveRefused("conflict", "expected rev 5", entry({ rev: 8, value: { n: 7 } }));
  assert.equal(kept.draft.conflict.current.rev, 8);
  kept.keepDraft();
  assert.equal(kept.saveCommand().fields.if_rev, 8);

  const replaced = entryWithDraft();
  replaced.saveCommand();
  replaced.onSaveRefused("conflict", "expected rev 5", entry({ rev: 8, value: { n: 7 } }));
  replaced.takeCurrent();
  assert.equal(replaced.draft.rev, 8);
  assert.deepEqual(JSON.parse(replaced.draft.text), { n: 7 });
});

test("an entry deleted meanwhile can be written again with its kind and meta, or left deleted", () => {
  const selected = selectedEntry({ kind: "versioned", meta: { why: "x" } });
  selected.show("edit");
  selected.saveCommand();
  selected.onSaveRefused("conflict", "absent", null);
  selected.keepDraft();
  assert.deepEqual(selected.saveCommand(), {
    op: "set", fields: { ns: "default", key: "a", value: { n: 1 }, if_rev: 0, kind: "versioned", meta: { why: "x" } },
  });
  selected.onSaveRefused("conflict", "absent", null);
  selected.takeCurrent();
  assert.equal(selected.draft, null);
});

test("a draft is outdated as soon as another write arrives", () => {
  const selected = entryWithDraft();
  assert.equal(selected.isDraftOutdated, false);
  selected.onEvent({ type: "set", rev: 6 });
  selected.nextQuestion();
  selected.onReply({ entry: entry({ rev: 6 }) });
  assert.equal(selected.isDraftOutdated, true);
  assert.equal(selected.draft.text, '{"n": 2}', "and keeps its text");
});

test("after another error the draft can be written again", () => {
  const selected = entryWithDraft();
  selected.saveCommand();
  selected.onSaveRefused("too_large", "the value is too large", null);
  assert.equal(selected.draft.refused, "the value is too large");
  assert.notEqual(selected.saveCommand(), null);
});

test("a value too long to be shown whole cannot be edited", () => {
  const selected = selectedEntry({ value: "x".repeat(300_000) });
  selected.show("edit");
  assert.equal(selected.draft, null);
});

test("a draft keeps integers that a number cannot represent", { skip: !JSON.rawJSON }, () => {
  const selected = entryWithDraft("9007199254740993");
  assert.equal(selected.saveCommand().fields.patch[0].value, 9007199254740993n);
});

// --- deleting ---

test("a deletion has to be confirmed, and deletes the revision that the user saw", () => {
  const selected = selectedEntry();
  assert.equal(selected.deleteCommand(), null);
  selected.askToDelete();
  assert.deepEqual(selected.deleteCommand(), { op: "delete", fields: { ns: "default", key: "a", if_rev: 5 } });
  assert.equal(selected.deleteCommand(), null, "not twice");
  selected.onDeleteRefused("conflict", "expected rev 5", entry({ rev: 8 }));
  assert.match(selected.deleting.error, /written meanwhile/);
  assert.equal(selected.deleteCommand().fields.if_rev, 8);
  selected.cancelDelete();
  assert.equal(selected.deleteCommand(), null);
});

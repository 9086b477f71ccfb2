// The one entry that is looked at: value, history, draft, deletion.

import assert from "node:assert/strict";
import { test } from "node:test";

import { SelectedEntry } from "../../../web/model/selected-entry.js";

const entry = (more = {}) => ({ ns: "default", key: "a", rev: 5, version: 2, kind: "persistent", meta: null, value: { n: 1 }, ...more });

/** An entry that is looked at, and whose value has come. */
function looked(more = {}) {
  const selected = new SelectedEntry("default", "a");
  selected.question();
  selected.answered({ entry: entry(more) });
  return selected;
}

/** The same with a draft. */
function drafted(text = '{"n": 2}') {
  const selected = looked();
  selected.show("edit");
  selected.type(text);
  return selected;
}

// --- what is there ---

test("its value is asked for once, and again when it is written", () => {
  const selected = new SelectedEntry("default", "a");
  assert.deepEqual(selected.question(), { op: "get", fields: { ns: "default", key: "a" } });
  assert.equal(selected.question(), null);
  selected.heard({ type: "set", rev: 6 });
  assert.equal(selected.question(), null, "one question at a time");
  selected.answered({ entry: entry() });
  assert.equal(selected.question().op, "get");
  selected.answered({ entry: entry({ rev: 6 }) });
  assert.equal(selected.question(), null);
});

test("an entry that goes says how, and stays what it was", () => {
  const selected = looked();
  selected.heard({ type: "expire", rev: 9 });
  selected.question();
  selected.answered({ entry: null });
  assert.deepEqual(selected.gone, { how: "expire", rev: 9 });
  assert.deepEqual(selected.entry.value, { n: 1 });
  selected.heard({ type: "set", rev: 10 });
  selected.question();
  selected.answered({ entry: entry({ rev: 10 }) });
  assert.equal(selected.gone, null, "and is there again when it comes back");
});

test("one that is not there at all says so; a question that failed is not asked for ever", () => {
  const selected = new SelectedEntry("default", "a");
  selected.question();
  selected.answered({ entry: null });
  assert.deepEqual(selected.gone, { how: "absent", rev: null });
  selected.outdated();
  selected.question();
  selected.failed("no");
  assert.equal(selected.error, "no");
  assert.equal(selected.question(), null);
});

test("history is asked for where it is looked at, and anew when it is written", () => {
  const selected = looked({ kind: "versioned" });
  assert.equal(selected.question(), null);
  selected.show("history");
  assert.deepEqual(selected.question(), { op: "history", fields: { ns: "default", key: "a", limit: 50 } });
  selected.answered({ entries: [entry({ version: 2 }), entry({ version: 1 })] });
  assert.deepEqual(selected.compared, { older: 1, newer: 0 });
  selected.compare("older", 0);
  assert.deepEqual(selected.compared, { older: 0, newer: 0 });
  selected.heard({ type: "delete", rev: 9 });
  selected.question();
  selected.answered({ entry: null });
  assert.equal(selected.question().op, "history");
  selected.answered({ entries: [] });
  assert.equal(selected.versions.length, 2, "what is known of one that went stays");
});

// --- a draft ---

test("a draft is written only over the revision it is based on, and changes the value alone", () => {
  const selected = drafted();
  const patch = [{ op: "replace", path: "", value: { n: 2 } }];
  assert.deepEqual(selected.save(), { op: "update", fields: { ns: "default", key: "a", patch, if_rev: 5 } });
  assert.equal(selected.save(), null, "not twice");
  selected.saved();
  assert.equal(selected.draft, null);
  assert.equal(selected.tab, "value");
  assert.equal(selected.question().op, "get");
});

test("what is not JSON is not written, and says why", () => {
  const selected = drafted("{oops");
  assert.ok(selected.draft.wrong.length > 0);
  assert.equal(selected.save(), null);
  selected.type("[1e400]");
  assert.match(selected.draft.wrong, /too large/, "a browser would make null of it");
  selected.type('"fine"');
  assert.equal(selected.draft.wrong, null);
});

test("a conflict shows what is there; mine is then based on that, or theirs is taken", () => {
  const mine = drafted();
  mine.save();
  mine.refused("conflict", "expected rev 5", entry({ rev: 8, value: { n: 7 } }));
  assert.equal(mine.draft.conflict.current.rev, 8);
  mine.keepMine();
  assert.equal(mine.save().fields.if_rev, 8);

  const theirs = drafted();
  theirs.save();
  theirs.refused("conflict", "expected rev 5", entry({ rev: 8, value: { n: 7 } }));
  theirs.takeTheirs();
  assert.equal(theirs.draft.rev, 8);
  assert.deepEqual(JSON.parse(theirs.draft.text), { n: 7 });
});

test("an entry that was deleted meanwhile can be written anew, as what it was, or left", () => {
  const selected = looked({ kind: "versioned", meta: { why: "x" } });
  selected.show("edit");
  selected.save();
  selected.refused("conflict", "absent", null);
  selected.keepMine();
  assert.deepEqual(selected.save(), {
    op: "set", fields: { ns: "default", key: "a", value: { n: 1 }, if_rev: 0, kind: "versioned", meta: { why: "x" } },
  });
  selected.refused("conflict", "absent", null);
  selected.takeTheirs();
  assert.equal(selected.draft, null);
});

test("a draft is told that it was overtaken before it is written", () => {
  const selected = drafted();
  assert.equal(selected.overtaken, false);
  selected.heard({ type: "set", rev: 6 });
  selected.question();
  selected.answered({ entry: entry({ rev: 6 }) });
  assert.equal(selected.overtaken, true);
  assert.equal(selected.draft.text, '{"n": 2}', "and stays as it was typed");
});

test("another refusal leaves the draft to be written again", () => {
  const selected = drafted();
  selected.save();
  selected.refused("too_large", "the value is too large", null);
  assert.equal(selected.draft.refused, "the value is too large");
  assert.notEqual(selected.save(), null);
});

test("a value too long to be shown whole is not edited", () => {
  const selected = looked({ value: "x".repeat(300_000) });
  selected.show("edit");
  assert.equal(selected.draft, null);
});

test("integers beyond a number's reach come through a draft", { skip: !JSON.rawJSON }, () => {
  const selected = drafted("9007199254740993");
  assert.equal(selected.save().fields.patch[0].value, 9007199254740993n);
});

// --- deleting ---

test("deleting asks first, and is meant for the revision that was seen", () => {
  const selected = looked();
  assert.equal(selected.delete(), null);
  selected.askToDelete();
  assert.deepEqual(selected.delete(), { op: "delete", fields: { ns: "default", key: "a", if_rev: 5 } });
  assert.equal(selected.delete(), null, "not twice");
  selected.notDeleted("conflict", "expected rev 5", entry({ rev: 8 }));
  assert.match(selected.deleting.wrong, /written meanwhile/);
  assert.equal(selected.delete().fields.if_rev, 8);
  selected.keep();
  assert.equal(selected.delete(), null);
});

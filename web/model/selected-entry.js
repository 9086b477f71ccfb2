/**
 * The entry that the user looks at: its value, its history, a draft of a new value, and its deletion.
 *
 * Rules:
 *
 * 1. The value is read again after each write; one command at a time. The last value stays when the entry is deleted.
 * 2. A draft is based on one revision, and the hub writes it only over that revision. Otherwise the hub returns the
 *    current entry and the user chooses: write over it (the draft is then based on it), or take its value.
 * 3. Only a valid JSON value is written. A number that a browser cannot represent is refused, so no digits are lost.
 * 4. Kind, meta, deadline and owner of the entry stay the same. That is why a draft is written with `update`: a `set`
 *    would make an ephemeral entry outlive its session.
 * 5. The user confirms a deletion. The hub deletes only the revision that the user saw.
 */

import { MAX_PRETTY_CHARS, pretty } from "../text/format.js";
import { parseValue } from "../waggle.js";
import { idOf } from "./key-store.js";

/** Versions to read: the hub keeps 20 earlier ones. */
const MAX_VERSIONS = 50;

/**
 * @typedef {object} Draft
 * @property {string} text
 * @property {number} rev the revision it is based on, 0 for an entry that was deleted
 * @property {string|null} error why the text is not valid JSON
 * @property {boolean} busy whether the command was sent and has no reply yet
 * @property {{current: object|null}|null} conflict the entry that the hub has instead, null for none
 * @property {string|null} refused why the hub did not write it
 */

export class SelectedEntry {
  /** The last entry that the hub returned. @type {object|null} */
  entry = null;
  /** How the entry was removed: `{how, rev}`, null while it exists. */
  gone = null;
  error = null;
  /** @type {"value"|"history"|"edit"} */
  tab = "value";
  /** The versions, newest first, null until they were read. @type {object[]|null} */
  versions = null;
  /** The two versions to compare: indexes of `versions`. */
  compared = { older: 1, newer: 0 };
  /** @type {Draft|null} */
  draft = null;
  /** The deletion that the user has to confirm: `{rev, busy, error}`. */
  deleting = null;
  #valueKnown = false;
  #versionsKnown = false;
  #asked = null;

  constructor(ns, key) {
    Object.assign(this, { id: idOf(ns, key), ns, key });
  }

  /** Show the value, the history or the draft. */
  show(tab) {
    this.tab = tab;
    if (tab === "edit" && this.draft === null) this.beginDraft();
  }

  // --- the entry of the hub
  // ----------------------------------------------------------------------------------------------

  /** Apply an event of this key. */
  onEvent({ type, rev }) {
    this.markOutdated();
    if (type === "delete" || type === "expire" || type === "evict") this.gone = { how: type, rev };
  }

  /** Note that value and history may have changed. */
  markOutdated() {
    this.#valueKnown = false;
    this.#versionsKnown = false;
  }

  /** Return the command to send next, null if there is none or the last one has no reply yet. */
  nextQuestion() {
    if (this.#asked !== null) return null;
    const { ns, key } = this;
    if (!this.#valueKnown) {
      this.#valueKnown = true;
      this.#asked = { op: "get", fields: { ns, key } };
    } else if (this.tab === "history" && !this.#versionsKnown) {
      this.#versionsKnown = true;
      this.#asked = { op: "history", fields: { ns, key, limit: MAX_VERSIONS } };
    }
    return this.#asked;
  }

  /** Take the reply to that command. */
  onReply(ok) {
    const { op } = this.#asked;
    this.#asked = null;
    this.error = null;
    if (op === "history") this.#setVersions(ok.entries);
    else if (ok.entry !== null) Object.assign(this, { entry: ok.entry, gone: null });
    else this.gone ??= { how: "absent", rev: null };
  }

  /** Take the error instead of a reply. */
  onError(message) {
    this.#asked = null;
    this.error = message;
  }

  #setVersions(entries) {
    if (entries.length === 0 && this.versions !== null) return; // the entry was deleted: keep the known versions
    this.versions = entries;
    this.compared = { older: Math.min(1, Math.max(0, entries.length - 1)), newer: 0 };
  }

  /** Choose a version to compare: `side` is "older" or "newer". */
  compare(side, index) {
    this.compared = { ...this.compared, [side]: index };
  }

  // --- the draft ----------------------------------------------------------------------------------------------------

  /** Whether the value can be edited here at all. */
  get editable() {
    return this.entry !== null && pretty(this.entry.value, Infinity).length <= MAX_PRETTY_CHARS;
  }

  /** Begin a draft with the current value. */
  beginDraft() {
    if (!this.editable) return;
    const text = pretty(this.entry.value, Infinity);
    this.draft = { text, rev: this.gone ? 0 : this.entry.rev, error: null, busy: false, conflict: null, refused: null };
  }

  setDraftText(text) {
    Object.assign(this.draft, { text, error: jsonError(text), refused: null });
  }

  discardDraft() {
    this.draft = null;
    this.tab = "value";
  }

  /** Whether the entry was written since the draft was begun. */
  get isDraftOutdated() {
    if (this.draft === null || this.entry === null || this.draft.conflict !== null) return false;
    return this.gone === null ? this.entry.rev !== this.draft.rev : this.draft.rev !== 0;
  }

  /** Return the command that writes the draft, and note that it was sent; null if the draft cannot be written now. */
  saveCommand() {
    const { draft, ns, key } = this;
    if (draft === null || draft.busy || draft.error !== null) return null;
    Object.assign(draft, { busy: true, conflict: null, refused: null });
    const value = parseValue(draft.text);
    if (draft.rev === 0) {
      const { kind, meta } = this.entry;
      return { op: "set", fields: { ns, key, value, if_rev: 0, kind, ...(meta ? { meta } : {}) } };
    }
    return { op: "update", fields: { ns, key, patch: [{ op: "replace", path: "", value }], if_rev: draft.rev } };
  }

  onSaved() {
    this.discardDraft();
    this.markOutdated();
  }

  /** Take the hub's refusal to write the draft. */
  onSaveRefused(code, message, current) {
    this.draft.busy = false;
    if (code === "conflict") this.draft.conflict = { current };
    else this.draft.refused = message;
  }

  /** After a conflict: base the draft on the current entry, so that it can be written over it. */
  keepDraft() {
    Object.assign(this.draft, { rev: this.draft.conflict.current?.rev ?? 0, conflict: null });
  }

  /** After a conflict: replace the draft by the current entry. */
  takeCurrent() {
    const { current } = this.draft.conflict;
    if (current === null) this.discardDraft();
    else {
      this.entry = current;
      this.beginDraft();
    }
    this.markOutdated();
  }

  // --- deleting ---------------------------------------------------------------------------------------------------

  askToDelete() {
    this.deleting = { rev: this.entry.rev, busy: false, error: null };
  }

  cancelDelete() {
    this.deleting = null;
  }

  /** Return the command that deletes the entry, and note that it was sent; null if it cannot be sent now. */
  deleteCommand() {
    if (this.deleting === null || this.deleting.busy) return null;
    this.deleting.busy = true;
    return { op: "delete", fields: { ns: this.ns, key: this.key, if_rev: this.deleting.rev } };
  }

  /** Take the hub's refusal to delete: the entry was written after the user saw it, or there is another error. */
  onDeleteRefused(code, message, current) {
    const written = code === "conflict" && current;
    const error = written ? "The entry was written meanwhile. Look at the new value: delete it anyway?" : message;
    this.deleting = { rev: written ? current.rev : this.deleting.rev, busy: false, error };
    this.markOutdated();
  }
}

/** Return why a text is not a JSON value that can be sent exactly, null if it is one. */
function jsonError(text) {
  try {
    parseValue(text, (value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new SyntaxError("a number is too large");
    });
    return null;
  } catch (error) {
    return error.message;
  }
}

/**
 * The one entry that the person looks at: its value, its history, and what the person wants to make of it.
 *
 * Laws:
 *
 * 1. Its value is asked for whenever it was written; one question at a time. What it was stays when it goes.
 * 2. A draft is based on one revision, and is written only if that is still the one there. Else the hub says what is
 *    there now, and the person chooses: to write over it (the draft is then based on that), or to take it.
 * 3. A draft is JSON, or it is not written. Nothing is lost on the way: numbers that a browser cannot hold are refused.
 * 4. Kind, meta, deadline and owner of an entry stay what they are, whoever writes its value here. (`update` does that:
 *    a `set` would make an ephemeral entry outlive its session.)
 * 5. Deleting asks twice, and is meant for the revision that was seen.
 */

import { idOf } from "./key-store.js";
import { MAX_PRETTY_CHARS, pretty } from "../text/format.js";
import { parseValue } from "../waggle.js";

/** Versions that are asked for: the hub keeps 20 earlier ones. */
const VERSIONS = 50;

/**
 * @typedef {object} Draft
 * @property {string} text
 * @property {number} rev the revision it is based on, 0 for an entry that is not there
 * @property {string|null} wrong why it is no JSON
 * @property {boolean} busy whether the hub is being asked
 * @property {{current: object|null}|null} conflict what the hub found there instead
 * @property {string|null} refused why the hub did not write it
 */

export class SelectedEntry {
  /** The entry as the hub gave it last. @type {object|null} */
  entry = null;
  /** How it went: `{how, rev}`, null while it is there. */
  gone = null;
  error = null;
  /** @type {"value"|"history"|"edit"} */
  tab = "value";
  /** Earlier values, newest first, null while not known. @type {object[]|null} */
  versions = null;
  /** The two versions that are compared: places in `versions`. */
  compared = { older: 1, newer: 0 };
  /** @type {Draft|null} */
  draft = null;
  /** The deletion that waits for a second yes: `{rev, busy, wrong}`. */
  deleting = null;
  #valueKnown = false;
  #versionsKnown = false;
  #asked = null;

  constructor(ns, key) {
    Object.assign(this, { id: idOf(ns, key), ns, key });
  }

  /** Show its value, its history, or the draft. */
  show(tab) {
    this.tab = tab;
    if (tab === "edit" && this.draft === null) this.begin();
  }

  // --- what is there ----------------------------------------------------------------------------------------------

  /** An event of this key. */
  heard({ type, rev }) {
    this.outdated();
    if (type === "delete" || type === "expire" || type === "evict") this.gone = { how: type, rev };
  }

  /** What is known of it may not hold any more. */
  outdated() {
    this.#valueKnown = false;
    this.#versionsKnown = false;
  }

  /** What to ask the hub, null if nothing; then it counts as asked. */
  question() {
    if (this.#asked !== null) return null;
    const { ns, key } = this;
    if (!this.#valueKnown) {
      this.#valueKnown = true;
      this.#asked = { op: "get", fields: { ns, key } };
    } else if (this.tab === "history" && !this.#versionsKnown) {
      this.#versionsKnown = true;
      this.#asked = { op: "history", fields: { ns, key, limit: VERSIONS } };
    }
    return this.#asked;
  }

  /** The reply to the question. */
  answered(ok) {
    const { op } = this.#asked;
    this.#asked = null;
    this.error = null;
    if (op === "history") this.#savePreference(ok.entries);
    else if (ok.entry !== null) Object.assign(this, { entry: ok.entry, gone: null });
    else this.gone ??= { how: "absent", rev: null };
  }

  /** The question was not answered. */
  failed(message) {
    this.#asked = null;
    this.error = message;
  }

  #savePreference(entries) {
    if (entries.length === 0 && this.versions !== null) return; // it is gone: what is known of it stays
    this.versions = entries;
    this.compared = { older: Math.min(1, Math.max(0, entries.length - 1)), newer: 0 };
  }

  compare(which, place) {
    this.compared = { ...this.compared, [which]: place };
  }

  // --- a draft ----------------------------------------------------------------------------------------------------

  /** Whether its value can be edited here at all. */
  get editable() {
    return this.entry !== null && pretty(this.entry.value, Infinity).length <= MAX_PRETTY_CHARS;
  }

  /** Begin a draft with what is there. */
  begin() {
    if (!this.editable) return;
    const text = pretty(this.entry.value, Infinity);
    this.draft = { text, rev: this.gone ? 0 : this.entry.rev, wrong: null, busy: false, conflict: null, refused: null };
  }

  type(text) {
    Object.assign(this.draft, { text, wrong: wrongWith(text), refused: null });
  }

  /** Let the draft go. */
  discard() {
    this.draft = null;
    this.tab = "value";
  }

  /** Whether what the draft is based on has been written over meanwhile. */
  get overtaken() {
    if (this.draft === null || this.entry === null || this.draft.conflict !== null) return false;
    return this.gone === null ? this.entry.rev !== this.draft.rev : this.draft.rev !== 0;
  }

  /** The command that writes the draft, null if it is not to be written; then the hub counts as being asked. */
  save() {
    const { draft, ns, key } = this;
    if (draft === null || draft.busy || draft.wrong !== null) return null;
    Object.assign(draft, { busy: true, conflict: null, refused: null });
    const value = parseValue(draft.text);
    if (draft.rev === 0) {
      const { kind, meta } = this.entry;
      return { op: "set", fields: { ns, key, value, if_rev: 0, kind, ...(meta ? { meta } : {}) } };
    }
    return { op: "update", fields: { ns, key, patch: [{ op: "replace", path: "", value }], if_rev: draft.rev } };
  }

  saved() {
    this.discard();
    this.outdated();
  }

  /** The hub did not write the draft. */
  refused(code, message, current) {
    this.draft.busy = false;
    if (code === "conflict") this.draft.conflict = { current };
    else this.draft.refused = message;
  }

  /** After a conflict: keep the draft, to be written over what is there now. */
  keepMine() {
    Object.assign(this.draft, { rev: this.draft.conflict.current?.rev ?? 0, conflict: null });
  }

  /** After a conflict: go on with what is there now. */
  takeTheirs() {
    const { current } = this.draft.conflict;
    if (current === null) this.discard();
    else {
      this.entry = current;
      this.begin();
    }
    this.outdated();
  }

  // --- deleting ---------------------------------------------------------------------------------------------------

  askToDelete() {
    this.deleting = { rev: this.entry.rev, busy: false, wrong: null };
  }

  keep() {
    this.deleting = null;
  }

  /** The command that deletes it, null if nobody asked for that, or it is under way. */
  delete() {
    if (this.deleting === null || this.deleting.busy) return null;
    this.deleting.busy = true;
    return { op: "delete", fields: { ns: this.ns, key: this.key, if_rev: this.deleting.rev } };
  }

  /** The hub did not delete it: somebody wrote it after it was seen, or something else is wrong. */
  notDeleted(code, message, current) {
    const written = code === "conflict" && current;
    const wrong = written ? "It was written meanwhile. Look at it again: delete it all the same?" : message;
    this.deleting = { rev: written ? current.rev : this.deleting.rev, busy: false, wrong };
    this.outdated();
  }
}

/** Why a text is no value that the hub could keep as it stands, null if it is one. */
function wrongWith(text) {
  try {
    parseValue(text, (value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new SyntaxError("a number is too large");
    });
    return null;
  } catch (error) {
    return error.message;
  }
}

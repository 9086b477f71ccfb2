/**
 * The cells beside a key's name, the same in the tree and in the lists; and the countdown, also used for entries, locks
 * and waits.
 */

import { create, setAttribute, setText } from "../browser/elements.js";
import { countdown, previewOf } from "../model/model.js";

/** The namespace whose name is not shown beside a key or a lock. */
export const DEFAULT_NAMESPACE = "default";

/** Return the cells after the key: value, version, author, deadline. */
export function makeFacts(role) {
  const attributes = role === null ? {} : { role };
  return [
    create("span", "c-value", attributes),
    create("span", "c-version", attributes),
    create("span", "c-by", attributes),
    create("span", "c-deadline countdown", attributes, ...makeCountdown()),
  ];
}

/** Return the parts of a countdown: its bar and its words. */
export function makeCountdown() {
  return [create("span", "meter", { "aria-hidden": "true" }, create("span", "fill")), create("span", "left")];
}

/**
 * Fill these cells from a record.
 * @param {HTMLElement[]} cells
 * @param {object} record
 * @param {object} model
 * @param {(record: object) => void} readValue reads a value that is not known
 */
export function fillFacts([value, version, by, deadline], record, model, now, readValue) {
  const { text, stale } = previewOf(model, record);
  if (stale) readValue(record);
  setText(value, text);
  setText(version, `v${record.version}`);
  setText(by, record.by);
  setAttribute(by, "title", record.by);
  fillCountdown(deadline, deadline.firstChild.firstChild, deadline.lastChild, countdown(record, now));
}

/** Fill a countdown: its bar, and its words; `left` comes from the model's `countdown`. */
export function fillCountdown(element, bar, words, left) {
  setAttribute(element, "data-tone", left === null ? "none" : left.tone);
  setText(words, left === null ? "no deadline" : left.text);
  const scale = left === null ? "" : `scaleX(${left.part.toFixed(3)})`;
  if (bar.style.transform !== scale) bar.style.transform = scale;
}

/** What the row of a key shows beside its name; the same in the tree, in the lists and of the entry in full. */

import { makeElement, setAttribute, setText } from "../browser/elements.js";
import { countdown, previewOf } from "../model/model.js";

/** The cells behind the first: value, version, author, deadline. */
export function makeFacts(role) {
  const attributes = role === null ? {} : { role };
  return [
    makeElement("span", "c-value", attributes),
    makeElement("span", "c-version", attributes),
    makeElement("span", "c-by", attributes),
    makeElement("span", "c-deadline countdown", attributes,
      makeElement("span", "meter", { "aria-hidden": "true" }, makeElement("span", "fill")), makeElement("span", "left")),
  ];
}

/**
 * @param {HTMLElement[]} cells
 * @param {object} record
 * @param {object} model
 * @param {(record: object) => void} readValue asks for a value that is not known
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

/** Fill a bar and the words beside it. */
export function fillCountdown(element, bar, words, left) {
  setAttribute(element, "data-tone", left === null ? "none" : left.tone);
  setText(words, left === null ? "no deadline" : left.text);
  const scale = left === null ? "" : `scaleX(${left.part.toFixed(3)})`;
  if (bar.style.transform !== scale) bar.style.transform = scale;
}

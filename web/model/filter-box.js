/**
 * A filter box: its text, its pattern, a function that says whether a key matches, and the error in the text (null if
 * none).
 */

import { BadPattern, filter, patternOf } from "../text/glob.js";

export const createFilterBox = () => ({ text: "", pattern: patternOf(""), accepts: filter(""), error: null });

/**
 * Set the text of a filter box. Return whether its pattern changed: text that is no valid pattern (yet) keeps the old
 * one.
 */
export function setFilterText(box, text) {
  box.text = text;
  try {
    box.accepts = filter(text);
    box.pattern = patternOf(text);
    box.error = null;
    return true;
  } catch (error) {
    if (!(error instanceof BadPattern)) throw error;
    box.error = error.message;
    return false;
  }
}

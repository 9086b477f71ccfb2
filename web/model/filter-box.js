/** What a filter box holds: its text, its pattern and what that accepts, and what is wrong with the text, null if nothing. */

import { BadPattern, filter, patternOf } from "../text/glob.js";

export const box = () => ({ text: "", pattern: patternOf(""), accepts: filter(""), wrong: null });

/** Text that is no pattern (yet) leaves what is accepted as it was; gives whether that changed. */
export function typeInto(target, text) {
  target.text = text;
  try {
    target.accepts = filter(text);
    target.pattern = patternOf(text);
    target.wrong = null;
    return true;
  } catch (error) {
    if (!(error instanceof BadPattern)) throw error;
    target.wrong = error.message;
    return false;
  }
}

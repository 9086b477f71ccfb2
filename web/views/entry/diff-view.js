/** The lines that differ between two texts, each with a sign in front: removed or added. */

import { create, setText } from "../../browser/elements.js";
import { plural } from "../../text/format.js";
import { diff, folded } from "../../text/line-diff.js";

/** Lines that are shown. */
const MAX_LINES = 1_500;
const SIGNS = { same: " ", removed: "−", added: "+" };
/** The signs in words, for screen readers. */
const WORDS = { removed: "removed: ", added: "added: " };

/**
 * Show in an element how one text became another, with some equal lines around. Return how many lines were removed and
 * added.
 */
export function showDiff(element, before, after, around = 3) {
  const lines = diff(before, after);
  const shown = around === Infinity ? lines : folded(lines, around);
  const rows = shown.slice(0, MAX_LINES).map(makeLine);
  const left = shown.length - MAX_LINES;
  if (left > 0) rows.push(create("div", "skip", {}, `${plural(left, "more line")} not shown`));
  element.replaceChildren(...rows);
  const countOf = (how) => lines.filter((line) => line.how === how).length;
  return { removed: countOf("removed"), added: countOf("added") };
}

function makeLine({ how, text, lines }) {
  if (how === "skip") return create("div", "skip", {}, `${plural(lines, "line")} the same`);
  const content = create("span");
  setText(content, text);
  const words = how === "same" ? [] : [create("span", "sr", {}, WORDS[how])];
  const sign = create("span", "sign", { "aria-hidden": "true" }, SIGNS[how]);
  return create("div", `line ${how}`, {}, sign, ...words, content);
}

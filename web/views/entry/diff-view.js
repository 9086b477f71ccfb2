/** Lines that differ, one below the other, with a sign in front: what went, and what came. */

import { makeElement, setText } from "../../browser/elements.js";
import { diff, folded } from "../../text/line-diff.js";
import { plural } from "../../text/format.js";

/** Lines beyond which no more are shown. */
const MOST = 1_500;
const SIGNS = { same: " ", gone: "−", come: "+" };
const WORDS = { gone: "gone: ", come: "new: " };

/** Show in an element how one text became another, with some equal lines around; gives how many lines went and came. */
export function showDiff(element, before, after, around = 3) {
  const lines = diff(before, after);
  const shown = around === Infinity ? lines : folded(lines, around);
  const rows = shown.slice(0, MOST).map(line);
  if (shown.length > MOST) rows.push(makeElement("div", "skip", {}, `${plural(shown.length - MOST, "more line")} not shown`));
  element.replaceChildren(...rows);
  const counted = (how) => lines.filter((it) => it.how === how).length;
  return { gone: counted("gone"), come: counted("come") };
}

function line({ how, text, lines }) {
  if (how === "skip") return makeElement("div", "skip", {}, `${plural(lines, "line")} the same`);
  const said = makeElement("span");
  setText(said, text);
  const words = how === "same" ? [] : [makeElement("span", "sr", {}, WORDS[how])];
  return makeElement("div", `line ${how}`, {}, makeElement("span", "sign", { "aria-hidden": "true" }, SIGNS[how]), ...words, said);
}

/** Lines that differ, one below the other, with a sign in front: what went, and what came. */

import { make, setText } from "../../browser/elements.js";
import { diff, folded } from "../../text/line-diff.js";
import { many } from "../../text/format.js";

/** Lines beyond which no more are shown. */
const MOST = 1_500;
const SIGNS = { same: " ", gone: "−", come: "+" };
const WORDS = { gone: "gone: ", come: "new: " };

/** Show in an element how one text became another, with some equal lines around; gives how many lines went and came. */
export function showDifference(element, before, after, around = 3) {
  const lines = diff(before, after);
  const shown = around === Infinity ? lines : folded(lines, around);
  const rows = shown.slice(0, MOST).map(line);
  if (shown.length > MOST) rows.push(make("div", "skip", {}, `${many(shown.length - MOST, "more line")} not shown`));
  element.replaceChildren(...rows);
  const counted = (how) => lines.filter((it) => it.how === how).length;
  return { gone: counted("gone"), come: counted("come") };
}

function line({ how, text, lines }) {
  if (how === "skip") return make("div", "skip", {}, `${many(lines, "line")} the same`);
  const said = make("span");
  setText(said, text);
  const words = how === "same" ? [] : [make("span", "sr", {}, WORDS[how])];
  return make("div", `line ${how}`, {}, make("span", "sign", { "aria-hidden": "true" }, SIGNS[how]), ...words, said);
}

/** A value, by its type: what has parts can be opened part by part; text is shown as it reads; raw is its JSON. */

import { byId, makeElement, setAttribute, setHidden, setText } from "../../browser/elements.js";
import { pretty } from "../../text/format.js";
import { brackets, parts, seen } from "../../text/describe-value.js";

/** Parts of one object or list that are shown at first, and by how many more. */
const STEP = 100;
/** Parts up to which an object or list is open from the start, below the first level. */
const FEW = 12;
/** Milliseconds for which it says that the value was copied. */
const SAID = 1_500;

export function mountValue() {
  const place = byId("entry-value");
  const about = byId("value-about");
  const raw = byId("value-raw");
  const copy = byId("value-copy");
  const touched = new Map(); // what was opened or closed by hand, by its path: it stays so when the value is written
  let asRaw = false;
  let selected = null;
  let shown = {};

  raw.addEventListener("click", () => {
    asRaw = !asRaw;
    update(selected);
  });
  copy.addEventListener("click", async () => {
    const { value } = selected.entry;
    const text = typeof value === "string" && !asRaw ? value : pretty(value, Infinity);
    setText(copy, (await copied(text)) ? "Copied" : "Not allowed");
    setTimeout(() => setText(copy, "Copy"), SAID);
  });

  function update(selected_) {
    if (selected !== null && selected_.id !== selected.id) touched.clear();
    selected = selected_;
    const { entry } = selected;
    setAttribute(raw, "aria-pressed", String(asRaw));
    setHidden(copy, entry === null);
    setHidden(raw, entry === null);
    if (shown.entry === entry && shown.asRaw === asRaw) return;
    shown = { entry, asRaw };
    if (entry === null) {
      place.replaceChildren();
      setText(about, "");
      return;
    }
    const { type, about: more, tree, text } = seen(entry.value);
    setText(about, more === "" ? type : `${type} · ${more}`);
    setAttribute(place, "data-type", asRaw ? "raw" : type);
    if (asRaw) setText(place, pretty(entry.value));
    else if (text !== null && tree === undefined) setText(place, text === "" ? "(empty)" : cut(text));
    else place.replaceChildren(...branches(tree, ""));
  }

  function branches(value, path) {
    const nodes = [];
    const more = (from) => {
      const { shown: listed, left } = parts(value, from + STEP);
      const fresh = listed.slice(from).map(({ name, value: part }) => branch(name, part, `${path}/${name}`, from === 0));
      if (left > 0) {
        const button = makeElement("button", "quiet", { type: "button" }, `${left} more`);
        button.addEventListener("click", () => button.replaceWith(...more(from + STEP)));
        fresh.push(button);
      }
      return fresh;
    };
    nodes.push(...more(0));
    if (nodes.length === 0) nodes.push(makeElement("span", "dim", {}, Array.isArray(value) ? "[ ] no items" : "{ } no fields"));
    return nodes;
  }

  function branch(name, value, path) {
    const label = makeElement("span", "part-name");
    setText(label, name);
    if (value === null || typeof value !== "object") return makeElement("div", "leaf", {}, label, ": ", scalar(value));
    const details = makeElement("details", "", {}, makeElement("summary", "", {}, label, ": ", makeElement("span", "dim", {}, brackets(value))));
    const few = path.split("/").length <= 3 && parts(value, 0).left <= FEW;
    const fill = () => {
      if (details.open && details.children.length === 1) details.append(makeElement("div", "branch", {}, ...branches(value, path)));
    };
    details.open = touched.get(path) ?? few;
    fill();
    details.addEventListener("toggle", () => {
      touched.set(path, details.open);
      fill();
    });
    return details;
  }

  return update;
}

function scalar(value) {
  const said = makeElement("span", `is-${value === null ? "null" : typeof value}`);
  setText(said, typeof value === "string" ? JSON.stringify(cut(value)) : String(value));
  return said;
}

const LONGEST = 200_000;
const cut = (text) => (text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}\n… and ${text.length - LONGEST} more characters`);

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // only where the page is served securely, or from this machine
  }
}

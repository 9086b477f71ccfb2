/**
 * A value, shown by its type: objects and lists can be opened part by part, text is shown as it is. "Raw" shows the
 * JSON.
 */

import { byId, create, setAttribute, setHidden, setText } from "../../browser/elements.js";
import { brackets, describeValue, parts } from "../../text/describe-value.js";
import { cutText, pretty } from "../../text/format.js";

/** Parts of an object or list that are shown at first, and that each click on "more" adds. */
const PARTS_STEP = 100;
/** An inner object or list with at most so many parts is open from the start. */
const AUTO_OPEN_PARTS = 12;
/** How long the button says that the value was copied. */
const COPIED_NOTE_MS = 1_500;

export function mountValue() {
  const container = byId("entry-value");
  const about = byId("value-about");
  const raw = byId("value-raw");
  const copy = byId("value-copy");
  const touched = new Map(); // by path: the parts that the user opened or closed, which stay so when the value changes
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
    setText(copy, (await copyText(text)) ? "Copied" : "Not allowed");
    setTimeout(() => setText(copy, "Copy"), COPIED_NOTE_MS);
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
      container.replaceChildren();
      setText(about, "");
      return;
    }
    const { type, about: more, tree, text } = describeValue(entry.value);
    setText(about, more === "" ? type : `${type} · ${more}`);
    setAttribute(container, "data-type", asRaw ? "raw" : type);
    if (asRaw) setText(container, pretty(entry.value));
    else if (text !== null && tree === undefined) setText(container, text === "" ? "(empty)" : cutText(text));
    else container.replaceChildren(...branches(tree, ""));
  }

  function branches(value, path) {
    const nodes = [];
    const more = (from) => {
      const { shown: listed, left } = parts(value, from + PARTS_STEP);
      const fresh = listed.slice(from).map(({ name, value: part }) => branch(name, part, `${path}/${name}`));
      if (left > 0) {
        const button = create("button", "quiet", { type: "button" }, `${left} more`);
        button.addEventListener("click", () => button.replaceWith(...more(from + PARTS_STEP)));
        fresh.push(button);
      }
      return fresh;
    };
    nodes.push(...more(0));
    const empty = Array.isArray(value) ? "[ ] no items" : "{ } no fields";
    if (nodes.length === 0) nodes.push(create("span", "dim", {}, empty));
    return nodes;
  }

  function branch(name, value, path) {
    const label = create("span", "part-name");
    setText(label, name);
    if (value === null || typeof value !== "object") return create("div", "leaf", {}, label, ": ", scalar(value));
    const summary = create("summary", "", {}, label, ": ", create("span", "dim", {}, brackets(value)));
    const details = create("details", "", {}, summary);
    const few = path.split("/").length <= 3 && parts(value, 0).left <= AUTO_OPEN_PARTS;
    const fill = () => {
      if (!details.open || details.children.length > 1) return;
      details.append(create("div", "branch", {}, ...branches(value, path)));
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
  const element = create("span", `is-${value === null ? "null" : typeof value}`);
  setText(element, typeof value === "string" ? JSON.stringify(cutText(value)) : String(value));
  return element;
}

/** Copy a text. Return whether the browser allowed it. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // browsers allow it only on pages served over TLS or from this machine
  }
}

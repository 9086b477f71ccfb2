/**
 * Functions that create and change elements. Setting what is set already does nothing and costs almost nothing.
 *
 * Names and values come from agents and may be hostile. They become text and attributes only, never markup.
 */

/**
 * Create an element: `create("span", "chip", { title: "..." }, child, "text")`.
 * @param {string} tag
 * @param {string} [className]
 * @param {Object<string, string>} [attributes]
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function create(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Invisible characters that change how other text is shown: marks of direction, spaces without width. */
const INVISIBLE = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Set the text of an element. Invisible characters are shown as their codes. */
export function setText(element, wanted) {
  const text = wanted.replace(INVISIBLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
  if (element.firstChild?.nodeValue !== text || element.childNodes.length !== 1) element.textContent = text;
}

/** Set an attribute; null removes it. */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** Return the element with this id. */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}`);
  return element;
}

/**
 * Making elements and changing them, idempotently: what is so already is left alone, and costs nothing.
 *
 * Names and values come from anyone. They go into the page as text and attributes only, never as markup.
 */

/**
 * An element: `makeElement("span", "chip", { title: "..." }, child, "text")`.
 * @param {string} tag
 * @param {string} [className]
 * @param {Object<string, string>} [attributes]
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function makeElement(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Characters that nobody sees and that change how others read: marks of direction, spaces without width. */
const UNSEEN = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** The element says this text, and nothing else. What nobody could see in it is shown as its code. */
export function setText(element, wanted) {
  const text = wanted.replace(UNSEEN, (unseen) => `\\u${unseen.charCodeAt(0).toString(16).padStart(4, "0")}`);
  if (element.firstChild?.nodeValue !== text || element.childNodes.length !== 1) element.textContent = text;
}

/** Null takes the attribute away. */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** The one element with this id. */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

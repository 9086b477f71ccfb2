/** The theme: light, dark, or the system's. This browser remembers it. */

import { byId, setAttribute, setText } from "../browser/elements.js";
import { readPreference, savePreference } from "../browser/preferences.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };

export function mountTheme() {
  const button = byId("theme");
  const name = byId("theme-name");
  let theme = readPreference("theme") ?? "auto";

  function show() {
    setAttribute(document.documentElement, "data-theme", theme === "auto" ? null : theme);
    setText(name, theme);
    setAttribute(button, "aria-label", `Theme: ${theme}`);
  }

  button.addEventListener("click", () => {
    theme = NEXT[theme] ?? "auto";
    savePreference("theme", theme);
    show();
  });
  if (!(theme in NEXT)) theme = "auto";
  show();
}

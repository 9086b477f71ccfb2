/** Light, dark, or as the system has it; remembered in this browser. */

import { byId, setAttribute, setText } from "../dom.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SAID = { auto: "as the system", light: "light", dark: "dark" };
const STORED = "waggle.theme";

export function mountTheme() {
  const button = byId("theme");
  const name = byId("theme-name");
  let theme = localStorage.getItem(STORED) ?? "auto";

  function show() {
    setAttribute(document.documentElement, "data-theme", theme === "auto" ? null : theme);
    setText(name, theme);
    setAttribute(button, "aria-label", `Theme: ${SAID[theme]}`);
  }

  button.addEventListener("click", () => {
    theme = NEXT[theme] ?? "auto";
    localStorage.setItem(STORED, theme);
    show();
  });
  if (!(theme in NEXT)) theme = "auto";
  show();
}

/** Which view is shown where there is room for one only. */

import { byId, setAttribute } from "../dom.js";

export function mountTabs() {
  const tabs = [...document.querySelectorAll("[data-tab]")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      setAttribute(byId("main"), "data-view", tab.dataset.tab);
      for (const other of tabs) setAttribute(other, "aria-pressed", String(other === tab));
    });
  }
}

/** Bring a view forward, as if its button had been pressed. */
export function showTab(name) {
  document.querySelector(`[data-tab="${name}"]`).click();
}

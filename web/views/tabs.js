/**
 * The buttons that choose a view. A narrow window shows one view at a time. A wide window shows all views, but only one
 * of the sections keys, locks and waits.
 */

import { byId, setAttribute } from "../browser/elements.js";

/** The same condition as in style.css. */
const NARROW = "(max-width: 820px)";

/** @param {{showSection: (section: string) => void}} intents */
export function mountTabs(intents) {
  const main = byId("main");
  const tabs = [...document.querySelectorAll("[data-tab]")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      const { tab: view, section } = tab.dataset;
      setAttribute(main, "data-view", view);
      if (section !== undefined) {
        setAttribute(main, "data-section", section);
        intents.showSection(section);
      }
      updateButtons();
    });
  }
  matchMedia(NARROW).addEventListener("change", updateButtons);
  updateButtons();

  /** Mark the button of the view that is shown; in a wide window, the button of the section. */
  function updateButtons() {
    const { view, section } = main.dataset;
    const shown = matchMedia(NARROW).matches ? view : section;
    for (const tab of tabs) setAttribute(tab, "aria-pressed", String(tab.dataset.tab === shown));
  }
}

/** Show a view, as if its button had been pressed. */
export function showTab(name) {
  document.querySelector(`[data-tab="${name}"]`).click();
}

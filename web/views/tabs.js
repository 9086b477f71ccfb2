/** Which view is shown: where there is room for one only, and which of keys, locks and waits where there is more. */

import { byId, setAttribute } from "../browser/elements.js";

/** As in style.css. */
const ONE_VIEW = "(max-width: 820px)";

/** @param {{goTo: (place: string) => void}} intents */
export function mountTabs(intents) {
  const main = byId("main");
  const tabs = [...document.querySelectorAll("[data-tab]")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      const { tab: view, place } = tab.dataset;
      setAttribute(main, "data-view", view);
      if (place !== undefined) {
        setAttribute(main, "data-place", place);
        intents.goTo(place);
      }
      press();
    });
  }
  matchMedia(ONE_VIEW).addEventListener("change", press);
  press();

  /** The button of what is in view is pressed: of the places one always is, where there is more than one view. */
  function press() {
    const { view, place } = main.dataset;
    const shown = matchMedia(ONE_VIEW).matches ? view : place;
    for (const tab of tabs) setAttribute(tab, "aria-pressed", String(tab.dataset.tab === shown));
  }
}

/** Bring a view forward, as if its button had been pressed. */
export function showTab(name) {
  document.querySelector(`[data-tab="${name}"]`).click();
}

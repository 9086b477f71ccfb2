/** What says that only one agent's locks and waits are shown, and the way back; in each view that has a place for it. */

import { setHidden, setText } from "../browser/elements.js";

/** @param {{concern: (agent: string|null) => void}} intents */
export function mountAgentFilter(panel, intents) {
  const chosen = panel.querySelector("[data-concerned]");
  const [text, all] = chosen.children;
  all.addEventListener("click", () => intents.concern(null));

  return function update({ want }) {
    setHidden(chosen, want.concerned === null);
    setText(text, want.concerned === null ? "" : `Concerning ${want.concerned}`);
  };
}

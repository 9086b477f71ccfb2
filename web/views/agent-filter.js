/**
 * The line that says that only one agent's locks and waits are shown, with a button to show all. Locks and waits have
 * it.
 */

import { setHidden, setText } from "../browser/elements.js";

/** @param {{focusAgent: (agent: string|null) => void}} intents */
export function mountAgentFilter(panel, intents) {
  const line = panel.querySelector("[data-agent-filter]");
  const [text, all] = line.children;
  all.addEventListener("click", () => intents.focusAgent(null));

  return function update({ ui }) {
    setHidden(line, ui.focusedAgent === null);
    setText(text, ui.focusedAgent === null ? "" : `Only locks and waits of ${ui.focusedAgent}`);
  };
}

/** Who is here: each agent with its role, its status, and since when. */

import { byId, make, setAttribute, setHidden, setText } from "../dom.js";
import { countAgents, shownAgents } from "../model.js";
import { count, since } from "../text.js";
import { mountRows } from "./rows.js";

/** @param {{showDashboards: (shown: boolean) => void, look: () => void}} intents */
export function mountAgents(intents) {
  const total = byId("agents-count");
  const tab = byId("tab-agents");
  const none = byId("agents-none");
  const box = byId("show-dashboards");
  const label = byId("dashboards-label");
  let self = null;
  const rows = mountRows(byId("agents"), { idOf: (agent) => agent.id, make: makeRow, fill, changed: intents.look });
  box.addEventListener("change", () => intents.showDashboards(box.checked));

  function makeRow() {
    return make("div", "row agent", { role: "listitem", tabindex: "-1" },
      make("span", "dot"),
      make("div", "who", {}, make("span", "name"), make("span", "role")),
      make("div", "how", {}, make("span", "state"), make("span", "status")),
    );
  }

  function fill(row, agent, now) {
    const [name, role] = row.children[1].children;
    const [state, status] = row.children[2].children;
    setAttribute(row, "data-agent", agent.name);
    setAttribute(row, "data-connected", String(agent.connected));
    setAttribute(row, "data-role", agent.role);
    setText(name, agent.name);
    setAttribute(name, "title", agent.name);
    setHidden(role, agent.role === "" && agent.name !== self);
    setText(role, agent.name === self ? "this page" : agent.role);
    setText(state, stateText(agent, now));
    setText(status, agent.status);
    setAttribute(status, "title", agent.status);
  }

  return function update(model, now) {
    self = model.welcome?.agent ?? null;
    const { here, away, dashboards } = countAgents(model);
    const agents = shownAgents(model);
    setText(total, model.agents.synced ? (away === 0 ? count(here) : `${count(here)} here, ${count(away)} away`) : "");
    setText(tab, count(here));
    setText(label, dashboards === 1 ? "1 dashboard" : `${count(dashboards)} dashboards`);
    setHidden(none, !model.agents.synced || agents.length > 0);
    rows.update(agents, now);
  };
}

function stateText(agent, now) {
  const age = now - agent.since;
  const words = [agent.connected ? "connected" : "away", age < 1 ? "came just now" : `came ${since(age)} ago`];
  if (agent.sessions > 1) words.push(`${count(agent.sessions)} sessions`);
  return words.join(" · ");
}

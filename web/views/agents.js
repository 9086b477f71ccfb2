/**
 * The agents: each with its role, its status, the time since it joined, the number of keys that it wrote last, the
 * number of locks that it holds, and the number of its commands that wait.
 */

import { byId, create, setAttribute, setHidden, setText } from "../browser/elements.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { countAgents, shownAgents } from "../model/model.js";
import { elapsed, formatCount, plural } from "../text/format.js";
import { showTab } from "./tabs.js";

/**
 * @param {object} intents
 * @param {(shown: boolean) => void} intents.showDashboards
 * @param {(agent: string|null) => void} intents.showKeysOf
 * @param {(agent: string|null) => void} intents.focusAgent
 * @param {(method: string, ...args: any[]) => void} intents.changeFeed
 * @param {() => void} intents.scheduleRender
 */
export function mountAgents(intents) {
  const list = byId("agents");
  const total = byId("agents-count");
  const tab = byId("tab-agents");
  const none = byId("agents-none");
  const checkbox = byId("show-dashboards");
  const label = byId("dashboards-label");
  let model = null;
  const rows = mountVirtualList(list, {
    idOf: (agent) => agent.id, make: makeRow, fill, onScroll: intents.scheduleRender,
  });
  checkbox.addEventListener("change", () => intents.showDashboards(checkbox.checked));
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    const { agent } = button.closest("[data-agent]").dataset;
    const on = button.getAttribute("aria-pressed") === "true";
    const { view } = button.dataset;
    if (view === "keys") intents.showKeysOf(on ? null : agent);
    else if (view === "events") intents.changeFeed("follow", on ? null : { agent });
    else intents.focusAgent(on ? null : agent);
    if (!on) showTab(view);
  });

  function makeRow() {
    return create("div", "row agent", { role: "listitem", tabindex: "-1" },
      create("span", "dot"),
      create("div", "identity", {}, create("span", "name"), create("span", "role"), create("span", "push"),
        makeButton("keys"), makeButton("events", "follow")),
      create("div", "activity", {}, create("span", "state"), create("span", "status"),
        makeButton("locks"), makeButton("waits")),
    );
  }

  /** Return a button that shows what belongs to the agent in another view. */
  function makeButton(view, ...text) {
    return create("button", "small", { type: "button", tabindex: "-1", "data-view": view }, ...text);
  }

  function fill(row, agent, now) {
    const [name, role, , keyCount, follow] = row.children[1].children;
    const [state, status, locks, waits] = row.children[2].children;
    const self = agent.name === model.welcome?.agent;
    const keys = model.keyStore.countOf(agent.name);
    setAttribute(row, "data-agent", agent.name);
    setAttribute(row, "data-connected", String(agent.connected));
    setAttribute(row, "data-role", agent.role);
    setText(name, agent.name);
    setAttribute(name, "title", agent.name);
    setHidden(role, agent.role === "" && !self);
    setText(role, self ? "this dashboard" : agent.role);
    setHidden(keyCount, keys === 0 && model.ui.author !== agent.name);
    setText(keyCount, plural(keys, "key"));
    setAttribute(keyCount, "title", `Keys that ${agent.name} wrote last`);
    setAttribute(keyCount, "aria-label", `${plural(keys, "key")} that ${agent.name} wrote last`);
    setAttribute(keyCount, "aria-pressed", String(model.ui.author === agent.name));
    fillCount(locks, agent, "lock", "held by");
    fillCount(waits, agent, "wait", "of");
    setAttribute(follow, "aria-label", `follow ${agent.name}`);
    setAttribute(follow, "aria-pressed", String(model.feed.followed?.agent === agent.name));
    setText(state, stateText(agent, now));
    setText(status, agent.status);
    setAttribute(status, "title", agent.status);
  }

  function fillCount(button, { name }, noun, relation) {
    const number = model.inspection.countOf(name)[`${noun}s`];
    const { focusedAgent, section } = model.ui;
    setHidden(button, number === 0);
    setText(button, plural(number, noun));
    setAttribute(button, "aria-label", `${plural(number, noun)} ${relation} ${name}`);
    setAttribute(button, "aria-pressed", String(focusedAgent === name && section === button.dataset.view));
  }

  return function update(model_, now) {
    model = model_;
    const { here, away, dashboards } = countAgents(model);
    const agents = shownAgents(model);
    const counts = away === 0 ? formatCount(here) : `${formatCount(here)} here, ${formatCount(away)} away`;
    setText(total, model.agents.synced ? counts : "");
    setText(tab, formatCount(here));
    setText(label, dashboards === 1 ? "1 dashboard" : `${formatCount(dashboards)} dashboards`);
    setHidden(none, !model.agents.synced || agents.length > 0);
    rows.update(agents, now);
  };
}

function stateText(agent, now) {
  const age = now - agent.since;
  const facts = [...(agent.connected ? [] : ["away"]), age < 1 ? "joined just now" : `joined ${elapsed(age)} ago`];
  if (agent.sessions > 1) facts.push(`${formatCount(agent.sessions)} sessions`);
  return facts.join(" · ");
}

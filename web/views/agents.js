/** Who is here: each agent with its role, its status, since when, and how many keys it wrote last, how many locks it holds, and whether it waits. */

import { byId, makeElement, setAttribute, setHidden, setText } from "../browser/elements.js";
import { countAgents, shownAgents } from "../model/model.js";
import { elapsed, formatCount, plural } from "../text/format.js";
import { mountVirtualList } from "../browser/virtual-list.js";
import { showTab } from "./tabs.js";

/**
 * @param {object} intents
 * @param {(shown: boolean) => void} intents.showDashboards
 * @param {(agent: string|null) => void} intents.showKeysOf
 * @param {(agent: string|null) => void} intents.concern
 * @param {(verb: string, ...args: any[]) => void} intents.ofEvents
 * @param {() => void} intents.look
 */
export function mountAgents(intents) {
  const list = byId("agents");
  const total = byId("agents-count");
  const tab = byId("tab-agents");
  const none = byId("agents-none");
  const box = byId("show-dashboards");
  const label = byId("dashboards-label");
  let model = null;
  const rows = mountVirtualList(list, { idOf: (agent) => agent.id, make: makeRow, fill, changed: intents.look });
  box.addEventListener("change", () => intents.showDashboards(box.checked));
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    const { agent } = button.closest("[data-agent]").dataset;
    const on = button.getAttribute("aria-pressed") === "true";
    const { shows } = button.dataset;
    if (shows === "keys") intents.showKeysOf(on ? null : agent);
    else if (shows === "events") intents.ofEvents("follow", on ? null : { agent });
    else intents.concern(on ? null : agent);
    if (!on) showTab(shows);
  });

  function makeRow() {
    return makeElement("div", "row agent", { role: "listitem", tabindex: "-1" },
      makeElement("span", "dot"),
      makeElement("div", "who", {}, makeElement("span", "name"), makeElement("span", "role"), makeElement("span", "push"),
        makeButton("keys"), makeButton("events", "follow")),
      makeElement("div", "how", {}, makeElement("span", "state"), makeElement("span", "status"), makeButton("locks"), makeButton("waits")),
    );
  }

  function makeButton(shows, ...text) {
    return makeElement("button", "small", { type: "button", tabindex: "-1", "data-shows": shows }, ...text);
  }

  function fill(row, agent, now) {
    const [name, role, , holds, follows] = row.children[1].children;
    const [state, status, locks, waits] = row.children[2].children;
    const self = agent.name === model.welcome?.agent;
    const keys = model.book.countOf(agent.name);
    setAttribute(row, "data-agent", agent.name);
    setAttribute(row, "data-connected", String(agent.connected));
    setAttribute(row, "data-role", agent.role);
    setText(name, agent.name);
    setAttribute(name, "title", agent.name);
    setHidden(role, agent.role === "" && !self);
    setText(role, self ? "this page" : agent.role);
    setHidden(holds, keys === 0 && model.want.by !== agent.name);
    setText(holds, plural(keys, "key"));
    setAttribute(holds, "title", `Keys that ${agent.name} wrote last`);
    setAttribute(holds, "aria-label", `${plural(keys, "key")} that ${agent.name} wrote last`);
    setAttribute(holds, "aria-pressed", String(model.want.by === agent.name));
    fillClaims(locks, agent, "lock", "held by");
    fillClaims(waits, agent, "wait", "of");
    setAttribute(follows, "aria-label", `follow ${agent.name}`);
    setAttribute(follows, "aria-pressed", String(model.feed.followed?.agent === agent.name));
    setText(state, stateText(agent, now));
    setText(status, agent.status);
    setAttribute(status, "title", agent.status);
  }

  function fillClaims(button, { name }, what, whose) {
    const number = model.inspected.countOf(name)[`${what}s`];
    const { concerned, place } = model.want;
    setHidden(button, number === 0);
    setText(button, plural(number, what));
    setAttribute(button, "aria-label", `${plural(number, what)} ${whose} ${name}`);
    setAttribute(button, "aria-pressed", String(concerned === name && place === button.dataset.shows));
  }

  return function update(model_, now) {
    model = model_;
    const { here, away, dashboards } = countAgents(model);
    const agents = shownAgents(model);
    setText(total, model.agents.synced ? (away === 0 ? formatCount(here) : `${formatCount(here)} here, ${formatCount(away)} away`) : "");
    setText(tab, formatCount(here));
    setText(label, dashboards === 1 ? "1 dashboard" : `${formatCount(dashboards)} dashboards`);
    setHidden(none, !model.agents.synced || agents.length > 0);
    rows.update(agents, now);
  };
}

function stateText(agent, now) {
  const age = now - agent.since;
  const words = [...(agent.connected ? [] : ["away"]), age < 1 ? "came just now" : `came ${elapsed(age)} ago`];
  if (agent.sessions > 1) words.push(`${formatCount(agent.sessions)} sessions`);
  return words.join(" · ");
}

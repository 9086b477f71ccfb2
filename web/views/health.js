/** The strip of figures: how many, how fast, what is next, how late. */

import { byId, setAttribute, setText } from "../dom.js";
import { countAgents, countdown, latenessP99, nextToExpire, ratesUntil, SECONDS } from "../model.js";
import { brief, count } from "../text.js";

const WIDTH = 118; // two units a second: the viewBox of the chart
const HEIGHT = 28;

/** @param {{select: (id: string) => void}} intents */
export function mountHealth() {
  const figures = Object.fromEntries(
    ["agents", "keys", "rate", "next", "next-key", "late", "trip"].map((name) => [name, byId(`health-${name}`)]),
  );
  const chart = byId("health-chart");
  const line = chart.querySelector(".line");
  const area = chart.querySelector(".area");
  let drawn = 0;

  return function update(model, now) {
    if (model.welcome === null) return;
    const { here, away } = countAgents(model);
    setText(figures.agents, away === 0 ? count(here) : `${count(here)} + ${count(away)} away`);
    setText(figures.keys, count(model.entries.known.size));
    const next = nextToExpire(model);
    setText(figures.next, next === null ? "–" : countdown(next, now).text);
    setText(figures["next-key"], next === null ? "" : next.key);
    setAttribute(figures["next-key"], "title", next === null ? null : next.key);
    const late = latenessP99(model);
    setText(figures.late, late === null ? "–" : brief(late));
    setText(figures.trip, model.trip === null ? "–" : brief(model.trip));
    if (Math.floor(now) !== drawn) {
      drawn = Math.floor(now);
      draw(ratesUntil(model, now));
    }
  };

  function draw(rates) {
    setText(figures.rate, count(rates.at(-1)));
    const most = Math.max(4, ...rates);
    const step = WIDTH / (SECONDS - 1);
    const points = rates.map((rate, i) => `${(i * step).toFixed(1)} ${(HEIGHT - 2 - (rate / most) * (HEIGHT - 4)).toFixed(1)}`);
    setAttribute(line, "d", `M${points.join("L")}`);
    setAttribute(area, "d", `M${points.join("L")}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}z`);
  }
}

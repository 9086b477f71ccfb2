/** Two charts: revisions and events per second over the last minutes. */

import { byId, setAttribute, setText } from "../browser/elements.js";
import { WINDOW_S } from "../model/rate-series.js";
import { formatRate } from "../text/format.js";

/** Height of the viewBox. It is one unit wide for each second. */
const HEIGHT = 44;
/** The lowest rate at the top of a chart, so that a low rate does not look high. */
const MIN_TOP_RATE = 5;

export function mountRates() {
  const charts = ["revisions", "events"].map((name) => ({ name, draw: mountChart(byId(`chart-${name}`), name) }));
  let drawn = 0;

  return function update(model, now) {
    if (Math.floor(now) === drawn) return;
    drawn = Math.floor(now);
    for (const { name, draw } of charts) draw(model.rates, name, now);
  };
}

function mountChart(figure, name) {
  const svg = figure.querySelector("svg");
  const [area, line] = [svg.querySelector(".area"), svg.querySelector(".line")];
  const [value, peak] = [figure.querySelector("b"), figure.querySelector(".peak")];

  return function draw(rates, _name, now) {
    const current = rates.latest(name);
    const highest = rates.highest(name);
    const currentText = current === null ? "–" : formatRate(current);
    setText(value, currentText);
    setText(peak, `peak ${formatRate(highest)} in ${WINDOW_S / 60} min`);
    const about = `${name} a second over the last ${WINDOW_S / 60} minutes`;
    setAttribute(svg, "aria-label", `${about}: now ${currentText}, at most ${formatRate(highest)}`);
    const top = Math.max(MIN_TOP_RATE, highest);
    const stretches = rates.lines(name, now).filter((points) => points.length > 1);
    const paths = stretches.map((points) => points.map(({ ago, rate }) => {
      return `${(WINDOW_S - ago).toFixed(1)} ${(HEIGHT - 1 - (rate / top) * (HEIGHT - 3)).toFixed(1)}`;
    }));
    setAttribute(line, "d", paths.map((points) => `M${points.join("L")}`).join(""));
    setAttribute(area, "d", paths.map((points) => {
      const [first, last] = [points[0], points.at(-1)].map((point) => point.split(" ")[0]);
      return `M${first} ${HEIGHT}L${points.join("L")}L${last} ${HEIGHT}z`;
    }).join(""));
  };
}

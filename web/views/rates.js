/** How many revisions and events there were in each second of the last minutes, drawn. */

import { byId, setAttribute, setText } from "../browser/elements.js";
import { SPAN } from "../model/rate-series.js";
import { formatRate } from "../text/format.js";

const HEIGHT = 44; // of the viewBox, which is one unit wide for each second
const LEAST = 5; // the chart's top is at least so many a second, so that little does not look like much

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
    const current = rates.now(name);
    const most = rates.most(name);
    const said = current === null ? "–" : formatRate(current);
    setText(value, said);
    setText(peak, `most ${formatRate(most)} in ${SPAN / 60} min`);
    setAttribute(svg, "aria-label", `${name} a second over the last ${SPAN / 60} minutes: now ${said}, at most ${formatRate(most)}`);
    const top = Math.max(LEAST, most);
    const stretches = rates.lines(name, now).filter((points) => points.length > 1);
    const paths = stretches.map((points) => points.map(({ ago, rate: r }) => {
      return `${(SPAN - ago).toFixed(1)} ${(HEIGHT - 1 - (r / top) * (HEIGHT - 3)).toFixed(1)}`;
    }));
    setAttribute(line, "d", paths.map((points) => `M${points.join("L")}`).join(""));
    setAttribute(area, "d", paths.map((points) => {
      const [first, last] = [points[0], points.at(-1)].map((point) => point.split(" ")[0]);
      return `M${first} ${HEIGHT}L${points.join("L")}L${last} ${HEIGHT}z`;
    }).join(""));
  };
}

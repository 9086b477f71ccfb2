/**
 * How fast something went over the last minutes: from counters that are read now and then.
 *
 * Laws:
 *
 * 1. A rate is the growth of a counter between two readings, by the time between them: nothing in between is missed.
 * 2. Where nothing was read for a while (no connection), there is a gap, and no line is drawn across it.
 * 3. A counter that fell belongs to another hub: there begins a new series.
 */

/** Seconds that are kept. */
export const SPAN = 300;
/** Seconds between two readings beyond which there is a gap. */
const GAP = 5;

export class RateSeries {
  #last = null;
  #points = [];

  /** The counters read at an instant: `{revisions: 7, events: 9}`. */
  read(at, counters) {
    const last = this.#last;
    if (last !== null && at <= last.at) return;
    this.#last = { at, counters };
    if (last === null) return;
    const names = Object.keys(counters);
    const seconds = at - last.at;
    if (seconds > GAP || names.some((name) => counters[name] < last.counters[name])) {
      this.#points.push({ at, rates: null });
    } else {
      const rates = names.map((name) => [name, (counters[name] - last.counters[name]) / seconds]);
      this.#points.push({ at, rates: Object.fromEntries(rates) });
    }
    while (this.#points[0].at < at - SPAN) this.#points.shift();
  }

  /** The newest rate of that name, null before the second reading. */
  now(name) {
    return this.#points.at(-1)?.rates?.[name] ?? null;
  }

  /** The highest rate that is kept. */
  most(name) {
    return this.#points.reduce((most, { rates }) => Math.max(most, rates?.[name] ?? 0), 0);
  }

  /** Lines of `{ago, rate}`, oldest first, `ago` in seconds before `now`: one for each stretch without a gap. */
  lines(name, now) {
    const lines = [];
    let line = null;
    for (const { at, rates } of this.#points) {
      if (rates === null) line = null;
      else {
        if (line === null) lines.push((line = []));
        line.push({ ago: now - at, rate: rates[name] });
      }
    }
    return lines;
  }
}

/**
 * Rates per second over the last minutes, computed from counters of the hub.
 *
 * Rules:
 *
 * 1. A rate is the growth of a counter between two readings, divided by the time between them. So every event counts,
 *    however seldom the counters are read.
 * 2. If the time between two readings is too long (no connection), the series has a gap: no line is drawn across it.
 * 3. A counter that fell comes from another hub, or from the same hub after a restart: this is a gap, too.
 */

/** How much time the series covers. */
export const WINDOW_S = 300;
/** The longest time between two readings without a gap. */
const MAX_READ_INTERVAL_S = 5;

export class RateSeries {
  #last = null;
  #points = [];

  /** Take the counters at a time: `{revisions: 7, events: 9}`. */
  read(at, counters) {
    const last = this.#last;
    if (last !== null && at <= last.at) return;
    this.#last = { at, counters };
    if (last === null) return;
    const names = Object.keys(counters);
    const seconds = at - last.at;
    if (seconds > MAX_READ_INTERVAL_S || names.some((name) => counters[name] < last.counters[name])) {
      this.#points.push({ at, rates: null });
    } else {
      const rates = names.map((name) => [name, (counters[name] - last.counters[name]) / seconds]);
      this.#points.push({ at, rates: Object.fromEntries(rates) });
    }
    while (this.#points[0].at < at - WINDOW_S) this.#points.shift();
  }

  /** Return the newest rate of that name, null before the second reading. */
  latest(name) {
    return this.#points.at(-1)?.rates?.[name] ?? null;
  }

  /** Return the highest rate that is kept. */
  highest(name) {
    return this.#points.reduce((highest, { rates }) => Math.max(highest, rates?.[name] ?? 0), 0);
  }

  /**
   * Return one line for each stretch without a gap: points `{ago, rate}`, oldest first, `ago` in seconds before `now`.
   */
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

// Values, times and counts as text.

import assert from "node:assert/strict";
import { test } from "node:test";

import { elapsed, formatCount, plural, pretty, preview, remaining, shortDuration, shortRev } from "../../../web/text/format.js";

test("a preview is JSON on one line, cut where it is long", () => {
  assert.equal(preview({ a: [1, "x", null, true], b: {} }), '{"a": [1, "x", null, true], "b": {}}');
  assert.equal(preview("plain"), '"plain"');
  assert.equal(preview(undefined), "");
  const cut = preview({ text: "y".repeat(1000) }, 40);
  assert.ok(cut.length <= 41 && cut.endsWith("…"), cut);
});

test("a preview reads only the part that it shows", () => {
  const deep = {};
  let at = deep;
  for (let i = 0; i < 99; i++) at = at.a = {};
  assert.ok(preview(deep).endsWith("…"));
  const guarded = new Proxy(Array.from({ length: 1e6 }, (_, i) => i), {
    get(list, name) {
      assert.ok(typeof name === "symbol" || name === "length" || Number(name) < 100, `read ${String(name)}`);
      return list[name];
    },
  });
  assert.ok(preview(guarded).endsWith("…"));
});

test("a long value is cut, with a note", () => {
  assert.equal(pretty({ a: 1 }), '{\n  "a": 1\n}');
  assert.match(pretty("z".repeat(50), 20), /… and 32 more characters$/);
});

test("time to a deadline is rounded up, past time down", () => {
  const cases = [[0, "due"], [-5, "due"], [0.01, "0.1 s"], [9.9, "9.9 s"], [9.95, "10 s"], [59.2, "1 min"], [61, "1 min 1 s"],
    [3599, "59 min"], [3600, "1 h"], [3661, "1 h 1 min"], [90000, "1 d 1 h"], [315576000, "3,652 d 12 h"]];
  for (const [seconds, text] of cases) assert.equal(remaining(seconds), text);
  assert.equal(elapsed(59.9), "59 s");
});

test("counts and small times", () => {
  assert.equal(formatCount(9412), "9,412");
  assert.equal(formatCount(1795234286501712), "1,795,234,286,501,712");
  assert.equal(shortRev(412), "412");
  assert.equal(shortRev(1795234286501712), "…501,712");
  assert.equal(plural(1, "event"), "1 event");
  assert.equal(plural(0, "event"), "0 events");
  assert.deepEqual([0.0004, 0.012, 1.5].map(shortDuration), ["0.4 ms", "12 ms", "1.5 s"]);
});

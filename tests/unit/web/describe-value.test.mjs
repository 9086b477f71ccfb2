// What a value is, and what is shown of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { brackets, lines, parts, seen } from "../../../web/text/describe-value.js";

test("the type is that of the JSON, with what helps to read it", () => {
  const said = (value) => {
    const { type, about } = seen(value);
    return about === "" ? type : `${type}: ${about}`;
  };
  assert.equal(said(null), "null");
  assert.equal(said(true), "boolean");
  assert.equal(said(7), "number");
  assert.match(said(1_800_000_000), /^number: as an instant: 2027-01-1/);
  assert.match(said(1_800_000_000_000), /^number: as an instant: 2027-01-1/);
  assert.equal(said(9007199254740993n), "number");
  assert.equal(said("one\ntwo"), "text: 7 characters, 2 lines");
  assert.equal(said([1]), "list: 1 item");
  assert.equal(said({ a: 1, b: 2 }), "object: 2 fields");
});

test("text that holds JSON can be opened, and is still text", () => {
  assert.deepEqual(seen('{"a": [1]}').tree, { a: [1] });
  assert.equal(seen('{"a": [1]}').type, "text holding JSON");
  assert.equal(seen("{oops").tree, undefined);
  assert.equal(seen("12").tree, undefined);
});

test("parts are listed up to a limit, and the rest is counted", () => {
  assert.deepEqual(parts({ a: 1, b: 2, c: 3 }, 2), { shown: [{ name: "a", value: 1 }, { name: "b", value: 2 }], left: 1 });
  assert.deepEqual(parts(["x"], 9), { shown: [{ name: "0", value: "x" }], left: 0 });
  assert.equal(brackets([1, 2]), "[ 2 ]");
  assert.equal(brackets({}), "{ 0 }");
});

test("text is compared as it reads, all else as JSON", () => {
  assert.equal(lines("a\nb"), "a\nb");
  assert.equal(lines({ a: 1 }), '{\n  "a": 1\n}');
});

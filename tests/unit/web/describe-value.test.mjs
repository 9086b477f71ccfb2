// The type of a value, and how it is shown.

import assert from "node:assert/strict";
import { test } from "node:test";

import { brackets, describeValue, diffText, parts } from "../../../web/text/describe-value.js";

test("the type is the JSON type, with a fact that helps to read the value", () => {
  const textOf = (value) => {
    const { type, about } = describeValue(value);
    return about === "" ? type : `${type}: ${about}`;
  };
  assert.equal(textOf(null), "null");
  assert.equal(textOf(true), "boolean");
  assert.equal(textOf(7), "number");
  assert.match(textOf(1_800_000_000), /^number: as an instant: 2027-01-1/);
  assert.match(textOf(1_800_000_000_000), /^number: as an instant: 2027-01-1/);
  assert.equal(textOf(9007199254740993n), "number");
  assert.equal(textOf("one\ntwo"), "text: 7 characters, 2 lines");
  assert.equal(textOf([1]), "list: 1 item");
  assert.equal(textOf({ a: 1, b: 2 }), "object: 2 fields");
});

test("text that contains JSON can be opened, and its type is still text", () => {
  assert.deepEqual(describeValue('{"a": [1]}').tree, { a: [1] });
  assert.equal(describeValue('{"a": [1]}').type, "text holding JSON");
  assert.equal(describeValue("{oops").tree, undefined);
  assert.equal(describeValue("12").tree, undefined);
});

test("parts are listed up to a limit, and the others are counted", () => {
  assert.deepEqual(parts({ a: 1, b: 2, c: 3 }, 2), { shown: [{ name: "a", value: 1 }, { name: "b", value: 2 }], left: 1 });
  assert.deepEqual(parts(["x"], 9), { shown: [{ name: "0", value: "x" }], left: 0 });
  assert.equal(brackets([1, 2]), "[ 2 ]");
  assert.equal(brackets({}), "{ 0 }");
});

test("text is compared as it is, other values as JSON", () => {
  assert.equal(diffText("a\nb"), "a\nb");
  assert.equal(diffText({ a: 1 }), '{\n  "a": 1\n}');
});

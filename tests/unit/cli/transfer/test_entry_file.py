"""The file of export and import: what is in it, what is wrong with it, and in which parts it is written."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest

from waggle.cli.transfer.entry_file import (
    HEADER_BYTES,
    MAX_SHOWN_FAULTS,
    CheckedFile,
    check_file,
    read_export,
    valid_entries,
)
from waggle.wire.export_lines import ExportLine
from waggle.wire.exports import MAX_BATCH_BYTES, batches
from waggle.wire.limits import MAX_TXN_STEPS, MAX_VALUE_BYTES

HEAD = {"waggle": "export", "version": 1}


def file(*entries: Any, head: Any = HEAD) -> io.BytesIO:
    """A file of these lines; those that are bytes are as they are."""
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in (head, *entries)]
    return io.BytesIO(b"\n".join(texts))


def entry(key: str = "k", value: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"key": key, "value": value, **fields}


def looked(opened: io.BytesIO, ns: str | None) -> CheckedFile:
    """Return the result of checking a file."""
    return check_file(read_export(opened), ns)


def entries(opened: io.BytesIO, ns: str | None = None) -> list[ExportLine]:
    """The entries of a file that are good."""
    return list(valid_entries(read_export(opened), ns, CheckedFile()))


def test_an_entry_has_its_defaults() -> None:
    opened = file(entry("a", {"ü": [1, 2.5, None]}, ns="n", kind="versioned", meta={"m": 1}, expires_at=5.0), entry())
    first, second = entries(opened)
    assert (first.place, first.kind, first.meta, first.expires_at) == (("n", "a"), "versioned", {"m": 1}, 5.0)
    assert json.loads(bytes(first.value)) == {"ü": [1, 2.5, None]}
    assert (second.place, second.kind, second.meta, second.expires_at) == (("default", "k"), "persistent", None, None)


def test_one_namespace_can_be_given_to_all_entries() -> None:
    opened = file(entry("a", ns="n"), entry("b", ns="$dead"))
    assert [line.place for line in entries(opened, "copy")] == [("copy", "a"), ("copy", "b")]
    opened.seek(0)
    assert check_file(read_export(opened), "copy").keys == {"copy": {"a", "b"}}


def test_a_good_file() -> None:
    checked = looked(file(entry("a"), b"  ", entry("b", ns="n"), b"", head={**HEAD, "entries": 2, "later": 1}), None)
    assert (checked.faults, checked.count, checked.keys) == (0, 2, {"default": {"a"}, "n": {"b"}})


WRONG = {
    "no JSON": (b'{"key": "a", ', "line 2"),
    "not UTF-8": (b'{"key": "\xff", "value": 1}', "line 2"),
    "no value": ({"key": "a"}, "value"),
    "no key": ({"value": 1}, "key"),
    "a field too many": (entry(rev=7), "rev"),
    "a kind that is none": (entry(kind="solid"), "solid"),
    "meta that is no object": (entry(meta=[1]), "meta"),
    "a ttl as text": (entry(expires_at="soon"), "expires_at"),
    "a deadline beyond all": (entry(expires_at=time.time() + 4e8), "ten years"),
    "an empty key": (entry(""), "key"),
    "white space": (entry(" a"), "key"),
    "a long key": (entry("a" * 256), "256"),
    "a namespace of the hub": (entry(ns="$dead"), "$"),
    "a namespace that is none": (entry(ns="a b"), "ns"),
    "a number beyond 64 bits": (entry(value=2**63), "64 bits"),
    "a number beyond all": (b'{"key": "a", "value": 1e400}', "line 2"),
    "nested too deep": (b'{"key": "a", "value": ' + b"[" * 101 + b"]" * 101 + b"}", "deep"),
    "nested much too deep": (b'{"key": "a", "value": ' + b"[" * 5000 + b"]" * 5000 + b"}", "line 2"),
    "too large": (entry(value="a" * MAX_VALUE_BYTES), "bytes"),
    "a large meta": (entry(meta={"a": "b" * 70_000}), "meta"),
}


@pytest.mark.parametrize(("line", "word"), WRONG.values(), ids=WRONG)
def test_a_wrong_line_is_told_with_its_number(line: Any, word: str) -> None:
    checked = looked(file(line, entry("good")), None)
    assert checked.faults == 1
    assert checked.shown[0].startswith("line 2: ")
    assert word in checked.shown[0]


def test_every_wrong_line_is_counted_and_the_first_are_told() -> None:
    checked = looked(file(entry("good"), *[entry(f"k{n}", ns="$x") for n in range(100)]), None)
    assert (checked.faults, len(checked.shown)) == (100, MAX_SHOWN_FAULTS)
    assert checked.shown[0].startswith("line 3: ")


def test_a_value_may_be_written_with_any_white_space() -> None:
    spaced = b'{"key": "a", "value": ["%s"%s]}' % (b"a" * (MAX_VALUE_BYTES - 100), b" " * 200)
    assert looked(file(spaced), None).faults == 0


@pytest.mark.parametrize(
    "head", [b"", entry(), {"waggle": "backup", "version": 1}, {"waggle": "export", "version": 2}, b"\xff", b"[" * 5000]
)
def test_an_invalid_export_is_reported_at_once(head: Any) -> None:
    checked = looked(file(*[b"nonsense"] * 10, head=head), None)
    assert checked.faults == 1
    assert checked.shown[0].startswith("line 1: this is not the beginning of an export")


@pytest.mark.parametrize("said", [1, 3])
def test_a_file_that_was_cut_off_is_found_out(said: int) -> None:
    checked = looked(file(entry("a"), entry("b"), head={**HEAD, "entries": said}), None)
    assert checked.shown == [f"line 3: the file ends after 2 entries and should have {said}: it was cut off or changed"]


def test_a_key_that_comes_twice() -> None:
    twice = [entry("a", ns="x"), entry("a", ns="y"), entry("a", ns="x")]
    assert looked(file(*twice), None).shown == ["line 4: 'a' in namespace 'x' stands in the file twice"]
    assert looked(file(*twice), "z").faults == 2


def test_a_batch_has_no_more_than_a_txn_takes() -> None:
    parts = list(batches(entries(file(*[entry(f"{n}") for n in range(300)]))))
    assert [len(part) for part in parts] == [MAX_TXN_STEPS, MAX_TXN_STEPS, 300 - 2 * MAX_TXN_STEPS]
    assert [line.key for part in parts for line in part] == [f"{n}" for n in range(300)]
    assert list(batches([])) == []


def test_a_batch_is_no_larger_than_it_may_be_but_for_one_value() -> None:
    sizes = [MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES // 2 - 2, 10, MAX_BATCH_BYTES * 2, 10, 10]
    opened = file(*[entry(f"{n}", "a" * (size - 2)) for n, size in enumerate(sizes)])
    assert [[len(bytes(line.value)) for line in part] for part in batches(entries(opened))] == [
        sizes[:2], [10], [MAX_BATCH_BYTES * 2], [10, 10],
    ]  # fmt: skip


def test_the_header_of_an_export_has_room_for_every_number() -> None:
    head = {**HEAD, "epoch": "f" * 12, "rev": 2**53, "at": 9_999_999_999.999, "entries": 2**53}
    assert len(json.dumps(head)) < HEADER_BYTES


def test_a_line_has_nothing_in_it_that_goes_without_saying() -> None:
    assert ExportLine(key="a", value=b"1").place == ("default", "a")  # type: ignore[arg-type]


def test_wrong_entries_are_left_out_of_the_valid_ones() -> None:
    opened = file(entry("a"), b"nonsense", entry("b", ns="$x"), entry("a", 2), entry("c"))
    checked = CheckedFile()
    assert [line.key for line in valid_entries(read_export(opened), None, checked)] == ["a", "c"]
    assert (checked.count, checked.faults) == (2, 3)

"""How things look as text: every rule of `waggle.cli.output.format`, without a hub."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest
from msgspec import UNSET

from waggle import Entry, Event
from waggle.cli.output.format import (
    amount,
    byte_size,
    count_of,
    duration,
    iso_time,
    milliseconds,
    preview,
    text_or_json,
    time_left,
    time_of_day,
    to_json,
    truncate,
)

NASTY = "\x1b[2J \x7f \x9b31m \u202e \u2066 end"


def entry(**fields: Any) -> Entry:
    known: dict[str, Any] = {
        "key": "task:1", "ns": "default", "rev": 105, "version": 2, "kind": "persistent", "created_at": 1000.0,
        "updated_at": 1000.0, "expires_at": None, "by": "impl-1", "value": {"n": 1},
    }  # fmt: skip
    return Entry(**{**known, **fields})


@pytest.mark.parametrize("value", [None, 1.5, "text", [1, {"a": NASTY}], {"ключ": "значение"}, NASTY])
def test_json_means_the_same_and_cannot_act_on_a_terminal(value: Any) -> None:
    for indented in (False, True):
        text = to_json(value, indented=indented)
        assert json.loads(text) == value
        assert all(char.isprintable() or char == "\n" for char in text)
    assert "\n" not in to_json(value)


def test_entries_and_events_are_json_as_on_the_wire() -> None:
    assert json.loads(to_json(entry(value=UNSET)))["by"] == "impl-1"
    event = json.loads(to_json(Event(type="set", rev=5, key="k", value=None)))
    assert event == {"type": "set", "rev": 5, "key": "k", "value": None}


def test_a_preview_is_cut_to_its_width() -> None:
    assert preview("x" * 100, 10) == '"' + "x" * 8 + "…"
    assert preview("x", 3) == '"x"'
    assert preview(UNSET, 10) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (45.9, "45s"), (60.0, "1m"), (200.0, "3m 20s"), (7500.0, "2h 5m"), (1_050_000.0, "12d 3h")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left() -> None:
    assert time_left(None, 1000.0) == "-"
    assert time_left(1004.25, 1000.0) == "4.2s"
    assert time_left(1090.0, 1000.0) == "1m 30s"
    assert time_left(999.0, 1000.0) == "0.0s"


def test_a_status_is_printed_as_text_if_it_is_text() -> None:
    assert text_or_json("at work") == "at work"
    assert text_or_json({"step": 2}) == '{"step":2}'
    assert text_or_json(None) == ""
    assert text_or_json(NASTY).isprintable()


def test_instants_are_for_people_or_for_programs() -> None:
    assert re.fullmatch(r"\d\d:\d\d:40\.250", time_of_day(1000.25))
    assert datetime.fromisoformat(iso_time(1000.25)).timestamp() == 1000.25


def test_amounts_and_sizes_are_short() -> None:
    assert [amount(n) for n in (0, 0.25, 9, 12.7, 1234567)] == ["0", "0.2", "9", "13", "1,234,567"]
    assert [byte_size(n) for n in (0, 1023, 1536, 3 * 2**30)] == ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]
    assert [milliseconds(s) for s in (0.0, 0.0000421, 0.25)] == ["0 ms", "0.0421 ms", "250 ms"]
    assert [count_of(n, "session") for n in (0, 1, 2)] == ["0 sessions", "1 session", "2 sessions"]


def test_a_text_is_cut_by_the_cells_it_takes() -> None:
    assert truncate("abc", 3) == "abc"
    assert truncate("abcd", 3) == "ab…"
    assert truncate("日本語", 6) == "日本語"
    assert truncate("日本語", 5) == "日本…"
    assert truncate("日本語", 4) == "日…"
    assert truncate("e\u0301" * 3, 3) == "e\u0301" * 3
    assert truncate("anything", None) == "anything"

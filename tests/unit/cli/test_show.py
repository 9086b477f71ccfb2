"""How things look: every rule of `waggle.cli.show`, without a hub."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from msgspec import UNSET

from waggle import Entry, Event
from waggle.cli.show import agent_row, duration, entry_row, event_line, in_table, in_tabs, left, preview, to_json

NASTY = "\x1b[2J \x7f \x9b31m \u202e \u2066 end"


def entry(**fields: Any) -> Entry:
    known: dict[str, Any] = {
        "key": "task:1", "ns": "default", "rev": 105, "version": 2, "kind": "persistent", "created_at": 1000.0,
        "updated_at": 1000.0, "expires_at": None, "by": "impl-1", "value": {"n": 1},
    }  # fmt: skip
    return Entry(**{**known, **fields})


def line(event: Event, width: int | None = None) -> str:
    return event_line(event, with_ns=False, width=width, colour=False)


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
    assert left(None, 1000.0) == "-"
    assert left(1004.25, 1000.0) == "4.2s"
    assert left(1090.0, 1000.0) == "1m 30s"
    assert left(999.0, 1000.0) == "0.0s"


def test_rows_for_programs_are_lines_with_tabs() -> None:
    rows = [entry_row(entry(value="a\tb\nc", expires_at=1100.0), 1000.0), entry_row(entry(by=NASTY), 1000.0)]
    lines = in_tabs(rows).splitlines()
    assert lines[0].split("\t") == ["task:1", '"a\\tb\\nc"', "1m 40s", "impl-1", "105"]
    assert len(lines) == 2
    assert lines[1].split("\t")[1] == '{"n":1}'


def test_agents_show_role_state_and_status() -> None:
    value = {"session": "s", "connected": True, "since": 900.0, "meta": {"role": "tester"}, "status": "at work"}
    assert agent_row(entry(key="t-1", value=value), 1000.0) == ["t-1", "tester", "here", "1m 40s", "at work"]
    value |= {"connected": False, "meta": None, "status": {"step": 2}}
    assert agent_row(entry(key="t-1", value=value), 1000.0)[1:] == ["", "away", "1m 40s", '{"step":2}']
    value |= {"meta": {"role": 7}, "status": None}
    assert agent_row(entry(key="t-1", value=value), 1000.0)[1::3] == ["7", ""]


@pytest.mark.parametrize("key", ["k", "k" * 255])
def test_a_table_fits_the_terminal(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [[key, "v" * 200, "1m", "[bold]impl[/]", "105"]] * 3
    in_table(("KEY", "VALUE", "LEFT", "BY", "REV"), rows, wide=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(len(line) <= 80 for line in lines)
    assert all(re.search(r"^k+…? +v+… +1m +\[bold\]impl\[/\] +105 *$", line) for line in lines[1:])


def test_a_table_without_rows_is_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    in_table(("KEY", "VALUE"), [], wide=1)
    assert capsys.readouterr().out.split() == ["KEY", "VALUE"]


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        (Event(type="set", value={"n": 1}), 'impl-1  {"n":1}'),
        (Event(type="set"), "impl-1"),
        (Event(type="message", data="hi"), 'impl-1  "hi"'),
        (Event(type="expire", late=0.0012), "impl-1  1.2 ms late"),
        (Event(type="expire"), "impl-1"),
        (Event(type="delete", reason="session_ended"), "impl-1  session_ended"),
        (Event(type="delete"), "impl-1"),
        (Event(type="touch", expires_at=1090.0), "impl-1  1m 30s left"),
        (Event(type="touch", expires_at=None), "impl-1  no deadline any more"),
        (Event(type="of a later version"), "impl-1"),
    ],
)
def test_each_event_is_a_line_with_time_type_key_author_and_what_matters(event: Event, ending: str) -> None:
    event.key, event.by, event.at = "task:1", "impl-1", 1000.0
    text = line(event)
    assert re.match(rf"\d\d:\d\d:40\.000  {event.type} +task:1  ", text)
    assert text.endswith(ending)


def test_an_event_shows_its_namespace_where_there_are_many_and_is_cut_to_the_terminal() -> None:
    event = Event(type="set", key="k", ns="demo", by="a", at=1000.0, value="v" * 500)
    assert " demo k  a  " in event_line(event, with_ns=True, width=None, colour=False)
    assert len(line(event, width=60)) == 60
    coloured = event_line(event, with_ns=False, width=60, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == line(event, width=60)


def test_where_the_snapshot_ends_and_where_it_begins_anew_is_said() -> None:
    assert "what happens" in line(Event(type="synced"))
    assert "(epoch)" in line(Event(type="lost", reason="epoch"))
    assert "(unknown)" in line(Event(type="lost"))


def test_what_agents_wrote_cannot_act_on_the_terminal() -> None:
    event = Event(type="set", key=NASTY, by=NASTY, ns=NASTY, value=NASTY, at=1000.0)
    assert event_line(event, with_ns=True, width=None, colour=False).isprintable()
    assert line(Event(type="lost", reason=NASTY)).isprintable()

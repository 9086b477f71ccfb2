"""Events as lines: every rule of `waggle.cli.output.event_lines`, without a hub."""

from __future__ import annotations

import json
import re
import time

import pytest

from waggle import Event
from waggle.cli.output.event_lines import event_line, event_printer, event_row

NASTY = "\x1b[2J \x7f \x9b31m \u202e \u2066 end"


def line(event: Event, width: int | None = None) -> str:
    return event_line(event, with_ns=False, width=width, colour=False)


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
def test_each_event_is_a_line_with_time_type_key_author_and_detail(event: Event, ending: str) -> None:
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


def test_the_end_and_the_restart_of_a_snapshot_are_shown() -> None:
    assert "new events follow" in line(Event(type="synced"))
    assert "(epoch)" in line(Event(type="lost", reason="epoch"))
    assert "(unknown)" in line(Event(type="lost"))


def test_values_of_agents_cannot_control_the_terminal() -> None:
    event = Event(type="set", key=NASTY, by=NASTY, ns=NASTY, value=NASTY, at=1000.0)
    assert event_line(event, with_ns=True, width=None, colour=False).isprintable()
    assert line(Event(type="lost", reason=NASTY)).isprintable()


def test_for_programs_an_event_is_columns_with_tabs_and_its_date(capsys: pytest.CaptureFixture[str]) -> None:
    event = Event(type="set", key="a b", ns="demo", by="me", at=1000.25, rev=7, value="x\ty")
    event_printer(json=False)(event)
    event_printer(json=False, with_ns=True, with_rev=True)(event)
    short, full = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
    assert short[1:] == ["set", "a b", "me", '"x\\ty"']
    assert re.fullmatch(r"1970-01-01T\d\d:16:40\.250[+-]\d\d:\d\d", short[0])
    assert full[1:] == ["7", "set", "demo", "a b", "me", '"x\\ty"']


def test_for_programs_synced_and_lost_have_as_many_columns_as_events() -> None:
    assert event_row(Event(type="synced", rev=7)) == ["-", "synced", "", "", ""]
    assert event_row(Event(type="lost", reason="epoch"))[-1] == "epoch"


def test_with_json_an_event_is_an_object_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    event_printer(json=True)(Event(type="set", key="k", value=NASTY))
    assert json.loads(capsys.readouterr().out)["value"] == NASTY


def test_for_people_another_day_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    show = event_printer(json=False, with_rev=True)
    for at in (1000.0, 1001.0, time.time()):
        show(Event(type="set", key="k", by="me", at=at, rev=7, value=1))
    lines = capsys.readouterr().out.splitlines()
    assert [text.startswith("-- ") for text in lines] == [True, False, False, True, False]
    assert "Thursday, 1970-01-01" in lines[0]
    assert re.search(r"\.000 +7  set ", lines[1])

"""`watch --exec`: what the command is given of an event, and what becomes of its failures."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import typer

from waggle import Event
from waggle.cli.process.event_handler import MAX_VARIABLE_BYTES, EventHandler, event_variables

NASTY = "$(touch owned) `touch owned` \" ' ; touch owned"


def event(key: str = "k", *, at: float | None = None, snapshot: bool = False) -> Event:
    at = time.time() if at is None else at
    return Event(type="set", key=key, ns="demo", by="me", rev=7, at=at, value={"n": 1}, snapshot=snapshot)


def test_an_event_is_variables_and_its_value_is_json() -> None:
    assert event_variables(event(at=1.5)) == {
        "WAGGLE_EVENT_TYPE": "set",
        "WAGGLE_EVENT_KEY": "k",
        "WAGGLE_EVENT_NS": "demo",
        "WAGGLE_EVENT_REV": "7",
        "WAGGLE_EVENT_BY": "me",
        "WAGGLE_EVENT_AT": "1.5",
        "WAGGLE_EVENT_VALUE": '{"n":1}',
    }
    assert event_variables(Event(type="message", data="hi\x00"))["WAGGLE_EVENT_VALUE"] == '"hi\\u0000"'
    assert "WAGGLE_EVENT_VALUE" not in event_variables(Event(type="delete"))


def test_a_value_too_long_for_a_variable_is_on_standard_input_only() -> None:
    assert "WAGGLE_EVENT_VALUE" in event_variables(Event(type="set", value="x" * (MAX_VARIABLE_BYTES - 2)))
    assert "WAGGLE_EVENT_VALUE" not in event_variables(Event(type="set", value="x" * MAX_VARIABLE_BYTES))


async def test_the_command_has_the_event_on_standard_input_and_in_variables(tmp_path: Path) -> None:
    out = tmp_path / "out"
    handler = EventHandler(f'cat >> {out}; echo " $WAGGLE_EVENT_KEY $WAGGLE_EVENT_VALUE" >> {out}', strict=False)
    await handler(event("a"))
    await handler(event("b"))
    lines = [line.rpartition("} ")[0].partition('"} ')[0] for line in out.read_text().splitlines()]
    assert len(lines) == 2
    assert [line.split(" ")[-2:] for line in out.read_text().splitlines()] == [["a", '{"n":1}'], ["b", '{"n":1}']]
    assert json.loads(out.read_text().splitlines()[0].rsplit(" ", 2)[0])["key"] == "a"


async def test_values_of_agents_are_never_part_of_the_command(tmp_path: Path) -> None:
    hostile = Event(type="set", key=NASTY, ns="demo", by=NASTY, rev=7, at=time.time(), value=NASTY)
    await EventHandler(f'cd {tmp_path}; echo "$WAGGLE_EVENT_KEY$WAGGLE_EVENT_VALUE" > out; cat >> out', strict=True)(
        hostile
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


async def test_a_large_event_that_the_command_does_not_read_is_no_error() -> None:
    await EventHandler("true", strict=True)(Event(type="set", key="k", at=time.time(), value="x" * 5_000_000))


async def test_a_failure_is_told_and_goes_on_unless_it_must_not(capfd: pytest.CaptureFixture[str]) -> None:
    await EventHandler("exit 3", strict=False)(event())
    assert "code 3, at set 'k', rev 7" in capfd.readouterr().err
    with pytest.raises(typer.Exit) as ended:
        await EventHandler("kill -9 $$", strict=True)(event())
    assert ended.value.exit_code == 2
    assert "code 137" in capfd.readouterr().err


async def test_synced_and_lost_run_no_event_handler(capfd: pytest.CaptureFixture[str]) -> None:
    handler = EventHandler("echo ran", strict=True)
    await handler(Event(type="synced"))
    await handler(Event(type="lost", reason="epoch"))
    said = capfd.readouterr()
    assert said.out == ""
    assert "missed too many events" in said.err


async def test_a_command_that_falls_behind_is_told_of_once(capfd: pytest.CaptureFixture[str]) -> None:
    handler = EventHandler("true", strict=True)
    for late in (0.0, 60.0, 61.0):
        await handler(event(at=time.time() - late))
    await handler(event(at=1.0, snapshot=True))
    assert capfd.readouterr().err.count("slower than the events, and 1m behind") == 1

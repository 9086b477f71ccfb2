"""What the demo tells of the crew's events."""

from __future__ import annotations

from typing import Any

from waggle import Event
from waggle.cli.story import Story


def told(*events: tuple[float, str, str, Any]) -> list[str]:
    """The lines of the story about events of (time, author, key, value)."""
    story = Story()
    return [
        line
        for at, by, key, value in events
        for line in story.tell(Event(type="set", at=at, by=by, key=key, value=value))
    ]


def test_a_build_is_told_from_findings_to_result() -> None:
    lines = told(
        (10.0, "researcher", "build/7/research/findings", {"services": []}),
        (10.002, "user-service", "build/7/builders/user-service/progress", {"status": "designing", "percent": 0}),
        (11.0, "user-service", "build/7/builders/user-service/progress", {"status": "writing", "percent": 30}),
        (12.0, "user-service", "build/7/builders/user-service/complete", {}),
        (12.5, "order-service", "build/7/builders/order-service/complete", {}),
        (12.501, "tester", "environments/staging", {}),
        (14.0, "tester", "build/7/tests/result", {"passed": 5, "failed": 0}),
    )
    assert lines == [
        "",
        "build 7",
        "    0.0 s  researcher       has the findings: three builders can begin",
        "    0.0 s  user-service     designing; begun 2 ms after the findings were there",
        "    1.0 s  user-service     writing, 30 %",
        "    2.0 s  user-service     complete (1 of 3)",
        "    2.5 s  order-service    complete (2 of 3)",
        "    2.5 s  tester           tests on staging; begun 1 ms after the last service was complete",
        "    4.0 s  tester           result: 5 tests pass, 0 fail",
    ]


def test_messages_are_quoted_and_cannot_act_on_the_terminal() -> None:
    event = Event(type="message", key="chat", by="tester", data={"text": "done \x1b[2J"})
    (line,) = Story().tell(event)
    assert line.endswith(r'says "done \u001b[2J"')


def test_what_is_none_of_the_crew_s_is_left_out() -> None:
    assert told((1.0, "somebody", "build/7", 1), (1.0, "somebody", "other", 1)) == []
    assert Story().tell(Event(type="synced")) == []
    assert Story().tell(Event(type="expire", key="build/7/builders/user-service/progress")) == []

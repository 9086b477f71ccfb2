"""The narration of `waggle demo`: lines about the events of the crew and of an example."""

from __future__ import annotations

from typing import Any

from waggle import Event
from waggle.cli.demo.narration import CrewNarrator, ExampleNarrator, describe_counts
from waggle.wire.messages import OpCount


def told(*events: tuple[float, str, str, Any]) -> list[str]:
    """The lines of the story about events of (time, author, key, value)."""
    story = CrewNarrator()
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
    (line,) = CrewNarrator().tell(event)
    assert line.endswith(r'says "done \u001b[2J"')


def test_events_outside_the_crew_are_left_out() -> None:
    assert told((1.0, "somebody", "build/7", 1), (1.0, "somebody", "other", 1)) == []
    assert CrewNarrator().tell(Event(type="synced")) == []
    assert CrewNarrator().tell(Event(type="expire", key="build/7/builders/user-service/progress")) == []


# --- examples ----------------------------------------------------------------------------------------------------


def chronicle(*events: Event) -> list[str]:
    teller = ExampleNarrator()
    return [line for event in events for line in teller.tell(event)]


def test_each_event_of_an_example_is_a_line() -> None:
    assert chronicle(
        Event(type="set", at=10.0, by="designer", key="handoff/design/spec", value={"auth": "JWT"}),
        Event(type="lock", at=10.5, by="editor", key="src/a.py", mode="exclusive", token=3),
        Event(type="lock", at=10.6, by="reader", key="src/*", mode="shared", token=4),
        Event(type="unlock", at=11.0, by="editor", key="src/a.py", token=3, reason="released"),
        Event(type="unlock", at=12.0, by="$hub", key="src/*", token=4, reason="expired"),
        Event(type="message", at=12.0, by="lead", key="chat", data="go\x1b[2J"),
    ) == [
        '    0.0 s  designer            writes handoff/design/spec  {"auth":"JWT"}',
        "    0.5 s  editor              has locked src/a.py",
        "    0.6 s  reader              has a shared lock on src/*",
        "    1.0 s  editor              frees src/a.py",
        "    2.0 s  $hub                frees src/*: expired",
        r'    2.0 s  lead                says "go\u001b[2J"',
    ]


def test_a_lock_that_ends_with_its_entry_is_not_told_twice() -> None:
    assert chronicle(
        Event(type="delete", rev=7, at=1.0, by="worker", key="job/1"),
        Event(type="unlock", rev=7, at=1.0, by="worker", key="job/1", token=5, reason="released"),
        Event(type="delete", rev=8, at=1.0, by="worker", key="job/2"),
        Event(type="synced"),
    ) == ["    0.0 s  worker              deletes job/1", "    0.0 s  worker              deletes job/2"]


def test_commands_are_counted_without_those_of_the_demo_itself() -> None:
    before = {"set": OpCount(2), "ping": OpCount(3)}
    after = {"set": OpCount(5), "ping": OpCount(9), "wait": OpCount(3), "hello": OpCount(4), "get": OpCount(1)}
    assert describe_counts(before, after) == "7 commands: set 3, wait 3, get 1"

"""Fan-out: events in the order of the engine, encoded once, to exactly their subscribers, whatever a slow one does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.delivery.fanout_harness import FanoutHarness, brief
from waggle_hub.delivery import catchup, encoding, fanout
from waggle_hub.settings import Bounds, Limits

SMALL = Bounds(unsent=400, frame=300)


@pytest.fixture
def harness() -> FanoutHarness:
    harness = FanoutHarness()
    harness.open_session("a", "b", "c")
    return harness


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a body and a line were encoded, and how often a refill did so."""
    counts = {"body": 0, "line": 0, "refill": 0}

    def counted(name: str, module: Any, function: str) -> None:
        original = getattr(module, function)

        def call(*args: Any) -> Any:
            counts[name] += 1
            return original(*args)

        monkeypatch.setattr(module, function, call)

    counted("body", encoding, "event_body")
    counted("line", encoding, "event_line")
    counted("refill", catchup, "chain")
    return counts


# --- encoded once ---


def test_an_event_is_encoded_once_however_many_follow(encodes: dict[str, int]) -> None:
    harness = FanoutHarness()
    names = [f"s{number}" for number in range(200)]
    harness.open_session(*names)
    for name in names:
        harness.subscribe(name)
    harness.do("s0", "publish", channel="c", data=1)
    assert encodes == {"body": 1, "line": 1, "refill": 0}
    for name in names[1:]:
        assert brief(harness.take(name)) == [("message", 201, 200)]


def test_a_body_is_encoded_once_for_each_values_and_prev_and_a_line_once_for_each_interest(
    harness: FanoutHarness, encodes: dict[str, int]
) -> None:
    for session in "abc":
        for patterns in (["*"], ["k*"], ["?"]):
            for values in (True, False):
                harness.subscribe(session, patterns=patterns, values=values)
    harness.do("a", "set", key="k", value=1)
    assert encodes == {"body": 2, "line": 6, "refill": 0}


def test_an_event_without_subscribers_is_not_encoded(harness: FanoutHarness, encodes: dict[str, int]) -> None:
    sub = harness.subscribe("a", types=["set"])
    harness.do("b", "publish", channel="c", data=1)
    harness.machine_harness.drop("a")
    harness.fanout.leave(harness.connections["a"])
    harness.do("b", "set", key="k", value=1)
    assert encodes["body"] == 0
    harness.connect("a")
    harness.machine_harness.return_to("a", cursors={sub: 4})
    harness._collect("a")
    harness.release()
    assert ("set", 5 + 1, 4) in brief(harness.take("a"))


def test_subscribers_of_one_interest_get_the_same_payload(harness: FanoutHarness) -> None:
    harness.subscribe("a")
    harness.subscribe("b")
    harness.do("c", "publish", channel="c", data=1)
    (one,), (two,) = (harness.connections[name]._lines for name in "ab")
    assert one[0] is two[0]


# --- one write for each turn ---


def test_all_that_is_released_at_once_leaves_in_one_write(harness: FanoutHarness) -> None:
    harness.subscribe("a")
    for number in range(5):
        harness.decide("b", "publish", channel="c", data=number)
        harness.decide("a", "ping")
    harness.release()
    text = harness.frame("a")
    assert text is not None
    assert len(text.split("\n")) == 10
    assert harness.frame("a") is None


def test_frames_are_cut_between_lines_near_the_bound() -> None:
    harness = FanoutHarness(Bounds(frame=1_000))
    harness.open_session("a", "b")
    harness.subscribe("a")
    for number in range(40):
        harness.decide("b", "publish", channel="c", data="x" * 50 + str(number))
    harness.release()
    frames = []
    while (text := harness.frame("a")) is not None:
        frames.append(text)
    assert all(500 < len(text) <= 1_010 for text in frames[:-1])
    assert [json.loads(line)["data"][50:] for text in frames for line in text.split("\n")] == [
        str(n) for n in range(40)
    ]


def test_a_line_longer_than_a_frame_has_one_to_itself() -> None:
    harness = FanoutHarness(Bounds(frame=300))
    harness.open_session("a", "b")
    harness.subscribe("a")
    for length in (10, 2_000, 10):
        harness.decide("b", "publish", channel="c", data="x" * length)
    harness.release()
    assert [len(text) > 300 for text in iter(lambda: harness.frame("a"), None) if text] == [False, True, False]


# --- filters ---


def test_events_are_filtered_exactly(harness: FanoutHarness) -> None:
    harness.subscribe("a", patterns=["task:*", "*:1"], types=["set", "message"])
    harness.subscribe("b", patterns=["*"], ns="*", types=["delete"])
    harness.do("c", "set", key="task:1", value=1)
    harness.do("c", "set", key="file:2", value=1)
    harness.do("c", "set", key="file:1", value=1, ns="other")
    harness.do("c", "publish", channel="note:1", data=1)
    harness.do("c", "delete", key="file:1", ns="other")
    assert [(line["type"], line["key"]) for line in harness.take("a")] == [("set", "task:1"), ("message", "note:1")]
    assert [(line["type"], line["ns"], line["key"]) for line in harness.take("b")] == [("delete", "other", "file:1")]


def test_everywhere_is_everywhere_but_the_hubs_own_namespaces(harness: FanoutHarness) -> None:
    harness.subscribe("a", ns="*")
    harness.subscribe("b", ns="$agents")
    harness.do("c", "status", status="busy")
    assert harness.take("a") == []
    assert [line["key"] for line in harness.take("b")] == ["made-c"]


@pytest.mark.parametrize(("fields", "value", "prev"), [
    ({}, [1], None), ({"values": False}, None, None), ({"prev": True}, [1], {"value": [0]}),
    ({"prev": True, "values": False}, None, {}),
])  # fmt: skip
def test_values_and_previous_entries_are_sent_only_where_asked_for(
    harness: FanoutHarness, fields: Any, value: Any, prev: Any
) -> None:
    harness.do("c", "set", key="k", value=[0])
    harness.subscribe("a", **fields)
    harness.do("c", "set", key="k", value=[1])
    (line,) = harness.take("a")
    assert line.get("value") == value
    assert ("prev" in line) == (prev is not None)
    if prev is not None:
        assert line["prev"].get("value") == prev.get("value")
        assert line["prev"]["version"] == 1


def test_the_events_of_one_command_are_told_together_and_only_the_last_moves_the_cursor(harness: FanoutHarness) -> None:
    harness.subscribe("a")
    for key in "xyz":
        harness.decide("c", "set", key=key, value=1)
    harness.do("c", "clear", pattern="*", confirm=True)
    lines = harness.take("a")
    assert [(line["type"], line["rev"], line["after"], line.get("more", False)) for line in lines] == [
        ("set", 4, 3, False), ("set", 5, 4, False), ("set", 6, 5, False),
        ("delete", 7, 6, True), ("delete", 7, 6, True), ("delete", 7, 6, False),
    ]  # fmt: skip


def test_an_event_names_the_one_before_it_in_the_same_subscription(harness: FanoutHarness) -> None:
    harness.subscribe("a", patterns=["x"])
    for key in "xyyx":
        harness.do("c", "set", key=key, value=1)
    assert brief(harness.take("a")) == [("set", 4, 3), ("set", 7, 4)]


# --- order ---


def test_a_reply_comes_after_every_event_up_to_its_revision(harness: FanoutHarness) -> None:
    harness.subscribe("a")
    harness.decide("b", "set", key="x", value=1)
    harness.decide("a", "set", key="y", value=1)
    harness.decide("b", "set", key="z", value=1)
    harness.decide("a", "ping")
    harness.release()
    assert brief(harness.take("a")) == [("set", 4, 3), ("set", 5, 4), ("set", 6, 5), ("reply", 5), ("reply", 6)]


@pytest.mark.parametrize("end", ["unsubscribe", "bye"])
def test_a_cursor_that_closes_in_the_same_release_gets_the_events_before_it(harness: FanoutHarness, end: str) -> None:
    sub = harness.subscribe("a")
    harness.decide("a", "set", key="x", value=1)
    harness.decide("a", end, **({"sub": sub} if end == "unsubscribe" else {}))
    harness.decide("b", "set", key="y", value=1)
    harness.release()
    assert brief(harness.take("a")) == [("set", 4, 3), ("reply", 4), ("reply", None)]


def test_a_subscription_starts_at_its_place_among_the_events(harness: FanoutHarness) -> None:
    harness.decide("b", "set", key="x", value=1)
    harness.decide("a", "subscribe", patterns=["*"])
    harness.decide("b", "set", key="y", value=1)
    harness.release()
    assert brief(harness.take("a")) == [("reply", 4), ("set", 5, 4)]


def test_no_line_tells_of_an_unreleased_revision(harness: FanoutHarness) -> None:
    """Neither live, nor from the log, nor in a snapshot, nor in a mark."""
    harness.subscribe("a")
    harness.decide("b", "subscribe", patterns=["*"], since={"epoch": "epoch", "rev": 3})
    harness.decide("c", "subscribe", patterns=["*"], snapshot=True)
    harness.release()
    harness.decide("b", "set", key="x", value=1)
    waiting, harness.waiting = harness.waiting, []
    harness.fanout.mark_idle()
    assert brief(harness.take("a")) == [("mark", 3, None)]
    assert brief(harness.take("b")) == [("reply", 3), ("mark", 3, None)]
    assert brief(harness.take("c")) == [("reply", 3), ("synced", 3, None), ("mark", 3, None)]
    harness.waiting = waiting
    harness.release()
    for session in "abc":
        assert ("set", 4, 3) in brief(harness.take(session))


# --- echo ---


def test_without_echo_a_mark_replaces_own_events(harness: FanoutHarness) -> None:
    harness.subscribe("a", echo=False)
    harness.subscribe("b")
    harness.decide("a", "set", key="x", value=1)
    harness.decide("c", "set", key="y", value=1)
    harness.decide("a", "clear", pattern="*", confirm=True)
    harness.release()
    assert brief(harness.take("a")) == [("mark", 4, None), ("set", 5, 4), ("mark", 6, None), ("reply", 4), ("reply", 6)]
    assert brief(harness.take("b")) == [("set", 4, 3), ("set", 5, 4), ("delete", 6, 5), ("delete", 6, 5)]


def test_events_of_another_session_with_the_same_name_are_not_own_events(harness: FanoutHarness) -> None:
    harness.connect("d")
    harness.machine_harness.open_session("d", agent="made-a")
    harness._collect("d")
    harness.subscribe("a", echo=False)
    harness.do("d", "set", key="x", value=1)
    assert [line["by"] for line in harness.take("a")] == ["made-a"]


# --- slow readers ---


def test_a_connection_that_does_not_read_holds_at_most_the_bound(harness: FanoutHarness) -> None:
    harness = FanoutHarness(SMALL)
    harness.open_session("slow", "quick", "writer")
    for name in ("slow", "quick"):
        harness.subscribe(name)
    for number in range(200):
        harness.do("writer", "publish", channel="c", data="x" * 40 + str(number))
        assert len(harness.take("quick")) == 1, "no connection waits for the slow one"
        connection = harness.connections["slow"]
        assert connection.unsent_bytes <= SMALL.unsent + 200
        assert sum(len(text) for text, _, _ in connection._lines) == connection.unsent_bytes
    heard = [line for line in harness.take("slow") if line["type"] == "message"]
    assert [line["data"][40:] for line in heard] == [str(number) for number in range(200)]


def test_a_quiet_subscription_has_no_gap_after_its_connection_fell_behind() -> None:
    """One flood moves all cursors of the connection behind; the quiet one's chain goes on from its own last event."""
    harness = FanoutHarness(SMALL)
    harness.open_session("a", "w")
    harness.subscribe("a", patterns=["quiet"])
    harness.subscribe("a", patterns=["loud"])
    for _ in range(20):
        harness.do("w", "publish", channel="loud", data="x" * 40)
    harness.do("w", "publish", channel="quiet", data=1)
    quiet = [line for line in harness.take("a") if line["type"] == "message" and line["key"] == "quiet"]
    assert [line["after"] for line in quiet] == [2]


def test_catchup_ends_with_a_mark_and_then_the_cursor_is_live(encodes: dict[str, int]) -> None:
    harness = FanoutHarness(SMALL)
    harness.open_session("a", "w")
    harness.subscribe("a")
    for _ in range(10):
        harness.do("w", "publish", channel="c", data="x" * 80)
    assert brief(harness.take("a"))[-1] == ("mark", 12, None)
    assert encodes["refill"] > 0
    before = encodes["refill"]
    harness.do("w", "publish", channel="c", data=1)
    assert brief(harness.take("a")) == [("message", 13, 12)]
    assert encodes["refill"] == before


def test_catchup_without_echo_replaces_own_events_by_marks() -> None:
    harness = FanoutHarness(SMALL)
    harness.open_session("a", "w")
    harness.subscribe("a", echo=False, since={"epoch": "epoch", "rev": 2})
    harness.decide("a", "publish", channel="c", data=1)
    harness.decide("w", "publish", channel="c", data=2)
    harness.decide("a", "publish", channel="c", data=3)
    harness.release()
    heard = [one for one in brief(harness.take("a")) if one[0] != "reply"]
    assert heard == [("mark", 3, None), ("message", 4, 2), ("mark", 5, None), ("mark", 5, None)]


def test_catchup_is_sent_in_slices() -> None:
    harness = FanoutHarness(Bounds(catchup_events=3))
    harness.open_session("a", "w")
    for number in range(10):
        harness.do("w", "publish", channel="c", data=number)
    harness.do("a", "subscribe", patterns=["*"], since={"epoch": "epoch", "rev": 2})
    frames = []
    while (text := harness.frame("a")) is not None:
        frames.append(len(text.split("\n")) if text else 0)
    assert [count for count in frames if count] == [1, 3, 3, 3, 2]


def test_a_slice_reads_fewer_events_for_a_subscription_with_many_patterns() -> None:
    harness = FanoutHarness(Bounds(catchup_events=20))
    harness.open_session("a", "w")
    for number in range(10):
        harness.do("w", "publish", channel="c", data=number)
    harness.do("a", "subscribe", patterns=[f"x{number}" for number in range(10)], since={"epoch": "epoch", "rev": 2})
    slices = 0
    while (text := harness.frame("a")) is not None:
        slices += not text
    assert slices == 5


def test_a_snapshot_is_closed_when_its_connection_has_left(harness: FanoutHarness) -> None:
    """After a takeover the snapshot begins again, so this one will not be read."""
    harness.do("a", "set", key="k", value=1)
    harness.do("a", "subscribe", patterns=["*"], snapshot=True)
    assert len(harness.machine_harness.machine.state.snapshots) == 1
    harness.fanout.leave(harness.connections["a"])
    assert len(harness.machine_harness.machine.state.snapshots) == 0


def test_a_snapshot_is_closed_when_its_connection_leaves_before_it_begins(harness: FanoutHarness) -> None:
    harness.do("a", "set", key="k", value=1)
    harness.decide("a", "subscribe", patterns=["*"], snapshot=True)
    assert len(harness.machine_harness.machine.state.snapshots) == 1
    harness.fanout.leave(harness.connections["a"])
    harness.release()
    assert len(harness.machine_harness.machine.state.snapshots) == 0


def test_a_snapshot_is_closed_when_another_replaces_it(harness: FanoutHarness) -> None:
    harness.do("a", "set", key="k", value=1)
    for _ in range(3):
        harness.do("a", "subscribe", patterns=["*"], snapshot=True)
    assert len(harness.machine_harness.machine.state.snapshots) == 1
    harness.take("a")
    assert len(harness.machine_harness.machine.state.snapshots) == 0


def test_a_slice_ends_when_it_has_enough_bytes() -> None:
    harness = FanoutHarness(Bounds(frame=300, catchup_events=1_000))
    harness.open_session("a", "w")
    for _ in range(10):
        harness.do("w", "publish", channel="c", data="x" * 100)
    harness.do("a", "subscribe", patterns=["*"], since={"epoch": "epoch", "rev": 2})
    while harness.frame("a") is not None:
        assert harness.connections["a"].unsent_bytes < 800


def test_a_cursor_that_falls_out_of_the_log_gets_lost_and_a_snapshot() -> None:
    harness = FanoutHarness(SMALL, Limits(log_events=5))
    harness.open_session("a", "w")
    harness.do("w", "set", key="k", value=1)
    sub = harness.subscribe("a")
    for _ in range(30):
        harness.do("w", "publish", channel="c", data="x" * 40)
    lines = harness.take("a")
    at = [line["type"] for line in lines].index("lost")
    assert lines[at] == {"sub": sub, "type": "lost", "reason": "compacted"}
    assert brief(lines[at + 1 :]) == [("set", 3, 0), ("synced", 33, None), ("mark", 33, None)]
    harness.do("w", "publish", channel="c", data=1)
    assert brief(harness.take("a")) == [("message", 34, 33)]


def test_a_connection_with_a_lost_cursor_gets_no_mark() -> None:
    """A mark without `sub` would carry it over what it has missed."""
    harness = FanoutHarness(SMALL, Limits(log_events=5))
    harness.open_session("a", "w")
    harness.subscribe("a")
    for _ in range(30):
        harness.do("w", "publish", channel="c", data="x" * 40)
    while not harness.waiting:
        assert harness.frame("a") is not None
    assert harness.frame("a") is None
    harness.fanout.mark_idle()
    assert harness.frame("a") is None
    assert [line["type"] for line in harness.take("a")] == ["lost", "synced", "mark"]
    harness.fanout.mark_idle()
    assert [line["type"] for line in harness.take("a")] == ["mark"]


def test_three_losses_in_a_row_close_the_connection_as_too_slow() -> None:
    harness = FanoutHarness(SMALL, Limits(log_events=5))
    harness.open_session("a", "w")
    harness.subscribe("a")
    connection = harness.connections["a"]
    lost = 0
    for _ in range(30):
        for _ in range(30):
            harness.do("w", "publish", channel="c", data="x" * 40)
        while connection.closing is None:
            text = harness.frame("a")
            if harness.waiting:
                harness.release()
            lost += '"lost"' in (text or "")
            if text is None or '"synced"' in text:
                break
    assert connection.closing is not None
    assert connection.closing[0] == 4001
    assert lost == harness.bounds.losses == 3


def test_losses_with_a_catchup_in_between_do_not_close_the_connection() -> None:
    harness = FanoutHarness(SMALL, Limits(log_events=5))
    harness.open_session("a", "w")
    harness.subscribe("a")
    lost = 0
    for _ in range(10):
        for _ in range(30):
            harness.do("w", "publish", channel="c", data="x" * 40)
        lost += [line["type"] for line in harness.take("a")].count("lost")
    assert lost == 10
    assert harness.connections["a"].closing is None


def test_a_snapshot_that_keeps_too_much_memory_starts_again() -> None:
    harness = FanoutHarness(Bounds(catchup_keys=5), Limits(snapshot_bytes=2_000))
    harness.open_session("a", "w")
    for number in range(20):
        harness.do("w", "set", key=f"{number:02}", value="x" * 200)
    harness.do("a", "subscribe", patterns=["*"], snapshot=True)
    assert harness.frame("a")
    assert harness.frame("a") == ""
    for number in range(20):
        harness.do("w", "set", key=f"{number:02}", value="y")
    lines = harness.take("a")
    at = [line["type"] for line in lines].index("lost")
    shown = [line for line in lines[at:] if line.get("snapshot")]
    assert [line["value"] for line in shown] == ["y"] * 20


def test_the_listener_is_called_when_the_end_of_a_snapshot_is_queued(harness: FanoutHarness) -> None:
    """So that a takeover goes on from there, and does not begin again."""
    sub = harness.subscribe("a", snapshot=True)
    session = harness.machine_harness.machine.state.sessions.get("a")
    assert session is not None
    assert not session.subscriptions[sub].synced
    harness.take("a")
    assert session.subscriptions[sub].synced


# --- marks ---


def test_an_idle_connection_gets_a_mark_at_the_newest_revision(harness: FanoutHarness) -> None:
    harness.subscribe("a", patterns=["nothing"])
    harness.subscribe("b", patterns=["nothing"])
    harness.do("c", "publish", channel="c", data=1)
    harness.do("b", "ping")
    harness.take("b")
    harness.fanout.mark_idle()
    for session in "ab":
        assert harness.take(session) == [{"type": "mark", "rev": 4}], "also one that hears replies all the time"
    assert [line["type"] for line in harness.take("c") if "type" in line] == [], "it has no subscription to speak for"


def test_a_connection_with_queued_lines_gets_no_mark(harness: FanoutHarness) -> None:
    harness.subscribe("a")
    harness.do("b", "publish", channel="c", data=1)
    harness.fanout.mark_idle()
    assert brief(harness.take("a")) == [("message", 4, 3)]


# --- takeover and end ---


def test_a_takeover_closes_the_older_connection_and_goes_on_from_got(harness: FanoutHarness) -> None:
    sub = harness.subscribe("a")
    for number in range(3):
        harness.do("b", "publish", channel="c", data=number)
    older = harness.connections["a"]
    harness.connect("a")
    harness.machine_harness.return_to("a", cursors={sub: 4})
    harness._collect("a")
    harness.release()
    assert older.closing is not None
    assert older.closing[0] == 4002
    assert brief(harness.take("a"))[1:] == [("message", 5, 4), ("message", 6, 5), ("mark", 6, None)]
    assert harness.fanout.connections["a"] is harness.connections["a"]
    harness.fanout.leave(older)
    harness.do("b", "publish", channel="c", data=3)
    assert brief(harness.take("a")) == [("message", 7, 6)], "that the older one leaves is nothing to the newer"


def test_a_flood_during_the_release_of_a_takeover_is_delivered() -> None:
    """The older connection is past its bound before it is known to be replaced."""
    harness = FanoutHarness(SMALL)
    harness.open_session("a", "b")
    sub = harness.subscribe("a")
    for _ in range(20):
        harness.decide("b", "publish", channel="c", data="x" * 80)
    harness.connect("a")
    harness.machine_harness.return_to("a", cursors={sub: 2})
    harness._collect("a")
    harness.release()
    assert len([line for line in harness.take("a") if line.get("type") == "message"]) == 20


def test_when_a_session_ends_its_cursors_and_feeds_are_forgotten(harness: FanoutHarness) -> None:
    harness.subscribe("a")
    harness.subscribe("a", patterns=["x"])
    harness.subscribe("b", patterns=["x"])
    harness.do("a", "bye")
    connection = harness.connections["a"]
    assert connection.closing == (1000, "bye")
    harness.do("b", "bye")
    assert harness.fanout.connections.keys() == {"c"}
    assert not harness.fanout._cursors
    assert not harness.fanout._feeds


def test_a_session_end_closes_the_connection_after_its_last_reply(harness: FanoutHarness) -> None:
    harness.decide("a", "ping")
    harness.decide("a", "bye")
    harness.release()
    assert len(harness.take("a")) == 2
    assert harness.connections["a"].closing == (1000, "bye")


def test_a_connection_whose_slice_fails_is_closed_and_others_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = FanoutHarness()
    harness.open_session("a", "b", "w")
    harness.do("w", "set", key="k", value=1)
    monkeypatch.setattr(fanout, "snapshot_slice", _fail)
    harness.subscribe("a", snapshot=True)
    assert harness.take("a") == []
    monkeypatch.undo()
    harness.subscribe("b", snapshot=True)
    assert [line["type"] for line in harness.take("b")] == ["set", "synced", "mark"]
    assert harness.connections["a"].closing is not None
    assert harness.connections["a"].closing[0] == 4001
    assert harness.connections["b"].closing is None


def _fail(*_: object, **__: object) -> None:
    raise RuntimeError("a fault made by the test")

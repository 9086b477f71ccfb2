"""Wait: conditions that hold now, or as soon as a change meets them (protocol 7, G9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.state.waiting_harness import WaitingHarness
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, LimitReached, SessionLost, TimedOut, TooLarge
from waggle_hub.settings import Limits
from waggle_hub.state.effects import DeferredReply, Reply
from waggle_hub.state.waits import condition
from waggle_hub.state.waits.condition import Condition

SLICES = Limits(scan=4)
"""A machine that looks at four keys in one go."""


def key(text: str, **fields: Any) -> dict[str, Any]:
    return {"key": text, **fields}


def keys(pattern: str, **fields: Any) -> dict[str, Any]:
    return {"pattern": pattern, **fields}


def matched(waited: Any) -> list[str]:
    assert isinstance(waited, m.Waited)
    return [entry.key for entry in waited.matched]


def numbers(first: int, last: int) -> list[str]:
    return [f"n:{number:03}" for number in range(first, last + 1)]


# --- now, or as soon as it comes true ---


def test_a_wait_whose_condition_holds_is_answered_at_once() -> None:
    harness = WaitingHarness()
    rev = harness.set("k")
    waited = harness.do("b", "wait", all=[key("k")])
    assert (matched(waited), waited.met, waited.rev) == (["k"], [0], rev)


def test_a_wait_is_answered_by_the_change_that_meets_it_at_its_revision() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("k")])
    rev = harness.set("k", value={"n": 1})
    waited = harness.answer(id)
    assert (matched(waited), waited.met, waited.rev) == (["k"], [0], rev)
    assert bytes(waited.matched[0].value) == b'{"n":1}'
    harness.set("k")
    assert harness.answers() == {}, "each wait is answered once"


def test_a_deferred_reply_follows_the_commit_that_met_the_wait() -> None:
    harness = WaitingHarness()
    harness.ask("b", "wait", all=[key("k")])
    harness.set("k")
    kinds = [type(output).__name__ for output in harness.outputs]
    assert kinds == ["Commit", "DeferredReply", "Reply"]


def test_a_change_of_another_key_answers_no_wait() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", any=[key("k"), keys("n:*")])
    harness.set("other", "kk")
    harness.set("k", ns="elsewhere")
    harness.do("a", "publish", channel="k", data=1)
    harness.do("a", "lock", name="k")
    assert harness.answers() == {}
    harness.set("n:1")
    assert matched(harness.answer(id)) == ["n:1"]


def test_a_condition_is_on_the_sessions_namespace_unless_it_names_one() -> None:
    harness = WaitingHarness()
    harness.open_session("e", ns="project")
    id = harness.ask("e", "wait", all=[key("k"), key("k", ns="default")])
    harness.set("k")
    assert harness.answers() == {}
    harness.set("k", ns="project")
    assert [entry.ns for entry in harness.answer(id).matched] == ["project", "default"]


def test_a_wait_can_be_on_a_namespace_of_the_hub() -> None:
    harness = WaitingHarness()
    gone = harness.ask("a", "wait", all=[key("agent-b", ns="$agents", absent=True)], timeout=100)
    harness.do("b", "bye")
    assert harness.answer(gone).met == [0]


def test_a_wait_for_all_is_met_when_all_hold_at_one_revision() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("x"), key("y")])
    harness.set("x")
    harness.do("a", "delete", key="x")
    harness.set("y")
    assert harness.answers() == {}, "each was there once, but never both"
    harness.set("x")
    assert matched(harness.answer(id)) == ["x", "y"]


def test_a_wait_for_any_is_met_by_one_condition_and_tells_which() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", any=[key("x"), key("y")])
    harness.set("y")
    waited = harness.answer(id)
    assert (matched(waited), waited.met) == (["y"], [1])


def test_a_wait_for_any_tells_all_conditions_that_hold() -> None:
    harness = WaitingHarness()
    harness.set("x", "n:1")
    waited = harness.do("b", "wait", any=[key("no"), keys("n:*"), key("x"), key("y", absent=True), key("x")])
    assert waited.met == [1, 2, 3, 4]
    assert matched(waited) == ["n:1", "x", "x"]


def test_a_wait_is_decided_after_the_whole_of_a_txn() -> None:
    harness = WaitingHarness()
    both = harness.ask("b", "wait", all=[key("x"), key("y")])
    one = harness.ask("b", "wait", all=[key("z")])
    steps = [
        {"op": "set", "key": "z", "value": 1},
        {"op": "set", "key": "x", "value": 1},
        {"op": "delete", "key": "z"},
        {"op": "set", "key": "y", "value": 1},
    ]
    done = harness.do("a", "txn", **{"if": [], "then": steps})
    assert list(harness.answers()) == [both]
    assert harness.answer(both).rev == done.rev
    harness.set("z")
    assert list(harness.answers()) == [one]


def test_a_refused_txn_answers_no_wait() -> None:
    harness = WaitingHarness()
    harness.ask("b", "wait", all=[key("x")])
    steps = [{"op": "set", "key": "x", "value": 1}, {"op": "set", "key": "y", "value": 1, "if_rev": 5}]
    with pytest.raises(Exception, match="expected rev 5"):
        harness.do("a", "txn", **{"if": [], "then": steps})
    assert harness.answers() == {}


def test_a_wait_is_answered_even_if_the_next_revision_undoes_what_met_it() -> None:
    """One command lets a due entry expire and sets it again: in between it was absent."""
    harness = WaitingHarness()
    harness.set("k", ttl=1)
    gone = harness.ask("b", "wait", all=[key("k", absent=True)])
    never = harness.ask("b", "wait", all=[key("k", absent=True), key("other")])
    harness.now += 1
    rev = harness.set("k")
    assert harness.answer(gone).rev == rev - 1
    assert never not in harness.answers()


def test_a_wait_for_unlocked_is_met_between_a_release_and_the_next_grant() -> None:
    harness = WaitingHarness()
    token = harness.do("a", "lock", name="k").token
    next_one = harness.ask("b", "lock", name="k", wait=10)
    free = harness.ask("c", "wait", all=[key("k", unlocked=True)])
    rev = harness.do("a", "unlock", token=token).rev
    assert harness.answer(free).rev == rev
    assert harness.answer(next_one).token == rev + 1


def test_every_wait_that_a_change_meets_is_answered() -> None:
    harness = WaitingHarness()
    waiting = [harness.ask(session, "wait", all=[asked]) for session in "bcd" for asked in (key("k"), keys("?"))]
    harness.set("k")
    assert sorted(harness.answers()) == sorted(waiting)


# --- absent ---


def test_absent_holds_while_no_entry_matches() -> None:
    harness = WaitingHarness()
    assert matched(harness.do("b", "wait", all=[key("k", absent=True), keys("n:*", absent=True)])) == []
    harness.set("k", "n:1", "n:2")
    id = harness.ask("b", "wait", all=[key("k", absent=True), keys("n:*", absent=True)])
    for gone in ("k", "n:2"):
        harness.do("a", "delete", key=gone)
        assert harness.answers() == {}
    rev = harness.do("a", "delete", key="n:1").rev
    assert harness.answer(id) == m.Waited([], [0, 1], rev)


def test_a_due_entry_is_absent_for_a_wait() -> None:
    harness = WaitingHarness()
    harness.set("k", "n:1", ttl=1)
    harness.now += 1
    rev = harness.machine.state.log.rev
    waited = harness.do("b", "wait", all=[keys("n:*", absent=True)])
    assert waited.rev == rev, "what only matches a pattern expires in its own time"
    assert harness.do("b", "wait", all=[key("k", absent=True)]).rev == rev + 1, "what is named expires first"
    harness.ask("b", "wait", all=[keys("n:*")])


def test_a_wait_for_absent_is_met_by_each_way_in_which_an_entry_ends() -> None:
    harness = WaitingHarness()
    ends: dict[str, Callable[[], Any]] = {
        "deleted": lambda: harness.do("a", "delete", key="k"),
        "expired": lambda: harness.tick(1),
        "cleared": lambda: harness.do("a", "clear", pattern="*", confirm=True),
    }
    for name, end in ends.items():
        harness.set("k", ttl=1)
        id = harness.ask("b", "wait", all=[key("k", absent=True)])
        end()
        assert harness.answer(id).met == [0], name
    harness.set("k", kind="cached")
    id = harness.ask("b", "wait", all=[keys("k", absent=True)])
    harness.outputs = harness.machine.evict([("default", "k")], harness.now)
    assert harness.answer(id).met == [0]
    harness.set("k", ephemeral=True)
    id = harness.ask("b", "wait", all=[keys("k", absent=True)])
    harness.do("a", "bye")
    assert harness.answer(id).met == [0]


def test_absent_with_where_holds_if_no_entry_meets_the_where() -> None:
    harness = WaitingHarness()
    harness.set("n:1", "n:2", value="open")
    id = harness.ask("b", "wait", all=[keys("n:*", absent=True, where={"value": "open"})])
    harness.set("n:1", value="done")
    assert harness.answers() == {}
    harness.set("n:2", value="done")
    assert harness.answer(id).met == [0]


# --- count ---


def test_count_needs_that_many_entries_and_the_reply_shows_no_more() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[keys("n:*", count=3)])
    harness.set("n:3", "n:1")
    assert harness.answers() == {}
    harness.set("n:2")
    assert matched(harness.answer(id)) == ["n:1", "n:2", "n:3"]
    harness.set("n:0", "n:4")
    assert matched(harness.do("b", "wait", all=[keys("n:*", count=3)])) == ["n:0", "n:1", "n:2"]
    assert matched(harness.do("b", "wait", any=[keys("n:*"), keys("n:*", count=2)])) == ["n:0", "n:0", "n:1"]


def test_an_entry_deleted_before_the_count_is_reached_does_not_count() -> None:
    harness = WaitingHarness()
    harness.set("n:0", ttl=5)
    id = harness.ask("b", "wait", all=[keys("n:*", count=2, where={"value": 1, "op": "ge"})])
    harness.set("n:1", value=1)
    harness.set("n:1", value=0)
    harness.set("n:2", value=1)
    assert harness.answers() == {}
    harness.set("n:3", value=1)
    assert matched(harness.answer(id)) == ["n:2", "n:3"]


def test_a_due_entry_does_not_count() -> None:
    harness = WaitingHarness()
    harness.set("n:1", ttl=5)
    id = harness.ask("b", "wait", all=[keys("n:*", count=2)])
    harness.now += 5
    harness.set("n:2")
    assert harness.answers() == {}
    harness.set("n:3")
    assert matched(harness.answer(id)) == ["n:2", "n:3"]


# --- since ---


def test_since_needs_an_entry_written_after_that_revision() -> None:
    harness = WaitingHarness()
    rev = harness.set("k")
    assert matched(harness.do("b", "wait", all=[key("k", since=rev - 1)])) == ["k"]
    one = harness.ask("b", "wait", all=[key("k", since=rev)])
    several = harness.ask("b", "wait", all=[keys("*", since=rev)])
    harness.do("a", "touch", key="k", ttl=100)
    assert harness.answers() == {}, "a touch writes nothing"
    harness.set("k")
    assert sorted(harness.answers()) == [one, several]


def test_since_0_matches_every_entry_and_with_absent_none_may_exist() -> None:
    harness = WaitingHarness()
    rev = harness.set("k")
    assert matched(harness.do("b", "wait", all=[key("k", since=0)])) == ["k"]
    waited = harness.do("b", "wait", all=[key("k", since=rev, absent=True)])
    assert waited.matched == []


# --- where ---


def test_a_where_is_compared_with_each_new_value() -> None:
    harness = WaitingHarness()
    harness.set("k", value={"state": "open", "votes": 1})
    where = {"pointer": "/state", "op": "in", "value": ["done", "failed"]}
    state = harness.ask("b", "wait", all=[key("k", where=where)])
    votes = harness.ask("b", "wait", all=[keys("?", where={"pointer": "/votes", "op": "ge", "value": 3})])
    harness.do("a", "update", key="k", incr=1, pointer="/votes")
    assert harness.answers() == {}
    harness.do("a", "update", key="k", incr=1, pointer="/votes")
    assert list(harness.answers()) == [votes]
    harness.do("a", "update", key="k", merge={"state": "done"})
    assert list(harness.answers()) == [state]


def test_a_value_of_null_is_a_value() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", any=[keys("n:*", where={"value": None}), key("k", where={"value": None})])
    harness.set("n:1", value=0)
    assert harness.answers() == {}
    harness.set("n:2", value=None)
    assert matched(harness.answer(id)) == ["n:2"]
    assert matched(harness.do("b", "wait", all=[key("n:2", where={"value": None})])) == ["n:2"]


# --- unlocked ---


def test_unlocked_is_met_when_the_name_is_not_held() -> None:
    harness = WaitingHarness()
    assert harness.do("b", "wait", all=[key("k", unlocked=True)]).met == [0], "it asks for no entry"
    token = harness.do("a", "lock", name="k", ttl=10).token
    id = harness.ask("b", "wait", all=[key("k", unlocked=True)])
    harness.set("k")
    assert harness.answers() == {}
    harness.do("a", "unlock", token=token)
    assert harness.answer(id).matched == []


@pytest.mark.parametrize(
    ("lock", "on"),
    [
        ({"name": "n:1"}, {"key": "n:1"}),
        ({"names": ["x", "n:1"]}, {"key": "n:1"}),
        ({"pattern": "n:*"}, {"key": "n:1"}),
        ({"name": "n:1"}, {"pattern": "n:*"}),
        ({"pattern": "*:1"}, {"pattern": "n:*"}),
        ({"patterns": ["x", "n:?"]}, {"pattern": "?:1"}),
        ({"name": "n:1", "mode": "shared"}, {"key": "n:1"}),
    ],
)
def test_unlocked_does_not_hold_while_a_lock_on_a_name_or_pattern_covers_it(
    lock: dict[str, Any], on: dict[str, Any]
) -> None:
    harness = WaitingHarness()
    harness.do("a", "lock", name="other")
    harness.do("a", "lock", pattern="m:*:9")
    token = harness.do("a", "lock", **lock).token
    id = harness.ask("b", "wait", all=[{**on, "unlocked": True}])
    harness.do("a", "unlock", token=token)
    assert harness.answer(id).met == [0]


def test_unlocked_is_met_by_each_way_in_which_a_lock_ends() -> None:
    harness = WaitingHarness()
    ends: dict[str, Callable[[int], Any]] = {
        "unlock": lambda token: harness.do("b", "unlock", token=token),
        "force": lambda token: harness.do("a", "unlock", token=token, force=True, reason="stuck"),
        "expiry": lambda _: harness.tick(10),
        "bye": lambda _: harness.do("b", "bye"),
    }
    for name, end in ends.items():
        token = harness.do("b", "lock", name="k", ttl=10).token
        id = harness.ask("c", "wait", all=[key("k", unlocked=True)])
        end(token)
        assert harness.answer(id).met == [0], name


def test_unlocked_is_met_when_the_last_shared_lock_is_released() -> None:
    harness = WaitingHarness()
    tokens = [harness.do(session, "lock", name="k", mode="shared").token for session in "ab"]
    id = harness.ask("c", "wait", all=[key("k", unlocked=True)])
    harness.do("a", "unlock", token=tokens[0])
    assert harness.answers() == {}
    harness.do("b", "unlock", token=tokens[1])
    assert harness.answer(id).met == [0]


def test_unlocked_holds_while_only_other_names_are_locked() -> None:
    harness = WaitingHarness()
    harness.do("a", "lock", name="k", ns="elsewhere")
    harness.do("a", "lock", pattern="m:*")
    assert harness.do("b", "wait", all=[key("k", unlocked=True), keys("n:*", unlocked=True)]).met == [0, 1]


def test_unlocked_and_absent_hold_at_one_revision() -> None:
    harness = WaitingHarness()
    harness.set("k")
    token = harness.do("a", "lock", name="k").token
    for on in (key("k"), keys("k*")):
        harness.ask("b", "wait", all=[{**on, "unlocked": True, "absent": True}])
    harness.do("a", "unlock", token=token)
    assert harness.answers() == {}
    token = harness.do("a", "lock", name="k").token
    harness.do("a", "delete", key="k")
    assert harness.answers() == {}
    harness.do("a", "unlock", token=token)
    assert len(harness.answers()) == 2


def test_a_taken_entry_that_is_done_is_unlocked_and_absent_in_one_revision() -> None:
    harness = WaitingHarness()
    harness.set("k")
    token = harness.do("a", "take", patterns=["k"]).token
    id = harness.ask("b", "wait", all=[key("k", unlocked=True, absent=True)])
    rev = harness.do("a", "delete", key="k", guard={"token": token}).rev
    assert harness.answer(id).rev == rev


# --- the end of its time ---


def test_a_wait_that_times_out_tells_which_conditions_hold() -> None:
    harness = WaitingHarness()
    harness.set("x")
    id = harness.ask("b", "wait", all=[key("x"), key("y"), keys("n:*", absent=True)], timeout=2.5)
    assert harness.machine.next_deadline() == 1_002.5
    harness.tick(2.4)
    assert harness.answers() == {}
    rev = harness.set("z")
    harness.tick(0.1)
    with pytest.raises(TimedOut) as timeout:
        harness.answer(id)
    assert timeout.value.details == {"met": [0, 2], "rev": rev}
    harness.set("y")
    assert harness.answers() == {}


def test_an_entry_due_at_the_deadline_of_a_wait_is_absent_for_it() -> None:
    harness = WaitingHarness()
    harness.set("k", ttl=2)
    ids = [harness.ask("b", "wait", all=[on], timeout=2) for on in (key("k", absent=True), keys("*", absent=True))]
    harness.tick(2)
    assert [harness.answer(id).met for id in ids] == [[0], [0]]


def test_a_wait_with_timeout_0_is_answered_at_once() -> None:
    harness = WaitingHarness()
    with pytest.raises(TimedOut) as timeout:
        harness.do("b", "wait", any=[key("k")], timeout=0)
    assert timeout.value.details == {"met": [], "rev": harness.machine.state.log.rev}
    harness.set("k")
    assert matched(harness.do("b", "wait", any=[key("k")], timeout=0)) == ["k"]


def test_a_wait_may_last_an_hour() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("k")], timeout=3_600)
    harness.tick(3_599.999)
    assert harness.answers() == {}
    harness.set("k")
    assert matched(harness.answer(id)) == ["k"]


def test_a_wait_without_a_timeout_lasts_30_seconds() -> None:
    harness = WaitingHarness()
    harness.ask("b", "wait", all=[key("k")])
    assert harness.machine.next_deadline() == 1_030.0


# --- what is refused ---


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "all"),
        ({"all": [key("k")], "any": [key("k")]}, "all"),
        ({"all": []}, "all"),
        ({"any": []}, "any"),
        ({"any": [{}]}, "any"),
        ({"all": [{"key": "k", "pattern": "k"}]}, "all"),
        ({"all": [key("")]}, "all"),
        ({"all": [key(" k")]}, "all"),
        ({"any": [keys("")]}, "any"),
        ({"any": [keys("[")]}, "any"),
        ({"any": [key("k"), keys("x" * 256)]}, "any"),
        ({"all": [key("k", ns="no spaces")]}, "ns"),
        ({"all": [keys("*", count=0)]}, "all"),
        ({"all": [keys("*", count=1_001)]}, "all"),
        ({"all": [key("k", count=2)]}, "all"),
        ({"all": [keys("*", count=2, absent=True)]}, "all"),
        ({"all": [key("k", since=-1)]}, "all"),
        ({"all": [key("k", unlocked=True, since=1)]}, "all"),
        ({"all": [key("k", unlocked=True, where={"value": 1})]}, "all"),
        ({"all": [keys("k", unlocked=True, count=2)]}, "all"),
        ({"all": [key("k", where={"op": "eq"})]}, "where"),
        ({"all": [key("k", where={"value": 1, "pointer": "x"})]}, "where"),
        ({"all": [key("k", where={"value": 2**64})]}, "where"),
        ({"all": [key("k")], "timeout": -0.001}, "timeout"),
        ({"all": [key("k")], "timeout": 3_600.001}, "timeout"),
    ],
)
def test_a_malformed_wait_is_refused_with_the_field(fields: dict[str, Any], field: str) -> None:
    harness = WaitingHarness()
    with pytest.raises(BadRequest) as refused:
        harness.do("b", "wait", **fields)
    assert refused.value.details["field"] == field


def test_the_value_of_a_where_has_the_limits_of_a_value() -> None:
    harness = WaitingHarness(Limits(value=10))
    with pytest.raises(TooLarge):
        harness.do("b", "wait", all=[key("k", where={"value": "x" * 20})])


def test_a_wait_has_at_most_100_conditions() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key(one) for one in numbers(1, 100)])
    harness.set(*numbers(1, 99))
    assert harness.answers() == {}
    harness.set("n:100")
    assert matched(harness.answer(id)) == numbers(1, 100)
    with pytest.raises(LimitReached) as refused:
        harness.do("b", "wait", all=[key(one) for one in numbers(1, 101)])
    assert refused.value.details == {"limit": 100, "field": "all"}


def test_a_session_has_a_limit_of_pending_waits() -> None:
    harness = WaitingHarness(Limits(waiting=2))
    harness.ask("b", "wait", all=[key("x")])
    harness.ask("b", "take", patterns=["x"], timeout=5)
    for op, fields in (("wait", {"all": [key("x")]}), ("take", {"patterns": ["y"], "timeout": 1})):
        with pytest.raises(LimitReached):
            harness.do("b", op, **fields)
    harness.ask("c", "wait", all=[key("x")])


def test_the_id_of_a_pending_wait_cannot_be_used_again() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("x")])
    with pytest.raises(BadRequest) as refused:
        harness.do("b", "ping", id=id)
    assert refused.value.details["field"] == "id"
    harness.set("x")
    harness.do("b", "ping", id=id)


def test_the_entries_of_a_waits_reply_end_at_the_page_limit() -> None:
    """The other fields of an entry count too: a hundred conditions may show a hundred thousand entries."""
    harness = WaitingHarness(Limits(page_bytes=10_000))
    harness.set(*numbers(1, 100), value=0)
    waited = harness.do("b", "wait", any=[keys("n:*", count=100)] * 50)
    assert waited.met == list(range(50))
    assert 20 < len(waited.matched) < 60


def test_a_waits_reply_has_the_first_entry_even_if_it_is_longer_than_a_page() -> None:
    harness = WaitingHarness(Limits(page_bytes=100))
    harness.set("x", "y", value="v" * 200)
    waited = harness.do("b", "wait", all=[key("x"), key("y")])
    assert (matched(waited), waited.met) == (["x"], [0, 1])


# --- sessions ---


def test_a_wait_outlives_its_connection_and_is_answered_after_the_takeover_under_its_old_id() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("k")])
    harness.drop("b")
    rev = harness.set("k")
    assert harness.answers() == {}, "nobody is there to hear it"
    harness.do("a", "delete", key="k")
    harness.return_to("b")
    assert harness.answer(id).rev == rev
    kinds = [output for output in harness.outputs if isinstance(output, Reply | DeferredReply)]
    assert isinstance(kinds[0], Reply), "it follows the reply to the takeover"


def test_a_wait_that_is_not_met_while_its_agent_is_away_goes_on() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("k")])
    harness.drop("b")
    harness.tick(5)
    harness.return_to("b")
    assert harness.answers() == {}
    harness.set("k")
    assert matched(harness.answer(id)) == ["k"]


def test_a_timeout_while_its_agent_is_away_is_told_after_the_takeover() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("k")], timeout=5)
    harness.drop("b")
    harness.tick(5)
    assert harness.answers() == {}
    harness.return_to("b")
    assert isinstance(harness.answers()[id], TimedOut)


def test_a_cancelled_wait_is_answered_and_removed() -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("k"), keys("n:*", unlocked=True, absent=True)])
    assert harness.do("c", "cancel", target=id).cancelled is False, "it is another session's"
    assert harness.do("b", "cancel", target=id).cancelled is True
    assert isinstance(harness.answers()[id], Cancelled)
    assert not harness.machine.state.condition_index.waits
    harness.set("k")
    assert harness.answers() == {}
    assert harness.do("b", "cancel", target=id).cancelled is False


@pytest.mark.parametrize("way", ["bye", "grace"])
def test_the_end_of_a_session_ends_its_waits(way: str) -> None:
    harness = WaitingHarness()
    id = harness.ask("b", "wait", all=[key("k")], timeout=1_000)
    if way == "bye":
        harness.do("b", "bye")
        assert isinstance(harness.answers()[id], Cancelled)
    else:
        harness.drop("b")
        harness.tick(Limits().grace)
        with pytest.raises(SessionLost):
            harness.return_to("b")
    assert not harness.machine.state.condition_index.waits
    harness.set("k")
    assert harness.answers() == {}


# --- in slices ---


def test_a_pattern_over_many_keys_is_scanned_in_slices() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18))
    id = harness.ask("b", "wait", all=[keys("n:*", where={"value": "n:015"})])
    assert harness.proceed() == 3
    assert matched(harness.answer(id)) == ["n:015"]
    assert not harness.machine.has_pending_scan


def test_a_wait_met_in_the_first_slice_of_its_scan_is_answered_at_once() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18))
    assert matched(harness.do("b", "wait", all=[keys("n:*")])) == ["n:001"]
    assert not harness.machine.has_pending_scan


def test_a_wait_with_timeout_0_is_not_refused_before_its_scan_is_complete() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18))
    none = harness.ask("b", "wait", all=[keys("n:*", where={"value": "none"})], timeout=0)
    last = harness.ask("c", "wait", all=[keys("n:*", where={"value": "n:018"})], timeout=0)
    harness.tick(10)
    assert harness.answers() == {}
    harness.proceed()
    assert matched(harness.answer(last)) == ["n:018"]
    with pytest.raises(TimedOut) as timeout:
        harness.answer(none)
    assert timeout.value.details["met"] == []


def test_changes_ahead_of_the_scan_and_behind_it_are_seen() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18), value=0)
    where = {"value": 1}
    ids = {
        name: harness.ask("b", "wait", all=[keys("n:*", where=where, count=count)])
        for name, count in {"one": 1, "two": 2, "three": 3}.items()
    }
    harness.set("n:002", value=1)
    assert list(harness.answers()) == [ids["one"]], "behind it"
    harness.set("n:017", value=1)
    assert harness.answers() == {}, "ahead of it: the scan will come by"
    harness.proceed()
    assert list(harness.answers()) == [ids["two"]]
    harness.set("n:000", value=1)
    assert list(harness.answers()) == [ids["three"]]


def test_an_entry_deleted_before_the_scan_reaches_it_does_not_match() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18), value=0)
    harness.set("n:002", "n:017", value=1)
    id = harness.ask("b", "wait", all=[keys("n:*", where={"value": 1}, count=2)])
    harness.set("n:002", "n:017", value=0)
    harness.proceed()
    assert harness.answers() == {}
    harness.set("n:018", "n:001", value=1)
    assert matched(harness.answer(id)) == ["n:001", "n:018"]


def test_absent_over_many_keys_is_answered_when_the_scan_is_complete() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18), value=0)
    id = harness.ask("b", "wait", all=[keys("n:*", absent=True, where={"value": 1})])
    harness.set("n:018", value=1)
    harness.proceed()
    assert harness.answers() == {}
    harness.do("a", "delete", key="n:018")
    assert harness.answer(id).met == [0]


def test_waits_that_need_a_scan_are_scanned_one_after_another() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18))
    conditions = [keys("n:*", where={"value": "none"}), keys("*:*", where={"value": "n:018"})]
    ids = [harness.ask("b", "wait", all=[one]) for one in conditions] + [harness.ask("c", "wait", any=conditions)]
    harness.proceed()
    assert sorted(harness.answers()) == ids[1:]


def test_a_scan_goes_on_while_the_agent_is_away_and_stops_with_a_cancel() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18))
    id = harness.ask("b", "wait", all=[keys("n:*", where={"value": "n:018"})])
    other = harness.ask("c", "wait", all=[keys("n:*", where={"value": "n:018"})])
    harness.drop("b")
    harness.do("c", "cancel", target=other)
    harness.proceed()
    harness.return_to("b")
    assert matched(harness.answer(id)) == ["n:018"]


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a condition store one match beyond twice its count."""
    monkeypatch.setattr(condition, "_SPARE_KEYS", 1)


@pytest.mark.usefixtures("little_room")
def test_a_scan_that_stopped_at_capacity_goes_on_when_the_matches_become_too_few() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 18))
    id = harness.ask("b", "wait", all=[keys("n:*"), key("go")])
    for one in numbers(1, 5):
        harness.do("a", "delete", key=one)
    harness.set("go")
    assert harness.answers() == {}
    harness.proceed()
    assert matched(harness.answer(id)) == ["n:006", "go"]


@pytest.mark.usefixtures("little_room")
def test_a_new_match_below_the_scanned_keys_is_shown_first_at_capacity() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(10, 18))
    id = harness.ask("b", "wait", all=[keys("n:*"), key("go")])
    harness.set("n:005", "n:004", "n:019", "n:006", "n:003", "go")
    assert matched(harness.answer(id)) == ["n:003", "go"]


@pytest.mark.usefixtures("little_room")
def test_absent_is_decided_even_if_there_were_more_matches_than_capacity() -> None:
    harness = WaitingHarness(SLICES)
    harness.set(*numbers(1, 9))
    id = harness.ask("b", "wait", all=[keys("n:*", absent=True)])
    for one in reversed(numbers(2, 9)):
        harness.do("a", "delete", key=one)
    harness.proceed()
    assert harness.answers() == {}
    harness.do("a", "delete", key="n:001")
    harness.proceed()
    assert harness.answer(id).met == [0]


@pytest.mark.usefixtures("little_room")
def test_a_match_that_is_written_again_takes_no_more_capacity() -> None:
    harness = WaitingHarness()
    harness.set(*numbers(1, 3))
    id = harness.ask("b", "wait", all=[keys("n:*", count=2), key("go")])
    harness.set(*numbers(1, 3), *numbers(1, 3), *numbers(4, 6))
    harness.set("n:006", "n:003")
    harness.do("a", "clear", pattern="n:00[1-5]", confirm=True)
    harness.set("go")
    harness.proceed()
    assert harness.answers() == {}
    harness.set("n:001")
    assert matched(harness.answer(id)) == ["n:001", "n:006", "go"]


@pytest.mark.usefixtures("little_room")
def test_a_wait_that_times_out_scans_on_for_due_matches_before_it_is_refused() -> None:
    """All stored matches fall due at the deadline of the wait: a scan looks for others first."""
    harness = WaitingHarness()
    harness.set(*numbers(1, 5), ttl=10)
    harness.set(*numbers(6, 9))
    harness.set("go", ttl=10)
    id = harness.ask("b", "wait", all=[keys("n:*"), key("go", absent=True)], timeout=10)
    harness.now += 10
    harness.outputs = harness.machine.expire(harness.now, 0)
    assert not isinstance(harness.answers().get(id), TimedOut)
    heard = harness.answers()
    harness.proceed()
    heard |= harness.answers()
    assert matched(heard[id]) == ["n:006"]


# --- what it costs ---


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Condition]:
    """Return a list that collects the conditions that are decided or updated."""
    found: list[Condition] = []
    for name in ("see", "update"):
        method = getattr(Condition, name)

        def counted(self: Condition, *args: Any, _method: Any = method) -> Any:
            found.append(self)
            return _method(self, *args)

        monkeypatch.setattr(Condition, name, counted)
    return found


def test_a_set_looks_at_none_of_ten_thousand_waits_on_other_keys(asked: list[Condition]) -> None:
    harness = WaitingHarness()
    machine = harness.machine
    for number in range(5_000):
        for at, on in ((number, key(f"k:{number}")), (-1 - number, keys(f"job:{number}:*"))):
            command = m.Wait(id=at, all=[m.Awaited(**on)])
            machine.apply(command, "abcd"[number % 4], harness.now)
    assert len(machine.state.condition_index.waits) == 10_000
    asked.clear()
    machine.apply(m.Set(id="s", key="elsewhere", value=1), "a", harness.now)
    machine.apply(m.Lock(id="s", name="elsewhere"), "a", harness.now)
    assert asked == []
    answers = machine.apply(m.Set(id="s", key="job:17:x", value=1), "a", harness.now)
    assert len([output for output in answers if isinstance(output, DeferredReply)]) == 1
    assert len(set(asked)) == 1


def test_an_event_updates_only_the_wait_that_it_touches_without_a_scan(
    asked: list[Condition], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = WaitingHarness()
    harness.set(*numbers(1, 150), value=0)
    id = harness.ask("b", "wait", all=[keys("n:*", where={"value": 1}, count=100)])
    harness.ask("b", "wait", all=[key("x")])
    asked.clear()
    monkeypatch.setattr(harness.machine.state.keyspace, "scan", None)
    for one in numbers(1, 99):
        harness.machine.apply(m.Set(id="s", key=one, value=1), "a", harness.now)
    assert len(asked) == 198
    harness.outputs = harness.machine.apply(m.Set(id="s", key="n:100", value=1), "a", harness.now)
    assert matched(harness.answer(id)) == numbers(1, 100)

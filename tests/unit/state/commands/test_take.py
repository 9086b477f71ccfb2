"""Take: work that exactly one taker gets (protocol 7, G9)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.state.waiting_harness import WaitingHarness
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, Forbidden, LimitReached, Locked, NotHolder, TimedOut
from waggle_hub.settings import Limits
from waggle_hub.state.store.keyspace import Keyspace
from waggle_hub.state.work.queue import WorkQueue

SLICES = Limits(scan=4)
"""A machine that looks at four keys in one go."""


def take(harness: WaitingHarness, session: str, *patterns: str, **fields: Any) -> Any:
    return harness.do(session, "take", patterns=list(patterns), **fields)


def queue(harness: WaitingHarness, session: str, *patterns: str, **fields: Any) -> int:
    """Send a take that waits, and return its id."""
    return harness.ask(session, "take", patterns=list(patterns), **{"timeout": 100, **fields})


def nothing(harness: WaitingHarness, session: str, *patterns: str, **fields: Any) -> None:
    with pytest.raises(TimedOut):
        take(harness, session, *patterns, **fields)


def done(harness: WaitingHarness, session: str, taken: Any) -> Any:
    return harness.do(session, "delete", key=taken.entry.key, ns=taken.entry.ns, guard={"token": taken.token})


def taken_key(harness: WaitingHarness, id: int) -> str:
    taken = harness.answer(id)
    assert isinstance(taken, m.Taken)
    return taken.entry.key


# --- which entry ---


def test_a_taken_entry_is_locked_for_the_lease() -> None:
    harness = WaitingHarness()
    harness.set("k", value={"n": 1})
    taken = take(harness, "b", "k", lease=7)
    assert (taken.entry.key, bytes(taken.entry.value), taken.delivery) == ("k", b'{"n":1}', 1)
    assert taken.expires_at == 1_007.0
    assert taken.token == harness.machine.state.log.rev, "the revision of the grant"
    assert harness.told() == [[("lock", "k")]]
    (held,) = harness.do("a", "locks").locks
    assert (held.names, held.mode, held.session, held.token) == (["k"], "exclusive", "b", taken.token)
    with pytest.raises(Locked):
        harness.set("k")
    harness.do("b", "set", key="k", value=2)
    assert harness.do("b", "renew", token=taken.token, ttl=50).expires_at == 1_050.0


def test_a_take_without_a_lease_gets_30_seconds() -> None:
    harness = WaitingHarness()
    harness.set("k")
    assert take(harness, "b", "*").expires_at == 1_030.0


def test_the_entry_that_was_created_first_is_taken_first() -> None:
    harness = WaitingHarness()
    harness.set("c", "a", "b")
    harness.set("c", "a")
    assert [take(harness, "b", "*").entry.key for _ in "123"] == ["c", "a", "b"]
    nothing(harness, "b", "*")


def test_an_entry_that_is_deleted_and_written_again_counts_as_new() -> None:
    harness = WaitingHarness()
    harness.set("a", "b")
    nothing(harness, "b", "none*")
    harness.do("a", "delete", key="a")
    harness.set("a")
    assert [take(harness, "b", "*").entry.key for _ in "12"] == ["b", "a"]


@pytest.mark.parametrize("first", [False, True], ids=["line from a scan", "line from events"])
def test_the_order_is_the_same_with_a_new_queue_and_an_existing_one(first: bool) -> None:
    harness = WaitingHarness()
    if first:
        nothing(harness, "b", "a*", "*1")
    harness.set("b1", "a2", "a1", "c3")
    harness.do("a", "txn", **{"if": [], "then": [{"op": "set", "key": key, "value": 1} for key in ("a3", "a2", "a4")]})
    harness.set("b1")
    assert [take(harness, "b", "a*", "*1").entry.key for _ in "12345"] == ["b1", "a2", "a1", "a3", "a4"]
    nothing(harness, "b", "a*", "*1")


def test_namespaces_are_apart() -> None:
    harness = WaitingHarness()
    harness.set("k", ns="project")
    nothing(harness, "b", "*")
    taken = take(harness, "b", "*", ns="project")
    assert taken.entry.ns == "project"
    harness.set("k")
    assert take(harness, "b", "*").entry.ns == "default"


def test_a_due_entry_is_not_taken() -> None:
    harness = WaitingHarness()
    harness.set("a", ttl=5)
    harness.set("b")
    nothing(harness, "b", "none")
    harness.now += 5
    assert take(harness, "b", "*").entry.key == "b"
    nothing(harness, "b", "*")


@pytest.mark.parametrize(
    "lock",
    [
        {"name": "a"},
        {"names": ["x", "a"]},
        {"pattern": "a*"},
        {"patterns": ["x", "?"]},
        {"name": "a", "mode": "shared"},
    ],
)
@pytest.mark.parametrize("first", [False, True], ids=["locked before", "locked after the line"])
def test_a_locked_entry_is_not_taken(lock: dict[str, Any], first: bool) -> None:
    harness = WaitingHarness()
    harness.set("a", "bb")
    if first:
        harness.do("b", "unlock", token=take(harness, "b", "*").token)
    token = harness.do("c", "lock", **lock).token
    assert take(harness, "b", "*").entry.key == "bb"
    nothing(harness, "b", "*")
    nothing(harness, "c", "*")
    harness.do("c", "unlock", token=token)
    assert take(harness, "b", "*").entry.key == "a"


def test_an_entry_that_a_lock_request_waits_for_is_not_taken() -> None:
    harness = WaitingHarness()
    harness.set("a1", "a2", "b1")
    token = harness.do("c", "lock", names=["x", "y"]).token
    harness.ask("d", "lock", names=["a1", "x"], wait=50)
    waiting = harness.ask("d", "lock", patterns=["a2", "y"], wait=50)
    assert take(harness, "b", "*").entry.key == "b1"
    nothing(harness, "b", "*")
    id = queue(harness, "b", "*")
    harness.do("d", "cancel", target=waiting)
    harness.proceed()
    assert taken_key(harness, id) == "a2"
    harness.do("c", "unlock", token=token)


def test_an_entry_written_under_a_lock_can_be_taken_after_the_release() -> None:
    harness = WaitingHarness()
    id = queue(harness, "b", "*")
    token = harness.do("a", "lock", name="k").token
    harness.set("k")
    assert harness.answers() == {}
    harness.do("a", "unlock", token=token)
    assert taken_key(harness, id) == "k"


def test_a_waiting_lock_request_is_granted_before_a_take() -> None:
    harness = WaitingHarness()
    harness.set("k")
    token = harness.do("a", "lock", name="k").token
    id = queue(harness, "b", "k")
    lock = harness.ask("c", "lock", name="k", wait=50)
    harness.do("a", "unlock", token=token)
    assert list(harness.answers()) == [lock]
    harness.do("c", "unlock", token=harness.answer(lock).token)
    assert taken_key(harness, id) == "k"


# --- takers in their order ---


def test_a_new_entry_goes_to_the_first_waiting_taker() -> None:
    harness = WaitingHarness()
    ids = [queue(harness, session, "*") for session in "bcb"]
    for id, key in zip(ids, ("z", "y", "x"), strict=True):
        rev = harness.set(key)
        assert list(harness.answers()) == [id]
        assert taken_key(harness, id) == key
        assert harness.answer(id).token == rev + 1, "a revision of its own, after that of the entry"
    harness.set("w")
    assert harness.answers() == {}


def test_takers_of_overlapping_patterns_are_served_in_order_of_arrival() -> None:
    harness = WaitingHarness()
    wide, a_one, one = queue(harness, "b", "*"), queue(harness, "c", "a*", "b*"), queue(harness, "d", "?1")
    harness.set("b1")
    assert list(harness.answers()) == [wide]
    harness.set("c1")
    assert list(harness.answers()) == [one]
    harness.set("c2")
    assert harness.answers() == {}
    harness.set("a1")
    assert list(harness.answers()) == [a_one]


def test_entries_of_one_txn_go_to_waiting_takers_in_the_order_of_both() -> None:
    harness = WaitingHarness()
    ids = [queue(harness, "b", "a*"), queue(harness, "c", "*"), queue(harness, "d", "*")]
    steps = [{"op": "set", "key": key, "value": 1} for key in ("b1", "a1", "b2", "b3")]
    harness.do("a", "txn", **{"if": [], "then": steps})
    assert {id: taken.entry.key for id, taken in harness.answers().items()} == dict(
        zip(ids, ("a1", "b1", "b2"), strict=True)
    )
    assert take(harness, "a", "*").entry.key == "b3"


def test_the_oldest_of_entries_released_together_is_taken_first() -> None:
    harness = WaitingHarness()
    harness.set("old", "mid", "new")
    for key in ("new", "old", "mid"):
        take(harness, "b", key)
    ids = [queue(harness, session, "*") for session in "cd"]
    harness.do("b", "bye")
    assert [taken_key(harness, id) for id in ids] == ["old", "mid"]
    assert take(harness, "a", "*").entry.key == "new"


def test_a_txn_that_deletes_its_own_entry_offers_nothing() -> None:
    harness = WaitingHarness()
    id = queue(harness, "b", "*")
    steps = [{"op": "set", "key": "k", "value": 1}, {"op": "delete", "key": "k"}]
    harness.do("a", "txn", **{"if": [], "then": steps})
    assert harness.answers() == {}
    with pytest.raises(Exception, match="expected rev 7"):
        harness.do("a", "txn", **{"if": [], "then": [steps[0], {"op": "set", "key": "x", "value": 1, "if_rev": 7}]})
    assert harness.answers() == {}
    harness.set("j")
    assert taken_key(harness, id) == "j"


# --- how it ends ---


def test_deleting_a_taken_entry_releases_its_lock_in_the_same_revision() -> None:
    harness = WaitingHarness()
    harness.set("k")
    taken = take(harness, "b", "*")
    rev = done(harness, "b", taken).rev
    assert harness.told() == [[("delete", "k"), ("unlock", "k")]]
    assert [event.reason for event in harness.events() if event.type == "unlock"] == ["released"]
    assert harness.losses() == []
    assert harness.machine.state.log.rev == rev
    with pytest.raises(NotHolder):
        harness.do("b", "renew", token=taken.token)
    with pytest.raises(NotHolder):
        done(harness, "b", taken)


def test_the_holder_is_told_if_another_session_deletes_the_entry_with_its_token() -> None:
    harness = WaitingHarness()
    harness.set("k")
    taken = take(harness, "b", "*")
    with pytest.raises(Locked):
        harness.do("c", "delete", key="k")
    done(harness, "c", taken)
    assert harness.losses() == [("b", taken.token, "released")]


def test_the_holder_is_told_if_the_entry_expires() -> None:
    harness = WaitingHarness()
    harness.set("k", ttl=5)
    taken = take(harness, "b", "*")
    harness.tick(5)
    assert harness.told() == [[("expire", "k"), ("unlock", "k")]]
    assert harness.losses() == [("b", taken.token, "expired")]


def test_the_holder_is_told_if_the_entry_is_evicted() -> None:
    harness = WaitingHarness()
    harness.set("k", kind="cached")
    taken = take(harness, "b", "*")
    harness.outputs = harness.machine.evict([("default", "k")], harness.now)
    assert harness.told() == [[("evict", "k"), ("unlock", "k")]]
    assert harness.losses() == [("b", taken.token, "released")]


def test_the_holder_is_told_if_the_entry_ends_with_the_session_that_owns_it() -> None:
    harness = WaitingHarness()
    harness.set("k", ephemeral=True)
    taken = take(harness, "b", "*")
    harness.do("a", "bye")
    assert harness.told() == [[("delete", "k"), ("unlock", "k")]]
    assert harness.losses() == [("b", taken.token, "released")]


def test_a_session_that_ends_loses_its_ephemeral_entry_and_the_lock_on_it() -> None:
    harness = WaitingHarness()
    harness.set("k", ephemeral=True, session="b")
    take(harness, "b", "*")
    id = queue(harness, "c", "*")
    harness.do("b", "bye")
    assert harness.told() == [[("unlock", "k"), ("delete", "k")]]
    assert harness.losses() == []
    assert id not in harness.answers()


def test_a_clear_by_the_holder_ends_the_entries_that_it_has_taken() -> None:
    harness = WaitingHarness()
    harness.set("k")
    take(harness, "b", "*")
    with pytest.raises(Locked):
        harness.do("a", "clear", pattern="*", confirm=True)
    harness.do("b", "clear", pattern="*", confirm=True)
    assert harness.told() == [[("delete", "k"), ("unlock", "k")]]
    assert harness.do("b", "locks").locks == []


@pytest.mark.parametrize("end", ["unlock", "lease", "bye", "grace", "force"])
def test_a_released_entry_goes_to_the_next_taker_with_one_more_delivery(end: str) -> None:
    harness = WaitingHarness()
    harness.set("k")
    token = take(harness, "b", "*", lease=9).token
    id = queue(harness, "c", "*")
    if end == "unlock":
        harness.do("b", "unlock", token=token)
        assert harness.losses() == []
    elif end == "lease":
        harness.tick(8.999)
        assert harness.answers() == {}
        harness.tick(0.001)
        assert harness.losses() == [("b", token, "expired")]
    elif end == "bye":
        harness.do("b", "bye")
    elif end == "grace":
        harness.do("b", "renew", token=token, ttl=1_000)
        harness.drop("b")
        harness.tick(Limits().grace)
    else:
        harness.do("a", "unlock", name="k", force=True, reason="stuck")
        assert harness.losses() == [("b", token, "forced")]
    taken = harness.answer(id)
    assert (taken.entry.key, taken.delivery) == ("k", 2)
    assert taken.token > token


def test_deliveries_are_counted_as_long_as_the_entry_exists() -> None:
    harness = WaitingHarness()
    harness.set("k")
    for delivery in (1, 2, 3):
        taken = take(harness, "b", "*")
        assert taken.delivery == delivery
        harness.do("b", "set", key="k", value=delivery, guard={"token": taken.token})
        harness.do("b", "unlock", token=taken.token)
    done(harness, "b", take(harness, "b", "*"))
    harness.set("k")
    assert take(harness, "b", "*").delivery == 1


def test_an_entry_that_a_txn_deletes_and_writes_again_counts_as_new() -> None:
    harness = WaitingHarness()
    harness.set("k", "j")
    taken = take(harness, "b", "*")
    id = queue(harness, "c", "k")
    guard = {"token": taken.token}
    steps = [{"op": "delete", "key": "k", "guard": guard}, {"op": "set", "key": "k", "value": 2, "guard": guard}]
    harness.do("b", "txn", **{"if": [], "then": steps})
    assert harness.told()[0] == [("delete", "k"), ("set", "k"), ("unlock", "k")]
    again = harness.answer(id)
    assert (again.entry.key, again.delivery) == ("k", 1)


def test_a_refused_txn_that_deletes_a_taken_entry_changes_nothing() -> None:
    harness = WaitingHarness()
    harness.set("k")
    taken = take(harness, "b", "*")
    waiting = queue(harness, "c", "*")
    steps = [
        {"op": "delete", "key": "k", "guard": {"token": taken.token}},
        {"op": "set", "key": "k", "value": 1, "if_rev": 7},
    ]
    with pytest.raises(Exception, match="expected rev 7"):
        harness.do("b", "txn", **{"if": [], "then": steps})
    assert (harness.answers(), harness.losses(), harness.told()) == ({}, [], [])
    assert harness.do("b", "renew", token=taken.token).expires_at
    harness.do("b", "unlock", token=taken.token)
    assert harness.answer(waiting).delivery == 2


# --- the dead ---


def dead(harness: WaitingHarness) -> dict[str, Any]:
    return {key: harness.do("a", "get", ns="$dead", key=key).entry for key in harness.keys("a", ns="$dead")}


def test_an_entry_delivered_too_often_moves_to_the_dead_letters_in_one_revision() -> None:
    harness = WaitingHarness()
    rev = harness.set("k", value={"n": 1}, meta={"from": "me"})
    harness.set("k", value={"n": 2}, meta={"from": "me"})
    for delivery in (1, 2):
        taken = take(harness, "b", "*", max_deliveries=2)
        assert taken.delivery == delivery
        harness.do("b", "unlock", token=taken.token)
    nothing(harness, "b", "*", max_deliveries=2)
    assert [
        [(event.ns, event.type, event.key, event.by) for event in commit.events] for commit in harness.commits()
    ] == [[("default", "delete", "k", "$hub"), ("$dead", "set", f"default:{rev}", "$hub")]]
    ((key, entry),) = dead(harness).items()
    assert key == f"default:{rev}"
    assert bytes(entry.value) == b'{"n":2}'
    meta = msgspec.json.decode(bytes(entry.meta))
    assert meta == {"ns": "default", "key": "k", "deliveries": 2, "by": "agent-a", "meta": {"from": "me"}}
    assert harness.keys("a") == []


def test_a_waiting_taker_waits_on_when_an_entry_moves_to_the_dead_letters() -> None:
    harness = WaitingHarness()
    harness.set("k")
    token = take(harness, "b", "*").token
    picky, patient = queue(harness, "c", "*", max_deliveries=1), queue(harness, "d", "*")
    harness.do("b", "unlock", token=token)
    assert harness.answers() == {}
    assert len(dead(harness)) == 1
    harness.set("j")
    assert list(harness.answers()) == [picky]
    harness.set("i")
    assert list(harness.answers()) == [patient]


def test_a_take_goes_on_past_entries_that_move_to_the_dead_letters() -> None:
    harness = WaitingHarness()
    harness.set("a", "b")
    harness.do("b", "unlock", token=take(harness, "b", "*").token)
    assert take(harness, "b", "*", max_deliveries=1).entry.key == "b"
    assert [entry.key for entry in dead(harness).values()] == [*dead(harness)]


def test_two_entries_of_one_txn_both_stay_in_the_dead_letters() -> None:
    harness = WaitingHarness()
    harness.do("a", "txn", **{"if": [], "then": [{"op": "set", "key": key, "value": key} for key in "xy"]})
    for _ in "xy":
        take(harness, "b", "*")
    harness.do("b", "bye")
    nothing(harness, "c", "*", max_deliveries=1)
    assert sorted(bytes(entry.value) for entry in dead(harness).values()) == [b'"x"', b'"y"']
    assert all(key.startswith("default:") for key in dead(harness))


def test_dead_letters_can_be_read_taken_deleted_and_cleared_but_not_written() -> None:
    harness = WaitingHarness()
    harness.set("a", "b", "c")
    for _ in "abc":
        take(harness, "b", "*")
    harness.do("b", "bye")
    nothing(harness, "c", "*", max_deliveries=1)
    assert len(dead(harness)) == 3
    taken = take(harness, "c", "default:*", ns="$dead")
    assert (taken.entry.ns, taken.delivery) == ("$dead", 1)
    assert done(harness, "c", taken).deleted
    other = next(iter(dead(harness)))
    assert harness.do("a", "delete", ns="$dead", key=other).deleted
    assert harness.do("a", "wait", all=[{"pattern": "*", "ns": "$dead"}]).met == [0]
    assert harness.do("a", "clear", ns="$dead", pattern="*", confirm=True).deleted == 1
    for op, fields in (
        ("set", {"key": "x", "value": 1}),
        ("update", {"key": "x", "merge": {}}),
        ("touch", {"key": "x", "ttl": 1}),
        ("lock", {"name": "x"}),
    ):
        with pytest.raises(Forbidden):
            harness.do("a", op, ns="$dead", **fields)
    with pytest.raises(BadRequest):
        take(harness, "a", "*", ns="$dead", max_deliveries=1)


def test_a_taker_that_waits_for_dead_letters_gets_new_ones() -> None:
    harness = WaitingHarness()
    id = queue(harness, "d", "*", ns="$dead")
    harness.set("k")
    harness.do("b", "unlock", token=take(harness, "b", "*").token)
    nothing(harness, "b", "*", max_deliveries=1)
    assert harness.answer(id).entry.ns == "$dead"


# --- the end of its time, rids, cancel, sessions ---


def test_a_take_without_an_entry_in_time_times_out() -> None:
    harness = WaitingHarness()
    nothing(harness, "b", "*")
    id = queue(harness, "b", "*", timeout=2.5)
    for_ever = queue(harness, "c", "*", timeout=None)
    harness.tick(2.4)
    assert harness.answers() == {}
    harness.tick(0.1)
    assert isinstance(harness.answers()[id], TimedOut)
    harness.tick(10_000_000)
    harness.set("k")
    assert list(harness.answers()) == [for_ever]


def test_a_retry_of_a_take_gets_the_same_entry() -> None:
    harness = WaitingHarness()
    harness.set("k", "j")
    taken = take(harness, "b", "*", rid="r")
    again = harness.do("b", "take", id=2, patterns=["*"], rid="r")
    assert harness.dup
    assert again == taken
    assert take(harness, "b", "*", rid="other").entry.key == "j"


def test_a_retry_of_a_pending_take_joins_it_and_the_newest_id_is_answered() -> None:
    harness = WaitingHarness()
    first = queue(harness, "b", "*", rid="r")
    newest = queue(harness, "b", "*", rid="r")
    assert newest != first
    harness.set("k", "j")
    assert list(harness.answers()) == []
    harness.do("b", "take", id=9, patterns=["*"], rid="r")
    assert harness.dup
    assert [one.names for one in harness.do("b", "locks").locks] == [["k"]]


def test_a_retry_after_a_timeout_takes_again() -> None:
    harness = WaitingHarness()
    nothing(harness, "b", "*", rid="r")
    harness.set("k")
    assert take(harness, "b", "*", rid="r").entry.key == "k"


def test_a_cancelled_take_takes_nothing() -> None:
    harness = WaitingHarness()
    id = queue(harness, "b", "*", rid="r")
    other = queue(harness, "c", "*")
    assert harness.do("b", "cancel", target=id).cancelled
    assert isinstance(harness.answers()[id], Cancelled)
    harness.set("k")
    assert list(harness.answers()) == [other]
    assert harness.do("c", "cancel", target=other).cancelled is False, "the grant was faster, and stays"
    assert len(harness.do("c", "locks").locks) == 1


def test_a_take_outlives_its_connection_and_is_answered_after_the_takeover() -> None:
    harness = WaitingHarness()
    id = queue(harness, "b", "*")
    harness.drop("b")
    harness.set("k")
    assert harness.answers() == {}
    harness.return_to("b")
    assert taken_key(harness, id) == "k"
    assert harness.do("b", "locks").locks[0].session == "b"


def test_a_take_of_a_session_that_has_ended_takes_nothing() -> None:
    harness = WaitingHarness()
    queue(harness, "b", "*", timeout=1_000)
    left = queue(harness, "c", "*", timeout=1_000)
    other = queue(harness, "d", "*", timeout=1_000)
    harness.do("b", "bye")
    harness.drop("c")
    harness.tick(Limits().grace)
    harness.set("k")
    assert list(harness.answers()) == [other]
    assert left not in harness.answers()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"patterns": []}, "patterns"),
        ({"patterns": [""]}, "patterns"),
        ({"patterns": ["*", "["]}, "patterns"),
        ({"ns": "no spaces"}, "ns"),
        ({"lease": 0}, "lease"),
        ({"lease": 1e12}, "lease"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": 1e12}, "timeout"),
        ({"max_deliveries": 0}, "max_deliveries"),
        ({"rid": ""}, "rid"),
    ],
)
def test_a_malformed_take_is_refused_with_the_field(fields: dict[str, Any], field: str) -> None:
    harness = WaitingHarness()
    harness.set("k")
    with pytest.raises(BadRequest) as refused:
        harness.do("b", "take", **{"patterns": ["*"], **fields})
    assert refused.value.details["field"] == field
    assert harness.commits() == []


def test_a_take_has_at_most_100_patterns_and_not_a_namespace_of_the_hub() -> None:
    harness = WaitingHarness()
    harness.set("k:100")
    assert take(harness, "b", *(f"k:{number}" for number in range(1, 101))).entry.key == "k:100"
    with pytest.raises(LimitReached):
        take(harness, "b", *(f"k:{number}" for number in range(101)))
    with pytest.raises(Forbidden):
        take(harness, "b", "*", ns="$agents")


def test_a_session_at_its_limit_of_locks_cannot_take() -> None:
    harness = WaitingHarness(Limits(claims=1))
    waiting = [queue(harness, "b", "*"), queue(harness, "b", "*")]
    other = queue(harness, "c", "*")
    harness.set("k")
    assert list(harness.answers()) == waiting[:1]
    with pytest.raises(LimitReached):
        take(harness, "b", "*")
    harness.set("j")
    assert sorted(harness.answers()) == [waiting[1], other]
    assert isinstance(harness.answers()[waiting[1]], LimitReached)
    assert taken_key(harness, other) == "j"


def test_a_session_that_reaches_its_limit_of_locks_during_a_scan_takes_nothing() -> None:
    harness = WaitingHarness(Limits(claims=1, scan=4))
    harness.set(*(f"k:{number}" for number in range(9)))
    waiting = queue(harness, "b", "*")
    harness.do("b", "lock", name="other")
    harness.proceed()
    assert isinstance(harness.answers()[waiting], LimitReached)
    assert take(harness, "c", "*").entry.key == "k:0"


# --- in slices ---


def many(harness: WaitingHarness, count: int = 18, prefix: str = "k") -> None:
    harness.set(*(f"{prefix}:{number:02}" for number in reversed(range(count))))


def test_the_first_take_from_many_keys_scans_in_slices_and_takes_the_oldest() -> None:
    harness = WaitingHarness(SLICES)
    many(harness)
    id = queue(harness, "b", "*", timeout=0)
    assert harness.proceed() > 4
    assert taken_key(harness, id) == "k:17"
    assert take(harness, "b", "*").entry.key == "k:16", "the line is there now"


def test_a_take_with_timeout_0_is_not_refused_before_its_scan_is_complete() -> None:
    harness = WaitingHarness(SLICES)
    many(harness)
    id = queue(harness, "b", "*9", timeout=0)
    none = queue(harness, "c", "*a", timeout=0)
    harness.tick(10)
    assert harness.answers() == {}
    harness.proceed()
    assert taken_key(harness, id) == "k:09"
    assert isinstance(harness.answers()[none], TimedOut)


def test_a_taker_scans_in_slices_and_then_waits() -> None:
    harness = WaitingHarness(SLICES)
    many(harness)
    id = queue(harness, "b", "j*", "*a")
    harness.set("j", "k:0a")
    harness.proceed()
    assert taken_key(harness, id) == "j"


def test_changes_during_a_takers_scan_are_seen() -> None:
    harness = WaitingHarness(SLICES)
    many(harness)
    id = queue(harness, "b", "*")
    harness.do("a", "delete", key="k:17")
    harness.do("c", "lock", name="k:16")
    harness.do("c", "lock", name="k:00")
    harness.do("a", "delete", key="k:00", guard={"token": harness.machine.state.log.rev})
    harness.set("k:99", "a")
    harness.proceed()
    assert taken_key(harness, id) == "k:15"


def test_a_scanning_taker_is_not_passed_over() -> None:
    harness = WaitingHarness(SLICES)
    many(harness)
    first = queue(harness, "b", "*a", "j")
    second = queue(harness, "c", "j")
    harness.set("j")
    assert harness.answers() == {}, "it may be for the first, who knows when the look is done"
    harness.proceed()
    assert list(harness.answers()) == [first]
    harness.set("k:0a")
    assert harness.answers() == {}
    harness.do("b", "bye")
    assert list(harness.answers()) == [second]


def test_a_later_taker_is_not_refused_while_an_earlier_one_scans() -> None:
    """The first taker scans and will take another entry. What it leaves is for the second, which does not wait."""
    harness = WaitingHarness(SLICES)
    harness.set("x", "j")
    many(harness)
    first = queue(harness, "b", "j", "k*", "x")
    second = queue(harness, "c", "j", timeout=0)
    harness.proceed()
    assert (taken_key(harness, first), taken_key(harness, second)) == ("x", "j")


def test_a_later_taker_gets_no_newer_entry_while_an_older_one_is_deferred() -> None:
    harness = WaitingHarness(SLICES)
    harness.set("x", "j1", "j2")
    many(harness)
    first = queue(harness, "b", "j1", "k*", "x")
    second = queue(harness, "c", "j*", timeout=0)
    harness.proceed()
    assert (taken_key(harness, first), taken_key(harness, second)) == ("x", "j1")


def test_entries_for_a_waiting_taker_stay_in_order_while_another_scans() -> None:
    harness = WaitingHarness(SLICES)
    harness.set("x")
    many(harness)
    first = queue(harness, "b", "j1", "k*", "x")
    second = queue(harness, "c", "j*")
    harness.set("j1", "j2")
    assert harness.answers() == {}
    harness.proceed()
    assert (taken_key(harness, first), taken_key(harness, second)) == ("x", "j1")


def test_a_taker_that_times_out_is_not_refused_while_an_entry_for_it_is_deferred() -> None:
    harness = WaitingHarness(SLICES)
    harness.set("x")
    many(harness)
    first = queue(harness, "b", "j", "k*", "x")
    second = queue(harness, "c", "j*", timeout=5)
    third = queue(harness, "d", "j*", timeout=5)
    harness.set("j")
    harness.tick(5)
    assert harness.answers() == {}
    harness.proceed()
    assert (taken_key(harness, first), taken_key(harness, second)) == ("x", "j")
    assert isinstance(harness.answers()[third], TimedOut)


def test_an_entry_deferred_for_a_cancelled_taker_goes_to_the_next() -> None:
    harness = WaitingHarness(SLICES)
    many(harness)
    first = queue(harness, "b", "*a", "j")
    second = queue(harness, "c", "j")
    harness.set("j")
    harness.do("b", "cancel", target=first)
    assert taken_key(harness, second) == "j"


def test_new_entries_do_not_set_back_the_scan_of_a_taker() -> None:
    """Locked entries make the scan slow. New entries come behind them, and do not make it start again."""
    harness = WaitingHarness(SLICES)
    many(harness, 12)
    harness.do("c", "lock", pattern="k:*")
    id = queue(harness, "b", "*")
    while not harness.machine.state.work_queues.scanning[0].next_position:
        harness.proceed(1)
    for number in range(6):
        harness.proceed(1)
        if harness.answers():
            break
        harness.set(f"z:{number}")
    assert taken_key(harness, id) == "z:0"


def test_an_older_entry_released_behind_a_scan_is_taken_before_newer_ones() -> None:
    harness = WaitingHarness(SLICES)
    many(harness, 12)
    harness.set("zz")
    first = queue(harness, "d", "*")
    harness.proceed()
    token = harness.answer(first).token
    for pattern in ("k:0*", "?:10"):
        harness.do("c", "lock", pattern=pattern)
    id = queue(harness, "b", "*")
    harness.proceed(1)
    assert harness.machine.has_pending_scan
    harness.do("d", "unlock", token=token)
    harness.proceed()
    assert taken_key(harness, id) == "k:11"


def test_a_lock_on_all_patterns_of_a_take_needs_no_scan_and_its_release_wakes_the_taker() -> None:
    harness = WaitingHarness()
    many(harness, 12)
    token = harness.do("d", "lock", pattern="k:*").token
    ids = [queue(harness, session, "k:*") for session in "bc"]
    other = queue(harness, "b", "k:0[0-5]")
    nothing(harness, "a", "k:*")
    harness.do("d", "unlock", token=token)
    harness.proceed()
    assert [taken_key(harness, id) for id in (*ids, other)] == ["k:11", "k:10", "k:05"]


def test_entries_outside_of_a_pattern_lock_can_be_taken() -> None:
    harness = WaitingHarness()
    harness.set("a", "b")
    harness.do("d", "lock", pattern="a*")
    assert take(harness, "b", "a*", "b*").entry.key == "b"
    nothing(harness, "b", "a*", "b*")
    harness.do("b", "bye")
    harness.do("d", "lock", pattern="b*")
    nothing(harness, "c", "a*", "b*")


# --- lines ---


def test_the_least_recently_used_work_queue_is_dropped_and_built_again() -> None:
    harness = WaitingHarness(Limits(work_queues=2))
    harness.set("a1", "b1", "c1", "a2", "b2", "c2")
    assert [take(harness, "b", pattern).entry.key for pattern in ("a*", "b*", "c*")] == ["a1", "b1", "c1"]
    harness.set("a0")
    assert [take(harness, "b", pattern).entry.key for pattern in ("a*", "b*", "c*")] == ["a2", "b2", "c2"]
    assert take(harness, "b", "a*").entry.key == "a0"
    harness.do("b", "bye")
    assert [take(harness, "c", pattern).delivery for pattern in ("b*", "c*", "a*")] == [2, 2, 2]


def test_a_work_queue_with_a_waiting_taker_is_never_dropped() -> None:
    harness = WaitingHarness(Limits(work_queues=1))
    ids = {pattern: queue(harness, "b", pattern) for pattern in ("a*", "b*", "c*")}
    nothing(harness, "c", "d*")
    nothing(harness, "c", "e*")
    for pattern, id in ids.items():
        harness.set(pattern[0])
        assert taken_key(harness, id) == pattern[0]


def test_takes_with_the_same_patterns_in_another_order_share_a_work_queue() -> None:
    harness = WaitingHarness()
    first, second = queue(harness, "b", "a*", "b?", "a*"), queue(harness, "c", "b?", "a*")
    harness.set("b1")
    assert taken_key(harness, first) == "b1"
    harness.set("a1")
    assert taken_key(harness, second) == "a1"
    assert len(harness.machine.state.work_queues._queues) == 1


# --- what it costs ---


def test_a_second_take_from_a_long_work_queue_does_not_scan_again(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = WaitingHarness()
    harness.machine.check = lambda: None  # type: ignore[method-assign]
    many(harness, 1_900)
    scanned = 0
    scan = Keyspace.scan

    def counted(*args: Any) -> Any:
        nonlocal scanned
        for entry in scan(*args):
            scanned += 1
            yield entry

    monkeypatch.setattr(Keyspace, "scan", counted)
    taken = take(harness, "b", "k*")
    assert scanned == 1_900
    for _ in range(500):
        done(harness, "b", taken)
        taken = take(harness, "b", "k*")
    harness.set("k:x")
    assert scanned == 1_900


def test_a_take_reads_only_the_start_of_a_long_work_queue() -> None:
    """The first entry of a long queue is free: the others are not even listed."""
    harness = WaitingHarness()
    harness.machine.check = lambda: None  # type: ignore[method-assign]
    many(harness, 1_000)
    taken = take(harness, "b", "k*")
    line = next(iter(harness.machine.state.work_queues._queues.values()))
    listed = 0
    irange = line.keys.irange

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal listed
        for place in irange(*args, **options):
            listed += 1
            yield place

    line.keys.irange = counted
    for _ in range(10):
        done(harness, "b", taken)
        taken = take(harness, "b", "k*")
    assert 10 <= listed <= 10 * 20


def test_a_slice_has_fewer_keys_if_they_are_added_to_the_work_queue() -> None:
    harness = WaitingHarness(Limits(scan=40))
    many(harness, 100)
    harness.set(*(f"other:{number}" for number in range(100)))
    slow, quick = queue(harness, "b", "k*"), queue(harness, "b", "*:x")
    assert harness.proceed(7) == 7
    assert list(harness.answers()) == []
    harness.proceed()
    assert slow in harness.answers()
    assert quick not in harness.answers()


def test_a_set_that_many_takers_wait_for_looks_at_one_of_them() -> None:
    """A thousand idle workers wait for one queue: a new entry goes to the first, and the others are not looked at."""
    harness = WaitingHarness()
    harness.machine.check = lambda: None  # type: ignore[method-assign]
    for number in range(1_000):
        harness.machine.apply(m.Take(id=number, patterns=["k*"], timeout=100.0), "abcd"[number % 4], harness.now)
    asked = 0
    line = next(iter(harness.machine.state.work_queues._queues.values()))
    assert len(line.takers) == 1_000

    class Counted(dict[Any, None]):
        def __iter__(self) -> Any:
            nonlocal asked
            for one in super().__iter__():
                asked += 1
                yield one

    line.takers = Counted(line.takers)
    harness.set("k:1", "k:2", "k:3")
    assert len(line.takers) == 997
    assert asked == 3


def test_without_a_take_no_work_queue_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = WaitingHarness()
    monkeypatch.setattr(WorkQueue, "add", None)
    harness.set("a", "b")
    token = harness.do("b", "lock", name="a").token
    harness.do("b", "unlock", token=token)
    assert not harness.machine.state.work_queues.deliveries

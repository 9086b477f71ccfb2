"""Take: work with one winner (protocol 7, G9)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.state.patient import PatientTable
from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Cancelled, Forbidden, LimitReached, Locked, NotHolder, TimedOut
from waggle_hub.settings import Limits
from waggle_hub.state.store.keyspace import Keyspace
from waggle_hub.state.work.queue import WorkQueue

SLICES = Limits(scan=4)
"""A machine that looks at four keys in one go."""


def take(table: PatientTable, session: str, *patterns: str, **fields: Any) -> Any:
    return table.do(session, "take", patterns=list(patterns), **fields)


def queue(table: PatientTable, session: str, *patterns: str, **fields: Any) -> int:
    """Wait for work."""
    return table.ask(session, "take", patterns=list(patterns), **{"timeout": 100, **fields})


def nothing(table: PatientTable, session: str, *patterns: str, **fields: Any) -> None:
    with pytest.raises(TimedOut):
        take(table, session, *patterns, **fields)


def done(table: PatientTable, session: str, taken: Any) -> Any:
    return table.do(session, "delete", key=taken.entry.key, ns=taken.entry.ns, guard={"token": taken.token})


def taken_key(table: PatientTable, id: int) -> str:
    taken = table.answer(id)
    assert isinstance(taken, m.Taken)
    return taken.entry.key


# --- which entry ---


def test_what_is_taken_is_locked_for_the_length_of_the_lease() -> None:
    table = PatientTable()
    table.set("k", value={"n": 1})
    taken = take(table, "b", "k", lease=7)
    assert (taken.entry.key, bytes(taken.entry.value), taken.delivery) == ("k", b'{"n":1}', 1)
    assert taken.expires_at == 1_007.0
    assert taken.token == table.machine.state.log.rev, "the revision of the grant"
    assert table.told() == [[("lock", "k")]]
    (held,) = table.do("a", "locks").locks
    assert (held.names, held.mode, held.session, held.token) == (["k"], "exclusive", "b", taken.token)
    with pytest.raises(Locked):
        table.set("k")
    table.do("b", "set", key="k", value=2)
    assert table.do("b", "renew", token=taken.token, ttl=50).expires_at == 1_050.0


def test_the_lease_is_30_seconds_where_none_is_given() -> None:
    table = PatientTable()
    table.set("k")
    assert take(table, "b", "*").expires_at == 1_030.0


def test_the_oldest_comes_first_by_its_creation_and_not_by_its_last_write() -> None:
    table = PatientTable()
    table.set("c", "a", "b")
    table.set("c", "a")
    assert [take(table, "b", "*").entry.key for _ in "123"] == ["c", "a", "b"]
    nothing(table, "b", "*")


def test_what_is_deleted_and_written_again_is_new() -> None:
    table = PatientTable()
    table.set("a", "b")
    nothing(table, "b", "none*")
    table.do("a", "delete", key="a")
    table.set("a")
    assert [take(table, "b", "*").entry.key for _ in "12"] == ["b", "a"]


@pytest.mark.parametrize("first", [False, True], ids=["line from a scan", "line from events"])
def test_the_order_is_the_same_whether_the_line_was_there_before(first: bool) -> None:
    table = PatientTable()
    if first:
        nothing(table, "b", "a*", "*1")
    table.set("b1", "a2", "a1", "c3")
    table.do("a", "txn", **{"if": [], "then": [{"op": "set", "key": key, "value": 1} for key in ("a3", "a2", "a4")]})
    table.set("b1")
    assert [take(table, "b", "a*", "*1").entry.key for _ in "12345"] == ["b1", "a2", "a1", "a3", "a4"]
    nothing(table, "b", "a*", "*1")


def test_namespaces_are_apart() -> None:
    table = PatientTable()
    table.set("k", ns="project")
    nothing(table, "b", "*")
    taken = take(table, "b", "*", ns="project")
    assert taken.entry.ns == "project"
    table.set("k")
    assert take(table, "b", "*").entry.ns == "default"


def test_what_is_due_is_not_taken() -> None:
    table = PatientTable()
    table.set("a", ttl=5)
    table.set("b")
    nothing(table, "b", "none")
    table.now += 5
    assert take(table, "b", "*").entry.key == "b"
    nothing(table, "b", "*")


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
def test_what_is_locked_is_passed_over(lock: dict[str, Any], first: bool) -> None:
    table = PatientTable()
    table.set("a", "bb")
    if first:
        table.do("b", "unlock", token=take(table, "b", "*").token)
    token = table.do("c", "lock", **lock).token
    assert take(table, "b", "*").entry.key == "bb"
    nothing(table, "b", "*")
    nothing(table, "c", "*")
    table.do("c", "unlock", token=token)
    assert take(table, "b", "*").entry.key == "a"


def test_what_somebody_waits_to_lock_is_passed_over() -> None:
    table = PatientTable()
    table.set("a1", "a2", "b1")
    token = table.do("c", "lock", names=["x", "y"]).token
    table.ask("d", "lock", names=["a1", "x"], wait=50)
    waiting = table.ask("d", "lock", patterns=["a2", "y"], wait=50)
    assert take(table, "b", "*").entry.key == "b1"
    nothing(table, "b", "*")
    id = queue(table, "b", "*")
    table.do("d", "cancel", target=waiting)
    table.proceed()
    assert taken_key(table, id) == "a2"
    table.do("c", "unlock", token=token)


def test_an_entry_that_is_written_under_a_lock_can_be_taken_when_that_ends() -> None:
    table = PatientTable()
    id = queue(table, "b", "*")
    token = table.do("a", "lock", name="k").token
    table.set("k")
    assert table.answers() == {}
    table.do("a", "unlock", token=token)
    assert taken_key(table, id) == "k"


def test_a_lock_that_was_waited_for_goes_before_a_take() -> None:
    table = PatientTable()
    table.set("k")
    token = table.do("a", "lock", name="k").token
    id = queue(table, "b", "k")
    lock = table.ask("c", "lock", name="k", wait=50)
    table.do("a", "unlock", token=token)
    assert list(table.answers()) == [lock]
    table.do("c", "unlock", token=table.answer(lock).token)
    assert taken_key(table, id) == "k"


# --- takers in their order ---


def test_what_comes_in_goes_to_who_came_first() -> None:
    table = PatientTable()
    ids = [queue(table, session, "*") for session in "bcb"]
    for id, key in zip(ids, ("z", "y", "x"), strict=True):
        rev = table.set(key)
        assert list(table.answers()) == [id]
        assert taken_key(table, id) == key
        assert table.answer(id).token == rev + 1, "a revision of its own, after that of the entry"
    table.set("w")
    assert table.answers() == {}


def test_takers_of_overlapping_patterns_are_served_in_their_order() -> None:
    table = PatientTable()
    wide, a_one, one = queue(table, "b", "*"), queue(table, "c", "a*", "b*"), queue(table, "d", "?1")
    table.set("b1")
    assert list(table.answers()) == [wide]
    table.set("c1")
    assert list(table.answers()) == [one]
    table.set("c2")
    assert table.answers() == {}
    table.set("a1")
    assert list(table.answers()) == [a_one]


def test_several_that_come_at_once_go_to_several_in_the_order_of_both() -> None:
    table = PatientTable()
    ids = [queue(table, "b", "a*"), queue(table, "c", "*"), queue(table, "d", "*")]
    steps = [{"op": "set", "key": key, "value": 1} for key in ("b1", "a1", "b2", "b3")]
    table.do("a", "txn", **{"if": [], "then": steps})
    assert {id: taken.entry.key for id, taken in table.answers().items()} == dict(
        zip(ids, ("a1", "b1", "b2"), strict=True)
    )
    assert take(table, "a", "*").entry.key == "b3"


def test_of_several_that_are_given_up_at_once_the_oldest_goes_first() -> None:
    table = PatientTable()
    table.set("old", "mid", "new")
    for key in ("new", "old", "mid"):
        take(table, "b", key)
    ids = [queue(table, session, "*") for session in "cd"]
    table.do("b", "bye")
    assert [taken_key(table, id) for id in ids] == ["old", "mid"]
    assert take(table, "a", "*").entry.key == "new"


def test_a_txn_that_takes_back_what_it_wrote_offers_nothing() -> None:
    table = PatientTable()
    id = queue(table, "b", "*")
    steps = [{"op": "set", "key": "k", "value": 1}, {"op": "delete", "key": "k"}]
    table.do("a", "txn", **{"if": [], "then": steps})
    assert table.answers() == {}
    with pytest.raises(Exception, match="expected rev 7"):
        table.do("a", "txn", **{"if": [], "then": [steps[0], {"op": "set", "key": "x", "value": 1, "if_rev": 7}]})
    assert table.answers() == {}
    table.set("j")
    assert taken_key(table, id) == "j"


# --- how it ends ---


def test_done_is_a_delete_with_the_guard_and_the_lock_ends_in_the_same_revision() -> None:
    table = PatientTable()
    table.set("k")
    taken = take(table, "b", "*")
    rev = done(table, "b", taken).rev
    assert table.told() == [[("delete", "k"), ("unlock", "k")]]
    assert [event.reason for event in table.events() if event.type == "unlock"] == ["released"]
    assert table.losses() == []
    assert table.machine.state.log.rev == rev
    with pytest.raises(NotHolder):
        table.do("b", "renew", token=taken.token)
    with pytest.raises(NotHolder):
        done(table, "b", taken)


def test_the_holder_is_told_if_somebody_else_with_its_token_ends_the_entry() -> None:
    table = PatientTable()
    table.set("k")
    taken = take(table, "b", "*")
    with pytest.raises(Locked):
        table.do("c", "delete", key="k")
    done(table, "c", taken)
    assert table.losses() == [("b", taken.token, "released")]


def test_the_holder_is_told_if_the_entry_expires() -> None:
    table = PatientTable()
    table.set("k", ttl=5)
    taken = take(table, "b", "*")
    table.tick(5)
    assert table.told() == [[("expire", "k"), ("unlock", "k")]]
    assert table.losses() == [("b", taken.token, "expired")]


def test_the_holder_is_told_if_the_entry_is_evicted() -> None:
    table = PatientTable()
    table.set("k", kind="cached")
    taken = take(table, "b", "*")
    table.outputs = table.machine.evict([("default", "k")], table.now)
    assert table.told() == [[("evict", "k"), ("unlock", "k")]]
    assert table.losses() == [("b", taken.token, "released")]


def test_the_holder_is_told_if_the_entry_goes_with_the_session_that_it_was_tied_to() -> None:
    table = PatientTable()
    table.set("k", ephemeral=True)
    taken = take(table, "b", "*")
    table.do("a", "bye")
    assert table.told() == [[("delete", "k"), ("unlock", "k")]]
    assert table.losses() == [("b", taken.token, "released")]


def test_the_holder_of_its_own_ephemeral_entry_ends_with_both() -> None:
    table = PatientTable()
    table.set("k", ephemeral=True, session="b")
    take(table, "b", "*")
    id = queue(table, "c", "*")
    table.do("b", "bye")
    assert table.told() == [[("unlock", "k"), ("delete", "k")]]
    assert table.losses() == []
    assert id not in table.answers()


def test_a_clear_by_the_holder_ends_what_it_has_taken() -> None:
    table = PatientTable()
    table.set("k")
    take(table, "b", "*")
    with pytest.raises(Locked):
        table.do("a", "clear", pattern="*", confirm=True)
    table.do("b", "clear", pattern="*", confirm=True)
    assert table.told() == [[("delete", "k"), ("unlock", "k")]]
    assert table.do("b", "locks").locks == []


@pytest.mark.parametrize("end", ["unlock", "lease", "bye", "grace", "force"])
def test_what_is_given_up_goes_to_the_next_with_one_delivery_more(end: str) -> None:
    table = PatientTable()
    table.set("k")
    token = take(table, "b", "*", lease=9).token
    id = queue(table, "c", "*")
    if end == "unlock":
        table.do("b", "unlock", token=token)
        assert table.losses() == []
    elif end == "lease":
        table.tick(8.999)
        assert table.answers() == {}
        table.tick(0.001)
        assert table.losses() == [("b", token, "expired")]
    elif end == "bye":
        table.do("b", "bye")
    elif end == "grace":
        table.do("b", "renew", token=token, ttl=1_000)
        table.drop("b")
        table.tick(Limits().grace)
    else:
        table.do("a", "unlock", name="k", force=True, reason="stuck")
        assert table.losses() == [("b", token, "forced")]
    taken = table.answer(id)
    assert (taken.entry.key, taken.delivery) == ("k", 2)
    assert taken.token > token


def test_deliveries_are_counted_as_long_as_there_is_that_entry() -> None:
    table = PatientTable()
    table.set("k")
    for delivery in (1, 2, 3):
        taken = take(table, "b", "*")
        assert taken.delivery == delivery
        table.do("b", "set", key="k", value=delivery, guard={"token": taken.token})
        table.do("b", "unlock", token=taken.token)
    done(table, "b", take(table, "b", "*"))
    table.set("k")
    assert take(table, "b", "*").delivery == 1


def test_an_entry_that_is_replaced_within_a_txn_is_another() -> None:
    table = PatientTable()
    table.set("k", "j")
    taken = take(table, "b", "*")
    id = queue(table, "c", "k")
    guard = {"token": taken.token}
    steps = [{"op": "delete", "key": "k", "guard": guard}, {"op": "set", "key": "k", "value": 2, "guard": guard}]
    table.do("b", "txn", **{"if": [], "then": steps})
    assert table.told()[0] == [("delete", "k"), ("set", "k"), ("unlock", "k")]
    again = table.answer(id)
    assert (again.entry.key, again.delivery) == ("k", 1)


def test_a_txn_that_deletes_what_is_taken_and_is_refused_later_changes_nothing() -> None:
    table = PatientTable()
    table.set("k")
    taken = take(table, "b", "*")
    waiting = queue(table, "c", "*")
    steps = [
        {"op": "delete", "key": "k", "guard": {"token": taken.token}},
        {"op": "set", "key": "k", "value": 1, "if_rev": 7},
    ]
    with pytest.raises(Exception, match="expected rev 7"):
        table.do("b", "txn", **{"if": [], "then": steps})
    assert (table.answers(), table.losses(), table.told()) == ({}, [], [])
    assert table.do("b", "renew", token=taken.token).expires_at
    table.do("b", "unlock", token=taken.token)
    assert table.answer(waiting).delivery == 2


# --- the dead ---


def dead(table: PatientTable) -> dict[str, Any]:
    return {key: table.do("a", "get", ns="$dead", key=key).entry for key in table.keys("a", ns="$dead")}


def test_what_is_delivered_too_often_is_moved_to_the_dead_in_one_revision() -> None:
    table = PatientTable()
    rev = table.set("k", value={"n": 1}, meta={"from": "me"})
    table.set("k", value={"n": 2}, meta={"from": "me"})
    for delivery in (1, 2):
        taken = take(table, "b", "*", max_deliveries=2)
        assert taken.delivery == delivery
        table.do("b", "unlock", token=taken.token)
    nothing(table, "b", "*", max_deliveries=2)
    assert [[(event.ns, event.type, event.key, event.by) for event in commit.events] for commit in table.commits()] == [
        [("default", "delete", "k", "$hub"), ("$dead", "set", f"default:{rev}", "$hub")]
    ]
    ((key, entry),) = dead(table).items()
    assert key == f"default:{rev}"
    assert bytes(entry.value) == b'{"n":2}'
    meta = msgspec.json.decode(bytes(entry.meta))
    assert meta == {"ns": "default", "key": "k", "deliveries": 2, "by": "agent-a", "meta": {"from": "me"}}
    assert table.keys("a") == []


def test_one_who_waits_is_not_given_what_is_dead_for_it_and_waits_on() -> None:
    table = PatientTable()
    table.set("k")
    token = take(table, "b", "*").token
    picky, patient = queue(table, "c", "*", max_deliveries=1), queue(table, "d", "*")
    table.do("b", "unlock", token=token)
    assert table.answers() == {}
    assert len(dead(table)) == 1
    table.set("j")
    assert list(table.answers()) == [picky]
    table.set("i")
    assert list(table.answers()) == [patient]


def test_of_what_is_dead_the_rest_is_taken() -> None:
    table = PatientTable()
    table.set("a", "b")
    table.do("b", "unlock", token=take(table, "b", "*").token)
    assert take(table, "b", "*", max_deliveries=1).entry.key == "b"
    assert [entry.key for entry in dead(table).values()] == [*dead(table)]


def test_two_of_one_txn_that_die_are_kept_both() -> None:
    table = PatientTable()
    table.do("a", "txn", **{"if": [], "then": [{"op": "set", "key": key, "value": key} for key in "xy"]})
    for _ in "xy":
        take(table, "b", "*")
    table.do("b", "bye")
    nothing(table, "c", "*", max_deliveries=1)
    assert sorted(bytes(entry.value) for entry in dead(table).values()) == [b'"x"', b'"y"']
    assert all(key.startswith("default:") for key in dead(table))


def test_the_dead_can_be_read_taken_deleted_and_cleared_but_not_written() -> None:
    table = PatientTable()
    table.set("a", "b", "c")
    for _ in "abc":
        take(table, "b", "*")
    table.do("b", "bye")
    nothing(table, "c", "*", max_deliveries=1)
    assert len(dead(table)) == 3
    taken = take(table, "c", "default:*", ns="$dead")
    assert (taken.entry.ns, taken.delivery) == ("$dead", 1)
    assert done(table, "c", taken).deleted
    other = next(iter(dead(table)))
    assert table.do("a", "delete", ns="$dead", key=other).deleted
    assert table.do("a", "wait", all=[{"pattern": "*", "ns": "$dead"}]).met == [0]
    assert table.do("a", "clear", ns="$dead", pattern="*", confirm=True).deleted == 1
    for op, fields in (
        ("set", {"key": "x", "value": 1}),
        ("update", {"key": "x", "merge": {}}),
        ("touch", {"key": "x", "ttl": 1}),
        ("lock", {"name": "x"}),
    ):
        with pytest.raises(Forbidden):
            table.do("a", op, ns="$dead", **fields)
    with pytest.raises(BadRequest):
        take(table, "a", "*", ns="$dead", max_deliveries=1)


def test_one_who_waits_for_the_dead_gets_them_as_they_come() -> None:
    table = PatientTable()
    id = queue(table, "d", "*", ns="$dead")
    table.set("k")
    table.do("b", "unlock", token=take(table, "b", "*").token)
    nothing(table, "b", "*", max_deliveries=1)
    assert table.answer(id).entry.ns == "$dead"


# --- the end of its time, rids, cancel, sessions ---


def test_nothing_in_time_is_a_timeout() -> None:
    table = PatientTable()
    nothing(table, "b", "*")
    id = queue(table, "b", "*", timeout=2.5)
    for_ever = queue(table, "c", "*", timeout=None)
    table.tick(2.4)
    assert table.answers() == {}
    table.tick(0.1)
    assert isinstance(table.answers()[id], TimedOut)
    table.tick(10_000_000)
    table.set("k")
    assert list(table.answers()) == [for_ever]


def test_the_same_rid_again_is_the_same_take() -> None:
    table = PatientTable()
    table.set("k", "j")
    taken = take(table, "b", "*", rid="r")
    again = table.do("b", "take", id=2, patterns=["*"], rid="r")
    assert table.dup
    assert again == taken
    assert take(table, "b", "*", rid="other").entry.key == "j"


def test_the_same_rid_while_it_waits_joins_it_and_the_newest_id_is_answered() -> None:
    table = PatientTable()
    first = queue(table, "b", "*", rid="r")
    newest = queue(table, "b", "*", rid="r")
    assert newest != first
    table.set("k", "j")
    assert list(table.answers()) == []
    table.do("b", "take", id=9, patterns=["*"], rid="r")
    assert table.dup
    assert [one.names for one in table.do("b", "locks").locks] == [["k"]]


def test_nothing_in_time_is_not_kept_for_its_rid() -> None:
    table = PatientTable()
    nothing(table, "b", "*", rid="r")
    table.set("k")
    assert take(table, "b", "*", rid="r").entry.key == "k"


def test_a_take_that_is_cancelled_takes_nothing() -> None:
    table = PatientTable()
    id = queue(table, "b", "*", rid="r")
    other = queue(table, "c", "*")
    assert table.do("b", "cancel", target=id).cancelled
    assert isinstance(table.answers()[id], Cancelled)
    table.set("k")
    assert list(table.answers()) == [other]
    assert table.do("c", "cancel", target=other).cancelled is False, "the grant was faster, and stays"
    assert len(table.do("c", "locks").locks) == 1


def test_a_take_outlives_its_connection_and_is_answered_after_the_takeover() -> None:
    table = PatientTable()
    id = queue(table, "b", "*")
    table.drop("b")
    table.set("k")
    assert table.answers() == {}
    table.return_to("b")
    assert taken_key(table, id) == "k"
    assert table.do("b", "locks").locks[0].session == "b"


def test_a_session_that_has_ended_takes_nothing() -> None:
    table = PatientTable()
    queue(table, "b", "*", timeout=1_000)
    left = queue(table, "c", "*", timeout=1_000)
    other = queue(table, "d", "*", timeout=1_000)
    table.do("b", "bye")
    table.drop("c")
    table.tick(Limits().grace)
    table.set("k")
    assert list(table.answers()) == [other]
    assert left not in table.answers()


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
def test_a_take_that_is_wrong_names_the_field(fields: dict[str, Any], field: str) -> None:
    table = PatientTable()
    table.set("k")
    with pytest.raises(BadRequest) as refused:
        table.do("b", "take", **{"patterns": ["*"], **fields})
    assert refused.value.details["field"] == field
    assert table.commits() == []


def test_a_take_has_100_patterns_and_no_more_and_none_of_the_hubs_namespaces() -> None:
    table = PatientTable()
    table.set("k:100")
    assert take(table, "b", *(f"k:{number}" for number in range(1, 101))).entry.key == "k:100"
    with pytest.raises(LimitReached):
        take(table, "b", *(f"k:{number}" for number in range(101)))
    with pytest.raises(Forbidden):
        take(table, "b", "*", ns="$agents")


def test_a_session_holds_so_many_locks_and_takes_no_more() -> None:
    table = PatientTable(Limits(claims=1))
    waiting = [queue(table, "b", "*"), queue(table, "b", "*")]
    other = queue(table, "c", "*")
    table.set("k")
    assert list(table.answers()) == waiting[:1]
    with pytest.raises(LimitReached):
        take(table, "b", "*")
    table.set("j")
    assert sorted(table.answers()) == [waiting[1], other]
    assert isinstance(table.answers()[waiting[1]], LimitReached)
    assert taken_key(table, other) == "j"


def test_a_session_that_has_come_to_its_limit_while_it_was_looking_takes_no_more() -> None:
    table = PatientTable(Limits(claims=1, scan=4))
    table.set(*(f"k:{number}" for number in range(9)))
    waiting = queue(table, "b", "*")
    table.do("b", "lock", name="other")
    table.proceed()
    assert isinstance(table.answers()[waiting], LimitReached)
    assert take(table, "c", "*").entry.key == "k:0"


# --- in slices ---


def many(table: PatientTable, count: int = 18, prefix: str = "k") -> None:
    table.set(*(f"{prefix}:{number:02}" for number in reversed(range(count))))


def test_the_first_take_on_many_keys_looks_in_slices_and_takes_the_oldest() -> None:
    table = PatientTable(SLICES)
    many(table)
    id = queue(table, "b", "*", timeout=0)
    assert table.proceed() > 4
    assert taken_key(table, id) == "k:17"
    assert take(table, "b", "*").entry.key == "k:16", "the line is there now"


def test_timeout_0_is_not_refused_before_all_was_looked_at() -> None:
    table = PatientTable(SLICES)
    many(table)
    id = queue(table, "b", "*9", timeout=0)
    none = queue(table, "c", "*a", timeout=0)
    table.tick(10)
    assert table.answers() == {}
    table.proceed()
    assert taken_key(table, id) == "k:09"
    assert isinstance(table.answers()[none], TimedOut)


def test_one_who_waits_looks_in_slices_and_then_waits() -> None:
    table = PatientTable(SLICES)
    many(table)
    id = queue(table, "b", "j*", "*a")
    table.set("j", "k:0a")
    table.proceed()
    assert taken_key(table, id) == "j"


def test_changes_during_the_look_are_seen() -> None:
    table = PatientTable(SLICES)
    many(table)
    id = queue(table, "b", "*")
    table.do("a", "delete", key="k:17")
    table.do("c", "lock", name="k:16")
    table.do("c", "lock", name="k:00")
    table.do("a", "delete", key="k:00", guard={"token": table.machine.state.log.rev})
    table.set("k:99", "a")
    table.proceed()
    assert taken_key(table, id) == "k:15"


def test_one_who_looks_is_not_passed_over() -> None:
    table = PatientTable(SLICES)
    many(table)
    first = queue(table, "b", "*a", "j")
    second = queue(table, "c", "j")
    table.set("j")
    assert table.answers() == {}, "it may be for the first, who knows when the look is done"
    table.proceed()
    assert list(table.answers()) == [first]
    table.set("k:0a")
    assert table.answers() == {}
    table.do("b", "bye")
    assert list(table.answers()) == [second]


def test_one_who_came_later_is_not_refused_while_it_is_open_what_is_left_for_it() -> None:
    """The first is looking, and will take something else: what it leaves is for the second, who asks only once."""
    table = PatientTable(SLICES)
    table.set("x", "j")
    many(table)
    first = queue(table, "b", "j", "k*", "x")
    second = queue(table, "c", "j", timeout=0)
    table.proceed()
    assert (taken_key(table, first), taken_key(table, second)) == ("x", "j")


def test_one_who_came_later_takes_nothing_newer_while_the_oldest_is_open() -> None:
    table = PatientTable(SLICES)
    table.set("x", "j1", "j2")
    many(table)
    first = queue(table, "b", "j1", "k*", "x")
    second = queue(table, "c", "j*", timeout=0)
    table.proceed()
    assert (taken_key(table, first), taken_key(table, second)) == ("x", "j1")


def test_what_comes_for_one_who_waits_stays_in_order_while_somebody_else_is_looking() -> None:
    table = PatientTable(SLICES)
    table.set("x")
    many(table)
    first = queue(table, "b", "j1", "k*", "x")
    second = queue(table, "c", "j*")
    table.set("j1", "j2")
    assert table.answers() == {}
    table.proceed()
    assert (taken_key(table, first), taken_key(table, second)) == ("x", "j1")


def test_one_whose_time_is_over_while_it_is_open_what_is_left_for_it_is_not_refused() -> None:
    table = PatientTable(SLICES)
    table.set("x")
    many(table)
    first = queue(table, "b", "j", "k*", "x")
    second = queue(table, "c", "j*", timeout=5)
    third = queue(table, "d", "j*", timeout=5)
    table.set("j")
    table.tick(5)
    assert table.answers() == {}
    table.proceed()
    assert (taken_key(table, first), taken_key(table, second)) == ("x", "j")
    assert isinstance(table.answers()[third], TimedOut)


def test_what_was_held_back_for_one_who_leaves_goes_to_the_next() -> None:
    table = PatientTable(SLICES)
    many(table)
    first = queue(table, "b", "*a", "j")
    second = queue(table, "c", "j")
    table.set("j")
    table.do("b", "cancel", target=first)
    assert taken_key(table, second) == "j"


def test_one_who_looks_is_not_set_back_by_what_comes_in() -> None:
    """Entries under a lock are passed over slowly: new ones come behind them, and do not make it begin again."""
    table = PatientTable(SLICES)
    many(table, 12)
    table.do("c", "lock", pattern="k:*")
    id = queue(table, "b", "*")
    while not table.machine.state.work_queues.scanning[0].next_position:
        table.proceed(1)
    for number in range(6):
        table.proceed(1)
        if table.answers():
            break
        table.set(f"z:{number}")
    assert taken_key(table, id) == "z:0"


def test_what_is_given_up_behind_one_who_looks_goes_before_what_is_newer() -> None:
    table = PatientTable(SLICES)
    many(table, 12)
    table.set("zz")
    first = queue(table, "d", "*")
    table.proceed()
    token = table.answer(first).token
    for pattern in ("k:0*", "?:10"):
        table.do("c", "lock", pattern=pattern)
    id = queue(table, "b", "*")
    table.proceed(1)
    assert table.machine.has_pending_scan
    table.do("d", "unlock", token=token)
    table.proceed()
    assert taken_key(table, id) == "k:11"


def test_a_pattern_lock_on_all_of_it_needs_no_look_and_its_end_wakes_those_who_wait() -> None:
    table = PatientTable()
    many(table, 12)
    token = table.do("d", "lock", pattern="k:*").token
    ids = [queue(table, session, "k:*") for session in "bc"]
    other = queue(table, "b", "k:0[0-5]")
    nothing(table, "a", "k:*")
    table.do("d", "unlock", token=token)
    table.proceed()
    assert [taken_key(table, id) for id in (*ids, other)] == ["k:11", "k:10", "k:05"]


def test_a_pattern_lock_on_a_part_of_it_leaves_the_rest() -> None:
    table = PatientTable()
    table.set("a", "b")
    table.do("d", "lock", pattern="a*")
    assert take(table, "b", "a*", "b*").entry.key == "b"
    nothing(table, "b", "a*", "b*")
    table.do("b", "bye")
    table.do("d", "lock", pattern="b*")
    nothing(table, "c", "a*", "b*")


# --- lines ---


def test_lines_that_are_used_least_are_forgotten_and_built_again() -> None:
    table = PatientTable(Limits(work_queues=2))
    table.set("a1", "b1", "c1", "a2", "b2", "c2")
    assert [take(table, "b", pattern).entry.key for pattern in ("a*", "b*", "c*")] == ["a1", "b1", "c1"]
    table.set("a0")
    assert [take(table, "b", pattern).entry.key for pattern in ("a*", "b*", "c*")] == ["a2", "b2", "c2"]
    assert take(table, "b", "a*").entry.key == "a0"
    table.do("b", "bye")
    assert [take(table, "c", pattern).delivery for pattern in ("b*", "c*", "a*")] == [2, 2, 2]


def test_a_line_that_somebody_waits_for_is_never_forgotten() -> None:
    table = PatientTable(Limits(work_queues=1))
    ids = {pattern: queue(table, "b", pattern) for pattern in ("a*", "b*", "c*")}
    nothing(table, "c", "d*")
    nothing(table, "c", "e*")
    for pattern, id in ids.items():
        table.set(pattern[0])
        assert taken_key(table, id) == pattern[0]


def test_patterns_that_mean_the_same_are_one() -> None:
    table = PatientTable()
    first, second = queue(table, "b", "a*", "b?", "a*"), queue(table, "c", "b?", "a*")
    table.set("b1")
    assert taken_key(table, first) == "b1"
    table.set("a1")
    assert taken_key(table, second) == "a1"
    assert len(table.machine.state.work_queues._queues) == 1


# --- what it costs ---


def test_takes_on_a_line_of_many_entries_do_not_scan_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = PatientTable()
    table.machine.check = lambda: None  # type: ignore[method-assign]
    many(table, 1_900)
    scanned = 0
    scan = Keyspace.scan

    def counted(*args: Any) -> Any:
        nonlocal scanned
        for entry in scan(*args):
            scanned += 1
            yield entry

    monkeypatch.setattr(Keyspace, "scan", counted)
    taken = take(table, "b", "k*")
    assert scanned == 1_900
    for _ in range(500):
        done(table, "b", taken)
        taken = take(table, "b", "k*")
    table.set("k:x")
    assert scanned == 1_900


def test_a_take_looks_no_further_than_it_has_to() -> None:
    """The first of a long line is free: the others are not even listed."""
    table = PatientTable()
    table.machine.check = lambda: None  # type: ignore[method-assign]
    many(table, 1_000)
    taken = take(table, "b", "k*")
    line = next(iter(table.machine.state.work_queues._queues.values()))
    listed = 0
    irange = line.keys.irange

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal listed
        for place in irange(*args, **options):
            listed += 1
            yield place

    line.keys.irange = counted
    for _ in range(10):
        done(table, "b", taken)
        taken = take(table, "b", "k*")
    assert 10 <= listed <= 10 * 20


def test_a_slice_is_shorter_where_what_is_looked_at_is_put_into_the_line() -> None:
    table = PatientTable(Limits(scan=40))
    many(table, 100)
    table.set(*(f"other:{number}" for number in range(100)))
    slow, quick = queue(table, "b", "k*"), queue(table, "b", "*:x")
    assert table.proceed(7) == 7
    assert list(table.answers()) == []
    table.proceed()
    assert slow in table.answers()
    assert quick not in table.answers()


def test_a_set_that_many_wait_for_asks_one_of_them() -> None:
    """A thousand idle workers on one queue: what comes in is handed to the first, and the others are not looked at."""
    table = PatientTable()
    table.machine.check = lambda: None  # type: ignore[method-assign]
    for number in range(1_000):
        table.machine.apply(m.Take(id=number, patterns=["k*"], timeout=100.0), "abcd"[number % 4], table.now)
    asked = 0
    line = next(iter(table.machine.state.work_queues._queues.values()))
    assert len(line.takers) == 1_000

    class Counted(dict[Any, None]):
        def __iter__(self) -> Any:
            nonlocal asked
            for one in super().__iter__():
                asked += 1
                yield one

    line.takers = Counted(line.takers)
    table.set("k:1", "k:2", "k:3")
    assert len(line.takers) == 997
    assert asked == 3


def test_where_nobody_takes_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    table = PatientTable()
    monkeypatch.setattr(WorkQueue, "add", None)
    table.set("a", "b")
    token = table.do("b", "lock", name="a").token
    table.do("b", "unlock", token=token)
    assert not table.machine.state.work_queues.deliveries

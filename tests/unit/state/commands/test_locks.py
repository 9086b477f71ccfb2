"""Locks: who holds, who waits, who is told, and what a lock means for writes (protocol 2, 3, 4, 6; G8, G10)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.unit.state.table import Table
from waggle.wire import messages as m
from waggle.wire.errors import (
    BadRequest,
    Cancelled,
    Deadlock,
    Forbidden,
    LimitReached,
    Locked,
    NotHolder,
    TimedOut,
    WaggleError,
)
from waggle_hub.delivery.encoding import event_body, event_line, lock_lost_line
from waggle_hub.settings import Limits
from waggle_hub.state.effects import DeferredReply, LockLost, Reply
from waggle_hub.state.log import Commit

GRACE = Limits().grace


def seated(*names: str, limits: Limits | None = None) -> Table:
    """A table at which these sit; nobody's events are left from that."""
    table = Table(limits)
    for name in names or ("a", "b", "c", "d"):
        table.sit(name, agent=f"agent-{name}")
    return table


def lock(table: Table, session: str, *names: str, **fields: Any) -> m.Granted:
    """Try once; the grant."""
    granted = table.do(session, "lock", names=list(names), **fields) if names else table.do(session, "lock", **fields)
    assert isinstance(granted, m.Granted)
    return granted


def line_up(table: Table, session: str, *names: str, id: m.Id, wait: float | None = None, **fields: Any) -> None:
    """Ask under this id, and wait: nothing is replied yet."""
    if names:
        fields["names"] = list(names)
    command = msgspec.convert({"op": "lock", "id": id, "wait": wait, **fields}, m.AnyCommand)
    table.outputs = table.machine.apply(command, session, table.now)
    table.machine.check()
    assert not [output for output in table.outputs if isinstance(output, Reply)]


def unlock(table: Table, session: str, granted: m.Granted) -> None:
    table.do(session, "unlock", token=granted.token)


def answers(table: Table) -> dict[m.Id, m.Granted | WaggleError]:
    """What those who waited were told by the last command, by id."""
    told: dict[m.Id, m.Granted | WaggleError] = {}
    for output in table.outputs:
        if isinstance(output, DeferredReply):
            assert output.id not in told
            outcome = output.outcome
            assert outcome.error is not None or isinstance(outcome.ok, m.Granted)
            told[output.id] = outcome.error if outcome.error is not None else outcome.ok  # type: ignore[assignment]
    return told


def _granted(outcome: m.Granted | WaggleError) -> m.Granted:
    assert isinstance(outcome, m.Granted)
    return outcome


def granted_now(table: Table) -> list[m.Id]:
    """The ids that were granted by the last command, in order."""
    return [id for id, told in answers(table).items() if isinstance(told, m.Granted)]


def lost(table: Table) -> list[tuple[str, int, str]]:
    """Who was told by the last command that a lock is lost: session, token, reason."""
    found = [output for output in table.outputs if isinstance(output, LockLost)]
    return [(one.session, one.lock.token, one.lock.reason) for one in found]


def refusal(table: Table, session: str, op: str, **fields: Any) -> WaggleError:
    """The error of a command that must be refused, and must change nothing."""
    with pytest.raises(WaggleError) as refused:
        table.do(session, op, **fields)
    assert table.commits() == []
    return refused.value


def refusal_after_time(table: Table, session: str, op: str, **fields: Any) -> WaggleError:
    """The error of a command before which something was due."""
    with pytest.raises(WaggleError) as refused:
        table.do(session, op, **fields)
    return refused.value


def lines(table: Table) -> list[dict[str, Any]]:
    """The events of the last command, as they stand on the wire."""
    return [
        json.loads(event_line(1, event.rev, 0, False, event_body(event, values=True, prev=False)))
        for event in table.events()
        if not event.ns.startswith("$")
    ]  # fmt: skip


def told(table: Table) -> list[tuple[str, str]]:
    """Type and key of what happened at the last command, but for presence."""
    return [(event.type, event.key) for event in table.events() if not event.ns.startswith("$")]


# --- one lock ---


def test_a_free_lock_is_granted_at_once() -> None:
    table = seated("a")
    granted = lock(table, "a", "x", ttl=10)
    assert (granted.names, granted.patterns) == (["x"], msgspec.UNSET)
    assert (granted.mode, granted.expires_at, granted.waited) == ("exclusive", 1_010.0, 0.0)
    assert [type(output) for output in table.outputs] == [Commit, Reply]


def test_a_lock_lasts_thirty_seconds_where_nobody_says_otherwise() -> None:
    table = seated("a")
    assert table.do("a", "lock", name="x").expires_at == 1_030.0


def test_the_token_is_the_revision_of_the_grant_and_only_grows() -> None:
    table = seated("a")
    tokens = []
    for _ in range(3):
        granted = lock(table, "a", "x")
        assert granted.token == table.commits()[-1].rev == table.machine.state.log.rev
        tokens.append(granted.token)
        unlock(table, "a", granted)
    assert tokens == sorted(set(tokens))


def test_tokens_begin_above_all_revisions_of_the_life_before() -> None:
    table = Table(rev=1_700_000_000_000_000)
    table.sit("a")
    assert lock(table, "a", "x").token > 1_700_000_000_000_000


def test_what_one_session_holds_exclusively_no_other_gets() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    error = refusal(table, "b", "lock", name="x", wait=0)
    assert isinstance(error, Locked)
    (holder,) = error.details["holders"]
    assert msgspec.to_builtins(holder) == {
        "agent": "agent-a", "session": "a", "mode": "exclusive", "since": 1_000.0, "expires_at": granted.expires_at,
        "self": False, "names": ["x"],
    }  # fmt: skip
    assert error.details["queued"] == 0


def test_locks_are_not_reentrant() -> None:
    table = seated("a")
    lock(table, "a", "x")
    error = refusal(table, "a", "lock", name="x")
    assert isinstance(error, Locked)
    assert [holder.self for holder in error.details["holders"]] == [True]


def test_many_share_but_not_with_one_who_does_not() -> None:
    table = seated()
    lock(table, "a", "x", mode="shared")
    lock(table, "b", "x", mode="shared")
    error = refusal(table, "c", "lock", name="x")
    assert [holder.session for holder in error.details["holders"]] == ["a", "b"]
    lock(table, "c", "y")
    assert isinstance(refusal(table, "a", "lock", name="y", mode="shared"), Locked)


def test_each_namespace_has_its_own_locks() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    lock(table, "b", "x", ns="other")
    table.sit("e", ns="other")
    assert isinstance(refusal(table, "e", "lock", name="x"), Locked)
    assert isinstance(refusal(table, "e", "lock", pattern="*", ns="default"), Locked)


def test_names_that_occur_twice_count_once() -> None:
    table = seated("a")
    granted = lock(table, "a", "x", "y", "x")
    assert granted.names == ["x", "y"]
    assert told(table) == [("lock", "x"), ("lock", "y")]
    granted = lock(table, "a", patterns=["a*", "a**", "a*"])
    assert granted.patterns == ["a*"]


# --- unlock and renew ---


def test_unlock_frees_and_says_at_which_revision() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    assert table.do("a", "unlock", token=granted.token).rev == granted.token + 1
    assert lock(table, "b", "x").token == granted.token + 2


@pytest.mark.parametrize("op", ["unlock", "renew"])
def test_only_the_session_that_holds_it_lets_go_or_renews(op: str) -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    assert isinstance(refusal(table, "b", op, token=granted.token), NotHolder)
    table.do("a", op, token=granted.token)


@pytest.mark.parametrize("op", ["unlock", "renew"])
def test_a_token_that_is_not_held_now_is_not_holder_and_never_silence(op: str) -> None:
    table = seated("a")
    granted = lock(table, "a", "x")
    unlock(table, "a", granted)
    for token in (granted.token, granted.token + 1, 0, -1, 10**15):
        assert isinstance(refusal(table, "a", op, token=token), NotHolder)


def test_renewing_gives_a_new_deadline_by_default_the_same_ttl_from_now() -> None:
    table = seated("a")
    granted = lock(table, "a", "x", "y", ttl=10)
    table.now += 4
    assert table.do("a", "renew", token=granted.token).expires_at == 1_014.0
    assert told(table) == [("renew", "x"), ("renew", "y")]
    assert table.do("a", "renew", token=granted.token, ttl=2).expires_at == 1_006.0
    table.now += 2
    assert isinstance(refusal_after_time(table, "a", "renew", token=granted.token), NotHolder)


def test_a_lock_ends_with_its_ttl_and_not_before() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x", ttl=5)
    table.now += 4.999
    assert isinstance(refusal(table, "b", "lock", name="x"), Locked)
    table.now += 0.001
    assert lock(table, "b", "x").token > granted.token
    assert lost(table) == [("a", granted.token, "expired")]


def test_renewing_does_not_revive() -> None:
    table = seated("a")
    granted = lock(table, "a", "x", ttl=5)
    table.now += 5
    assert isinstance(refusal_after_time(table, "a", "renew", token=granted.token), NotHolder)
    assert table.do("a", "locks").locks == []


def test_time_takes_a_lock_without_any_command() -> None:
    table = seated("a")
    granted = lock(table, "a", "x", ttl=5)
    assert table.machine.next_deadline() == 1_005.0
    table.now = 1_005.0
    table.expire()
    assert lost(table) == [("a", granted.token, "expired")]
    assert [(line["type"], line["reason"], line["by"]) for line in lines(table)] == [("unlock", "expired", "$hub")]
    assert [type(output) for output in table.outputs] == [Commit, LockLost]


# --- several names, and patterns ---


def test_several_names_are_locked_all_or_none() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "y")
    assert isinstance(refusal(table, "b", "lock", names=["x", "y", "z"]), Locked)
    lock(table, "c", "x", "z")


def test_several_names_are_freed_together() -> None:
    table = seated("a", "b", "c")
    granted = lock(table, "a", "x", "y")
    line_up(table, "b", "x", id="b")
    line_up(table, "c", "y", id="c")
    unlock(table, "a", granted)
    assert granted_now(table) == ["b", "c"]
    assert [commit.rev for commit in table.commits()] == [table.machine.state.log.rev + n for n in (-2, -1, 0)]


def test_a_claim_on_several_names_waits_until_all_are_free() -> None:
    table = seated("a", "b", "c")
    x, y = lock(table, "a", "x"), lock(table, "b", "y")
    line_up(table, "c", "x", "y", id=7)
    unlock(table, "a", x)
    assert answers(table) == {}
    unlock(table, "b", y)
    assert granted_now(table) == [7]


def test_a_waiting_claim_on_several_names_keeps_its_place_on_those_that_are_free() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    line_up(table, "b", "x", "y", id=7)
    error = refusal(table, "c", "lock", name="y")
    assert (error.details["holders"], error.details["queued"]) == ([], 1)


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ({"pattern": "src/*"}, {"name": "src/a"}),
        ({"name": "src/a"}, {"pattern": "src/*"}),
        ({"pattern": "src/*"}, {"pattern": "*.py"}),
        ({"pattern": "a?c"}, {"patterns": ["zzz", "[ab]b*"]}),
        ({"names": ["p", "q"]}, {"patterns": ["x*", "q"]}),
        ({"pattern": "a"}, {"name": "a"}),
        ({"pattern": "*"}, {"pattern": "*"}),
        ({"pattern": r"\*"}, {"name": "*"}),
    ],
)
def test_what_some_string_could_match_both_of_is_never_held_twice(held: dict[str, Any], asked: dict[str, Any]) -> None:
    table = seated("a", "b")
    granted = lock(table, "a", **held)
    error = refusal(table, "b", "lock", **asked)
    assert [holder.session for holder in error.details["holders"]] == ["a"]
    line_up(table, "b", id=7, **asked)
    unlock(table, "a", granted)
    assert granted_now(table) == [7]


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ({"pattern": "src/*"}, {"name": "doc/a"}),
        ({"pattern": "src/*"}, {"pattern": "doc/*"}),
        ({"pattern": "*.py"}, {"patterns": ["*.md", "??"]}),
        ({"name": "*"}, {"name": "a"}),
        ({"name": "a*"}, {"pattern": "ab*"}),
    ],
)
def test_what_no_string_could_match_both_of_is_held_side_by_side(held: dict[str, Any], asked: dict[str, Any]) -> None:
    table = seated("a", "b")
    lock(table, "a", **held)
    lock(table, "b", **asked)


def test_shared_locks_on_patterns_overlap() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", pattern="src/*", mode="shared")
    lock(table, "b", pattern="*.py", mode="shared")
    lock(table, "c", "src/x.py", mode="shared")
    error = refusal(table, "a", "lock", pattern="src/x*")
    assert [holder.session for holder in error.details["holders"]] == ["a", "b", "c"]


# --- the queue ---


def test_first_come_first_served() -> None:
    table = seated("a", "b", "c", "d")
    holder, granted = "a", lock(table, "a", "x")
    for name in "dbc":
        line_up(table, name, "x", id=name)
    for name, others in (("d", 2), ("b", 1), ("c", 0)):
        unlock(table, holder, granted)
        assert granted_now(table) == [name]
        assert [line["waiting"] for line in lines(table) if line["type"] == "queue"] == [others]
        holder, granted = name, _granted(answers(table)[name])


def test_a_grant_says_how_long_it_was_waited_for_and_lasts_from_then_on() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, ttl=10)
    table.now += 3.5
    unlock(table, "a", granted)
    next_one = _granted(answers(table)[7])
    assert (next_one.waited, next_one.expires_at) == (3.5, 1_013.5)
    assert next_one.token == table.machine.state.log.rev


def test_a_grant_comes_after_the_revision_that_made_room_in_one_of_its_own() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    unlock(table, "a", granted)
    assert [type(output) for output in table.outputs] == [Commit, Reply, Commit, DeferredReply]
    assert [(line["type"], line["by"]) for line in lines(table)] == [
        ("unlock", "agent-a"),
        ("lock", "agent-b"),
        ("queue", "agent-b"),
    ]


def test_nobody_overtakes_whom_he_conflicts_with() -> None:
    """The second could have y at once, but for the one before, who waits for x and y."""
    table = seated("a", "b", "c", "d")
    x = lock(table, "a", "x")
    line_up(table, "b", "x", "y", id="b")
    line_up(table, "c", "y", id="c")
    lock(table, "d", "z")
    unlock(table, "a", x)
    assert granted_now(table) == ["b"]
    unlock(table, "b", _granted(answers(table)["b"]))
    assert granted_now(table) == ["c"]


def test_who_conflicts_with_nobody_before_does_not_wait_for_them() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    line_up(table, "b", "x", "y", id="b")
    lock(table, "c", "z")


def test_shared_locks_do_not_starve_one_who_wants_it_alone() -> None:
    table = seated("a", "b", "c")
    granted = lock(table, "a", "x", mode="shared")
    line_up(table, "b", "x", id="b")
    assert isinstance(refusal(table, "c", "lock", name="x", mode="shared"), Locked)
    line_up(table, "c", "x", id="c", mode="shared")
    unlock(table, "a", granted)
    assert granted_now(table) == ["b"]
    unlock(table, "b", _granted(answers(table)["b"]))
    assert granted_now(table) == ["c"]


def test_shared_locks_that_come_together_are_granted_together() -> None:
    table = seated("a", "b", "c", "d", "e")
    granted = lock(table, "a", "x")
    for name in "bcd":
        line_up(table, name, "x", id=name, mode="shared")
    line_up(table, "e", "x", id="e")
    unlock(table, "a", granted)
    assert granted_now(table) == ["b", "c", "d"]
    held = [_granted(one) for one in answers(table).values()]
    for name, one in zip("bcd", held, strict=True):
        assert answers(table).get("e") is None
        unlock(table, name, one)
    assert granted_now(table) == ["e"]


def test_a_queue_moves_up_when_the_one_in_between_gives_up() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x", mode="shared")
    line_up(table, "b", "x", id="b")
    line_up(table, "c", "x", id="c", mode="shared")
    table.do("b", "cancel", target="b")
    assert [type(output) for output in table.outputs] == [Commit, DeferredReply, Reply, Commit, DeferredReply]
    assert isinstance(answers(table)["b"], Cancelled)
    assert granted_now(table) == ["c"]


def test_a_pattern_waits_in_line_like_a_name() -> None:
    table = seated("a", "b", "c", "d")
    granted = lock(table, "a", "src/a")
    line_up(table, "b", id="b", pattern="src/*")
    line_up(table, "c", "src/z", id="c")
    line_up(table, "d", id="d", pattern="*/z")
    unlock(table, "a", granted)
    assert granted_now(table) == ["b"]
    unlock(table, "b", _granted(answers(table)["b"]))
    assert granted_now(table) == ["c"]
    unlock(table, "c", _granted(answers(table)["c"]))
    assert granted_now(table) == ["d"]


# --- waiting and its end ---


def test_at_the_end_of_the_wait_it_is_a_timeout_with_holders_and_queue() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    line_up(table, "b", "x", id="b", wait=9)
    line_up(table, "c", "x", id="c", wait=2.5)
    assert table.machine.next_deadline() == 1_002.5
    table.now += 2.499
    table.expire()
    assert table.outputs == []
    table.now += 0.001
    table.expire()
    error = answers(table)["c"]
    assert isinstance(error, TimedOut)
    assert [holder.session for holder in error.details["holders"]] == ["a"]
    assert error.details["queued"] == 1
    assert [(line["type"], line["waiting"], line["by"]) for line in lines(table)] == [("queue", 1, "$hub")]
    assert [type(output) for output in table.outputs] == [Commit, DeferredReply]


def test_who_timed_out_is_never_granted() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id="b", wait=1)
    table.now += 1
    unlock(table, "a", granted)
    assert isinstance(answers(table)["b"], TimedOut)
    assert table.do("a", "locks").locks == []


def test_null_waits_for_ever() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x", ttl=10**8)
    line_up(table, "b", "x", id="b", wait=None)
    table.now += 10**7
    unlock(table, "a", granted)
    assert granted_now(table) == ["b"]


def test_when_the_lock_and_the_patience_end_at_one_instant_the_older_of_the_two_is_settled_first() -> None:
    table = seated("a", "b")
    lock(table, "a", "x", ttl=5)
    line_up(table, "b", "x", id="b", wait=5)
    table.now += 5
    table.expire()
    assert granted_now(table) == ["b"]
    assert lost(table)[0][0] == "a"


def test_a_ttl_that_ends_serves_the_queue() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x", ttl=5)
    line_up(table, "b", "x", id="b")
    table.now += 5
    table.expire()
    assert [type(output) for output in table.outputs] == [Commit, LockLost, Commit, DeferredReply]
    assert _granted(answers(table)["b"]).token == granted.token + 3


def test_granted_locks_expire_one_after_another() -> None:
    """Each waiter's ttl begins at its grant, also when time comes in one leap."""
    table = seated("a", "b", "c")
    lock(table, "a", "x", ttl=5)
    line_up(table, "b", "x", id="b", ttl=5)
    line_up(table, "c", "x", id="c", ttl=5)
    table.now += 7
    table.expire()
    assert granted_now(table) == ["b"]
    assert _granted(answers(table)["b"]).expires_at == 1_012.0


# --- cancel ---


def test_cancel_answers_both() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    assert table.do("b", "cancel", target=7).cancelled
    assert isinstance(answers(table)[7], Cancelled)
    assert [(line["type"], line["waiting"]) for line in lines(table)] == [("queue", 0)]
    unlock(table, "a", granted)
    assert answers(table) == {}


def test_a_grant_that_was_faster_than_the_cancel_stays_a_grant() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    unlock(table, "a", granted)
    token = _granted(answers(table)[7]).token
    assert not table.do("b", "cancel", target=7).cancelled
    assert table.commits() == []
    assert [one.token for one in table.do("b", "locks").locks] == [token]


def test_a_cancel_at_the_instant_at_which_the_lock_falls_free_finds_a_grant() -> None:
    table = seated("a", "b")
    lock(table, "a", "x", ttl=5)
    line_up(table, "b", "x", id=7)
    table.now += 5
    assert not table.do("b", "cancel", target=7).cancelled
    assert granted_now(table) == [7]


@pytest.mark.parametrize("target", [7, 8, "7", "nobody"])
def test_nobody_cancels_what_is_another_sessions(target: m.Id) -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    assert not table.do("c", "cancel", target=target).cancelled
    assert table.outputs[:-1] == []


def test_of_several_that_wait_the_one_that_is_named_is_cancelled() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    for id in (7, "7", 8):
        line_up(table, "b", "x", id=id)
    table.do("b", "cancel", target="7")
    assert list(answers(table)) == ["7"]
    assert table.machine.state.lock_table.waiting == 2


# --- ids and rids ---


@pytest.mark.parametrize("op", ["ping", "lock", "cancel", "set", "bye"])
def test_an_id_that_is_not_answered_yet_is_not_used_again(op: str) -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    fields: dict[str, dict[str, Any]] = {
        "ping": {}, "lock": {"name": "y"}, "cancel": {"target": 7}, "set": {"key": "k", "value": 1}, "bye": {},
    }  # fmt: skip
    error = refusal(table, "b", op, id=7, **fields[op])
    assert isinstance(error, BadRequest)
    assert error.details["field"] == "id"
    table.do("a", "ping", id=7)
    table.do("b", "cancel", id=8, target=7)
    table.do("b", "ping", id=7)


def test_a_rid_that_is_repeated_while_it_waits_joins_and_the_newest_id_is_answered() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r")
    line_up(table, "b", "x", id=8, rid="r")
    assert table.outputs == []
    line_up(table, "b", "x", id=9, rid="r")
    assert table.machine.state.lock_table.waiting == 1
    table.do("b", "ping", id=7)
    unlock(table, "a", granted)
    assert granted_now(table) == [9]


def test_joining_keeps_place_patience_and_what_was_asked_for() -> None:
    table = seated("a", "b", "c")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r", wait=5)
    line_up(table, "c", "x", id="c")
    table.now += 3
    line_up(table, "b", "other", id=8, rid="r", wait=100)
    unlock(table, "a", granted)
    assert granted_now(table) == [8]
    assert _granted(answers(table)[8]).names == ["x"]
    assert _granted(answers(table)[8]).waited == 3.0


def test_a_joined_command_runs_out_of_patience_under_its_newest_id() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r", wait=5)
    line_up(table, "b", "x", id=8, rid="r", wait=5)
    table.now += 5
    table.expire()
    assert list(answers(table)) == [8]


def test_a_joined_command_is_cancelled_by_its_newest_id_alone() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r")
    line_up(table, "b", "x", id=8, rid="r")
    assert not table.do("b", "cancel", target=7).cancelled
    assert table.do("b", "cancel", target=8).cancelled
    assert list(answers(table)) == [8]


def test_joining_under_an_id_that_another_command_waits_under_is_refused() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r")
    line_up(table, "b", "x", id=8)
    error = refusal(table, "b", "lock", id=8, name="x", rid="r", wait=None)
    assert error.details["field"] == "id"
    unlock(table, "a", granted)
    assert granted_now(table) == [7]


def test_a_rid_that_is_repeated_after_the_grant_gets_that_grant_again() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r")
    unlock(table, "a", granted)
    first = answers(table)[7]
    again = table.do("b", "lock", id=8, name="x", rid="r")
    assert (table.dup, again, table.commits()) == (True, first, [])


def test_a_grant_at_once_is_repeated_too_even_when_it_is_lost_since() -> None:
    table = seated("a", "b")
    first = lock(table, "a", "x", rid="r")
    unlock(table, "a", first)
    assert lock(table, "a", "x", rid="r") == first
    assert table.dup
    assert isinstance(refusal(table, "a", "renew", token=first.token), NotHolder)
    lock(table, "b", "x")


@pytest.mark.parametrize("end", ["locked", "timeout", "cancelled", "deadlock"])
def test_a_refusal_is_not_kept_and_the_same_rid_asks_anew(end: str) -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    if end == "locked":
        refusal(table, "b", "lock", name="x", rid="r")
    elif end == "deadlock":
        lock(table, "b", "y")
        line_up(table, "a", "y", id=5)
        assert isinstance(refusal(table, "b", "lock", name="x", wait=None, rid="r"), Deadlock)
    else:
        line_up(table, "b", "x", id=7, wait=5, rid="r")
        if end == "timeout":
            table.now += 5
            table.expire()
        else:
            table.do("b", "cancel", target=7)
    unlock(table, "a", granted)
    assert lock(table, "b", "x", rid="r").token == table.machine.state.log.rev
    assert not table.dup


# --- sessions: grace, takeover, end ---


def test_a_lock_outlives_its_connection_by_the_grace_and_no_longer() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x", ttl=1_000)
    line_up(table, "b", "x", id=7)
    table.drop("a")
    table.now += GRACE - 0.001
    table.expire()
    assert answers(table) == {}
    table.now += 0.001
    table.expire()
    assert granted_now(table) == [7]
    assert lost(table) == [], "there is nobody left to tell"
    freed, given = table.commits()
    assert ("unlock", "session_ended", granted.token) in [
        (event.type, event.reason, event.lock.token) for event in freed.events if event.lock is not None
    ]
    assert [event.type for event in given.events] == ["lock", "queue"]


def test_all_that_a_session_leaves_is_one_revision_and_the_next_are_granted_after_it() -> None:
    table = seated("a", "b", "c")
    table.do("a", "set", key="k", value=1, ephemeral=True)
    lock(table, "a", "x", "y")
    lock(table, "a", "z")
    line_up(table, "a", "z", id="own")
    line_up(table, "c", "z", id="c")
    line_up(table, "b", "y", id="b")
    table.do("a", "bye")
    ended, *grants = table.commits()
    assert {(event.type, event.key) for event in ended.events if not event.ns.startswith("$")} == {
        ("unlock", "x"), ("unlock", "y"), ("unlock", "z"), ("queue", "z"), ("delete", "k"),
    }  # fmt: skip
    assert [commit.events[0].key for commit in grants] == ["z", "y"]
    assert list(answers(table)) == ["own", "c", "b"]
    assert isinstance(answers(table)["own"], Cancelled)
    assert granted_now(table) == ["c", "b"]


def test_a_waiter_whose_session_has_ended_is_never_granted() -> None:
    table = seated("a", "b", "c")
    granted = lock(table, "a", "x", ttl=1_000)
    line_up(table, "b", "x", id=7)
    line_up(table, "c", "x", id=8)
    table.drop("b")
    table.now += GRACE
    table.expire()
    assert [line["waiting"] for line in lines(table) if line["type"] == "queue"] == [1]
    unlock(table, "a", granted)
    assert granted_now(table) == [8]


def test_a_waiter_in_its_grace_is_granted_in_its_turn_and_told_at_the_takeover() -> None:
    table = seated("a", "b", "c")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    line_up(table, "c", "x", id=8)
    table.drop("b")
    unlock(table, "a", granted)
    assert answers(table) == {}
    assert told(table) == [("unlock", "x"), ("lock", "x"), ("queue", "x")]
    table.return_to("b")
    assert granted_now(table) == [7]
    kinds = [type(output) for output in table.outputs]
    assert kinds.index(DeferredReply) > kinds.index(Reply)
    table.do("b", "unlock", token=_granted(answers(table)[7]).token)
    assert granted_now(table) == [8]


def test_the_queue_is_kept_through_a_takeover() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    table.drop("b")
    table.now += 5
    table.return_to("b")
    assert answers(table) == {}
    unlock(table, "a", granted)
    assert granted_now(table) == [7]


def test_after_a_takeover_the_same_rid_under_the_same_id_is_answered_once() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r")
    table.drop("b")
    table.return_to("b")
    line_up(table, "b", "x", id=7, rid="r")
    unlock(table, "a", granted)
    assert granted_now(table) == [7]


def test_after_a_takeover_a_grant_of_which_nothing_was_heard_is_had_by_repeating_its_rid() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, rid="r")
    unlock(table, "a", granted)
    first = answers(table)[7]
    table.drop("b")
    table.return_to("b")
    assert table.do("b", "lock", id=7, name="x", rid="r") == first
    assert table.dup


def test_what_was_told_at_a_takeover_is_not_told_again_at_the_next() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7)
    table.drop("b")
    unlock(table, "a", granted)
    table.return_to("b")
    table.drop("b")
    table.return_to("b")
    assert answers(table) == {}


def test_a_patience_that_ends_in_the_grace_is_told_at_the_takeover() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    line_up(table, "b", "x", id=7, wait=2)
    table.drop("b")
    table.now += 2
    table.expire()
    assert answers(table) == {}
    table.return_to("b")
    assert isinstance(answers(table)[7], TimedOut)


def test_what_was_granted_and_lost_in_the_grace_is_told_in_that_order() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    line_up(table, "b", "x", id=7, ttl=2)
    table.drop("b")
    unlock(table, "a", granted)
    table.now += 2
    table.return_to("b")
    token = _granted(answers(table)[7]).token
    assert lost(table) == [("b", token, "expired")]
    kinds = [type(output) for output in table.outputs]
    assert kinds.index(Reply) < kinds.index(DeferredReply) < kinds.index(LockLost)


# --- forced release and loss ---


def test_a_forced_release_frees_anyones_lock_and_tells_the_loser_and_why() -> None:
    table = seated("a", "b", "c")
    granted = lock(table, "a", "x", "y")
    line_up(table, "b", "x", id=7)
    table.do("c", "unlock", token=granted.token, force=True, reason="it hangs")
    assert [type(output) for output in table.outputs] == [Commit, LockLost, Reply, Commit, DeferredReply]
    (loss,) = [output for output in table.outputs if isinstance(output, LockLost)]
    line = json.loads(str(lock_lost_line(loss.lock)))
    assert "it hangs" in line["lost"].pop("message")
    assert line == {"lost": {"token": granted.token, "reason": "forced", "names": ["x", "y"]}}
    assert [(one["key"], one["reason"], one["by"]) for one in lines(table) if one["type"] == "unlock"] == [
        ("x", "forced", "agent-c"), ("y", "forced", "agent-c"),
    ]  # fmt: skip
    assert isinstance(refusal(table, "a", "renew", token=granted.token), NotHolder)


def test_a_loss_in_the_grace_is_told_after_the_takeover() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", pattern="x*")
    table.drop("a")
    table.do("b", "unlock", token=granted.token, force=True, reason="mine")
    assert lost(table) == []
    table.return_to("a")
    assert lost(table) == [("a", granted.token, "forced")]
    kinds = [type(output) for output in table.outputs]
    assert kinds.index(Reply) < kinds.index(LockLost)
    (loss,) = [output for output in table.outputs if isinstance(output, LockLost)]
    assert loss.lock.patterns == ["x*"]


def test_by_name_all_who_share_it_are_freed() -> None:
    table = seated("a", "b", "c", "d")
    one = lock(table, "a", "x", mode="shared")
    two = lock(table, "b", "x", "y", mode="shared")
    lock(table, "c", pattern="x*", mode="shared")
    line_up(table, "d", "x", id=7)
    table.do("c", "unlock", name="x", force=True, reason="now")
    assert lost(table) == [("a", one.token, "forced"), ("b", two.token, "forced")]
    assert len(table.commits()) == 1, "a pattern that matches it is not it"
    table.do("d", "unlock", name="x*", force=True, reason="now")
    assert granted_now(table) == [7]


def test_a_forced_release_of_what_is_not_held_is_not_holder() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    for fields in ({"name": "y"}, {"name": "x", "ns": "other"}, {"token": 99}):
        assert isinstance(refusal(table, "b", "unlock", force=True, reason="now", **fields), NotHolder)


def test_who_lets_go_of_its_own_is_told_of_no_loss() -> None:
    table = seated("a")
    unlock(table, "a", lock(table, "a", "x"))
    assert lost(table) == []


# --- deadlock ---


def links(error: WaggleError) -> list[tuple[str, Any]]:
    """Who waits for what in a circle: session, and names or patterns."""
    assert isinstance(error, Deadlock)
    cycle = error.details["cycle"]
    assert all(link["agent"] == f"agent-{link['session']}" for link in cycle)
    return [(link["session"], link.get("names") or link.get("patterns")) for link in cycle]


def test_two_that_would_wait_for_each_other_are_a_circle() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    y = lock(table, "b", "y")
    line_up(table, "a", "y", id=7)
    error = refusal(table, "b", "lock", name="x", wait=None)
    assert links(error) == [("b", ["x"]), ("a", ["y"])]
    unlock(table, "b", y)
    assert granted_now(table) == [7]


def test_who_does_not_wait_closes_no_circle() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    lock(table, "b", "y")
    line_up(table, "a", "y", id=7)
    assert isinstance(refusal(table, "b", "lock", name="x", wait=0), Locked)


def test_a_circle_may_have_many_in_it() -> None:
    table = seated("a", "b", "c", "d")
    for name in "abcd":
        lock(table, name, name)
    for name, wanted in ("ab", "bc", "cd"):
        line_up(table, name, wanted, id=name)
    error = refusal(table, "d", "lock", name="a", wait=9)
    assert links(error) == [("d", ["a"]), ("a", ["b"]), ("b", ["c"]), ("c", ["d"])]


def test_a_short_patience_closes_a_circle_all_the_same() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    lock(table, "b", "y")
    line_up(table, "a", "y", id=7, wait=0.5)
    assert isinstance(refusal(table, "b", "lock", name="x", wait=0.5), Deadlock)
    table.now += 0.5
    line_up(table, "b", "x", id=8)


def test_a_circle_may_go_through_a_queue() -> None:
    """c waits for b, who only asked earlier and holds nothing there."""
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    lock(table, "c", "z")
    line_up(table, "b", "x", id=11)
    line_up(table, "c", "x", id=12)
    error = refusal(table, "b", "lock", name="z", wait=None)
    assert links(error) == [("b", ["z"]), ("c", ["x"])]


def test_a_circle_may_go_through_patterns() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", pattern="src/*")
    lock(table, "b", "doc/b")
    lock(table, "c", "etc")
    line_up(table, "a", id=11, pattern="d*")
    line_up(table, "b", "etc", id=12)
    error = refusal(table, "c", "lock", patterns=["*.py", "q"], wait=None)
    assert links(error) == [("c", ["*.py", "q"]), ("a", ["d*"]), ("b", ["etc"])]


def test_a_circle_may_go_through_what_is_shared() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x", mode="shared")
    lock(table, "b", "x", mode="shared")
    lock(table, "c", "y")
    line_up(table, "b", "y", id=11)
    error = refusal(table, "c", "lock", name="x", wait=None)
    assert links(error) == [("c", ["x"]), ("b", ["y"])]


def test_a_shared_one_behind_one_that_waits_closes_a_circle() -> None:
    table = seated("a", "b")
    lock(table, "a", "x", mode="shared")
    line_up(table, "b", "x", id=11)
    assert isinstance(refusal(table, "a", "lock", name="x", mode="shared"), Locked)
    error = refusal(table, "a", "lock", name="x", mode="shared", wait=None)
    assert links(error) == [("a", ["x"]), ("b", ["x"])]


def test_two_that_share_what_they_ask_for_close_no_circle() -> None:
    table = seated("a", "b")
    lock(table, "a", "x", mode="shared")
    lock(table, "b", "y", mode="shared")
    lock(table, "a", "y", mode="shared")
    lock(table, "b", "x", mode="shared")


def test_a_task_that_waits_for_what_it_holds_is_a_circle_of_one() -> None:
    table = seated("a")
    lock(table, "a", "x", task="t")
    assert links(refusal(table, "a", "lock", name="x", task="t", wait=None)) == [("a", ["x"])]


@pytest.mark.parametrize("asked", [{"pattern": "*"}, {"names": ["q", "x"]}, {"name": "x", "mode": "shared"}])
def test_a_circle_of_one_is_found_by_whatever_is_asked_for(asked: dict[str, Any]) -> None:
    table = seated("a")
    lock(table, "a", "x", task="t")
    assert isinstance(refusal(table, "a", "lock", **asked, task="t", wait=None), Deadlock)


def test_a_task_may_not_queue_behind_what_it_already_waits_for() -> None:
    table = seated("a", "b")
    lock(table, "b", "x")
    line_up(table, "a", "x", id=11, task="t")
    assert isinstance(refusal(table, "a", "lock", name="x", task="t", wait=None), Deadlock)


def test_another_task_of_the_session_waits_for_the_first() -> None:
    table = seated("a")
    granted = lock(table, "a", "x", task="t")
    line_up(table, "a", "x", id=7, task="u")
    unlock(table, "a", granted)
    assert granted_now(table) == [7]


def test_tasks_of_one_session_can_be_a_circle() -> None:
    table = seated("a")
    lock(table, "a", "x", task="t")
    lock(table, "a", "y", task="u")
    line_up(table, "a", "y", id=7, task="t")
    assert links(refusal(table, "a", "lock", name="x", task="u", wait=None)) == [("a", ["x"]), ("a", ["y"])]


def test_tasks_of_the_same_name_in_two_sessions_are_two() -> None:
    table = seated("a", "b")
    lock(table, "a", "x", task="t")
    line_up(table, "b", "x", id=7, task="t")
    lock(table, "b", "y", task="u")
    line_up(table, "a", "y", id=8, task="t")


def test_a_session_that_gives_no_task_does_not_block_itself() -> None:
    table = seated("a")
    granted = lock(table, "a", "x")
    line_up(table, "a", "x", id=7)
    line_up(table, "a", id=8, pattern="*")
    unlock(table, "a", granted)
    assert granted_now(table) == [7]


def test_a_session_that_gives_no_task_is_one_strand_in_a_circle_with_others() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    lock(table, "a", "own")
    lock(table, "b", "y")
    line_up(table, "b", "x", id=7)
    assert links(refusal(table, "a", "lock", names=["own", "y"], wait=None)) == [("a", ["own", "y"]), ("b", ["x"])]


@pytest.mark.parametrize("names", [["y", "own"], ["own", "y"]])
def test_a_circle_is_found_past_what_the_session_waits_for_itself(names: list[str]) -> None:
    """a holds x and, further back among those who share it, waits for x: that way back says nothing of b's."""
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    lock(table, "a", "own")
    lock(table, "b", "y")
    line_up(table, "c", "x", id=11, mode="shared")
    line_up(table, "a", "x", id=12, mode="shared")
    line_up(table, "b", "x", id=13, mode="shared")
    assert links(refusal(table, "a", "lock", names=names, wait=None)) == [("a", names), ("b", ["x"])]


def test_a_circle_is_told_as_short_as_it_is() -> None:
    """Not by way of everybody who stands in line."""
    table = seated("a", "b", "c", "d", "e")
    lock(table, "a", "x")
    lock(table, "e", "y")
    for name in "bcde":
        line_up(table, name, "x", id=name)
    assert links(refusal(table, "a", "lock", name="y", wait=None)) == [("a", ["y"]), ("e", ["x"])]


def test_who_was_refused_as_a_deadlock_does_not_stand_in_the_queue() -> None:
    table = seated("a", "b", "c")
    x = lock(table, "a", "x")
    lock(table, "b", "y")
    line_up(table, "a", "y", id=7)
    refusal(table, "b", "lock", name="x", wait=None)
    line_up(table, "c", "x", id=8)
    unlock(table, "a", x)
    assert granted_now(table) == [8]


# --- what a lock means for writes ---

WRITES: list[tuple[str, dict[str, Any]]] = [
    ("set", {"key": "x", "value": 2}),
    ("delete", {"key": "x"}),
    ("touch", {"key": "x", "ttl": 5}),
    ("update", {"key": "x", "incr": 1}),
]


@pytest.mark.parametrize(("op", "fields"), WRITES)
@pytest.mark.parametrize("held", [{"name": "x"}, {"names": ["w", "x"]}, {"pattern": "[x-z]"}])
def test_a_write_under_anothers_exclusive_lock_is_locked(op: str, fields: dict[str, Any], held: dict[str, Any]) -> None:
    table = seated("a", "b")
    table.do("a", "set", key="x", value=1)
    granted = lock(table, "a", **held)
    error = refusal(table, "b", op, **fields)
    assert isinstance(error, Locked)
    assert [(holder.session, holder.self) for holder in error.details["holders"]] == [("a", False)]
    table.do("b", op, **fields, guard={"token": granted.token})


@pytest.mark.parametrize(("op", "fields"), WRITES)
def test_the_holders_session_writes_without_a_guard_whichever_task_it_is(op: str, fields: dict[str, Any]) -> None:
    table = seated("a")
    table.do("a", "set", key="x", value=1)
    lock(table, "a", "x", task="t")
    table.do("a", op, **fields)


@pytest.mark.parametrize(("op", "fields"), WRITES)
def test_a_guard_lets_a_write_through_only_while_its_lock_is_held(op: str, fields: dict[str, Any]) -> None:
    table = seated("a", "b")
    table.do("a", "set", key="x", value=1)
    granted = lock(table, "a", "elsewhere", ttl=5)
    guard = {"token": granted.token}
    table.do("b", "set", key="y", value=1, guard=guard)
    table.now += 5
    assert isinstance(refusal_after_time(table, "a", op, **fields, guard=guard), NotHolder)


def test_the_guard_of_another_lock_does_not_open_this_one() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    mine = lock(table, "b", "y")
    assert isinstance(refusal(table, "b", "set", key="x", value=1, guard={"token": mine.token}), Locked)


@pytest.mark.parametrize("held", [{"name": "x", "mode": "shared"}, {"name": "x", "ns": "other"}, {"name": "xx"}])
def test_other_locks_do_not_keep_from_writing(held: dict[str, Any]) -> None:
    table = seated("a", "b")
    lock(table, "a", **held)
    table.do("b", "set", key="x", value=1)


def test_who_only_waits_keeps_nobody_from_writing() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    line_up(table, "b", "x", "y", id=7)
    line_up(table, "b", id=8, pattern="*")
    table.do("c", "set", key="y", value=1)


def test_a_key_is_written_again_when_the_lock_is_over() -> None:
    table = seated("a", "b")
    lock(table, "a", "x", ttl=5)
    table.now += 5
    table.do("b", "set", key="x", value=1)


def test_one_step_of_a_txn_under_anothers_lock_refuses_it_whole() -> None:
    table = seated("a", "b")
    granted = lock(table, "a", "x")
    steps = [{"op": "set", "key": "y", "value": 1}, {"op": "set", "key": "x", "value": 1}]
    error = refusal(table, "b", "txn", **{"if": [], "then": steps})
    assert (error.code, error.details["index"]) == ("locked", 1)
    assert table.keys("b") == []
    guarded = [{**step, "guard": {"token": granted.token}} for step in steps]
    table.do("b", "txn", **{"if": [], "then": guarded})


def test_messages_go_through_a_lock() -> None:
    table = seated("a", "b")
    lock(table, "a", "x")
    table.do("b", "publish", channel="x", data=1)


@pytest.mark.parametrize("held", [{"name": "x:1"}, {"pattern": "*:1"}, {"pattern": "y?"}])
def test_a_clear_that_may_touch_what_is_locked_is_refused_whole(held: dict[str, Any]) -> None:
    """Also where no key is there that both match."""
    table = seated("a", "b")
    for key in ("x:2", "y"):
        table.do("a", "set", key=key, value=1)
    lock(table, "a", **held)
    error = refusal(table, "b", "clear", pattern="[xy]*", confirm=True)
    assert isinstance(error, Locked)
    assert [holder.session for holder in error.details["holders"]] == ["a"]
    assert table.do("a", "clear", pattern="[xy]*", confirm=True).deleted == 2


@pytest.mark.parametrize("held", [{"name": "x:1", "mode": "shared"}, {"name": "z"}, {"pattern": "x*", "ns": "other"}])
def test_a_clear_is_not_kept_by_locks_that_it_does_not_touch(held: dict[str, Any]) -> None:
    table = seated("a", "b")
    table.do("a", "set", key="x:1", value=1)
    lock(table, "a", **held)
    assert table.do("b", "clear", pattern="x*", confirm=True).deleted == 1


def test_time_does_not_ask_for_locks() -> None:
    table = seated("a", "b")
    table.do("a", "set", key="x", value=1, ttl=5)
    table.do("b", "set", key="y", value=1, ephemeral=True)
    lock(table, "a", "x", "y")
    table.do("b", "bye")
    table.now += 5
    table.expire()
    assert table.keys("a") == []


# --- events ---


def test_the_events_of_a_lock() -> None:
    table = seated("a")
    granted = lock(table, "a", "x", "y", ttl=10, mode="shared")
    common = {
        "sub": 1, "rev": granted.token, "after": 0, "type": "lock", "ns": "default", "at": 1_000.0, "by": "agent-a",
        "token": granted.token, "mode": "shared", "session": "a", "expires_at": 1_010.0, "names": ["x", "y"],
    }  # fmt: skip
    assert lines(table) == [{**common, "key": "x"}, {**common, "key": "y"}]
    table.do("a", "renew", token=granted.token, ttl=20)
    renewed = {"token": granted.token, "expires_at": 1_020.0}
    assert [
        ({name: line.get(name) for name in renewed}, line["type"], line["key"]) for line in lines(table)
    ] == [(renewed, "renew", "x"), (renewed, "renew", "y")]  # fmt: skip
    unlock(table, "a", granted)
    assert [(line["type"], line["key"], line["token"], line["reason"]) for line in lines(table)] == [
        ("unlock", "x", granted.token, "released"), ("unlock", "y", granted.token, "released"),
    ]  # fmt: skip
    assert {line["rev"] for line in lines(table)} == {table.machine.state.log.rev}


def test_the_key_of_a_pattern_is_its_text() -> None:
    table = seated("a")
    lock(table, "a", patterns=["b**", "a?"])
    assert [(line["key"], line["patterns"], "names" in line) for line in lines(table)] == [
        ("b**", ["b**", "a?"], False), ("a?", ["b**", "a?"], False),
    ]  # fmt: skip


def test_queue_events_say_who_and_how_many_wait_now() -> None:
    table = seated("a", "b", "c")
    granted = lock(table, "a", "x")
    assert told(table) == [("lock", "x")], "who waits for nothing stands in no queue"
    seen = []
    line_up(table, "b", "x", "y", id=11)
    seen += lines(table)
    line_up(table, "c", "x", id=12)
    seen += lines(table)
    unlock(table, "a", granted)
    seen += lines(table)
    table.do("c", "cancel", target=12)
    seen += lines(table)
    assert [(line["key"], line["session"], line["waiting"]) for line in seen if line["type"] == "queue"] == [
        ("x", "b", 1), ("y", "b", 1),
        ("x", "c", 2),
        ("x", "b", 1), ("y", "b", 0),
        ("x", "c", 0),
    ]  # fmt: skip
    assert all("token" not in line for line in seen if line["type"] == "queue")


def test_queue_events_of_a_pattern_count_those_who_wait_for_its_text() -> None:
    table = seated("a", "b", "c")
    lock(table, "a", "x")
    line_up(table, "b", id=11, pattern="*")
    line_up(table, "c", id=12, patterns=["*", "y"])
    assert [(line["key"], line["waiting"]) for line in lines(table)] == [("*", 2), ("y", 1)]


# --- locks: what is held ---


def test_locks_shows_what_is_held_and_the_queue_in_order() -> None:
    table = seated("a", "b", "c", "d")
    one = lock(table, "a", "x", "y", ttl=10)
    table.now += 1
    line_up(table, "c", "y", id=11, mode="shared")
    table.now += 1
    line_up(table, "b", id=12, pattern="[xy]")
    line_up(table, "b", "z", "x", id=13)
    shown = table.do("d", "locks").locks
    assert msgspec.to_builtins(shown) == [
        {
            "ns": "default", "mode": "exclusive", "agent": "agent-a", "session": "a", "token": one.token,
            "since": 1_000.0, "expires_at": 1_010.0, "names": ["x", "y"],
            "queue": [
                {"agent": "agent-c", "session": "c", "mode": "shared", "since": 1_001.0, "names": ["y"]},
                {"agent": "agent-b", "session": "b", "mode": "exclusive", "since": 1_002.0, "patterns": ["[xy]"]},
                {"agent": "agent-b", "session": "b", "mode": "exclusive", "since": 1_002.0, "names": ["z", "x"]},
            ],
        }
    ]  # fmt: skip
    assert table.outputs[:-1] == []


def test_locks_are_asked_for_by_pattern_and_namespace_and_come_in_the_order_of_their_grants() -> None:
    table = seated("a", "b")
    tokens = [
        lock(table, "a", "src/b").token,
        lock(table, "b", "src/a", "other").token,
        lock(table, "a", "x", ns="there").token,
        lock(table, "b", pattern="doc/*").token,
    ]

    def shown(**fields: Any) -> list[int]:
        return [tokens.index(held.token) for held in table.do("a", "locks", **fields).locks]

    assert shown() == [0, 1, 3]
    assert shown(ns="*") == [0, 1, 2, 3]
    assert shown(ns="there") == [2]
    assert shown(pattern="src/*") == [0, 1]
    assert shown(pattern="o*") == [1]
    assert shown(pattern="doc*") == [3]
    assert shown(ns="$agents") == []


# --- what is refused ---


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "name"),
        ({"names": []}, "names"),
        ({"patterns": []}, "patterns"),
        ({"name": ""}, "name"),
        ({"name": " x"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"names": ["x", "y\n"]}, "names"),
        ({"name": "x", "names": ["y"]}, "names"),
        ({"name": "x", "pattern": "y"}, "pattern"),
        ({"pattern": "x", "patterns": ["y"]}, "patterns"),
        ({"pattern": "["}, "pattern"),
        ({"patterns": ["x", "\\"]}, "patterns"),
        ({"name": "x", "ttl": 0}, "ttl"),
        ({"name": "x", "ttl": -1}, "ttl"),
        ({"name": "x", "ttl": 10**9}, "ttl"),
        ({"name": "x", "wait": -0.5}, "wait"),
        ({"name": "x", "wait": 10**9}, "wait"),
        ({"name": "x", "task": ""}, "task"),
        ({"name": "x", "task": "t" * 101}, "task"),
        ({"name": "x", "ns": "no spaces"}, "ns"),
        ({"name": "x", "rid": ""}, "rid"),
    ],
)
def test_a_lock_that_is_wrong_names_the_field(fields: dict[str, Any], field: str) -> None:
    table = seated("a")
    error = refusal(table, "a", "lock", **fields)
    assert isinstance(error, BadRequest)
    assert error.details["field"] == field


@pytest.mark.parametrize(
    ("op", "fields", "field"),
    [
        ("unlock", {}, "token"),
        ("unlock", {"name": "x"}, "name"),
        ("unlock", {"token": 1, "reason": "r"}, "reason"),
        ("unlock", {"token": 1, "name": "x"}, "name"),
        ("unlock", {"force": True, "token": 1}, "reason"),
        ("unlock", {"force": True, "token": 1, "reason": ""}, "reason"),
        ("unlock", {"force": True, "token": 1, "reason": "r" * 1_001}, "reason"),
        ("unlock", {"force": True, "reason": "r"}, "token"),
        ("unlock", {"force": True, "reason": "r", "token": 1, "name": "x"}, "token"),
        ("unlock", {"force": True, "reason": "r", "name": "x", "ns": "no spaces"}, "ns"),
        ("renew", {"token": 1, "ttl": 0}, "ttl"),
        ("renew", {"token": 1, "ttl": 10**9}, "ttl"),
        ("locks", {"pattern": "["}, "pattern"),
        ("locks", {"ns": "no spaces"}, "ns"),
    ],
)
def test_what_else_is_wrong_names_the_field_too(op: str, fields: dict[str, Any], field: str) -> None:
    table = seated("a")
    error = refusal(table, "a", op, **fields)
    assert isinstance(error, BadRequest)
    assert error.details["field"] == field


@pytest.mark.parametrize("what", [{"name": "x"}, {"pattern": "*"}])
def test_the_hubs_namespaces_are_not_locked(what: dict[str, Any]) -> None:
    table = seated("a")
    error = refusal(table, "a", "lock", ns="$agents", **what)
    assert isinstance(error, Forbidden)
    assert error.details["need"] == "hub"


# --- limits ---


def limit_of(error: WaggleError) -> int:
    assert isinstance(error, LimitReached)
    limit: int = error.details["limit"]
    return limit


def test_a_lock_has_so_many_names_or_patterns_and_no_more() -> None:
    table = seated("a")
    lock(table, "a", *(f"n{number}" for number in range(100)))
    assert limit_of(refusal(table, "a", "lock", names=[f"m{number}" for number in range(101)])) == 100
    lock(table, "a", patterns=[f"p{number}*" for number in range(10)])
    assert limit_of(refusal(table, "a", "lock", patterns=[f"q{number}*" for number in range(11)])) == 10


def test_a_namespace_has_so_many_locks_on_patterns_held_or_waited_for() -> None:
    table = seated("a", "b", limits=Limits(pattern_locks=3))
    granted = lock(table, "a", pattern="a*")
    lock(table, "a", pattern="b*")
    line_up(table, "b", id=7, pattern="a?")
    assert limit_of(refusal(table, "b", "lock", pattern="d*")) == 3
    lock(table, "b", pattern="d*", ns="other")
    lock(table, "b", "name")
    unlock(table, "a", granted)
    lock(table, "b", pattern="d*")


def test_a_session_holds_or_waits_for_so_many_locks() -> None:
    table = seated("a", "b", limits=Limits(claims=2))
    granted = lock(table, "a", "x")
    lock(table, "b", "y")
    line_up(table, "b", "x", id=7)
    assert limit_of(refusal(table, "b", "lock", name="z")) == 2
    table.do("b", "cancel", target=7)
    lock(table, "b", "z")
    lock(table, "a", "w")
    unlock(table, "a", granted)
    lock(table, "a", "x")


def test_a_session_has_so_many_commands_that_wait() -> None:
    table = seated("a", "b", limits=Limits(waiting=2))
    lock(table, "a", "x")
    for id in (7, 8):
        line_up(table, "b", "x", id=id)
    assert limit_of(refusal(table, "b", "lock", name="x", wait=1)) == 2
    assert isinstance(refusal(table, "b", "lock", name="x", wait=0), Locked), "which does not wait"
    lock(table, "b", "y", wait=1)


def test_so_many_pairs_that_conflict_by_pattern_are_remembered() -> None:
    table = seated("a", "b", limits=Limits(conflicts=3))
    held = [lock(table, "a", name) for name in "xyz"]
    line_up(table, "b", id=7, pattern="?")
    assert limit_of(refusal(table, "b", "lock", name="x", wait=None)) == 3
    unlock(table, "a", held[0])
    line_up(table, "b", "x", id=8)


def test_a_refusal_tells_of_so_many_holders() -> None:
    table = seated("a", "b", limits=Limits(holders=2))
    for _ in range(3):
        lock(table, "a", "x", mode="shared")
    assert len(refusal(table, "b", "lock", name="x").details["holders"]) == 2


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f41d"])
def test_what_a_reply_shows_of_locks_is_bounded_whatever_their_names(letter: str) -> None:
    table = seated("a", "b", "c", limits=Limits(page_bytes=200_000))
    names = [["x", *(f"{one}:{two}:{letter * 240}" for two in range(20))] for one in range(40)]
    for number in range(40):
        lock(table, "a", names=names[number], mode="shared")
    for number in range(40):
        line_up(table, "b", id=number + 10, names=names[number])
    replies = [table.do("c", "locks"), refusal(table, "c", "lock", name="x").details]
    for reply in replies:
        assert 20_000 < len(msgspec.json.encode(reply)) < 210_000
    assert refusal(table, "c", "lock", name="x").details["queued"] == 40


def test_the_limits_are_those_of_the_protocol() -> None:
    limits = Limits()
    assert (limits.names, limits.lock_patterns, limits.pattern_locks) == (100, 10, 1_000)
    assert (limits.claims, limits.waiting) == (1_000, 10_000)

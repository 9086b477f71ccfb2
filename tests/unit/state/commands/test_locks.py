"""Locks: grants, queues, losses, deadlocks, and what a lock means for writes (protocol 2, 3, 4, 6; G8, G10)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.unit.state.machine_harness import MachineHarness
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


def with_sessions(*names: str, limits: Limits | None = None) -> MachineHarness:
    """Return a harness with a session of each of these names, by default a to d."""
    harness = MachineHarness(limits)
    for name in names or ("a", "b", "c", "d"):
        harness.open_session(name, agent=f"agent-{name}")
    return harness


def lock(harness: MachineHarness, session: str, *names: str, **fields: Any) -> m.Granted:
    """Send a lock that does not wait, and return its grant."""
    granted = (
        harness.do(session, "lock", names=list(names), **fields) if names else harness.do(session, "lock", **fields)
    )
    assert isinstance(granted, m.Granted)
    return granted


def line_up(
    harness: MachineHarness, session: str, *names: str, id: m.Id, wait: float | None = None, **fields: Any
) -> None:
    """Send a lock that waits under this id. No reply comes yet."""
    if names:
        fields["names"] = list(names)
    command = msgspec.convert({"op": "lock", "id": id, "wait": wait, **fields}, m.AnyCommand)
    harness.outputs = harness.machine.apply(command, session, harness.now)
    harness.machine.check()
    assert not [output for output in harness.outputs if isinstance(output, Reply)]


def unlock(harness: MachineHarness, session: str, granted: m.Granted) -> None:
    harness.do(session, "unlock", token=granted.token)


def answers(harness: MachineHarness) -> dict[m.Id, m.Granted | WaggleError]:
    """Return the deferred replies to the last command, by id."""
    told: dict[m.Id, m.Granted | WaggleError] = {}
    for output in harness.outputs:
        if isinstance(output, DeferredReply):
            assert output.id not in told
            outcome = output.outcome
            assert outcome.error is not None or isinstance(outcome.ok, m.Granted)
            told[output.id] = outcome.error if outcome.error is not None else outcome.ok  # type: ignore[assignment]
    return told


def _granted(outcome: m.Granted | WaggleError) -> m.Granted:
    assert isinstance(outcome, m.Granted)
    return outcome


def granted_now(harness: MachineHarness) -> list[m.Id]:
    """Return the ids that the last command granted, in order."""
    return [id for id, told in answers(harness).items() if isinstance(told, m.Granted)]


def lost(harness: MachineHarness) -> list[tuple[str, int, str]]:
    """Return the losses that the last command reported: session, token, reason."""
    found = [output for output in harness.outputs if isinstance(output, LockLost)]
    return [(one.session, one.lock.token, one.lock.reason) for one in found]


def refusal(harness: MachineHarness, session: str, op: str, **fields: Any) -> WaggleError:
    """Return the error of a command that must be refused and change nothing."""
    with pytest.raises(WaggleError) as refused:
        harness.do(session, op, **fields)
    assert harness.commits() == []
    return refused.value


def refusal_after_time(harness: MachineHarness, session: str, op: str, **fields: Any) -> WaggleError:
    """Return the error of a command that must be refused, after something was due."""
    with pytest.raises(WaggleError) as refused:
        harness.do(session, op, **fields)
    return refused.value


def lines(harness: MachineHarness) -> list[dict[str, Any]]:
    """Return the events of the last command as the wire has them."""
    return [
        json.loads(event_line(1, event.rev, 0, False, event_body(event, values=True, prev=False)))
        for event in harness.events()
        if not event.ns.startswith("$")
    ]  # fmt: skip


def told(harness: MachineHarness) -> list[tuple[str, str]]:
    """Return type and key of the events of the last command, without those of presence."""
    return [(event.type, event.key) for event in harness.events() if not event.ns.startswith("$")]


# --- one lock ---


def test_a_free_lock_is_granted_at_once() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x", ttl=10)
    assert (granted.names, granted.patterns) == (["x"], msgspec.UNSET)
    assert (granted.mode, granted.expires_at, granted.waited) == ("exclusive", 1_010.0, 0.0)
    assert [type(output) for output in harness.outputs] == [Commit, Reply]


def test_a_lock_without_a_ttl_lasts_thirty_seconds() -> None:
    harness = with_sessions("a")
    assert harness.do("a", "lock", name="x").expires_at == 1_030.0


def test_the_token_is_the_revision_of_the_grant_and_only_grows() -> None:
    harness = with_sessions("a")
    tokens = []
    for _ in range(3):
        granted = lock(harness, "a", "x")
        assert granted.token == harness.commits()[-1].rev == harness.machine.state.log.rev
        tokens.append(granted.token)
        unlock(harness, "a", granted)
    assert tokens == sorted(set(tokens))


def test_the_first_token_is_above_all_revisions_before_the_restart() -> None:
    harness = MachineHarness(rev=1_700_000_000_000_000)
    harness.open_session("a")
    assert lock(harness, "a", "x").token > 1_700_000_000_000_000


def test_an_exclusive_lock_is_not_granted_to_another_session() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    error = refusal(harness, "b", "lock", name="x", wait=0)
    assert isinstance(error, Locked)
    (holder,) = error.details["holders"]
    assert msgspec.to_builtins(holder) == {
        "agent": "agent-a", "session": "a", "mode": "exclusive", "since": 1_000.0, "expires_at": granted.expires_at,
        "self": False, "names": ["x"],
    }  # fmt: skip
    assert error.details["queued"] == 0


def test_locks_are_not_reentrant() -> None:
    harness = with_sessions("a")
    lock(harness, "a", "x")
    error = refusal(harness, "a", "lock", name="x")
    assert isinstance(error, Locked)
    assert [holder.self for holder in error.details["holders"]] == [True]


def test_shared_locks_are_held_together_but_not_with_an_exclusive_one() -> None:
    harness = with_sessions()
    lock(harness, "a", "x", mode="shared")
    lock(harness, "b", "x", mode="shared")
    error = refusal(harness, "c", "lock", name="x")
    assert [holder.session for holder in error.details["holders"]] == ["a", "b"]
    lock(harness, "c", "y")
    assert isinstance(refusal(harness, "a", "lock", name="y", mode="shared"), Locked)


def test_each_namespace_has_its_own_locks() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    lock(harness, "b", "x", ns="other")
    harness.open_session("e", ns="other")
    assert isinstance(refusal(harness, "e", "lock", name="x"), Locked)
    assert isinstance(refusal(harness, "e", "lock", pattern="*", ns="default"), Locked)


def test_a_name_that_occurs_twice_in_a_lock_counts_once() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x", "y", "x")
    assert granted.names == ["x", "y"]
    assert told(harness) == [("lock", "x"), ("lock", "y")]
    granted = lock(harness, "a", patterns=["a*", "a**", "a*"])
    assert granted.patterns == ["a*"]


# --- unlock and renew ---


def test_unlock_releases_the_lock_and_returns_the_revision() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    assert harness.do("a", "unlock", token=granted.token).rev == granted.token + 1
    assert lock(harness, "b", "x").token == granted.token + 2


@pytest.mark.parametrize("op", ["unlock", "renew"])
def test_only_the_holding_session_can_release_or_renew_a_lock(op: str) -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    assert isinstance(refusal(harness, "b", op, token=granted.token), NotHolder)
    harness.do("a", op, token=granted.token)


@pytest.mark.parametrize("op", ["unlock", "renew"])
def test_a_token_of_no_held_lock_is_refused_with_not_holder(op: str) -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x")
    unlock(harness, "a", granted)
    for token in (granted.token, granted.token + 1, 0, -1, 10**15):
        assert isinstance(refusal(harness, "a", op, token=token), NotHolder)


def test_a_renewed_lock_gets_its_ttl_again_from_now_on() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x", "y", ttl=10)
    harness.now += 4
    assert harness.do("a", "renew", token=granted.token).expires_at == 1_014.0
    assert told(harness) == [("renew", "x"), ("renew", "y")]
    assert harness.do("a", "renew", token=granted.token, ttl=2).expires_at == 1_006.0
    harness.now += 2
    assert isinstance(refusal_after_time(harness, "a", "renew", token=granted.token), NotHolder)


def test_a_lock_expires_at_the_end_of_its_ttl_and_not_before() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x", ttl=5)
    harness.now += 4.999
    assert isinstance(refusal(harness, "b", "lock", name="x"), Locked)
    harness.now += 0.001
    assert lock(harness, "b", "x").token > granted.token
    assert lost(harness) == [("a", granted.token, "expired")]


def test_an_expired_lock_cannot_be_renewed() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x", ttl=5)
    harness.now += 5
    assert isinstance(refusal_after_time(harness, "a", "renew", token=granted.token), NotHolder)
    assert harness.do("a", "locks").locks == []


def test_a_lock_expires_without_any_command() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x", ttl=5)
    assert harness.machine.next_deadline() == 1_005.0
    harness.now = 1_005.0
    harness.expire()
    assert lost(harness) == [("a", granted.token, "expired")]
    assert [(line["type"], line["reason"], line["by"]) for line in lines(harness)] == [("unlock", "expired", "$hub")]
    assert [type(output) for output in harness.outputs] == [Commit, LockLost]


# --- several names, and patterns ---


def test_a_lock_on_several_names_is_granted_for_all_or_none() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "y")
    assert isinstance(refusal(harness, "b", "lock", names=["x", "y", "z"]), Locked)
    lock(harness, "c", "x", "z")


def test_a_lock_on_several_names_is_released_for_all_together() -> None:
    harness = with_sessions("a", "b", "c")
    granted = lock(harness, "a", "x", "y")
    line_up(harness, "b", "x", id="b")
    line_up(harness, "c", "y", id="c")
    unlock(harness, "a", granted)
    assert granted_now(harness) == ["b", "c"]
    assert [commit.rev for commit in harness.commits()] == [harness.machine.state.log.rev + n for n in (-2, -1, 0)]


def test_a_request_for_several_names_waits_until_all_are_free() -> None:
    harness = with_sessions("a", "b", "c")
    x, y = lock(harness, "a", "x"), lock(harness, "b", "y")
    line_up(harness, "c", "x", "y", id=7)
    unlock(harness, "a", x)
    assert answers(harness) == {}
    unlock(harness, "b", y)
    assert granted_now(harness) == [7]


def test_a_waiting_request_for_several_names_keeps_its_place_in_the_queues_of_free_names() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", "y", id=7)
    error = refusal(harness, "c", "lock", name="y")
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
def test_two_locks_that_some_string_could_match_both_are_not_held_together(
    held: dict[str, Any], asked: dict[str, Any]
) -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", **held)
    error = refusal(harness, "b", "lock", **asked)
    assert [holder.session for holder in error.details["holders"]] == ["a"]
    line_up(harness, "b", id=7, **asked)
    unlock(harness, "a", granted)
    assert granted_now(harness) == [7]


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
def test_two_locks_that_no_string_could_match_both_are_held_together(
    held: dict[str, Any], asked: dict[str, Any]
) -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", **held)
    lock(harness, "b", **asked)


def test_shared_locks_on_patterns_overlap() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", pattern="src/*", mode="shared")
    lock(harness, "b", pattern="*.py", mode="shared")
    lock(harness, "c", "src/x.py", mode="shared")
    error = refusal(harness, "a", "lock", pattern="src/x*")
    assert [holder.session for holder in error.details["holders"]] == ["a", "b", "c"]


# --- the queue ---


def test_waiting_requests_are_granted_in_order_of_arrival() -> None:
    harness = with_sessions("a", "b", "c", "d")
    holder, granted = "a", lock(harness, "a", "x")
    for name in "dbc":
        line_up(harness, name, "x", id=name)
    for name, others in (("d", 2), ("b", 1), ("c", 0)):
        unlock(harness, holder, granted)
        assert granted_now(harness) == [name]
        assert [line["waiting"] for line in lines(harness) if line["type"] == "queue"] == [others]
        holder, granted = name, _granted(answers(harness)[name])


def test_a_grant_has_the_seconds_waited_and_its_ttl_starts_then() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, ttl=10)
    harness.now += 3.5
    unlock(harness, "a", granted)
    next_one = _granted(answers(harness)[7])
    assert (next_one.waited, next_one.expires_at) == (3.5, 1_013.5)
    assert next_one.token == harness.machine.state.log.rev


def test_a_grant_has_its_own_revision_after_that_of_the_release() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    unlock(harness, "a", granted)
    assert [type(output) for output in harness.outputs] == [Commit, Reply, Commit, DeferredReply]
    assert [(line["type"], line["by"]) for line in lines(harness)] == [
        ("unlock", "agent-a"),
        ("lock", "agent-b"),
        ("queue", "agent-b"),
    ]


def test_a_request_never_overtakes_an_earlier_one_that_it_conflicts_with() -> None:
    """The second request could have y at once, but the first one waits for x and y."""
    harness = with_sessions("a", "b", "c", "d")
    x = lock(harness, "a", "x")
    line_up(harness, "b", "x", "y", id="b")
    line_up(harness, "c", "y", id="c")
    lock(harness, "d", "z")
    unlock(harness, "a", x)
    assert granted_now(harness) == ["b"]
    unlock(harness, "b", _granted(answers(harness)["b"]))
    assert granted_now(harness) == ["c"]


def test_a_request_does_not_wait_for_earlier_ones_without_a_conflict() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", "y", id="b")
    lock(harness, "c", "z")


def test_shared_locks_do_not_starve_an_exclusive_one() -> None:
    harness = with_sessions("a", "b", "c")
    granted = lock(harness, "a", "x", mode="shared")
    line_up(harness, "b", "x", id="b")
    assert isinstance(refusal(harness, "c", "lock", name="x", mode="shared"), Locked)
    line_up(harness, "c", "x", id="c", mode="shared")
    unlock(harness, "a", granted)
    assert granted_now(harness) == ["b"]
    unlock(harness, "b", _granted(answers(harness)["b"]))
    assert granted_now(harness) == ["c"]


def test_shared_requests_that_wait_in_a_row_are_granted_together() -> None:
    harness = with_sessions("a", "b", "c", "d", "e")
    granted = lock(harness, "a", "x")
    for name in "bcd":
        line_up(harness, name, "x", id=name, mode="shared")
    line_up(harness, "e", "x", id="e")
    unlock(harness, "a", granted)
    assert granted_now(harness) == ["b", "c", "d"]
    held = [_granted(one) for one in answers(harness).values()]
    for name, one in zip("bcd", held, strict=True):
        assert answers(harness).get("e") is None
        unlock(harness, name, one)
    assert granted_now(harness) == ["e"]


def test_a_queue_moves_up_when_a_request_in_the_middle_is_cancelled() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x", mode="shared")
    line_up(harness, "b", "x", id="b")
    line_up(harness, "c", "x", id="c", mode="shared")
    harness.do("b", "cancel", target="b")
    assert [type(output) for output in harness.outputs] == [Commit, DeferredReply, Reply, Commit, DeferredReply]
    assert isinstance(answers(harness)["b"], Cancelled)
    assert granted_now(harness) == ["c"]


def test_requests_for_patterns_are_granted_in_order_of_arrival() -> None:
    harness = with_sessions("a", "b", "c", "d")
    granted = lock(harness, "a", "src/a")
    line_up(harness, "b", id="b", pattern="src/*")
    line_up(harness, "c", "src/z", id="c")
    line_up(harness, "d", id="d", pattern="*/z")
    unlock(harness, "a", granted)
    assert granted_now(harness) == ["b"]
    unlock(harness, "b", _granted(answers(harness)["b"]))
    assert granted_now(harness) == ["c"]
    unlock(harness, "c", _granted(answers(harness)["c"]))
    assert granted_now(harness) == ["d"]


# --- waiting and its end ---


def test_a_lock_that_times_out_gets_the_holders_and_the_queue_length() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", id="b", wait=9)
    line_up(harness, "c", "x", id="c", wait=2.5)
    assert harness.machine.next_deadline() == 1_002.5
    harness.now += 2.499
    harness.expire()
    assert harness.outputs == []
    harness.now += 0.001
    harness.expire()
    error = answers(harness)["c"]
    assert isinstance(error, TimedOut)
    assert [holder.session for holder in error.details["holders"]] == ["a"]
    assert error.details["queued"] == 1
    assert [(line["type"], line["waiting"], line["by"]) for line in lines(harness)] == [("queue", 1, "$hub")]
    assert [type(output) for output in harness.outputs] == [Commit, DeferredReply]


def test_a_request_that_has_timed_out_is_never_granted() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id="b", wait=1)
    harness.now += 1
    unlock(harness, "a", granted)
    assert isinstance(answers(harness)["b"], TimedOut)
    assert harness.do("a", "locks").locks == []


def test_wait_null_waits_without_limit() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x", ttl=10**8)
    line_up(harness, "b", "x", id="b", wait=None)
    harness.now += 10**7
    unlock(harness, "a", granted)
    assert granted_now(harness) == ["b"]


def test_if_a_lock_and_a_wait_for_it_end_at_one_instant_the_older_is_ended_first() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x", ttl=5)
    line_up(harness, "b", "x", id="b", wait=5)
    harness.now += 5
    harness.expire()
    assert granted_now(harness) == ["b"]
    assert lost(harness)[0][0] == "a"


def test_a_lock_that_expires_is_granted_to_the_next_request() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x", ttl=5)
    line_up(harness, "b", "x", id="b")
    harness.now += 5
    harness.expire()
    assert [type(output) for output in harness.outputs] == [Commit, LockLost, Commit, DeferredReply]
    assert _granted(answers(harness)["b"]).token == granted.token + 3


def test_locks_that_are_granted_in_turn_expire_in_turn() -> None:
    """The ttl of each waiting request starts at its grant, even if time advances in one leap."""
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x", ttl=5)
    line_up(harness, "b", "x", id="b", ttl=5)
    line_up(harness, "c", "x", id="c", ttl=5)
    harness.now += 7
    harness.expire()
    assert granted_now(harness) == ["b"]
    assert _granted(answers(harness)["b"]).expires_at == 1_012.0


# --- cancel ---


def test_a_cancel_and_the_cancelled_lock_are_both_answered() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    assert harness.do("b", "cancel", target=7).cancelled
    assert isinstance(answers(harness)[7], Cancelled)
    assert [(line["type"], line["waiting"]) for line in lines(harness)] == [("queue", 0)]
    unlock(harness, "a", granted)
    assert answers(harness) == {}


def test_a_lock_granted_before_its_cancel_stays_granted() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    unlock(harness, "a", granted)
    token = _granted(answers(harness)[7]).token
    assert not harness.do("b", "cancel", target=7).cancelled
    assert harness.commits() == []
    assert [one.token for one in harness.do("b", "locks").locks] == [token]


def test_a_cancel_at_the_instant_of_an_expiry_finds_the_lock_granted() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x", ttl=5)
    line_up(harness, "b", "x", id=7)
    harness.now += 5
    assert not harness.do("b", "cancel", target=7).cancelled
    assert granted_now(harness) == [7]


@pytest.mark.parametrize("target", [7, 8, "7", "nobody"])
def test_a_session_cannot_cancel_the_command_of_another(target: m.Id) -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    assert not harness.do("c", "cancel", target=target).cancelled
    assert harness.outputs[:-1] == []


def test_cancel_ends_only_the_command_with_the_given_id() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    for id in (7, "7", 8):
        line_up(harness, "b", "x", id=id)
    harness.do("b", "cancel", target="7")
    assert list(answers(harness)) == ["7"]
    assert harness.machine.state.lock_table.waiting == 2


# --- ids and rids ---


@pytest.mark.parametrize("op", ["ping", "lock", "cancel", "set", "bye"])
def test_the_id_of_a_pending_command_cannot_be_used_again(op: str) -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    fields: dict[str, dict[str, Any]] = {
        "ping": {}, "lock": {"name": "y"}, "cancel": {"target": 7}, "set": {"key": "k", "value": 1}, "bye": {},
    }  # fmt: skip
    error = refusal(harness, "b", op, id=7, **fields[op])
    assert isinstance(error, BadRequest)
    assert error.details["field"] == "id"
    harness.do("a", "ping", id=7)
    harness.do("b", "cancel", id=8, target=7)
    harness.do("b", "ping", id=7)


def test_a_retry_of_a_pending_lock_joins_it_and_the_newest_id_is_answered() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r")
    line_up(harness, "b", "x", id=8, rid="r")
    assert harness.outputs == []
    line_up(harness, "b", "x", id=9, rid="r")
    assert harness.machine.state.lock_table.waiting == 1
    harness.do("b", "ping", id=7)
    unlock(harness, "a", granted)
    assert granted_now(harness) == [9]


def test_a_retry_keeps_the_place_the_deadline_and_the_fields_of_the_first_attempt() -> None:
    harness = with_sessions("a", "b", "c")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r", wait=5)
    line_up(harness, "c", "x", id="c")
    harness.now += 3
    line_up(harness, "b", "other", id=8, rid="r", wait=100)
    unlock(harness, "a", granted)
    assert granted_now(harness) == [8]
    assert _granted(answers(harness)[8]).names == ["x"]
    assert _granted(answers(harness)[8]).waited == 3.0


def test_a_retried_command_times_out_under_its_newest_id() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r", wait=5)
    line_up(harness, "b", "x", id=8, rid="r", wait=5)
    harness.now += 5
    harness.expire()
    assert list(answers(harness)) == [8]


def test_a_retried_command_is_cancelled_only_by_its_newest_id() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r")
    line_up(harness, "b", "x", id=8, rid="r")
    assert not harness.do("b", "cancel", target=7).cancelled
    assert harness.do("b", "cancel", target=8).cancelled
    assert list(answers(harness)) == [8]


def test_a_retry_under_the_id_of_another_pending_command_is_refused() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r")
    line_up(harness, "b", "x", id=8)
    error = refusal(harness, "b", "lock", id=8, name="x", rid="r", wait=None)
    assert error.details["field"] == "id"
    unlock(harness, "a", granted)
    assert granted_now(harness) == [7]


def test_a_retry_after_the_grant_gets_the_same_grant() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r")
    unlock(harness, "a", granted)
    first = answers(harness)[7]
    again = harness.do("b", "lock", id=8, name="x", rid="r")
    assert (harness.dup, again, harness.commits()) == (True, first, [])


def test_a_retry_gets_the_same_grant_even_if_the_lock_was_lost_since() -> None:
    harness = with_sessions("a", "b")
    first = lock(harness, "a", "x", rid="r")
    unlock(harness, "a", first)
    assert lock(harness, "a", "x", rid="r") == first
    assert harness.dup
    assert isinstance(refusal(harness, "a", "renew", token=first.token), NotHolder)
    lock(harness, "b", "x")


@pytest.mark.parametrize("end", ["locked", "timeout", "cancelled", "deadlock"])
def test_a_retry_after_a_refusal_asks_again(end: str) -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    if end == "locked":
        refusal(harness, "b", "lock", name="x", rid="r")
    elif end == "deadlock":
        lock(harness, "b", "y")
        line_up(harness, "a", "y", id=5)
        assert isinstance(refusal(harness, "b", "lock", name="x", wait=None, rid="r"), Deadlock)
    else:
        line_up(harness, "b", "x", id=7, wait=5, rid="r")
        if end == "timeout":
            harness.now += 5
            harness.expire()
        else:
            harness.do("b", "cancel", target=7)
    unlock(harness, "a", granted)
    assert lock(harness, "b", "x", rid="r").token == harness.machine.state.log.rev
    assert not harness.dup


# --- sessions: grace, takeover, end ---


def test_a_lock_outlives_its_connection_by_the_grace_of_its_session() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x", ttl=1_000)
    line_up(harness, "b", "x", id=7)
    harness.drop("a")
    harness.now += GRACE - 0.001
    harness.expire()
    assert answers(harness) == {}
    harness.now += 0.001
    harness.expire()
    assert granted_now(harness) == [7]
    assert lost(harness) == [], "there is nobody left to tell"
    freed, given = harness.commits()
    assert ("unlock", "session_ended", granted.token) in [
        (event.type, event.reason, event.lock.token) for event in freed.events if event.lock is not None
    ]
    assert [event.type for event in given.events] == ["lock", "queue"]


def test_a_session_that_ends_releases_all_locks_in_one_revision_before_the_next_grants() -> None:
    harness = with_sessions("a", "b", "c")
    harness.do("a", "set", key="k", value=1, ephemeral=True)
    lock(harness, "a", "x", "y")
    lock(harness, "a", "z")
    line_up(harness, "a", "z", id="own")
    line_up(harness, "c", "z", id="c")
    line_up(harness, "b", "y", id="b")
    harness.do("a", "bye")
    ended, *grants = harness.commits()
    assert {(event.type, event.key) for event in ended.events if not event.ns.startswith("$")} == {
        ("unlock", "x"), ("unlock", "y"), ("unlock", "z"), ("queue", "z"), ("delete", "k"),
    }  # fmt: skip
    assert [commit.events[0].key for commit in grants] == ["z", "y"]
    assert list(answers(harness)) == ["own", "c", "b"]
    assert isinstance(answers(harness)["own"], Cancelled)
    assert granted_now(harness) == ["c", "b"]


def test_a_request_whose_session_has_ended_is_never_granted() -> None:
    harness = with_sessions("a", "b", "c")
    granted = lock(harness, "a", "x", ttl=1_000)
    line_up(harness, "b", "x", id=7)
    line_up(harness, "c", "x", id=8)
    harness.drop("b")
    harness.now += GRACE
    harness.expire()
    assert [line["waiting"] for line in lines(harness) if line["type"] == "queue"] == [1]
    unlock(harness, "a", granted)
    assert granted_now(harness) == [8]


def test_a_grant_during_the_grace_is_sent_after_the_takeover() -> None:
    harness = with_sessions("a", "b", "c")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    line_up(harness, "c", "x", id=8)
    harness.drop("b")
    unlock(harness, "a", granted)
    assert answers(harness) == {}
    assert told(harness) == [("unlock", "x"), ("lock", "x"), ("queue", "x")]
    harness.return_to("b")
    assert granted_now(harness) == [7]
    kinds = [type(output) for output in harness.outputs]
    assert kinds.index(DeferredReply) > kinds.index(Reply)
    harness.do("b", "unlock", token=_granted(answers(harness)[7]).token)
    assert granted_now(harness) == [8]


def test_a_takeover_keeps_the_place_in_the_queue() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    harness.drop("b")
    harness.now += 5
    harness.return_to("b")
    assert answers(harness) == {}
    unlock(harness, "a", granted)
    assert granted_now(harness) == [7]


def test_a_retry_with_the_same_rid_and_id_after_a_takeover_is_answered_once() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r")
    harness.drop("b")
    harness.return_to("b")
    line_up(harness, "b", "x", id=7, rid="r")
    unlock(harness, "a", granted)
    assert granted_now(harness) == [7]


def test_a_retry_after_a_takeover_gets_a_grant_whose_reply_was_lost() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, rid="r")
    unlock(harness, "a", granted)
    first = answers(harness)[7]
    harness.drop("b")
    harness.return_to("b")
    assert harness.do("b", "lock", id=7, name="x", rid="r") == first
    assert harness.dup


def test_a_notice_sent_at_a_takeover_is_sent_again_at_the_next_for_a_while() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    harness.drop("b")
    unlock(harness, "a", granted)
    harness.return_to("b")
    first = answers(harness)
    for _ in range(2):
        harness.drop("b")
        harness.return_to("b")
        assert answers(harness) == first, "the connection may have been lost before it was read"
    harness.now += Limits().told_age + 1
    harness.drop("b")
    harness.return_to("b")
    assert answers(harness) == {}


def test_what_an_old_connection_may_not_have_read_is_sent_again_after_the_reply_to_the_takeover() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x", ttl=0.5)
    harness.now += 1
    harness.expire()
    assert [output.lock.token for output in harness.outputs if isinstance(output, LockLost)] == [granted.token]
    harness.drop("a")
    harness.return_to("a")
    later = [output for output in harness.outputs if isinstance(output, Reply | LockLost)]
    assert isinstance(later[0], Reply)
    assert [output.lock.token for output in later[1:] if isinstance(output, LockLost)] == [granted.token]


def test_a_reply_is_not_sent_again_once_its_id_is_used_for_another_command() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7)
    unlock(harness, "a", granted)
    assert list(answers(harness)) == [7]
    harness.machine.apply(m.Ping(id=7), "b", harness.now)
    harness.drop("b")
    harness.return_to("b")
    assert answers(harness) == {}


def test_the_notices_that_are_sent_again_are_bounded_and_the_newest() -> None:
    harness = with_sessions("a", "b")
    for number in range(Limits().told + 10):
        granted = lock(harness, "a", "x")
        line_up(harness, "b", "x", id=1_000 + number)
        unlock(harness, "a", granted)
        unlock(harness, "b", _granted(answers(harness)[1_000 + number]))
    harness.drop("b")
    harness.return_to("b")
    assert list(answers(harness)) == [1_000 + number for number in range(10, Limits().told + 10)]


def test_a_timeout_during_the_grace_is_sent_after_the_takeover() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, wait=2)
    harness.drop("b")
    harness.now += 2
    harness.expire()
    assert answers(harness) == {}
    harness.return_to("b")
    assert isinstance(answers(harness)[7], TimedOut)


def test_a_grant_and_a_loss_during_the_grace_are_sent_in_that_order() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    line_up(harness, "b", "x", id=7, ttl=2)
    harness.drop("b")
    unlock(harness, "a", granted)
    harness.now += 2
    harness.return_to("b")
    token = _granted(answers(harness)[7]).token
    assert lost(harness) == [("b", token, "expired")]
    kinds = [type(output) for output in harness.outputs]
    assert kinds.index(Reply) < kinds.index(DeferredReply) < kinds.index(LockLost)


# --- forced release and loss ---


def test_a_forced_release_ends_any_lock_and_tells_its_holder_the_reason() -> None:
    harness = with_sessions("a", "b", "c")
    granted = lock(harness, "a", "x", "y")
    line_up(harness, "b", "x", id=7)
    harness.do("c", "unlock", token=granted.token, force=True, reason="it hangs")
    assert [type(output) for output in harness.outputs] == [Commit, LockLost, Reply, Commit, DeferredReply]
    (loss,) = [output for output in harness.outputs if isinstance(output, LockLost)]
    line = json.loads(str(lock_lost_line(loss.lock)))
    assert "it hangs" in line["lost"].pop("message")
    assert line == {"lost": {"token": granted.token, "reason": "forced", "names": ["x", "y"]}}
    assert [(one["key"], one["reason"], one["by"]) for one in lines(harness) if one["type"] == "unlock"] == [
        ("x", "forced", "agent-c"), ("y", "forced", "agent-c"),
    ]  # fmt: skip
    assert isinstance(refusal(harness, "a", "renew", token=granted.token), NotHolder)


def test_a_lock_lost_during_the_grace_is_reported_after_the_takeover() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", pattern="x*")
    harness.drop("a")
    harness.do("b", "unlock", token=granted.token, force=True, reason="mine")
    assert lost(harness) == []
    harness.return_to("a")
    assert lost(harness) == [("a", granted.token, "forced")]
    kinds = [type(output) for output in harness.outputs]
    assert kinds.index(Reply) < kinds.index(LockLost)
    (loss,) = [output for output in harness.outputs if isinstance(output, LockLost)]
    assert loss.lock.patterns == ["x*"]


def test_a_forced_release_by_name_ends_all_shared_locks_on_it() -> None:
    harness = with_sessions("a", "b", "c", "d")
    one = lock(harness, "a", "x", mode="shared")
    two = lock(harness, "b", "x", "y", mode="shared")
    lock(harness, "c", pattern="x*", mode="shared")
    line_up(harness, "d", "x", id=7)
    harness.do("c", "unlock", name="x", force=True, reason="now")
    assert lost(harness) == [("a", one.token, "forced"), ("b", two.token, "forced")]
    assert len(harness.commits()) == 1, "a pattern that matches it is not it"
    harness.do("d", "unlock", name="x*", force=True, reason="now")
    assert granted_now(harness) == [7]


def test_a_forced_release_of_no_held_lock_is_refused_with_not_holder() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    for fields in ({"name": "y"}, {"name": "x", "ns": "other"}, {"token": 99}):
        assert isinstance(refusal(harness, "b", "unlock", force=True, reason="now", **fields), NotHolder)


def test_a_session_that_forces_its_own_lock_is_not_told_of_a_loss() -> None:
    harness = with_sessions("a")
    unlock(harness, "a", lock(harness, "a", "x"))
    assert lost(harness) == []


# --- deadlock ---


def links(error: WaggleError) -> list[tuple[str, Any]]:
    """Return the requests of a deadlock cycle: session, and names or patterns."""
    assert isinstance(error, Deadlock)
    cycle = error.details["cycle"]
    assert all(link["agent"] == f"agent-{link['session']}" for link in cycle)
    return [(link["session"], link.get("names") or link.get("patterns")) for link in cycle]


def test_two_sessions_that_would_wait_for_each_other_are_a_deadlock() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    y = lock(harness, "b", "y")
    line_up(harness, "a", "y", id=7)
    error = refusal(harness, "b", "lock", name="x", wait=None)
    assert links(error) == [("b", ["x"]), ("a", ["y"])]
    unlock(harness, "b", y)
    assert granted_now(harness) == [7]


def test_a_request_that_does_not_wait_is_no_deadlock() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    lock(harness, "b", "y")
    line_up(harness, "a", "y", id=7)
    assert isinstance(refusal(harness, "b", "lock", name="x", wait=0), Locked)


def test_a_deadlock_of_many_sessions_is_found() -> None:
    harness = with_sessions("a", "b", "c", "d")
    for name in "abcd":
        lock(harness, name, name)
    for name, wanted in ("ab", "bc", "cd"):
        line_up(harness, name, wanted, id=name)
    error = refusal(harness, "d", "lock", name="a", wait=9)
    assert links(error) == [("d", ["a"]), ("a", ["b"]), ("b", ["c"]), ("c", ["d"])]


def test_a_request_with_a_short_wait_is_a_deadlock_too() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    lock(harness, "b", "y")
    line_up(harness, "a", "y", id=7, wait=0.5)
    assert isinstance(refusal(harness, "b", "lock", name="x", wait=0.5), Deadlock)
    harness.now += 0.5
    line_up(harness, "b", "x", id=8)


def test_a_deadlock_through_a_waiting_request_is_found() -> None:
    """Session c waits for b, which holds nothing there and only asked earlier."""
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    lock(harness, "c", "z")
    line_up(harness, "b", "x", id=11)
    line_up(harness, "c", "x", id=12)
    error = refusal(harness, "b", "lock", name="z", wait=None)
    assert links(error) == [("b", ["z"]), ("c", ["x"])]


def test_a_deadlock_through_patterns_is_found() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", pattern="src/*")
    lock(harness, "b", "doc/b")
    lock(harness, "c", "etc")
    line_up(harness, "a", id=11, pattern="d*")
    line_up(harness, "b", "etc", id=12)
    error = refusal(harness, "c", "lock", patterns=["*.py", "q"], wait=None)
    assert links(error) == [("c", ["*.py", "q"]), ("a", ["d*"]), ("b", ["etc"])]


def test_a_deadlock_through_shared_locks_is_found() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x", mode="shared")
    lock(harness, "b", "x", mode="shared")
    lock(harness, "c", "y")
    line_up(harness, "b", "y", id=11)
    error = refusal(harness, "c", "lock", name="x", wait=None)
    assert links(error) == [("c", ["x"]), ("b", ["y"])]


def test_a_shared_request_behind_a_waiting_exclusive_one_can_be_a_deadlock() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x", mode="shared")
    line_up(harness, "b", "x", id=11)
    assert isinstance(refusal(harness, "a", "lock", name="x", mode="shared"), Locked)
    error = refusal(harness, "a", "lock", name="x", mode="shared", wait=None)
    assert links(error) == [("a", ["x"]), ("b", ["x"])]


def test_two_requests_for_shared_locks_are_no_deadlock() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x", mode="shared")
    lock(harness, "b", "y", mode="shared")
    lock(harness, "a", "y", mode="shared")
    lock(harness, "b", "x", mode="shared")


def test_a_task_that_waits_for_its_own_lock_is_a_deadlock() -> None:
    harness = with_sessions("a")
    lock(harness, "a", "x", task="t")
    assert links(refusal(harness, "a", "lock", name="x", task="t", wait=None)) == [("a", ["x"])]


@pytest.mark.parametrize("asked", [{"pattern": "*"}, {"names": ["q", "x"]}, {"name": "x", "mode": "shared"}])
def test_a_deadlock_of_one_task_is_found_for_names_and_patterns(asked: dict[str, Any]) -> None:
    harness = with_sessions("a")
    lock(harness, "a", "x", task="t")
    assert isinstance(refusal(harness, "a", "lock", **asked, task="t", wait=None), Deadlock)


def test_a_task_that_would_wait_for_its_own_waiting_request_is_a_deadlock() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "b", "x")
    line_up(harness, "a", "x", id=11, task="t")
    assert isinstance(refusal(harness, "a", "lock", name="x", task="t", wait=None), Deadlock)


def test_a_task_can_wait_for_another_task_of_its_session() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x", task="t")
    line_up(harness, "a", "x", id=7, task="u")
    unlock(harness, "a", granted)
    assert granted_now(harness) == [7]


def test_two_tasks_of_one_session_can_be_a_deadlock() -> None:
    harness = with_sessions("a")
    lock(harness, "a", "x", task="t")
    lock(harness, "a", "y", task="u")
    line_up(harness, "a", "y", id=7, task="t")
    assert links(refusal(harness, "a", "lock", name="x", task="u", wait=None)) == [("a", ["x"]), ("a", ["y"])]


def test_tasks_of_the_same_name_in_two_sessions_are_different() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x", task="t")
    line_up(harness, "b", "x", id=7, task="t")
    lock(harness, "b", "y", task="u")
    line_up(harness, "a", "y", id=8, task="t")


def test_a_session_without_tasks_can_wait_for_its_own_lock() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x")
    line_up(harness, "a", "x", id=7)
    line_up(harness, "a", id=8, pattern="*")
    unlock(harness, "a", granted)
    assert granted_now(harness) == [7]


def test_a_session_without_tasks_is_one_owner_in_a_deadlock_with_others() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    lock(harness, "a", "own")
    lock(harness, "b", "y")
    line_up(harness, "b", "x", id=7)
    assert links(refusal(harness, "a", "lock", names=["own", "y"], wait=None)) == [("a", ["own", "y"]), ("b", ["x"])]


@pytest.mark.parametrize("names", [["y", "own"], ["own", "y"]])
def test_a_deadlock_is_found_past_the_sessions_own_waiting_requests(names: list[str]) -> None:
    """Session a holds x, and also waits for x behind other shared requests. The path through b must be found all the
    same.
    """
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    lock(harness, "a", "own")
    lock(harness, "b", "y")
    line_up(harness, "c", "x", id=11, mode="shared")
    line_up(harness, "a", "x", id=12, mode="shared")
    line_up(harness, "b", "x", id=13, mode="shared")
    assert links(refusal(harness, "a", "lock", names=names, wait=None)) == [("a", names), ("b", ["x"])]


def test_the_reported_deadlock_cycle_is_the_shortest() -> None:
    """The cycle does not go through every request of the queue."""
    harness = with_sessions("a", "b", "c", "d", "e")
    lock(harness, "a", "x")
    lock(harness, "e", "y")
    for name in "bcde":
        line_up(harness, name, "x", id=name)
    assert links(refusal(harness, "a", "lock", name="y", wait=None)) == [("a", ["y"]), ("e", ["x"])]


def test_a_request_refused_as_a_deadlock_leaves_nothing_in_the_queue() -> None:
    harness = with_sessions("a", "b", "c")
    x = lock(harness, "a", "x")
    lock(harness, "b", "y")
    line_up(harness, "a", "y", id=7)
    refusal(harness, "b", "lock", name="x", wait=None)
    line_up(harness, "c", "x", id=8)
    unlock(harness, "a", x)
    assert granted_now(harness) == [8]


# --- what a lock means for writes ---

WRITES: list[tuple[str, dict[str, Any]]] = [
    ("set", {"key": "x", "value": 2}),
    ("delete", {"key": "x"}),
    ("touch", {"key": "x", "ttl": 5}),
    ("update", {"key": "x", "incr": 1}),
]


@pytest.mark.parametrize(("op", "fields"), WRITES)
@pytest.mark.parametrize("held", [{"name": "x"}, {"names": ["w", "x"]}, {"pattern": "[x-z]"}])
def test_a_write_under_the_exclusive_lock_of_another_session_is_refused(
    op: str, fields: dict[str, Any], held: dict[str, Any]
) -> None:
    harness = with_sessions("a", "b")
    harness.do("a", "set", key="x", value=1)
    granted = lock(harness, "a", **held)
    error = refusal(harness, "b", op, **fields)
    assert isinstance(error, Locked)
    assert [(holder.session, holder.self) for holder in error.details["holders"]] == [("a", False)]
    harness.do("b", op, **fields, guard={"token": granted.token})


@pytest.mark.parametrize(("op", "fields"), WRITES)
def test_the_holding_session_writes_without_a_guard_from_any_task(op: str, fields: dict[str, Any]) -> None:
    harness = with_sessions("a")
    harness.do("a", "set", key="x", value=1)
    lock(harness, "a", "x", task="t")
    harness.do("a", op, **fields)


@pytest.mark.parametrize(("op", "fields"), WRITES)
def test_a_guard_lets_a_write_through_only_while_its_lock_is_held(op: str, fields: dict[str, Any]) -> None:
    harness = with_sessions("a", "b")
    harness.do("a", "set", key="x", value=1)
    granted = lock(harness, "a", "elsewhere", ttl=5)
    guard = {"token": granted.token}
    harness.do("b", "set", key="y", value=1, guard=guard)
    harness.now += 5
    assert isinstance(refusal_after_time(harness, "a", op, **fields, guard=guard), NotHolder)


def test_the_guard_of_another_lock_does_not_allow_a_write() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    mine = lock(harness, "b", "y")
    assert isinstance(refusal(harness, "b", "set", key="x", value=1, guard={"token": mine.token}), Locked)


@pytest.mark.parametrize("held", [{"name": "x", "mode": "shared"}, {"name": "x", "ns": "other"}, {"name": "xx"}])
def test_shared_and_unrelated_locks_do_not_refuse_a_write(held: dict[str, Any]) -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", **held)
    harness.do("b", "set", key="x", value=1)


def test_a_waiting_request_does_not_refuse_a_write() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    line_up(harness, "b", "x", "y", id=7)
    line_up(harness, "b", id=8, pattern="*")
    harness.do("c", "set", key="y", value=1)


def test_a_key_can_be_written_again_after_the_lock_has_ended() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x", ttl=5)
    harness.now += 5
    harness.do("b", "set", key="x", value=1)


def test_a_txn_with_one_step_under_the_lock_of_another_is_refused_whole() -> None:
    harness = with_sessions("a", "b")
    granted = lock(harness, "a", "x")
    steps = [{"op": "set", "key": "y", "value": 1}, {"op": "set", "key": "x", "value": 1}]
    error = refusal(harness, "b", "txn", **{"if": [], "then": steps})
    assert (error.code, error.details["index"]) == ("locked", 1)
    assert harness.keys("b") == []
    guarded = [{**step, "guard": {"token": granted.token}} for step in steps]
    harness.do("b", "txn", **{"if": [], "then": guarded})


def test_a_lock_does_not_refuse_messages() -> None:
    harness = with_sessions("a", "b")
    lock(harness, "a", "x")
    harness.do("b", "publish", channel="x", data=1)


@pytest.mark.parametrize("held", [{"name": "x:1"}, {"pattern": "*:1"}, {"pattern": "y?"}])
def test_a_clear_that_overlaps_an_exclusive_lock_is_refused_whole(held: dict[str, Any]) -> None:
    """The clear is refused even if no key exists that both match."""
    harness = with_sessions("a", "b")
    for key in ("x:2", "y"):
        harness.do("a", "set", key=key, value=1)
    lock(harness, "a", **held)
    error = refusal(harness, "b", "clear", pattern="[xy]*", confirm=True)
    assert isinstance(error, Locked)
    assert [holder.session for holder in error.details["holders"]] == ["a"]
    assert harness.do("a", "clear", pattern="[xy]*", confirm=True).deleted == 2


@pytest.mark.parametrize("held", [{"name": "x:1", "mode": "shared"}, {"name": "z"}, {"pattern": "x*", "ns": "other"}])
def test_a_clear_that_overlaps_no_exclusive_lock_is_not_refused(held: dict[str, Any]) -> None:
    harness = with_sessions("a", "b")
    harness.do("a", "set", key="x:1", value=1)
    lock(harness, "a", **held)
    assert harness.do("b", "clear", pattern="x*", confirm=True).deleted == 1


def test_a_lock_does_not_keep_an_entry_from_expiring() -> None:
    harness = with_sessions("a", "b")
    harness.do("a", "set", key="x", value=1, ttl=5)
    harness.do("b", "set", key="y", value=1, ephemeral=True)
    lock(harness, "a", "x", "y")
    harness.do("b", "bye")
    harness.now += 5
    harness.expire()
    assert harness.keys("a") == []


# --- events ---


def test_each_change_of_a_lock_is_an_event() -> None:
    harness = with_sessions("a")
    granted = lock(harness, "a", "x", "y", ttl=10, mode="shared")
    common = {
        "sub": 1, "rev": granted.token, "after": 0, "type": "lock", "ns": "default", "at": 1_000.0, "by": "agent-a",
        "token": granted.token, "mode": "shared", "session": "a", "expires_at": 1_010.0, "names": ["x", "y"],
    }  # fmt: skip
    assert lines(harness) == [{**common, "key": "x"}, {**common, "key": "y"}]
    harness.do("a", "renew", token=granted.token, ttl=20)
    renewed = {"token": granted.token, "expires_at": 1_020.0}
    assert [
        ({name: line.get(name) for name in renewed}, line["type"], line["key"]) for line in lines(harness)
    ] == [(renewed, "renew", "x"), (renewed, "renew", "y")]  # fmt: skip
    unlock(harness, "a", granted)
    assert [(line["type"], line["key"], line["token"], line["reason"]) for line in lines(harness)] == [
        ("unlock", "x", granted.token, "released"), ("unlock", "y", granted.token, "released"),
    ]  # fmt: skip
    assert {line["rev"] for line in lines(harness)} == {harness.machine.state.log.rev}


def test_the_key_of_a_pattern_locks_event_is_the_patterns_text() -> None:
    harness = with_sessions("a")
    lock(harness, "a", patterns=["b**", "a?"])
    assert [(line["key"], line["patterns"], "names" in line) for line in lines(harness)] == [
        ("b**", ["b**", "a?"], False), ("a?", ["b**", "a?"], False),
    ]  # fmt: skip


def test_a_queue_event_has_the_session_and_the_number_of_waiters() -> None:
    harness = with_sessions("a", "b", "c")
    granted = lock(harness, "a", "x")
    assert told(harness) == [("lock", "x")], "who waits for nothing stands in no queue"
    seen = []
    line_up(harness, "b", "x", "y", id=11)
    seen += lines(harness)
    line_up(harness, "c", "x", id=12)
    seen += lines(harness)
    unlock(harness, "a", granted)
    seen += lines(harness)
    harness.do("c", "cancel", target=12)
    seen += lines(harness)
    assert [(line["key"], line["session"], line["waiting"]) for line in seen if line["type"] == "queue"] == [
        ("x", "b", 1), ("y", "b", 1),
        ("x", "c", 2),
        ("x", "b", 1), ("y", "b", 0),
        ("x", "c", 0),
    ]  # fmt: skip
    assert all("token" not in line for line in seen if line["type"] == "queue")


def test_a_queue_event_of_a_pattern_counts_the_waiters_with_the_same_text() -> None:
    harness = with_sessions("a", "b", "c")
    lock(harness, "a", "x")
    line_up(harness, "b", id=11, pattern="*")
    line_up(harness, "c", id=12, patterns=["*", "y"])
    assert [(line["key"], line["waiting"]) for line in lines(harness)] == [("*", 2), ("y", 1)]


# --- locks: what is held ---


def test_locks_lists_each_held_lock_with_its_queue_in_order() -> None:
    harness = with_sessions("a", "b", "c", "d")
    one = lock(harness, "a", "x", "y", ttl=10)
    harness.now += 1
    line_up(harness, "c", "y", id=11, mode="shared")
    harness.now += 1
    line_up(harness, "b", id=12, pattern="[xy]")
    line_up(harness, "b", "z", "x", id=13)
    shown = harness.do("d", "locks").locks
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
    assert harness.outputs[:-1] == []


def test_locks_can_be_listed_by_pattern_and_namespace_in_the_order_of_grants() -> None:
    harness = with_sessions("a", "b")
    tokens = [
        lock(harness, "a", "src/b").token,
        lock(harness, "b", "src/a", "other").token,
        lock(harness, "a", "x", ns="there").token,
        lock(harness, "b", pattern="doc/*").token,
    ]

    def shown(**fields: Any) -> list[int]:
        return [tokens.index(held.token) for held in harness.do("a", "locks", **fields).locks]

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
def test_a_malformed_lock_is_refused_with_the_field(fields: dict[str, Any], field: str) -> None:
    harness = with_sessions("a")
    error = refusal(harness, "a", "lock", **fields)
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
def test_a_malformed_unlock_renew_or_locks_is_refused_with_the_field(
    op: str, fields: dict[str, Any], field: str
) -> None:
    harness = with_sessions("a")
    error = refusal(harness, "a", op, **fields)
    assert isinstance(error, BadRequest)
    assert error.details["field"] == field


@pytest.mark.parametrize("what", [{"name": "x"}, {"pattern": "*"}])
def test_the_hubs_namespaces_cannot_be_locked(what: dict[str, Any]) -> None:
    harness = with_sessions("a")
    error = refusal(harness, "a", "lock", ns="$agents", **what)
    assert isinstance(error, Forbidden)
    assert error.details["need"] == "hub"


# --- limits ---


def limit_of(error: WaggleError) -> int:
    assert isinstance(error, LimitReached)
    limit: int = error.details["limit"]
    return limit


def test_a_lock_has_a_limit_of_names_and_of_patterns() -> None:
    harness = with_sessions("a")
    lock(harness, "a", *(f"n{number}" for number in range(100)))
    assert limit_of(refusal(harness, "a", "lock", names=[f"m{number}" for number in range(101)])) == 100
    lock(harness, "a", patterns=[f"p{number}*" for number in range(10)])
    assert limit_of(refusal(harness, "a", "lock", patterns=[f"q{number}*" for number in range(11)])) == 10


def test_a_namespace_has_a_limit_of_locks_on_patterns() -> None:
    harness = with_sessions("a", "b", limits=Limits(pattern_locks=3))
    granted = lock(harness, "a", pattern="a*")
    lock(harness, "a", pattern="b*")
    line_up(harness, "b", id=7, pattern="a?")
    assert limit_of(refusal(harness, "b", "lock", pattern="d*")) == 3
    lock(harness, "b", pattern="d*", ns="other")
    lock(harness, "b", "name")
    unlock(harness, "a", granted)
    lock(harness, "b", pattern="d*")


def test_a_session_has_a_limit_of_locks_held_or_waited_for() -> None:
    harness = with_sessions("a", "b", limits=Limits(claims=2))
    granted = lock(harness, "a", "x")
    lock(harness, "b", "y")
    line_up(harness, "b", "x", id=7)
    assert limit_of(refusal(harness, "b", "lock", name="z")) == 2
    harness.do("b", "cancel", target=7)
    lock(harness, "b", "z")
    lock(harness, "a", "w")
    unlock(harness, "a", granted)
    lock(harness, "a", "x")


def test_a_session_has_a_limit_of_pending_locks() -> None:
    harness = with_sessions("a", "b", limits=Limits(waiting=2))
    lock(harness, "a", "x")
    for id in (7, 8):
        line_up(harness, "b", "x", id=id)
    assert limit_of(refusal(harness, "b", "lock", name="x", wait=1)) == 2
    assert isinstance(refusal(harness, "b", "lock", name="x", wait=0), Locked), "which does not wait"
    lock(harness, "b", "y", wait=1)


def test_the_hub_has_a_limit_of_stored_conflict_pairs() -> None:
    harness = with_sessions("a", "b", limits=Limits(conflicts=3))
    held = [lock(harness, "a", name) for name in "xyz"]
    line_up(harness, "b", id=7, pattern="?")
    assert limit_of(refusal(harness, "b", "lock", name="x", wait=None)) == 3
    unlock(harness, "a", held[0])
    line_up(harness, "b", "x", id=8)


def test_a_refusal_has_a_limit_of_holders() -> None:
    harness = with_sessions("a", "b", limits=Limits(holders=2))
    for _ in range(3):
        lock(harness, "a", "x", mode="shared")
    assert len(refusal(harness, "b", "lock", name="x").details["holders"]) == 2


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f41d"])
def test_a_reply_that_shows_locks_is_bounded_however_long_their_names_are(letter: str) -> None:
    harness = with_sessions("a", "b", "c", limits=Limits(page_bytes=200_000))
    names = [["x", *(f"{one}:{two}:{letter * 240}" for two in range(20))] for one in range(40)]
    for number in range(40):
        lock(harness, "a", names=names[number], mode="shared")
    for number in range(40):
        line_up(harness, "b", id=number + 10, names=names[number])
    replies = [harness.do("c", "locks"), refusal(harness, "c", "lock", name="x").details]
    for reply in replies:
        assert 20_000 < len(msgspec.json.encode(reply)) < 210_000
    assert refusal(harness, "c", "lock", name="x").details["queued"] == 40


def test_the_limits_are_those_of_the_protocol() -> None:
    limits = Limits()
    assert (limits.names, limits.lock_patterns, limits.pattern_locks) == (100, 10, 1_000)
    assert (limits.claims, limits.waiting) == (1_000, 10_000)

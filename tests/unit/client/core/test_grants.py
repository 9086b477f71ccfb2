"""A session with commands that wait, and with leases: takeover, cancellation, loss."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client.fakehub import Line, welcome
from tests.unit.client.session_harness import Wire
from waggle.core.lease import Lease
from waggle.core.pending import PendingCommand
from waggle.core.session import MAX_UNANSWERED
from waggle.wire.errors import Cancelled, Disconnected, LockLost, TimedOut
from waggle.wire.messages import Awaited, Granted, Lock, Ping, Take, Taken, Wait, Waited

ENTRY = {
    "key": "job:1", "ns": "default", "rev": 7, "version": 2, "kind": "persistent", "created_at": 1.0,
    "updated_at": 2.0, "expires_at": None, "by": "b", "meta": None, "value": [1],
}  # fmt: skip
MET = {"matched": [ENTRY], "met": [0], "rev": 120}


def granted(token: int = 110) -> Line:
    return {"token": token, "mode": "exclusive", "expires_at": 50.0, "waited": 0.5, "names": ["a"]}


def lock(wait: float | None = 60.0) -> Lock:
    return Lock(id=0, names=["a"], wait=wait)


def wait() -> Wait:
    return Wait(id=0, any=[Awaited(key="a")])


def asked(wire: Wire, command: Any) -> tuple[PendingCommand, Line]:
    """Submit a command, and return it with the line sent."""
    pending = wire.session.submit(command)
    (line,) = wire.sent()
    return pending, line


def held(wire: Wire, token: int = 110) -> Lease:
    pending, line = asked(wire, lock())
    wire.reply(line, **granted(token))
    assert pending.lease is not None
    return pending.lease


def connected() -> Wire:
    wire = Wire(agent="a")
    wire.connect()
    return wire


def taken_over(wire: Wire) -> list[Line]:
    """Lose the connection and take the session over; return the lines sent then."""
    wire.session.dropped()
    wire.connect(resumed=True)
    return wire.sent()


def lose_session(wire: Wire) -> list[Line]:
    wire.session.dropped()
    wire.session.opened()
    wire.refuse(wire.sent()[0], "session_lost")
    wire.reply(wire.sent()[0], **welcome(session="s-2", secret="secret-2"))
    return wire.sent()


# --- waiting -----------------------------------------------------------------------------------------------------


def test_what_waits_does_not_count_for_the_window() -> None:
    wire = connected()
    for command in [*(lock() for _ in range(MAX_UNANSWERED)), wait(), Take(id=0, patterns=["*"], timeout=None)]:
        wire.session.submit(command)
    wire.sent()
    wire.session.submit(Ping(id=0))
    assert [line["op"] for line in wire.sent()] == ["ping"]
    for _ in range(MAX_UNANSWERED + 1):
        wire.session.submit(lock(wait=0.0))
    assert len(wire.sent()) == MAX_UNANSWERED - 1, "but those that do not wait, do"


def test_a_lock_is_asked_again_under_its_rid_and_the_answer_to_the_first_counts() -> None:
    wire = connected()
    pending, first = asked(wire, lock())
    (second,) = taken_over(wire)
    assert (second["op"], second["rid"]) == ("lock", first["rid"])
    assert second["id"] != first["id"]
    wire.say({"id": first["id"], "ok": granted()}, {"id": second["id"], "ok": granted(), "dup": True})
    assert isinstance(wire.outcomes[pending], Granted)
    assert not pending.duplicate
    assert wire.sent() == [], "it is not unlocked because it was told twice"


def test_a_grant_that_was_told_before_is_marked_as_such() -> None:
    wire = connected()
    pending, _ = asked(wire, lock())
    (again,) = taken_over(wire)
    wire.say({"id": again["id"], "ok": granted(), "dup": True})
    assert pending.duplicate
    assert pending.lease is not None


def test_what_began_anew_behind_a_refusal_is_cancelled_and_given_back() -> None:
    wire = connected()
    pending, first = asked(wire, lock())
    (second,) = taken_over(wire)
    wire.refuse(first, "timeout")
    assert isinstance(wire.outcomes[pending], TimedOut)
    (cancel,) = wire.sent()
    assert (cancel["op"], cancel["target"]) == ("cancel", second["id"])
    wire.reply(second, **granted(115))
    (unlock,) = wire.sent()
    assert (unlock["op"], unlock["token"]) == ("unlock", 115)


def test_a_wait_stands_again_before_the_first_is_cancelled() -> None:
    wire = connected()
    pending, first = asked(wire, wait())
    second, cancel = taken_over(wire)
    assert (second["op"], cancel["op"], cancel["target"]) == ("wait", "cancel", first["id"])
    wire.refuse(first, "cancelled")
    assert pending not in wire.outcomes, "that was the first"
    wire.reply(second, **MET)
    assert isinstance(wire.outcomes[pending], Waited)


def test_a_condition_that_held_during_a_lost_connection_is_not_missed() -> None:
    wire = connected()
    pending, first = asked(wire, wait())
    second, cancel = taken_over(wire)
    wire.reply(first, **MET)
    assert isinstance(wire.outcomes[pending], Waited)
    (other,) = wire.sent()
    assert (cancel["target"], other["target"]) == (first["id"], second["id"])
    wire.reply(cancel, cancelled=False)
    wire.refuse(second, "cancelled")
    wire.reply(other, cancelled=True)
    assert taken_over(wire) == []


def test_an_answer_that_comes_with_the_welcome_is_not_asked_for_again() -> None:
    wire = connected()
    pending, line = asked(wire, lock())
    wire.session.dropped()
    wire.session.opened()
    (hello,) = wire.sent()
    wire.say({"id": hello["id"], "ok": welcome(resumed=True)}, {"id": line["id"], "ok": granted()})
    assert isinstance(wire.outcomes[pending], Granted)
    assert wire.sent() == []


def test_commands_not_sent_before_a_disconnect_are_sent_once() -> None:
    wire = connected()
    wire.session.dropped()
    wire.session.submit(lock())
    wire.session.submit(wait())
    wire.connect(resumed=True)
    assert [line["op"] for line in wire.sent()] == ["lock", "wait"]


def test_in_a_new_session_what_was_not_granted_is_asked_again() -> None:
    wire = connected()
    _, first = asked(wire, lock())
    asked(wire, wait())
    asked(wire, Take(id=0, patterns=["job:*"], timeout=5.0))
    again = lose_session(wire)
    assert [line["op"] for line in again] == ["lock", "wait", "take"]
    wire.reply(first, **granted())
    assert wire.outcomes == {}, "the old session's answer is nobody's"


# --- cancelling --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [lock(), wait(), Take(id=0, patterns=["*"], timeout=5.0)])
def test_a_cancelled_command_that_was_not_sent_is_never_sent(command: Any) -> None:
    wire = Wire()
    wire.session.cancel(wire.session.submit(command))
    wire.connect()
    assert wire.sent() == []


@pytest.mark.parametrize("command", [lock(), wait(), Take(id=0, patterns=["*"], timeout=5.0)])
def test_a_caller_that_goes_has_its_command_cancelled(command: Any) -> None:
    wire = connected()
    pending, line = asked(wire, command)
    wire.session.cancel(pending)
    (cancel,) = wire.sent()
    assert (cancel["op"], cancel["target"]) == ("cancel", line["id"])
    wire.refuse(line, "cancelled")
    wire.reply(cancel, cancelled=True)
    assert pending not in wire.outcomes
    assert taken_over(wire) == []


@pytest.mark.parametrize(
    ("command", "ok"),
    [
        (lock(), granted()),
        (lock(wait=0.0), granted()),
        (Take(id=0, patterns=["*"]), {"entry": ENTRY, "token": 110, "expires_at": 9.0, "delivery": 1}),
    ],
)
def test_a_grant_that_races_with_the_cancel_goes_back(command: Any, ok: Line) -> None:
    wire = connected()
    pending, line = asked(wire, command)
    wire.session.cancel(pending)
    wire.sent()
    wire.reply(line, **ok)
    (unlock,) = wire.sent()
    assert (unlock["op"], unlock["token"]) == ("unlock", 110)
    assert pending not in wire.outcomes


def test_a_grant_that_came_before_the_caller_went_goes_back() -> None:
    wire = connected()
    pending, line = asked(wire, lock())
    wire.reply(line, **granted())
    wire.session.cancel(pending)
    (unlock,) = wire.sent()
    assert (unlock["op"], unlock["token"]) == ("unlock", 110)


def test_a_grant_that_was_lost_with_its_connection_goes_back_in_the_next() -> None:
    wire = connected()
    pending, first = asked(wire, lock())
    wire.session.cancel(pending)
    wire.sent()
    again, *cancels = taken_over(wire)
    assert (again["op"], again["rid"]) == ("lock", first["rid"])
    assert again["id"] in [cancel["target"] for cancel in cancels]
    wire.say({"id": again["id"], "ok": granted(), "dup": True})
    assert [(line["op"], line["token"]) for line in wire.sent()] == [("unlock", 110)]


def test_a_caller_that_goes_while_the_hub_is_away_leaves_nothing_either() -> None:
    wire = connected()
    pending, first = asked(wire, lock())
    wire.session.dropped()
    wire.session.cancel(pending)
    wire.connect(resumed=True)
    again, *cancels = wire.sent()
    assert (again["op"], again["rid"]) == ("lock", first["rid"])
    assert again["id"] in [cancel["target"] for cancel in cancels]
    assert lose_session(wire) == [], "in a new session there is nothing to give back"


def test_a_task_sends_no_lock_while_its_cancelled_lock_may_be_granted() -> None:
    wire = connected()
    mine = Lock(id=0, names=["a"], wait=None, task="mine")
    pending, first = asked(wire, mine)
    wire.session.cancel(pending)
    wire.sent()
    again = wire.session.submit(Lock(id=0, names=["a"], wait=None, task="mine"))
    wire.session.submit(Lock(id=0, names=["b"], wait=None, task="other"))
    wire.session.submit(Ping(id=0))
    assert [line["op"] for line in wire.sent()] == ["lock", "ping"]
    assert not again.sent
    wire.reply(first, **granted())
    unlock, second = wire.sent()
    assert (unlock["op"], second["op"], second["names"]) == ("unlock", "lock", ["a"])


def test_a_released_lock_is_released_whatever_waits_for_it() -> None:
    wire = connected()
    letting = wire.session.unlock(held(wire))
    (first,) = wire.sent()
    wire.session.cancel(letting)
    (again,) = taken_over(wire)
    assert (again["op"], again["rid"]) == ("unlock", first["rid"])


def test_a_cancelled_command_is_settled_only_by_the_reply_of_the_hub() -> None:
    wire = connected()
    pending, line = asked(wire, wait())
    wire.refuse(line, "cancelled")
    assert isinstance(wire.outcomes[pending], Cancelled)


# --- loss --------------------------------------------------------------------------------------------------------


def test_a_loss_is_told_with_its_reason_even_in_the_breath_of_the_grant() -> None:
    wire = connected()
    pending, line = asked(wire, lock())
    lost = {"lost": {"token": 110, "reason": "forced", "names": ["a"], "message": "b freed it: stuck"}}
    wire.say({"id": line["id"], "ok": granted()}, lost)
    assert pending.lease is not None
    with pytest.raises(LockLost, match="b freed it: stuck") as told:
        pending.lease.check()
    assert told.value.reason == "forced"
    assert wire.lost == [pending.lease]


def test_a_takeover_renews_all_leases_because_a_notice_of_loss_may_be_lost() -> None:
    wire = connected()
    kept, lost = held(wire, 110), held(wire, 111)
    first, second = taken_over(wire)
    assert [(line["op"], line["token"], line["ttl"]) for line in (first, second)] == [
        ("renew", 110, 30.0),
        ("renew", 111, 30.0),
    ]
    wire.reply(first, expires_at=60.0, rev=130)
    wire.refuse(second, "not_holder")
    assert kept.lost is None
    assert lost.lost is not None
    assert lost.lost.reason == "not_holder"


def test_a_session_that_is_lost_takes_its_locks_along() -> None:
    wire = connected()
    lease = held(wire)
    assert lose_session(wire) == []
    assert wire.lost == [lease]
    assert lease.lost is not None
    assert lease.lost.reason == "session_lost"


def test_the_end_of_the_session_is_a_loss_of_its_leases() -> None:
    wire = connected()
    lease = held(wire)
    pending, _ = asked(wire, lock())
    wire.session.end(Disconnected("No hub."))
    wire.collect()
    assert lease.lost is not None
    assert lease.lost.reason == "disconnected"
    outcome = wire.outcomes[pending]
    assert isinstance(outcome, Disconnected)
    assert "in_doubt" not in outcome.details, "nothing was granted that outlives the session"


def test_a_notice_of_loss_for_an_unlocked_lease_is_ignored() -> None:
    wire = connected()
    wire.session.unlock(held(wire))
    wire.say({"lost": {"token": 110, "reason": "expired"}})
    assert wire.lost == []


def test_a_job_is_lost_with_its_entry() -> None:
    wire = connected()
    pending, line = asked(wire, Take(id=0, patterns=["job:*"]))
    wire.reply(line, entry=ENTRY, token=110, expires_at=9.0, delivery=2)
    assert isinstance(wire.outcomes[pending], Taken)
    wire.say({"lost": {"token": 110, "reason": "released"}})
    assert pending.lease is not None
    with pytest.raises(LockLost, match=r"'job:1'.* its entry is gone"):
        pending.lease.check()

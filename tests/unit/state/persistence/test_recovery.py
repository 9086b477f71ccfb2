"""Recovery: what survives a restart, how it is stored and restored, and what a rollback undoes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.unit.state.persistent_harness import PersistentHarness
from waggle.wire.errors import Conflict, NotHolder, SessionLost, TimedOut, Unavailable
from waggle_hub.app import make_machine
from waggle_hub.delivery.encoding import reply_line
from waggle_hub.journal.interface import StoreError
from waggle_hub.settings import Limits, Settings
from waggle_hub.state.effects import DeferredReply, LockLost, OpenCursor
from waggle_hub.state.persistence import recovery
from waggle_hub.state.persistence.records import ClaimRecord, HubRecord, SessionRecord, StoredState


@pytest.fixture
def harness() -> PersistentHarness:
    return PersistentHarness()


def entry(harness: PersistentHarness, key: str, session: str = "a", **fields: Any) -> Any:
    return harness.do(session, "get", key=key, **fields).entry


# --- entries -----------------------------------------------------------------------------------------------------


def test_an_entry_comes_back_as_it_was(harness: PersistentHarness) -> None:
    harness.do("a", "set", key="k", value=1)
    harness.now += 1
    harness.do("b", "set", key="k", value={"n": [None, 1.5, "ü"]}, ttl=60, meta={"host": "x"})
    before = structs.asdict(entry(harness, "k"))
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert {name: bytes(v) if name in ("value", "meta") else v for name, v in before.items()} == {
        name: bytes(v) if name in ("value", "meta") else v for name, v in structs.asdict(entry(harness, "k")).items()
    }


def test_changes_that_were_not_written_are_absent_after_a_crash(harness: PersistentHarness) -> None:
    harness.do("a", "set", key="k", value=1)
    harness.keep()
    harness.do("a", "set", key="k", value=2)
    harness.do("a", "set", key="l", value=2)
    harness.crash()
    harness.return_to("a")
    assert harness.value("a", "k") == 1
    assert harness.value("a", "l") is None


def test_transient_entries_are_gone_after_a_restart_and_their_versions_begin_higher(harness: PersistentHarness) -> None:
    for kind in ("transient", "cached"):
        harness.do("a", "set", key=kind, value=1, kind=kind)
        harness.do("a", "set", key=kind, value=2, kind=kind)
    harness.keep()
    harness.restart()
    harness.return_to("a")
    for kind in ("transient", "cached"):
        assert harness.value("a", kind) is None
        assert harness.do("a", "set", key=kind, value=3).version > 2


def test_a_stored_entry_that_became_transient_does_not_come_back(harness: PersistentHarness) -> None:
    harness.do("a", "set", key="k", value=1)
    harness.keep()
    harness.do("a", "set", key="k", value=2, kind="transient")
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert harness.value("a", "k") is None
    assert harness.do("a", "set", key="k", value=3).version > 2


def test_a_deleted_key_goes_on_with_its_versions(harness: PersistentHarness) -> None:
    harness.set("k", "k", "k")
    harness.do("a", "delete", key="k")
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert harness.do("a", "set", key="k", value=1).version == 4


def test_a_version_does_not_start_again_after_its_tombstone_was_dropped() -> None:
    harness = PersistentHarness(Limits(tombstones=1))
    harness.set("k", "k", "k")
    harness.do("a", "delete", key="k")
    harness.set("l")
    harness.do("a", "delete", key="l")
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert harness.do("a", "set", key="k", value=1).version == 4


def test_history_comes_back() -> None:
    harness = PersistentHarness(Limits(history=2))
    for number in range(5):
        harness.do("a", "set", key="k", value=number, kind="versioned")
    harness.do("a", "touch", key="k", ttl=60)
    harness.keep()
    harness.crash()
    harness.return_to("a")
    found = harness.do("a", "history", key="k").entries
    assert [(json.loads(bytes(one.value)), one.version) for one in found] == [(4, 5), (3, 4), (2, 3)]
    harness.do("a", "set", key="k", value=5, kind="versioned")
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert [json.loads(bytes(one.value)) for one in harness.do("a", "history", key="k").entries] == [5, 4, 3]


def test_two_versions_of_one_txn_are_two_in_the_history(harness: PersistentHarness) -> None:
    step = {"op": "set", "key": "k", "kind": "versioned"}
    harness.do("a", "txn", **{"if": [], "then": [{**step, "value": 1}, {**step, "value": 2}, {**step, "value": 3}]})
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert [json.loads(bytes(one.value)) for one in harness.do("a", "history", key="k").entries] == [3, 2, 1]


def test_entries_that_fell_due_while_the_hub_was_down_expire_in_order(harness: PersistentHarness) -> None:
    for key, ttl in (("second", 2), ("first", 1), ("later", 60), ("third", 3)):
        harness.do("a", "set", key=key, value=key, ttl=ttl)
    harness.keep()
    harness.crash(down=10)
    harness.expire()
    assert [event.key for event in harness.events() if event.type == "expire"] == ["first", "second", "third"]
    harness.return_to("a")
    assert harness.keys("a") == ["later"]


# --- sessions ----------------------------------------------------------------------------------------------------


def test_a_session_comes_back_with_its_secret_and_a_fresh_grace(harness: PersistentHarness) -> None:
    harness.do("a", "status", status="busy")
    harness.keep()
    harness.crash(down=1_000)
    harness.now += harness.limits.grace - 0.001
    with pytest.raises(SessionLost):
        harness.return_to("a", secret="wrong")
    assert harness.return_to("a").agent == "agent-a"
    shown = harness.value("a", "agent-a", ns="$agents")
    assert (shown["status"], shown["connected"], shown["since"]) == ("busy", True, 1_000.0)


def test_a_session_whose_agent_does_not_come_back_ends_after_its_grace(harness: PersistentHarness) -> None:
    harness.do("a", "set", key="mine", value=1, ephemeral=True)
    harness.keep()
    harness.crash()
    harness.tick(harness.limits.grace)
    assert [(e.type, e.key, e.reason) for e in harness.events() if e.ns == "default"] == [
        ("delete", "mine", "session_ended")
    ]
    with pytest.raises(SessionLost):
        harness.return_to("a")


def test_who_was_there_until_the_hub_broke_off_was_last_seen_when_it_began_again(harness: PersistentHarness) -> None:
    harness.now += 5
    harness.drop("a")
    harness.keep()
    harness.crash(down=100)
    restarted = harness.now
    harness.tick(60)
    harness.open_session("e")
    assert harness.value("e", "agent-a", ns="$seen") == {"last": 1_005.0}
    assert harness.value("e", "agent-b", ns="$seen") == {"last": restarted}


def test_everybody_is_shown_as_away_until_they_are_back(harness: PersistentHarness) -> None:
    harness.keep()
    harness.crash()
    shown = {event.key: json.loads(event.entry.value)["connected"] for event in harness.events() if event.entry}
    assert shown == dict.fromkeys(["agent-a", "agent-b", "agent-c", "agent-d"], False)


def test_an_outcome_is_given_again_and_nothing_is_done_twice(harness: PersistentHarness) -> None:
    written = harness.do("a", "set", key="k", value=1, rid="r")
    with pytest.raises(Conflict):
        harness.do("a", "set", key="k", value=2, if_rev=0, rid="s")
    harness.keep()
    harness.crash()
    harness.return_to("a")
    rev = harness.machine.state.log.rev
    again = harness.do("a", "set", key="k", value=1, rid="r")
    assert harness.dup
    assert json.loads(bytes(again)) == {"rev": written.rev, "version": 1, "expires_at": None}
    with pytest.raises(Conflict) as refused:
        harness.do("a", "set", key="k", value=2, if_rev=0, rid="s")
    assert refused.value.details["current"]["value"] == 1
    assert harness.machine.state.log.rev == rev


def test_queued_notices_are_delivered_after_a_restart(harness: PersistentHarness) -> None:
    harness.do("a", "lock", name="n", ttl=1)
    waiting = harness.ask("b", "lock", name="n", wait=None)
    for session in "ab":
        harness.drop(session)
    harness.tick(1)
    harness.keep()
    harness.crash()
    harness.return_to("a")
    (lost,) = [output for output in harness.outputs if isinstance(output, LockLost)]
    assert lost.lock.reason == "expired"
    harness.return_to("b")
    (answer,) = [output for output in harness.outputs if isinstance(output, DeferredReply)]
    assert answer.id == waiting
    assert json.loads(str(reply_line(answer)))["ok"]["names"] == ["n"]
    harness.keep()
    harness.crash()
    harness.return_to("b")
    assert not [output for output in harness.outputs if isinstance(output, DeferredReply)], "it was told"


# --- subscriptions -----------------------------------------------------------------------------------------------


def test_a_cursor_goes_on_where_it_stood(harness: PersistentHarness) -> None:
    sub = harness.do("a", "subscribe", patterns=["*"]).sub
    rev = harness.set("k")
    harness.keep()
    harness.crash()
    assert harness.return_to("a", cursors={sub: rev}).subs == {sub: sub}
    (attached,) = harness.attached()
    assert (attached.rev, attached.replay, attached.snapshot, attached.lost) == (rev, True, None, None)


def test_a_cursor_that_may_have_missed_something_is_told_so(harness: PersistentHarness) -> None:
    here = harness.do("a", "subscribe", patterns=["*"], ns="here").sub
    there = harness.do("a", "subscribe", patterns=["*"], ns="there").sub
    locks = harness.do("a", "subscribe", patterns=["*"], ns="here", types=["lock", "unlock"]).sub
    rev = harness.do("b", "publish", channel="c", data=1, ns="here").rev
    harness.keep()
    harness.restart()
    harness.return_to("a", cursors={here: rev, there: rev, locks: rev})
    assert {one.interest.sub: one.lost for one in harness.attached()} == {here: "restart", there: None, locks: None}
    resumed = harness.do("b", "subscribe", patterns=["*"], ns="there", since={"epoch": "epoch", "rev": rev})
    assert resumed.resumed is True
    refused = harness.do("b", "subscribe", patterns=["*"], ns="here", since={"epoch": "epoch", "rev": rev})
    assert (refused.resumed, refused.reason) == (False, "restart")


def test_a_cursor_of_an_earlier_life_is_told_even_if_it_missed_being_told_before(harness: PersistentHarness) -> None:
    """The hub has begun it again, and even sent the whole snapshot; the agent heard none of it."""
    sub = harness.do("a", "subscribe", patterns=["*"]).sub
    rev = harness.do("b", "publish", channel="c", data=1).rev
    harness.keep()
    harness.crash()
    harness.return_to("a", cursors={sub: rev})
    (attached,) = harness.attached()
    assert attached.snapshot is not None
    harness.machine.mark_synced("a", sub, attached.snapshot.rev)
    harness.drop("a")
    for _ in range(2):
        harness.keep()
        harness.crash()
    harness.return_to("a", cursors={sub: rev})
    (attached,) = harness.attached()
    assert attached.lost == "restart"
    assert attached.snapshot is not None


def test_a_client_with_a_cursor_is_told_when_its_snapshot_starts_again(harness: PersistentHarness) -> None:
    """Covers a snapshot whose end was sent but not yet stored when the hub crashed."""
    sub = harness.do("a", "subscribe", patterns=["*"], snapshot=True).sub
    rev = harness.machine.state.log.rev
    harness.keep()
    harness.machine.mark_synced("a", sub, rev)
    harness.crash()
    harness.return_to("a", cursors={sub: rev})
    (attached,) = harness.attached()
    assert attached.lost == "restart"
    harness.return_to("a")
    (attached,) = harness.attached()
    assert attached.snapshot is not None


def test_another_epoch_lets_no_cursor_go_on(harness: PersistentHarness) -> None:
    sub = harness.do("a", "subscribe", patterns=["*"]).sub
    rev = harness.machine.state.log.rev
    harness.keep()
    harness.crash(epoch="another")
    for _ in range(2):  # it is told again while its agent says that it stands where it stood
        harness.return_to("a", cursors={sub: rev})
        (attached,) = harness.attached()
        assert attached.lost == "epoch"
        harness.machine.mark_synced("a", sub, harness.machine.state.log.rev)


def test_numbers_of_subscriptions_are_not_given_again(harness: PersistentHarness) -> None:
    sub = harness.do("a", "subscribe", patterns=["a"]).sub
    harness.keep()
    lost = harness.do("a", "subscribe", patterns=["b"]).sub
    harness.crash()
    harness.return_to("a")
    assert harness.do("b", "subscribe", patterns=["a"]).sub == sub, "the same interest"
    assert harness.do("b", "subscribe", patterns=["c"]).sub > lost


# --- locks, waits, work ------------------------------------------------------------------------------------------


def test_a_lock_comes_back_with_its_token_and_lasts_for_the_grace_at_least(harness: PersistentHarness) -> None:
    short = harness.do("a", "lock", name="short", ttl=2)
    long = harness.do("a", "lock", name="long", ttl=1_000)
    harness.keep()
    harness.crash(down=500)
    harness.tick(harness.limits.grace - 0.001)
    harness.return_to("a")
    held = {lock.names[0]: lock for lock in harness.do("a", "locks").locks}
    assert {name: lock.token for name, lock in held.items()} == {"short": short.token, "long": long.token}
    assert held["long"].expires_at == long.expires_at
    harness.tick(0.001)
    assert harness.losses() == [("a", short.token, "expired")]
    with pytest.raises(NotHolder):
        harness.do("a", "unlock", token=short.token)


def test_a_queue_comes_back_in_its_order(harness: PersistentHarness) -> None:
    token = harness.do("a", "lock", name="n").token
    waiting = [(session, harness.ask(session, "lock", name="n", wait=None)) for session in "bcd"]
    harness.keep()
    harness.crash()
    for session in "abcd":
        harness.return_to(session)
    for session, id in waiting:
        harness.do("a" if session == "b" else chr(ord(session) - 1), "unlock", token=token)
        (granted,) = [one for one in harness.outputs if isinstance(one, DeferredReply)]
        assert (granted.session, granted.id) == (session, id)
        assert harness.answer(id).token > token
        token = harness.answer(id).token


def test_a_lock_that_became_free_while_nothing_could_be_granted_is_granted_at_the_start(
    harness: PersistentHarness,
) -> None:
    token = harness.do("a", "lock", name="n").token
    waiting = harness.ask("b", "lock", name="n", wait=None)
    harness.machine.refuse("the journal fails")
    harness.do("a", "unlock", token=token)
    harness.keep()
    harness.crash()
    harness.return_to("b")
    (answer,) = [output for output in harness.outputs if isinstance(output, DeferredReply)]
    assert answer.id == waiting
    assert answer.outcome.error is None


def test_a_rid_that_waits_is_joined_after_the_restart(harness: PersistentHarness) -> None:
    token = harness.do("a", "lock", name="n").token
    harness.ask("b", "lock", name="n", wait=None, rid="r")
    harness.keep()
    harness.crash()
    for session in "ab":
        harness.return_to(session)
    newest = harness.ask("b", "lock", name="n", wait=None, rid="r")
    harness.do("a", "unlock", token=token)
    assert list(harness.answers()) == [newest]


def test_a_wait_goes_on_and_is_answered_under_its_id(harness: PersistentHarness) -> None:
    one = harness.ask("a", "wait", all=[{"key": "k"}, {"pattern": "p:*", "count": 2}], timeout=100)
    harness.set("p:1")
    harness.keep()
    harness.crash()
    harness.return_to("a")
    harness.proceed()
    harness.set("k", "p:2")
    assert [entry.key for entry in harness.answer(one).matched] == ["k", "p:1", "p:2"]


def test_the_time_of_a_wait_runs_on_while_the_hub_is_down(harness: PersistentHarness) -> None:
    one = harness.ask("a", "wait", all=[{"key": "k"}], timeout=10)
    harness.keep()
    harness.crash(down=10)
    harness.return_to("a")
    with pytest.raises(TimedOut):
        harness.answer(one)


def test_a_wait_for_what_is_gone_with_the_restart_is_met(harness: PersistentHarness) -> None:
    harness.set("k", kind="transient")
    one = harness.ask("a", "wait", all=[{"key": "k", "absent": True}], timeout=100)
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert harness.answer(one).met == [0]


def test_a_taker_goes_on_waiting(harness: PersistentHarness) -> None:
    one = harness.ask("a", "take", patterns=["job:*"], timeout=None)
    harness.keep()
    harness.crash()
    harness.return_to("a")
    harness.proceed()
    harness.set("job:1")
    assert harness.answer(one).entry.key == "job:1"


def test_how_often_something_was_delivered_is_remembered(harness: PersistentHarness) -> None:
    harness.set("job")
    token = harness.do("a", "take", patterns=["job"]).token
    harness.do("a", "unlock", token=token)
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert harness.do("a", "take", patterns=["job"]).delivery == 2


def test_how_often_something_was_delivered_is_forgotten_with_it(harness: PersistentHarness) -> None:
    harness.set("job", kind="transient")
    token = harness.do("a", "take", patterns=["job"]).token
    harness.do("a", "unlock", token=token)
    harness.keep()
    harness.crash()
    harness.return_to("a")
    harness.set("job")
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert harness.do("a", "take", patterns=["job"]).delivery == 1


def test_the_lock_of_work_that_is_gone_ends_and_its_holder_is_told(harness: PersistentHarness) -> None:
    harness.set("job", kind="transient")
    token = harness.do("a", "take", patterns=["job"]).token
    harness.keep()
    harness.crash()
    harness.return_to("a")
    assert harness.losses() == [("a", token, "released")]


# --- what is written down ----------------------------------------------------------------------------------------


def test_transient_writes_do_not_touch_the_journal(harness: PersistentHarness) -> None:
    harness.set("k", kind="transient")
    harness.do("a", "publish", channel="c", data=1)
    harness.keep()
    harness.set("k", "k", kind="transient")
    harness.do("a", "delete", key="k")
    harness.do("a", "publish", channel="c", data=2)
    harness.do("a", "get", key="k")
    assert not harness.keep()


def test_the_ceiling_of_versions_is_written_once_for_many_writes(harness: PersistentHarness) -> None:
    written = 0
    for _ in range(2_500):
        harness.machine.state.keyspace.version_floors.mark_volatile("default", written + 1)
        written += 1
        if written % 10 == 0:
            assert len(harness.keep().records) <= 1
    assert written > 1_000


def test_an_earlier_version_is_written_once_and_removed_when_it_is_too_old() -> None:
    harness = PersistentHarness(Limits(history=2))
    harness.set("k", "k", "k", kind="versioned")
    harness.keep()
    harness.set("k", kind="versioned")
    changes = harness.keep()
    assert {version: entry is not None for (_, _, version), entry in changes.earlier.items()} == {3: True, 1: False}
    harness.do("a", "delete", key="k")
    assert {version: entry for (_, _, version), entry in harness.keep().earlier.items()} == {3: None, 2: None}
    assert not harness.disk.earlier


def test_revisions_are_reserved_ahead_and_a_crash_begins_above(
    harness: PersistentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_RESERVED_REVS", 100)
    harness.restart()
    harness.return_to("a")
    rev = reservations = 0
    for _ in range(200):
        rev = harness.set("k")
        hub = harness.keep().records.get(("hub",))
        reservations += hub is not None
        assert harness.machine.state.hub_record.rev > rev
    assert 3 <= reservations <= 4, "one for every half of what is reserved"
    harness.set("k", "k")  # seen by nobody
    harness.crash()
    assert harness.machine.state.log.rev > rev + 2


def test_an_orderly_stop_gives_back_what_was_reserved(harness: PersistentHarness) -> None:
    rev = harness.set("k")
    harness.restart()
    harness.return_to("a")
    assert harness.machine.state.log.rev < rev + 10


def test_the_log_on_disk_is_cut_now_and_then() -> None:
    harness = PersistentHarness(Limits(log_events=64))
    cuts = 0
    for _ in range(640):
        harness.set("k")
        cuts += ("hub",) in harness.keep().records
        assert len(harness.disk.commits) <= 64 + 4
    assert 100 < cuts < 640 / 2
    floor = harness.machine.state.log.floor
    harness.crash()
    assert abs(harness.machine.state.log.floor - floor) <= 4


def test_nothing_is_reserved_while_the_journal_fails(
    harness: PersistentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_RESERVED_REVS", 20)
    harness.restart()
    harness.return_to("a")
    harness.set("k", kind="transient")
    harness.keep()
    harness.machine.refuse("the journal fails")
    while not harness.machine.out_of_revisions:
        harness.set("k", kind="transient")
        assert not [one for one in harness.keep().records.values() if isinstance(one, HubRecord)]
    (hub,) = [one for one in harness.disk.all_records() if isinstance(one, HubRecord)]
    assert harness.machine.state.log.rev == hub.rev
    harness.machine.accept(harness.now)
    assert not harness.machine.out_of_revisions


# --- while the journal fails -------------------------------------------------------------------------------------


def test_changes_that_were_not_written_are_rolled_back(harness: PersistentHarness) -> None:
    harness.set("k", "t", kind="transient")
    harness.do("a", "set", key="v", value=1, kind="versioned")
    token = harness.do("a", "lock", name="n").token
    sub = harness.do("a", "subscribe", patterns=["*"]).sub
    waiting = harness.ask("b", "wait", all=[{"key": "w"}], timeout=100)
    harness.keep()
    before = {key: entry(harness, key) for key in "ktv"}
    harness.set("w")
    harness.set("k", kind="transient")
    harness.do("a", "delete", key="t")
    harness.do("a", "set", key="v", value=2, kind="versioned")
    harness.do("a", "unlock", token=token)
    harness.do("c", "lock", name="n")
    harness.do("a", "unsubscribe", sub=sub)
    harness.do("a", "set", key="once", value=1, rid="r")
    harness.go_back()
    assert {key: (entry(harness, key).rev, entry(harness, key).version) for key in "ktv"} == {
        key: (one.rev, one.version) for key, one in before.items()
    }
    assert harness.value("a", "w") is None
    assert [lock.token for lock in harness.do("a", "locks").locks] == [token]
    assert harness.machine.unanswered_commands() == {("b", waiting)}
    harness.do("a", "unsubscribe", sub=sub)
    harness.do("a", "set", key="once", value=1, rid="r")
    assert not harness.dup
    assert len(harness.do("a", "history", key="v").entries) == 1


def test_a_revision_that_was_taken_back_is_not_given_again(harness: PersistentHarness) -> None:
    harness.keep()
    rev = harness.set("k")
    harness.go_back()
    assert harness.set("k") > rev


def test_a_tombstone_is_restored_when_the_entry_above_it_is_rolled_back(harness: PersistentHarness) -> None:
    harness.set("kept", "kept")
    harness.set("fleeting", "fleeting", kind="transient")
    for key in ("kept", "fleeting"):
        harness.do("a", "delete", key=key)
    harness.keep()
    harness.set("kept", kind="transient")
    harness.set("fleeting")
    harness.set("new")
    harness.go_back()
    harness.set("kept", kind="transient")
    harness.set("fleeting")
    harness.keep()
    assert not [key for key in harness.disk.records if key[0] == "grave"], "those who lie there are alive"
    version = entry(harness, "kept").version
    assert version == 3
    harness.crash()
    harness.return_to("a")
    assert harness.do("a", "set", key="kept", value=1).version > version
    assert entry(harness, "fleeting").version == 3


def test_nothing_that_has_to_survive_is_accepted_and_all_else_is(harness: PersistentHarness) -> None:
    harness.set("kept")
    harness.set("free", kind="transient")
    harness.machine.refuse("the journal fails")
    refused: list[tuple[str, dict[str, Any]]] = [
        ("set", {"key": "new", "value": 1}),
        ("set", {"key": "free", "value": 1}),
        ("set", {"key": "kept", "value": 1, "kind": "transient"}),
        ("update", {"key": "kept", "merge": {}}),
        ("touch", {"key": "kept", "ttl": 5}),
        ("delete", {"key": "kept"}),
        ("clear", {"pattern": "*", "confirm": True}),
        ("txn", {"if": [], "then": [{"op": "publish", "channel": "c", "data": 1}, {"op": "delete", "key": "kept"}]}),
        ("lock", {"name": "n"}),
        ("take", {"patterns": ["*"]}),
    ]
    for op, fields in refused:
        with pytest.raises(Unavailable):
            harness.do("a", op, **fields)
    harness.do("a", "set", key="free", value=2, kind="transient")
    harness.do("a", "publish", channel="c", data=1)
    harness.do("a", "status", status="waiting")
    harness.do("a", "subscribe", patterns=["*"])
    harness.do("a", "clear", pattern="free", confirm=True)
    harness.machine.accept(harness.now)
    harness.do("a", "set", key="kept", value=2)


def test_nobody_takes_anything_while_the_journal_fails() -> None:
    harness = PersistentHarness(Limits(scan=5))
    harness.set(*[f"job:{number:02}" for number in range(20)])
    taker = harness.ask("a", "take", patterns=["job:*"], timeout=None)
    harness.machine.refuse("the journal fails")
    assert not harness.machine.has_pending_scan
    assert harness.machine.continue_scan(harness.now) == []
    harness.machine.accept(harness.now)
    harness.proceed()
    assert harness.answer(taker).entry.key == "job:00"


def test_free_locks_are_granted_when_the_journal_has_recovered(harness: PersistentHarness) -> None:
    token = harness.do("a", "lock", name="n").token
    waiting = harness.ask("b", "lock", name="n", wait=None)
    harness.machine.refuse("the journal fails")
    harness.do("a", "unlock", token=token)
    assert harness.answers() == {}
    harness.outputs = harness.machine.accept(harness.now)
    assert harness.answer(waiting).token > token


def test_where_something_ended_that_a_restart_may_bring_back_nothing_takes_its_place(
    harness: PersistentHarness,
) -> None:
    harness.do("a", "set", key="k", value=1, ttl=5)
    harness.keep()
    harness.machine.refuse("the journal fails")
    harness.tick(5)
    with pytest.raises(Unavailable):
        harness.do("a", "set", key="k", value=2, kind="transient")
    harness.do("a", "set", key="new", value=2, kind="transient")
    harness.machine.accept(harness.now)
    harness.do("a", "set", key="k", value=2, kind="transient")


def test_a_name_is_not_remembered_while_it_cannot_be_kept(harness: PersistentHarness) -> None:
    harness.machine.refuse("the journal fails")
    harness.open_session("e", agent="newcomer")
    assert harness.value("e", "newcomer", ns="$seen") is None
    harness.machine.accept(harness.now)
    harness.do("e", "bye")
    assert harness.value("a", "newcomer", ns="$seen") is not None


def test_after_a_hub_that_broke_off_while_its_journal_failed_nothing_is_taken_for_granted(
    harness: PersistentHarness,
) -> None:
    sub = harness.do("a", "subscribe", patterns=["*"], ns="quiet").sub
    harness.set("gone")
    harness.do("a", "delete", key="gone")
    rev = harness.machine.state.log.rev
    harness.keep()
    harness.machine.refuse("the journal fails")
    version = harness.do("a", "set", key="new", value=1, kind="transient", ns="other").version
    harness.disk.steady = False
    harness.crash()
    harness.return_to("a", cursors={sub: rev})
    (attached,) = [one for one in harness.outputs if isinstance(one, OpenCursor)]
    assert attached.lost == "restart"
    assert harness.do("a", "set", key="gone", value=1).version > 2
    assert harness.do("a", "set", key="new", value=1, ns="other").version > version


# --- stored state that contradicts itself --------------------------------------------------------------------------


def refusal_of(stored: StoredState) -> str:
    with pytest.raises(StoreError, match=r"contradicts itself.*The hub has not changed it") as refused:
        make_machine(Settings(data=Path("data")), "full", stored, 0.0)
    return str(refused.value)


def test_a_lock_with_two_holders_is_refused_in_plain_words(harness: PersistentHarness) -> None:
    harness.do("a", "lock", name="n")
    harness.keep()
    stored = harness.disk.load()
    (claim,) = [record for record in stored.records if isinstance(record, ClaimRecord)]
    assert claim.token is not None
    stored.records.append(structs.replace(claim, serial=claim.serial + 1, id=1_000, token=claim.token + 1))
    assert "the lock n in namespace default has two holders" in refusal_of(stored)


def test_records_of_a_session_that_is_missing_are_refused_in_plain_words(harness: PersistentHarness) -> None:
    harness.do("a", "lock", name="n")
    harness.keep()
    stored = harness.disk.load()
    stored.records = [record for record in stored.records if not isinstance(record, SessionRecord)]
    assert "there are records of session" in refusal_of(stored)


def test_state_without_the_record_of_the_hub_is_refused_in_plain_words(harness: PersistentHarness) -> None:
    stored = harness.disk.load()
    stored.records = [record for record in stored.records if not isinstance(record, HubRecord)]
    assert "the record of the hub itself is missing" in refusal_of(stored)

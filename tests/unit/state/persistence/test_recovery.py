"""What survives a restart, how it comes back, what is written down for it, and what is taken back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from tests.unit.state.kepttable import KeptTable
from waggle.wire.errors import Conflict, NotHolder, SessionLost, TimedOut, Unavailable
from waggle_hub.delivery.encoding import reply_line
from waggle_hub.settings import Limits
from waggle_hub.state.effects import DeferredReply, LockLost, OpenCursor
from waggle_hub.state.persistence import recovery
from waggle_hub.state.persistence.records import HubRecord


@pytest.fixture
def table() -> KeptTable:
    return KeptTable()


def entry(table: KeptTable, key: str, session: str = "a", **fields: Any) -> Any:
    return table.do(session, "get", key=key, **fields).entry


# --- entries -----------------------------------------------------------------------------------------------------


def test_an_entry_comes_back_as_it_was(table: KeptTable) -> None:
    table.do("a", "set", key="k", value=1)
    table.now += 1
    table.do("b", "set", key="k", value={"n": [None, 1.5, "ü"]}, ttl=60, meta={"host": "x"})
    before = structs.asdict(entry(table, "k"))
    table.keep()
    table.crash()
    table.return_to("a")
    assert {name: bytes(v) if name in ("value", "meta") else v for name, v in before.items()} == {
        name: bytes(v) if name in ("value", "meta") else v for name, v in structs.asdict(entry(table, "k")).items()
    }


def test_what_was_not_written_down_has_not_happened(table: KeptTable) -> None:
    table.do("a", "set", key="k", value=1)
    table.keep()
    table.do("a", "set", key="k", value=2)
    table.do("a", "set", key="l", value=2)
    table.crash()
    table.return_to("a")
    assert table.value("a", "k") == 1
    assert table.value("a", "l") is None


def test_what_is_not_kept_is_gone_and_its_versions_begin_above(table: KeptTable) -> None:
    for kind in ("transient", "cached"):
        table.do("a", "set", key=kind, value=1, kind=kind)
        table.do("a", "set", key=kind, value=2, kind=kind)
    table.keep()
    table.restart()
    table.return_to("a")
    for kind in ("transient", "cached"):
        assert table.value("a", kind) is None
        assert table.do("a", "set", key=kind, value=3).version > 2


def test_an_entry_that_was_kept_and_is_no_more_does_not_come_back(table: KeptTable) -> None:
    table.do("a", "set", key="k", value=1)
    table.keep()
    table.do("a", "set", key="k", value=2, kind="transient")
    table.keep()
    table.crash()
    table.return_to("a")
    assert table.value("a", "k") is None
    assert table.do("a", "set", key="k", value=3).version > 2


def test_a_deleted_key_goes_on_with_its_versions(table: KeptTable) -> None:
    table.set("k", "k", "k")
    table.do("a", "delete", key="k")
    table.keep()
    table.crash()
    table.return_to("a")
    assert table.do("a", "set", key="k", value=1).version == 4


def test_a_version_does_not_start_again_where_a_grave_was_forgotten() -> None:
    table = KeptTable(Limits(tombstones=1))
    table.set("k", "k", "k")
    table.do("a", "delete", key="k")
    table.set("l")
    table.do("a", "delete", key="l")
    table.keep()
    table.crash()
    table.return_to("a")
    assert table.do("a", "set", key="k", value=1).version == 4


def test_history_comes_back() -> None:
    table = KeptTable(Limits(history=2))
    for number in range(5):
        table.do("a", "set", key="k", value=number, kind="versioned")
    table.do("a", "touch", key="k", ttl=60)
    table.keep()
    table.crash()
    table.return_to("a")
    found = table.do("a", "history", key="k").entries
    assert [(json.loads(bytes(one.value)), one.version) for one in found] == [(4, 5), (3, 4), (2, 3)]
    table.do("a", "set", key="k", value=5, kind="versioned")
    table.keep()
    table.crash()
    table.return_to("a")
    assert [json.loads(bytes(one.value)) for one in table.do("a", "history", key="k").entries] == [5, 4, 3]


def test_two_versions_of_one_txn_are_two_in_the_history(table: KeptTable) -> None:
    step = {"op": "set", "key": "k", "kind": "versioned"}
    table.do("a", "txn", **{"if": [], "then": [{**step, "value": 1}, {**step, "value": 2}, {**step, "value": 3}]})
    table.keep()
    table.crash()
    table.return_to("a")
    assert [json.loads(bytes(one.value)) for one in table.do("a", "history", key="k").entries] == [3, 2, 1]


def test_what_fell_due_while_the_hub_was_down_expires_in_order(table: KeptTable) -> None:
    for key, ttl in (("second", 2), ("first", 1), ("later", 60), ("third", 3)):
        table.do("a", "set", key=key, value=key, ttl=ttl)
    table.keep()
    table.crash(down=10)
    table.expire()
    assert [event.key for event in table.events() if event.type == "expire"] == ["first", "second", "third"]
    table.return_to("a")
    assert table.keys("a") == ["later"]


# --- sessions ----------------------------------------------------------------------------------------------------


def test_a_session_comes_back_with_its_secret_and_a_fresh_grace(table: KeptTable) -> None:
    table.do("a", "status", status="busy")
    table.keep()
    table.crash(down=1_000)
    table.now += table.limits.grace - 0.001
    with pytest.raises(SessionLost):
        table.return_to("a", secret="wrong")
    assert table.return_to("a").agent == "agent-a"
    shown = table.value("a", "agent-a", ns="$agents")
    assert (shown["status"], shown["connected"], shown["since"]) == ("busy", True, 1_000.0)


def test_a_session_whose_agent_does_not_come_back_ends_after_its_grace(table: KeptTable) -> None:
    table.do("a", "set", key="mine", value=1, ephemeral=True)
    table.keep()
    table.crash()
    table.tick(table.limits.grace)
    assert [(e.type, e.key, e.reason) for e in table.events() if e.ns == "default"] == [
        ("delete", "mine", "session_ended")
    ]
    with pytest.raises(SessionLost):
        table.return_to("a")


def test_who_was_there_until_the_hub_broke_off_was_last_seen_when_it_began_again(table: KeptTable) -> None:
    table.now += 5
    table.drop("a")
    table.keep()
    table.crash(down=100)
    restarted = table.now
    table.tick(60)
    table.sit("e")
    assert table.value("e", "agent-a", ns="$seen") == {"last": 1_005.0}
    assert table.value("e", "agent-b", ns="$seen") == {"last": restarted}


def test_everybody_is_shown_as_away_until_they_are_back(table: KeptTable) -> None:
    table.keep()
    table.crash()
    shown = {event.key: json.loads(event.entry.value)["connected"] for event in table.events() if event.entry}
    assert shown == dict.fromkeys(["agent-a", "agent-b", "agent-c", "agent-d"], False)


def test_an_outcome_is_given_again_and_nothing_is_done_twice(table: KeptTable) -> None:
    written = table.do("a", "set", key="k", value=1, rid="r")
    with pytest.raises(Conflict):
        table.do("a", "set", key="k", value=2, if_rev=0, rid="s")
    table.keep()
    table.crash()
    table.return_to("a")
    rev = table.machine.state.log.rev
    again = table.do("a", "set", key="k", value=1, rid="r")
    assert table.dup
    assert json.loads(bytes(again)) == {"rev": written.rev, "version": 1, "expires_at": None}
    with pytest.raises(Conflict) as refused:
        table.do("a", "set", key="k", value=2, if_rev=0, rid="s")
    assert refused.value.details["current"]["value"] == 1
    assert table.machine.state.log.rev == rev


def test_what_was_to_be_told_is_told_after_the_restart(table: KeptTable) -> None:
    table.do("a", "lock", name="n", ttl=1)
    waiting = table.ask("b", "lock", name="n", wait=None)
    for session in "ab":
        table.drop(session)
    table.tick(1)
    table.keep()
    table.crash()
    table.return_to("a")
    (lost,) = [output for output in table.outputs if isinstance(output, LockLost)]
    assert lost.lock.reason == "expired"
    table.return_to("b")
    (answer,) = [output for output in table.outputs if isinstance(output, DeferredReply)]
    assert answer.id == waiting
    assert json.loads(str(reply_line(answer)))["ok"]["names"] == ["n"]
    table.keep()
    table.crash()
    table.return_to("b")
    assert not [output for output in table.outputs if isinstance(output, DeferredReply)], "it was told"


# --- subscriptions -----------------------------------------------------------------------------------------------


def test_a_cursor_goes_on_where_it_stood(table: KeptTable) -> None:
    sub = table.do("a", "subscribe", patterns=["*"]).sub
    rev = table.set("k")
    table.keep()
    table.crash()
    assert table.return_to("a", cursors={sub: rev}).subs == {sub: sub}
    (attached,) = table.attached()
    assert (attached.rev, attached.replay, attached.snapshot, attached.lost) == (rev, True, None, None)


def test_a_cursor_that_may_have_missed_something_is_told_so(table: KeptTable) -> None:
    here = table.do("a", "subscribe", patterns=["*"], ns="here").sub
    there = table.do("a", "subscribe", patterns=["*"], ns="there").sub
    locks = table.do("a", "subscribe", patterns=["*"], ns="here", types=["lock", "unlock"]).sub
    rev = table.do("b", "publish", channel="c", data=1, ns="here").rev
    table.keep()
    table.restart()
    table.return_to("a", cursors={here: rev, there: rev, locks: rev})
    assert {one.interest.sub: one.lost for one in table.attached()} == {here: "restart", there: None, locks: None}
    resumed = table.do("b", "subscribe", patterns=["*"], ns="there", since={"epoch": "epoch", "rev": rev})
    assert resumed.resumed is True
    refused = table.do("b", "subscribe", patterns=["*"], ns="here", since={"epoch": "epoch", "rev": rev})
    assert (refused.resumed, refused.reason) == (False, "restart")


def test_a_cursor_of_an_earlier_life_is_told_even_if_it_missed_being_told_before(table: KeptTable) -> None:
    """The hub has begun it again, and even sent the whole snapshot; the agent heard none of it."""
    sub = table.do("a", "subscribe", patterns=["*"]).sub
    rev = table.do("b", "publish", channel="c", data=1).rev
    table.keep()
    table.crash()
    table.return_to("a", cursors={sub: rev})
    (attached,) = table.attached()
    assert attached.snapshot is not None
    table.machine.mark_synced("a", sub, attached.snapshot.rev)
    table.drop("a")
    for _ in range(2):
        table.keep()
        table.crash()
    table.return_to("a", cursors={sub: rev})
    (attached,) = table.attached()
    assert attached.lost == "restart"
    assert attached.snapshot is not None


def test_who_has_a_cursor_is_told_if_its_snapshot_begins_again(table: KeptTable) -> None:
    """That it was complete was not written down."""
    sub = table.do("a", "subscribe", patterns=["*"], snapshot=True).sub
    rev = table.machine.state.log.rev
    table.keep()
    table.machine.mark_synced("a", sub, rev)
    table.crash()
    table.return_to("a", cursors={sub: rev})
    (attached,) = table.attached()
    assert attached.lost == "restart"
    table.return_to("a")
    (attached,) = table.attached()
    assert attached.snapshot is not None


def test_another_epoch_lets_no_cursor_go_on(table: KeptTable) -> None:
    sub = table.do("a", "subscribe", patterns=["*"]).sub
    rev = table.machine.state.log.rev
    table.keep()
    table.crash(epoch="another")
    for _ in range(2):  # it is told again while its agent says that it stands where it stood
        table.return_to("a", cursors={sub: rev})
        (attached,) = table.attached()
        assert attached.lost == "epoch"
        table.machine.mark_synced("a", sub, table.machine.state.log.rev)


def test_numbers_of_subscriptions_are_not_given_again(table: KeptTable) -> None:
    sub = table.do("a", "subscribe", patterns=["a"]).sub
    table.keep()
    lost = table.do("a", "subscribe", patterns=["b"]).sub
    table.crash()
    table.return_to("a")
    assert table.do("b", "subscribe", patterns=["a"]).sub == sub, "the same interest"
    assert table.do("b", "subscribe", patterns=["c"]).sub > lost


# --- locks, waits, work ------------------------------------------------------------------------------------------


def test_a_lock_comes_back_with_its_token_and_lasts_for_the_grace_at_least(table: KeptTable) -> None:
    short = table.do("a", "lock", name="short", ttl=2)
    long = table.do("a", "lock", name="long", ttl=1_000)
    table.keep()
    table.crash(down=500)
    table.tick(table.limits.grace - 0.001)
    table.return_to("a")
    held = {lock.names[0]: lock for lock in table.do("a", "locks").locks}
    assert {name: lock.token for name, lock in held.items()} == {"short": short.token, "long": long.token}
    assert held["long"].expires_at == long.expires_at
    table.tick(0.001)
    assert table.losses() == [("a", short.token, "expired")]
    with pytest.raises(NotHolder):
        table.do("a", "unlock", token=short.token)


def test_a_queue_comes_back_in_its_order(table: KeptTable) -> None:
    token = table.do("a", "lock", name="n").token
    waiting = [(session, table.ask(session, "lock", name="n", wait=None)) for session in "bcd"]
    table.keep()
    table.crash()
    for session in "abcd":
        table.return_to(session)
    for session, id in waiting:
        table.do("a" if session == "b" else chr(ord(session) - 1), "unlock", token=token)
        (granted,) = [one for one in table.outputs if isinstance(one, DeferredReply)]
        assert (granted.session, granted.id) == (session, id)
        assert table.answer(id).token > token
        token = table.answer(id).token


def test_a_lock_that_became_free_while_nothing_could_be_granted_is_granted_at_the_start(table: KeptTable) -> None:
    token = table.do("a", "lock", name="n").token
    waiting = table.ask("b", "lock", name="n", wait=None)
    table.machine.refuse("the journal fails")
    table.do("a", "unlock", token=token)
    table.keep()
    table.crash()
    table.return_to("b")
    (answer,) = [output for output in table.outputs if isinstance(output, DeferredReply)]
    assert answer.id == waiting
    assert answer.outcome.error is None


def test_a_rid_that_waits_is_joined_after_the_restart(table: KeptTable) -> None:
    token = table.do("a", "lock", name="n").token
    table.ask("b", "lock", name="n", wait=None, rid="r")
    table.keep()
    table.crash()
    for session in "ab":
        table.return_to(session)
    newest = table.ask("b", "lock", name="n", wait=None, rid="r")
    table.do("a", "unlock", token=token)
    assert list(table.answers()) == [newest]


def test_a_wait_goes_on_and_is_answered_under_its_id(table: KeptTable) -> None:
    one = table.ask("a", "wait", all=[{"key": "k"}, {"pattern": "p:*", "count": 2}], timeout=100)
    table.set("p:1")
    table.keep()
    table.crash()
    table.return_to("a")
    table.proceed()
    table.set("k", "p:2")
    assert [entry.key for entry in table.answer(one).matched] == ["k", "p:1", "p:2"]


def test_the_time_of_a_wait_runs_on_while_the_hub_is_down(table: KeptTable) -> None:
    one = table.ask("a", "wait", all=[{"key": "k"}], timeout=10)
    table.keep()
    table.crash(down=10)
    table.return_to("a")
    with pytest.raises(TimedOut):
        table.answer(one)


def test_a_wait_for_what_is_gone_with_the_restart_is_met(table: KeptTable) -> None:
    table.set("k", kind="transient")
    one = table.ask("a", "wait", all=[{"key": "k", "absent": True}], timeout=100)
    table.keep()
    table.crash()
    table.return_to("a")
    assert table.answer(one).met == [0]


def test_a_taker_goes_on_waiting(table: KeptTable) -> None:
    one = table.ask("a", "take", patterns=["job:*"], timeout=None)
    table.keep()
    table.crash()
    table.return_to("a")
    table.proceed()
    table.set("job:1")
    assert table.answer(one).entry.key == "job:1"


def test_how_often_something_was_delivered_is_remembered(table: KeptTable) -> None:
    table.set("job")
    token = table.do("a", "take", patterns=["job"]).token
    table.do("a", "unlock", token=token)
    table.keep()
    table.crash()
    table.return_to("a")
    assert table.do("a", "take", patterns=["job"]).delivery == 2


def test_how_often_something_was_delivered_is_forgotten_with_it(table: KeptTable) -> None:
    table.set("job", kind="transient")
    token = table.do("a", "take", patterns=["job"]).token
    table.do("a", "unlock", token=token)
    table.keep()
    table.crash()
    table.return_to("a")
    table.set("job")
    table.keep()
    table.crash()
    table.return_to("a")
    assert table.do("a", "take", patterns=["job"]).delivery == 1


def test_the_lock_of_work_that_is_gone_ends_and_its_holder_is_told(table: KeptTable) -> None:
    table.set("job", kind="transient")
    token = table.do("a", "take", patterns=["job"]).token
    table.keep()
    table.crash()
    table.return_to("a")
    assert table.losses() == [("a", token, "released")]


# --- what is written down ----------------------------------------------------------------------------------------


def test_what_is_not_kept_does_not_touch_the_journal(table: KeptTable) -> None:
    table.set("k", kind="transient")
    table.do("a", "publish", channel="c", data=1)
    table.keep()
    table.set("k", "k", kind="transient")
    table.do("a", "delete", key="k")
    table.do("a", "publish", channel="c", data=2)
    table.do("a", "get", key="k")
    assert not table.keep()


def test_the_ceiling_of_versions_is_written_once_for_many_writes(table: KeptTable) -> None:
    written = 0
    for _ in range(2_500):
        table.machine.state.keyspace.version_floors.mark_volatile("default", written + 1)
        written += 1
        if written % 10 == 0:
            assert len(table.keep().records) <= 1
    assert written > 1_000


def test_an_earlier_version_is_written_once_and_removed_when_it_is_too_old() -> None:
    table = KeptTable(Limits(history=2))
    table.set("k", "k", "k", kind="versioned")
    table.keep()
    table.set("k", kind="versioned")
    changes = table.keep()
    assert {version: entry is not None for (_, _, version), entry in changes.earlier.items()} == {3: True, 1: False}
    table.do("a", "delete", key="k")
    assert {version: entry for (_, _, version), entry in table.keep().earlier.items()} == {3: None, 2: None}
    assert not table.disk.earlier


def test_revisions_are_reserved_ahead_and_a_crash_begins_above(
    table: KeptTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_REVS_AHEAD", 100)
    table.restart()
    table.return_to("a")
    rev = reservations = 0
    for _ in range(200):
        rev = table.set("k")
        hub = table.keep().records.get(("hub",))
        reservations += hub is not None
        assert table.machine.state.hub_record.rev > rev
    assert 3 <= reservations <= 4, "one for every half of what is reserved"
    table.set("k", "k")  # seen by nobody
    table.crash()
    assert table.machine.state.log.rev > rev + 2


def test_an_orderly_stop_gives_back_what_was_reserved(table: KeptTable) -> None:
    rev = table.set("k")
    table.restart()
    table.return_to("a")
    assert table.machine.state.log.rev < rev + 10


def test_the_log_on_disk_is_cut_now_and_then() -> None:
    table = KeptTable(Limits(log_events=64))
    cuts = 0
    for _ in range(640):
        table.set("k")
        cuts += ("hub",) in table.keep().records
        assert len(table.disk.commits) <= 64 + 4
    assert 100 < cuts < 640 / 2
    floor = table.machine.state.log.floor
    table.crash()
    assert abs(table.machine.state.log.floor - floor) <= 4


def test_nothing_is_reserved_while_the_journal_fails(table: KeptTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_REVS_AHEAD", 20)
    table.restart()
    table.return_to("a")
    table.set("k", kind="transient")
    table.keep()
    table.machine.refuse("the journal fails")
    while not table.machine.out_of_revisions:
        table.set("k", kind="transient")
        assert not [one for one in table.keep().records.values() if isinstance(one, HubRecord)]
    (hub,) = [one for one in table.disk.all_records() if isinstance(one, HubRecord)]
    assert table.machine.state.log.rev == hub.rev
    table.machine.accept(table.now)
    assert not table.machine.out_of_revisions


# --- while the journal fails -------------------------------------------------------------------------------------


def test_what_was_not_written_down_is_taken_back(table: KeptTable) -> None:
    table.set("k", "t", kind="transient")
    table.do("a", "set", key="v", value=1, kind="versioned")
    token = table.do("a", "lock", name="n").token
    sub = table.do("a", "subscribe", patterns=["*"]).sub
    waiting = table.ask("b", "wait", all=[{"key": "w"}], timeout=100)
    table.keep()
    before = {key: entry(table, key) for key in "ktv"}
    table.set("w")
    table.set("k", kind="transient")
    table.do("a", "delete", key="t")
    table.do("a", "set", key="v", value=2, kind="versioned")
    table.do("a", "unlock", token=token)
    table.do("c", "lock", name="n")
    table.do("a", "unsubscribe", sub=sub)
    table.do("a", "set", key="once", value=1, rid="r")
    table.go_back()
    assert {key: (entry(table, key).rev, entry(table, key).version) for key in "ktv"} == {
        key: (one.rev, one.version) for key, one in before.items()
    }
    assert table.value("a", "w") is None
    assert [lock.token for lock in table.do("a", "locks").locks] == [token]
    assert table.machine.unanswered_commands() == {("b", waiting)}
    table.do("a", "unsubscribe", sub=sub)
    table.do("a", "set", key="once", value=1, rid="r")
    assert not table.dup
    assert len(table.do("a", "history", key="v").entries) == 1


def test_a_revision_that_was_taken_back_is_not_given_again(table: KeptTable) -> None:
    table.keep()
    rev = table.set("k")
    table.go_back()
    assert table.set("k") > rev


def test_a_grave_is_as_it_was_after_what_lay_over_it_was_taken_back(table: KeptTable) -> None:
    table.set("kept", "kept")
    table.set("fleeting", "fleeting", kind="transient")
    for key in ("kept", "fleeting"):
        table.do("a", "delete", key=key)
    table.keep()
    table.set("kept", kind="transient")
    table.set("fleeting")
    table.set("new")
    table.go_back()
    table.set("kept", kind="transient")
    table.set("fleeting")
    table.keep()
    assert not [key for key in table.disk.records if key[0] == "grave"], "those who lie there are alive"
    version = entry(table, "kept").version
    assert version == 3
    table.crash()
    table.return_to("a")
    assert table.do("a", "set", key="kept", value=1).version > version
    assert entry(table, "fleeting").version == 3


def test_nothing_that_has_to_survive_is_accepted_and_all_else_is(table: KeptTable) -> None:
    table.set("kept")
    table.set("free", kind="transient")
    table.machine.refuse("the journal fails")
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
            table.do("a", op, **fields)
    table.do("a", "set", key="free", value=2, kind="transient")
    table.do("a", "publish", channel="c", data=1)
    table.do("a", "status", status="waiting")
    table.do("a", "subscribe", patterns=["*"])
    table.do("a", "clear", pattern="free", confirm=True)
    table.machine.accept(table.now)
    table.do("a", "set", key="kept", value=2)


def test_nobody_takes_anything_while_the_journal_fails() -> None:
    table = KeptTable(Limits(scan=5))
    table.set(*[f"job:{number:02}" for number in range(20)])
    taker = table.ask("a", "take", patterns=["job:*"], timeout=None)
    table.machine.refuse("the journal fails")
    assert not table.machine.has_pending_scan
    assert table.machine.continue_scan(table.now) == []
    table.machine.accept(table.now)
    table.proceed()
    assert table.answer(taker).entry.key == "job:00"


def test_what_is_free_is_granted_when_the_journal_has_recovered(table: KeptTable) -> None:
    token = table.do("a", "lock", name="n").token
    waiting = table.ask("b", "lock", name="n", wait=None)
    table.machine.refuse("the journal fails")
    table.do("a", "unlock", token=token)
    assert table.answers() == {}
    table.outputs = table.machine.accept(table.now)
    assert table.answer(waiting).token > token


def test_where_something_ended_that_a_restart_may_bring_back_nothing_takes_its_place(table: KeptTable) -> None:
    table.do("a", "set", key="k", value=1, ttl=5)
    table.keep()
    table.machine.refuse("the journal fails")
    table.tick(5)
    with pytest.raises(Unavailable):
        table.do("a", "set", key="k", value=2, kind="transient")
    table.do("a", "set", key="new", value=2, kind="transient")
    table.machine.accept(table.now)
    table.do("a", "set", key="k", value=2, kind="transient")


def test_a_name_is_not_remembered_while_it_cannot_be_kept(table: KeptTable) -> None:
    table.machine.refuse("the journal fails")
    table.sit("e", agent="newcomer")
    assert table.value("e", "newcomer", ns="$seen") is None
    table.machine.accept(table.now)
    table.do("e", "bye")
    assert table.value("a", "newcomer", ns="$seen") is not None


def test_after_a_hub_that_broke_off_while_its_journal_failed_nothing_is_taken_for_granted(table: KeptTable) -> None:
    sub = table.do("a", "subscribe", patterns=["*"], ns="quiet").sub
    table.set("gone")
    table.do("a", "delete", key="gone")
    rev = table.machine.state.log.rev
    table.keep()
    table.machine.refuse("the journal fails")
    version = table.do("a", "set", key="new", value=1, kind="transient", ns="other").version
    table.disk.steady = False
    table.crash()
    table.return_to("a", cursors={sub: rev})
    (attached,) = [one for one in table.outputs if isinstance(one, OpenCursor)]
    assert attached.lost == "restart"
    assert table.do("a", "set", key="gone", value=1).version > 2
    assert table.do("a", "set", key="new", value=1, ns="other").version > version

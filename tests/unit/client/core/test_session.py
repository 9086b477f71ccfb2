"""A session's lines, and the receivers of the hub's lines: commands, hello, takeover, a lost session."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client.fakehub import welcome
from tests.unit.client.session_harness import Wire, event, snapshot, synced
from waggle.core.session import MAX_UNANSWERED
from waggle.core.subscription import Buffer, Subscription
from waggle.wire.errors import BadRequest, Conflict, Disconnected, SessionLost, TooLarge, Unauthorized
from waggle.wire.messages import BackedUp, Backup, Bye, Entry, Get, Got, Ping, Pong, Set, Status, Written

WRITTEN = {"rev": 101, "version": 1, "expires_at": None}


def put(key: str = "k", value: Any = 1) -> Set:
    return Set(id=0, key=key, value=value)


def watching(*patterns: str, snapshot: bool = False) -> Subscription:
    return Subscription(patterns or ["*"], Buffer(), snapshot=snapshot)


# --- commands ----------------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_welcome() -> None:
    wire = Wire(agent="a", ns="project", token="t", meta={"role": "test"})
    wire.session.submit(put())
    assert wire.sent() == []
    wire.session.opened()
    (hello,) = wire.sent()
    assert hello == {
        "op": "hello", "id": hello["id"], "agent": "a", "ns": "project", "token": "t", "meta": {"role": "test"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "said", [{"agent": "caf\udce9"}, {"ns": "\udce9"}, {"token": "\udce9"}, {"meta": {"k": ["\udce9"]}}]
)
def test_name_and_meta_are_checked_before_the_session_connects(said: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"has the text '\\udce9'"):
        Wire(**said)


def test_a_reply_finds_its_command_whatever_the_order() -> None:
    wire = Wire()
    wire.connect()
    first, second = wire.session.submit(Ping(id=0)), wire.session.submit(Get(id=0, key="k"))
    ping, get = wire.sent()
    wire.reply(get, entry=None, rev=105)
    wire.reply(ping, rev=104, at=1.5)
    assert wire.outcomes == {first: Pong(rev=104, at=1.5), second: Got(entry=None, rev=105)}
    assert wire.session.rev == 105


def test_a_conflict_has_the_present_entry() -> None:
    wire = Wire()
    wire.connect()
    pending = wire.session.submit(put())
    entry = {
        "key": "k", "ns": "default", "rev": 7, "version": 2, "kind": "persistent", "created_at": 1.0,
        "updated_at": 2.0, "expires_at": None, "by": "b", "meta": None, "value": [1],
    }  # fmt: skip
    wire.refuse(wire.sent()[0], "conflict", current=entry)
    conflict = wire.outcomes[pending]
    assert isinstance(conflict, Conflict)
    assert isinstance(conflict.current, Entry)
    assert conflict.current.value == [1]


def test_unknown_replies_losses_and_events_are_ignored() -> None:
    wire = Wire()
    wire.connect()
    wire.say(
        {"id": 999, "ok": {}},
        {"id": None, "error": {"code": "bad_request"}},
        {"lost": {"token": 1, "reason": "forced"}},
    )
    wire.say({"type": "comet", "rev": 101, "sub": 3, "tail": 7})
    assert wire.outcomes == {}


def test_a_line_of_another_protocol_raises_disconnected_with_a_remedy() -> None:
    wire = Wire()
    wire.connect()
    wire.session.submit(Ping(id=0))
    with pytest.raises(Disconnected, match="same version"):
        wire.session.receive(b"<html>")
    with pytest.raises(Disconnected, match="same version"):
        wire.reply(wire.sent()[0], nothing="of a pong")


def test_a_command_that_json_cannot_hold_is_refused_and_not_sent() -> None:
    wire = Wire()
    wire.connect()
    pending = wire.session.submit(put(value="\ud800"))
    wire.collect()
    assert isinstance(wire.outcomes[pending], BadRequest)
    assert wire.sent() == []


def test_a_command_larger_than_a_message_is_refused_without_being_sent() -> None:
    wire = Wire()
    wire.connect()
    pending = wire.session.submit(put(value="x" * 2**24))
    wire.collect()
    assert isinstance(wire.outcomes[pending], TooLarge)
    assert wire.sent() == []


def test_lines_share_messages_up_to_a_bound() -> None:
    wire = Wire()
    wire.connect()
    for number in range(6):
        wire.session.submit(put(value="x" * 100_000 + str(number)))
    messages = list(wire.session.outgoing())
    assert [message.count(b"\n") + 1 for message in messages] == [2, 2, 2]
    assert not wire.session.has_output


def test_no_more_commands_are_unanswered_than_the_hub_remembers() -> None:
    wire = Wire()
    wire.connect()
    for _ in range(MAX_UNANSWERED + 2):
        wire.session.submit(put())
    sent = wire.sent()
    assert len(sent) == MAX_UNANSWERED
    wire.say(*({"id": command["id"], "ok": WRITTEN} for command in sent[:2]))
    assert len(wire.sent()) == 2


def test_a_caller_that_gives_up_leaves_nothing_behind() -> None:
    wire = Wire()
    queued = wire.session.submit(put("never sent"))
    wire.session.cancel(queued)
    wire.connect()
    assert wire.sent() == []
    sent = wire.session.submit(put("sent"))
    (command,) = wire.sent()
    wire.session.cancel(sent)
    wire.reply(command, **WRITTEN)
    wire.session.dropped()
    wire.connect(resumed=True)
    assert wire.sent() == []
    assert wire.outcomes == {}


# --- takeover ----------------------------------------------------------------------------------------------------


def test_a_takeover_repeats_unanswered_commands_in_order_and_changes_with_their_rid() -> None:
    wire = Wire()
    wire.connect()
    wire.session.submit(put("first"))
    wire.session.submit(Get(id=0, key="second"))
    before = wire.sent()
    wire.session.dropped()
    wire.session.submit(put("third"))
    hello = wire.connect(resumed=True)
    assert (hello["session"], hello["secret"], hello["cursors"]) == ("s-1", "secret-1", {})
    first, second, third = wire.sent()
    assert [first["key"], second["key"], third["key"]] == ["first", "second", "third"]
    assert first["rid"] == before[0]["rid"] != third["rid"]
    assert first["id"] not in (before[0]["id"], before[1]["id"])
    assert "rid" not in second


def test_commands_sent_before_a_disconnect_come_before_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waggle.core.session.MAX_UNANSWERED", 1)
    wire = Wire()
    wire.connect()
    wire.session.submit(put("first"))
    wire.session.submit(put("second"))
    wire.sent()
    wire.session.dropped()
    wire.connect(resumed=True)
    (first,) = wire.sent()
    wire.reply(first, **WRITTEN)
    (second,) = wire.sent()
    assert (first["key"], second["key"]) == ("first", "second")


def test_a_takeover_says_the_cursors_reached_but_for_snapshots_that_are_incomplete() -> None:
    wire = Wire()
    wire.connect()
    wire.subscribe(watching("a"), 1)
    wire.subscribe(watching("b", snapshot=True), 2)
    wire.subscribe(watching("c", snapshot=True), 3)
    wire.subscribe(watching("d"), 4)
    wire.say(event(1, 105, 100), synced(2, 100), snapshot(3, 50, "c"))
    wire.say(event(4, 106, 100, more=True))
    wire.session.dropped()
    wire.session.opened()
    (hello,) = wire.sent()
    assert hello["cursors"] == {"1": 105, "2": 100, "4": 100}


def test_a_takeover_finds_subscriptions_under_their_new_numbers() -> None:
    wire = Wire()
    wire.connect()
    first, second = watching("a"), watching("b")
    wire.subscribe(first, 1)
    wire.subscribe(second, 2)
    wire.session.dropped()
    wire.connect(resumed=True, subs={1: 2, 2: 1})
    wire.say(event(2, 101, 100, "a"))
    assert (first.cursor, second.cursor) == (101, 100)
    assert wire.sent() == []


def test_a_subscription_unknown_to_a_takeover_is_subscribed_again_from_its_cursor() -> None:
    wire = Wire()
    wire.connect()
    subscription = watching("a")
    wire.subscribe(subscription, 1)
    wire.say(event(1, 101, 100))
    wire.session.dropped()
    wire.connect(resumed=True, subs={})
    (command,) = wire.sent()
    assert command["since"] == {"epoch": "e1", "rev": 101}
    wire.reply(command, sub=9, epoch="e1", rev=110, resumed=True)
    wire.say(event(9, 105, 101))
    assert subscription.cursor == 105


def test_a_takeover_closes_what_was_left_meanwhile_and_only_that() -> None:
    wire = Wire()
    wire.connect()
    left, kept = watching("a"), watching("b")
    wire.subscribe(left, 1)
    wire.subscribe(kept, 2)
    wire.session.unsubscribe(left)
    wire.sent()
    wire.session.dropped()
    wire.connect(resumed=True, subs={1: 2, 2: 1})
    (command,) = wire.sent()
    assert (command["op"], command["sub"]) == ("unsubscribe", 2)


def test_a_refused_got_and_a_lost_session_lead_to_a_new_session() -> None:
    for code in ("session_lost", "bad_request"):
        wire = Wire(agent="a", meta={"m": 1})
        wire.connect()
        wire.session.dropped()
        wire.session.opened()
        wire.refuse(wire.sent()[0], code)
        (hello,) = wire.sent()
        assert "session" not in hello
        assert "cursors" not in hello
        assert hello["meta"] == {"m": 1}
        assert wire.session.refusal is None


def test_another_refusal_of_hello_is_for_the_shell_to_judge() -> None:
    wire = Wire()
    wire.session.opened()
    wire.refuse(wire.sent()[0], "unauthorized")
    assert isinstance(wire.session.refusal, Unauthorized)


# --- a lost session ----------------------------------------------------------------------------------------------


def lose_session(wire: Wire, **changes: Any) -> list[dict[str, Any]]:
    """Lose the connection, and connect to a hub that has forgotten the session; return the lines sent then."""
    wire.session.dropped()
    wire.session.opened()
    wire.refuse(wire.sent()[0], "session_lost")
    (hello,) = wire.sent()
    wire.reply(hello, **welcome(session="s-2", secret="secret-2", rev=200, **changes))
    return wire.sent()


def test_a_change_in_doubt_is_told_as_such_and_not_repeated_while_reads_are() -> None:
    wire = Wire()
    wire.connect()
    change, read = wire.session.submit(put()), wire.session.submit(Get(id=0, key="k"))
    wire.sent()
    wire.session.dropped()
    unsent = wire.session.submit(put("unsent"))
    again = lose_session(wire)
    assert [command["op"] for command in again] == ["get", "set"]
    outcome = wire.outcomes[change]
    assert isinstance(outcome, Disconnected)
    assert outcome.details["in_doubt"]
    assert "may or may not have taken effect" in str(outcome)
    wire.reply(again[0], entry=None, rev=200)
    wire.reply(again[1], **WRITTEN)
    assert isinstance(wire.outcomes[read], Got)
    assert isinstance(wire.outcomes[unsent], Written)


def test_a_new_session_has_the_same_name_status_and_subscriptions() -> None:
    wire = Wire()
    wire.connect(agent="made-by-the-hub")
    wire.session.submit(Status(id=0, status="busy"))
    wire.reply(wire.sent()[0], rev=101)
    with_cursor, incomplete = watching("a"), watching("b", snapshot=True)
    wire.subscribe(with_cursor, 1)
    wire.subscribe(incomplete, 2)
    status, first, second = lose_session(wire)
    assert wire.session.agent == "tester"
    assert (status["op"], status["status"]) == ("status", "busy")
    assert first["since"] == {"epoch": "e1", "rev": 100}
    assert "snapshot" not in first
    assert second["snapshot"] is True
    assert "since" not in second


def test_the_name_that_the_hub_made_is_asked_for_again() -> None:
    wire = Wire()
    wire.connect(agent="made-by-the-hub")
    wire.session.dropped()
    wire.session.opened()
    wire.refuse(wire.sent()[0], "session_lost")
    assert wire.sent()[0]["agent"] == "made-by-the-hub"


# --- the end -----------------------------------------------------------------------------------------------------


def test_the_end_of_a_session_fails_pending_and_later_commands() -> None:
    wire = Wire()
    wire.connect()
    subscription = watching()
    wire.subscribe(subscription, 1)
    change, read = wire.session.submit(put()), wire.session.submit(Ping(id=0))
    wire.session.end(Disconnected("No hub."))
    wire.collect()
    assert isinstance(wire.outcomes[read], Disconnected)
    doubtful = wire.outcomes[change]
    assert isinstance(doubtful, Disconnected)
    assert doubtful.details["in_doubt"]
    assert isinstance(subscription.error, Disconnected)
    assert subscription in wire.woken
    with pytest.raises(Disconnected, match="No hub"):
        wire.session.submit(Ping(id=0))
    with pytest.raises(Disconnected, match="No hub"):
        wire.session.subscribe(watching())


def test_bye_is_not_repeated() -> None:
    wire = Wire()
    wire.connect()
    wire.session.submit(Bye(id=0))
    wire.sent()
    wire.session.dropped()
    wire.connect(resumed=True)
    assert wire.sent() == []


def test_states_follow_the_connection() -> None:
    wire = Wire()
    seen = [wire.session.state]
    wire.connect()
    seen.append(wire.session.state)
    wire.session.dropped()
    seen.append(wire.session.state)
    wire.connect(resumed=True)
    seen.append(wire.session.state)
    wire.session.end(SessionLost("over"))
    seen.append(wire.session.state)
    assert seen == ["connecting", "connected", "reconnecting", "connected", "closed"]


# --- backups -----------------------------------------------------------------------------------------------------


def test_a_backup_is_asked_for_again_after_a_lost_connection_and_the_first_answer_counts() -> None:
    wire = Wire()
    wire.connect()
    pending = wire.session.submit(Backup(id=0))
    (first,) = wire.sent()
    wire.session.dropped()
    wire.connect(resumed=True)
    (second,) = wire.sent()
    assert (first["op"], second["op"]) == ("backup", "backup")
    wire.reply(first, path="/b", bytes=1, rev=2, seconds=0.1)
    assert wire.outcomes == {pending: BackedUp("/b", 1, 2, 0.1)}
    wire.reply(second, path="/c", bytes=1, rev=3, seconds=0.1)
    assert wire.outcomes == {pending: BackedUp("/b", 1, 2, 0.1)}


def test_a_backup_whose_caller_gave_up_is_not_sent_again() -> None:
    wire = Wire()
    wire.connect()
    pending = wire.session.submit(Backup(id=0))
    wire.sent()
    wire.session.cancel(pending)
    assert [line["op"] for line in wire.sent()] == ["cancel"]
    wire.session.dropped()
    wire.connect(resumed=True)
    assert "backup" not in [line["op"] for line in wire.sent()]

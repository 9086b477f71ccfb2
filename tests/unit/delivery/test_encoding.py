"""Lines of the wire: every field that a type has, and none that it has not (protocol 2 and 5)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict
from waggle_hub.delivery.encoding import (
    error_line,
    event_body,
    event_line,
    lost_line,
    mark_line,
    reply_line,
    snapshot_line,
    synced_line,
)
from waggle_hub.delivery.feed import pack_lines
from waggle_hub.state.effects import Reply
from waggle_hub.state.log import Event
from waggle_hub.state.sessions import Outcome
from waggle_hub.state.store.entry import Entry

OLD = Entry("k", "ns", b'{"old":1}', 5, 1, "transient", 1.5, 1.5, 9.0, "b", None)
NEW = Entry("k", "ns", b'"new"', 7, 2, "persistent", 1.5, 2.5, None, "a", b'{"m":1}')
SHOWN_OLD = {
    "key": "k", "ns": "ns", "rev": 5, "version": 1, "kind": "transient", "created_at": 1.5, "updated_at": 1.5,
    "expires_at": 9.0, "by": "b", "meta": None, "value": {"old": 1},
}  # fmt: skip


def event(type: str, **fields: Any) -> Event:
    return Event(type=type, rev=7, ns="ns", key="k", at=2.5, by="a", origin="s", **fields)


def told(event: Event, values: bool = True, prev: bool = False, more: bool = False) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(event_line(3, event.rev, 4, more, event_body(event, values, prev)))
    for name, value in (("sub", 3), ("rev", 7), ("after", 4), ("ns", "ns"), ("key", "k"), ("at", 2.5), ("by", "a")):
        assert line.pop(name) == value
    return line


@pytest.mark.parametrize(("happened", "line"), [
    (event("set", entry=NEW, prev=OLD), {
        "type": "set", "value": "new", "version": 2, "kind": "persistent", "created_at": 1.5, "expires_at": None,
        "meta": {"m": 1},
    }),
    (event("set", entry=OLD), {
        "type": "set", "value": {"old": 1}, "version": 1, "kind": "transient", "created_at": 1.5, "expires_at": 9.0,
    }),
    (event("delete", prev=OLD), {"type": "delete", "version": 1}),
    (event("delete", prev=OLD, reason="session_ended"), {"type": "delete", "version": 1, "reason": "session_ended"}),
    (event("expire", prev=OLD, late=0.0), {"type": "expire", "version": 1, "expires_at": 9.0, "late": 0.0}),
    (event("touch", entry=NEW, prev=OLD), {"type": "touch", "expires_at": None}),
    (event("touch", entry=OLD, prev=NEW), {"type": "touch", "expires_at": 9.0}),
    (event("message", data=b"null"), {"type": "message", "data": None}),
])  # fmt: skip
def test_an_event_has_the_fields_of_its_type(happened: Event, line: dict[str, Any]) -> None:
    assert told(happened) == line
    without = {name: value for name, value in line.items() if name != "value"}
    assert told(happened, values=False) == without
    before: dict[str, Any] = {} if happened.type == "message" else {"prev": None}
    if happened.prev is OLD:
        before = {"prev": SHOWN_OLD}
    if happened.prev is not NEW:
        assert told(happened, prev=True) == {**line, **before}


def test_more_says_that_the_revision_goes_on() -> None:
    assert told(event("delete", prev=OLD), more=True) == {"type": "delete", "version": 1, "more": True}


def test_an_entry_of_a_snapshot_is_a_set_event_outside_of_the_chain() -> None:
    line = {
        "sub": 3, "type": "set", "rev": 7, "after": 0, "snapshot": True, "key": "k", "ns": "ns", "at": 2.5, "by": "a",
        "version": 2, "kind": "persistent", "created_at": 1.5, "expires_at": None, "meta": {"m": 1},
    }  # fmt: skip
    assert json.loads(snapshot_line(3, NEW, True)) == {**line, "value": "new"}
    assert json.loads(snapshot_line(3, NEW, False)) == line


def test_the_lines_of_the_subscription_itself() -> None:
    assert json.loads(mark_line(9)) == {"type": "mark", "rev": 9}
    assert json.loads(mark_line(9, 3)) == {"type": "mark", "rev": 9, "sub": 3}
    assert json.loads(synced_line(3, 9)) == {"type": "synced", "rev": 9, "sub": 3}
    assert json.loads(lost_line(3, "compacted")) == {"type": "lost", "sub": 3, "reason": "compacted"}


def test_a_reply_carries_the_id_and_either_ok_or_error() -> None:
    assert json.loads(str(reply_line(Reply("x", Outcome(ok=m.Revised(4)))))) == {"id": "x", "ok": {"rev": 4}}
    conflict = Conflict("no", current=OLD.to_wire())
    assert json.loads(str(reply_line(Reply(1, Outcome(error=conflict))))) == {
        "id": 1,
        "error": {"code": "conflict", "message": "no", "current": SHOWN_OLD},
    }


def test_a_repeated_outcome_says_so_beside_and_inside_of_ok() -> None:
    assert json.loads(str(reply_line(Reply(1, Outcome(ok=m.Revised(4)), dup=True)))) == {
        "id": 1, "ok": {"rev": 4, "dup": True}, "dup": True,
    }  # fmt: skip
    assert json.loads(str(reply_line(Reply(1, Outcome(ok=m.Empty()), dup=True)))) == {
        "id": 1,
        "ok": {"dup": True},
        "dup": True,
    }
    repeated = json.loads(str(reply_line(Reply(1, Outcome(error=Conflict("no", current=None)), dup=True))))
    assert repeated["dup"] is True


def test_an_error_reply_to_a_line_without_id_has_none() -> None:
    assert json.loads(str(error_line(None, BadRequest("no", field="op").to_wire()))) == {
        "id": None,
        "error": {"code": "bad_request", "message": "no", "field": "op"},
    }


@given(st.lists(st.binary(max_size=30).map(lambda text: text.hex().encode()), max_size=30), st.integers(1, 100))
def test_payloads_are_cut_between_lines_and_lose_none(lines: list[bytes], frame: int) -> None:
    texts = [str(text) for text in pack_lines(lines, frame)]
    assert [line for text in texts for line in text.split("\n")] == [line.decode() for line in lines]
    assert all(len(text) <= frame or "\n" not in text for text in texts)
    for one, two in pairwise(texts):
        assert len(one) + 1 + len(two.split("\n")[0]) > frame, "no cut without need"

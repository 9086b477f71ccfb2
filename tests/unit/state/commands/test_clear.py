"""Clear in several calls: each is bounded and advances, and none leaves an entry that was there (protocol 4)."""

from __future__ import annotations

from tests.unit.state.commands.test_txn import Desk
from waggle_hub.settings import Limits


def test_a_key_written_behind_a_stopped_clear_is_deleted_by_the_next_call() -> None:
    desk = Desk(Limits(clear=10))
    for number in range(11):
        desk.do("set", key=f"k{number:02}", value=1)
    first = desk.do("clear", pattern="*", confirm=True)
    assert (first.deleted, first.more) == (10, True)
    desk.do("set", key="a", value=1)
    second = desk.do("clear", pattern="*", confirm=True)
    assert (second.deleted, second.more) == (2, False)
    assert desk.picture() == []


def test_a_clear_of_few_keys_among_many_advances_with_each_call() -> None:
    desk = Desk(Limits(scan=10))
    for number in range(55):
        desk.do("set", key=f"k{number:02}{'x' if number % 25 == 24 else ''}", value=1)
    replies = [desk.do("clear", pattern="*x", confirm=True) for _ in range(6)]
    assert [reply.more for reply in replies] == [True, True, True, True, True, False]
    assert sum(reply.deleted for reply in replies) == 2


def test_a_key_written_behind_the_cursor_of_a_clear_is_deleted_by_the_next_call() -> None:
    desk = Desk(Limits(scan=10))
    for number in range(15):
        desk.do("set", key=f"k{number:02}", value=1)
    assert desk.do("clear", pattern="*x", confirm=True).more
    desk.do("set", key="a-x", value=1)
    desk.do("set", key="b", value=1)
    replies = [desk.do("clear", pattern="*x", confirm=True) for _ in range(2)]
    assert [(reply.deleted, reply.more) for reply in replies] == [(1, True), (0, False)]


def test_a_clear_whose_cursor_is_old_starts_from_the_first_key() -> None:
    desk = Desk(Limits(scan=10, clear=20))
    for number in range(15):
        desk.do("set", key=f"k{number:02}", value=1)
    assert desk.do("clear", pattern="*x", confirm=True).more
    for number in range(21):
        desk.do("set", key="z", value=number)
    assert desk.do("clear", pattern="*x", confirm=True).more

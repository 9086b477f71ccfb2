"""What locks cost, counted in lines of the hub that are run: no clock is asked, so a busy machine changes nothing.

What must not grow: the work for one more waiter with the number of those before, and the work for a name with the
number of other names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from tests.unit.state.machine_harness import INFO
from waggle.wire import messages as m
from waggle_hub.settings import Limits
from waggle_hub.state.effects import DeferredReply, Effect, Reply
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

LIMITS = Limits(claims=100_000, waiting=100_000, grace=1.0)


def lines_of(work: Callable[[], object]) -> int:
    """How many lines of the hub are run by this."""
    count = 0

    def on_line(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    def on_call(frame: FrameType, event: str, arg: Any) -> Any:
        return on_line if "waggle_hub" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


class Hall:
    """A machine with many sessions, and commands that are not checked after each step."""

    def __init__(self, sessions: int) -> None:
        self.machine = Machine(LIMITS, "epoch")
        self.now = 1_000.0
        self.ids = 1_000
        self.names = [f"s{number}" for number in range(sessions)]
        for name in self.names:
            self.machine.hello(m.Hello(id=0), SessionIds(name, name, f"made-{name}"), self.now, INFO)

    def do(self, session: str, command: m.AnyCommand) -> list[Effect]:
        return self.machine.apply(command, session, self.now)

    def lock(self, session: str, name: str, **fields: Any) -> list[Effect]:
        command = m.Lock(id=self.ids, name=name, **fields)
        self.ids += 1
        return self.do(session, command)


def granted(outputs: list[Effect]) -> Iterator[tuple[str, int]]:
    """Who was granted by these: session and token."""
    for output in outputs:
        if isinstance(output, DeferredReply) and isinstance(output.outcome.ok, m.Granted):
            yield output.session, output.outcome.ok.token


def token_of(outputs: list[Effect]) -> int:
    (reply,) = [output for output in outputs if isinstance(output, Reply)]
    assert isinstance(reply.outcome.ok, m.Granted)
    return reply.outcome.ok.token


def prepared(kind: str, sessions: int) -> tuple[Hall, dict[str, Any]]:
    """A hall in which the first session holds x, and what the others ask with."""
    hall = Hall(sessions)
    fields: dict[str, Any] = {"wait": None, "ttl": 10_000.0}
    hall.lock(hall.names[0], "x", ttl=10_000.0)
    for name in hall.names[1:]:
        if kind == "each holds something":
            hall.lock(name, f"own-{name}", ttl=10_000.0)
        elif kind == "each has a task that holds something":
            fields["task"] = "main"
            hall.lock(name, f"own-{name}", ttl=10_000.0, task="main")
        elif kind == "all share something":
            hall.lock(name, "shared", ttl=10_000.0, mode="shared", task="main")
            fields["task"] = "main"
        elif kind == "they share":
            fields["mode"] = "shared"
        elif kind == "under a pattern":
            hall.lock(hall.names[0], "other-0", ttl=10_000.0)
            fields["wait"] = 1_000.0
    if kind == "under a pattern":
        hall.do(hall.names[0], m.Lock(id="p", pattern="y*", ttl=10_000.0))
    return hall, fields


def come_and_go(kind: str, waiters: int) -> int:
    """The work for so many who line up for x and are served one after another."""
    hall, fields = prepared(kind, waiters + 1)

    def work() -> None:
        for name in hall.names[1:]:
            assert not [one for one in hall.lock(name, "x", **fields) if isinstance(one, Reply)]
        holders = [(hall.names[0], next(iter(hall.machine.state.lock_table.held)))]
        served = 0
        while holders:
            session, token = holders.pop()
            now_held = list(granted(hall.do(session, m.Unlock(id=1, token=token))))
            served += len(now_held)
            holders += now_held
        assert served == waiters

    lines = lines_of(work)
    hall.machine.check()
    return lines


@pytest.mark.parametrize(
    "kind",
    [
        "plain",
        "they share",
        "each holds something",
        "each has a task that holds something",
        "all share something",
        "under a pattern",
    ],
)
def test_many_line_up_for_one_name_and_are_served_in_work_that_grows_with_their_number_alone(kind: str) -> None:
    few, many = come_and_go(kind, 100), come_and_go(kind, 400)
    assert many < few * 4.5


def test_two_thousand_waiters_take_ten_times_the_work_of_two_hundred() -> None:
    assert come_and_go("plain", 2_000) < come_and_go("plain", 200) * 10.5


def line_up(waiters: int, **fields: Any) -> Hall:
    hall, _ = prepared("plain", waiters + 1)
    for name in hall.names[1:]:
        hall.lock(name, "x", **{"wait": None, **fields})
    return hall


def out_of_patience(waiters: int) -> int:
    hall = line_up(waiters, wait=5.0)
    hall.now += 5
    return lines_of(lambda: hall.machine.expire(hall.now, 1_000))


def gone(waiters: int) -> int:
    hall = line_up(waiters)
    for name in hall.names:
        hall.machine.drop(name, hall.now)
    hall.now += 1
    return lines_of(lambda: hall.machine.expire(hall.now, 1_000))


def cancelled_from_the_back(waiters: int) -> int:
    hall = line_up(waiters)
    waiting = [session for session in hall.machine.state.sessions if session.pending]
    commands = [(session.id, m.Cancel(id=1, target=next(iter(session.pending)))) for session in reversed(waiting)]
    assert len(commands) == waiters
    return lines_of(lambda: [hall.do(name, command) for name, command in commands])


@pytest.mark.parametrize("ending", [out_of_patience, gone, cancelled_from_the_back])
def test_a_queue_that_dissolves_takes_work_that_grows_with_its_length_alone(ending: Callable[[int], int]) -> None:
    few, many = ending(100), ending(400)
    assert many < few * 4.5


@pytest.mark.parametrize("wait", [0.0, 5.0])
def test_who_comes_last_pays_no_more_for_those_before(wait: float) -> None:
    """Refused at once, or put at the end of the line."""

    def work(waiters: int) -> int:
        hall = line_up(waiters)
        hall.machine.hello(m.Hello(id=0), SessionIds("late", "late", "late"), hall.now, INFO)
        hall.lock("late", "y", task="t")
        return lines_of(lambda: hall.lock("late", "x", wait=wait, task="t"))

    assert work(400) < work(100) * 1.1


def test_a_search_for_a_circle_looks_at_each_who_waits_once_or_twice() -> None:
    def work(waiters: int) -> int:
        hall = line_up(waiters, task="t")
        for name in hall.names[1:]:
            hall.do(name, m.Lock(id="z", name="z", wait=None, task="t", mode="shared"))
        return lines_of(lambda: refused.extend(hall.do(hall.names[0], m.Lock(id=1, name="z", wait=None))))

    refused: list[Effect] = []
    assert work(400) < work(100) * 4.5
    assert [one.outcome.error.code for one in refused if isinstance(one, Reply) and one.outcome.error] == [
        "deadlock"
    ] * 2


def among(names: int, work: Callable[[Hall], object]) -> int:
    """The lines of some work where so many other names are held."""
    hall = Hall(2)
    for number in range(names):
        hall.lock(hall.names[0], f"n{number:05}", ttl=10_000.0)
    return lines_of(lambda: work(hall))


WORK: dict[str, Callable[[Hall], object]] = {
    "set": lambda hall: hall.do("s1", m.Set(id=1, key="x", value=1)),
    "set under a lock": lambda hall: hall.do("s1", m.Set(id=1, key="n00007", value=1)),
    "guarded": lambda hall: hall.do("s1", m.Set(id=1, key="n00007", value=1, guard=m.Guard(_token(hall)))),
    "lock": lambda hall: hall.lock("s1", "x"),
    "refused": lambda hall: hall.lock("s1", "n00007"),
    "lock and wait": lambda hall: hall.lock("s1", "n00007", wait=5.0),
    "wait with a task": lambda hall: hall.lock("s1", "n00007", wait=5.0, task="t"),
    "renew": lambda hall: hall.do("s0", m.Renew(id=1, token=_token(hall))),
    "unlock": lambda hall: hall.do("s0", m.Unlock(id=1, token=_token(hall))),
    "force": lambda hall: hall.do("s1", m.Unlock(id=1, name="n00007", force=True, reason="r")),
    "narrow pattern": lambda hall: hall.do("s1", m.Lock(id=1, pattern="x*")),
    "clear": lambda hall: hall.do("s1", m.Clear(id=1, pattern="x*", confirm=True)),
}


def _token(hall: Hall) -> int:
    return next(iter(hall.machine.state.lock_table.held))


@pytest.mark.parametrize("work", WORK)
def test_other_names_that_are_held_are_not_looked_at(work: str) -> None:
    assert among(10_000, WORK[work]) < among(20, WORK[work]) * 1.2


def test_a_write_does_not_look_at_those_who_share_its_key() -> None:
    def work(holders: int) -> int:
        hall = Hall(1)
        for number in range(holders):
            hall.do("s0", m.Lock(id=number, name="x", mode="shared"))
        return lines_of(lambda: hall.do("s0", m.Set(id=1, key="x", value=1)))

    assert work(400) < work(20) * 1.2

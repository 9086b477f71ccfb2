"""The cost of locks, as the number of lines of the hub that are run: without a clock, a busy machine changes nothing.

The work for one more waiting request must not grow with the number of those ahead of it, and the work for a name must
not grow with the number of other names.
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
    """Return the number of lines of the hub that are run by this work."""
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


class ManySessions:
    """A machine with many sessions, whose commands are not checked after each step."""

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
    """Yield session and token of each grant with_other_names these effects."""
    for output in outputs:
        if isinstance(output, DeferredReply) and isinstance(output.outcome.ok, m.Granted):
            yield output.session, output.outcome.ok.token


def token_of(outputs: list[Effect]) -> int:
    (reply,) = [output for output in outputs if isinstance(output, Reply)]
    assert isinstance(reply.outcome.ok, m.Granted)
    return reply.outcome.ok.token


def prepare(kind: str, sessions: int) -> tuple[ManySessions, dict[str, Any]]:
    """Return a machine whose first session holds x, and the fields of the other sessions' requests."""
    hub = ManySessions(sessions)
    fields: dict[str, Any] = {"wait": None, "ttl": 10_000.0}
    hub.lock(hub.names[0], "x", ttl=10_000.0)
    for name in hub.names[1:]:
        if kind == "each holds something":
            hub.lock(name, f"own-{name}", ttl=10_000.0)
        elif kind == "each has a task that holds something":
            fields["task"] = "main"
            hub.lock(name, f"own-{name}", ttl=10_000.0, task="main")
        elif kind == "all share something":
            hub.lock(name, "shared", ttl=10_000.0, mode="shared", task="main")
            fields["task"] = "main"
        elif kind == "they share":
            fields["mode"] = "shared"
        elif kind == "under a pattern":
            hub.lock(hub.names[0], "other-0", ttl=10_000.0)
            fields["wait"] = 1_000.0
    if kind == "under a pattern":
        hub.do(hub.names[0], m.Lock(id="p", pattern="y*", ttl=10_000.0))
    return hub, fields


def queue_work(kind: str, waiters: int) -> int:
    """Return the work for so many requests that wait for x and are granted one after another."""
    hub, fields = prepare(kind, waiters + 1)

    def work() -> None:
        for name in hub.names[1:]:
            assert not [one for one in hub.lock(name, "x", **fields) if isinstance(one, Reply)]
        holders = [(hub.names[0], next(iter(hub.machine.state.lock_table.held)))]
        served = 0
        while holders:
            session, token = holders.pop()
            now_held = list(granted(hub.do(session, m.Unlock(id=1, token=token))))
            served += len(now_held)
            holders += now_held
        assert served == waiters

    lines = lines_of(work)
    hub.machine.check()
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
def test_the_work_for_a_queue_of_one_name_grows_linearly_with_its_length(kind: str) -> None:
    few, many = queue_work(kind, 100), queue_work(kind, 400)
    assert many < few * 4.5


def test_two_thousand_waiters_need_ten_times_the_work_of_two_hundred() -> None:
    assert queue_work("plain", 2_000) < queue_work("plain", 200) * 10.5


def waiting_sessions(waiters: int, **fields: Any) -> ManySessions:
    hub, _ = prepare("plain", waiters + 1)
    for name in hub.names[1:]:
        hub.lock(name, "x", **{"wait": None, **fields})
    return hub


def timed_out(waiters: int) -> int:
    hub = waiting_sessions(waiters, wait=5.0)
    hub.now += 5
    return lines_of(lambda: hub.machine.expire(hub.now, 1_000))


def disconnected(waiters: int) -> int:
    hub = waiting_sessions(waiters)
    for name in hub.names:
        hub.machine.drop(name, hub.now)
    hub.now += 1
    return lines_of(lambda: hub.machine.expire(hub.now, 1_000))


def cancelled_from_the_tail(waiters: int) -> int:
    hub = waiting_sessions(waiters)
    waiting = [session for session in hub.machine.state.sessions if session.pending]
    commands = [(session.id, m.Cancel(id=1, target=next(iter(session.pending)))) for session in reversed(waiting)]
    assert len(commands) == waiters
    return lines_of(lambda: [hub.do(name, command) for name, command in commands])


@pytest.mark.parametrize("ending", [timed_out, disconnected, cancelled_from_the_tail])
def test_the_work_to_end_a_whole_queue_grows_linearly_with_its_length(ending: Callable[[int], int]) -> None:
    few, many = ending(100), ending(400)
    assert many < few * 4.5


@pytest.mark.parametrize("wait", [0.0, 5.0])
def test_an_arriving_request_needs_no_more_work_for_a_longer_queue(wait: float) -> None:
    """The request is refused at once, or put at the end of the queue."""

    def work(waiters: int) -> int:
        hub = waiting_sessions(waiters)
        hub.machine.hello(m.Hello(id=0), SessionIds("late", "late", "late"), hub.now, INFO)
        hub.lock("late", "y", task="t")
        return lines_of(lambda: hub.lock("late", "x", wait=wait, task="t"))

    assert work(400) < work(100) * 1.1


def test_the_deadlock_search_visits_each_waiting_request_at_most_twice() -> None:
    def work(waiters: int) -> int:
        hub = waiting_sessions(waiters, task="t")
        for name in hub.names[1:]:
            hub.do(name, m.Lock(id="z", name="z", wait=None, task="t", mode="shared"))
        return lines_of(lambda: refused.extend(hub.do(hub.names[0], m.Lock(id=1, name="z", wait=None))))

    refused: list[Effect] = []
    assert work(400) < work(100) * 4.5
    assert [one.outcome.error.code for one in refused if isinstance(one, Reply) and one.outcome.error] == [
        "deadlock"
    ] * 2


def with_other_names(names: int, work: Callable[[ManySessions], object]) -> int:
    """Return the lines of some work while so many other names are held."""
    hub = ManySessions(2)
    for number in range(names):
        hub.lock(hub.names[0], f"n{number:05}", ttl=10_000.0)
    return lines_of(lambda: work(hub))


WORK: dict[str, Callable[[ManySessions], object]] = {
    "set": lambda hub: hub.do("s1", m.Set(id=1, key="x", value=1)),
    "set under a lock": lambda hub: hub.do("s1", m.Set(id=1, key="n00007", value=1)),
    "guarded": lambda hub: hub.do("s1", m.Set(id=1, key="n00007", value=1, guard=m.Guard(_token(hub)))),
    "lock": lambda hub: hub.lock("s1", "x"),
    "refused": lambda hub: hub.lock("s1", "n00007"),
    "lock and wait": lambda hub: hub.lock("s1", "n00007", wait=5.0),
    "wait with a task": lambda hub: hub.lock("s1", "n00007", wait=5.0, task="t"),
    "renew": lambda hub: hub.do("s0", m.Renew(id=1, token=_token(hub))),
    "unlock": lambda hub: hub.do("s0", m.Unlock(id=1, token=_token(hub))),
    "force": lambda hub: hub.do("s1", m.Unlock(id=1, name="n00007", force=True, reason="r")),
    "narrow pattern": lambda hub: hub.do("s1", m.Lock(id=1, pattern="x*")),
    "clear": lambda hub: hub.do("s1", m.Clear(id=1, pattern="x*", confirm=True)),
}


def _token(hub: ManySessions) -> int:
    return next(iter(hub.machine.state.lock_table.held))


@pytest.mark.parametrize("work", WORK)
def test_a_command_needs_no_more_work_if_other_names_are_locked(work: str) -> None:
    assert with_other_names(10_000, WORK[work]) < with_other_names(20, WORK[work]) * 1.2


def test_a_write_needs_no_more_work_for_more_shared_locks_on_its_key() -> None:
    def work(holders: int) -> int:
        hub = ManySessions(1)
        for number in range(holders):
            hub.do("s0", m.Lock(id=number, name="x", mode="shared"))
        return lines_of(lambda: hub.do("s0", m.Set(id=1, key="x", value=1)))

    assert work(400) < work(20) * 1.2

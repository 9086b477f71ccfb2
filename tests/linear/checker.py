"""Is a history linearizable? The algorithm of Wing and Gong, with Lowe's memory of what was tried.

A history is a list of operations, each with the time of its call and of its return. It is linearizable if the
operations can be put into one order that agrees with real time (who returned before another was called comes first)
and in which each gives what the model says. An operation that never returned may have happened at any time after its
call, or not at all.

Sources: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993); Lowe, "Testing for Linearizability" (2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

NEVER = math.inf
"""The return time of an operation whose outcome is unknown."""
UNKNOWN = "unknown"
"""Its outcome."""


@dataclass(frozen=True)
class Operation:
    """One operation of one agent on one object, with its outcome."""

    agent: str
    call: float
    back: float
    asked: tuple[Any, ...]
    heard: Any


Model = Callable[[Hashable, Operation], Iterable[Hashable]]
"""The states that an operation may lead to from a state, given what was heard; none if it cannot have been so."""


class _Moment:
    """A call or a return, in a list from which operations are lifted and put back."""

    __slots__ = ("after", "before", "match", "number", "operation")

    def __init__(self, number: int, operation: Operation) -> None:
        self.number = number
        self.operation = operation
        self.match: _Moment | None = None
        """Of a call, its return."""
        self.before: _Moment | None = None
        self.after: _Moment | None = None

    def lift(self) -> None:
        for moment in (self, self.match):
            if moment is not None:
                assert moment.before is not None
                moment.before.after = moment.after
                if moment.after is not None:
                    moment.after.before = moment.before

    def unlift(self) -> None:
        for moment in (self.match, self):
            if moment is not None:
                assert moment.before is not None
                moment.before.after = moment
                if moment.after is not None:
                    moment.after.before = moment


def linearizable(history: Iterable[Operation], model: Model, initial: Hashable) -> bool:
    """Return whether the operations could have taken effect one after another."""
    operations = list(history)
    head = _moments(operations)
    state, taken = initial, 0
    tried: set[tuple[int, Hashable]] = {(0, initial)}
    stack: list[tuple[_Moment, list[Hashable], Hashable]] = []
    moment = head.after
    while moment is not None:
        is_call = moment.match is not None or moment.operation.back == NEVER
        choices = []
        if is_call:
            bit = taken | 1 << moment.number
            choices = [to for to in model(state, moment.operation) if (bit, to) not in tried]
        if choices:
            stack.append((moment, choices[1:], state))
            state, taken = choices[0], taken | 1 << moment.number
            tried.add((taken, state))
            moment.lift()
            moment = head.after
        elif is_call:
            moment = moment.after
        else:  # it returned, and could not be placed before that: something earlier was placed wrongly
            while True:
                if not stack:
                    return False
                moment, others, state = stack.pop()
                taken &= ~(1 << moment.number)
                moment.unlift()
                others = [to for to in others if (taken | 1 << moment.number, to) not in tried]
                if others:
                    stack.append((moment, others[1:], state))
                    state, taken = others[0], taken | 1 << moment.number
                    tried.add((taken, state))
                    moment.lift()
                    moment = head.after
                else:
                    moment = moment.after
                break
    return True


def _moments(operations: list[Operation]) -> _Moment:
    """The list of calls and returns in order of time; a call comes before a return at the same instant."""
    times: list[tuple[float, int, int, _Moment]] = []
    for number, operation in enumerate(operations):
        call = _Moment(number, operation)
        times.append((operation.call, 0, number, call))
        if operation.back != NEVER:
            call.match = _Moment(number, operation)
            times.append((operation.back, 1, number, call.match))
    head = last = _Moment(-1, Operation("", 0.0, 0.0, (), None))
    for *_, moment in sorted(times, key=lambda item: item[:3]):
        last.after, moment.before = moment, last
        last = moment
    return head


# --- models ------------------------------------------------------------------------------------------------------


def register(state: Hashable, operation: Operation) -> Iterable[Hashable]:
    """A key whose values are all different: ``set v``, ``swap old new`` (only if it is `old`), ``delete``, ``get``."""
    match operation.asked:
        case ("set", value):
            yield value
        case ("swap", expected, value):
            if operation.heard == UNKNOWN:
                yield value if state == expected else state
            elif operation.heard == (state == expected):
                yield value if operation.heard else state
        case ("delete",):
            if operation.heard in (UNKNOWN, state is not None):
                yield None
        case ("get",):
            if operation.heard in (UNKNOWN, state):
                yield state
        case other:
            raise AssertionError(f"a register knows nothing of {other}")


def lock(state: Hashable, operation: Operation) -> Iterable[Hashable]:
    """One exclusive lock; the state is (holder, the highest token given). ``leave``: an agent's session may end."""
    assert isinstance(state, tuple)
    holder, highest = state
    match operation.asked:
        case ("lock",):
            if operation.heard == UNKNOWN:
                if holder is None:
                    yield (operation.agent, highest)
            elif operation.heard is None:
                if holder is not None:
                    yield state
            elif holder is None and operation.heard > highest:
                yield (operation.agent, operation.heard)
        case ("unlock",):
            if operation.heard == UNKNOWN:
                yield (None if holder == operation.agent else holder, highest)
            elif operation.heard == (holder == operation.agent):
                yield (None if operation.heard else holder, highest)
        case ("leave",):
            yield (None if holder == operation.agent else holder, highest)
        case other:
            raise AssertionError(f"a lock knows nothing of {other}")


def work(state: Hashable, operation: Operation) -> Iterable[Hashable]:
    """One item of work; the state is (where it is, how often it was delivered). Who has it is its place."""
    assert isinstance(state, tuple)
    place, delivered = state
    match operation.asked:
        case ("put",):
            if place == "nowhere":
                yield ("free", 0)
        case ("take",):
            if place == "free" and operation.heard in (UNKNOWN, delivered + 1):
                yield (operation.agent, delivered + 1)
        case ("done",):
            if operation.heard == UNKNOWN or operation.heard == (place == operation.agent):
                yield ("nowhere", delivered) if place == operation.agent else state
        case ("give back",):
            if operation.heard == UNKNOWN or operation.heard == (place == operation.agent):
                yield ("free", delivered) if place == operation.agent else state
        case ("leave",):
            yield ("free", delivered) if place == operation.agent else state
        case other:
            raise AssertionError(f"work knows nothing of {other}")

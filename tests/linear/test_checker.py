"""The checker accepts what is linearizable, and rejects what is not."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.linear.checker import NEVER, UNKNOWN, Operation, linearizable, lock, register, work

FREE = (None, 0)


def op(agent: str, call: float, back: float, *asked: Any, heard: Any = None) -> Operation:
    return Operation(agent, call, back, asked, heard)


def test_one_after_another_is_linearizable() -> None:
    history = [op("a", 0, 1, "set", 1), op("b", 2, 3, "get", heard=1), op("a", 4, 5, "delete", heard=True)]
    assert linearizable(history, register, None)


def test_a_read_of_what_was_overwritten_before_it_began_is_not() -> None:
    history = [op("a", 0, 1, "set", 1), op("a", 2, 3, "set", 2), op("b", 4, 5, "get", heard=1)]
    assert not linearizable(history, register, None)


def test_reads_that_overlap_a_write_may_see_either_but_not_go_back() -> None:
    write = op("a", 0, 10, "set", 1)
    assert linearizable([write, op("b", 1, 2, "get"), op("b", 3, 4, "get", heard=1)], register, None)
    assert not linearizable([write, op("b", 1, 2, "get", heard=1), op("b", 3, 4, "get")], register, None)


def test_of_two_swaps_from_the_same_value_one_wins() -> None:
    won = op("a", 0, 5, "swap", None, 1, heard=True)
    assert linearizable([won, op("b", 0, 5, "swap", None, 2, heard=False)], register, None)
    assert not linearizable([won, op("b", 0, 5, "swap", None, 2, heard=True)], register, None)


def test_an_operation_without_an_answer_may_have_happened_or_not() -> None:
    lost = op("a", 0, NEVER, "set", 1, heard=UNKNOWN)
    assert linearizable([lost, op("b", 1, 2, "get")], register, None)
    assert linearizable([lost, op("b", 1, 2, "get", heard=1)], register, None)
    assert not linearizable([lost, op("b", 1, 2, "get", heard=1), op("b", 3, 4, "get")], register, None)
    assert not linearizable([op("b", -2, -1, "get", heard=1), lost], register, None)


def test_a_lock_with_two_holders_is_rejected() -> None:
    first = op("a", 0, 1, "lock", heard=1)
    assert not linearizable([first, op("b", 2, 3, "lock", heard=2)], lock, FREE)
    between = op("a", 2, 3, "unlock", heard=True)
    assert linearizable([first, between, op("b", 4, 5, "lock", heard=2)], lock, FREE)


def test_a_token_that_goes_back_is_rejected() -> None:
    history = [op("a", 0, 1, "lock", heard=7), op("a", 2, 3, "unlock", heard=True)]
    assert linearizable([*history, op("b", 4, 5, "lock", heard=8)], lock, FREE)
    assert not linearizable([*history, op("b", 4, 5, "lock", heard=7)], lock, FREE)


def test_a_session_that_may_have_ended_may_have_let_go() -> None:
    history = [op("a", 0, 1, "lock", heard=1), op("a", 1, NEVER, "leave", heard=UNKNOWN)]
    assert linearizable([*history, op("b", 4, 5, "lock", heard=2)], lock, FREE)
    assert linearizable([*history, op("b", 4, 5, "lock")], lock, FREE)


def test_work_with_two_winners_is_rejected() -> None:
    history = [op("boss", 0, 1, "put"), op("a", 2, 3, "take", heard=1)]
    assert not linearizable([*history, op("b", 2, 3, "take", heard=1)], work, ("nowhere", 0))
    assert not linearizable([*history, op("b", 4, 5, "take", heard=2)], work, ("nowhere", 0))
    back = op("a", 4, 5, "give back", heard=True)
    assert linearizable([*history, back, op("b", 6, 7, "take", heard=2)], work, ("nowhere", 0))
    assert not linearizable([*history, back, op("b", 6, 7, "take", heard=1)], work, ("nowhere", 0))


def _by_trying_all(history: list[Operation]) -> bool:
    """Every order of every choice of those that may not have happened."""
    heard = [one for one in history if one.back != NEVER]
    lost = [one for one in history if one.back == NEVER]
    for size in range(len(lost) + 1):
        for chosen in permutations(lost, size):
            for order in permutations([*heard, *chosen]):
                in_time = all(not (later.back < one.call) for n, one in enumerate(order) for later in order[n + 1 :])
                if in_time and _runs(order):
                    return True
    return False


def _runs(order: Iterable[Operation]) -> bool:
    states = {None}
    for one in order:
        states = {to for state in states for to in register(state, one)}  # type: ignore[misc]
    return bool(states)


ASKED = st.one_of(
    st.tuples(st.just("set"), st.integers(1, 3)),
    st.tuples(st.just("swap"), st.sampled_from([None, 1, 2]), st.integers(1, 3)),
    st.just(("delete",)),
    st.just(("get",)),
)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    asked = draw(ASKED)
    call = draw(st.integers(0, 6))
    if draw(st.integers(0, 5)) == 0:
        return Operation("a", call, NEVER, asked, UNKNOWN)
    back = call + draw(st.integers(0, 4)) + 0.5
    heard: Any = draw(st.booleans()) if asked[0] in ("swap", "delete") else None
    if asked[0] == "get":
        heard = draw(st.sampled_from([None, 1, 2, 3]))
    return Operation("a", call, back, asked, heard)


@given(st.lists(operations(), max_size=5))
def test_it_says_what_trying_all_orders_says(history: list[Operation]) -> None:
    assert linearizable(history, register, None) == _by_trying_all(history)

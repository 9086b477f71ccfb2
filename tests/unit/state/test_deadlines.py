"""Deadlines: the head is the next to fall due, and nothing falls due before its time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle_hub.state.deadlines import Deadlines, deadline_after, place

TIMES = st.floats(1.6e9, 2e9) | st.integers(1_600_000_000, 2_000_000_000).map(float)
TTLS = st.floats(0, 10 * 365.25 * 86400, exclude_min=True)


@dataclass(eq=False)
class Thing:
    at: float
    serial: int


def by_place(thing: Thing) -> int:
    return place(thing.at, thing.serial)


@given(now=TIMES, ttl=TTLS)
def test_a_deadline_is_the_next_whole_millisecond_and_never_earlier_than_asked_for(now: float, ttl: float) -> None:
    deadline = deadline_after(now, ttl)
    assert now + ttl <= deadline < now + ttl + 0.0021
    assert deadline == round(deadline, 3)


@given(now=TIMES, ttl=TTLS)
def test_what_gets_a_deadline_is_not_due_at_once(now: float, ttl: float) -> None:
    assert deadline_after(now, ttl) > now


@pytest.mark.parametrize("ttl", [5e-324, 1e-9, 1e-7])
def test_a_ttl_too_short_to_be_seen_lasts_to_the_next_millisecond(ttl: float) -> None:
    assert deadline_after(1_700_000_000.0, ttl) == 1_700_000_000.001


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_things_come_in_order_of_deadline_then_of_serial(steps: list[tuple[int, bool]]) -> None:
    deadlines: Deadlines[Thing] = Deadlines(by_place)
    things: list[Thing] = []
    for serial, (milliseconds, add) in enumerate(steps):
        if add or not things:
            thing = Thing(1_700_000_000.0 + milliseconds / 1_000, serial)
            things.append(thing)
            deadlines.add(thing)
        else:
            deadlines.remove(things.pop(milliseconds % len(things)))
        deadlines.check(things)
        assert deadlines.head() is min(things, key=lambda thing: (thing.at, thing.serial), default=None)
    assert len(deadlines) == len(things)


def test_things_that_stand_at_one_place_are_told_apart() -> None:
    deadlines: Deadlines[Thing] = Deadlines(by_place)
    twins = [Thing(1.0, 7), Thing(1.0, 7)]
    for twin in twins:
        deadlines.add(twin)
    deadlines.remove(twins[0])
    assert deadlines.head() is twins[1]


def test_removing_what_is_not_in_says_so() -> None:
    with pytest.raises(ValueError, match="not in list"):
        Deadlines(by_place).remove(Thing(1.0, 1))


def test_revisions_of_a_hub_without_memory_keep_their_order_within_a_millisecond() -> None:
    """They begin at the time in microseconds: far above 32 bits, far below 2^53."""
    early, late = 1_700_000_000_000_000, 1_700_000_000_000_001
    assert place(1_700_000_000.001, early) < place(1_700_000_000.001, late) < place(1_700_000_000.002, 0)

"""Deadlines: the head is the next to fall due, and nothing falls due before its time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle_hub.state.store.expiry import Deadlines, SortKey, deadline_after

TIMES = st.floats(1.6e9, 2e9) | st.integers(1_600_000_000, 2_000_000_000).map(float)
TTLS = st.floats(0, 10 * 365.25 * 86400, exclude_min=True)


@dataclass(eq=False)
class Thing:
    at: float
    serial: int


def sort_key(thing: Thing) -> SortKey:
    return thing.at, thing.serial


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


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60), st.integers(1, 5))
def test_things_come_in_order_of_deadline_then_of_serial(steps: list[tuple[int, bool]], part: int) -> None:
    deadlines: Deadlines[Thing] = Deadlines(sort_key, part)
    things: list[Thing] = []
    for serial, (milliseconds, add) in enumerate(steps):
        if add or not things:
            thing = Thing(1_700_000_000.0 + milliseconds / 1_000, serial)
            things.append(thing)
            deadlines.add(thing)
        else:
            deadlines.remove(things.pop(milliseconds % len(things)))
        deadlines.check(things)
        assert list(deadlines) == sorted(things, key=sort_key)
        assert deadlines.head() is min(things, key=lambda thing: (thing.at, thing.serial), default=None)
    assert len(deadlines) == len(things)


def test_things_that_stand_at_one_place_are_told_apart() -> None:
    deadlines: Deadlines[Thing] = Deadlines(sort_key, max_part_items=2)
    twins = [Thing(1.0, 7) for _ in range(7)]
    for twin in twins:
        deadlines.add(twin)
    for number in (3, 0, 6, 1, 5, 2):
        deadlines.remove(twins[number])
    deadlines.check([twins[4]])


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_what_was_kept_is_loaded_as_if_it_had_been_added(milliseconds: list[int], part: int) -> None:
    deadlines: Deadlines[Thing] = Deadlines(sort_key, part)
    things = [Thing(1_700_000_000.0 + at / 1_000, serial) for serial, at in enumerate(milliseconds)]
    deadlines.load(things)
    deadlines.check(things)
    for thing in list(things):
        deadlines.remove(thing)
    assert deadlines.head() is None
    deadlines.check([])


def test_removing_what_is_not_in_says_so() -> None:
    with pytest.raises(ValueError, match="is not in"):
        Deadlines(sort_key).remove(Thing(1.0, 1))

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
class Item:
    at: float
    serial: int


def sort_key(item: Item) -> SortKey:
    return item.at, item.serial


@given(now=TIMES, ttl=TTLS)
def test_a_deadline_is_the_next_whole_millisecond_and_never_earlier_than_asked_for(now: float, ttl: float) -> None:
    deadline = deadline_after(now, ttl)
    assert now + ttl <= deadline < now + ttl + 0.0021
    assert deadline == round(deadline, 3)


@given(now=TIMES, ttl=TTLS)
def test_a_new_deadline_is_never_due_at_once(now: float, ttl: float) -> None:
    assert deadline_after(now, ttl) > now


@pytest.mark.parametrize("ttl", [5e-324, 1e-9, 1e-7])
def test_a_ttl_too_short_to_be_seen_lasts_to_the_next_millisecond(ttl: float) -> None:
    assert deadline_after(1_700_000_000.0, ttl) == 1_700_000_000.001


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60), st.integers(1, 5))
def test_items_are_in_order_of_deadline_then_of_serial(steps: list[tuple[int, bool]], part: int) -> None:
    deadlines: Deadlines[Item] = Deadlines(sort_key, part)
    items: list[Item] = []
    for serial, (milliseconds, add) in enumerate(steps):
        if add or not items:
            item = Item(1_700_000_000.0 + milliseconds / 1_000, serial)
            items.append(item)
            deadlines.add(item)
        else:
            deadlines.remove(items.pop(milliseconds % len(items)))
        deadlines.check(items)
        assert list(deadlines) == sorted(items, key=sort_key)
        assert deadlines.head() is min(items, key=lambda item: (item.at, item.serial), default=None)
    assert len(deadlines) == len(items)


def test_items_with_equal_sort_keys_are_told_apart() -> None:
    deadlines: Deadlines[Item] = Deadlines(sort_key, max_part_items=2)
    twins = [Item(1.0, 7) for _ in range(7)]
    for twin in twins:
        deadlines.add(twin)
    for number in (3, 0, 6, 1, 5, 2):
        deadlines.remove(twins[number])
    deadlines.check([twins[4]])


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_loaded_items_are_as_if_each_had_been_added(milliseconds: list[int], part: int) -> None:
    deadlines: Deadlines[Item] = Deadlines(sort_key, part)
    items = [Item(1_700_000_000.0 + at / 1_000, serial) for serial, at in enumerate(milliseconds)]
    deadlines.load(items)
    deadlines.check(items)
    for item in list(items):
        deadlines.remove(item)
    assert deadlines.head() is None
    deadlines.check([])


def test_removing_an_absent_item_raises_value_error() -> None:
    with pytest.raises(ValueError, match="is not in"):
        Deadlines(sort_key).remove(Item(1.0, 1))

"""A space: it answers as a dict in key order does, and never grows all at once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle_hub.state.store.key_map import KeyMap

KEYS = st.text("abc", max_size=4)


def listed(space: KeyMap[int], key: str = "", *, inclusive: bool = True) -> list[tuple[str, int]]:
    return list(space.items_from(key, inclusive=inclusive))


@given(st.integers(1, 4), st.lists(st.tuples(KEYS, st.booleans()), max_size=80))
def test_it_holds_what_a_dict_would(part: int, steps: list[tuple[str, bool]]) -> None:
    space: KeyMap[int] = KeyMap(part=part)
    model: dict[str, int] = {}
    for number, (key, put) in enumerate(steps):
        if put:
            space.put(key, number)
            model[key] = number
        elif key in model:
            space.remove(key)
            del model[key]
        space.check()
        assert space.get(key) == model.get(key)
    assert len(space) == len(model)
    assert listed(space) == sorted(model.items())
    assert list(space.values()) == [model[key] for key in sorted(model)]
    assert listed(space, "b", inclusive=False) == [item for item in sorted(model.items()) if item[0] > "b"]


@given(st.integers(1, 4), st.dictionaries(KEYS, st.integers(), max_size=40))
def test_what_was_kept_is_loaded_as_if_it_had_been_put(part: int, things: dict[str, int]) -> None:
    space = KeyMap(sorted(things.items()), part)
    space.check()
    assert listed(space) == sorted(things.items())
    for key in things:
        space.put(key + "x", 0)
    space.check()


def test_removing_what_is_not_there_says_so_and_changes_nothing() -> None:
    space: KeyMap[int] = KeyMap([("a", 1)])
    with pytest.raises(KeyError):
        space.remove("b")
    space.check()
    assert listed(space) == [("a", 1)]


def test_however_many_there_are_no_part_holds_many_times_its_share() -> None:
    space: KeyMap[int] = KeyMap(part=50)
    for number in random.Random(1).sample(range(10**6), 20_000):
        space.put(f"key:{number}", number)
    assert max(map(len, space._parts)) < 50 * 4
    assert len(space._parts) == 20_000 // 50

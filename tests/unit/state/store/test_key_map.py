"""A key map: it behaves as a dict in key order, and never grows all at once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle_hub.state.store.key_map import KeyMap

KEYS = st.text("abc", max_size=4)


def listed(key_map: KeyMap[int], key: str = "", *, inclusive: bool = True) -> list[tuple[str, int]]:
    return list(key_map.items_from(key, inclusive=inclusive))


@given(st.integers(1, 4), st.lists(st.tuples(KEYS, st.booleans()), max_size=80))
def test_a_key_map_holds_what_a_dict_would(part: int, steps: list[tuple[str, bool]]) -> None:
    key_map: KeyMap[int] = KeyMap(max_part_items=part)
    model: dict[str, int] = {}
    for number, (key, put) in enumerate(steps):
        if put:
            key_map.put(key, number)
            model[key] = number
        elif key in model:
            key_map.remove(key)
            del model[key]
        key_map.check()
        assert key_map.get(key) == model.get(key)
    assert len(key_map) == len(model)
    assert listed(key_map) == sorted(model.items())
    assert list(key_map.values()) == [model[key] for key in sorted(model)]
    assert listed(key_map, "b", inclusive=False) == [item for item in sorted(model.items()) if item[0] > "b"]


@given(st.integers(1, 4), st.dictionaries(KEYS, st.integers(), max_size=40))
def test_loaded_items_are_as_if_each_had_been_put(part: int, things: dict[str, int]) -> None:
    key_map = KeyMap(sorted(things.items()), part)
    key_map.check()
    assert listed(key_map) == sorted(things.items())
    for key in things:
        key_map.put(key + "x", 0)
    key_map.check()


def test_removing_an_absent_key_raises_and_changes_nothing() -> None:
    key_map: KeyMap[int] = KeyMap([("a", 1)])
    with pytest.raises(KeyError):
        key_map.remove("b")
    key_map.check()
    assert listed(key_map) == [("a", 1)]


def test_no_part_grows_to_many_times_its_share_however_many_keys_there_are() -> None:
    key_map: KeyMap[int] = KeyMap(max_part_items=50)
    for number in random.Random(1).sample(range(10**6), 20_000):
        key_map.put(f"key:{number}", number)
    assert max(map(len, key_map._parts)) < 50 * 4
    assert len(key_map._parts) == 20_000 // 50

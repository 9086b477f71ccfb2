"""The contract of a store: what was written comes back, all of it or nothing, from each of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.journal.kinds import JSON, MEMORY, SQLITE, Kind
from tests.unit.journal.world import World, random_turns, told, turns
from waggle_hub.journal.interface import StoreError

every_kind = pytest.mark.parametrize("kind", [MEMORY, SQLITE, JSON], ids=str)
on_disk = pytest.mark.parametrize("kind", [SQLITE, JSON], ids=str)


@contextmanager
def a_path() -> Iterator[Path]:
    with TemporaryDirectory() as directory:
        yield Path(directory) / "data"


@every_kind
def test_a_fresh_store_holds_nothing(kind: Kind, tmp_path: Path) -> None:
    with kind.open(tmp_path / "data") as store:
        assert store.load(told) is None
        assert store.records() == []


@every_kind
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(turns, st.booleans()), max_size=8))
def test_written_records_are_there_when_the_store_is_opened_again(
    kind: Kind, written: list[tuple[dict[str, Any], bool]]
) -> None:
    world = World()
    with a_path() as path:
        store = kind.open(path)
        for turn, again in written:
            store.write(world.turn(**turn))
            if again:
                store.close()
                store = kind.open(path)
                assert world.state().matches(store.load(told))
        assert {record.name for record in store.records()} == set(world.records)
        store.close()
        with kind.open(path) as store:
            assert world.state().matches(store.load(told))


@every_kind
@settings(max_examples=40, deadline=None)
@given(st.lists(turns, min_size=1, max_size=4), turns, st.integers(0, 60), st.booleans())
def test_a_failed_write_leaves_nothing_and_the_next_one_works(
    kind: Kind, before: list[dict[str, Any]], failed: dict[str, Any], steps: int, again: bool
) -> None:
    world = World()
    with a_path() as path:
        store = kind.open(path)
        for turn in before:
            store.write(world.turn(**turn))
        state, names = world.state(), set(world.records)
        changes = world.turn(**failed)
        try:
            with kind.failing(store, steps):
                store.write(changes)
        except StoreError:
            assert {record.name for record in store.records()} == names
            if again:
                store.close()
                store = kind.open(path)
            assert state.matches(store.load(told))
            store.probe()
            store.write(changes)
        assert world.state().matches(store.load(told))
        store.close()


@every_kind
def test_a_backup_is_what_the_store_was(kind: Kind, tmp_path: Path) -> None:
    world = World()
    with kind.open(tmp_path / "data") as store:
        for turn in random_turns(1, 10):
            store.write(world.turn(**turn))
        copied = world.state()
        store.backup(tmp_path / "backup")
        for turn in random_turns(2, 10):
            store.write(world.turn(**turn))
        assert world.state().matches(store.load(told))
    with kind.open(tmp_path / "backup") as backup:
        assert copied.matches(backup.load(told))
    assert not list(tmp_path.glob("*.partial"))


@on_disk
def test_a_backup_that_cannot_be_written_is_an_error_and_leaves_nothing(kind: Kind, tmp_path: Path) -> None:
    world = World()
    with kind.open(tmp_path / "data") as store:
        for turn in random_turns(2, 2):
            store.write(world.turn(**turn))
        with pytest.raises(StoreError, match="cannot be written"):
            store.backup(tmp_path / "not there" / "backup")
        (tmp_path / "backup").mkdir()
        with pytest.raises(StoreError, match="cannot be written"):
            store.backup(tmp_path / "backup")
    assert not list(tmp_path.glob("*.partial"))


@on_disk
def test_what_is_read_is_told_as_it_goes(kind: Kind, tmp_path: Path) -> None:
    world = World()
    heard: list[tuple[int, int]] = []
    with kind.open(tmp_path / "data") as store:
        for turn in random_turns(3, 10):
            store.write(world.turn(**turn))
        store.load(lambda done, total: heard.append((done, total)))
    kept = len(world.state().parts["entries"])
    assert heard[-1] == (kept, kept)


@on_disk
@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_a_changed_byte_is_refused_or_means_what_was_written(kind: Kind, seed: int, tmp_path: Path) -> None:
    world = World()
    path = tmp_path / "data"
    with kind.open(path) as store:
        for turn in random_turns(seed, 8):
            store.write(world.turn(**turn))
    whole = path.read_bytes()
    chance = random.Random(seed)
    refused = 0
    for _ in range(150):
        changed = bytearray(whole)
        at = chance.randrange(100 if chance.random() < 0.2 else len(whole))
        changed[at] ^= 1 << chance.randrange(8) if chance.random() < 0.5 else chance.randrange(1, 256)
        damaged = bytes(changed)
        path.write_bytes(damaged)
        try:
            with kind.open(path) as store:
                kept = store.load(told)
        except StoreError:
            refused += 1
            assert path.read_bytes() == damaged, "what is damaged is not touched"
        else:
            assert world.state().matches(kept), f"byte {at}"
    assert refused > 30


@on_disk
@pytest.mark.parametrize("content", [b"\0", b"hello, world\n", b"[]", b"{}", b"SQLite format 3\0", bytes(8192)])
def test_a_file_that_is_something_else_is_refused_and_not_touched(kind: Kind, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    with kind.open(path) as store:
        with pytest.raises(StoreError, match="not the data of a hub"):
            store.load(told)
        with pytest.raises(StoreError, match="not the data of a hub"):
            store.write(World().turn(**next(random_turns(1, 1))))
    assert path.read_bytes() == content


@on_disk
@pytest.mark.parametrize("part", [0.01, 0.3, 0.7, 0.9])
def test_a_file_that_was_cut_off_is_refused_and_says_how_to_go_on(kind: Kind, part: float, tmp_path: Path) -> None:
    world = World()
    path = tmp_path / "data"
    with kind.open(path) as store:
        for turn in random_turns(6, 10):
            store.write(world.turn(**turn))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with kind.open(path) as store, pytest.raises(StoreError) as caught:
        store.load(told)
    for said in (str(path), "The hub has not changed it", "`waggle restore`", str(tmp_path / "backups")):
        assert said in str(caught.value)

"""The store in one JSON document, where it is more than the contract: power failures, and people who edit it."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from tests.unit.journal.disk import Disk
from tests.unit.journal.world import World, plain, random_turns, told
from waggle_hub.journal.interface import StoreError
from waggle_hub.journal.json.store import MAX_ENTRIES, DocumentStore
from waggle_hub.state.persistence.records import WriteBatch
from waggle_hub.state.store.entry import Entry

PATH = Path("/data/waggle.json")


def many(number: int) -> WriteBatch:
    entries = [
        Entry(f"k{n:06}", "default", b"%d" % n, n, 1, "persistent", 0.0, 0.0, None, "a", None) for n in range(number)
    ]
    return WriteBatch(entries={(entry.ns, entry.key): entry for entry in entries})


# --- power failures and broken disks ---


@pytest.mark.parametrize("seed", range(5))
def test_when_the_power_fails_during_a_write_all_of_it_is_there_or_nothing(seed: int) -> None:
    chance = random.Random(seed)
    world, disk, seen = World(), Disk(), set()
    store = DocumentStore(PATH, disk)
    for turn in random_turns(seed, 8):
        after: list[Disk] = []
        disk.on_call = lambda call, after=after: after.extend(disk.after_power_failure(chance) for _ in range(15))  # type: ignore[misc]
        old = world.state()
        store.write(world.turn(**turn))
        new = world.state()
        for left in after:
            kept = DocumentStore(PATH, left).load(told)
            assert old.matches(kept) or new.matches(kept)
            seen.add(new.matches(kept))
        for _ in range(15):
            assert new.matches(DocumentStore(PATH, disk.after_power_failure(chance)).load(told))
    assert seen == {True, False}


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename", "sync_directory"])
def test_a_write_that_failed_on_disk_is_absent_after_a_crash(call: str) -> None:
    chance = random.Random(1)
    world, disk = World(), Disk()
    store = DocumentStore(PATH, disk)

    def fail(called: str) -> None:
        if called == call:
            disk.on_call = lambda called: None
            raise OSError(5, "Input/output error")

    for turn in random_turns(1, 5):
        disk.on_call = lambda called: None
        store.write(world.turn(**turn))
        state, changes = world.state(), world.turn(**turn)
        disk.on_call = fail
        with pytest.raises(StoreError, match="the disk reports an error"):
            store.write(changes)
        assert disk.paths() == {PATH}
        for _ in range(10):
            assert state.matches(DocumentStore(PATH, disk.after_power_failure(chance)).load(told))
        store.write(changes)
        assert world.state().matches(DocumentStore(PATH, disk).load(told))


def test_files_left_half_written_by_a_power_failure_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "waggle.json.partial"
    left.write_bytes(b"{")
    assert DocumentStore(tmp_path / "waggle.json").load(told) is None
    assert not left.exists()


def test_to_find_out_whether_there_is_room_as_much_is_written_as_the_next_write_may_need() -> None:
    disk = Disk()
    store = DocumentStore(PATH, disk)
    entry = Entry("k", "default", b'"' + b"a" * 3_000_000 + b'"', 1, 1, "persistent", 0.0, 0.0, None, "a", None)
    store.write(WriteBatch(entries={("default", "k"): entry}))
    before = disk.paths()
    written: list[int] = []
    disk.on_call = lambda call: written.extend(len(disk.read(path)) for path in disk.paths() - before)
    store.probe()
    assert max(written) > 3_000_000
    assert disk.paths() == before


# --- its limit ---


def test_more_entries_than_a_document_may_have_are_refused_before_anything_changes(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "waggle.json") as store:
        store.write(many(MAX_ENTRIES))
        before = (tmp_path / "waggle.json").read_bytes()
        with pytest.raises(StoreError, match=r"10,001 entries.*SQLite"):
            store.write(many(MAX_ENTRIES + 1))
        assert (tmp_path / "waggle.json").read_bytes() == before
        store.write(WriteBatch(entries={("default", "k000000"): None}))
    with DocumentStore(tmp_path / "waggle.json") as store:
        assert len(plain(store.load(told))["entries"]) == MAX_ENTRIES - 1


# --- people ---


def written(path: Path) -> World:
    world = World()
    with DocumentStore(path) as store:
        for turn in random_turns(7, 6):
            store.write(world.turn(**turn))
    return world


def without_checksum(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith('"checksum"'))


def test_the_document_is_json_with_one_thing_to_a_line(tmp_path: Path) -> None:
    path = tmp_path / "waggle.json"
    with DocumentStore(path) as store:
        store.write(many(20))
        before = path.read_text().splitlines()
        store.write(WriteBatch(entries={("default", "k000007"): None}))
        after = path.read_text().splitlines()
    document = json.loads(path.read_text())
    assert [entry["key"] for entry in document["entries"]] == [f"k{n:06}" for n in range(20) if n != 7]
    assert document["entries"][0]["value"] == 0
    (gone,) = [line for line in before if line not in after and not line.startswith('"checksum"')]
    assert '"key":"k000007"' in gone


def test_an_edited_document_is_refused_and_says_how_it_would_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "waggle.json"
    DocumentStore(path).write(many(3))
    edited = path.read_text().replace('"value":1', '"value":7')
    path.write_text(edited)
    with pytest.raises(StoreError, match=r"checksum.*delete the line that begins with checksum"):
        DocumentStore(path).load(told)
    assert path.read_text() == edited


def test_an_edited_document_without_its_checksum_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "waggle.json"
    DocumentStore(path).write(many(3))
    path.write_text(without_checksum(path.read_text().replace('"value":1', '"value":{"seven": 7 }')))
    with caplog.at_level(logging.WARNING), DocumentStore(path) as store:
        assert [entry[2] for entry in plain(store.load(told))["entries"]] == [b"0", b'{"seven":7}', b"2"]
        assert "edited by hand" in caplog.text
        store.write(many(1))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        DocumentStore(path).load(told)
    assert '"checksum"' in path.read_text()
    assert not caplog.text


def test_a_document_that_a_tool_has_laid_out_anew_means_the_same(tmp_path: Path) -> None:
    path = tmp_path / "waggle.json"
    world = written(path)
    document = json.loads(path.read_text())
    del document["checksum"]
    path.write_text(json.dumps(document, indent=4, ensure_ascii=False))
    assert world.state().matches(DocumentStore(path).load(told))


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('"key":"k000001"', '"key":" k"', "white space"),
        ('"ns":"default"', '"ns":"de fault"', "not a namespace"),
        ('"value":1', '"value":123456789012345678901', "64 bits"),
        ('"value":1', '"value":', "malformed"),
        ('"rev":1', '"rev":"one"', "Expected `int`"),
        ('"key":"k000001"', '"key":"k000002"', "two entries with one name"),
        ('"commits"', '"comments"', "unknown field"),
    ],
)
def test_an_edited_document_that_no_hub_could_have_written_is_refused(
    wrong: str, right: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "waggle.json"
    DocumentStore(path).write(many(3))
    edited = without_checksum(path.read_text().replace(wrong, right, 1))
    path.write_text(edited)
    with pytest.raises(StoreError, match=said):
        DocumentStore(path).load(told)
    assert path.read_text() == edited


# --- formats ---


def _renamed(text: bytes) -> bytes:
    document: dict[str, Any] = json.loads(text)
    for entry in document["entries"]:
        entry["key"] = f"was {entry['key']}"
    return json.dumps(document).encode()


def test_an_older_format_becomes_the_newest_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "waggle.json"
    DocumentStore(path).write(many(2))
    with DocumentStore(path, migrations=(_renamed,)) as store:
        assert [entry[0] for entry in plain(store.load(told))["entries"]] == ["was k000000", "was k000001"]
        store.write(many(1))
    with DocumentStore(path, migrations=(_renamed,)) as store:
        keys = [entry[0] for entry in plain(store.load(told))["entries"]]
    assert keys == ["k000000", "was k000000", "was k000001"]


def test_a_newer_format_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "waggle.json"
    DocumentStore(path, migrations=(_renamed,)).write(many(1))
    whole = path.read_bytes()
    with pytest.raises(StoreError, match=r"format 2, and this hub knows formats 1 to 1.*Start the newer hub"):
        DocumentStore(path).load(told)
    with pytest.raises(StoreError, match="format 2"):
        DocumentStore(path).write(many(2))
    assert path.read_bytes() == whole


def test_nobody_but_its_owner_may_read_what_is_kept(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "waggle.json") as store:
        store.write(many(1))
        store.backup(tmp_path / "backup")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}

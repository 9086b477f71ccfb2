"""Version floors: versions never restart, and gaps are known, after restarts and failures."""

from __future__ import annotations

import pytest

from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.persistence.records import Key, NamespaceRecord, Record
from waggle_hub.state.store.tombstones import VersionFloors


class Disk:
    """A disk that stores the records of version floors, and gives them to the next hub."""

    def __init__(self, max_namespaces: int = 10_000) -> None:
        self.max_namespaces = max_namespaces
        self.records: dict[Key, NamespaceRecord] = {}
        self.writes = 0
        self._begin()

    def _begin(self) -> None:
        self.dirty = DirtySet()
        self.floors = VersionFloors(self.dirty, self.max_namespaces)

    def store(self) -> list[Record | None]:
        """Store what has changed; return the records."""
        records = self.dirty.collect()
        self.writes += bool(records)
        for name, record in records.items():
            assert isinstance(record, NamespaceRecord)
            self.records[name] = record
        return list(records.values())

    def restart(self, rev: int, clean: bool = True) -> VersionFloors:
        """Start the next hub at a revision; return its version floors."""
        self._begin()
        for record in self.records.values():
            self.floors.restore(record, rev)
        if not clean:
            self.floors.mark_unknown(rev)
        return self.floors


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_the_floor_is_the_highest_dropped_version(disk: Disk) -> None:
    for version in (3, 7, 5):
        disk.floors.raise_floor("here", version)
    assert (disk.floors.floor("here"), disk.floors.floor("there")) == (7, 0)
    disk.store()
    assert disk.restart(100).floor("here") == 7


def test_a_version_below_the_floor_changes_nothing(disk: Disk) -> None:
    disk.floors.raise_floor("here", 7)
    disk.store()
    disk.floors.raise_floor("here", 7)
    disk.floors.raise_floor("there", 0)
    assert disk.store() == []


def test_the_ceiling_of_volatile_versions_is_written_once_for_many(disk: Disk) -> None:
    for version in range(1, 1_002):
        disk.floors.mark_volatile("here", version)
        disk.floors.mark_volatile("here")
        disk.store()
    assert disk.writes == 1
    disk.floors.mark_volatile("here", 1_002)
    disk.store()
    assert disk.writes == 2


def test_after_a_restart_versions_begin_above_all_volatile_ones(disk: Disk) -> None:
    disk.floors.mark_volatile("here", 4)
    disk.store()
    disk.floors.mark_volatile("here", 700)
    floors = disk.restart(100)
    assert floors.floor("here") >= 700
    assert floors.floor("there") == 0
    floors.mark_volatile("here", floors.floor("here") + 1)
    disk.store()
    assert disk.restart(200).floor("here") > floors.floor("here")


def test_a_message_alone_raises_no_versions(disk: Disk) -> None:
    disk.floors.mark_volatile("here")
    disk.store()
    assert disk.restart(100).floor("here") == 0


def test_a_restart_leaves_a_gap_in_a_volatile_namespace(disk: Disk) -> None:
    disk.floors.mark_volatile("here")
    disk.floors.raise_floor("there", 1)
    disk.store()
    assert disk.floors.gap(["here"]) == 0, "nothing of it is gone yet"
    floors = disk.restart(100)
    assert (floors.gap(["here"]), floors.gap(["there"]), floors.gap(["there", "here"])) == (100, 0, 100)


def test_a_gap_stays_at_its_revision_when_nothing_more_is_lost(disk: Disk) -> None:
    disk.floors.mark_volatile("here")
    disk.store()
    disk.restart(100)
    disk.store()
    assert disk.restart(200).gap(["here"]) == 100
    disk.floors.mark_volatile("here")
    disk.store()
    assert disk.restart(300).gap(["here"]) == 300


def test_the_gap_of_all_namespaces_leaves_out_those_of_the_hub(disk: Disk) -> None:
    disk.floors.mark_volatile("$agents", 1)
    disk.store()
    assert disk.restart(100).gap(None) == 0
    disk.floors.mark_volatile("here")
    disk.store()
    assert disk.restart(200).gap(None) == 200


def test_namespaces_beyond_the_limit_share_floor_ceiling_and_gap() -> None:
    disk = Disk(max_namespaces=3)
    for ns in ("one", "two", "three", "four"):
        disk.floors.mark_volatile(ns, 5)
    disk.floors.raise_floor("three", 2_000)
    disk.store()
    assert len(disk.records) == 3
    floors = disk.restart(100)
    assert all(floors.gap([ns]) == 100 for ns in ("one", "two", "three", "four", "five"))
    assert floors.floor("one") < 2_000 <= floors.floor("four")


def test_a_later_namespace_starts_with_the_shared_floor_and_gap() -> None:
    disk = Disk(max_namespaces=2)
    disk.floors.mark_volatile("one", 5)
    disk.floors.mark_volatile("two", 5)
    disk.store()
    disk.max_namespaces = 10
    floors = disk.restart(100)
    floors.mark_volatile("two", floors.floor("two") + 1)
    assert floors.gap(["two"]) == 100
    assert floors.floor("two") >= 5


def test_after_a_rollback_only_stored_ceilings_count(disk: Disk) -> None:
    disk.floors.mark_volatile("here", 1)
    disk.store()
    disk.floors.mark_volatile("there", 1)
    disk.floors.mark_volatile("here", 5_000)
    disk.dirty.discard()
    disk.floors.roll_back(disk.records.values())
    disk.store()
    disk.floors.mark_volatile("there", 1)
    disk.floors.mark_volatile("here", 5_000)
    assert len(disk.store()) == 2, "both are written again"
    floors = disk.restart(100)
    assert floors.gap(["there"]) == 100
    assert floors.floor("here") >= 5_000


def test_after_an_unclean_crash_versions_start_higher_and_every_cursor_has_a_gap(disk: Disk) -> None:
    disk.floors.mark_volatile("here", 1)
    disk.store()
    floors = disk.restart(100, clean=False)
    for ns in ("here", "there"):
        assert floors.gap([ns]) == 100
        assert floors.floor(ns) >= 1_000_000
    disk.store()
    floors = disk.restart(200)
    assert (floors.gap(["there"]), floors.floor("there") >= 1_000_000) == (100, True)

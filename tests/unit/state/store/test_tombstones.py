"""What is remembered of what is gone, and of what was never kept."""

from __future__ import annotations

import pytest

from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.persistence.records import Key, NamespaceRecord, Record
from waggle_hub.state.store.tombstones import VersionFloors


class Disk:
    """Where the records of the pasts go, and from where the next hub takes them."""

    def __init__(self, most: int = 10_000) -> None:
        self.most = most
        self.records: dict[Key, NamespaceRecord] = {}
        self.writes = 0
        self._begin()

    def _begin(self) -> None:
        self.changed = DirtySet()
        self.pasts = VersionFloors(self.changed, self.most)

    def keep(self) -> list[Record | None]:
        """Write down what has changed."""
        records = self.changed.collect()
        self.writes += bool(records)
        for name, record in records.items():
            assert isinstance(record, NamespaceRecord)
            self.records[name] = record
        return list(records.values())

    def restart(self, rev: int, steady: bool = True) -> VersionFloors:
        """The next hub begins at a revision."""
        self._begin()
        for record in self.records.values():
            self.pasts.restore(record, rev)
        if not steady:
            self.pasts.mark_unknown(rev)
        return self.pasts


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_only_the_highest_version_that_was_forgotten_is_remembered(disk: Disk) -> None:
    for version in (3, 7, 5):
        disk.pasts.raise_floor("here", version)
    assert (disk.pasts.floor("here"), disk.pasts.floor("there")) == (7, 0)
    disk.keep()
    assert disk.restart(100).floor("here") == 7


def test_a_version_below_what_is_remembered_changes_nothing(disk: Disk) -> None:
    disk.pasts.raise_floor("here", 7)
    disk.keep()
    disk.pasts.raise_floor("here", 7)
    disk.pasts.raise_floor("there", 0)
    assert disk.keep() == []


def test_what_is_not_kept_is_written_once_for_many(disk: Disk) -> None:
    for version in range(1, 1_002):
        disk.pasts.mark_volatile("here", version)
        disk.pasts.mark_volatile("here")
        disk.keep()
    assert disk.writes == 1
    disk.pasts.mark_volatile("here", 1_002)
    disk.keep()
    assert disk.writes == 2


def test_after_a_restart_versions_begin_above_all_that_were_not_kept(disk: Disk) -> None:
    disk.pasts.mark_volatile("here", 4)
    disk.keep()
    disk.pasts.mark_volatile("here", 700)
    pasts = disk.restart(100)
    assert pasts.floor("here") >= 700
    assert pasts.floor("there") == 0
    pasts.mark_volatile("here", pasts.floor("here") + 1)
    disk.keep()
    assert disk.restart(200).floor("here") > pasts.floor("here")


def test_a_message_alone_raises_no_versions(disk: Disk) -> None:
    disk.pasts.mark_volatile("here")
    disk.keep()
    assert disk.restart(100).floor("here") == 0


def test_where_something_was_not_kept_a_restart_leaves_a_gap(disk: Disk) -> None:
    disk.pasts.mark_volatile("here")
    disk.pasts.raise_floor("there", 1)
    disk.keep()
    assert disk.pasts.gap(["here"]) == 0, "nothing of it is gone yet"
    pasts = disk.restart(100)
    assert (pasts.gap(["here"]), pasts.gap(["there"]), pasts.gap(["there", "here"])) == (100, 0, 100)


def test_a_gap_stays_where_it_is_when_nothing_more_is_lost(disk: Disk) -> None:
    disk.pasts.mark_volatile("here")
    disk.keep()
    disk.restart(100)
    disk.keep()
    assert disk.restart(200).gap(["here"]) == 100
    disk.pasts.mark_volatile("here")
    disk.keep()
    assert disk.restart(300).gap(["here"]) == 300


def test_everywhere_is_all_but_the_hubs_own(disk: Disk) -> None:
    disk.pasts.mark_volatile("$agents", 1)
    disk.keep()
    assert disk.restart(100).gap(None) == 0
    disk.pasts.mark_volatile("here")
    disk.keep()
    assert disk.restart(200).gap(None) == 200


def test_namespaces_beyond_the_most_share_one_past() -> None:
    disk = Disk(most=3)
    for ns in ("one", "two", "three", "four"):
        disk.pasts.mark_volatile(ns, 5)
    disk.pasts.raise_floor("three", 2_000)
    disk.keep()
    assert len(disk.records) == 3
    pasts = disk.restart(100)
    assert all(pasts.gap([ns]) == 100 for ns in ("one", "two", "three", "four", "five"))
    assert pasts.floor("one") < 2_000 <= pasts.floor("four")


def test_a_namespace_that_comes_later_begins_with_the_past_that_was_shared() -> None:
    disk = Disk(most=2)
    disk.pasts.mark_volatile("one", 5)
    disk.pasts.mark_volatile("two", 5)
    disk.keep()
    disk.most = 10
    pasts = disk.restart(100)
    pasts.mark_volatile("two", pasts.floor("two") + 1)
    assert pasts.gap(["two"]) == 100
    assert pasts.floor("two") >= 5


def test_after_a_failure_only_what_is_on_disk_is_taken_for_written_down(disk: Disk) -> None:
    disk.pasts.mark_volatile("here", 1)
    disk.keep()
    disk.pasts.mark_volatile("there", 1)
    disk.pasts.mark_volatile("here", 5_000)
    disk.changed.discard()
    disk.pasts.roll_back(disk.records.values())
    disk.keep()
    disk.pasts.mark_volatile("there", 1)
    disk.pasts.mark_volatile("here", 5_000)
    assert len(disk.keep()) == 2, "both are written again"
    pasts = disk.restart(100)
    assert pasts.gap(["there"]) == 100
    assert pasts.floor("here") >= 5_000


def test_after_an_unclean_crash_versions_start_higher_and_every_cursor_has_a_gap(disk: Disk) -> None:
    disk.pasts.mark_volatile("here", 1)
    disk.keep()
    pasts = disk.restart(100, steady=False)
    for ns in ("here", "there"):
        assert pasts.gap([ns]) == 100
        assert pasts.floor(ns) >= 1_000_000
    disk.keep()
    pasts = disk.restart(200)
    assert (pasts.gap(["there"]), pasts.floor("there") >= 1_000_000) == (100, True)

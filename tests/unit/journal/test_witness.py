"""The witness: a store that has lost its newest writes is refused, and a good store never is."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.unit.journal.world import told
from waggle_hub.journal.data_directory import DataDirectory
from waggle_hub.journal.interface import Store, StoreError
from waggle_hub.journal.sqlite.wal_check import index_of, log_of
from waggle_hub.journal.witness import WITNESS, Witness
from waggle_hub.state.persistence.records import HubRecord, StoredState, WriteBatch
from waggle_hub.state.store.entry import Entry

kinds = pytest.mark.parametrize("kind", ["sqlite", "json"])
WRITES = 6


def write(store: Store, witness: Witness, number: int) -> None:
    """One write of the journal: the entry has this value."""
    entry = Entry("k", "default", b"%d" % number, number, 1, "persistent", 0.0, 0.0, None, "a", None)
    hub = HubRecord(epoch="e1", rev=100)
    changes = WriteBatch(entries={("default", "k"): entry}, records={hub.name: hub})
    witness.number(changes)
    store.write(changes)
    witness.note()


def killed(path: Path, kind: str, writes: int = WRITES) -> list[Path]:
    """Write, and return copies of the directory as a kill leaves it after each write, the first before any."""
    copies = []
    with DataDirectory(path / "hub") as directory, directory.store(kind) as store:
        witness = Witness(path / "hub")
        witness.load(store, told)
        for number in range(writes + 1):
            if number:
                write(store, witness, number)
            copies.append(path / f"after-{number}")
            shutil.copytree(path / "hub", copies[-1])
        witness.close()
    return copies


def start(path: Path, kind: str, *, accept_older: bool = False) -> StoredState | None:
    """What a hub finds that starts on this directory."""
    with DataDirectory(path) as directory, directory.store(kind) as store:
        return Witness(path).load(store, told, accept_older=accept_older)


def value_of(stored: StoredState | None) -> int | None:
    return None if stored is None else int(next(iter(stored.entries)).value)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir() if not file.name.endswith(("-shm", ".lock"))}


@kinds
def test_a_store_that_ends_before_its_witness_is_refused_and_not_touched(kind: str, tmp_path: Path) -> None:
    *older, newest = killed(tmp_path, kind)
    for copy in older:
        shutil.copy(newest / WITNESS, copy)
        before = contents(copy)
        with pytest.raises(StoreError, match=rf"has synced write {WRITES} there, in epoch e1.*--accept-older"):
            start(copy, kind)
        assert contents(copy) == before
    assert value_of(start(newest, kind)) == WRITES


@kinds
def test_data_that_is_gone_is_refused(kind: str, tmp_path: Path) -> None:
    newest = killed(tmp_path, kind)[-1]
    for file in newest.glob("waggle.*"):
        file.unlink()
    with pytest.raises(StoreError, match="holds no data, although"):
        start(newest, kind)


@pytest.mark.parametrize("how", ["removed", "emptied", "cut"])
def test_a_log_that_lost_its_end_is_refused(how: str, tmp_path: Path) -> None:
    *_, shorter, newest = killed(tmp_path, "sqlite")
    log = log_of(newest / "waggle.db")
    index_of(newest / "waggle.db").unlink()
    if how == "removed":
        log.unlink()
    else:
        size = log_of(shorter / "waggle.db").stat().st_size if how == "cut" else 0
        with log.open("r+b") as file:
            file.truncate(size)
    with pytest.raises(StoreError):
        start(newest, "sqlite")


@kinds
@pytest.mark.parametrize("left", [0, 3])
def test_older_data_is_accepted_if_asked_and_a_new_epoch_begins(kind: str, left: int, tmp_path: Path) -> None:
    copies = killed(tmp_path, kind)
    shutil.copy(copies[-1] / WITNESS, copies[left])
    stored = start(copies[left], kind, accept_older=True)
    assert stored is not None
    (hub,) = [record for record in stored.records if isinstance(record, HubRecord)]
    assert hub.epoch == "", "the next start names a new one"
    assert [entry.value for entry in stored.entries] == ([b"3"] if left else [])
    again = start(copies[left], kind)
    assert again is not None, "it is not refused a second time"
    with DataDirectory(copies[left]) as directory, directory.store(kind) as store:
        witness = Witness(copies[left])
        witness.load(store, told)
        write(store, witness, 7)
        witness.close()
    assert value_of(start(copies[left], kind)) == 7


@kinds
def test_a_witness_that_is_missing_damaged_or_behind_refuses_nothing(kind: str, tmp_path: Path) -> None:
    copies = killed(tmp_path, kind)
    newest = (copies[-1] / WITNESS).read_bytes()
    chance = random.Random(1)
    damaged = [newest[:at] + bytes([chance.randrange(256)]) + newest[at + 1 :] for at in range(len(newest))]
    earlier = [(copy / WITNESS).read_bytes() for copy in copies[1:]]
    for content in [b"", bytes(256), b"\xff" * 256, newest[:20], newest * 2, *earlier, *chance.sample(damaged, 20)]:
        (copies[-1] / WITNESS).write_bytes(content)
        assert value_of(start(copies[-1], kind)) == WRITES
    (copies[-1] / WITNESS).unlink()
    assert value_of(start(copies[-1], kind)) == WRITES


@kinds
def test_a_backup_that_was_restored_is_not_taken_for_older_data(kind: str, tmp_path: Path) -> None:
    killed(tmp_path, kind)
    with DataDirectory(tmp_path / "hub") as directory, directory.store(kind) as store:
        backup = directory.backup(store, keep=1)
        witness = Witness(tmp_path / "hub")
        witness.load(store, told)
        write(store, witness, 100)
        witness.close()
    with DataDirectory(tmp_path / "hub") as directory:
        directory.restore(backup)
    assert value_of(start(tmp_path / "hub", kind)) == WRITES


def test_a_write_that_failed_is_not_noted(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory, directory.store("sqlite") as store:
        witness = Witness(tmp_path)
        witness.load(store, told)
        write(store, witness, 1)
        before = (tmp_path / WITNESS).read_bytes()
        for _ in range(2):
            witness.number(WriteBatch())
        assert (tmp_path / WITNESS).read_bytes() == before
        write(store, witness, 2)
        witness.close()
    assert value_of(start(tmp_path, "sqlite")) == 2


def damage(path: Path, chance: random.Random) -> str:
    """Damage one file of a directory, in a way that is drawn; return what was done."""
    file = chance.choice(sorted(file for file in path.iterdir() if file.is_file()))
    content = file.read_bytes()
    at = chance.randrange(len(content) + 1)
    length = chance.choice([1, 32, 512, 4096])
    ways = {
        "removed": None,
        "emptied": b"",
        "cut": content[:at],
        "zeroed": content[:at] + bytes(min(length, len(content) - at)) + content[at + length :],
        "zeroed at the head": bytes(min(length, len(content))) + content[length:],
        "changed": content[:at] + bytes(255 - byte for byte in content[at : at + length]) + content[at + length :],
    }
    way = chance.choice(list(ways))
    damaged = ways[way]
    if damaged is None:
        file.unlink()
    else:
        file.write_bytes(damaged)
    return f"{file.name} {way} at {at}, {length} bytes"


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_whatever_file_is_damaged_the_data_is_refused_or_right(kind: str, seed: int, tmp_path: Path) -> None:
    newest = killed(tmp_path, kind)[-1]
    chance = random.Random(seed)
    refused = 0
    for _ in range(40):
        copy = tmp_path / "damaged"
        shutil.copytree(newest, copy)
        done = damage(copy, chance)
        try:
            value = value_of(start(copy, kind))
        except StoreError:
            refused += 1
        else:
            assert value == WRITES, done
        shutil.rmtree(copy)
    assert refused > 5

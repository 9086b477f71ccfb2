"""The SQLite store, where it is more than the contract: its files under faults, and what it is to other programs."""

from __future__ import annotations

import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from tests.unit.journal.faults import BROKEN, FULL, where_fails
from tests.unit.journal.world import World, plain, random_turns, told
from waggle_hub.journal.interface import StoreError
from waggle_hub.journal.sqlite.schema import MIGRATIONS
from waggle_hub.journal.sqlite.store import SqliteStore
from waggle_hub.journal.sqlite.wal_check import log_of
from waggle_hub.state.persistence.records import StoredState, WriteBatch
from waggle_hub.state.store.entry import Entry

SECTOR = 512
Image = tuple[bytes, bytes]
"""A database and its log."""


def image(path: Path) -> Image:
    return path.read_bytes(), log_of(path).read_bytes()


def loaded(directory: Path, files: Image) -> StoredState | None:
    """What a start finds after a crash that left these files."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    path = directory / "data"
    path.write_bytes(files[0])
    log_of(path).write_bytes(files[1])
    with SqliteStore(path) as store:
        return store.load(told)


def torn(old: bytes, new: bytes, chance: random.Random) -> bytes:
    """A file that was being changed when the power failed: of each sector what was there before, or is now."""
    longest = max(len(old), len(new))
    size = chance.choice([len(old), len(new), chance.randint(min(len(old), len(new)), longest)])
    versions = old.ljust(longest, b"\0"), new.ljust(longest, b"\0")
    share = chance.choice([0.05, 0.5, 0.95])
    sectors = [versions[chance.random() < share][at : at + SECTOR] for at in range(0, longest, SECTOR)]
    return b"".join(sectors)[:size]


def checkpoint(store: SqliteStore) -> None:
    """Let the log be copied to its place."""
    assert store._open().execute("PRAGMA wal_checkpoint").fetchall()[0][0] == 0


@pytest.mark.parametrize("seed", range(3))
def test_when_the_power_fails_during_a_write_all_of_it_is_there_or_nothing(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    world = World()
    seen = set()
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 1))
        store.write(WriteBatch(entries={("default", "k000000"): None}))
        for turn in random_turns(seed, 10):
            old, (data, log) = world.state(), image(store.path)
            store.write(world.turn(**turn))
            new, (_, longer) = world.state(), image(store.path)
            cuts = [longer[:at] for at in range(len(log), len(longer), SECTOR)]
            for left in [*chance.sample(cuts, min(6, len(cuts))), *(torn(log, longer, chance) for _ in range(6))]:
                kept = loaded(tmp_path / "crash", (data, left))
                assert old.matches(kept) or new.matches(kept)
                seen.add(new.matches(kept))
            assert new.matches(loaded(tmp_path / "crash", (data, longer)))
    assert seen == {True, False}


@pytest.mark.parametrize("seed", range(3))
def test_when_the_power_fails_while_the_log_is_copied_to_its_place_nothing_is_lost(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    world = World()
    with SqliteStore(tmp_path / "data") as store:
        for number, turn in enumerate(random_turns(seed, 12)):
            store.write(world.turn(**turn))
            if number % 4 == 3:
                data, log = image(store.path)
                checkpoint(store)
                copied = store.path.read_bytes()
                for _ in range(10):
                    left = torn(data, copied, chance).ljust(len(data), b"\0")
                    assert world.state().matches(loaded(tmp_path / "crash", (left, log)))


@pytest.mark.parametrize("seed", range(3))
def test_a_power_failure_while_a_new_log_begins_loses_nothing(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    world = World()
    with SqliteStore(tmp_path / "data") as store:
        for turn in random_turns(seed, 12):
            store.write(world.turn(**turn))
            if chance.random() < 0.7:
                continue
            checkpoint(store)
            old, (data, log) = world.state(), image(store.path)
            store.write(world.turn(**next(random_turns(chance.randrange(100), 1))))
            new, (_, anew) = world.state(), image(store.path)
            header = anew[:32]  # is synced before anything else is written
            assert header != log[:32]
            for _ in range(10):
                kept = loaded(tmp_path / "crash", (data, header + torn(log[32:], anew[32:], chance)))
                assert old.matches(kept) or new.matches(kept)
            assert new.matches(loaded(tmp_path / "crash", (data, anew)))


@pytest.mark.parametrize("seed", range(3))
def test_a_log_that_rotted_is_refused_and_not_taken_for_a_shorter_one(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    world = World()
    lengths = []
    with SqliteStore(tmp_path / "data") as store:
        for turn in random_turns(seed, 10):
            store.write(world.turn(**turn))
            lengths.append(log_of(store.path).stat().st_size)
        data, log = image(store.path)
    refused = 0
    for _ in range(100):
        changed = bytearray(log)
        changed[chance.randrange(lengths[-3])] ^= chance.randrange(1, 256)
        rotten = bytes(changed)
        try:
            kept = loaded(tmp_path / "crash", (data, rotten))
        except StoreError:
            refused += 1
            assert image(tmp_path / "crash" / "data") == (data, rotten), "what is damaged is not touched"
        else:
            assert world.state().matches(kept)
    assert refused > 90


@pytest.mark.parametrize("writes", [1, 2, 10])
@pytest.mark.parametrize(
    "damage", [bytes(32), bytes(4), b"\x7f", bytes([255]) * 32], ids=lambda damage: damage.hex()[:8]
)
def test_a_log_whose_head_is_damaged_is_refused_and_not_taken_for_an_empty_one(
    damage: bytes, writes: int, tmp_path: Path
) -> None:
    with SqliteStore(tmp_path / "data") as store:
        for number in range(writes):
            store.write(many(number, 1))
        data, log = image(store.path)
    for at in (0, 7, 16, 24) if len(damage) < 32 else (0,):
        rotten = log[:at] + damage + log[at + len(damage) :]
        if rotten != log:
            with pytest.raises(StoreError, match="its head does not verify"):
                loaded(tmp_path / "crash", (data, rotten))
            assert image(tmp_path / "crash" / "data") == (data, rotten), "what is damaged is not touched"


def test_a_log_of_zeros_is_refused(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 3))
        data, log = image(store.path)
    with pytest.raises(StoreError, match="its head does not verify"):
        loaded(tmp_path / "crash", (data, bytes(len(log))))


@pytest.mark.parametrize("size", [0, 12, 32])
def test_a_log_whose_head_was_being_written_when_the_power_failed_is_empty(size: int, tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 3))
    data = (tmp_path / "data").read_bytes()
    kept = loaded(tmp_path / "crash", (data, bytes(size)))
    assert kept is not None
    assert len(list(kept.entries)) == 3


def test_a_log_without_its_database_is_refused(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 1))
        log = log_of(store.path).read_bytes()
    (tmp_path / "data").unlink()
    log_of(tmp_path / "data").write_bytes(log)
    with SqliteStore(tmp_path / "data") as store:
        with pytest.raises(StoreError, match="missing or empty, and its log is not"):
            store.load(told)
        with pytest.raises(StoreError, match="missing or empty, and its log is not"):
            store.write(many(1, 1))
    assert log_of(tmp_path / "data").read_bytes() == log


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [("write", FULL, "the disk is full"), ("write", BROKEN, "the disk reports an error"), ("sync", BROKEN, "the disk")],
)
def test_a_write_that_failed_on_disk_is_absent_after_a_crash(call: str, error: int, words: str, tmp_path: Path) -> None:
    world = World()
    with SqliteStore(tmp_path / "data") as store:
        for turn in random_turns(5, 10):
            store.write(world.turn(**turn))
            state = world.state()
            changes = world.turn(**turn)

            def fail(changes: WriteBatch = changes) -> None:
                store.write(changes)

            with pytest.raises(StoreError, match=words):
                where_fails(call, error, fail)
            assert state.matches(loaded(tmp_path / "crash", image(store.path)))
            with pytest.raises(StoreError, match=words):
                where_fails(call, error, store.probe)
            store.probe()
            store.write(changes)
            assert world.state().matches(loaded(tmp_path / "crash", image(store.path)))
    assert not list(tmp_path.glob("*.partial"))


def fill_up(path: Path) -> int:
    """Write while files may not grow beyond a little more than they are, and again when they may."""
    world = World()
    failed = 0
    with SqliteStore(path) as store:
        for turn in random_turns(9, 40):
            changes = world.turn(**turn)
            largest = max((file.stat().st_size for file in path.parent.iterdir()), default=50_000)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 9_000, resource.RLIM_INFINITY))
            try:
                store.write(changes)
            except StoreError as error:
                assert "limit on the size of a file" in str(error)  # noqa: PT017
                failed += 1
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                store.probe()
                store.write(changes)
            assert world.state().matches(store.load(told))
    return failed


def test_when_files_may_not_grow_writes_fail_and_work_again_when_they_may(tmp_path: Path) -> None:
    code = f"from {__name__} import *; assert fill_up(Path({str(tmp_path / 'data')!r})) > 3"
    root = Path(__file__).parents[4]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr


def many(first: int, number: int) -> WriteBatch:
    """Entries, all in one turn."""
    entries = [
        Entry(f"k{n:06}", "default", b"%d" % n, n, 1, "persistent", 0.0, 0.0, None, "a", None)
        for n in range(first, first + number)
    ]
    return WriteBatch(entries={(entry.ns, entry.key): entry for entry in entries})


def numbers(store: SqliteStore) -> list[int]:
    kept = store.load(told)
    return [] if kept is None else [entry.rev for entry in kept.entries]


def test_a_write_of_many_statements_is_all_there_or_not_at_all(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 100))
        for steps in (10_000, 40_000, 80_000):
            store._open().set_progress_handler(lambda: 1, steps)
            with pytest.raises(StoreError):
                store.write(many(1_000, 5_000))
            store._open().set_progress_handler(None, 0)
            assert numbers(store) == list(range(100))
        for number in (1_023, 1_024, 1_025, 5_000):
            store.write(many(1_000, number))
            assert numbers(store) == [*range(100), *range(1_000, 1_000 + number)]


def test_a_backup_beside_writes_is_a_state_that_was(tmp_path: Path) -> None:
    done = Flag()
    failed: list[BaseException] = []
    world = World()
    states = [world.state()]

    def copy(store: SqliteStore) -> None:
        number = 0
        while not done.is_set() and not failed:
            try:
                store.backup(tmp_path / f"backup-{number}")
            except BaseException as error:
                failed.append(error)
            number += 1

    with SqliteStore(tmp_path / "data") as store:
        store.write(world.turn(**next(random_turns(1, 1))))
        states.append(world.state())
        thread = Thread(target=copy, args=(store,))
        thread.start()
        for turn in random_turns(3, 100):
            store.write(world.turn(**turn))
            states.append(world.state())
        done.set()
        thread.join()
    assert not failed
    backups = list(tmp_path.glob("backup-*"))
    assert backups
    for path in backups:
        with SqliteStore(path) as backup:
            kept = backup.load(told)
        assert any(state.matches(kept) for state in states)


def _with_an_index(db: sqlite3.Connection) -> None:
    db.execute("CREATE INDEX entries_by_rev ON entries (rev)")


def _broken(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE more (a)")
    db.execute("DROP TABLE nothing")


def test_an_older_format_becomes_the_newest_when_it_is_read_and_keeps_everything(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 10))
    with SqliteStore(tmp_path / "data", (*MIGRATIONS, _with_an_index)) as store:
        assert numbers(store) == list(range(10))
        store.write(many(10, 10))
        assert numbers(store) == list(range(20))
    with sqlite3.connect(tmp_path / "data") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT name FROM sqlite_schema WHERE type = 'index'").fetchall() == [("entries_by_rev",)]
    db.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 10))
    with SqliteStore(tmp_path / "data", (*MIGRATIONS, _broken)) as store, pytest.raises(StoreError):
        store.load(told)
    with SqliteStore(tmp_path / "data") as store:
        assert numbers(store) == list(range(10))


def test_a_newer_format_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data", (*MIGRATIONS, _with_an_index)) as store:
        store.write(many(0, 1))
    whole = (tmp_path / "data").read_bytes()
    with SqliteStore(tmp_path / "data") as store:
        with pytest.raises(StoreError, match=r"format 2, and this hub knows formats 1 to 1.*Start the newer hub"):
            store.load(told)
        with pytest.raises(StoreError, match="format 2"):
            store.write(many(1, 1))
    assert (tmp_path / "data").read_bytes() == whole


def test_a_table_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 1))
    with sqlite3.connect(tmp_path / "data") as db:
        db.execute("ALTER TABLE entries ADD COLUMN note TEXT")
    db.close()
    with SqliteStore(tmp_path / "data") as store, pytest.raises(StoreError, match="the table entries is not"):
        store.load(told)


def test_a_row_that_was_changed_by_hand_is_refused_and_named(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 3))
    with sqlite3.connect(tmp_path / "data") as db:
        db.execute("UPDATE entries SET value = '7' WHERE key = 'k000001'")
    db.close()
    with SqliteStore(tmp_path / "data") as store, pytest.raises(StoreError, match="'k000001' in namespace default"):
        store.load(told)


def test_a_backup_of_what_has_rotted_is_refused(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 3))
        with sqlite3.connect(tmp_path / "data") as db:
            db.execute("UPDATE entries SET value = '7' WHERE key = 'k000001'")
        db.close()
        with pytest.raises(StoreError, match="'k000001' in namespace default"):
            store.backup(tmp_path / "backup")
    assert not list(tmp_path.glob("backup*"))


def test_other_programs_can_read_what_is_kept_while_the_hub_runs(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 3))
        with sqlite3.connect(tmp_path / "data") as db:
            rows = db.execute(
                "SELECT key, value, json_extract(value, '$') FROM entries WHERE ns = 'default'"
            ).fetchall()
            assert rows == [("k000000", "0", 0), ("k000001", "1", 1), ("k000002", "2", 2)]
        db.close()
        store.write(many(3, 1))
        assert numbers(store) == [0, 1, 2, 3]


def test_long_values_are_compressed(tmp_path: Path) -> None:
    value = b'"' + b"0123456789" * 100_000 + b'"'
    entry = Entry("k", "default", value, 1, 1, "persistent", 0.0, 0.0, None, "a", None)
    with SqliteStore(tmp_path / "data") as store:
        store.write(WriteBatch(entries={("default", "k"): entry}))
        assert plain(store.load(told))["entries"][0][2] == value
    assert (tmp_path / "data").stat().st_size < 50_000


def test_nobody_but_its_owner_may_read_what_is_kept(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "data") as store:
        store.write(many(0, 1))
        store.backup(tmp_path / "backup")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes

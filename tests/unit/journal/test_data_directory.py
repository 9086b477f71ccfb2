"""The data directory: one hub at a time, one kind of store, backups, and what a restore leaves."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.unit.journal.kinds import FailingFiles
from tests.unit.journal.world import plain, told
from waggle_hub.journal.data_directory import DataDirectory, newest_backup
from waggle_hub.journal.files import Files
from waggle_hub.journal.interface import Store, StoreError
from waggle_hub.journal.sqlite.wal_check import log_of
from waggle_hub.state.persistence.records import HubRecord, WriteBatch
from waggle_hub.state.store.entry import Entry

NOON = 1_769_860_800.0  # 2026-01-31 12:00:00 UTC
kinds = pytest.mark.parametrize(("kind", "suffix"), [("sqlite", ".db"), ("json", ".json")])


def value(store: Store, number: int) -> None:
    """Let the one entry have this value."""
    entry = Entry("k", "default", b"%d" % number, number, 1, "persistent", 0.0, 0.0, None, "a", None)
    hub = HubRecord(epoch="e1", rev=100)
    store.write(WriteBatch(entries={("default", "k"): entry}, records={hub.name: hub}))


def value_of(store: Store) -> int | None:
    kept = store.load(told)
    return None if kept is None else int(plain(kept)["entries"][0][2])


def names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}


# --- one hub ---

HOLD = """
import sys
from pathlib import Path
from waggle_hub.journal.data_directory import DataDirectory
with DataDirectory(Path(sys.argv[1]), "http://127.0.0.1:4483"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_hub(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_second_hub_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    with another_hub(tmp_path) as process:
        with pytest.raises(StoreError, match=r"is in use by another hub at http://127\.0\.0\.1:4483") as caught:
            DataDirectory(tmp_path)
        assert f"process {process.pid} on {os.uname().nodename}, since 20" in str(caught.value)
    with DataDirectory(tmp_path):
        pass


def test_a_hub_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    with another_hub(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with DataDirectory(tmp_path):
            pass


def test_a_lock_file_without_a_name_still_means_another_hub(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        (tmp_path / "hub.lock").write_text("")
        with pytest.raises(StoreError, match="is in use by another hub\\. Stop that hub"):
            DataDirectory(tmp_path)


def test_a_second_hub_is_refused_although_the_lock_file_was_deleted(tmp_path: Path) -> None:
    with another_hub(tmp_path):
        (tmp_path / "hub.lock").unlink()
        with pytest.raises(StoreError, match="is in use by another hub\\. Stop that hub"):
            DataDirectory(tmp_path)
        assert not (tmp_path / "hub.lock").exists()
    with DataDirectory(tmp_path):
        pass


def test_a_hub_that_locks_only_the_lock_file_is_respected(tmp_path: Path) -> None:
    with (tmp_path / "hub.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="is in use by another hub"):
            DataDirectory(tmp_path)


def test_on_a_file_system_that_cannot_lock_directories_the_lock_file_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def without_directories(file: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")  # NFS
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", without_directories)
    with DataDirectory(tmp_path), pytest.raises(StoreError, match="is in use by another hub"):
        DataDirectory(tmp_path)


def test_a_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data"
    with DataDirectory(path) as directory, directory.store("sqlite") as store:
        value(store, 1)
        directory.backup(store, keep=1)
        assert path.stat().st_mode & 0o777 == directory.backups.stat().st_mode & 0o777 == 0o700


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom file permissions hold back."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_directory_that_cannot_be_used_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file cannot be used: .*name another directory"):
        DataDirectory(tmp_path / "file")
    with TemporaryDirectory() as name:
        path = Path(name)
        (path / "hub.lock").touch()
        (path / "hub.lock").chmod(0o666)
        path.chmod(0o555)
        with as_nobody(), pytest.raises(StoreError, match=r"permission is denied.*Give this user the right to write"):
            DataDirectory(path)
        path.chmod(0o700)


@kinds
def test_data_in_the_other_kind_of_store_is_not_passed_over(kind: str, suffix: str, tmp_path: Path) -> None:
    other = {"sqlite": "json", "json": "sqlite"}[kind]
    with DataDirectory(tmp_path) as directory:
        with directory.store(kind) as store:
            value(store, 1)
        with pytest.raises(StoreError, match=rf"has its data in waggle{suffix}, which is the store {kind}: start"):
            directory.store(other)
        with directory.store(kind) as store:
            assert value_of(store) == 1


# --- backups ---


@kinds
def test_backups_are_named_by_their_time_and_the_newest_are_kept(kind: str, suffix: str, tmp_path: Path) -> None:
    times = iter([NOON, NOON, NOON, NOON, NOON + 1, NOON + 86_400, NOON - 7])
    with DataDirectory(tmp_path, clock=lambda: next(times)) as directory, directory.store(kind) as store:
        (tmp_path / "backups").mkdir()
        (tmp_path / "backups" / "mine.txt").touch()
        (tmp_path / "backups" / "waggle-20260131-110000.db.partial").touch()
        made = []
        for number in range(1, 6):
            value(store, number)
            made.append(directory.backup(store, keep=3).name)
        assert made == [f"waggle-20260131-{n}{suffix}" for n in ("120000", "120000.1", "120000.2", "120001")] + [
            f"waggle-20260201-120000{suffix}"
        ]
        assert names(directory.backups) == {*made[-3:], "mine.txt"}
        behind = directory.backup(store, keep=3)
        assert names(directory.backups) == {*made[-2:], behind.name, "mine.txt"}, "a clock set back removes nothing new"


# --- restoring ---


@pytest.fixture(params=["sqlite", "json"])
def kind(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.fixture
def backup(kind: str, tmp_path: Path) -> Path:
    """A backup with the value 1, of data that has the value 2."""
    with DataDirectory(tmp_path) as directory, directory.store(kind) as store:
        value(store, 1)
        made = directory.backup(store, keep=1)
        value(store, 2)
    return made


def test_a_backup_takes_the_place_of_the_data_which_is_kept(kind: str, backup: Path, tmp_path: Path) -> None:
    with DataDirectory(tmp_path, clock=lambda: NOON) as directory:
        directory.restore(backup)
        with directory.store(kind) as store:
            assert value_of(store) == 1
            assert [record for record in store.records() if isinstance(record, HubRecord)] == [
                HubRecord(epoch="", rev=100, floor=100)
            ]
        replaced = tmp_path / "replaced-20260131-120000"
        assert names(tmp_path) == {"hub.lock", "backups", replaced.name, f"waggle{backup.suffix}"}
        directory.restore(replaced / f"waggle{backup.suffix}")
        with directory.store(kind) as store:
            assert value_of(store) == 2
        assert (tmp_path / "replaced-20260131-120000.1").exists(), "nothing is replaced twice"
    assert backup.exists()


def test_a_backup_is_restored_where_nothing_is_or_something_else_was(kind: str, backup: Path, tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "new") as directory:
        directory.restore(backup)
        with directory.store(kind) as store:
            assert value_of(store) == 1
    other = {"sqlite": "json", "json": "sqlite"}[kind]
    with DataDirectory(tmp_path / "other") as directory:
        with directory.store(other) as store:
            value(store, 7)
        directory.restore(backup)
        with directory.store(kind) as store:
            assert value_of(store) == 1


def test_damaged_data_is_no_hindrance(kind: str, backup: Path, tmp_path: Path) -> None:
    (tmp_path / f"waggle{backup.suffix}").write_bytes(b"rotten")
    with DataDirectory(tmp_path) as directory:
        with directory.store(kind) as store, pytest.raises(StoreError, match="waggle restore"):
            store.load(told)
        directory.restore(backup)
        with directory.store(kind) as store:
            assert value_of(store) == 1


def test_a_damaged_backup_is_refused_and_the_data_stays(kind: str, backup: Path, tmp_path: Path) -> None:
    whole = backup.read_bytes()
    before = names(tmp_path)
    for damaged in (whole[:-1000], whole[:100], b"", whole.replace(b"e1", b"e2")):
        backup.write_bytes(damaged)
        with DataDirectory(tmp_path) as directory:
            with pytest.raises(StoreError, match="cannot be restored, and nothing has changed"):
                directory.restore(backup)
            with pytest.raises(StoreError, match="no-such-file cannot be restored"):
                directory.restore(tmp_path / "no-such-file")
            assert {name for name in names(tmp_path) if not name.endswith(("-wal", "-shm"))} == before
            with directory.store(kind) as store:
                assert value_of(store) == 2


def test_nothing_is_restored_while_a_hub_runs(kind: str, backup: Path, tmp_path: Path) -> None:
    with another_hub(tmp_path), pytest.raises(StoreError, match="is in use by another hub"):
        DataDirectory(tmp_path)


def test_data_after_a_crash_is_restored_with_its_log(tmp_path: Path) -> None:
    left = tmp_path / "left.db"
    with DataDirectory(tmp_path / "hub") as directory, directory.store("sqlite") as store:
        value(store, 1)
        value(store, 2)
        shutil.copy(tmp_path / "hub" / "waggle.db", left)
        shutil.copy(tmp_path / "hub" / "waggle.db-wal", log_of(left))
    with DataDirectory(tmp_path / "new") as directory:
        directory.restore(left)
        with directory.store("sqlite") as store:
            assert value_of(store) == 2


def test_a_restore_that_breaks_off_has_not_happened_or_is_completed_by_the_next_hub(
    kind: str, backup: Path, tmp_path: Path
) -> None:
    found: list[int] = []
    for calls in count():
        path = tmp_path / f"hub-{calls}"
        shutil.copytree(tmp_path, path, ignore=lambda _, names: [name for name in names if name.startswith("hub-")])
        files = FailingFiles()
        with DataDirectory(path, files=files) as directory:
            files.calls = calls
            try:
                directory.restore(backup)
            except StoreError:
                broken_off = True
            else:
                broken_off = False
        with DataDirectory(path) as directory, directory.store(kind) as store:
            found.append(value_of(store) or 0)
            assert not [name for name in names(path) if name.startswith("restor")]
            assert len([name for name in names(path) if name.startswith("replaced-")]) == (found[-1] == 1)
        if not broken_off:
            break
    assert found == sorted(found, reverse=True), "from the deciding moment on it is the backup"
    assert set(found) == {2, 1}
    assert found.count(1) > 2


def test_a_directory_is_released_even_if_it_could_not_be_used(tmp_path: Path) -> None:
    class Broken(Files):
        def create(self, path: Path) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="the disk is full"):
        DataDirectory(tmp_path, files=Broken())
    with DataDirectory(tmp_path):
        pass


def test_when_the_newest_backup_was_made(tmp_path: Path) -> None:
    assert newest_backup(tmp_path) == 0.0
    backups = tmp_path / "backups"
    backups.mkdir()
    begun = "waggle-20260131-120003.db.partial"
    for name, at in (("waggle-20260131-120001.db", 100.0), ("waggle-20260131-120002.db", 300.0), (begun, 900.0)):
        (backups / name).touch()
        os.utime(backups / name, (at, at))
    assert newest_backup(tmp_path) == 300.0

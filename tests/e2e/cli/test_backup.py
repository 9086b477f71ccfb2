"""Backups of a hub that goes on, and what is there after a restore."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import waggle.sync
from tests.e2e.cli.shell import SOON, Completed, Shell, environment, run_here, run_process
from tests.e2e.hubs import HubProcess, StartHub

pytestmark = pytest.mark.e2e

STORES = {"sqlite": (), "relaxed": ("--durability", "relaxed"), "json": ("--journal", "json")}
At = Callable[[HubProcess], Shell]


@pytest.fixture
def at() -> At:
    """`waggle` at this hub."""

    def shell(hub: HubProcess) -> Shell:
        def run(*args: str, stdin: str = "") -> Completed:
            runner = run_process if args[0] == "restore" else run_here  # restore becomes a program of the hub's
            return runner(environment(WAGGLE_URL=hub.url), args, stdin)

        return run

    return shell


def made(shell: Shell) -> waggle.BackedUp:
    """Make a backup."""
    result = shell("backup", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    return waggle.BackedUp(**json.loads(result.stdout))


def backups(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "backups").iterdir())


@pytest.mark.parametrize("options", STORES.values(), ids=STORES)
def test_a_restore_is_what_was_there_while_others_wrote(
    start_hub: StartHub, at: At, tmp_path: Path, options: tuple[str, ...]
) -> None:
    data = tmp_path / "data"
    hub = start_hub(data=data, options=options)
    stop = threading.Event()
    revs: list[int] = []

    def write() -> None:
        with waggle.sync.connect(hub.url, agent="writer") as writer:
            while not stop.is_set():
                n = len(revs)
                steps = [{"op": "set", "key": f"{name}:{n % 50}", "value": n} for name in ("a", "b")]
                revs.append(writer.txn([*steps, {"op": "set", "key": "n", "value": n}]).rev)  # type: ignore[list-item]

    with waggle.sync.connect(hub.url, agent="other", ns="other") as other:
        other.set("plan", 1, kind="versioned", meta={"label": "ü"})
        other.set("plan", 2, kind="versioned")
        other.set("mine", 1, ephemeral=True)
        other.set("soon gone", 1, kind="transient")
        thread = threading.Thread(target=write)
        thread.start()
        try:
            while len(revs) < 60:
                time.sleep(0.005)
            backup = made(at(hub))
            here = len(revs)
            while len(revs) < here + 60:
                time.sleep(0.005)
        finally:
            stop.set()
            thread.join()
        before = other.history("plan")
        epoch = other.epoch
    hub.stop()
    highest = revs[-1]

    result = at(hub)("restore", Path(backup.path).name, "--data", str(data))
    assert (result.returncode, result.stderr) == (0, "")
    (aside,) = data.glob("replaced-*")
    assert str(aside) in result.stdout
    again = start_hub(data=data, options=options)
    with waggle.sync.connect(again.url, agent="later") as later:
        assert later.epoch != epoch
        assert later.rev > highest
        last = later.get("n")
        assert last is not None
        n = last.value
        assert revs[n] == last.rev
        assert n >= sum(rev <= backup.rev for rev in revs) - 1
        for place in range(50):
            expected = n - (n - place) % 50
            for name in ("a", "b"):
                entry = later.get(f"{name}:{place}")
                assert entry is not None
                assert (entry.value, entry.rev) == (expected, revs[expected])
        assert len(later.list()) == 101
        assert later.history("plan", ns="other") == before
        assert {entry.key for entry in later.list(ns="other")} == {"plan"}
        assert later.set("mine", 1, ns="other").version == 2
    assert again.stop() == 0


def test_so_many_are_kept_and_each_can_be_told_apart(start_hub: StartHub, at: At, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path, options=("--backups", "3"))
    shell = at(hub)
    paths = [made(shell).path for _ in range(5)]
    assert len(set(paths)) == 5
    assert sorted(paths[2:]) == [str(tmp_path / "backups" / name) for name in backups(tmp_path)]
    plain = shell("backup").stdout
    assert plain.startswith(f"{tmp_path}/backups/waggle-")
    assert " KiB, up to rev " in plain


def test_a_backup_each_so_often(start_hub: StartHub, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path, options=("--backup-every", "0.3s", "--backups", "2"))
    seen: set[str] = set()
    until = time.monotonic() + SOON
    while len(seen) < 4:
        assert time.monotonic() < until, seen
        time.sleep(0.05)
        if (tmp_path / "backups").exists():
            seen |= {name for name in backups(tmp_path) if not name.endswith(".partial")}
    hub.stop()
    assert len(backups(tmp_path)) == 2


def test_in_memory_there_is_nothing_to_back_up(shell: Shell, agent: waggle.sync.Hub) -> None:
    result = shell("backup")
    assert (result.returncode, result.stdout) == (2, "")
    assert "memory" in result.stderr
    agent.set("k", 1)
    assert shell("clear", "*", "--yes").stderr == ""


def test_where_it_cannot_be_made_it_says_why_and_nothing_is_cleared(
    start_hub: StartHub, at: At, tmp_path: Path
) -> None:
    hub = start_hub(data=tmp_path)
    (tmp_path / "backups").write_text("in the way")
    shell = at(hub)
    shell("set", "k", "1")
    for result in (shell("backup"), shell("clear", "*", "--yes")):
        assert (result.returncode, result.stdout) == (2, "")
        assert "no backup was made" in result.stderr
    assert "--no-backup" in result.stderr
    assert shell("get", "k").stdout == "1\n"
    assert shell("clear", "*", "--yes", "--no-backup").stdout == "1 deleted\n"


def test_clear_makes_one_first_and_says_so(start_hub: StartHub, at: At, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path)
    shell = at(hub)
    shell("set", "k", "1")
    assert shell("clear", "none*", "--yes").stderr == ""
    assert not (tmp_path / "backups").exists()
    result = shell("clear", "*", "--yes")
    (name,) = backups(tmp_path)
    assert f"backup made first: {tmp_path / 'backups' / name} (" in result.stderr
    hub.stop()
    assert shell("restore", name, "--data", str(tmp_path)).returncode == 0
    assert at(start_hub(data=tmp_path))("get", "k").stdout == "1\n"


def test_a_restore_to_another_machine(start_hub: StartHub, at: At, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path / "here")
    shell = at(hub)
    shell("set", "k", '"moved"')
    backup = made(shell).path
    result = shell("restore", backup, "--data", str(tmp_path / "there"))
    assert (result.returncode, "before" in result.stdout) == (0, False)
    assert at(start_hub(data=tmp_path / "there"))("get", "k").stdout == '"moved"\n'
    assert shell("get", "k").stdout == '"moved"\n'


def test_a_restore_that_fails_changes_nothing(start_hub: StartHub, at: At, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path)
    shell = at(hub)
    shell("set", "k", "1")
    backup = Path(made(shell).path)

    def refused(name: str, word: str) -> None:
        result = shell("restore", name, "--data", str(tmp_path))
        assert (result.returncode, result.stdout) == (2, "")
        assert word in result.stderr
        assert "Traceback" not in result.stderr

    refused(backup.name, hub.url)
    assert shell("get", "k").stdout == "1\n"
    hub.stop()
    refused("waggle-none.db", "is not there")
    (tmp_path / "text.db").write_text("no data of a hub")
    refused(str(tmp_path / "text.db"), "text.db")
    damaged = bytearray(backup.read_bytes())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    (tmp_path / "damaged.db").write_bytes(damaged)
    refused(str(tmp_path / "damaged.db"), "damaged")
    assert not list(tmp_path.glob("re*ed-*"))
    assert at(start_hub(data=tmp_path))("get", "k").stdout == "1\n"


def test_a_hub_that_stops_leaves_no_backup_half_made(start_hub: StartHub, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path)
    with waggle.sync.connect(hub.url) as agent:
        for n in range(20):
            agent.set(f"k{n}", "x" * 1_000_000)
        thread = threading.Thread(target=lambda: _ignoring(agent.backup))
        thread.start()
        time.sleep(0.05)
        assert hub.stop() == 0
    thread.join()
    assert not [name for name in backups(tmp_path) if name.endswith(".partial")]


def _ignoring(what: Callable[[], object]) -> None:
    try:
        what()
    except waggle.WaggleError:
        pass

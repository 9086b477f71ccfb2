"""Imports from earlier systems: all entries are counted, and none is written if the file is wrong."""

from __future__ import annotations

import json
import shlex
import sqlite3
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import waggle.sync
from tests.e2e.cli.shell import Shell
from tests.e2e.hubs import HubProcess, StartHub

pytestmark = pytest.mark.e2e

IDS = [f"550e8400-e29b-41d4-a716-44665544000{n}" for n in range(3)]


def memory(number: int, **fields: Any) -> dict[str, Any]:
    """An entry of Shared Memory MCP."""
    return {
        "entry_id": IDS[number], "timestamp": f"2025-10-30T12:00:0{number}+00:00", "agent_name": "claude-alpha",
        "content": f"insight {number}", "word_count": 2, "tags": ["a"], "priority": "high", "metadata": {"n": number},
        "updated_at": None, **fields,
    }  # fmt: skip


def memories(path: Path, *entries: Any) -> str:
    """Write a memory.json of shared-memory, version 2."""
    made = "2025-10-30T12:00:00+00:00"
    path.write_text(
        json.dumps({"version": "2.0", "entries": entries, "created_at": made, "updated_at": made}, indent=2)
    )
    return str(path)


def database(path: Path, *rows: tuple[Any, ...]) -> str:
    """The memory.db of claude-flow: key, value, namespace, metadata, ttl, expires_at."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(
            """CREATE TABLE memory_entries (
                id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, value TEXT NOT NULL,
                namespace TEXT NOT NULL DEFAULT 'default', metadata TEXT,
                created_at INTEGER DEFAULT (strftime('%s', 'now')), updated_at INTEGER DEFAULT (strftime('%s', 'now')),
                accessed_at INTEGER DEFAULT (strftime('%s', 'now')), access_count INTEGER DEFAULT 0,
                ttl INTEGER, expires_at INTEGER, UNIQUE (key, namespace))"""
        )
        db.executemany(
            "INSERT INTO memory_entries (key, value, namespace, metadata, ttl, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
    return str(path)


def test_the_memories_of_shared_memory_come_in_once(shell: Shell, hub: HubProcess, tmp_path: Path) -> None:
    file = memories(tmp_path / "memory.json", memory(0), memory(1, tags=[" B "]))
    dry = shell("import", "--from", "shared-memory", file, "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "2 would be written\n")
    with waggle.sync.connect(hub.url, ns="memory") as agent:
        assert agent.list() == []
        came = shell("import", "--from", "shared-memory", file)
        assert (came.returncode, came.stdout) == (0, "2 written\n"), came.stderr
        assert [entry.value for entry in agent.list()] == [memory(0), memory(1, tags=["b"])]
        assert [hit.key for hit in agent.search("insight claude-alpha")] == IDS[:2]
        again = shell("import", "--from", "shared-memory", file)
        assert again.returncode == 1
        assert "2 there already" in again.stderr
        longer = memories(tmp_path / "memory.json", memory(0), memory(1), memory(2))
        more = shell("import", "--from", "shared-memory", longer, "--skip-existing", "--json")
        assert json.loads(more.stdout) == {"written": 1, "skipped": 2, "expired": 0, "wrong": 0}
        agent.clear("*")


def test_more_memories_than_the_profile_keeps_are_reported_with_a_remedy(
    shell: Shell, start_hub: StartHub, tmp_path: Path
) -> None:
    hub = start_hub()
    env = ("--url", hub.url)
    entries = [memory(0, entry_id=str(uuid.UUID(int=number + 1))) for number in range(1_001)]
    few = memories(tmp_path / "few.json", *entries[:1_000])
    assert shell("import", *env, "--from", "shared-memory", few).stderr == ""
    done = shell("import", *env, "--from", "shared-memory", "--skip-existing", memories(tmp_path / "m.json", *entries))
    assert done.returncode == 0
    assert "keeps 1,000 memories, and 1,001 are there: the next that is added drops the oldest" in done.stderr
    told = shlex.split(done.stderr.partition("To keep more: ")[2])
    assert told[0] == "waggle"
    assert shell(*told[1:], *env).returncode == 0
    one_more = memories(tmp_path / "one.json", memory(0, entry_id=str(uuid.UUID(int=5_000))))
    assert shell("import", *env, "--from", "shared-memory", one_more).stderr == ""


def test_nothing_is_written_if_something_is_wrong_unless_that_is_left_out(
    shell: Shell, ns: str, tmp_path: Path
) -> None:
    file = memories(tmp_path / "memory.json", memory(0), memory(1, priority="urgent"), 7, memory(0), memory(2))
    refused = shell("import", "--from", "shared-memory", file, "--ns", ns)
    assert (refused.returncode, refused.stdout) == (2, "")
    said = refused.stderr.splitlines()
    assert "entry 2: " in said[0]
    assert "urgent" in said[0]
    assert "entry 3: " in said[1]
    assert "entry 4: " in said[2]
    assert "twice" in said[2]
    assert "nothing was written: 3 wrong" in said[3]
    assert "--skip-wrong" in said[3]
    assert shell("list", "--ns", ns).stdout == ""
    came = shell("import", "--from", "shared-memory", file, "--ns", ns, "--skip-wrong")
    assert (came.returncode, came.stdout) == (0, "2 written, 3 left out, wrong\n")
    assert "entry 2: " in came.stderr
    assert len(shell("list", "--ns", ns).stdout.splitlines()) == 2


def test_an_export_with_wrong_lines_comes_in_without_them_if_that_is_said(shell: Shell, ns: str) -> None:
    text = '{"waggle": "export", "version": 1}\n{"key": "a", "value": 1}\nnonsense\n{"key": "b", "value": 2}\n'
    assert shell("import", "-", "--ns", ns, stdin=text).returncode == 2
    came = shell("import", "-", "--ns", ns, "--skip-wrong", stdin=text)
    assert (came.returncode, came.stdout) == (0, "2 written, 1 left out, wrong\n")


def test_the_file_of_a_hive_mind_comes_in_by_its_namespaces(shell: Shell, hub: HubProcess, tmp_path: Path) -> None:
    soon, past = round(time.time() * 1000) + 60_000, round(time.time() * 1000) - 1
    document = {
        "entries": {"analysis": {"score": 85}, "gone": 1, "bare": None, "cached": [1]},
        "metadata": {
            "analysis": {
                "namespace": "task_results", "dataType": "versioned", "expiresAt": soon, "agentId": "a", "tag": 1,
            },
            "gone": {"namespace": "temp", "dataType": "persistent", "expiresAt": past},
            "cached": {"namespace": "cache", "dataType": "cached", "expiresAt": None},
            "of what was only in memory": {"dataType": "transient"},
        },
        "versions": {"analysis": 3}, "timestamp": soon, "stats": {"reads": 0},
    }  # fmt: skip
    file = tmp_path / "shared-memory.json"
    file.write_text(json.dumps(document, indent=2))
    came = shell("import", "--from", "hive-mind", "-", stdin=file.read_text())
    assert (came.returncode, came.stdout) == (0, "3 written, 1 left out, expired\n"), came.stderr
    with waggle.sync.connect(hub.url, ns="task_results") as agent:
        entry = agent.get("analysis")
        assert entry is not None
        assert (entry.value, entry.kind, entry.meta) == ({"score": 85}, "versioned", {"agentId": "a", "tag": 1})
        assert entry.expires_at is not None
        assert abs(entry.expires_at * 1000 - soon) < 1_000
        bare, cached = agent.get("bare", ns="shared_state"), agent.get("cached", ns="cache")
        assert bare is not None
        assert cached is not None
        assert (bare.value, cached.kind) == (None, "cached")
        assert agent.get("gone", ns="temp") is None


def test_the_store_of_claude_flow_comes_in_and_stays_as_it_was(shell: Shell, hub: HubProcess, tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    pattern = {"approach": "JWT", "lessons_learned": ["Use httpOnly cookies"]}
    database(
        file,
        ("pattern/auth/jwt", json.dumps(pattern), "reasoning-bank", '{"agent": "coder"}', None, None),
        ("swarm/coder/status", "working", "coordination", None, 3600, int(time.time()) + 3600),
        ("gone", "1", "coordination", None, 1, int(time.time()) - 1),
        ("n", "123", "coordination", None, None, None),
    )
    before = file.read_bytes()
    came = shell("import", "--from", "claude-flow", str(file))
    assert (came.returncode, came.stdout) == (0, "3 written, 1 left out, expired\n"), came.stderr
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    with waggle.sync.connect(hub.url, ns="coordination") as agent:
        assert [(entry.key, entry.value) for entry in agent.list()] == [("n", 123), ("swarm/coder/status", "working")]
        (hit,) = agent.search("cookies", pattern="pattern/*", ns="reasoning-bank")
        assert (hit.value, hit.meta) == (pattern, {"agent": "coder"})
        status = agent.get("swarm/coder/status")
        assert status is not None
        assert status.expires_at is not None


def test_a_store_that_claude_flow_has_open_comes_in_as_it_is_by_then(shell: Shell, ns: str, tmp_path: Path) -> None:
    file = database(tmp_path / "memory.db", ("old", "1", "coordination", None, None, None))
    with closing(sqlite3.connect(file)) as db:
        db.execute("INSERT INTO memory_entries (key, value) VALUES ('new', '2')")
        db.commit()
        assert Path(f"{file}-wal").stat().st_size > 0
        came = shell("import", "--from", "claude-flow", file, "--ns", ns)
        assert (came.returncode, came.stdout) == (0, "2 written\n"), came.stderr


def test_a_row_that_no_hub_could_hold_is_told_with_its_number(shell: Shell, ns: str, tmp_path: Path) -> None:
    rows = [("good", "1"), (" k", "1"), ("bad", b"\xff"), ("key" * 100, "1")]
    file = database(tmp_path / "memory.db", *((key, value, "coordination", None, None, None) for key, value in rows))
    refused = shell("import", "--from", "claude-flow", file, "--ns", ns)
    assert refused.returncode == 2
    assert ["row 2: " in refused.stderr, "row 3: " in refused.stderr, "row 4: " in refused.stderr] == [True] * 3
    assert shell("import", "--from", "claude-flow", file, "--ns", ns, "--skip-wrong").stdout.startswith("1 written")


@pytest.mark.parametrize(
    ("seed", "content", "word"),
    [
        ("shared-memory", b"{", "no JSON"),
        ("shared-memory", b"[" * 100_000, "no JSON"),
        ("shared-memory", b"\xff", "no JSON"),
        ("shared-memory", b'{"version": "2.0"}', "list of entries"),
        ("shared-memory", b"7", "list of entries"),
        ("hive-mind", b'{"entries": []}', "entries and metadata"),
        ("hive-mind", b"[]", "entries and metadata"),
        ("claude-flow", b"no database, but long enough to be looked at as one", "SQLite"),
        ("claude-flow", b"", "memory_entries"),
    ],
)
def test_a_file_of_another_kind_is_named_as_such(
    shell: Shell, tmp_path: Path, seed: str, content: bytes, word: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    refused = shell("import", "--from", seed, str(file))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"is not what {seed} keeps" in refused.stderr
    assert word in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_file_that_is_not_there_and_a_database_from_standard_input(shell: Shell, tmp_path: Path) -> None:
    for seed in ("shared-memory", "hive-mind", "claude-flow"):
        refused = shell("import", "--from", seed, str(tmp_path / "absent"))
        assert refused.returncode == 2
        assert "cannot be read" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    refused = shell("import", "--from", "claude-flow", "-", stdin="")
    assert refused.returncode == 2
    assert "name its file" in refused.stderr


def test_where_nothing_is_good_there_is_nothing_to_leave_out(shell: Shell, ns: str) -> None:
    refused = shell("import", "-", "--ns", ns, "--skip-wrong", stdin="nonsense")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nothing was written" in refused.stderr

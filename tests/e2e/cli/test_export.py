"""Entries out and in again as JSON lines, at hubs that are at work."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Shell
from tests.e2e.hubs import HubProcess, StartHub

pytestmark = pytest.mark.e2e


def described(entries: list[waggle.Entry]) -> dict[tuple[str, str], Any]:
    """Return the fields of entries that an export keeps; deadlines in whole seconds."""
    return {
        (entry.ns, entry.key): (entry.value, entry.kind, entry.meta, entry.expires_at and round(entry.expires_at))
        for entry in entries
    }


def fill(agent: waggle.sync.Hub) -> None:
    agent.set("plain", {"a": [1, -0.5, True, None, "ü\u2028\n"], "": {}})
    agent.set("größe/🐝", "é\t\"quoted\"", meta={"label": "日本", "n": [1]})  # fmt: skip
    agent.set("timed", 2**63 - 1, ttl=3600.5)
    agent.set("old", 1, kind="versioned")
    agent.set("old", 2, kind="versioned")
    agent.set("fleeting", None, kind="transient")
    agent.set("cached", 1e300, kind="cached", ttl=60)
    agent.set("large", "x" * 11_000_000)


def test_an_imported_entry_equals_the_exported_one(
    start_hub: StartHub, shell: Shell, hub: HubProcess, tmp_path: Path
) -> None:
    file = str(tmp_path / "all.jsonl")
    with waggle.sync.connect(hub.url, ns="trip") as agent:
        fill(agent)
        agent.set("elsewhere", 1, ns="trip-2")
        written = described(agent.list())
        assert len(written) == 7
        result = shell("export", "--ns", "trip", "--output", file)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(f"{file}: 7 exported, at rev ")
    other = start_hub(data=tmp_path / "data")
    came = shell("import", file, "--url", other.url)
    assert (came.returncode, came.stdout) == (0, "7 written\n")
    assert "backup made first: " in came.stderr
    with waggle.sync.connect(other.url, ns="trip") as agent:
        assert described(agent.list()) == written
        assert agent.history("old")[0].version == 1


def test_an_export_has_a_header_and_leaves_out_default_fields(shell: Shell, ns: str, tmp_path: Path) -> None:
    shell("set", "task:1", "1", "--ttl", "100", "--meta", '{"a": 1}')
    shell("set", "task:2", "[]", "--kind", "versioned")
    shell("set", "other", "1")
    head, *lines = map(json.loads, shell("export", "task:*").stdout.splitlines())
    assert (head["waggle"], head["version"], head["entries"]) == ("export", 1, 2)
    assert {"epoch", "rev", "at"} < set(head)
    one, two = sorted(lines, key=lambda line: str(line["key"]))
    assert 90 < one.pop("expires_at") - head["at"] <= 100
    assert one == {"ns": ns, "key": "task:1", "value": 1, "meta": {"a": 1}}
    assert two == {"ns": ns, "key": "task:2", "value": [], "kind": "versioned"}
    said = json.loads(shell("export", "--output", str(tmp_path / "a"), "--json").stdout)
    assert said["entries"] == 3
    assert len(shell("export", "none*").stdout.splitlines()) == 1


def test_all_is_every_namespace_but_those_of_the_hub(start_hub: StartHub, shell: Shell, tmp_path: Path) -> None:
    hub = start_hub()
    with waggle.sync.connect(hub.url, agent="here") as agent:
        for name in ("a", "b"):
            agent.set("k", 1, ns=name)
        _, *lines = map(json.loads, shell("export", "--all", "--url", hub.url).stdout.splitlines())
        assert sorted(line["ns"] for line in lines) == ["a", "b"]
        of_hub = shell("export", "--ns", "$agents", "--url", hub.url)
        assert "here" in of_hub.stdout
        result = shell("import", "-", "--url", hub.url, stdin=of_hub.stdout)
        assert (result.returncode, result.stdout) == (2, "")
        assert "$" in result.stderr
        assert shell("import", "-", "--ns", "copy", "--url", hub.url, stdin=of_hub.stdout).returncode == 0


def test_a_wrong_line_and_nothing_is_written(shell: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    good = [json.dumps({"ns": ns, "key": f"k{n}", "value": n}) for n in range(300)]
    lines = [
        '{"waggle": "export", "version": 1}',
        *good[:200],
        '{"ns": "a b", "key": "x", "value": 1}',
        *good[200:],
        "{",
    ]
    result = shell("import", "-", stdin="\n".join(lines))
    assert (result.returncode, result.stdout) == (2, "")
    first, second, end = result.stderr.splitlines()
    assert first.startswith("waggle: line 202: ns ")
    assert second.startswith("waggle: line 303: ")
    assert end.startswith("waggle: nothing was written: 2 wrong.")
    assert agent.list() == []


def test_keys_that_are_there_already(shell: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    head = '{"waggle": "export", "version": 1}\n'
    text = head + "\n".join(json.dumps({"ns": ns, "key": f"k{n}", "value": "new"}) for n in range(10))
    for n in (3, 7):
        agent.set(f"k{n}", "old")
    for options in ((), ("--dry-run",)):
        result = shell("import", "-", *options, stdin=text)
        assert (result.returncode, result.stdout) == (1, "")
        assert f"nothing was written: 2 there already (k3 in {ns}, k7 in {ns})" in result.stderr
    assert shell("import", "-", "--skip-existing", "--dry-run", stdin=text).stdout == (
        "8 would be written, 2 skipped, there already\n"
    )
    assert len(agent.list()) == 2
    assert json.loads(shell("import", "-", "--skip-existing", "--json", stdin=text).stdout) == {
        "written": 8, "skipped": 2, "expired": 0, "wrong": 0,
    }  # fmt: skip
    assert [entry.value for entry in agent.list()].count("old") == 2
    assert shell("import", "-", "--overwrite", stdin=text).stdout == "10 written\n"
    assert [entry.value for entry in agent.list()] == ["new"] * 10
    assert shell("import", "-", "--ns", f"{ns}-copy", stdin=text).stdout == "10 written\n"


def test_expired_entries_are_left_out(shell: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    past = {"ns": ns, "key": "past", "value": 1, "expires_at": time.time() - 1}
    future = {"ns": ns, "key": "future", "value": 1, "expires_at": time.time() + 500.0}
    text = "\n".join(map(json.dumps, ({"waggle": "export", "version": 1}, past, future)))
    assert shell("import", "-", stdin=text).stdout == "1 written, 1 left out, expired\n"
    (entry,) = agent.list()
    assert entry.expires_at == pytest.approx(future["expires_at"], abs=1.0)


def test_a_locked_entry_stops_an_import_there(shell: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    lines = [json.dumps({"ns": ns, "key": f"k{n:03}", "value": n}) for n in range(300)]
    text = "\n".join(['{"waggle": "export", "version": 1}', *lines])
    with agent.lock("k200"):
        result = shell("import", "-", stdin=text)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"'k200' in namespace '{ns}': " in result.stderr
    assert "128 were written; --skip-existing goes on from here." in result.stderr
    assert shell("import", "-", "--skip-existing", stdin=text).stdout == "172 written, 128 skipped, there already\n"
    assert [entry.value for entry in agent.list()] == list(range(300))


def test_twenty_thousand(start_hub: StartHub, shell: Shell, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path / "data")
    file = tmp_path / "many.jsonl"
    with file.open("w") as out:
        out.write('{"waggle": "export", "version": 1, "entries": 20000}\n')
        out.writelines(json.dumps({"ns": "many", "key": f"k{n}", "value": {"n": n}}) + "\n" for n in range(20_000))
    result = shell("import", str(file), "--url", hub.url)
    assert (result.returncode, result.stdout) == (0, "20,000 written\n")
    back = tmp_path / "back.jsonl"
    assert shell("export", "--ns", "many", "--output", str(back), "--url", hub.url).returncode == 0
    assert sorted(back.read_text().splitlines()[1:]) == sorted(
        json.dumps(json.loads(line), separators=(",", ":")) for line in file.read_text().splitlines()[1:]
    )
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(back.read_bytes()[:-1000])
    refused = shell("import", str(cut), "--overwrite", "--url", hub.url)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nothing was written" in refused.stderr


def test_an_output_that_was_there_is_replaced_as_a_whole_or_not_at_all(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("before")
    assert shell("export", "[", "--output", str(file)).returncode == 2
    assert file.read_text() == "before"
    assert shell("export", "--output", str(file)).returncode == 0
    assert file.read_text().startswith('{"waggle":"export"')
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_an_output_that_is_closed_early_is_no_error(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    for n in range(3):
        agent.set(f"k{n}", "x" * 1_000_000)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {WAGGLE} export | head -c 100"], env=env, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")

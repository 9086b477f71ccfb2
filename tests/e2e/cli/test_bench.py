"""`waggle bench` against a hub that has data and agents."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE, Running, Shell, environment
from tests.e2e.hubs import HubProcess
from waggle.cli.bench.loads import LOADS

pytestmark = pytest.mark.e2e


def _namespaces(agent: waggle.sync.Hub) -> dict[str, int]:
    return {one.ns: one.keys for one in agent.namespaces() if not one.ns.startswith("$")}


def test_every_load_is_measured_and_nothing_of_it_stays(shell: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    agent.set("mine", "untouched")
    before = _namespaces(agent)
    result = shell("bench", "--seconds", "1", "--connections", "3", "--subscribers", "4", "--at-once", "5", "--json")
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["load"] for each in found] == list(LOADS)
    for each in found:
        assert each["durability"] == "memory"
        assert each["count"] > 0
        assert 0 < each["p50"] <= each["p90"] <= each["p99"] <= each["max"]
    assert "durability memory" in result.stderr
    assert "other session" in result.stderr
    assert _namespaces(agent) == before
    mine = agent.get("mine")
    assert mine is not None
    assert mine.version == 1


def test_elsewhere_than_on_a_terminal_a_load_is_a_line_of_figures(shell: Shell) -> None:
    result = shell("bench", "--seconds", "0.4", "--only", "one", "--only", "handoff")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["one set at a time", "set, and a watcher has it"]
    assert {len(row) for row in rows} == {6}


def test_interrupted_it_clears_its_namespace_away(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Running(env, "bench", "--seconds", "60", "--json", "--only", "many") as measuring:
        with agent.watch("*", ns="*", types=["set"]) as events:
            theirs = next(event.ns for event in events if event.ns.startswith("bench-"))
        measuring.process.send_signal(signal.SIGINT)
        code, said = measuring.end()
    assert code == -signal.SIGINT
    assert "Traceback" not in said
    assert theirs not in _namespaces(agent)


def test_a_load_that_is_none_is_an_error_that_names_those_there_are(shell: Shell) -> None:
    result = shell("bench", "--only", "sets")
    assert result.returncode == 2
    assert "one, many, connections, handoff, fanout" in result.stderr


def test_a_hub_that_is_nearly_full_is_left_alone(ns: str) -> None:
    full = HubProcess(limits={"keys": 1_000})
    try:
        with waggle.sync.connect(full.url, ns=ns) as agent:
            agent.set("cached", 1, kind="cached")
            result = subprocess.run(
                [WAGGLE, "bench", "--seconds", "1"],
                env=environment(WAGGLE_URL=full.url), capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert result.returncode == 2
            assert "nearly full" in result.stderr
            assert _namespaces(agent) == {ns: 1}
    finally:
        full.stop()
        full.close()


def test_the_durability_is_that_of_the_hub(tmp_path: Path) -> None:
    kept = HubProcess(data=tmp_path)
    try:
        result = subprocess.run(
            [WAGGLE, "bench", "--seconds", "0.3", "--only", "one", "--json"],
            env=environment(WAGGLE_URL=kept.url), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert json.loads(result.stdout)["durability"] == "full"
        assert "durability full" in result.stderr
    finally:
        kept.stop()
        kept.close()

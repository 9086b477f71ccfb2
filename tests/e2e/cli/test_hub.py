"""The commands about the hub itself: ping, stats, namespaces, top."""

from __future__ import annotations

import json
import signal

import pytest

import waggle.sync
from tests.e2e.cli.shell import Running, Shell, Terminal
from tests.e2e.hubs import HubProcess

pytestmark = pytest.mark.e2e


def test_ping_says_where_the_hub_is_and_how_far_away(shell: Shell, hub: HubProcess) -> None:
    result = shell("ping")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{hub.url}: ")
    assert " ms, version " in result.stdout
    pong = json.loads(shell("ping", "--json").stdout)
    assert 0 < pong["seconds"] < 20
    assert pong["rev"] > 0


def test_namespaces_have_their_keys_and_bytes(shell: Shell, ns: str) -> None:
    shell("set", "k", '"value"')
    rows = {row[0]: row[1:] for row in (line.split("\t") for line in shell("namespaces").stdout.splitlines())}
    assert rows[ns][0] == "1"
    assert int(rows[ns][1]) >= len('k"value"')
    counts = [json.loads(line) for line in shell("namespaces", "--json").stdout.splitlines()]
    assert [one["keys"] for one in counts if one["ns"] == ns] == [1]


def test_stats_are_names_and_numbers_or_one_object(shell: Shell) -> None:
    shell("set", "k", "1")
    figures = dict(line.split("\t") for line in shell("stats").stdout.splitlines())
    assert int(figures["keys"]) > 0
    assert int(figures["ops.set.count"]) > 0
    assert float(figures["rates.commands"]) >= 0
    stats = json.loads(shell("stats", "--json").stdout)
    assert stats["ops"]["set"]["count"] >= int(figures["ops.set.count"])
    assert stats["log"]["rev"] >= int(figures["log.rev"])


def test_top_once_shows_everything_on_a_page(shell: Shell, agent: waggle.sync.Hub, hub: HubProcess) -> None:
    agent.status("at work")
    agent.set("task:top", 1)
    result = shell("top", "--once", COLUMNS="150", LINES="50")
    assert (result.returncode, result.stderr) == (0, "")
    for part in (hub.url, "commands/s", "keys ", "connections", "hello", agent.agent, "at work", "task:top"):
        assert part in result.stdout
    assert "\x1b" not in result.stdout


def test_top_as_json_is_a_look_a_line(env: dict[str, str], shell: Shell, agent: waggle.sync.Hub, ns: str) -> None:
    once = json.loads(shell("top", "--once", "--json").stdout)
    assert set(once) == {"stats", "agents", "events"}
    with Running(env, "top", "--json") as looking:
        looking.line()
        rev = agent.set("k", "not shown").rev
        events = [*json.loads(looking.line())["events"], *json.loads(looking.line())["events"]]
        mine = [event for event in events if event["ns"] == ns]
        assert [(event["key"], event["rev"]) for event in mine] == [("k", rev)]
        assert "value" not in mine[0]
        looking.process.send_signal(signal.SIGINT)
        assert looking.end() == (-signal.SIGINT, "")


def test_top_without_a_terminal_is_an_error_with_a_remedy(shell: Shell) -> None:
    result = shell("top")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--once" in result.stderr


def test_top_is_live_and_ends_on_q(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Terminal(env, "top", width=100, height=40) as terminal:
        terminal.until("commands/s")
        agent.set("task:live", 1)
        terminal.until("task:live")
        terminal.type("q")
        code, written = terminal.end()
    assert code == 0
    assert written.index("\x1b[?1049h") < written.index("\x1b[?1049l")
    assert "Traceback" not in written


def test_top_ends_on_ctrl_c_and_leaves_the_terminal_as_it_was(env: dict[str, str], agent: waggle.sync.Hub) -> None:
    with Terminal(env, "top") as terminal:
        terminal.until("commands/s")
        terminal.type("\x03")
        code, written = terminal.end()
    assert code == -signal.SIGINT
    assert "\x1b[?1049l" in written
    assert "Traceback" not in written

"""The board of `waggle top`: what it shows, and that it fits."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from waggle import Entry, Event, Statistics
from waggle.cli.top.command import Sample
from waggle.cli.top.screen import TopScreen, sparkline
from waggle.wire.messages import LogWindow, OpCount, Rates

NASTY = "\x1b[2J\u202e\n"


def stats(**fields: Any) -> Statistics:
    known: dict[str, Any] = {
        "rev": 100, "at": 1000.0, "keys": 7, "bytes": 2048, "max_keys": 1000, "max_bytes": 2**30, "sessions": 3,
        "subscriptions": 1, "locks": 0, "waits": 0, "log": LogWindow(events=12, bytes=100, floor=1, rev=100),
        "started_at": 900.0, "durability": "memory", "rates": Rates(commands=5.0, events=3.0),
        "ops": {"get": OpCount(count=10), "set": OpCount(count=4, errors=1, mean=0.0001)},
    }  # fmt: skip
    return Statistics(**{**known, **fields})


def agent(name: str, status: Any = None) -> Entry:
    value = {"session": "s", "connected": True, "since": 990.0, "meta": {"role": "tester"}, "status": status}
    return Entry(
        key=name, ns="$agents", rev=1, version=1, kind="transient", created_at=0, updated_at=0, expires_at=None,
        by=name, value=value,
    )  # fmt: skip


def event(key: str, **fields: Any) -> Event:
    return Event(**{"type": "set", "key": key, "ns": "default", "by": "impl-1", "at": 1000.0, **fields})


def render(board: TopScreen, width: int = 120, height: int = 40) -> list[str]:
    return board.render(width, height).plain.split("\n")


def test_top_shows_figures_commands_agents_and_latest_events() -> None:
    board = TopScreen("http://hub")
    board.update(Sample(stats(), [agent("tester", "at work")], [event("task:1"), event("task:2")]))
    lines = render(board)
    text = "\n".join(lines)
    assert lines[0].startswith("waggle top  http://hub  up 1m 40s  memory")
    for part in ("keys         7 of 1,000", "values       2.0 KiB of 1.0 GiB", "3, 1 subscription ", "12 events"):
        assert part in text
    assert "tester            tester      here   10s      at work" in text
    assert text.index("task:2") < text.index("task:1")


def test_commands_are_in_the_order_of_their_rates_since_the_sample_before() -> None:
    board = TopScreen("http://hub")
    board.update(Sample(stats(), [], []))
    names = [line.split()[0] for line in render(board) if line.startswith(("get", "set"))]
    assert names == ["get", "set"]
    board.update(Sample(stats(at=1002.0, ops={"get": OpCount(count=10), "set": OpCount(count=9)}), [], []))
    rows = [line.split()[:2] for line in render(board) if line.startswith(("get", "set"))]
    assert rows == [["set", "2.5"], ["get", "0"]]


def test_another_hub_at_the_same_address_is_loaded_from_the_start() -> None:
    board = TopScreen("http://hub")
    board.update(Sample(stats(), [], []))
    board.update(Sample(stats(at=1001.0, started_at=1000.5, ops={"get": OpCount(count=2)}), [], []))
    assert [line.split()[1] for line in render(board) if line.startswith("get")] == ["2"]


def test_top_says_when_the_hub_does_not_answer_and_keeps_the_last_figures() -> None:
    board = TopScreen("http://hub")
    board.update(None)
    assert render(board) == ["waiting for the hub ..."]
    board.update(Sample(stats(), [], [event("task:1")]))
    board.update(None)
    assert "DOES NOT ANSWER" in render(board)[0]
    assert any("task:1" in line for line in render(board))


@pytest.mark.parametrize("width", [1, 20, 50, 80, 109, 110, 200])
@pytest.mark.parametrize("height", [1, 5, 12, 24, 60])
def test_the_screen_fits_and_text_of_agents_cannot_control_the_terminal(width: int, height: int) -> None:
    board = TopScreen(NASTY)
    wide = "日本語" * 30
    agents = [agent(f"{NASTY}{n}", {wide: NASTY}) for n in range(20)]
    events = [event(f"{wide}{NASTY}{n}", by=NASTY, ns="x" * 64) for n in range(100)]
    board.update(Sample(stats(), agents, [*events, event("chat", type="message", data=NASTY * 500)]))
    lines = render(board, width, height)
    assert len(lines) <= height
    assert all(cell_len(line) <= width and line.isprintable() for line in lines)


def test_a_sparkline_is_as_high_as_the_greatest() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([0, 4, 8]) == "▁▅█"

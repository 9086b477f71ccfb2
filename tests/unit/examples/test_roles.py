"""How agents become processes."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

import waggle
from waggle.examples.roles import Busy, Cast


async def nothing(hub: waggle.Hub, busy: Busy) -> None:
    """An agent with nothing to do."""


def test_roles_name_every_agent_that_is_a_process() -> None:
    cast = Cast({"a": nothing}, services={"b": nothing}, doomed={"c": nothing})
    assert list(cast.all) == ["a", "b", "c"]


async def test_to_be_busy_takes_about_so_long_and_less_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(100):
        await Busy()(2.0)
        await Busy(speed=10)(2.0)
    assert 1.4 <= min(slept[::2]) < max(slept[::2]) <= 2.6
    assert 0.14 <= min(slept[1::2]) < max(slept[1::2]) <= 0.26


def test_who_is_not_in_the_cast_cannot_be_played(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["chain", "nobody"])
    with pytest.raises(SystemExit) as ended:
        Cast({"a": nothing}).play()
    assert ended.value.code == 2
    assert "nobody" in capsys.readouterr().err


def test_without_a_hub_an_agent_says_so(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setattr("sys.argv", ["chain", "a"])
    monkeypatch.setenv("WAGGLE_URL", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.setattr(waggle, "connect", partial(waggle.connect, connect_timeout=0.2))
    with pytest.raises(SystemExit, match=r"^a: No hub"):
        Cast({"a": nothing}).play()

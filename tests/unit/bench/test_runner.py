"""The runner: what fails or takes too long costs its own part of the report, and what is not installed is named."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import cast

import pytest

from tests.bench import runner
from tests.bench.generator import Load
from tests.bench.measurement import Measurement, taking_turns
from tests.bench.results import Column, Result, Table
from tests.bench.workloads import Workload

FIELD = Measurement([], cast(Load, None), Path(), quick=True)


async def _good(measurement: Measurement) -> Result:
    return Result([Table("t", "T", [Column("c", "count")])])


async def _endless(measurement: Measurement) -> Result:
    await asyncio.Event().wait()
    raise AssertionError


async def _broken(measurement: Measurement) -> Result:
    raise TimeoutError("3 of 4 answers came")


async def test_a_work_that_is_done_says_how_long_it_took() -> None:
    result = await runner.measured("good", Workload(_good, 10), FIELD, left=10)
    assert ([table.name for table in result.tables], result.missing) == (["t"], [])
    assert result.seconds > 0


async def test_a_work_that_takes_too_long_is_ended(capsys: pytest.CaptureFixture[str]) -> None:
    result = await runner.measured("slow", Workload(_endless, 0.01), FIELD, left=10)
    assert result.missing == ["slow: it took longer than 0 s"]


async def test_when_all_time_is_gone_nothing_is_begun_that_waits(capsys: pytest.CaptureFixture[str]) -> None:
    result = await runner.measured("late", Workload(_endless, 100), FIELD, left=-5)
    assert len(result.missing) == 1


async def test_a_work_that_fails_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    result = await runner.measured("broken", Workload(_broken, 10), FIELD, left=10)
    assert "3 of 4 answers came" in result.missing[0]


def test_a_system_that_is_not_installed_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    systems, missing = runner.available()
    assert [system.name for system in systems] == ["waggle"]
    assert "redis-server" in missing[0]
    assert "nats-server" in missing[1]
    assert all("tests/bench/needs.sh" in each for each in missing)


def test_nobody_is_always_the_first() -> None:
    assert [list(order) for order in taking_turns(3, 3)] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


async def test_a_work_that_was_not_patient_itself_is_not_said_to_have_taken_too_long() -> None:
    async def impatient(measurement: Measurement) -> Result:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
        raise AssertionError

    result = await runner.measured("impatient", Workload(impatient, 10), FIELD, left=10)
    assert result.missing == ["impatient: TimeoutError()"]

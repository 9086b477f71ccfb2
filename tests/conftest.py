"""How several workers share the files of tests.

Workers take the longest files first, so that no long file is left to one worker at the end. `durations.json` has the
seconds that a file takes, for files that take a second or more. `make durations` writes it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

DURATIONS = Path(__file__).with_name("durations.json")
ROOT = DURATIONS.parent.parent


class DurationWriter:
    """A plugin that adds up how long each file took, and writes that down at the end."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[_file_of(report.nodeid)] += report.duration  # type: ignore[assignment]

    def pytest_sessionfinish(self) -> None:
        known = {**_durations(), **self._seconds}
        rounded = {file: round(seconds) for file, seconds in sorted(known.items()) if (ROOT / file).exists()}
        DURATIONS.write_text(json.dumps({file: s for file, s in rounded.items() if s}, indent=0) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-durations", action="store_true", help="write down how long each file of tests took")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--write-durations") and not _is_worker(config):
        config.pluginmanager.register(DurationWriter())


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `--numprocesses auto` means: three for two cores, since half of the time tests wait."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first, where several workers share them; tests of a file stay in their order."""
    if _is_worker(config):
        durations = _durations()
        items.sort(key=lambda item: -durations.get(_file_of(item.nodeid), 0))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _durations() -> dict[str, int]:
    durations: dict[str, int] = json.loads(DURATIONS.read_text())
    return durations


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]

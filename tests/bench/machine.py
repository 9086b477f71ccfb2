"""The machine that was measured on, and what processes use of it. Reads /proc: Linux only."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

from .systems import System

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PACKAGES = ("uvloop", "uvicorn", "websockets", "msgspec")
_IDLE, _WAITING, _STEAL = 3, 4, 7
"""Places in the first line of /proc/stat."""


def describe(systems: Iterable[System], missing: Iterable[str]) -> dict[str, str]:
    """The machine on which the figures were measured."""
    told = {
        "CPU": f"{_cpu_model()}, {cores()} cores",
        "System": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()}, " + ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }
    told |= {system.name: system.version() for system in systems}
    absent = ", ".join(missing)
    if absent:
        told["Left out"] = absent
    told["Load before the run"] = f"{os.getloadavg()[0]:.2f}"
    return told


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def rss(pid: int) -> int:
    """Bytes of memory that a process has resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


class Watch:
    """How much of the machine others took. Children count as ours when they have ended."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._busy, self._stolen = _seconds()
        self._own = _own_seconds()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def others(self) -> float:
        """The share of the machine, 0 to 1, that went to processes that are none of ours."""
        return max(0.0, (_seconds()[0] - self._busy) - (_own_seconds() - self._own)) / self._all()

    def steal(self) -> float:
        """The share that the machine below this one gave to others."""
        return (_seconds()[1] - self._stolen) / self._all()

    def _all(self) -> float:
        return self.elapsed * (os.cpu_count() or 1)


class Cpu:
    """The CPU time that processes use over a stretch of time."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._before = [cpu_seconds(pid) for pid in pids]

    def seconds(self) -> list[float]:
        return [cpu_seconds(pid) - before for pid, before in zip(self._pids, self._before, strict=True)]


def _seconds() -> tuple[float, float]:
    """Of all cores together: busy, and stolen."""
    fields = [int(field) / _TICK for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields) - fields[_IDLE] - fields[_WAITING] - fields[_STEAL], fields[_STEAL]


def _own_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"

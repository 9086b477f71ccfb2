"""The machine that was measured on, and what processes use of it. Reads /proc: Linux only."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def describe(redis_server: str | None, redis_py: str | None) -> dict[str, str]:
    """What a reader needs to place the figures."""
    return {
        "CPU": f"{_cpu_model()}, {cores()} cores",
        "System": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in ("uvloop", "uvicorn", "websockets", "msgspec")),
        "redis-server": redis_server or "not installed: no comparison",
        "redis-py": redis_py or "not installed: its rows are missing (pip install redis)",
    }


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
    """How much of the machine others took, from the start to `others()`. Children count when they have ended."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def others(self) -> float:
        """The share of the machine, 0 to 1, that went to processes that are none of ours."""
        elapsed = time.monotonic() - self._start
        taken = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return max(0.0, taken / elapsed / (os.cpu_count() or 1))


class Cpu:
    """The CPU time that processes use over a stretch of time."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._start = time.monotonic()
        self._before = [cpu_seconds(pid) for pid in pids]

    def seconds(self) -> list[float]:
        return [cpu_seconds(pid) - before for pid, before in zip(self._pids, self._before, strict=True)]

    def shares(self) -> list[float]:
        """The same by the time that went by: 1 is one core."""
        elapsed = time.monotonic() - self._start
        return [seconds / elapsed for seconds in self.seconds()]


def _busy_seconds() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICK


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

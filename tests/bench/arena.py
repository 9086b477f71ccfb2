"""The arena: a hub and a Redis, each a process of its own on a free port, in memory unless a scenario says otherwise,
stopped by their pid."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A server that runs. `kind` is "hub" or "redis"."""

    kind: str
    port: int
    pid: int
    host: str = HOST

    @property
    def url(self) -> str:
        return f"{'http' if self.kind == 'hub' else 'redis'}://{self.host}:{self.port}"


@dataclass
class Arena:
    """What a scenario works with. `redis` is None where there is none: its rows are left out."""

    hub: Server
    redis: Server | None
    quick: bool
    redis_py: ModuleType | None = field(default_factory=lambda: _import("redis"))
    """The package of that name, if it is installed."""

    def scale(self, full: int, quick: int) -> int:
        """How much work to do."""
        return quick if self.quick else full

    @property
    def servers(self) -> list[Server]:
        return [self.hub] if self.redis is None else [self.hub, self.redis]


@contextmanager
def arena(quick: bool) -> Iterator[Arena]:
    """A hub, and a Redis if it is installed."""
    with ExitStack() as stack:
        hub = stack.enter_context(start_hub())
        redis = stack.enter_context(start_redis()) if redis_binary() else None
        yield Arena(hub, redis, quick)


@contextmanager
def start(kind: str) -> Iterator[Server]:
    """A fresh server, for a scenario that wants one without a past."""
    with start_hub() if kind == "hub" else start_redis() as server:
        yield server


@contextmanager
def start_hub(*options: str) -> Iterator[Server]:
    """A hub, in memory unless these options of the command line say otherwise."""
    command = [sys.executable, "-m", "waggle_hub", "--port", "0", *(options or ["--memory"])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise RuntimeError("the hub did not start")
        port = int(first.rsplit(":", 1)[1])
        _wait_for(port)
        yield Server("hub", port, process.pid)
    finally:
        _stop(process)


def redis_binary() -> str | None:
    return shutil.which("redis-server")


def redis_version() -> str | None:
    binary = redis_binary()
    if binary is None:
        return None
    words = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return next((word[2:] for word in words if word.startswith("v=")), "unknown version")


def redis_py_version() -> str | None:
    package = _import("redis")
    if package is None:
        return None
    return f"{package.__version__}, {'with' if _import('hiredis') else 'without'} hiredis"


@contextmanager
def start_redis(data: Path | None = None, sync: str = "always") -> Iterator[Server]:
    """A Redis, in memory, or with an append-only file in this directory that is synced so."""
    binary = redis_binary()
    if binary is None:
        raise RuntimeError("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="waggle-bench-") as directory:
        port = _free_port()
        kept = ["--appendonly", "no"] if data is None else ["--appendonly", "yes", "--appendfsync", sync]
        command = [binary, "--bind", HOST, "--port", str(port), "--dir", str(data or directory), "--save", "", *kept]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield Server("redis", port, process.pid)
        finally:
            _stop(process)


def environment() -> dict[str, str]:
    """For processes that `python -m` starts from here: they import what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _stop(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection((HOST, port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None

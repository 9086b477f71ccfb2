"""Helpers: modules of this package that run as processes of their own, and are spoken to in lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .arena import Server, environment


class Helper:
    """A running helper. `ask` sends an order and waits for the answer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self._read()

    def ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a helper process has ended: see its message above")
        return json.loads(line)


@contextmanager
def start_helper(module: str, server: Server, **options: Any) -> Iterator[Helper]:
    """Start `tests.bench.<module>` for a server; it is there when it has said that it is ready."""
    words = json.dumps({"kind": server.kind, "host": server.host, "port": server.port, **options})
    command = [sys.executable, "-m", f"{__package__}.{module}", words]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Helper(process)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def answer(**words: Any) -> None:
    """For a helper: give an answer."""
    print(json.dumps(words), flush=True)

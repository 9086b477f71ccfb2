"""Real hubs for tests: one process each, on a free port of loopback, stopped by its pid."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_VARIANT = Path(__file__).with_name("variant.py")


class HubProcess:
    """A hub that runs. `limits` and `bounds` are fields of its settings that differ from the defaults; `data` is its
    directory, and `options` are of the command line; without `data` it keeps everything in memory. `server` is one of
    `tests.e2e.variant.SERVERS`: "fast", which is what people run, "plain" or "hypercorn"."""

    def __init__(
        self,
        *,
        limits: dict[str, Any] | None = None,
        bounds: dict[str, Any] | None = None,
        data: Path | None = None,
        port: int = 0,
        options: Sequence[str] = (),
        server: str = "fast",
    ) -> None:
        command = [sys.executable, "-m", "waggle_hub"]
        if limits or bounds or server != "fast":
            chosen = {"limits": limits or {}, "bounds": bounds or {}, "server": server}
            command = [sys.executable, str(_VARIANT), json.dumps(chosen)]
        command += ["--port", str(port), *(["--memory"] if data is None else ["--data", str(data)]), *options]
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as this object
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._said, text=True)
        try:
            self.url = self._address()
            self._wait_until_up()
        except BaseException:
            self.process.kill()
            self._reap()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def ws(self) -> str:
        """The address of its WebSocket door."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    def rss(self) -> int:
        """Bytes of memory it has resident now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Bytes of memory it had resident at most."""
        return self._status("VmHWM")

    def alive(self) -> bool:
        """Return whether the hub runs and answers."""
        return self.process.poll() is None and self._healthy()

    def said(self) -> str:
        """Return what the hub has written to its standard error: nothing, if all is well."""
        # Opened anew: a seek of our own would move the place where the hub writes next.
        return Path(f"/proc/self/fd/{self._said.fileno()}").read_text()

    def stop(self, by: str = "SIGTERM") -> int:
        """Ask it to stop by a signal and wait until it has; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.Signals[by])
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self._reap()
                raise AssertionError(f"the hub did not stop within {STOP_SECONDS} s of {by}") from None
        self._reap()
        return self.process.returncode

    def close(self) -> None:
        """Let go of what it said, once it has stopped."""
        self._said.close()

    def _reap(self) -> None:
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _address(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Waggle hub at "):
                return line.split()[-1]
        raise AssertionError(f"the hub did not start: {self.said()}")

    def _wait_until_up(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not self._healthy():
            assert self.process.poll() is None, f"the hub has stopped: {self.said()}"
            assert time.monotonic() < until, "the hub does not answer"
            time.sleep(0.02)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _status(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")


StartHub = Callable[..., HubProcess]
"""Starts a hub that stops when the test ends: the fixture `start_hub`."""

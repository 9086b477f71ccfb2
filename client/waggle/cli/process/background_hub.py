"""Start of a hub in the background, for commands that need one when none runs.

1. **Exactly one hub,** however many commands start at the same moment: a command locks a file of this user and port
   before it starts a hub, and looks once more when it has that lock.
2. **On this machine only,** and only where nothing answers. A hub on another machine, or one that asks for a token,
   is started by its owner.
3. **The hub is independent of the command.** It outlives the command, keeps its data where `waggle serve` does, and
   ends by itself when no client was connected for a while.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import subprocess
import time
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from waggle.cli.commands.serve import HUB_COMMAND, HUB_PACKAGES, missing_packages
from waggle.core.backoff import is_loopback
from waggle.wire.errors import Disconnected

__all__ = ["DEFAULT_IDLE", "can_start", "ensure_hub", "hub_answers", "state_directory"]

DEFAULT_IDLE = "10m"
"""Time without a connection after which the hub ends: an editor that restarts should still find its data."""
START_TIMEOUT_S = 20.0
"""Limit for a new hub to answer."""
ANSWER_TIMEOUT_S = 2.0
"""Limit for the answer of a running hub."""


def can_start(url: str) -> bool:
    """Return whether a hub at this address could be started here."""
    parts = _split_url(url)
    return parts.scheme in ("http", "ws") and is_loopback(parts.geturl()) and parts.path.strip("/") in ("", "ws")


def hub_answers(url: str) -> bool:
    """Return whether a hub answers at this address. Only for an address that `can_start` accepts."""
    parts = _split_url(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ensure_hub(url: str, idle: str = DEFAULT_IDLE) -> None:
    """Return when a hub answers at ``url``, which `can_start` accepts; start one if none does. Raises Disconnected."""
    if hub_answers(url):
        return
    directory = state_directory()
    port = _split_url(url).port or 80
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (directory / f"start-{port}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not hub_answers(url):
                _start(url, port, idle, directory / f"hub-{port}.out")
    except Disconnected:
        raise
    except OSError as error:
        raise Disconnected(
            f"No hub answers at {url}, and none can be started: {directory} cannot be used: {error}. Start one"
            " with `waggle serve`, or set XDG_STATE_HOME to a directory that can be written."
        ) from None


def state_directory() -> Path:
    """Return the directory for the lock and output files of background hubs (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "waggle"


def _split_url(url: str) -> SplitResult:
    """Return the parts of an address. The scheme may be left out, as in the client."""
    return urlsplit(url if "://" in url else f"http://{url}")


def _start(url: str, port: int, idle: str, output: Path) -> None:
    if packages := missing_packages(HUB_PACKAGES):
        raise Disconnected(
            f"No hub answers at {url}, and none can be started: {', '.join(packages)} missing. pip install"
            " 'wagglehub[hub]', or set WAGGLE_URL to a hub elsewhere."
        )
    host = _split_url(url).hostname or "127.0.0.1"
    command = [*HUB_COMMAND, "--host", host, "--port", str(port), "--idle", idle]
    with output.open("w") as log_file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file, start_new_session=True, cwd="/"
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not hub_answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            log_text = output.read_text(errors="replace").strip()[-500:]
            raise Disconnected(f"No hub answers at {url}, and a new hub did not start: {log_text or output}")
        time.sleep(0.05)

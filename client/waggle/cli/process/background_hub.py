"""A hub in the background, for those who need one and have not started any.

The rules:

1. **Exactly one,** however many ask at the same moment: who starts it holds a lock on a file of this user and port, and
   the others look again when they have it.
2. **On this machine only,** and only where nothing answers: a hub elsewhere, or one that asks for a token, is somebody
   else's to start.
3. **It belongs to nobody.** It outlives whoever started it, keeps its data where `waggle serve` does, and ends by
   itself when nobody was connected for a while.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import subprocess
import time
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from waggle.cli.commands.serve import NEEDED, SERVE, missing
from waggle.core.backoff import is_loopback
from waggle.wire.errors import Disconnected

__all__ = ["IDLE", "answers", "can_start", "ensure_hub", "state_directory"]

IDLE = "10m"
"""How long after the last connection such a hub ends: an editor that restarts should find it, and all in it."""
START = 20.0
"""Seconds in which it must answer."""
LOOK = 2.0
"""Seconds for an answer from a hub that is there."""


def can_start(url: str) -> bool:
    """Whether a hub at this address could be started here."""
    parts = _parts(url)
    return parts.scheme in ("http", "ws") and is_loopback(parts.geturl()) and parts.path.strip("/") in ("", "ws")


def answers(url: str) -> bool:
    """Whether a hub is there. Only for an address that `can_start`."""
    parts = _parts(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=LOOK)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ensure_hub(url: str, idle: str = IDLE) -> None:
    """Return when a hub answers at ``url``, which `can_start`; start it if none does. Raises Disconnected."""
    if answers(url):
        return
    directory = state_directory()
    port = _parts(url).port or 80
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (directory / f"start-{port}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not answers(url):
                _start(url, port, idle, directory / f"hub-{port}.out")
    except Disconnected:
        raise
    except OSError as fault:
        raise Disconnected(
            f"No hub answers at {url}, and none can be started, since {directory} cannot be used: {fault}. Start one"
            " with `waggle serve`, or set XDG_STATE_HOME to a directory that can be written."
        ) from None


def state_directory() -> Path:
    """Where what is said of hubs in the background is kept (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "waggle"


def _parts(url: str) -> SplitResult:
    """The parts of an address, which may leave out its scheme, as the client lets it."""
    return urlsplit(url if "://" in url else f"http://{url}")


def _start(url: str, port: int, idle: str, output: Path) -> None:
    if absent := missing(NEEDED):
        raise Disconnected(
            f"No hub answers at {url}, and none can be started: {', '.join(absent)} missing. pip install"
            " 'wagglehub[hub]', or set WAGGLE_URL to a hub elsewhere."
        )
    host = _parts(url).hostname or "127.0.0.1"
    command = [*SERVE, "--host", host, "--port", str(port), "--idle", idle]
    with output.open("w") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, cwd="/"
        )
    until = time.monotonic() + START
    while not answers(url):
        if process.poll() is not None or time.monotonic() > until:
            words = output.read_text(errors="replace").strip()[-500:]
            raise Disconnected(f"No hub answers at {url}, and one that was started did not, either: {words or output}")
        time.sleep(0.05)

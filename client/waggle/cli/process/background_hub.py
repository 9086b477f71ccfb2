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

from waggle.cli.commands.serve import HUB_COMMAND, HUB_PACKAGES, missing_packages
from waggle.core.backoff import is_loopback
from waggle.wire.errors import Disconnected

__all__ = ["DEFAULT_IDLE", "can_start", "ensure_hub", "hub_answers", "state_directory"]

DEFAULT_IDLE = "10m"
"""How long after the last connection such a hub ends: an editor that restarts should find it, and all in it."""
START_TIMEOUT_S = 20.0
"""Seconds in which it must answer."""
ANSWER_TIMEOUT_S = 2.0
"""Seconds for an answer from a hub that is there."""


def can_start(url: str) -> bool:
    """Whether a hub at this address could be started here."""
    parts = _split_url(url)
    return parts.scheme in ("http", "ws") and is_loopback(parts.geturl()) and parts.path.strip("/") in ("", "ws")


def hub_answers(url: str) -> bool:
    """Whether a hub is there. Only for an address that `can_start`."""
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
    """Return when a hub answers at ``url``, which `can_start`; start it if none does. Raises Disconnected."""
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
    except OSError as fault:
        raise Disconnected(
            f"No hub answers at {url}, and none can be started, since {directory} cannot be used: {fault}. Start one"
            " with `waggle serve`, or set XDG_STATE_HOME to a directory that can be written."
        ) from None


def state_directory() -> Path:
    """Where what is said of hubs in the background is kept (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "waggle"


def _split_url(url: str) -> SplitResult:
    """The parts of an address, which may leave out its scheme, as the client lets it."""
    return urlsplit(url if "://" in url else f"http://{url}")


def _start(url: str, port: int, idle: str, output: Path) -> None:
    if absent := missing_packages(HUB_PACKAGES):
        raise Disconnected(
            f"No hub answers at {url}, and none can be started: {', '.join(absent)} missing. pip install"
            " 'wagglehub[hub]', or set WAGGLE_URL to a hub elsewhere."
        )
    host = _split_url(url).hostname or "127.0.0.1"
    command = [*HUB_COMMAND, "--host", host, "--port", str(port), "--idle", idle]
    with output.open("w") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, cwd="/"
        )
    until = time.monotonic() + START_TIMEOUT_S
    while not hub_answers(url):
        if process.poll() is not None or time.monotonic() > until:
            words = output.read_text(errors="replace").strip()[-500:]
            raise Disconnected(f"No hub answers at {url}, and one that was started did not, either: {words or output}")
        time.sleep(0.05)

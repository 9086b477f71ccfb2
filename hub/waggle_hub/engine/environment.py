"""Environment: the sources of time and of chance that the machine is not allowed to have itself."""

from __future__ import annotations

import secrets
import time

from waggle_hub.state.sessions import SessionIds


class Clock:
    """Unix seconds that advance with the monotonic clock: a jump of the wall clock changes nothing (G6)."""

    def __init__(self) -> None:
        # Read once. When the system clock is corrected, deadlines neither come early nor are late.
        self._base = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._base + time.monotonic()


def random_ids() -> SessionIds:
    """Return a random session id, secret and agent name for one hello."""
    name = secrets.token_hex(6)
    return SessionIds(session=f"s-{name}", secret=secrets.token_urlsafe(24), agent=f"agent-{name[:6]}")

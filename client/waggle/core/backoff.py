"""When and where to connect again: the hub's address, what a close code means, how long to wait (protocol 9).

Pure: the random number and the passing of time are the caller's.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from waggle.wire.errors import BadRequest, Disconnected, Forbidden, Unauthorized

__all__ = ["after_close", "backoff", "is_loopback", "websocket_url"]

FIRST_DELAY = 0.1
"""Seconds: the upper end of the first delay; each further one may be twice as long."""
LONGEST_DELAY = 5.0
"""Seconds: beyond this a person would call it stuck, and a hub of 1,000 agents sees 400 attempts a second."""
LONGEST_DRAIN = 300.0
"""Seconds: what a draining hub may ask for at most."""


def backoff(attempt: int, chance: float) -> float:
    """Seconds to wait before attempt number ``attempt`` (from 0): full jitter, ``chance`` being in [0, 1)."""
    return chance * min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt, 30))


def after_close(code: int, reason: str) -> float:
    """Seconds the hub asks for before the next attempt; raises where there is no way back."""
    said = f" ({code}: {reason})" if reason else f" ({code})"
    match code:
        case 4000:
            return _seconds_in(reason)
        case 1000:
            raise Disconnected(f"The hub ended this session{said}: connect again for a new one.")
        case 4002:
            raise Disconnected(
                f"This session was taken over by another connection{said}: one session is for one program;"
                " connect again for a new one."
            )
        case 4400:
            raise Disconnected(f"The hub did not understand this client{said}: check that both have the same version.")
        case 4401:
            raise Unauthorized(f"The hub did not let this agent in{said}: set WAGGLE_TOKEN or pass token=.")
        case 4403:
            raise Forbidden(f"The hub refused this connection{said}: ask who runs it to allow it.")
        case 1002 | 1007 | 1009:
            raise Disconnected(
                f"The hub refused what this client sent{said}: keep values below 11 MiB, and look for a proxy"
                " in between."
            )
        case _:
            return 0.0


def _seconds_in(reason: str) -> float:
    """The first number in the close reason, within bounds; 1 if it holds none."""
    number = re.search(r"\d+(\.\d+)?", reason)
    return min(float(number.group()), LONGEST_DRAIN) if number else 1.0


def websocket_url(url: str) -> str:
    """The WebSocket address of the hub at ``url``: http becomes ws, https wss, and ``/ws`` is appended."""
    fault = BadRequest(f"{url!r} is not the address of a hub: use one like http://127.0.0.1:4483", field="url")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:  # a port that is no number or too large, half an IPv6 address
        raise fault from None
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname or port == 0:
        raise fault
    path = parts.path.rstrip("/")
    return f"{scheme}://{parts.netloc}{path if path.endswith('/ws') else path + '/ws'}"


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own, which no proxy can reach for us."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")

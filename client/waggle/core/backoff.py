"""Where and when to connect again: the hub's address, the meaning of close codes, the delays (protocol 9).

Pure: the caller passes the random number and keeps the time.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from waggle.wire.errors import BadRequest, Disconnected, Forbidden, Unauthorized
from waggle.wire.limits import DEFAULT_URL

__all__ = ["after_close", "backoff", "is_loopback", "websocket_url"]

FIRST_DELAY_S = 0.1
"""Seconds: the upper end of the first delay. Each further delay may be twice as long."""
MAX_DELAY_S = 5.0
"""Seconds: a longer delay looks like a hang. At this bound, 1,000 agents make 400 attempts a second."""
MAX_DRAIN_S = 300.0
"""Seconds: the longest delay that a hub may ask for when it drains."""


def backoff(attempt: int, random: float) -> float:
    """Return the seconds to wait before attempt number ``attempt`` (from 0), with full jitter: ``random`` is in [0,
    1)."""
    return random * min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt, 30))


def after_close(code: int, reason: str) -> float:
    """Return the seconds that the hub asks for before the next attempt. Raises if the client must not connect
    again."""
    close = f" ({code}: {reason})" if reason else f" ({code})"
    match code:
        case 4000:
            return _retry_after(reason)
        case 1000:
            raise Disconnected(f"The hub ended this session{close}: connect again for a new one.")
        case 4002:
            raise Disconnected(
                f"This session was taken over by another connection{close}: one session is for one program;"
                " connect again for a new one."
            )
        case 4400:
            raise Disconnected(f"The hub did not understand this client{close}: check that both have the same version.")
        case 4401:
            raise Unauthorized(f"The hub did not let this agent in{close}: set WAGGLE_TOKEN or pass token=.")
        case 4403:
            raise Forbidden(f"The hub refused this connection{close}: ask who runs it to allow it.")
        case 1002 | 1007 | 1009:
            raise Disconnected(
                f"The hub refused what this client sent{close}: keep values below 11 MiB, and look for a proxy"
                " in between."
            )
        case _:
            return 0.0


def _retry_after(reason: str) -> float:
    """Return the first number of the close reason, at most `MAX_DRAIN_S`; 1 if there is none."""
    number = re.search(r"\d+(\.\d+)?", reason)
    return min(float(number.group()), MAX_DRAIN_S) if number else 1.0


def websocket_url(url: str) -> str:
    """Return the WebSocket address of the hub at ``url``: http becomes ws, https wss, and ``/ws`` is appended.

    Raises BadRequest if ``url`` is not an address.
    """
    fault = BadRequest(f"{url!r} is not the address of a hub: use one like {DEFAULT_URL}", field="url")
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
    """Return whether the address is this machine's own, which no proxy can reach for us."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")

"""The fast lane: what a server can offer the WebSocket door beside ASGI's `receive` and `send`.

The server puts a `Lane` into the scope, as ``scope["extensions"]["waggle.lane"]["lane"]``. A door that has accepted may
take it, with a `Listener` of its own, and return: the connection lives on without a task.

Rules:
1. Messages come by direct call, whole, in order, their UTF-8 checked. One that came before the lane was taken is the
   first.
2. A listener that is still busy with a message says so, and hears the next one when it has called `go_on`.
3. Frames go out as they are, whole, in order, and without waiting; `on_pause` and `on_resume` tell how the socket
   keeps up.
4. `on_gone` comes once, after the last message; what is written then is dropped.
5. A server that offers no lane is no worse: the same outcomes, with tasks (see `websocket`).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Protocol, cast

LANE = "waggle.lane"


class Lane(Protocol):
    """The server's side of a connection."""

    def open(self, listener: Listener) -> None:
        """From now on the listener is told, and the socket stays open when the application returns."""

    def go_on(self) -> None:
        """The listener is no longer busy."""

    def write(self, frame: bytes) -> None:
        """Send a whole frame."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, once, with as much of the reason as fits; then wait a while for the agent's."""


class Listener(Protocol):
    """The door's side of a connection."""

    def on_text(self, text: str) -> bool:
        """A message. Whether the next one may come: if not, `Lane.go_on` will be called."""

    def on_binary(self) -> None:
        """A message that is no text."""

    def on_pause(self) -> None:
        """The socket holds more than it should."""

    def on_resume(self) -> None:
        """The socket takes frames again, or has gone."""

    def on_gone(self) -> None:
        """Nothing comes any more, and nothing is sent."""


def lane_of(scope: MutableMapping[str, Any]) -> Lane | None:
    """The lane that this scope offers."""
    found = (scope.get("extensions") or {}).get(LANE)
    return None if found is None else cast(Lane, found["lane"])


def fitting(reason: str) -> str:
    """As much of the reason for a close as has room in its frame: 123 bytes."""
    return reason.encode()[:123].decode(errors="ignore")

"""The fast path: what a server can offer the WebSocket endpoint beside ASGI's `receive` and `send`.

The server puts a `FastPath` into the scope, as ``scope["extensions"]["waggle.fast_path"]["path"]``. An endpoint that
has accepted may take it, with a `Listener` of its own, and return: the connection lives on without a task.

Rules:
1. Messages come by direct call, whole, in order, their UTF-8 checked. A message that came before the fast path was
   taken is the first.
2. A listener that is still busy with a message returns False, and gets the next one after it has called `go_on`.
3. Frames go out as they are, whole, in order, and without waiting; `on_pause` and `on_resume` report the state of
   the socket's buffer.
4. `on_gone` comes once, after the last message; frames written after it are dropped.
5. On a server without a fast path the outcomes are the same, with tasks (see `websocket`).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Protocol, cast

FAST_PATH = "waggle.fast_path"


class FastPath(Protocol):
    """The server's side of a connection on the fast path."""

    def open(self, listener: Listener) -> None:
        """Attach the listener; the socket stays open when the application returns."""

    def go_on(self) -> None:
        """Resume reading: the listener is ready for the next message."""

    def write(self, frame: bytes) -> None:
        """Send a whole frame."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, once, with as much of the reason as fits; then wait a while for the agent's."""


class Listener(Protocol):
    """The endpoint's side of a connection on the fast path."""

    def on_text(self, text: str) -> bool:
        """Handle a message and return whether the next may come. If not, the listener calls `FastPath.go_on` later."""

    def on_binary(self) -> None:
        """Handle a message that is not text."""

    def on_pause(self) -> None:
        """Stop writing: the socket's buffer is full."""

    def on_resume(self) -> None:
        """Write again: the socket's buffer has room, or the socket is gone."""

    def on_gone(self) -> None:
        """Handle the end of the connection: nothing more is received or sent."""


def fast_path_of(scope: MutableMapping[str, Any]) -> FastPath | None:
    """Return the fast path that this scope offers, or None."""
    found = (scope.get("extensions") or {}).get(FAST_PATH)
    return None if found is None else cast(FastPath, found["path"])


def fitted_reason(reason: str) -> str:
    """Return as much of a close reason as a close frame has room for: 123 bytes."""
    return reason.encode()[:123].decode(errors="ignore")

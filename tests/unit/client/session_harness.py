"""A session without a socket: a test reads its lines as dicts, and writes the hub's lines as dicts."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.unit.client.fakehub import Line, welcome
from waggle.core.lease import Lease
from waggle.core.pending import Outcome, PendingCommand
from waggle.core.session import Session
from waggle.core.subscription import Subscription


class Wire:
    """One session, and its lines that the test has not read yet."""

    def __init__(self, **options: Any) -> None:
        self.session = Session(**options)
        self.outcomes: dict[PendingCommand, Outcome] = {}
        self.woken: list[Subscription] = []
        self.retries: list[tuple[float, Subscription]] = []
        self.lost: list[Lease] = []

    def sent(self) -> list[Line]:
        """Return the commands sent since the last call."""
        return [msgspec.json.decode(line) for message in self.session.outgoing() for line in message.split(b"\n")]

    def say(self, *lines: Line) -> None:
        """Receive these lines of the hub, in one message."""
        self.session.receive(b"\n".join(msgspec.json.encode(line) for line in lines))
        self.collect()

    def collect(self) -> None:
        updates = self.session.collect()
        self.outcomes |= dict(updates.settled)
        self.woken += updates.woken
        self.retries += updates.retries
        self.lost += updates.lost

    def reply(self, command: Line, **ok: Any) -> None:
        self.say({"id": command["id"], "ok": ok})

    def refuse(self, command: Line, code: str, **details: Any) -> None:
        self.say({"id": command["id"], "error": {"code": code, "message": code, **details}})

    def connect(self, **changes: Any) -> Line:
        """Connect and answer hello; return the hello."""
        self.session.opened()
        (hello,) = self.sent()
        self.reply(hello, **welcome(**changes))
        return hello

    def subscribe(self, subscription: Subscription, sub: int, **ok: Any) -> PendingCommand:
        """Subscribe and answer; return the command."""
        pending = self.session.subscribe(subscription)
        (command,) = self.sent()
        self.reply(command, **{"sub": sub, "epoch": "e1", "rev": 100, **ok})
        return pending


def event(sub: int, rev: int, after: int, key: str = "k", **fields: Any) -> Line:
    """Return a ``set`` event of the log."""
    return {"sub": sub, "rev": rev, "after": after, "type": "set", "key": key, "ns": "default", **fields}


def snapshot(sub: int, rev: int, key: str) -> Line:
    """Return a ``set`` event of a snapshot."""
    return event(sub, rev, 0, key, snapshot=True)


def synced(sub: int, rev: int) -> Line:
    return {"sub": sub, "type": "synced", "rev": rev}

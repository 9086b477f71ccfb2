"""A state machine with a clock that is set by hand, and sessions that are opened by name."""

from __future__ import annotations

from typing import Any

import msgspec

from waggle.wire import messages as m
from waggle_hub.settings import Limits
from waggle_hub.state.effects import Effect, OpenCursor, Reply
from waggle_hub.state.log import Commit, Event
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

INFO = m.Welcome(
    session="", secret="", agent="", resumed=False, epoch="", rev=0, grace=1, hub=m.HubInfo("waggle", "0"),
    features=[], durability="memory", limits={}, subs={},
)  # fmt: skip


class MachineHarness:
    """A machine, and what its last command gave off. Sessions are named by the one who opens them."""

    def __init__(self, limits: Limits | None = None, rev: int = 0) -> None:
        self.machine = Machine(limits or Limits(), "epoch", rev)
        self.now = 1_000.0
        self.outputs: list[Effect] = []

    def open_session(self, name: str, /, **fields: Any) -> Any:
        """Open a session of this name, whose secret is the name backwards."""
        command = m.Hello(id=0, **fields)
        self.outputs = self.machine.hello(command, SessionIds(name, name[::-1], f"made-{name}"), self.now, INFO)
        return self._ok()

    def return_to(self, session: str, cursors: dict[int, int] | None = None, secret: str | None = None) -> Any:
        """Take a session over."""
        command = m.Hello(id=0, session=session, secret=session[::-1] if secret is None else secret, cursors=cursors)
        self.outputs = self.machine.hello(command, SessionIds("unused", "unused", "unused"), self.now, INFO)
        return self._ok()

    def do(self, session: str, op: str, **fields: Any) -> Any:
        """The `ok` of a command; raises its error."""
        command = msgspec.convert({"op": op, "id": 1, **fields}, m.AnyCommand)
        self.outputs = self.machine.apply(command, session, self.now)
        return self._ok()

    def drop(self, session: str) -> None:
        self.outputs = self.machine.drop(session, self.now)
        self.machine.check()

    def expire(self, most: int = 1_000) -> None:
        self.outputs = self.machine.expire(self.now, most)
        self.machine.check()

    def _ok(self) -> Any:
        self.machine.check()
        (reply,) = [output for output in self.outputs if isinstance(output, Reply)]
        self.dup = reply.dup
        if reply.outcome.error is not None:
            raise reply.outcome.error
        return reply.outcome.ok

    def commits(self) -> list[Commit]:
        """Return the commits of the last command."""
        return [output for output in self.outputs if isinstance(output, Commit)]

    def events(self) -> list[Event]:
        """Return the events of the last command."""
        return [event for commit in self.commits() for event in commit.events]

    def attached(self) -> list[OpenCursor]:
        """The cursors that the last command began."""
        return [output for output in self.outputs if isinstance(output, OpenCursor)]

    def value(self, session: str, key: str, ns: str | None = None) -> Any:
        """The value of an entry, None where there is none."""
        entry = self.do(session, "get", key=key, ns=ns).entry
        return None if entry is None else msgspec.json.decode(entry.value)

    def keys(self, session: str, pattern: str = "*", ns: str | None = None) -> list[str]:
        """The keys that a list gives, all pages of it."""
        found: list[str] = []
        after = None
        while True:
            page = self.do(session, "list", pattern=pattern, ns=ns, after=after, limit=2)
            found += [entry.key for entry in page.entries]
            after = page.next
            if after is None:
                return found

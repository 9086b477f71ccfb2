"""A machine and its fan-out without an engine: what is decided is released when the test says so."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire import messages as m
from waggle.wire.errors import WaggleError
from waggle_hub.delivery.connection import TaskConnection
from waggle_hub.delivery.encoding import reply_line
from waggle_hub.delivery.fanout import Fanout, Loop, PendingReply, Released, SessionBound
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.effects import BindSession, DeferredReply, Effect, LockLost, Reply, StartBackup, StartSearch


class FanoutHarness:
    """Sessions, each with a connection whose lines leave when the test takes them."""

    def __init__(self, bounds: Bounds | None = None, limits: Limits | None = None, loop: Loop | None = None) -> None:
        self.machine_harness = MachineHarness(limits)
        self.bounds = bounds or Bounds()
        self.fanout = self.make_fanout(loop)
        self.connections: dict[str, TaskConnection] = {}
        self.waiting: list[Released] = []

    def make_fanout(self, loop: Loop | None) -> Fanout:
        """A fan-out of what the machine gives off; on a loop, if there is one."""
        log = self.machine_harness.machine.state.log
        return Fanout(self.bounds, log, lambda: self.machine_harness.now, self, timer=count().__next__, loop=loop)

    def open_session(self, *sessions: str) -> None:
        """Open sessions, and forget what they were answered."""
        for session in sessions:
            self.connect(session)
            self.machine_harness.open_session(session)
            self._collect(session)
        self.release()
        for session in self.connections:
            self.take(session)

    def connect(self, session: str) -> TaskConnection:
        connection = self.connections[session] = TaskConnection(self.bounds)
        connection.session = session
        return connection

    def decide(self, session: str, op: str, **fields: Any) -> Any:
        """Decide a command, and keep what it gave off for the next release."""
        try:
            return self.machine_harness.do(session, op, **fields)
        except WaggleError as error:
            return error
        finally:
            self._collect(session)

    def do(self, session: str, op: str, **fields: Any) -> Any:
        """Decide a command and release it."""
        ok = self.decide(session, op, **fields)
        self.release()
        return ok

    def subscribe(self, session: str, **fields: Any) -> int:
        """Begin a subscription, and forget the reply."""
        reply = self.do(session, "subscribe", **{"patterns": ["*"], **fields})
        assert isinstance(reply, m.Subscribed)
        self.connections[session].take()
        return reply.sub

    def release(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.fanout.release(waiting)

    def on_synced(self, session: str, sub: int, rev: int) -> None:
        self.machine_harness.machine.mark_synced(session, sub, rev)

    def on_log_truncated(self, session: str, sub: int) -> None:
        self.machine_harness.outputs = self.machine_harness.machine.restart_cursor(
            session, sub, self.machine_harness.now
        )
        self._collect(session)

    def _collect(self, session: str) -> None:
        self.waiting += [self._released(session, output) for output in self.machine_harness.outputs]
        self.machine_harness.outputs = []

    def _released(self, session: str, output: Effect) -> Released:
        if isinstance(output, Reply):
            text = reply_line(output)
            self.connections[session].reserve_reply(len(text))
            return PendingReply(self.connections[session], output.id, text)
        if isinstance(output, BindSession):
            return SessionBound(self.connections[session], session)
        assert not isinstance(output, DeferredReply | LockLost | StartBackup | StartSearch)
        return output

    def frame(self, session: str) -> str | None:
        """One write of the connection, or a turn of refills, which gives none: one slice, the timer says."""
        connection = self.connections[session]
        text = connection.take()
        if text is None and connection.ready:
            self.fanout.ready(connection)
            self.fanout.catch_up()
            return ""
        return None if text is None else str(text)

    def take(self, session: str) -> list[dict[str, Any]]:
        """Everything the agent reads until nothing more comes, restarts included."""
        lines: list[dict[str, Any]] = []
        while True:
            text = self.frame(session)
            if text:
                lines += [json.loads(line) for line in text.split("\n")]
            elif self.waiting:
                self.release()
            elif text is None:
                return lines


def brief(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the fields that matter: type, rev and after of an event; `reply` and the rev of a reply."""
    return [
        ("reply", line["ok"].get("rev")) if "ok" in line else (line["type"], line.get("rev"), line.get("after"))
        for line in lines
    ]

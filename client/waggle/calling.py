"""A session as one function: the name of an op and its fields in, what stands under ``ok`` out.

For doors that pass commands on, and have neither methods nor types of their own. What `waggle.aio` has objects for
is remembered here: what this session holds, so that a loss is noticed, and told once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from waggle.errors import BadRequest
from waggle.holds import Hold
from waggle.link import Link
from waggle.messages import OPS, REPLIES, Command, Delete, Lock, Renew, Take, Taken, Unlock
from waggle.reconnect import websocket_url
from waggle.session import Session, State

__all__ = ["Caller", "Calls"]

TIMEOUT = 10.0
"""Seconds that a command may be unanswered, beyond those that it waits for."""

Ok = dict[str, Any]


class Caller(Protocol):
    """Someone with a name, on whose behalf commands are given."""

    @property
    def agent(self) -> str:
        """The name."""

    @property
    def ns(self) -> str:
        """The namespace of what is named without one."""

    async def call(self, op: str, fields: dict[str, Any]) -> Ok:
        """Give a command; gives its ``ok``. Raises WaggleError. If the task is cancelled so is the command, and nothing
        stays granted."""

    def losses(self) -> list[str]:
        """What this caller held and does not any more, in sentences, each told once."""


class Calls:
    """The caller of a WebSocket session of this process."""

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        agent: str,
        ns: str,
        token: str | None,
        meta: dict[str, Any],
        connect_timeout: float,
        on_state: Callable[[State], None] | None = None,
    ) -> Calls:
        """Open a session, which is kept up over lost connections until it is closed. Raises as `waggle.connect`."""
        session = Session(agent=agent, ns=ns, token=token, meta=meta)
        link = Link(
            session,
            websocket_url(url),
            timeout=TIMEOUT,
            connect_timeout=connect_timeout,
            reconnect_timeout=None,
            on_state=on_state,
        )
        await link.open()
        return cls(link)

    async def close(self) -> None:
        """End the session now, with all it holds."""
        await self._link.close()

    def __init__(self, link: Link) -> None:
        self._link = link
        self._held: dict[int, Hold] = {}
        self._jobs: dict[int, str] = {}
        """The keys of what was taken, by token: their locks end with them."""
        self._losses: list[str] = []

    @property
    def agent(self) -> str:
        """The name, which the hub may have made."""
        return self._link.session.agent or ""

    @property
    def ns(self) -> str:
        """The namespace that the session was opened in."""
        return self._link.session.ns or "default"

    async def call(self, op: str, fields: dict[str, Any]) -> Ok:
        """As `Caller.call`."""
        command = _command(op, fields)
        hold = self._held.get(command.token or 0) if isinstance(command, Renew | Unlock) else None
        match command:
            case Lock() | Take():
                return _plain(await self._granted(command))
            case Renew() if hold is not None:
                return _plain(await self._link.renew(hold, command.ttl))
            case Unlock() if hold is not None:
                self._forget(hold)
                await self._link.let_go(hold)
                return {}
            case Delete():
                ok = _plain(await self._link.ask(command, REPLIES[Delete]))
                self._finished(command)
                return ok
            case _:
                return _plain(await self._link.ask(command, REPLIES[type(command)]))

    def losses(self) -> list[str]:
        """As `Caller.losses`."""
        told, self._losses = self._losses, []
        return told

    async def _granted(self, command: Lock | Take) -> msgspec.Struct:
        granted, hold = await self._link.grant(command)
        self._held[hold.token] = hold
        if isinstance(granted, Taken):
            self._jobs[hold.token] = granted.entry.key
        self._link.alarm(hold, partial(self._lost, hold))
        return granted

    def _finished(self, command: Delete) -> None:
        """A job that was deleted under its own lock is done."""
        hold = None if command.guard is None else self._held.get(command.guard.token)
        if hold is not None and self._jobs.get(hold.token) == command.key:
            self._forget(hold)
            self._link.drop(hold)

    def _lost(self, hold: Hold) -> None:
        if hold.token in self._held:
            self._forget(hold)
            assert hold.lost is not None
            self._losses.append(hold.lost.message)

    def _forget(self, hold: Hold) -> None:
        self._held.pop(hold.token, None)
        self._jobs.pop(hold.token, None)
        self._link.hush(hold)


def _command(op: str, fields: dict[str, Any]) -> Command:
    try:
        return msgspec.convert({**fields, "id": 0}, OPS[op])
    except msgspec.ValidationError as fault:
        raise BadRequest(f"{fault}", field=op) from None


def _plain(reply: msgspec.Struct) -> Ok:
    ok: Ok = msgspec.to_builtins(reply)
    return ok

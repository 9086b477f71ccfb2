"""A session as one function: the name of an op and its fields in, the ``ok`` of its reply out.

For transports that pass commands on, and need no methods or types of their own. The leases of this session are
remembered here, so that a lost lock is noticed, and reported once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from waggle.core.backoff import websocket_url
from waggle.core.lease import Lease
from waggle.core.session import Session, State
from waggle.core.subscription import Buffer, Subscription
from waggle.transport.driver import SessionDriver
from waggle.wire.changefeed import TYPES, Change, Put, Slice
from waggle.wire.errors import BadRequest, TimedOut, again
from waggle.wire.messages import OPS, REPLIES, Command, Delete, Event, Lock, Renew, Since, Take, Taken, Unlock

__all__ = ["Caller", "Calls"]

TIMEOUT = 10.0
"""Seconds that a command may be unanswered, beyond those that it waits for."""
SLICE = 500
"""Events that are handed over at a time."""

Ok = dict[str, Any]


class Caller(Protocol):
    """An agent in whose name commands are given."""

    @property
    def agent(self) -> str:
        """The agent's name."""

    @property
    def ns(self) -> str:
        """The default namespace."""

    async def call(self, op: str, fields: dict[str, Any]) -> Ok:
        """Give a command and return its ``ok``. Raises WaggleError. If the task is cancelled, the command is
        cancelled too, and nothing stays granted."""

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """Hand over the changes of a namespace since a cursor (None: all entries), up to every change that was
        acknowledged before this call, and return the cursor behind them. Raises WaggleError; some changes may
        have been handed over then."""

    def losses(self) -> list[str]:
        """Return the locks and jobs that this caller lost, in sentences, each returned once."""


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
        """Open a session that is kept up over lost connections until it is closed. Raises as `waggle.connect`."""
        session = Session(agent=agent, ns=ns, token=token, meta=meta)
        link = SessionDriver(
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

    def __init__(self, link: SessionDriver) -> None:
        self._link = link
        self._held: dict[int, Lease] = {}
        self._jobs: dict[int, str] = {}
        """The keys of what was taken, by token: their locks end with them."""
        self._losses: list[str] = []

    @property
    def agent(self) -> str:
        """The name, made by the hub if none was given."""
        return self._link.session.agent or ""

    @property
    def ns(self) -> str:
        """The namespace that the session was opened in."""
        return self._link.session.ns or "default"

    async def call(self, op: str, fields: dict[str, Any]) -> Ok:
        """Give a command, as `Caller.call`."""
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

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """Hand over changes, as `Caller.catch_up`, by a subscription that ends where it has caught up."""
        buffer = Buffer(since)
        subscription = Subscription(["*"], buffer, ns=ns, types=TYPES, snapshot=True, since=since)
        until = (await self._link.begin(subscription)).rev
        anew = since is None
        try:
            while True:
                events = [buffer.take() for _ in range(SLICE) if not buffer.empty]
                if events or anew:
                    synced = any(event.type == "synced" for event in events)
                    await put(_slice(events, anew))
                    anew, until = False, 0 if synced else until
                elif subscription.error is not None:
                    raise again(subscription.error)
                elif not subscription.filling and subscription.cursor >= until:
                    return Since(subscription.epoch, subscription.cursor)
                else:
                    self._link.drained(subscription)
                    await self._news(subscription)
        finally:
            self._link.leave(subscription)

    async def _news(self, subscription: Subscription) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._link.news(subscription)
        except TimeoutError:
            raise TimedOut(f"The hub told nothing for {TIMEOUT:g} s: check that it runs, and try again.") from None

    def losses(self) -> list[str]:
        """Return the losses, as `Caller.losses`."""
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
        """Forget the lease of a job that was deleted under its own lock: the job is done."""
        hold = None if command.guard is None else self._held.get(command.guard.token)
        if hold is not None and self._jobs.get(hold.token) == command.key:
            self._forget(hold)
            self._link.drop(hold)

    def _lost(self, hold: Lease) -> None:
        if hold.token in self._held:
            self._forget(hold)
            assert hold.lost is not None
            self._losses.append(hold.lost.message)

    def _forget(self, hold: Lease) -> None:
        self._held.pop(hold.token, None)
        self._jobs.pop(hold.token, None)
        self._link.hush(hold)


def _slice(events: list[Event], anew: bool) -> Slice:
    """Return events as a slice; events before a fresh snapshot do not count."""
    changes: list[Change] = []
    for event in events:
        if event.type == "lost":
            changes, anew = [], True
        elif event.type == "set":
            changes.append(Change(event.key, Raw(msgspec.json.encode(event.value)), event.rev))
        elif event.type != "synced":
            changes.append(Change(event.key, None, event.rev))
    return Slice(changes, anew)


def _command(op: str, fields: dict[str, Any]) -> Command:
    try:
        return msgspec.convert({**fields, "id": 0}, OPS[op])
    except msgspec.ValidationError as fault:
        raise BadRequest(f"{fault}", field=op) from None


def _plain(reply: msgspec.Struct) -> Ok:
    ok: Ok = msgspec.to_builtins(reply)
    return ok

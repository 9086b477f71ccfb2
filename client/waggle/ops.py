"""A session as one function: the name of an op and its fields in, the object under ``ok`` out.

For transports that pass commands on and have no methods or types of their own. `Calls` also remembers the leases
that the session holds, so that each loss is reported once.
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
from waggle.wire.errors import BadRequest, TimedOut, copy_error
from waggle.wire.messages import OPS, REPLIES, Command, Delete, Event, Lock, Renew, Since, Take, Taken, Unlock

__all__ = ["Caller", "Calls"]

COMMAND_TIMEOUT_S = 10.0
"""Seconds that the hub has to answer a command, beyond the time that the command lets it wait."""
MAX_SLICE_EVENTS = 500
"""Events that are passed on at a time."""

Ok = dict[str, Any]


class Caller(Protocol):
    """An agent with a name, for which commands are run."""

    @property
    def agent(self) -> str:
        """Return the name of the agent."""

    @property
    def ns(self) -> str:
        """Return the namespace of keys and names that are given without one."""

    async def call(self, op: str, fields: dict[str, Any]) -> Ok:
        """Run a command and return its ``ok``. Raises WaggleError.

        If the task is cancelled, so is the command, and nothing stays granted.
        """

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """Pass on the changes of a namespace since a cursor, and return the cursor behind the last one.

        Without a cursor, every entry is passed on. All changes that the hub had acknowledged before this call are
        included. Raises WaggleError; some changes may have been passed on then.
        """

    def losses(self) -> list[str]:
        """Return a sentence for each lock or job that was lost since the last call."""


class Calls:
    """The caller of one WebSocket session of this process."""

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
        """Open a session, which is restored after lost connections until it is closed. Raises as `waggle.connect`."""
        session = Session(agent=agent, ns=ns, token=token, meta=meta)
        driver = SessionDriver(
            session,
            websocket_url(url),
            timeout=COMMAND_TIMEOUT_S,
            connect_timeout=connect_timeout,
            reconnect_timeout=None,
            on_state=on_state,
        )
        await driver.open()
        return cls(driver)

    async def close(self) -> None:
        """End the session now, with all that it holds."""
        await self._driver.close()

    def __init__(self, driver: SessionDriver) -> None:
        self._driver = driver
        self._leases: dict[int, Lease] = {}
        self._job_keys: dict[int, str] = {}
        """The keys of the jobs that were taken, by token: the lock of a job ends with its entry."""
        self._losses: list[str] = []

    @property
    def agent(self) -> str:
        """Return the name of the agent, which the hub may have made."""
        return self._driver.session.agent or ""

    @property
    def ns(self) -> str:
        """Return the namespace that the session was opened in."""
        return self._driver.session.ns or "default"

    async def call(self, op: str, fields: dict[str, Any]) -> Ok:
        """Run a command, as `Caller.call`."""
        command = _command(op, fields)
        lease = self._leases.get(command.token or 0) if isinstance(command, Renew | Unlock) else None
        match command:
            case Lock() | Take():
                return _to_builtins(await self._granted(command))
            case Renew() if lease is not None:
                return _to_builtins(await self._driver.renew(lease, command.ttl))
            case Unlock() if lease is not None:
                self._forget(lease)
                await self._driver.unlock(lease)
                return {}
            case Delete():
                ok = _to_builtins(await self._driver.request(command, REPLIES[Delete]))
                self._forget_finished(command)
                return ok
            case _:
                return _to_builtins(await self._driver.request(command, REPLIES[type(command)]))

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """Pass on changes, as `Caller.catch_up`: by a subscription that ends when it has caught up."""
        buffer = Buffer(since)
        subscription = Subscription(["*"], buffer, ns=ns, types=TYPES, snapshot=True, since=since)
        until = (await self._driver.subscribe(subscription)).rev
        anew = since is None
        try:
            while True:
                events = [buffer.take() for _ in range(MAX_SLICE_EVENTS) if not buffer.empty]
                if events or anew:
                    synced = any(event.type == "synced" for event in events)
                    await put(_slice_of(events, anew))
                    anew, until = False, 0 if synced else until
                elif subscription.error is not None:
                    raise copy_error(subscription.error)
                elif not subscription.in_snapshot and subscription.cursor >= until:
                    return Since(subscription.epoch, subscription.cursor)
                else:
                    self._driver.resume(subscription)
                    await self._wait_for_change(subscription)
        finally:
            self._driver.unsubscribe(subscription)

    async def _wait_for_change(self, subscription: Subscription) -> None:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await self._driver.wait_for_change(subscription)
        except TimeoutError:
            raise TimedOut(
                f"The hub sent nothing for {COMMAND_TIMEOUT_S:g} s: check that it runs, and try again."
            ) from None

    def losses(self) -> list[str]:
        """Return the losses since the last call, as `Caller.losses`."""
        losses, self._losses = self._losses, []
        return losses

    async def _granted(self, command: Lock | Take) -> msgspec.Struct:
        granted, lease = await self._driver.acquire(command)
        self._leases[lease.token] = lease
        if isinstance(granted, Taken):
            self._job_keys[lease.token] = granted.entry.key
        self._driver.on_loss(lease, partial(self._on_lost, lease))
        return granted

    def _forget_finished(self, command: Delete) -> None:
        """Forget the lease of a job that was deleted under its own lock: the job is done."""
        lease = None if command.guard is None else self._leases.get(command.guard.token)
        if lease is not None and self._job_keys.get(lease.token) == command.key:
            self._forget(lease)
            self._driver.mark_ended(lease)

    def _on_lost(self, lease: Lease) -> None:
        if lease.token in self._leases:
            self._forget(lease)
            assert lease.lost is not None
            self._losses.append(lease.lost.message)

    def _forget(self, lease: Lease) -> None:
        self._leases.pop(lease.token, None)
        self._job_keys.pop(lease.token, None)
        self._driver.cancel_loss_callback(lease)


def _slice_of(events: list[Event], anew: bool) -> Slice:
    """Return the changes of some events. Changes before a fresh snapshot are left out."""
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


def _to_builtins(reply: msgspec.Struct) -> Ok:
    ok: Ok = msgspec.to_builtins(reply)
    return ok

"""Watchers and mirrors for asyncio: who consumes a subscription, and how long it lives.

A thin shell again: the order, the completeness and the bounds of what comes are `waggle.core.subscription`'s, the
copy is
`waggle.api.mirror`'s. Here is only waiting.
"""

from __future__ import annotations

import asyncio
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from waggle.api.mirror import MirrorView, mirroring
from waggle.core.subscription import Buffer, Subscription
from waggle.transport.driver import SessionDriver
from waggle.wire.errors import BadRequest, TimedOut, again
from waggle.wire.messages import Event, EventType, Since

__all__ = ["Mirror", "Position", "Watcher"]


class _Following:
    """A subscription over a link, from the moment it is begun until it is left, or nobody holds it any more."""

    def __init__(self, link: SessionDriver, subscription: Subscription) -> None:
        self._link, self._subscription = link, subscription
        self._begun = False
        self._left = weakref.finalize(self, link.leave_soon, subscription)
        self._left.atexit = False

    async def _begin(self) -> None:
        """Subscribe. Raises BadRequest the second time: it would mix two streams."""
        if self._begun:
            raise BadRequest("This was entered before: call hub.watch() or hub.mirror() again for another one.")
        self._begun = True
        await self._link.begin(self._subscription)

    async def close(self) -> None:
        """Unsubscribe; nothing comes any more."""
        self._left.detach()
        self._link.leave(self._subscription)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Position:
    """The place that a consumer has reached in the hub's log."""

    @property
    @abstractmethod
    def since(self) -> Since:
        """The revision that this consumer has reached, in its epoch."""

    @property
    def epoch(self) -> str:
        """The epoch of ``since``; empty while a snapshot is incomplete, from which no other consumer can go on."""
        return self.since.epoch

    @property
    def rev(self) -> int:
        """The revision of ``since``."""
        return self.since.rev


class Watcher(_Following, Position):
    """The events of one ``hub.watch``: iterate over it, inside ``async with`` or without.

    No more than 8 MiB of events are kept for a consumer that is slow (a snapshot is kept whole). Beyond that the
    client unsubscribes, and goes on from the hub's log when the consumer has caught up; so the loop's body may
    take its time, and may use the same hub. If the hub's log has been compacted meanwhile, that is a loss: see
    `Hub.watch`.
    """

    def __init__(
        self,
        link: SessionDriver,
        patterns: Iterable[str],
        since: Since | None,
        *,
        ns: str | None,
        types: Iterable[EventType] | None,
        values: bool,
        prev: bool,
        snapshot: bool,
        echo: bool,
        conflate: float | None,
    ) -> None:
        self._buffer = Buffer(since)
        subscription = Subscription(
            patterns,
            self._buffer,
            ns=ns,
            types=types,
            values=values,
            prev=prev,
            snapshot=snapshot,
            since=since,
            echo=echo,
            conflate=conflate,
        )
        super().__init__(link, subscription)

    @property
    def since(self) -> Since:
        """How far this consumer has come, the event it was given last included: where another may go on."""
        return self._subscription.point()

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if not await self._some():
            raise StopAsyncIteration
        return self._take()

    async def batch(self, most: int) -> list[tuple[Event, Since]]:
        """As many events as wait, each with the resume point behind it: 1 to ``most``, none at the end."""
        await self._some()
        events: list[tuple[Event, Since]] = []
        while len(events) < most and not self._buffer.empty:
            events.append((self._take(), self._buffer.point))
        return events

    async def _some(self) -> bool:
        """Wait for an event; False at the end. Raises what broke the stream once everything was taken."""
        if not self._begun:
            await self._begin()
        while self._buffer.empty:
            if self._subscription.error is not None:
                raise again(self._subscription.error)
            if self._subscription.ended:
                return False
            await self._link.news(self._subscription)
        return True

    def _take(self) -> Event:
        event = self._buffer.take()
        if self._buffer.empty:
            self._link.drained(self._subscription)
        return event


class Mirror(_Following, MirrorView):
    """The entries that match a pattern, by key, kept in step with the hub; enter it to fill it."""

    def __init__(self, link: SessionDriver, pattern: str, ns: str | None, conflate: float | None) -> None:
        replica, subscription = mirroring(pattern, ns, conflate)
        MirrorView.__init__(self, replica)
        _Following.__init__(self, link, subscription)

    async def __aenter__(self) -> Self:
        await self._begin()
        try:
            await self._wait(lambda: self.changes > 0, None)
        except BaseException:
            await self.close()
            raise
        return self

    async def changed(self, *, timeout: float | None = None) -> None:
        """Wait for the next change, at most ``timeout`` seconds. Raises TimedOut, or Disconnected for good."""
        seen = self.changes
        await self._wait(lambda: self.changes != seen, timeout)

    async def until(self, condition: Callable[[MirrorView], object], *, timeout: float | None = None) -> None:
        """Wait until ``condition(mirror)`` is true, asked now and after each change. Raises as `changed`."""
        await self._wait(lambda: condition(self), timeout)

    async def _wait(self, condition: Callable[[], object], timeout: float | None) -> None:
        patience = asyncio.timeout(timeout)
        try:
            async with patience:
                while not condition():
                    if self._subscription.error is not None:
                        raise again(self._subscription.error)
                    if self._subscription.ended or not self._begun:
                        raise BadRequest("This mirror is not open: use it within its `with` block.")
                    await self._link.news(self._subscription)
        except TimeoutError:
            if not patience.expired():
                raise
            raise TimedOut(
                f"The mirror of {', '.join(self._subscription.patterns)} did not come to that within {timeout:g} s:"
                " wait longer, or look at what it holds."
            ) from None

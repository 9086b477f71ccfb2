"""Watchers and mirrors for asyncio: the consumers of a subscription, and its lifetime.

A thin shell: `waggle.core.subscription` keeps order, completeness and bounds, `waggle.api.mirror` keeps the copy.
This module waits.
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
from waggle.wire.errors import BadRequest, TimedOut, copy_error
from waggle.wire.messages import Event, EventType, Since

__all__ = ["Mirror", "Position", "Watcher"]


class _Following:
    """A subscription from its start until it is closed, or its consumer is garbage collected."""

    def __init__(self, driver: SessionDriver, subscription: Subscription) -> None:
        self._driver, self._subscription = driver, subscription
        self._begun = False
        self._finalizer = weakref.finalize(self, driver.unsubscribe_threadsafe, subscription)
        self._finalizer.atexit = False

    async def _begin(self) -> None:
        """Subscribe. Raises BadRequest the second time: two streams would mix."""
        if self._begun:
            raise BadRequest("This was entered before: call hub.watch() or hub.mirror() again for another one.")
        self._begun = True
        await self._driver.subscribe(self._subscription)

    async def close(self) -> None:
        """Unsubscribe; no event comes any more."""
        self._finalizer.detach()
        self._driver.unsubscribe(self._subscription)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Position:
    """The position of a consumer in the hub's log."""

    @property
    @abstractmethod
    def since(self) -> Since:
        """Return the revision that this consumer has reached, in its epoch."""

    @property
    def epoch(self) -> str:
        """Return the epoch of ``since``; empty while a snapshot is incomplete, from which no other consumer can
        continue."""
        return self.since.epoch

    @property
    def rev(self) -> int:
        """Return the revision of ``since``."""
        return self.since.rev


class Watcher(_Following, Position):
    """The events of one ``hub.watch``: iterate over it, inside a block or without.

    At most 8 MiB of events are kept for a slow consumer; a snapshot is kept whole. Beyond that the client
    unsubscribes, and continues from the hub's log when the consumer has caught up. So the body of the loop may take
    its time, and may use the same hub. If the hub has compacted its log meanwhile, events are lost: see `Hub.watch`.
    """

    def __init__(
        self,
        driver: SessionDriver,
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
        super().__init__(driver, subscription)

    @property
    def since(self) -> Since:
        """Return the position of this consumer, behind the last event that it got: another consumer can continue
        there."""
        return self._subscription.point()

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if not await self._wait_for_event():
            raise StopAsyncIteration
        return self._take()

    async def batch(self, max_events: int) -> list[tuple[Event, Since]]:
        """Return the waiting events, each with the resume point behind it: 1 to ``max_events``, none at the end."""
        await self._wait_for_event()
        events: list[tuple[Event, Since]] = []
        while len(events) < max_events and not self._buffer.empty:
            events.append((self._take(), self._buffer.point))
        return events

    async def _wait_for_event(self) -> bool:
        """Wait for an event; return False at the end. Raises the error of the stream after the last event."""
        if not self._begun:
            await self._begin()
        while self._buffer.empty:
            if self._subscription.error is not None:
                raise copy_error(self._subscription.error)
            if self._subscription.ended:
                return False
            await self._driver.wait_for_change(self._subscription)
        return True

    def _take(self) -> Event:
        event = self._buffer.take()
        if self._buffer.empty:
            self._driver.resume(self._subscription)
        return event


class Mirror(_Following, MirrorView):
    """The entries that match a pattern, by key, updated by the hub; entering it fills it."""

    def __init__(self, driver: SessionDriver, pattern: str, ns: str | None, conflate: float | None) -> None:
        replica, subscription = mirroring(pattern, ns, conflate)
        MirrorView.__init__(self, replica)
        _Following.__init__(self, driver, subscription)

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
        """Wait until ``condition(mirror)`` is true, called now and after each change. Raises as `changed`."""
        await self._wait(lambda: condition(self), timeout)

    async def _wait(self, condition: Callable[[], object], timeout: float | None) -> None:
        time_limit = asyncio.timeout(timeout)
        try:
            async with time_limit:
                while not condition():
                    if self._subscription.error is not None:
                        raise copy_error(self._subscription.error)
                    if self._subscription.ended or not self._begun:
                        raise BadRequest("This mirror is not open: use it within its `with` block.")
                    await self._driver.wait_for_change(self._subscription)
        except TimeoutError:
            if not time_limit.expired():
                raise
            raise TimedOut(
                f"The mirror of {', '.join(self._subscription.patterns)} did not reach this state within {timeout:g} s:"
                " wait longer, or look at its entries."
            ) from None

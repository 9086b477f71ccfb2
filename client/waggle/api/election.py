"""Leader election: the leader is the holder of the lock ``leader:NAME``. Built of locks and events.

The token of the lock proves the term of a leader. The key ``leader:NAME`` is under the lock, so the leader may write
there. Other agents ask for the lock's holder, or follow its changes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec import UNSET, Struct

from waggle.api.lock import Lock
from waggle.wire.errors import Lost
from waggle.wire.patterns import quoted

if TYPE_CHECKING:
    from waggle.api.hub import Hub

__all__ = ["Election", "Leader", "Leaders"]


class Leader(Struct, frozen=True):
    """The leader: its agent, its session, and the token of its term."""

    agent: str
    session: str
    token: int


class Election:
    """An election: ``async with hub.elect("planner") as term`` waits to lead, and leads within the block.

    The term is a `Lock`: it renews itself, ``guard=term`` lets writes through only while it lasts, and should it be
    lost, the block is cancelled and raises LockLost.
    """

    def __init__(self, hub: Hub, name: str, ns: str | None, ttl: float, wait: float | None) -> None:
        self._hub, self._ns = hub, ns
        self._name = f"leader:{name}"
        self.term = hub.lock(self._name, ns=ns, ttl=ttl, wait=wait)

    async def leader(self) -> Leader | None:
        """Return the leader, or None."""
        held = await self._hub.locks(quoted(self._name), ns=self._ns)
        exact = [lock for lock in held if lock.names == [self._name]]
        return Leader(exact[0].agent, exact[0].session, exact[0].token) if exact else None

    def observe(self) -> Leaders:
        """Iterate over the leaders: the present one or None, then each change."""
        return Leaders(self._follow())

    async def _follow(self) -> AsyncGenerator[Leader | None]:
        while True:
            try:
                async with self._hub.watch(quoted(self._name), ns=self._ns, types=("lock", "unlock")) as events:
                    leader = await self.leader()
                    yield leader
                    async for event in events:
                        token = 0 if event.token is UNSET else event.token
                        known = 0 if leader is None else leader.token
                        if event.type == "lock" and token > known:
                            leader = Leader(event.by, "" if event.session is UNSET else event.session, token)
                            yield leader
                        elif event.type == "unlock" and token == known:
                            leader = None
                            yield None
            except Lost:
                pass  # look again from the start

    async def __aenter__(self) -> Lock:
        return await self.term.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.term.__aexit__(kind, error, trace)


class Leaders:
    """An iterator over the leaders: the result of ``election.observe``."""

    def __init__(self, leaders: AsyncGenerator[Leader | None]) -> None:
        self._leaders = leaders

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Leader | None:
        return await anext(self._leaders)

    async def close(self) -> None:
        """Stop following the election."""
        await self._leaders.aclose()

"""A copy of a namespace that catches up with the hub, as an index beside it does."""

from __future__ import annotations

from typing import Protocol

from waggle.wire.changefeed import Put, Slice
from waggle.wire.messages import Since


class CatchesUp(Protocol):
    """Whatever can catch up, from either side."""

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """As `waggle.ops.Caller.catch_up`."""


class Copy:
    """A copy of a namespace, as an index would keep it."""

    def __init__(self, caller: CatchesUp, ns: str) -> None:
        self._caller, self._ns = caller, ns
        self.since: Since | None = None
        self.values: dict[str, bytes] = {}
        self.slices: list[Slice] = []
        """Number of entries that the last catch-up was told."""

    @property
    def told(self) -> int:
        """How many changes that were,"""
        return sum(len(slice.changes) for slice in self.slices)

    @property
    def anew(self) -> int:
        """and how often it began anew."""
        return sum(slice.anew for slice in self.slices)

    async def catch_up(self) -> dict[str, bytes]:
        """Know all that the hub does."""
        self.slices = []
        self.since = await self._caller.catch_up(self._ns, self.since, self.put)
        return self.values

    async def put(self, slice: Slice) -> None:
        """Know this, too."""
        self.slices.append(slice)
        if slice.anew:
            self.values = {}
        for change in slice.changes:
            if change.value is None:
                self.values.pop(change.key, None)
            else:
                self.values[change.key] = bytes(change.value)

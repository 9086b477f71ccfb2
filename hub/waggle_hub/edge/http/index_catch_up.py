"""Catch-up of an index that MCP tools keep beside the hub (`waggle.wire.changefeed`).

An index that has caught up knows every change that was acknowledged before it asked. Recent changes are read from
the log, as far as it is released; that costs little. An index that is new, or was away for longer than the log
reaches back, reads a subscription, which ends where the index has caught up: at the `mark` after a replay, or at
`synced` after a snapshot.
"""

from __future__ import annotations

import asyncio
from itertools import islice, takewhile

import msgspec
from msgspec import Raw, Struct

from waggle.wire import messages as m
from waggle.wire.changefeed import GONE, TYPES, Change, Put, Slice
from waggle.wire.errors import Unavailable
from waggle_hub.engine.engine import Engine

from .internal_subscription import HELLO_ID, InternalSubscription, LineConsumer, subscribe

_SLICE_COMMITS = 500
"""Commits that are looked at in one go."""
_RETRY_AFTER_S = 1.0
"""Seconds after which to ask again when a reading was broken off."""


class _SubscriptionLine(Struct):
    """The parsed line of a subscription."""

    type: str
    rev: int = 0
    key: str = ""
    value: Raw = Raw(b"null")


_parse = msgspec.json.Decoder(_SubscriptionLine).decode


async def catch_up(engine: Engine, ns: str, since: m.Since | None, put: Put) -> m.Since:
    """Hand over all changes since a cursor and return the cursor behind them, as `waggle.ops.Caller.catch_up`."""
    if since is not None and engine.refusal is None and since.epoch == engine.machine.state.epoch:
        until = engine.fanout.rev
        since = await _read_log(engine, ns, since, until, put)
        if since.rev >= until:
            return since
    return await _read(engine, ns, since, put)


async def _read_log(engine: Engine, ns: str, since: m.Since, until: int, put: Put) -> m.Since:
    """Hand over the changes that the log still has, up to a released revision, and return the cursor behind them."""
    log, rev = engine.machine.state.log, since.rev
    while log.floor <= rev < until:
        released = takewhile(lambda commit: commit.rev <= until, log.commits_after(rev))
        commits = list(islice(released, _SLICE_COMMITS))
        rev = commits[-1].rev if commits else until
        changes = [
            Change(event.key, None if event.entry is None else Raw(event.entry.value), event.rev)
            for commit in commits
            for event in commit.events
            if event.ns == ns and event.type in TYPES
        ]
        await (put(Slice(changes)) if changes else asyncio.sleep(0))
    return m.Since(since.epoch, rev)


async def _read(engine: Engine, ns: str, since: m.Since | None, put: Put) -> m.Since:
    """Hand over changes by a subscription of a short session."""
    catching = _Catching(engine, put)
    hello = m.Hello(id=HELLO_ID, meta={"role": "index"})
    await catching.reading.run(
        hello,
        subscribe(["*"], ns=ns, types=TYPES, snapshot=since is None, since=since),
        LineConsumer(catching.begin, catching.tell),
    )
    catching.reading.check()
    if catching.end is None:
        raise Unavailable("the hub has broken off: try again", retry_after=_RETRY_AFTER_S)
    return catching.end


class _Catching:
    """The progress of one catch-up by subscription."""

    def __init__(self, engine: Engine, put: Put) -> None:
        self.reading = InternalSubscription(engine)
        self.end: m.Since | None = None
        """The cursor where all is known."""
        self._put = put
        self._epoch = ""
        self._until = 0
        self._filling = False
        """Whether a snapshot is on its way and `synced` has not come."""

    async def begin(self, subscribed: m.Subscribed) -> None:
        self._epoch, self._until = subscribed.epoch, subscribed.rev
        if not subscribed.resumed:
            self._filling = True
            await self._put(Slice([], anew=True))

    async def tell(self, lines: list[bytes]) -> None:
        if self.end is not None:
            return
        changes: list[Change] = []
        anew = False
        for line in map(_parse, lines):
            if line.type == "set":
                changes.append(Change(line.key, line.value, line.rev))
            elif line.type in GONE:
                changes.append(Change(line.key, None, line.rev))
            elif line.type == "lost":
                changes, anew, self._filling = [], True, True
            elif line.type == "synced" or (not self._filling and line.rev >= self._until):
                self.end = m.Since(self._epoch, line.rev)
                self.reading.close()
                break
        if changes or anew:
            await self._put(Slice(changes, anew))

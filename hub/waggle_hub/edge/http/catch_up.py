"""What has changed in a namespace, for an index that tools of MCP keep beside the hub (`waggle.wire.changefeed`).

Who has caught up knows all that was acknowledged to anybody before it asked. What has changed lately is read from the
log, as far as it was released: that costs little, and nobody sees it. Who asks first, or was away for longer than the
log reaches back, is told by a reading, which ends where it has caught up: a replay at the `mark` at its end, a snapshot
at `synced`.
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

from .internal_subscription import HELLO, Reading, Teller, subscribe

_SLICE = 500
"""Commits that are looked at in one go."""
_RETRY = 1.0
"""Seconds after which to ask again when a reading was broken off."""


class _Told(Struct):
    """A line of the subscription."""

    type: str
    rev: int = 0
    key: str = ""
    value: Raw = Raw(b"null")


_look = msgspec.json.Decoder(_Told).decode


async def catch_up(engine: Engine, ns: str, since: m.Since | None, put: Put) -> m.Since:
    """As `waggle.ops.Caller.catch_up`."""
    if since is not None and engine.refusal is None and since.epoch == engine.machine.state.epoch:
        until = engine.fanout.rev
        since = await _read_log(engine, ns, since, until, put)
        if since.rev >= until:
            return since
    return await _read(engine, ns, since, put)


async def _read_log(engine: Engine, ns: str, since: m.Since, until: int, put: Put) -> m.Since:
    """Hand over what the log still has up to a revision that was released; gives the cursor behind it."""
    log, rev = engine.machine.state.log, since.rev
    while log.floor <= rev < until:
        released = takewhile(lambda commit: commit.rev <= until, log.commits_after(rev))
        commits = list(islice(released, _SLICE))
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
    """The same by a reading."""
    catching = _Catching(engine, put)
    hello = m.Hello(id=HELLO, meta={"role": "index"})
    await catching.reading.run(
        hello,
        subscribe(["*"], ns=ns, types=TYPES, snapshot=since is None, since=since),
        Teller(catching.begin, catching.tell),
    )
    catching.reading.check()
    if catching.end is None:
        raise Unavailable("the hub has broken off: try again", retry_after=_RETRY)
    return catching.end


class _Catching:
    """How far it is."""

    def __init__(self, engine: Engine, put: Put) -> None:
        self.reading = Reading(engine)
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
        for told in map(_look, lines):
            if told.type == "set":
                changes.append(Change(told.key, told.value, told.rev))
            elif told.type in GONE:
                changes.append(Change(told.key, None, told.rev))
            elif told.type == "lost":
                changes, anew, self._filling = [], True, True
            elif told.type == "synced" or (not self._filling and told.rev >= self._until):
                self.end = m.Since(self._epoch, told.rev)
                self.reading.close()
                break
        if changes or anew:
            await self._put(Slice(changes, anew))

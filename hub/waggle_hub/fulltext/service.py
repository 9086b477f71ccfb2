"""The full-text service: keeps the word index in step with the state, and answers searches from it.

Rules:
1. The entries are the truth. The index is built at the first search, from the entries in slices, and gets each
   change from then on. If it fails, or if the journal does, it is dropped, and the next search builds another.
2. The event loop never waits for the index: it lives in a thread. Changes are collected, the newest of each key, and
   handed over with the next search, else after a pause. So a search sees every change that was decided before it.
3. A search is of one revision. Entries are shown as they were then; those that are gone by now are left out.
4. One search at a time, and sessions take turns: a search waits for at most one of each other session.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from msgspec import structs

from waggle.wire import messages as m
from waggle.wire.errors import LimitReached, RateLimited, SessionLost, Unavailable
from waggle.wire.patterns import compile_pattern
from waggle_hub.settings import Bounds
from waggle_hub.state.effects import StartSearch
from waggle_hub.state.log import Commit
from waggle_hub.state.state import State
from waggle_hub.state.store.entry import ENTRY_OVERHEAD_BYTES, Entry

from .word_index import Change, ScoredKey, TooSlow, Words

log = logging.getLogger("waggle_hub")

FILE: Final = "words.tmp"
"""The file of the index, for the moment that it has a name."""
_RETRY_AFTER_S: Final = 2.0
"""Seconds after which to ask again when the index was dropped, or too many ask."""
_ALL: Final = compile_pattern("*")
T = TypeVar("T")


class _Changed(NamedTuple):
    """The change of a key since the index was last updated: the entry before, and the entry now."""

    before: Entry | None
    now: Entry | None


class Finder:
    """The service. `data` is the directory of the hub, None if it keeps everything in memory."""

    def __init__(self, state: State, bounds: Bounds, clock: Callable[[], float], data: Path | None = None) -> None:
        self._state = state
        self._bounds = bounds
        self._clock = clock
        self._path = None if data is None else data / FILE
        self._thread: ThreadPoolExecutor | None = None
        self._words: Words | None = None
        """The index, once it is being made."""
        self._complete = False
        """Whether all entries have been handed to it."""
        self._changed: dict[tuple[str, str], _Changed] = {}
        self._catching_up: asyncio.Task[None] | None = None
        self._closed = False
        self._one = asyncio.Lock()
        """Whoever has it talks to the index."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._asked: Counter[str] = Counter()
        """Searches under way, by session."""

    # --- what the engine tells -----------------------------------------------------------------------------------

    def committed(self, commit: Commit) -> None:
        """Collect the changes of a commit."""
        if self._words is None:
            return
        for event in commit.events:
            if event.type in m.ENTRY_TYPES and event.type != "touch":
                place = (event.ns, event.key)
                earlier = self._changed.get(place)
                self._changed[place] = _Changed(event.prev if earlier is None else earlier.before, event.entry)
        if self._changed and self._complete and self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())

    def forget(self) -> None:
        """Drop the index: changes that it was given may be taken back."""
        words, self._words = self._words, None
        self._complete = False
        self._changed.clear()
        if words is not None and self._thread is not None:
            words.interrupt()
            self._thread.submit(words.close)

    def close(self) -> None:
        """Refuse further searches and drop the index."""
        self._closed = True
        if self._catching_up is not None:
            self._catching_up.cancel()
        self.forget()
        if self._thread is not None:
            self._thread.shutdown()

    # --- searches ------------------------------------------------------------------------------------------------

    async def find(self, wanted: StartSearch) -> m.Found:
        """Return the results of a search. Raises a WaggleError."""
        session = wanted.session
        self._check_room(session)
        self._asked[session] += 1
        turn = self._turns.setdefault(session, asyncio.Lock())
        try:
            async with turn, self._one:
                return await self._answer(wanted)
        except TooSlow:
            raise LimitReached(
                "too many entries have these words: say one that fewer have, or leave out the star",
                limit=self._bounds.search,
            ) from None
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from None
        finally:
            self._asked[session] -= 1
            if not self._asked[session]:
                del self._asked[session]

    def _check_room(self, session: str) -> None:
        most = self._state.limits.searches
        if self._asked[session] >= most:
            said = f"{most} searches of this session are under way: wait for their answers"
            raise RateLimited(said, limit=most, retry_after=_RETRY_AFTER_S)
        if self._asked.total() >= self._bounds.searches:
            raise RateLimited("too many search at the same time: try again", retry_after=_RETRY_AFTER_S)

    async def _answer(self, wanted: StartSearch) -> m.Found:
        if self._state.sessions.get(wanted.session) is None:
            raise SessionLost("the session has ended")
        if not self._complete:
            await self._make()
        most = wanted.limit + 1
        while True:
            rev = self._state.log.rev
            places = await self._look(wanted, most)
            found = self._found(wanted, places, rev)
            if found.more or len(places) < most:
                return found
            most *= 2  # of those that were found, some are gone by now

    async def _look(self, wanted: StartSearch, most: int) -> list[ScoredKey]:
        """Return what the index finds once it has every change."""
        words = self._words
        assert words is not None
        changes = self._take()

        def look() -> list[ScoredKey]:
            words.put(changes)
            return words.find(wanted.ns, wanted.pattern, wanted.words, most)

        return await self._in_thread(words, look)

    def _found(self, wanted: StartSearch, places: list[ScoredKey], rev: int) -> m.Found:
        """Return as many results as are wanted, and as a reply may hold."""
        now = self._clock()
        hits: list[m.Hit] = []
        size = 0
        for key, score in places:
            entry = self._shown(wanted.ns, key, now)
            if entry is None:
                continue
            if len(hits) == wanted.limit or size >= self._state.limits.page_bytes:
                return m.Found(hits, True, rev)
            hits.append(m.Hit(**structs.asdict(entry.to_wire()), score=score))
            size += ENTRY_OVERHEAD_BYTES + entry.size
        return m.Found(hits, False, rev)

    def _shown(self, ns: str, key: str, now: float) -> Entry | None:
        """Return the entry as it was when the index was asked; None if it is gone by now."""
        entry = self._state.keyspace.get(ns, key)
        changed = self._changed.get((ns, key))
        then = entry if changed is None else changed.before
        if entry is None or then is None or entry.created_rev != then.created_rev:
            return None
        return None if entry.is_due(now) or then.is_due(now) else then

    # --- the index -----------------------------------------------------------------------------------------------

    async def _make(self) -> None:
        """Build the index. Changes that come meanwhile are collected, and applied after the entries."""
        if self._closed:
            raise Unavailable("the hub is stopping: come back", retry_after=_RETRY_AFTER_S)
        self.forget()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "words")
        path, bounds, loop = self._path, self._bounds, asyncio.get_running_loop()
        words = await loop.run_in_executor(self._thread, lambda: Words(path, bounds.indexed, bounds.search))
        self._words = words
        for ns in self._state.keyspace.namespaces():
            after: str | None = None
            while some := self._some(ns, after):
                after = some[-1][1]
                await self._put(words, some)
        self._complete = True

    def _some(self, ns: str, after: str | None) -> list[Change]:
        """Return the next entries of a namespace."""
        some: list[Change] = []
        for entry in self._state.keyspace.scan(ns, _ALL, after):
            some.append((ns, entry.key, entry))
            if len(some) == self._bounds.index_slice:
                break
        return some

    async def _catch_up(self) -> None:
        """Apply the collected changes after a pause, without a search."""
        try:
            await asyncio.sleep(self._bounds.index_pause)
            async with self._one:
                if self._words is not None and self._complete:
                    await self._put(self._words, self._take())
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
        except Unavailable:
            pass  # it was dropped meanwhile
        finally:
            self._catching_up = None

    def _take(self) -> list[Change]:
        """Return the collected changes and start anew."""
        changed, self._changed = self._changed, {}
        return [(ns, key, change.now) for (ns, key), change in changed.items()]

    async def _put(self, words: Words, changes: list[Change]) -> None:
        await self._in_thread(words, lambda: words.put(changes))

    async def _in_thread(self, words: Words, work: Callable[[], T]) -> T:
        """Return the result of work on this index, done in its thread. Raises Unavailable if the index is dropped
        meanwhile."""
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, TooSlow):
            self._check_there(words)
            raise
        self._check_there(words)
        return done

    def _check_there(self, words: Words) -> None:
        if self._words is not words:
            raise Unavailable("what is kept has changed meanwhile: try again", retry_after=_RETRY_AFTER_S)

    def _failed(self, error: Exception) -> Unavailable:
        """Drop the index after an error."""
        log.error("the index of words is dropped, and made anew by the next search: %s", error)
        self.forget()
        return Unavailable(f"the index of words failed ({error}): try again", retry_after=_RETRY_AFTER_S)

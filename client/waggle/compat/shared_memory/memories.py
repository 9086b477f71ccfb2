"""The memories as the tools read them: an index that catches up with the hub before it answers.

Rules:
1. A question sees every change that was acknowledged before it. So each question first catches up: one at a time,
   and questions that come meanwhile share the next catch-up. Between two questions nothing is done.
2. The event loop never waits for the index: it lives in a thread, and gets its changes slice by slice.
3. It is built at the first question, and dropped when it is not used for a while, or when anything goes wrong
   halfway.
4. A caller that gives up stops nothing: the work that was begun serves the next caller.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, TypeVar

from waggle.compat.mapping import MEMORY
from waggle.compat.shared_memory.memory_index import MAX_DATABASE_PAGES, Index
from waggle.ops import Caller
from waggle.wire.changefeed import Slice
from waggle.wire.errors import LimitReached, RateLimited, Unavailable
from waggle.wire.messages import Since

__all__ = ["Memories", "told"]

DROP_UNUSED_AFTER_S: Final = 600.0
"""Seconds after which an index that nobody asks is dropped."""
MAX_QUESTIONS_OF_AGENT: Final = 100
"""Questions of one agent that are under way."""
T = TypeVar("T")
log = logging.getLogger("waggle")


class Memories:
    """The memories, as the tools ask for them."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        """Whoever has it talks to the index."""
        self._open: _Open | None = None
        self._begun = self._done = 0
        """The number of the newest catching up that has begun; and that has ended."""
        self._asked: Counter[str] = Counter()
        """Questions under way, by agent."""
        self._unused: asyncio.TimerHandle | None = None
        self._latest = 0
        """The newest instant that was given, in microseconds."""

    async def ask(self, caller: Caller, question: Callable[[Index], T]) -> T:
        """Return the answer of the index, asked in its thread once it has caught up. Raises WaggleError."""
        if self._asked[caller.agent] >= MAX_QUESTIONS_OF_AGENT:
            raise RateLimited(
                f"{MAX_QUESTIONS_OF_AGENT} questions are under way: wait for their answers",
                limit=MAX_QUESTIONS_OF_AGENT,
                retry_after=1.0,
            )
        self._asked[caller.agent] += 1
        work = asyncio.ensure_future(self._answer(caller, question, self._begun))
        work.add_done_callback(lambda done: self._answered(caller.agent, done))
        return await asyncio.shield(work)

    async def _answer(self, caller: Caller, question: Callable[[Index], T], seen: int) -> T:
        """Return the answer of the index, after a catch-up that began after those that were ``seen``."""
        async with self._one:
            opened = self._open = self._open or _Open()
            try:
                if self._done <= seen or opened.since is None:  # it is new if the one before was dropped
                    self._begun += 1
                    opened.since = await caller.catch_up(MEMORY, opened.since, opened.put)
                    self._done = self._begun
                answer = await opened.work(lambda: question(opened.index))
            except (sqlite3.Error, MemoryError) as error:
                self._drop()
                raise _failed(error) from None
            except BaseException:
                self._drop()
                raise
            self._use()
            return answer

    def _answered(self, agent: str, done: asyncio.Future[T]) -> None:
        self._asked[agent] -= 1
        if not self._asked[agent]:
            del self._asked[agent]
        if not done.cancelled():
            done.exception()  # nobody may be there any more to hear of it

    async def instant(self, caller: Caller) -> int:
        """Return the hub's time in microseconds, later than any that was returned before."""
        at = int((await caller.call("ping", {}))["at"] * 1e6)
        self._latest = max(at, self._latest + 1)
        return self._latest

    def _use(self) -> None:
        """Restart the timer that drops an unused index."""
        if self._unused is not None:
            self._unused.cancel()
        self._unused = asyncio.get_running_loop().call_later(DROP_UNUSED_AFTER_S, self._forget)

    def _forget(self) -> None:
        if not self._one.locked():
            self._drop()

    def _drop(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()


class _Open:
    """An index in its thread, and the cursor up to which it is complete."""

    def __init__(self) -> None:
        self.index = Index()
        self.since: Since | None = None
        self._thread = ThreadPoolExecutor(1, "memories")

    async def put(self, slice: Slice) -> None:
        """Apply a slice of changes."""
        await self.work(lambda: self.index.put(slice))

    async def work(self, work: Callable[[], T]) -> T:
        """Run work in the thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Close the index after the work that is running."""
        self._thread.submit(self.index.close)
        self._thread.shutdown(wait=False)


def _failed(error: Exception) -> LimitReached | Unavailable:
    """Make the error for an index that failed and is dropped."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        said = "there are more memories than can be looked through: delete some, or clear_memory, which backs up first"
        return LimitReached(said, limit=MAX_DATABASE_PAGES * 4096)
    log.error("the index of memories is dropped, and made anew by the next call: %s", error)
    return Unavailable(f"the index of memories failed ({error}): try again", retry_after=1.0)


def told(instant: int) -> str:
    """Return an instant in microseconds as the original writes it: ISO 8601, in UTC, milliseconds if that is
    enough."""
    at = datetime.fromtimestamp(instant // 1_000_000, UTC).replace(microsecond=instant % 1_000_000)
    return at.isoformat(timespec="microseconds" if instant % 1_000 else "milliseconds").replace("+00:00", "Z")

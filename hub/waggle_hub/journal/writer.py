"""The writer: one thread between the engine and a store, that writes while the engine decides.

Rules:
1. Turns that were handed over while a write was in progress go into the next one as a whole: however many turns of
   the loop, one transaction and one sync (group commit).
2. `full`: a turn is done when it is on disk. `relaxed`: at once; the disk is at most `lag` seconds behind.
3. A turn that changed nothing, when no write is in progress, is done at once.
4. A write that fails in `full` ends all turns that are not done; `recall` then returns what is kept. In `relaxed`
   nothing can be taken back: what was not written is a backlog.
5. While the store fails, turns are done at once, and their changes join the backlog. Every `retry` seconds the store
   is probed and the backlog is written, as one. After that everything is as before. The clean marker tells the next
   start after a crash whether there was a backlog.
6. The witness notes each write after it: the next start finds out whether the store has lost its newest writes.
7. Twice a second the writer makes sure that the files of the store are still in their place, also without a write. If
   not, the engine is told to refuse, and the next write fails as on a failing disk.

The loop's thread and the writer's share state under one lock. The store belongs to the writer's thread, except for
`recall`, which is called while the writer rests because of a failure.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from waggle_hub.state.persistence.records import Record, WriteBatch

from .clean_marker import CleanMarker
from .interface import Done, JournalListener, Store
from .witness import Witness

logger = logging.getLogger("waggle_hub")
_CHECK_INTERVAL_S = 0.5
_MAX_BACKLOG_ROUNDS = 5
"""Times that what is owed is written while more may come."""


class _Turn(Struct):
    """The changes of one turn of the loop, and the callback for when they are written; None if it was called
    before."""

    changes: WriteBatch
    done: Done | None


class Writer:
    """A journal over a store. `call` schedules a function on the loop's thread, from any thread."""

    keeps = True

    def __init__(
        self,
        store: Store,
        durability: str,
        listener: JournalListener,
        call: Callable[[Callable[[], object]], object],
        clean_marker: CleanMarker | None = None,
        witness: Witness | None = None,
        *,
        lag: float = 0.02,
        retry: float = 1.0,
        check_interval: float = _CHECK_INTERVAL_S,
    ) -> None:
        self.durability = durability
        self.writes = 0
        """How many writes were tried, each with one sync."""
        self._store = store
        self._listener = listener
        self._clean_marker = clean_marker
        self._witness = witness
        self._full = durability == "full"
        self._call = call
        self._lag = lag
        self._retry = retry
        self._check_interval = check_interval
        self._check_at = time.monotonic() + check_interval
        self._displaced = False
        """Whether the engine was told that the files are not in their place. The writer's own."""
        self._undone = 0
        """Turns that are not done. The loop's own."""
        self._shared = threading.Condition()
        self._queue: list[_Turn] = []
        self._settled: list[Callable[[], None]] = []
        """Callbacks for when everything handed over so far has been tried."""
        self._backlog: WriteBatch | None = None
        """After a failure: what the disk lacks."""
        self._broken = False
        """A write has failed, and the engine has not gone back yet: nothing is written."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="waggle-journal", daemon=True)
        self._thread.start()

    # --- on the loop's thread ---

    def write(self, changes: WriteBatch, done: Done) -> None:
        with self._shared:
            if self._backlog is not None:
                self._backlog.add(changes)
            elif self._full and (changes or self._undone):
                self._undone += 1
                self._enqueue(_Turn(changes, done))
                return
            elif changes:
                self._enqueue(_Turn(changes, None))
        done(None)

    def recall(self) -> list[Record]:
        return self._store.records()

    def settle(self, done: Callable[[], None]) -> None:
        with self._shared:
            self._settled.append(done)
            self._shared.notify()

    def stop(self) -> None:
        with self._shared:
            self._stopping = True
            self._shared.notify()
        self._thread.join()
        if self._witness is not None:
            self._witness.close()

    def _enqueue(self, turn: _Turn) -> None:
        self._queue.append(turn)
        self._shared.notify()

    def _tell(self, dones: list[Done]) -> None:
        for done in dones:
            self._undone -= 1
            done(None)

    def _end_all(self, dones: list[Done], error: Exception) -> None:
        """Call every open `done` with the error: the engine rolls back to what is kept."""
        with self._shared:
            queue, self._queue = self._queue, []
        self._undone = 0
        for done in [*dones, *(turn.done for turn in queue if turn.done is not None)]:
            done(error)
        with self._shared:
            self._broken = False
            self._backlog = WriteBatch()
            self._shared.notify()

    # --- on the writer's thread ---

    def _run(self) -> None:
        while True:
            with self._shared:
                self._wait_for_work()
                if self._broken:
                    return  # and stopping: what came after a write that failed is not to be written
                if self._stopping and not self._queue and not self._settled and not self._backlog:
                    return
                turns, self._queue = self._queue, []
                settled, self._settled = self._settled, []
                backlog = self._backlog
            if turns:
                self._write(turns)
            elif backlog is not None:
                self._try_backlog(backlog)
            else:
                self._check_place()
            for done in settled:
                self._call(done)

    def _wait_for_work(self) -> None:
        """Wait, with the lock, until there is something to do."""
        if self._backlog is not None and not self._stopping:
            self._shared.wait_for(lambda: self._stopping or bool(self._settled), self._retry)
            return
        while self._broken or not (self._queue or self._settled or self._stopping or self._backlog is not None):
            if self._stopping:
                return
            if not self._shared.wait(self._check_interval) and not self._broken:
                return
        if not self._full and self._queue and not self._stopping:
            self._shared.wait_for(lambda: self._stopping, self._lag)

    def _write(self, turns: list[_Turn]) -> None:
        changes = WriteBatch()
        for turn in turns:
            changes.add(turn.changes)
        dones = [turn.done for turn in turns if turn.done is not None]
        try:
            if changes:
                if self._displaced or time.monotonic() >= self._check_at:
                    self._check_at = time.monotonic() + self._check_interval
                    self._store.check_place()
                self._put(changes)
        except Exception as error:
            self._fail(error, changes, dones)
        else:
            self._set_clean_marker()
            if dones:
                self._call(lambda: self._tell(dones))
            if changes:
                self._note()

    def _check_place(self) -> None:
        """Tell the engine if the files are not in their place, or are again. Nothing is to be written now."""
        try:
            self._store.check_place()
        except Exception as error:
            if not self._displaced:
                self._displaced = True
                self._call(partial(self._listener.on_failure, error))
            return
        if self._displaced:
            self._displaced = False
            self._call(self._listener.on_recovery)

    def _put(self, changes: WriteBatch) -> None:
        """Write changes to the store, with their number. After it, call `_note`."""
        self.writes += 1
        if self._witness is not None:
            self._witness.number(changes)
        self._store.write(changes)

    def _note(self) -> None:
        if self._witness is not None:
            self._witness.note()

    def _set_clean_marker(self) -> None:
        if self._clean_marker is not None:
            self._clean_marker.set()

    def _fail(self, error: Exception, changes: WriteBatch, dones: list[Done]) -> None:
        self._displaced = False  # from here on the backlog decides when the engine may go on
        if self._clean_marker is not None:
            self._clean_marker.clear()
        if self._full:
            with self._shared:
                self._broken = True
            self._call(lambda: self._end_all(dones, error))
            return
        with self._shared:
            for turn in self._queue:
                changes.add(turn.changes)
            self._queue = []
            self._backlog = changes
        self._call(lambda: self._listener.on_failure(error))

    def _try_backlog(self, backlog: WriteBatch) -> None:
        """Try to write the backlog, and what joins it meanwhile, until it is empty."""
        try:
            self._store.probe()
            for _ in range(_MAX_BACKLOG_ROUNDS):
                backlog = self._write_backlog(backlog)
                if self._backlog is None:
                    break
            else:
                with self._shared:  # more comes than is written: whoever brings it waits for once
                    self._write_backlog(backlog)
        except Exception as error:
            if self._stopping:
                logger.error("the journal fails to the end, and what it lacks is lost: %s", error)
                self._backlog = None
            return
        self._set_clean_marker()
        self._call(self._listener.on_recovery)

    def _write_backlog(self, backlog: WriteBatch) -> WriteBatch:
        """Write the backlog, and keep what joins it meanwhile."""
        with self._shared:
            self._backlog = WriteBatch()
        try:
            self._put(backlog)
        except BaseException:
            with self._shared:
                backlog.add(self._backlog)
                self._backlog = backlog
            raise
        self._note()
        with self._shared:
            later = self._backlog
            self._backlog = later or None
        return later

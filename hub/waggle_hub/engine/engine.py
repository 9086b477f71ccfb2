"""The engine: clock -> machine -> journal -> fan-out, one command at a time.

Rules:
1. A command runs to completion: no `await` between the first rule and the last outbox.
2. The effects of the commands of one turn of the loop are one batch. It goes to the journal as a whole and is released
   as a whole, in order, when the journal has it (group commit). Meanwhile the engine decides further commands.
3. A reply is never seen before the journal has what it tells of, also a reply to a read: what was read may be unkept.
4. When the journal fails, what it has not kept is rolled back and those commands get an error. Commands that change
   what has to survive are refused until the journal has recovered (`journal.interface`, `rollback`).
5. An exception in the middle of a change, or of a release, stops the engine: its state may be half changed. All
   commands are refused until the hub is started again. Any other exception is the error reply of one command.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from waggle.wire import messages as m
from waggle.wire.errors import SessionLost, Unavailable, WaggleError, copy_error
from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.encoding import error_line, lock_lost_line, reply_line
from waggle_hub.delivery.fanout import CommandPending, Fanout, Notice, PendingReply, Released, SessionBound
from waggle_hub.faults import report_fault
from waggle_hub.fulltext.service import Finder
from waggle_hub.journal.interface import OpenJournal, StoreError
from waggle_hub.lru import Lru
from waggle_hub.settings import Bounds
from waggle_hub.state.effects import BindSession, DeferredReply, Effect, LockLost, Reply, StartBackup, StartSearch
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine
from waggle_hub.state.persistence.records import WriteBatch
from waggle_hub.state.sessions import SessionIds
from waggle_hub.stats import SAMPLE_INTERVAL_S, Stats

from .background import BackgroundTasks, BackUp, refuse_backup
from .environment import random_ids
from .eviction import Eviction
from .expiry_timer import ExpiryTimer, IntervalTimer
from .rollback import Rollback

logger = logging.getLogger("waggle_hub")

_NO_CHANGES = WriteBatch()


class Engine:
    """The one writer of a hub: everything that changes its state is decided here, on one thread.

    `info` is what each hello is told of the hub. `data` is the directory for the index of words, None in memory. `loop`
    is the running loop; without it nothing happens by itself, and the owner calls `flush` and the steps of the parts.
    `timer` gives the seconds by which fan-out measures its steps.
    """

    def __init__(
        self,
        machine: Machine,
        open_journal: OpenJournal,
        bounds: Bounds,
        clock: Callable[[], float],
        info: m.Welcome,
        *,
        loop: asyncio.AbstractEventLoop | None,
        random_ids: Callable[[], SessionIds] = random_ids,
        back_up: BackUp = refuse_backup,
        data: Path | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.machine = machine
        self.bounds = bounds
        self.clock = clock
        self.fanout = Fanout(bounds, machine.state.log, clock, self, timer, loop)
        self._loop = loop
        self._info = info
        self._random_ids = random_ids
        self._active_connection: dict[str, Connection] = {}
        """The connection whose commands count, by session, as decided. Fan-out follows when that is released."""
        self._batch: list[Released] = []
        """Effects decided in this turn of the loop."""
        self._unreleased: list[list[Released]] = []
        """Batches that the journal has not kept yet, in order."""
        self._flush_scheduled = False
        self._failure: str | None = None
        """Why the engine has stopped for good."""
        self._stopping: Unavailable | None = None
        """The error of every command while the hub stops in good order."""
        self._closed = False
        """Whether the journal has been given its last batch."""
        self._stats = Stats(clock(), self.fanout.sends)
        self._lru = Lru()
        self._search = Finder(machine.state, bounds, clock, data)
        self._background = BackgroundTasks(
            self._search.find, lambda: back_up(self.settled), self._reply_from_background
        )
        self._eviction = Eviction(machine, self._lru, bounds.evict, lambda outputs: self._queue_effects(outputs, None))
        self._expiry = ExpiryTimer(machine, bounds.expire_slice, clock, self._run_internal, loop)
        self._mark_timer = IntervalTimer(bounds.mark, self.fanout.mark_idle, loop)
        self._sample_timer = IntervalTimer(SAMPLE_INTERVAL_S, lambda: self._stats.sample(clock()), loop)
        self._rollback = Rollback(
            machine, self.fanout, self._active_connection, self._lru, self._search, clock, self._run_internal
        )
        # Last of all: a journal may report a failure as soon as it is open, and then every part is needed.
        self._journal = open_journal(self._rollback)

    # --- start and stop ---

    async def start(self) -> None:
        """Write the hub record (epoch, durability) to the journal, then start the timers.

        Raises StoreError if it cannot be written: a hub that shows revisions of an epoch that is not on disk would show
        them again, for other changes, after a crash.
        """
        # In memory nothing survives, so there is nothing that a later start could contradict.
        if self._journal.keeps:
            error = await self._write(self.machine.collect_changes([]))
            if error is not None or self.machine.state.refusing is not None:
                self._journal.stop()
                raise StoreError(f"nothing can be written: {error or self.machine.state.refusing}")
        self.run()

    def run(self) -> None:
        """Start the timers, without writing to the journal."""
        self.begin()
        self._mark_timer.start()
        self._sample_timer.start()
        self._expiry.schedule()

    async def drain(self, seconds: float) -> None:
        """Refuse further commands, with the advice to come back after `seconds`, and wait for the replies to leave.

        Pending commands that would not survive the stop are answered with the same error.
        """
        self._stopping = Unavailable("the hub is stopping: come back", retry_after=seconds)
        if not self._journal.keeps:
            # With a data directory they survive the restart, and are answered after it.
            refusal = self._stopping
            self._run_internal(lambda: self.machine.fail_pending(refusal, self.clock()))
        self.flush()
        await self._write(_NO_CHANGES)

    async def close(self) -> None:
        """Stop the timers, and let the journal write everything, with the mark of an orderly stop."""
        # First the timers: nothing may be decided after the batch that follows.
        self.stop()
        self.flush()
        self._closed = True
        if self._journal.keeps and self._failure is None:
            # The record of an orderly stop: the next start keeps the epoch, also in `relaxed`, and the last revision.
            self.machine.set_durability(None)
            await self._write(self.machine.collect_changes([]))
        self._journal.stop()

    def stop(self) -> None:
        """Stop the timers and the index of words."""
        self._expiry.stop()
        self._mark_timer.stop()
        self._sample_timer.stop()
        self._search.close()

    async def settled(self) -> int:
        """Wait until everything decided so far is on disk, and return its revision. Raises Unavailable."""
        # Before the flush: what is decided while this waits need not be on disk.
        rev = self.machine.state.log.rev
        self.flush()
        await self._write(_NO_CHANGES)
        error = self._failure_error()
        if error is not None:
            raise error
        return rev

    async def _write(self, changes: WriteBatch) -> Exception | None:
        """Wait until the journal has tried to write these changes and all before. Return the error if it failed."""
        written = asyncio.get_running_loop().create_future()
        errors: list[Exception | None] = []
        self._journal.write(changes, errors.append)
        self._journal.settle(lambda: written.set_result(None))
        await written
        return errors[0] if errors else None

    # --- what is accepted ---

    @property
    def refusal(self) -> WaggleError | None:
        """The error of commands that change what has to survive; None while they are accepted."""
        if self._failure is None and self._stopping is not None:
            return copy_error(self._stopping)
        return self._failure_error()

    def _failure_error(self) -> Unavailable | None:
        if self._failure is not None:
            return self._stopped_error()
        refusing = self.machine.state.refusing
        return None if refusing is None else Unavailable(refusing, retry_after=2.0)

    def _rejection(self) -> WaggleError | None:
        """Return the error that every command gets while the hub is stopping or has failed; None otherwise."""
        if self._failure is None and self._stopping is not None:
            return copy_error(self._stopping)
        # While the journal fails, no record can raise the highest revision that a restart would know of.
        if self._failure is None and self.machine.out_of_revisions:
            self._fail("the journal has failed for so long that no revision is left")
        return None if self._failure is None else self._stopped_error()

    def _stopped_error(self) -> Unavailable:
        return Unavailable(f"{self._failure}: the hub refuses all commands until it is started again", retry_after=5.0)

    # --- what the transports call ---

    def submit(self, connection: Connection, command: m.AnyCommand) -> None:
        """Decide a command now. Its reply comes through the connection when the journal has what it tells of."""
        rejection = self._rejection()
        if rejection is not None:
            self.refuse(connection, command.id, rejection)
            return
        # Its lines were on their way when the takeover was decided. They must not act for the session any more.
        if connection.replaced:
            self.refuse(connection, command.id, SessionLost("the session was taken over by a newer connection"))
            return
        started = time.perf_counter()
        try:
            outputs = self._decide(command, connection, self.clock())
        except Exception:
            fault = report_fault(type(command).__name__)
            self.refuse(connection, command.id, fault)
            if self.machine.inconsistent:  # rule 5: nothing may be built on a change that is half made
                self._fail(fault.message)
            return
        self._stats.on_decided(command, time.perf_counter() - started)
        self._queue_effects(outputs, connection, command)

    def refuse(self, connection: Connection, id: m.Id | None, error: WaggleError) -> None:
        """Answer a line that never became a command, in its place among the replies."""
        text = error_line(id, error.to_wire())
        connection.reserve_reply(len(text))
        self._batch.append(PendingReply(connection, id, text))
        self._schedule_flush()

    def leave(self, connection: Connection) -> None:
        """Drop a connection whose socket has closed. Its session lives on for its grace."""
        self.fanout.leave(connection)
        session = connection.session
        if session is None or self._active_connection.get(session) is not connection:
            return
        self._run_internal(lambda: self.machine.drop(session, self.clock()))
        # Only now: what was due before the drop is decided with it, and is told to the connection of the session.
        del self._active_connection[session]

    def open_http_session(self, agent: str | None, ns: str | None, connect: Callable[[], Connection]) -> Connection:
        """Return the connection of all HTTP callers with this name, or of those without one.

        `connect` makes it if there is none. Raises a WaggleError.
        """
        rejection = self._rejection()
        if rejection is not None:
            raise rejection
        try:
            session, outputs = self.machine.open_http_session(agent, ns, self._random_ids(), self.clock())
        except Exception:
            fault = report_fault("opening an HTTP session")
            if self.machine.inconsistent:
                self._fail(fault.message)
            raise fault from None
        if isinstance(session, WaggleError):
            self._queue_effects(outputs, None)
            raise session
        connection = self._active_connection.get(session)
        if connection is None:
            connection = connect()
            # As for a hello, fan-out learns of the connection in its place among the effects.
            outputs.append(BindSession(session))
        self._queue_effects(outputs, connection)
        return connection

    def drop_call(self, connection: Connection, id: m.Id, rid: str | None = None, token: int | None = None) -> None:
        """Cancel the call `id` of an HTTP client that has gone. A lock granted in its unread reply has this `token`."""
        session = connection.session
        if session is not None:
            self._run_internal(lambda: self.machine.drop_call(session, id, rid, token, self.clock()))

    def statistics(self) -> m.Statistics:
        """Return what the command `stats` answers, also while no command is accepted."""
        statistics = self.machine.statistics(self.clock())
        self._complete_statistics(statistics)
        return statistics

    # --- what fan-out calls ---

    def on_log_truncated(self, session: str, sub: int) -> None:
        """Begin a cursor that has fallen out of the log again, with a snapshot."""
        self._run_internal(lambda: self.machine.restart_cursor(session, sub, self.clock()))

    def on_synced(self, session: str, sub: int, rev: int) -> None:
        """Note that a cursor has its whole snapshot."""
        self.machine.mark_synced(session, sub, rev)

    # --- decisions ---

    def begin(self) -> None:
        """Queue the effects of what was loaded: at a start, and after a rollback."""
        outputs = self.machine.start(self.clock())
        if outputs or self.machine.has_pending_scan:
            self._queue_effects(outputs, None)

    def _decide(self, command: m.AnyCommand, connection: Connection, now: float) -> list[Effect]:
        if isinstance(command, m.Hello) and connection.session is None:
            return self.machine.hello(command, self._random_ids(), now, self._info)
        # Without cached entries there is nothing to evict, and most hubs have none: the check costs one length.
        outputs = self.machine.apply(command, connection.session, now)
        return self._eviction.make_room(outputs, command, connection.session, now) if self._lru else outputs

    def _run_internal(self, decide: Callable[[], list[Effect]]) -> None:
        """Run a decision that no command caused: expiry, a timeout, a disconnect. An exception stops the engine."""
        if self._failure is not None or self._closed:
            return
        try:
            outputs = decide()
        except Exception:
            self._fail(report_fault("a decision of the hub itself").message)
        else:
            self._queue_effects(outputs, None)

    def continue_scan(self) -> None:
        """Look at the next slice of keys for commands that look at more than one slice."""
        if self.machine.has_pending_scan:
            self._run_internal(lambda: self.machine.continue_scan(self.clock()))

    def _reply_from_background(self, reply: DeferredReply) -> None:
        # An agent that is away now gets no reply: only the machine keeps replies for later.
        if reply.session in self._active_connection:
            self._queue_effects([reply], None)

    def _queue_effects(
        self, outputs: list[Effect], connection: Connection | None, command: m.AnyCommand | None = None
    ) -> None:
        """Add the effects of a decision to the batch, and encode its replies, so that their size counts from now on.

        `connection` is that of the `command`, None if no command caused the decision.
        """
        batch = self._batch
        replied = command is None
        task: asyncio.Task[None] | None = None
        for output in outputs:
            if isinstance(output, Commit):
                # These follow what is decided, not what is released: they serve the next decision.
                self._stats.on_committed(output)
                self._lru.on_committed(output)
                self._search.committed(output)
                batch.append(output)
            elif isinstance(output, Reply):
                assert connection is not None
                if command is not None:
                    self._count(command, output)
                # Encoded here, not at the release: the size counts against the connection from now on (back pressure).
                text = reply_line(output)
                connection.reserve_reply(len(text))
                batch.append(PendingReply(connection, output.id, text))
                replied = True
            elif isinstance(output, DeferredReply | LockLost):
                self._queue_notice(output)
            elif isinstance(output, StartBackup | StartSearch):
                task = self._background.start(output)
            elif isinstance(output, BindSession):
                assert connection is not None
                self._bind(connection, output.session)
                batch.append(SessionBound(connection, output.session))
            else:
                batch.append(output)
        if not replied:  # the command waits: a rollback has to know it
            assert command is not None
            assert connection is not None
            assert connection.session is not None
            batch.append(CommandPending(connection, connection.session, command.id, task))
        self._schedule_flush()

    def _queue_notice(self, notice: DeferredReply | LockLost) -> None:
        """Queue a line for a session: it goes to the connection that the session has now, whichever asked."""
        connection = self._active_connection[notice.session]
        if isinstance(notice, DeferredReply):
            text = reply_line(notice)
            self._batch.append(PendingReply(connection, notice.id, text))
        else:
            text = lock_lost_line(notice.lock)
            self._batch.append(Notice(connection, text))
        connection.reserve_reply(len(text))

    def _bind(self, connection: Connection, session: str) -> None:
        older = self._active_connection.get(session)
        if older is not None:
            older.replaced = True  # from now on its commands are refused; it is closed when this is released
        self._active_connection[session] = connection
        connection.session = session

    def _count(self, command: m.AnyCommand, reply: Reply) -> None:
        """Count a reply, note the use of a cached entry, and complete the reply to `stats`."""
        self._stats.on_replied(command, reply)
        ok = reply.outcome.ok
        if isinstance(ok, m.Got):
            if ok.entry is not None and ok.entry.kind == "cached":
                self._lru.on_used(ok.entry.ns, ok.entry.key)
        elif isinstance(ok, m.Statistics):
            self._complete_statistics(ok)

    def _complete_statistics(self, statistics: m.Statistics) -> None:
        connections = [connection for connection in self.fanout.connections.values() if not connection.is_virtual]
        self._stats.complete(statistics, self.clock(), self._journal.durability, connections)

    # --- batches ---

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled and self._loop is not None:
            self._flush_scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Give the journal the batch of this turn of the loop."""
        # A flush may have been scheduled before the close. The journal has had its last batch by then.
        if self._closed:
            return
        self._flush_scheduled = False
        batch, self._batch = self._batch, []
        if self._failure is not None:
            self._reject_batch(batch, self._stopped_error())
            return
        # Commands that read many keys go on in a turn of their own, so others have their turn in between.
        if self.machine.has_pending_scan and self._loop is not None:
            self._loop.call_soon(self.continue_scan)
        changes = self._collect_changes(batch)
        # Appended first: a journal without a disk calls back at once.
        self._unreleased.append(batch)
        self._journal.write(changes, lambda error: self._on_written(batch, error))
        self._expiry.schedule()

    def _collect_changes(self, batch: list[Released]) -> WriteBatch:
        # Also without a journal the machine collects what is dirty, which has to be dropped.
        if self._journal.keeps:
            return self.machine.collect_changes([item for item in batch if isinstance(item, Commit)])
        self.machine.discard_changes()
        return _NO_CHANGES

    def _on_written(self, batch: list[Released], error: Exception | None) -> None:
        if not self._unreleased or self._unreleased[0] is not batch:
            return  # the batch was rolled back with one before it
        if error is not None:
            self._roll_back(error)
        else:
            self._unreleased.pop(0)
            self._release(batch)

    def _release(self, batch: list[Released]) -> None:
        """Let a batch be seen that is safe. An exception stops the engine, and closes all connections."""
        try:
            self.fanout.release(batch)
        except Exception:
            self._fail(report_fault("the release").message)
            # Nothing is known of what each has been sent. After a reconnect the log tells the agents what they lack.
            for connection in list(self._active_connection.values()):
                connection.close(4001, "internal: the hub has to be started again")
            self.fanout.write()

    # --- failures ---

    def _roll_back(self, error: Exception) -> None:
        """Return to what the journal has kept, and answer the commands of all other batches with an error."""
        why = f"the journal fails: {error}"
        try:
            records = self._journal.recall()
        except (StoreError, OSError) as unreadable:
            self._fail(f"{why}; and what it kept cannot be read: {unreadable}")
            return
        # From here on the machine holds what is on disk, and the batches exist only as commands to answer.
        rejected = self._rollback.roll_back(self._discard_unreleased(), records, error)
        refusal = Unavailable(
            f"{why}: this command was not done, and changes that must survive are refused for now", retry_after=2.0
        )
        self._reject_batch(rejected, refusal)
        self.begin()
        self._expiry.schedule()

    def _discard_unreleased(self) -> list[Released]:
        """Remove and return all that is decided and not released, and cancel its background tasks."""
        # Everything after the batch that failed was decided on top of it, so it goes too.
        batch = [item for unreleased in self._unreleased for item in unreleased] + self._batch
        self._unreleased, self._batch = [], []
        for item in batch:
            if isinstance(item, CommandPending) and item.task is not None:
                # Its result would describe a state that has been rolled back.
                item.task.cancel()
        return batch

    def _reject_batch(self, batch: Iterable[Released], error: WaggleError) -> None:
        """Drop the events of a batch that was not kept, and answer each of its commands with the error."""
        wire_error = error.to_wire()
        rejected: list[Released] = []
        for item in batch:
            if isinstance(item, PendingReply | CommandPending):
                text = error_line(item.id, wire_error)
                # The reply that was decided has reserved its own size: this one leaves in its place.
                item.connection.reserve_reply(len(text) - (len(item.text) if isinstance(item, PendingReply) else 0))
                rejected.append(PendingReply(item.connection, item.id, text))
        self.fanout.release(rejected)

    def _fail(self, why: str) -> None:
        """Stop the engine for good: accept no command, and release nothing.

        The state in memory may be other than what is kept, or half changed.
        """
        logger.error("the hub refuses all commands from now on: %s", why)
        self._failure = why
        # No timer may decide anything on a state that may be wrong.
        self.stop()
        batch = self._discard_unreleased()
        answered = {(item.connection.session, item.id) for item in batch if isinstance(item, PendingReply)}
        self._batch = [  # each command once: one that waited and was answered in these batches is in them twice
            item for item in batch if not isinstance(item, CommandPending) or (item.session, item.id) not in answered
        ]
        self._schedule_flush()

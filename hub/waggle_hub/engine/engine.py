"""The engine: clock -> machine -> journal -> fan-out, one command at a time.

Rules:
1. A command runs to completion: no `await` between the first rule and the last outbox.
2. What the commands of one turn of the loop gave off is one batch. It goes to the journal as a whole and is released as
   a whole, in order, when the journal says so; the engine goes on deciding meanwhile.
3. One timer stands at the head of all deadlines. What is due expires in slices, and others get their turn in between.
4. When the journal fails, what it has not kept is taken back and whoever asked for it is told so; from then on nothing
   that has to survive is accepted, until the journal has recovered (`journal.port`). A fault of the machine in the
   middle of a change stops the engine, and so does one in the middle of a release.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Internal, SessionLost, Unavailable, WaggleError, again
from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.encoding import error_line, lock_lost_line, reply_line
from waggle_hub.delivery.fanout import CommandPending, Fanout, Notice, PendingReply, Released, SessionBound
from waggle_hub.fulltext.service import Finder
from waggle_hub.journal.interface import Journal, StoreError
from waggle_hub.lru import Lru
from waggle_hub.settings import Bounds
from waggle_hub.state.commands.entries import StoreFull
from waggle_hub.state.effects import (
    BindSession,
    DeferredReply,
    Effect,
    LockLost,
    OpenCursor,
    Reply,
    StartBackup,
    StartSearch,
)
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine
from waggle_hub.state.persistence.records import WriteBatch
from waggle_hub.state.sessions import Outcome, SessionIds
from waggle_hub.stats import SAMPLE, Stats

logger = logging.getLogger("waggle_hub")
EVICTION_RETRY_S = 0.05
"""Seconds after which to try again, when one command would have to evict more than `bounds.evict` entries."""


NOTHING = WriteBatch()


class Clock:
    """Unix seconds that run with the monotonic clock: a jump of the wall clock changes nothing (G6)."""

    def __init__(self) -> None:
        self._base = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._base + time.monotonic()


async def _nothing_to_back_up() -> m.BackedUp:
    raise BadRequest("this hub keeps everything in memory: there is nothing to back up; waggle export can", field="op")


def fresh() -> SessionIds:
    """Ids for one hello."""
    name = secrets.token_hex(6)
    return SessionIds(session=f"s-{name}", secret=secrets.token_urlsafe(24), agent=f"agent-{name[:6]}")


class Engine:
    """The one writer."""

    def __init__(
        self,
        machine: Machine,
        journal: Journal,
        fanout: Fanout,
        bounds: Bounds,
        clock: Callable[[], float],
        info: m.Welcome,
        fresh: Callable[[], SessionIds] = fresh,
        data: Path | None = None,
    ) -> None:
        self.machine = machine
        self.fanout = fanout
        self.bounds = bounds
        self.clock = clock
        self._journal = journal
        self._info = info
        self._fresh = fresh
        self.back_up: Callable[[], Awaitable[m.BackedUp]] = _nothing_to_back_up
        """Makes a backup. Raises a WaggleError."""
        self._background: set[asyncio.Task[None]] = set()
        """Backups and searches that somebody is to be told of."""
        self.finder = Finder(machine.state, bounds, clock, data)
        self.stats = Stats(clock(), fanout.sends)
        self.lru = Lru()
        self._batch: list[Released] = []
        self._unreleased: list[list[Released]] = []
        """Batches that the journal has not said are safe, in order."""
        self._flush_due = False
        self._failure: str | None = None
        """Why nothing is accepted any more."""
        self._closed = False
        """Whether what the journal was told is the last that it is told."""
        self._stopping: Unavailable | None = None
        """What those are told who ask for something while the hub stops."""
        self._active_connection: dict[str, Connection] = {}
        """The connection whose commands count for each session, as decided; fan-out follows when it is released."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._marker: asyncio.TimerHandle | None = None
        self._sampler: asyncio.TimerHandle | None = None
        fanout.on_loss = self._restart
        fanout.on_synced = machine.mark_synced
        fanout.on_fault = self._fault
        journal.on_failure = self._refuse
        journal.on_recovery = self._accept

    async def start(self) -> None:
        """Begin: once the journal knows who runs here, nothing can be shown that a restart would not know of. A
        StoreError if it cannot be told."""
        if self._journal.keeps:
            error = await self._written(self.machine.collect_changes([]))
            if error is not None or self.machine.state.refusing is not None:
                self._journal.stop()
                raise StoreError(f"nothing can be written: {error or self.machine.state.refusing}")
        self.run()

    def run(self) -> None:
        """Begin to keep time, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self.fanout.start(self._loop)
        self._begin()
        self._marker = self._loop.call_later(self.bounds.mark, self._mark)
        self._sampler = self._loop.call_later(SAMPLE, self._sample)
        self._schedule_expiry()

    async def drain(self, seconds: float) -> None:
        """Accept no more commands, the hub is back in so many seconds; return when all replies are on their way. What
        waits and will not survive is told so."""
        self._stopping = Unavailable("the hub is stopping: come back", retry_after=seconds)
        if not self._journal.keeps:
            refusal = self._stopping
            self._run_internal(lambda: self.machine.fail_pending(refusal, self.clock()))
        self._flush()
        await self._written(NOTHING)

    async def close(self) -> None:
        """Let the journal write everything down, and keep time no longer."""
        self.stop()
        self._flush()
        self._closed = True
        if self._journal.keeps and self._failure is None:
            self.machine.set_durability(None)
            await self._written(self.machine.collect_changes([]))
        self._journal.stop()

    async def settled(self) -> int:
        """Wait until everything that was decided so far is on disk; gives its revision. Raises Unavailable."""
        rev = self.machine.state.log.rev
        self._flush()
        await self._written(NOTHING)
        failing = self._failing()
        if failing is not None:
            raise failing
        return rev

    async def _written(self, changes: WriteBatch) -> Exception | None:
        """Wait until this is on disk, with everything before it; or the journal fails, and why."""
        written = asyncio.get_running_loop().create_future()
        errors: list[Exception | None] = []
        self._journal.write(changes, errors.append)
        self._journal.settle(lambda: written.set_result(None))
        await written
        return errors[0] if errors else None

    @property
    def refusal(self) -> WaggleError | None:
        """What is told to those for whom something cannot be done now; None while everything is accepted."""
        if self._failure is None and self._stopping is not None:
            return again(self._stopping)
        return self._failing()

    def _failing(self) -> Unavailable | None:
        """Why what has to survive cannot be kept now, if that is so."""
        if self._failure is not None:
            return self._unavailable()
        refusing = self.machine.state.refusing
        return None if refusing is None else Unavailable(refusing, retry_after=2.0)

    def statistics(self) -> m.Statistics:
        """What `stats` tells, asked by nobody: also while nothing is accepted."""
        found = self.machine.statistics(self.clock())
        self._complete_statistics(found)
        return found

    def stop(self) -> None:
        """Keep time no longer."""
        for timer in (self._timer, self._marker, self._sampler):
            if timer is not None:
                timer.cancel()
        self._timer = self._marker = self._sampler = None
        self.finder.close()

    # --- what doors call ---

    def submit(self, connection: Connection, command: m.AnyCommand) -> None:
        """Decide a command now; its reply comes through the connection when it may be seen."""
        closed = self._rejection()
        if closed is not None:
            self.refuse(connection, command.id, closed)
            return
        if connection.replaced:
            self.refuse(connection, command.id, SessionLost("the session was taken over by a newer connection"))
            return
        started = time.perf_counter()
        try:
            outputs = self._decide(command, connection, self.clock())
        except Exception:
            fault = self._fault(type(command).__name__)
            self.refuse(connection, command.id, fault)
            if self.machine.inconsistent:
                self._fail(fault.message)
            return
        self.stats.on_decided(command, time.perf_counter() - started)
        self._queue_effects(outputs, connection, command)

    def _decide(self, command: m.AnyCommand, connection: Connection, now: float) -> list[Effect]:
        if isinstance(command, m.Hello) and connection.session is None:
            return self.machine.hello(command, self._fresh(), now, self._info)
        outputs = self.machine.apply(command, connection.session, now)
        return self._make_room(outputs, command, connection, now) if self.lru else outputs

    def _make_room(
        self, outputs: list[Effect], command: m.AnyCommand, connection: Connection, now: float
    ) -> list[Effect]:
        """While a command was refused since the hub is full: evict what was used least recently, and decide anew."""
        room = self.bounds.evict
        least = 1
        while (full := _full(outputs)) is not None:
            victims = self.lru.eviction_candidates(full, least, room)
            if not victims:
                break
            self._queue_effects([output for output in outputs if not isinstance(output, Reply)], None)
            self._queue_effects(self.machine.evict(victims, now), None)
            room -= len(victims)
            if room <= 0:
                busy = Unavailable("the hub is full, and making room: try again", retry_after=EVICTION_RETRY_S)
                return [Reply(command.id, Outcome(error=busy))]
            outputs = self.machine.apply(command, connection.session, now)
            least *= 2
        return outputs

    def open_http_session(self, agent: str | None, ns: str | None, connect: Callable[[], Connection]) -> Connection:
        """Somebody calls, under this name or none (`state.callers`): the connection that speaks for their session, made
        by `connect` if there is none. Raises a WaggleError."""
        closed = self._rejection()
        if closed is not None:
            raise closed
        try:
            session, outputs = self.machine.open_http_session(agent, ns, self._fresh(), self.clock())
        except Exception:
            fault = self._fault("a visit")
            if self.machine.inconsistent:
                self._fail(fault.message)
            raise fault from None
        if isinstance(session, WaggleError):
            self._queue_effects(outputs, None)
            raise session
        connection = self._active_connection.get(session)
        if connection is None:
            connection = connect()
            outputs.append(BindSession(session))
        self._queue_effects(outputs, connection)
        return connection

    def _rejection(self) -> WaggleError | None:
        """What everybody is told who asks for anything, if nothing is accepted."""
        if self._failure is None and self._stopping is not None:
            return again(self._stopping)
        if self._failure is None and self.machine.out_of_revisions:
            self._fail("the journal has failed for so long that no revision is left")
        return None if self._failure is None else self._unavailable()

    def drop_call(self, connection: Connection, id: m.Id, rid: str | None = None, token: int | None = None) -> None:
        """Nobody waits for the answer to this command of a caller any more; `token` is of a grant in that answer."""
        session = connection.session
        if session is not None:
            self._run_internal(lambda: self.machine.drop_call(session, id, rid, token, self.clock()))

    def refuse(self, connection: Connection, id: m.Id | None, error: WaggleError) -> None:
        """Answer what never became a command, in its place among the replies."""
        text = error_line(id, error.to_wire())
        connection.reserve_reply(len(text))
        self._batch.append(PendingReply(connection, id, text))
        self._schedule_flush()

    def leave(self, connection: Connection) -> None:
        """A connection is gone; its session lives on for its grace."""
        self.fanout.leave(connection)
        session = connection.session
        if session is None or self._active_connection.get(session) is not connection:
            return
        self._run_internal(lambda: self.machine.drop(session, self.clock()))
        del self._active_connection[session]  # not before: what is due is told to whoever is there until then

    # --- batches ---

    def _queue_effects(
        self, outputs: list[Effect], connection: Connection | None, command: m.AnyCommand | None = None
    ) -> None:
        """Add what the machine gave off to the batch; replies are encoded here, where their size counts."""
        batch = self._batch
        replied = command is None
        errand: asyncio.Task[None] | None = None
        for output in outputs:
            if isinstance(output, Commit):
                self.stats.on_committed(output)
                self.lru.on_committed(output)
                self.finder.committed(output)
                batch.append(output)
            elif isinstance(output, Reply):
                assert connection is not None
                if command is not None:
                    self._count(command, output)
                text = reply_line(output)
                connection.reserve_reply(len(text))
                batch.append(PendingReply(connection, output.id, text))
                replied = True
            elif isinstance(output, DeferredReply | LockLost):
                self._queue_notice(output)
            elif isinstance(output, StartBackup | StartSearch):
                errand = asyncio.get_running_loop().create_task(self._run_background(output))
                self._background.add(errand)
                errand.add_done_callback(self._background.discard)
            elif isinstance(output, BindSession):
                assert connection is not None
                self._bind(connection, output.session)
                batch.append(SessionBound(connection, output.session))
            else:
                batch.append(output)
        if not replied:
            assert command is not None
            assert connection is not None
            assert connection.session is not None
            batch.append(CommandPending(connection, connection.session, command.id, errand))
        self._schedule_flush()

    def _queue_notice(self, said: DeferredReply | LockLost) -> None:
        """What a session is told in its own time goes to the connection that speaks for it now."""
        connection = self._active_connection[said.session]
        if isinstance(said, DeferredReply):
            text = reply_line(said)
            self._batch.append(PendingReply(connection, said.id, text))
        else:
            text = lock_lost_line(said.lock)
            self._batch.append(Notice(connection, text))
        connection.reserve_reply(len(text))

    async def _run_background(self, wanted: StartBackup | StartSearch) -> None:
        """Have done what is not for the machine to do, and answer whoever speaks for the session by then."""
        try:
            if isinstance(wanted, StartSearch):
                outcome = Outcome(ok=await self.finder.find(wanted))
            else:
                outcome = Outcome(ok=await self.back_up())
        except WaggleError as error:
            outcome = Outcome(error=error)
        except Exception:
            outcome = Outcome(error=self._fault(type(wanted).__name__))
        if wanted.session in self._active_connection:
            self._queue_effects([DeferredReply(wanted.session, wanted.id, outcome)], None)

    def _count(self, command: m.AnyCommand, reply: Reply) -> None:
        """What a reply tells those who keep count, and what they add to it."""
        self.stats.on_replied(command, reply)
        ok = reply.outcome.ok
        if isinstance(ok, m.Got):
            if ok.entry is not None and ok.entry.kind == "cached":
                self.lru.on_used(ok.entry.ns, ok.entry.key)
        elif isinstance(ok, m.Statistics):
            self._complete_statistics(ok)

    def _complete_statistics(self, statistics: m.Statistics) -> None:
        connections = [one for one in self.fanout.connections.values() if not one.is_virtual]
        self.stats.complete(statistics, self.clock(), self._journal.durability, connections)

    def _bind(self, connection: Connection, session: str) -> None:
        older = self._active_connection.get(session)
        if older is not None:
            older.replaced = True
        self._active_connection[session] = connection
        connection.session = session

    def _schedule_flush(self) -> None:
        if not self._flush_due and self._loop is not None:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._closed:
            return
        self._flush_due = False
        batch, self._batch = self._batch, []
        if self._failure is not None:
            self._reject_batch(batch)
            return
        if self.machine.has_pending_scan and self._loop is not None:
            self._loop.call_soon(self._proceed)
        changes = self._collect_changes(batch)
        self._unreleased.append(batch)
        self._journal.write(changes, lambda error: self._on_written(batch, error))
        self._schedule_expiry()

    def _collect_changes(self, batch: list[Released]) -> WriteBatch:
        if self._journal.keeps:
            return self.machine.collect_changes([item for item in batch if isinstance(item, Commit)])
        self.machine.discard_changes()
        return NOTHING

    def _on_written(self, batch: list[Released], error: Exception | None) -> None:
        if not self._unreleased or self._unreleased[0] is not batch:
            return  # it was taken back
        if error is not None:
            self._roll_back(error)
        else:
            self._unreleased.pop(0)
            self._release(batch)

    def _release(self, batch: list[Released]) -> None:
        """Show what is safe. A fault in it ends the engine, and all connections: what they were told is not known."""
        try:
            self.fanout.release(batch)
        except Exception:
            self._fail(self._fault("the release").message)
            for connection in list(self._active_connection.values()):
                connection.close(4001, "internal: the hub has to be started again")
            self.fanout.write()

    def _discard_unreleased(self) -> list[Released]:
        """All that was not released, and never will be; its errands are called off."""
        batch = [item for unreleased in self._unreleased for item in unreleased] + self._batch
        self._unreleased, self._batch = [], []
        for item in batch:
            if isinstance(item, CommandPending) and item.errand is not None:
                item.errand.cancel()
        return batch

    def _reject_batch(self, batch: Iterable[Released], error: WaggleError | None = None) -> None:
        """Of a batch that was not kept nothing is shown: whoever asked is told so instead."""
        refusal = (error or self._unavailable()).to_wire()
        refused: list[Released] = []
        for item in batch:
            if isinstance(item, PendingReply | CommandPending):
                text = error_line(item.id, refusal)
                item.connection.reserve_reply(len(text) - (len(item.text) if isinstance(item, PendingReply) else 0))
                refused.append(PendingReply(item.connection, item.id, text))
        self.fanout.release(refused)

    # --- a journal that fails ---

    def _roll_back(self, error: Exception) -> None:
        """Take back what was not kept, and tell those who asked for it."""
        why = f"the journal fails: {error}"
        try:
            records = self._journal.recall()
        except (StoreError, OSError) as unreadable:
            self._fail(f"{why}; and what it kept cannot be read: {unreadable}")
            return
        batch = self._discard_unreleased()
        before = self.machine.unanswered_commands()
        commits = [item for item in batch if isinstance(item, Commit)]
        self.machine.roll_back(commits, records, self.fanout.connections.keys(), self.clock())
        unanswered = self.machine.unanswered_commands()
        given_up = before - unanswered
        asked: list[Released] = []
        for item in batch:
            match item:
                case PendingReply() if (item.connection.session, item.id) not in unanswered:
                    asked.append(item)
                case CommandPending() if (item.session, item.id) in given_up or (
                    item.errand and not item.errand.done()
                ):
                    asked.append(item)
                case PendingReply() | Notice():  # it waits again, is told later, or has lost nothing
                    item.connection.reserve_reply(-len(item.text))
                case _:
                    pass
        self._unbind(batch)
        self.lru = Lru(self.machine.state.keyspace.cached_entries())
        self.finder.forget()
        self._refuse(error)
        self.fanout.go_back([item for item in batch if isinstance(item, OpenCursor)])
        refusal = Unavailable(f"{why}: this was not done, and what has to survive cannot be for now", retry_after=2.0)
        self._reject_batch(asked, refusal)
        self._begin()
        self._schedule_expiry()

    def _begin(self) -> None:
        outputs = self.machine.start(self.clock())
        if outputs or self.machine.has_pending_scan:
            self._queue_effects(outputs, None)

    def _unbind(self, batch: list[Released]) -> None:
        """Let those connections speak for sessions that are known to."""
        for item in batch:
            if isinstance(item, SessionBound):
                item.connection.session = None
        self._active_connection = dict(self.fanout.connections)
        for session, connection in self._active_connection.items():
            connection.session = session
            connection.replaced = False

    def _refuse(self, error: Exception) -> None:
        logger.error("the journal fails, and nothing that has to survive is accepted: %s", error)
        self.machine.refuse(f"the journal fails ({error})")

    def _accept(self) -> None:
        logger.warning("the journal has recovered")
        self._run_internal(lambda: self.machine.accept(self.clock()))

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            f"{self._failure}: nothing is accepted until the hub is started again",
            retry_after=5.0,
        )

    def _fail(self, why: str) -> None:
        """Accept nothing any more, and show nothing that was not: what is in memory may not be what is kept, or not be
        whole."""
        logger.error("nothing is accepted any more: %s", why)
        self._failure = why
        self.stop()
        batch = self._discard_unreleased()
        answered = {(item.connection.session, item.id) for item in batch if isinstance(item, PendingReply)}
        self._batch = [
            item for item in batch if not isinstance(item, CommandPending) or (item.session, item.id) not in answered
        ]
        self._schedule_flush()

    def _fault(self, where: str) -> Internal:
        name = secrets.token_hex(4)
        logger.exception("fault %s in %s", name, where)
        return Internal(f"a fault of the hub, {name} in its output: please report it", id=name)

    # --- time ---

    def _schedule_expiry(self) -> None:
        """Let the timer stand at the head of all deadlines."""
        deadline = self.machine.next_deadline()
        if self._loop is None or self._failure is not None:
            return
        if self._timer is not None:
            if deadline == self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_at = deadline
            delay = max(0.0, deadline - self.clock())
            self._timer = self._loop.call_later(min(delay, 86_400.0), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._run_internal(lambda: self.machine.expire(self.clock(), self.bounds.expire_slice))

    def _proceed(self) -> None:
        if self.machine.has_pending_scan:
            self._run_internal(lambda: self.machine.continue_scan(self.clock()))

    def _run_internal(self, decide: Callable[[], list[Effect]]) -> None:
        """What nobody asked for: time, and the coming and going of connections. A fault in it ends the engine."""
        if self._failure is not None or self._closed:
            return
        try:
            outputs = decide()
        except Exception:
            self._fail(self._fault("what time does").message)
        else:
            self._queue_effects(outputs, None)

    def _mark(self) -> None:
        assert self._loop is not None
        self.fanout.mark_idle()
        self._marker = self._loop.call_later(self.bounds.mark, self._mark)

    def _sample(self) -> None:
        assert self._loop is not None
        self.stats.sample(self.clock())
        self._sampler = self._loop.call_later(SAMPLE, self._sample)

    def _restart(self, session: str, sub: int) -> None:
        self._run_internal(lambda: self.machine.restart_cursor(session, sub, self.clock()))


def _full(outputs: list[Effect]) -> StoreFull | None:
    """What a command was refused for want of room, if it was."""
    for output in outputs:
        if isinstance(output, Reply) and isinstance(output.outcome.error, StoreFull):
            return output.outcome.error
    return None

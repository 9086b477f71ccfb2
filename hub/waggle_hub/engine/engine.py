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

log = logging.getLogger("waggle_hub")
_MAKING_ROOM = 0.05
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
        self._errands: set[asyncio.Task[None]] = set()
        """Backups and searches that somebody is to be told of."""
        self.finder = Finder(machine.state, bounds, clock, data)
        self.meter = Stats(clock(), fanout.sends)
        self.recency = Lru()
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
        self._speakers: dict[str, Connection] = {}
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
        self._arm()

    async def drain(self, seconds: float) -> None:
        """Accept no more commands, the hub is back in so many seconds; return when all replies are on their way. What
        waits and will not survive is told so."""
        self._stopping = Unavailable("the hub is stopping: come back", retry_after=seconds)
        if not self._journal.keeps:
            refusal = self._stopping
            self._run(lambda: self.machine.fail_pending(refusal, self.clock()))
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
        self._complete(found)
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
        closed = self._closed_for()
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
        self.meter.decided(command, time.perf_counter() - started)
        self._take(outputs, connection, command)

    def _decide(self, command: m.AnyCommand, connection: Connection, now: float) -> list[Effect]:
        if isinstance(command, m.Hello) and connection.session is None:
            return self.machine.hello(command, self._fresh(), now, self._info)
        outputs = self.machine.apply(command, connection.session, now)
        return self._make_room(outputs, command, connection, now) if self.recency else outputs

    def _make_room(
        self, outputs: list[Effect], command: m.AnyCommand, connection: Connection, now: float
    ) -> list[Effect]:
        """While a command was refused since the hub is full: evict what was used least recently, and decide anew."""
        room = self.bounds.evict
        least = 1
        while (full := _full(outputs)) is not None:
            victims = self.recency.victims(full, least, room)
            if not victims:
                break
            self._take([output for output in outputs if not isinstance(output, Reply)], None)
            self._take(self.machine.evict(victims, now), None)
            room -= len(victims)
            if room <= 0:
                busy = Unavailable("the hub is full, and making room: try again", retry_after=_MAKING_ROOM)
                return [Reply(command.id, Outcome(error=busy))]
            outputs = self.machine.apply(command, connection.session, now)
            least *= 2
        return outputs

    def visit(self, agent: str | None, ns: str | None, connect: Callable[[], Connection]) -> Connection:
        """Somebody calls, under this name or none (`state.callers`): the connection that speaks for their session, made
        by `connect` if there is none. Raises a WaggleError."""
        closed = self._closed_for()
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
            self._take(outputs, None)
            raise session
        connection = self._speakers.get(session)
        if connection is None:
            connection = connect()
            outputs.append(BindSession(session))
        self._take(outputs, connection)
        return connection

    def _closed_for(self) -> WaggleError | None:
        """What everybody is told who asks for anything, if nothing is accepted."""
        if self._failure is None and self._stopping is not None:
            return again(self._stopping)
        if self._failure is None and self.machine.out_of_revisions:
            self._fail("the journal has failed for so long that no revision is left")
        return None if self._failure is None else self._unavailable()

    def hang_up(self, connection: Connection, id: m.Id, rid: str | None = None, token: int | None = None) -> None:
        """Nobody waits for the answer to this command of a caller any more; `token` is of a grant in that answer."""
        session = connection.session
        if session is not None:
            self._run(lambda: self.machine.drop_call(session, id, rid, token, self.clock()))

    def refuse(self, connection: Connection, id: m.Id | None, error: WaggleError) -> None:
        """Answer what never became a command, in its place among the replies."""
        text = error_line(id, error.to_wire())
        connection.owe(len(text))
        self._batch.append(PendingReply(connection, id, text))
        self._schedule()

    def leave(self, connection: Connection) -> None:
        """A connection is gone; its session lives on for its grace."""
        self.fanout.leave(connection)
        session = connection.session
        if session is None or self._speakers.get(session) is not connection:
            return
        self._run(lambda: self.machine.drop(session, self.clock()))
        del self._speakers[session]  # not before: what is due is told to whoever is there until then

    # --- batches ---

    def _take(self, outputs: list[Effect], connection: Connection | None, command: m.AnyCommand | None = None) -> None:
        """Add what the machine gave off to the batch; replies are encoded here, where their size counts."""
        batch = self._batch
        replied = command is None
        errand: asyncio.Task[None] | None = None
        for output in outputs:
            if isinstance(output, Commit):
                self.meter.committed(output)
                self.recency.committed(output)
                self.finder.committed(output)
                batch.append(output)
            elif isinstance(output, Reply):
                assert connection is not None
                if command is not None:
                    self._observe(command, output)
                text = reply_line(output)
                connection.owe(len(text))
                batch.append(PendingReply(connection, output.id, text))
                replied = True
            elif isinstance(output, DeferredReply | LockLost):
                self._tell(output)
            elif isinstance(output, StartBackup | StartSearch):
                errand = asyncio.get_running_loop().create_task(self._run_errand(output))
                self._errands.add(errand)
                errand.add_done_callback(self._errands.discard)
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
        self._schedule()

    def _tell(self, said: DeferredReply | LockLost) -> None:
        """What a session is told in its own time goes to the connection that speaks for it now."""
        connection = self._speakers[said.session]
        if isinstance(said, DeferredReply):
            text = reply_line(said)
            self._batch.append(PendingReply(connection, said.id, text))
        else:
            text = lock_lost_line(said.lock)
            self._batch.append(Notice(connection, text))
        connection.owe(len(text))

    async def _run_errand(self, wanted: StartBackup | StartSearch) -> None:
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
        if wanted.session in self._speakers:
            self._take([DeferredReply(wanted.session, wanted.id, outcome)], None)

    def _observe(self, command: m.AnyCommand, reply: Reply) -> None:
        """What a reply tells those who keep count, and what they add to it."""
        self.meter.replied(command, reply)
        ok = reply.outcome.ok
        if isinstance(ok, m.Got):
            if ok.entry is not None and ok.entry.kind == "cached":
                self.recency.used(ok.entry.ns, ok.entry.key)
        elif isinstance(ok, m.Statistics):
            self._complete(ok)

    def _complete(self, statistics: m.Statistics) -> None:
        connections = [one for one in self.fanout.connections.values() if not one.inside]
        self.meter.complete(statistics, self.clock(), self._journal.durability, connections)

    def _bind(self, connection: Connection, session: str) -> None:
        older = self._speakers.get(session)
        if older is not None:
            older.replaced = True
        self._speakers[session] = connection
        connection.session = session

    def _schedule(self) -> None:
        if not self._flush_due and self._loop is not None:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._closed:
            return
        self._flush_due = False
        batch, self._batch = self._batch, []
        if self._failure is not None:
            self._withhold(batch)
            return
        if self.machine.has_pending_scan and self._loop is not None:
            self._loop.call_soon(self._proceed)
        changes = self._changes(batch)
        self._unreleased.append(batch)
        self._journal.write(changes, lambda error: self._done(batch, error))
        self._arm()

    def _changes(self, batch: list[Released]) -> WriteBatch:
        if self._journal.keeps:
            return self.machine.collect_changes([item for item in batch if isinstance(item, Commit)])
        self.machine.discard_changes()
        return NOTHING

    def _done(self, batch: list[Released], error: Exception | None) -> None:
        if not self._unreleased or self._unreleased[0] is not batch:
            return  # it was taken back
        if error is not None:
            self._go_back(error)
        else:
            self._unreleased.pop(0)
            self._release(batch)

    def _release(self, batch: list[Released]) -> None:
        """Show what is safe. A fault in it ends the engine, and all connections: what they were told is not known."""
        try:
            self.fanout.release(batch)
        except Exception:
            self._fail(self._fault("the release").message)
            for connection in list(self._speakers.values()):
                connection.close(4001, "internal: the hub has to be started again")
            self.fanout.write()

    def _take_back(self) -> list[Released]:
        """All that was not released, and never will be; its errands are called off."""
        batch = [item for unreleased in self._unreleased for item in unreleased] + self._batch
        self._unreleased, self._batch = [], []
        for item in batch:
            if isinstance(item, CommandPending) and item.errand is not None:
                item.errand.cancel()
        return batch

    def _withhold(self, batch: Iterable[Released], error: WaggleError | None = None) -> None:
        """Of a batch that was not kept nothing is shown: whoever asked is told so instead."""
        refusal = (error or self._unavailable()).to_wire()
        refused: list[Released] = []
        for item in batch:
            if isinstance(item, PendingReply | CommandPending):
                text = error_line(item.id, refusal)
                item.connection.owe(len(text) - (len(item.text) if isinstance(item, PendingReply) else 0))
                refused.append(PendingReply(item.connection, item.id, text))
        self.fanout.release(refused)

    # --- a journal that fails ---

    def _go_back(self, error: Exception) -> None:
        """Take back what was not kept, and tell those who asked for it."""
        why = f"the journal fails: {error}"
        try:
            records = self._journal.recall()
        except (StoreError, OSError) as unreadable:
            self._fail(f"{why}; and what it kept cannot be read: {unreadable}")
            return
        batch = self._take_back()
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
                    item.connection.owe(-len(item.text))
                case _:
                    pass
        self._unbind(batch)
        self.recency = Lru(self.machine.state.keyspace.cached_entries())
        self.finder.forget()
        self._refuse(error)
        self.fanout.go_back([item for item in batch if isinstance(item, OpenCursor)])
        refusal = Unavailable(f"{why}: this was not done, and what has to survive cannot be for now", retry_after=2.0)
        self._withhold(asked, refusal)
        self._begin()
        self._arm()

    def _begin(self) -> None:
        outputs = self.machine.start(self.clock())
        if outputs or self.machine.has_pending_scan:
            self._take(outputs, None)

    def _unbind(self, batch: list[Released]) -> None:
        """Let those connections speak for sessions that are known to."""
        for item in batch:
            if isinstance(item, SessionBound):
                item.connection.session = None
        self._speakers = dict(self.fanout.connections)
        for session, connection in self._speakers.items():
            connection.session = session
            connection.replaced = False

    def _refuse(self, error: Exception) -> None:
        log.error("the journal fails, and nothing that has to survive is accepted: %s", error)
        self.machine.refuse(f"the journal fails ({error})")

    def _accept(self) -> None:
        log.warning("the journal has recovered")
        self._run(lambda: self.machine.accept(self.clock()))

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            f"{self._failure}: nothing is accepted until the hub is started again",
            retry_after=5.0,
        )

    def _fail(self, why: str) -> None:
        """Accept nothing any more, and show nothing that was not: what is in memory may not be what is kept, or not be
        whole."""
        log.error("nothing is accepted any more: %s", why)
        self._failure = why
        self.stop()
        batch = self._take_back()
        answered = {(item.connection.session, item.id) for item in batch if isinstance(item, PendingReply)}
        self._batch = [
            item for item in batch if not isinstance(item, CommandPending) or (item.session, item.id) not in answered
        ]
        self._schedule()

    def _fault(self, where: str) -> Internal:
        name = secrets.token_hex(4)
        log.exception("fault %s in %s", name, where)
        return Internal(f"a fault of the hub, {name} in its output: please report it", id=name)

    # --- time ---

    def _arm(self) -> None:
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
        self._run(lambda: self.machine.expire(self.clock(), self.bounds.expire_slice))

    def _proceed(self) -> None:
        if self.machine.has_pending_scan:
            self._run(lambda: self.machine.continue_scan(self.clock()))

    def _run(self, decide: Callable[[], list[Effect]]) -> None:
        """What nobody asked for: time, and the coming and going of connections. A fault in it ends the engine."""
        if self._failure is not None or self._closed:
            return
        try:
            outputs = decide()
        except Exception:
            self._fail(self._fault("what time does").message)
        else:
            self._take(outputs, None)

    def _mark(self) -> None:
        assert self._loop is not None
        self.fanout.mark_idle()
        self._marker = self._loop.call_later(self.bounds.mark, self._mark)

    def _sample(self) -> None:
        assert self._loop is not None
        self.meter.sample(self.clock())
        self._sampler = self._loop.call_later(SAMPLE, self._sample)

    def _restart(self, session: str, sub: int) -> None:
        self._run(lambda: self.machine.restart_cursor(session, sub, self.clock()))


def _full(outputs: list[Effect]) -> StoreFull | None:
    """What a command was refused for want of room, if it was."""
    for output in outputs:
        if isinstance(output, Reply) and isinstance(output.outcome.error, StoreFull):
            return output.outcome.error
    return None

"""The client without ``await``: the same methods in the same order as `waggle.api.hub`, for programs that block.

Each hub runs the asynchronous client in a thread of its own, and every method here is a call into it. The other
way, a second driver over blocking sockets with a reader thread, would have its own reconnecting, time limits and
locks around one session: all the logic twice, and a connection that nobody keeps alive while the program computes.
A call costs a hop between threads and back, some 0.1 ms, and half of that with uvloop, which is used if it is
installed; events come over in batches.

Calls may be made from several threads at once. ``on_state``, and the condition of `Mirror.until`, are called in the
hub's thread: they must not call the hub. The function given to `Hub.update` is called in the caller's.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from msgspec import UNSET, UnsetType

from waggle.api import hub as aio
from waggle.api import inbox as inboxes
from waggle.api import watcher as following
from waggle.api.compare_and_set import KEEP, Attempts, check_update
from waggle.api.inbox import Sent
from waggle.api.mirror import MirrorView
from waggle.api.txn import Condition, Step, decoded, txn_of
from waggle.api.typed import TypedCodec
from waggle.api.wait import WaitFor, Where
from waggle.blocking.leased import Election, Inbox, Job, Leaders, Lock, Message, Work
from waggle.blocking.view import TypedMirror, TypedWatcher, View
from waggle.core.lease import Guarding, guard_of, token_of
from waggle.core.session import State
from waggle.transport import driver
from waggle.transport.driver import left
from waggle.wire.errors import BadRequest, Conflict
from waggle.wire.messages import (
    BackedUp,
    Done,
    Entry,
    Event,
    EventType,
    HeldLock,
    Hit,
    Inspection,
    Kind,
    NamespaceCount,
    Pong,
    Since,
    Statistics,
    Update,
    Updated,
    Waited,
    Welcome,
    Written,
)

__all__ = [
    "Election", "Hub", "Inbox", "Job", "Leaders", "Lock", "Message", "Mirror", "TypedMirror", "TypedWatcher", "View",
    "Watcher", "Work", "connect",
]  # fmt: skip

T = TypeVar("T")

Entries = list[Entry]
Patch = list[Any]
Counts = list[NamespaceCount]
Hits = list[Hit]
HeldLockList = list[HeldLock]

BATCH = 1000
"""Events that come over at a time: a hop between threads for each would be a tenth of the speed."""


class _Call(Generic[T]):
    """Work for a loop in another thread, and the wait for its end: a lock that is free when it has come. asyncio's own
    way takes two futures, and a lock for each."""

    def __init__(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self._work, self._loop = work, loop
        self._task: asyncio.Task[T] | None = None
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def begin(self) -> None:
        """In the loop's thread: start it."""
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(lambda _: self._under_way.release())

    def result(self) -> T:
        """What came of it; an interrupted wait cancels it. Raises Disconnected if the hub was closed meanwhile."""
        try:
            self._under_way.acquire()
        except BaseException:
            with suppress(RuntimeError):  # the thread has ended this very moment
                self._loop.call_soon_threadsafe(self._cancel)
            raise
        assert self._task is not None
        if self._task.cancelled():
            raise left()
        return self._task.result()

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()


class Thread:
    """An event loop in a thread of its own. What is handed over before `stop` is done; what comes later is refused."""

    def __init__(self) -> None:
        self.stopped = False
        self._gate = threading.Lock()
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="waggle", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, done in the thread; an interrupted wait cancels it."""
        with self._gate:
            if self.stopped:
                work.close()
                raise left()
            if threading.current_thread() is self._thread:
                work.close()
                raise RuntimeError(
                    "on_state and conditions run in the hub's own thread, whose methods would wait for themselves"
                )
            call = _Call(work, self._loop)
            self._loop.call_soon_threadsafe(call.begin)
        return call.result()

    def call(self, function: Callable[[], T]) -> T:
        """The result of ``function``, called in the thread as long as there is one."""

        async def work() -> T:
            return function()

        return function() if self.stopped else self.run(work())

    def stop(self) -> None:
        """End the thread, once; whoever waits in it is answered first."""
        with self._gate:
            if self.stopped:
                return
            self.stopped = True
        asyncio.run_coroutine_threadsafe(_others_done(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it is installed: the loop is nobody's but ours, and a call takes a quarter less time."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _others_done() -> None:
    """Let every other task end: the hub is closed, so each has its answer; should one not look at it, cancel it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, stuck = await asyncio.wait(others, timeout=1.0)
        for task in stuck:
            task.cancel()
        if stuck:
            await asyncio.wait(stuck)


async def _opened(connecting: aio.Connecting) -> aio.Hub:
    return await connecting


def connect(
    url: str | None = None,
    *,
    agent: str | None = None,
    ns: str | None = None,
    token: str | None = None,
    meta: dict[str, Any] | None = None,
    timeout: float = 10.0,
    connect_timeout: float = 10.0,
    reconnect_timeout: float | None = None,
    on_state: Callable[[State], None] | None = None,
) -> Hub:
    """A connection to the hub: ``with connect(...) as hub``. See `waggle.api.hub.connect` for the parameters."""
    connecting = aio.connect(
        url,
        agent=agent,
        ns=ns,
        token=token,
        meta=meta,
        timeout=timeout,
        connect_timeout=connect_timeout,
        reconnect_timeout=reconnect_timeout,
        on_state=on_state,
    )
    thread = Thread()
    try:
        return Hub(thread.run(_opened(connecting)), thread)
    except BaseException:
        thread.stop()
        raise


class Hub:
    """A session with the hub. See `waggle.api.hub.Hub`, which says what each method does."""

    def __init__(self, hub: aio.Hub, thread: Thread) -> None:
        self._hub, self._thread = hub, thread

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the session -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``connecting``, ``connected``, ``reconnecting`` or ``closed``."""
        return self._hub.state

    @property
    def agent(self) -> str:
        """The name of this agent: the one given, or the one that the hub made."""
        return self._hub.agent

    @property
    def session(self) -> str:
        """The id of this session; another one after a session was lost, with all that was tied to it."""
        return self._hub.session

    @property
    def epoch(self) -> str:
        """The name of the hub's unbroken log."""
        return self._hub.epoch

    @property
    def rev(self) -> int:
        """The highest revision seen so far."""
        return self._hub.rev

    @property
    def welcome(self) -> Welcome:
        """What the hub said of itself when this connection began."""
        return self._hub.welcome

    def close(self) -> None:
        """End the session now, with all it holds, and close the connection."""
        if not self._thread.stopped:
            try:
                self._thread.run(self._hub.close())
            finally:
                self._thread.stop()

    def ping(self) -> Pong:
        """The hub's revision and time."""
        return self._thread.run(self._hub.ping())

    def stats(self) -> Statistics:
        """What this hub holds now, and what it has done since it started: counts, rates, times."""
        return self._thread.run(self._hub.stats())

    def backup(self) -> BackedUp:
        """Have the hub back up what it keeps on disk, and wait until that is done, however long it takes."""
        return self._thread.run(self._hub.backup())

    def status(self, status: Any) -> None:
        """Say what this agent does, for others to see in ``agents()``: any JSON up to 4 KiB."""
        self._thread.run(self._hub.status(status))

    def agents(self) -> Entries:
        """The agents with a session now: an entry for each name; the value says since when, status and meta."""
        return self._thread.run(self._hub.agents())

    # --- keys ------------------------------------------------------------------------------------------------

    def set(
        self,
        key: str,
        value: Any,
        *,
        ns: str | None = None,
        ttl: float | None = None,
        keep_ttl: bool = False,
        if_rev: int | None = None,
        kind: Kind = "persistent",
        ephemeral: bool = False,
        meta: dict[str, Any] | None = None,
        guard: Guarding | None = None,
    ) -> Written:
        """Write an entry, for ``ttl`` seconds or for good. Raises Conflict if ``if_rev`` is not its revision."""
        return self._thread.run(
            self._hub.set(
                key,
                value,
                ns=ns,
                ttl=ttl,
                keep_ttl=keep_ttl,
                if_rev=if_rev,
                kind=kind,
                ephemeral=ephemeral,
                meta=meta,
                guard=token_of(guard),
            )
        )

    def get(self, key: str, *, ns: str | None = None) -> Entry | None:
        """The entry, or None if it is absent."""
        return self._thread.run(self._hub.get(key, ns=ns))

    def delete(
        self, key: str, *, ns: str | None = None, if_rev: int | None = None, guard: Guarding | None = None
    ) -> bool:
        """Delete an entry; False if there was none. Raises Conflict if ``if_rev`` is not its revision."""
        return self._thread.run(self._hub.delete(key, ns=ns, if_rev=if_rev, guard=token_of(guard)))

    def touch(
        self, key: str, ttl: float | None, *, ns: str | None = None, guard: Guarding | None = None
    ) -> float | None:
        """Give an entry ``ttl`` seconds from now, or no deadline with None; gives the deadline. Raises NotFound."""
        return self._thread.run(self._hub.touch(key, ttl, ns=ns, guard=token_of(guard)))

    def update(
        self,
        key: str,
        fn: Callable[[Any], Any] | None = None,
        *,
        merge: Any = UNSET,
        patch: Patch | UnsetType = UNSET,
        incr: int | float | UnsetType = UNSET,
        append: Any = UNSET,
        pointer: str | None = None,
        ns: str | None = None,
        if_rev: int | None = None,
        ttl: float | None = None,
        guard: Guarding | None = None,
    ) -> Updated:
        """Change a value from what it is, with nobody coming in between: one of ``fn``, or what the hub does itself.

        ``fn`` is called in the thread of the caller. See `waggle.api.hub.Hub.update`.
        """
        command = Update(
            id=0,
            key=key,
            ns=ns,
            merge=merge,
            patch=patch,
            incr=incr,
            append=append,
            pointer=pointer,
            if_rev=if_rev,
            ttl=ttl,
            guard=guard_of(guard),
        )
        check_update(command, fn)
        if fn is None:
            return self._updated(command)
        attempts = Attempts(command, self.get(key, ns=ns))
        while True:
            value = fn(attempts.value)
            if inspect.iscoroutine(value):
                value.close()
                raise BadRequest("An async function is for the async client: pass a plain one.", field="fn")
            if value is KEEP:
                return attempts.kept()
            try:
                return self._updated(attempts.command(value))
            except Conflict as conflict:
                pause = attempts.refused(conflict, driver.chance())
            time.sleep(pause)

    def txn(self, then: Iterable[Step], *, if_: Iterable[Condition] = (), else_: Iterable[Step] = ()) -> Done:
        """Several changes, all or nothing, at one revision: ``then`` if every condition holds, ``else_`` if not.

        See `waggle.api.hub.Hub.txn`.
        """
        command = txn_of(if_, then, else_)
        return decoded(command, self._thread.run(self._hub._link.ask(command, Done)))

    def history(self, key: str, *, ns: str | None = None, limit: int | None = None) -> Entries:
        """The entry and, if its kind is ``versioned``, up to 20 earlier versions, newest first; ``[]`` if absent."""
        return self._thread.run(self._hub.history(key, ns=ns, limit=limit))

    def list(
        self, pattern: str = "*", *, ns: str | None = None, limit: int | None = None, values: bool = True
    ) -> Entries:
        """The entries that match, in key order: all of them, or the first ``limit``."""
        return self._thread.run(self._hub.list(pattern, ns=ns, limit=limit, values=values))

    def search(self, text: str, *, pattern: str = "*", ns: str | None = None, limit: int = 20) -> Hits:
        """The entries with all the words of ``text`` in their key, value or meta, the best first, at most ``limit``.

        See `waggle.api.hub.Hub.search`.
        """
        return self._thread.run(self._hub.search(text, pattern=pattern, ns=ns, limit=limit))

    def clear(self, pattern: str, *, ns: str | None = None) -> int:
        """Delete every entry that matches, and say how many: there is no way back, so there is no default."""
        return self._thread.run(self._hub.clear(pattern, ns=ns))

    def namespaces(self) -> Counts:
        """Each namespace, with its number of keys and their bytes."""
        return self._thread.run(self._hub.namespaces())

    # --- events ----------------------------------------------------------------------------------------------

    def publish(self, channel: str, data: Any, *, ns: str | None = None) -> int:
        """Send a message to all who watch the channel; gives how many sessions that were. It is not stored."""
        return self._thread.run(self._hub.publish(channel, data, ns=ns))

    def watch(
        self,
        *patterns: str,
        ns: str | None = None,
        types: Iterable[EventType] | None = None,
        values: bool = True,
        prev: bool = False,
        snapshot: bool = False,
        since: Since | tuple[str, int] | None = None,
        echo: bool = True,
        conflate: float | None = None,
    ) -> Watcher:
        """The events of what matches any pattern (all, if none is given), in order and without a gap.

        ``for event in hub.watch("task:*")``, or ``with hub.watch("task:*") as events`` to be subscribed at once.
        See `waggle.api.hub.Hub.watch`.
        """
        watcher = self._hub.watch(
            *patterns,
            ns=ns,
            types=types,
            values=values,
            prev=prev,
            snapshot=snapshot,
            since=since,
            echo=echo,
            conflate=conflate,
        )
        return Watcher(watcher, self._thread)

    def mirror(self, pattern: str = "*", *, ns: str | None = None, conflate: float | None = None) -> Mirror:
        """A local copy of the entries that match, kept in step: ``with hub.mirror("task:*") as tasks``.

        See `waggle.api.hub.Hub.mirror`.
        """
        return Mirror(self._hub.mirror(pattern, ns=ns, conflate=conflate), self._thread)

    # --- locks -----------------------------------------------------------------------------------------------

    def lock(
        self,
        *names: str,
        pattern: str | Iterable[str] | None = None,
        ns: str | None = None,
        shared: bool = False,
        ttl: float = 30.0,
        wait: float | None = 0.0,
    ) -> Lock:
        """A lock on names, or on all that a pattern could match: all of them or none, first come, first served.

        ``with hub.lock("src/auth.py", wait=60) as lock``: it renews itself. Should it be lost, the end of the block
        raises LockLost; until then ``lock.check()`` does, and writes with ``guard=lock``. See
        `waggle.api.hub.Hub.lock`.
        """
        lock = self._hub.lock(*names, pattern=pattern, ns=ns, shared=shared, ttl=ttl, wait=wait)
        return Lock(lock, self._thread)

    def unlock(self, lock: int | str, *, ns: str | None = None, force: str | None = None) -> None:
        """Let a lock of this session go, by its token. Raises NotHolder if it is not held.

        ``force`` frees anybody's, by its token or its name, and is the reason that its holder is told.
        """
        self._thread.run(self._hub.unlock(lock, ns=ns, force=force))

    def locks(self, pattern: str | None = None, *, ns: str | None = None) -> HeldLockList:
        """The locks that are held, on names that match, each with its holder and those who wait; ``ns="*"`` is all."""
        return self._thread.run(self._hub.locks(pattern, ns=ns))

    def inspect(self) -> Inspection:
        """Who is here, what is held, who waits for whom, who hears of what."""
        return self._thread.run(self._hub.inspect())

    # --- waiting ---------------------------------------------------------------------------------------------

    @overload
    def wait(
        self,
        key: str,
        *,
        where: Where | None = ...,
        since: int | None = ...,
        ns: str | None = ...,
        timeout: float | None = ...,
    ) -> Entry: ...

    @overload
    def wait(
        self,
        *,
        pattern: str,
        count: int = ...,
        where: Where | None = ...,
        since: int | None = ...,
        ns: str | None = ...,
        timeout: float | None = ...,
    ) -> Entries: ...

    @overload
    def wait(
        self,
        key: str | None = ...,
        *,
        pattern: str | None = ...,
        absent: bool = ...,
        unlocked: bool = ...,
        where: Where | None = ...,
        since: int | None = ...,
        ns: str | None = ...,
        timeout: float | None = ...,
    ) -> Entry | Entries | None: ...

    def wait(
        self,
        key: str | None = None,
        *,
        pattern: str | None = None,
        count: int = 1,
        absent: bool = False,
        unlocked: bool = False,
        where: Where | None = None,
        since: int | None = None,
        ns: str | None = None,
        timeout: float | None = 30.0,
    ) -> Entry | Entries | None:
        """Wait until an entry is there, now or as soon as it comes: ``spec = hub.wait("spec", timeout=600)``.

        See `waggle.api.hub.Hub.wait`.
        """
        condition: dict[str, Any] = {
            "key": key,
            "pattern": pattern,
            "count": count,
            "absent": absent,
            "unlocked": unlocked,
            "where": where,
            "since": since,
        }
        found: Entry | Entries | None = self._thread.run(self._hub.wait(**condition, ns=ns, timeout=timeout))
        return found

    def wait_all(self, conditions: Iterable[str | WaitFor], *, timeout: float | None = 30.0) -> Waited:
        """Wait until all conditions hold, at one revision: keys, or dicts as `waggle.WaitFor`; at most 100.

        See `waggle.api.hub.Hub.wait_all`.
        """
        return self._thread.run(self._hub.wait_all(conditions, timeout=timeout))

    def wait_any(self, conditions: Iterable[str | WaitFor], *, timeout: float | None = 30.0) -> Waited:
        """Wait until one of the conditions holds, as `wait_all`; ``met`` of the result has the indices of those that
        do."""
        return self._thread.run(self._hub.wait_any(conditions, timeout=timeout))

    # --- work ------------------------------------------------------------------------------------------------

    def take(
        self,
        *patterns: str,
        ns: str | None = None,
        lease: float = 30.0,
        timeout: float | None = 0.0,
        max_deliveries: int | None = None,
    ) -> Job:
        """Take the oldest entry that matches and that nobody has, under a lease: one winner, whoever asks.

        ``with hub.take("job:*") as job`` renews the lease, and finishes the job. See `waggle.api.hub.Hub.take`.
        """
        work = self._hub.take(*patterns, ns=ns, lease=lease, timeout=timeout, max_deliveries=max_deliveries)
        job = Job(work, self._thread)
        job._begin(work._taken())
        return job

    def work(
        self,
        *patterns: str,
        ns: str | None = None,
        lease: float = 30.0,
        timeout: float | None = None,
        max_deliveries: int | None = None,
    ) -> Work:
        """One job after another, as `take`: ``for job in hub.work("job:*")``, ended by ``timeout`` seconds
        without work.

        Inside the loop, ``with job:`` finishes it. The lease renews itself until the next step.
        """
        work = self._hub.work(*patterns, ns=ns, lease=lease, timeout=timeout, max_deliveries=max_deliveries)
        return Work(work, self._thread)

    # --- together --------------------------------------------------------------------------------------------

    def barrier(self, name: str, parties: int, *, ns: str | None = None, timeout: float | None = None) -> None:
        """Wait until so many parties have come to the barrier of this name; then all go on, and it is closed again.

        A party that dies or gives up does not count. Raises TimedOut after ``timeout`` seconds.
        """
        self._thread.run(self._hub.barrier(name, parties, ns=ns, timeout=timeout))

    def elect(self, name: str, *, ns: str | None = None, ttl: float = 30.0, wait: float | None = None) -> Election:
        """Lead, or see who does: ``with hub.elect("planner") as term`` waits until this agent leads.

        ``term`` is a lock. `Election.leader` says who leads, `Election.observe` follows it.
        """
        return Election(self._hub.elect(name, ns=ns, ttl=ttl, wait=wait), self._thread)

    def send(self, to: str, body: Any, *, ns: str | None = None, ttl: float | None = inboxes.KEPT) -> Sent:
        """Leave a message for an agent, here or not: it waits ``ttl`` seconds (None: for ever) until it is read.

        Gives `Sent`: whether the recipient is ``here``, and when it was ``last_seen``.
        """
        return self._thread.run(self._hub.send(to, body, ns=ns, ttl=ttl))

    def inbox(self, *, ns: str | None = None, lease: float = 30.0) -> Inbox:
        """The messages for this agent: ``for message in hub.inbox()``, or `Inbox.receive`.

        Read is not acknowledged: ``with message:``, or `Message.ack`; else it comes again after ``lease`` seconds.
        """
        return Inbox(self._hub.inbox(ns=ns, lease=lease), self._thread)

    def ask(self, to: str, body: Any, *, ns: str | None = None, timeout: float = 60.0) -> Any:
        """Ask an agent something, which it finds in its inbox, and give what it says by `Message.answer`.

        Raises TimedOut; the question is gone then.
        """
        return self._thread.run(self._hub.ask(to, body, ns=ns, timeout=timeout))

    # --- values as types -------------------------------------------------------------------------------------

    def view(self, model: type[T], *, ns: str | None = None, prefix: str = "") -> View[T]:
        """The entries under a prefix with their values as ``model``: ``tasks = hub.view(Task, prefix="task:")``.

        See `waggle.api.hub.Hub.view`.
        """
        return View(self, TypedCodec(model, ns, prefix))

    def _updated(self, command: Update) -> Updated:
        return self._thread.run(self._hub._link.ask(command, Updated))


class Watcher:
    """The events of one ``hub.watch``: iterate over it, inside ``with`` or without. See `waggle.api.hub`."""

    def __init__(self, watcher: following.Watcher, thread: Thread) -> None:
        self._watcher, self._thread = watcher, thread
        self._events: deque[tuple[Event, Since]] = deque()
        self._point: Since | None = None

    @property
    def since(self) -> Since:
        """How far this consumer has come, the event it was given last included: where another may go on."""
        if self._events and self._point is not None:
            return self._point
        return self._thread.call(lambda: self._watcher.since)

    @property
    def epoch(self) -> str:
        """The epoch of ``since``; empty while a snapshot is incomplete, which nobody can go on from."""
        return self.since.epoch

    @property
    def rev(self) -> int:
        """The revision of ``since``."""
        return self.since.rev

    def __enter__(self) -> Self:
        self._thread.run(self._watcher.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if not self._events:
            self._events.extend(self._thread.run(self._watcher.batch(BATCH)))
        if not self._events:
            raise StopIteration
        event, self._point = self._events.popleft()
        return event

    def close(self) -> None:
        """Unsubscribe; nothing comes any more."""
        if not self._thread.stopped:
            self._thread.run(self._watcher.close())


class Mirror(MirrorView):
    """The entries that match a pattern, by key, kept in step with the hub; enter it to fill it."""

    def __init__(self, mirror: following.Mirror, thread: Thread) -> None:
        super().__init__(mirror._replica)
        self._mirror, self._thread = mirror, thread

    def __enter__(self) -> Self:
        self._thread.run(self._mirror.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def changed(self, *, timeout: float | None = None) -> None:
        """Wait for the next change, at most ``timeout`` seconds. Raises TimedOut, or Disconnected for good."""
        self._thread.run(self._mirror.changed(timeout=timeout))

    def until(self, condition: Callable[[MirrorView], object], *, timeout: float | None = None) -> None:
        """Wait until ``condition(mirror)`` is true, asked now and after each change. Raises as `changed`."""
        self._thread.run(self._mirror.until(lambda _: condition(self), timeout=timeout))

    def close(self) -> None:
        """Follow no more; what it holds stays."""
        if not self._thread.stopped:
            self._thread.run(self._mirror.close())

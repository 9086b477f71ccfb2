"""The client for asyncio: `connect` gives a `Hub`, whose methods are the commands of the wire.

A thin shell: each method builds a command, sends it over the `SessionDriver` and unwraps the reply. What happens
when the
connection drops is decided in `waggle.core.session`, what becomes of events in `waggle.core.subscription` and
`waggle.api.mirror`.
`waggle.sync` has the same methods in the same order.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from msgspec import UNSET, UnsetType

from waggle.api import barrier as barriers
from waggle.api import inbox as inboxes
from waggle.api.compare_and_set import KEEP, Attempts, check_update
from waggle.api.election import Election
from waggle.api.inbox import Inbox, Sent
from waggle.api.job import Job, Work, take_of
from waggle.api.lock import Lock, lock_of
from waggle.api.txn import Condition, Step, decoded, txn_of
from waggle.api.typed import TypedCodec
from waggle.api.view import View
from waggle.api.wait import (
    WaitBudget,
    WaitFor,
    WaitForEntries,
    WaitForEntry,
    WaitForState,
    Where,
    condition_of,
    conditions_of,
)
from waggle.api.watcher import Mirror, Watcher
from waggle.core.backoff import websocket_url
from waggle.core.lease import Guarding, guard_of
from waggle.core.session import Session, State
from waggle.transport import driver as link
from waggle.transport.driver import SessionDriver
from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, Conflict, TimedOut
from waggle.wire.messages import (
    Awaited,
    BackedUp,
    Backup,
    Clear,
    Cleared,
    Delete,
    Deleted,
    Done,
    Entry,
    EventType,
    Found,
    Get,
    Got,
    HeldLock,
    HeldLocks,
    Histories,
    History,
    Hit,
    Inspect,
    Inspection,
    Kind,
    List,
    Listed,
    Locks,
    NamespaceCount,
    NamespaceCounts,
    Namespaces,
    Ping,
    Pong,
    Publish,
    Published,
    Revised,
    Search,
    Set,
    Since,
    Statistics,
    Stats,
    Status,
    Touch,
    Touched,
    Unlock,
    Update,
    Updated,
    Waited,
    Welcome,
    Written,
)

__all__ = ["Connecting", "Hub", "connect"]

T = TypeVar("T")

Entries = list[Entry]
Patch = list[Any]
Counts = list[NamespaceCount]
Hits = list[Hit]
HeldLockList = list[HeldLock]
Awaiteds = list[Awaited]

DEFAULT_URL = "http://127.0.0.1:4483"
PAGE = 1000
"""Entries asked for at a time: what a ``list`` gives at most (protocol 4)."""


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
) -> Connecting:
    """A connection to the hub: ``async with connect(...) as hub``, or ``hub = await connect(...)``.

    ``url``, ``agent``, ``token`` and ``ns`` default to WAGGLE_URL (else http://127.0.0.1:4483), WAGGLE_AGENT,
    WAGGLE_TOKEN and WAGGLE_NS. ``meta`` is an object that other agents can see. All times are in seconds:
    ``timeout`` is for each command, ``connect_timeout`` for the first connection. A connection that is lost later
    is restored, with exponential backoff, for as long as ``reconnect_timeout`` says (None: for ever, since an agent
    that outlives a restart of the hub is the point); commands wait meanwhile, each up to ``timeout``.
    ``on_state`` is called with each new state: "connected", "reconnecting", "closed".

    Raises Disconnected if there is no hub, Unauthorized or Forbidden if it does not let us in.
    """
    if meta is not None:
        plain_json.check(meta, "meta")
    session = Session(
        agent=agent or os.environ.get("WAGGLE_AGENT") or None,
        ns=ns or os.environ.get("WAGGLE_NS") or None,
        token=token or os.environ.get("WAGGLE_TOKEN") or None,
        meta=meta,
    )
    address = websocket_url(url or os.environ.get("WAGGLE_URL") or DEFAULT_URL)

    async def opened() -> Hub:
        link = SessionDriver(
            session,
            address,
            timeout=timeout,
            connect_timeout=connect_timeout,
            reconnect_timeout=reconnect_timeout,
            on_state=on_state,
        )
        await link.open()
        return Hub(link)

    return Connecting(opened)


class Connecting:
    """What `connect` gives: await it, or enter it."""

    def __init__(self, opened: Callable[[], Coroutine[Any, Any, Hub]]) -> None:
        self._opened = opened
        self._hub: Hub | None = None

    def __await__(self) -> Generator[Any, None, Hub]:
        return self._opened().__await__()

    async def __aenter__(self) -> Hub:
        self._hub = await self
        return self._hub

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hub is not None:
            await self._hub.close()


class Hub:
    """A session with the hub. Every command raises TimedOut when there is no answer in time, and Disconnected
    when the connection is gone for good, or when a change may or may not have happened."""

    def __init__(self, link: SessionDriver) -> None:
        self._link = link

    async def __aenter__(self) -> Hub:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- the session -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``connecting``, ``connected``, ``reconnecting`` or ``closed``."""
        return self._link.session.state

    @property
    def agent(self) -> str:
        """The name of this agent: the one given, or the one that the hub made."""
        return self.welcome.agent

    @property
    def session(self) -> str:
        """The id of this session; another one after a session was lost, with all that was tied to it."""
        return self.welcome.session

    @property
    def epoch(self) -> str:
        """The name of the hub's unbroken log."""
        return self.welcome.epoch

    @property
    def rev(self) -> int:
        """The highest revision seen so far."""
        return self._link.session.rev

    @property
    def welcome(self) -> Welcome:
        """What the hub said of itself when this connection began."""
        welcome = self._link.session.welcome
        assert welcome is not None
        return welcome

    async def close(self) -> None:
        """End the session now, with all it holds, and close the connection."""
        await self._link.close()

    async def ping(self) -> Pong:
        """The hub's revision and time."""
        return await self._link.ask(Ping(id=0), Pong)

    async def stats(self) -> Statistics:
        """What this hub holds now, and what it has done since it started: counts, rates, times."""
        return await self._link.ask(Stats(id=0), Statistics)

    async def backup(self) -> BackedUp:
        """Have the hub back up what it keeps on disk, and wait until that is done, however long it takes.

        Everything that was answered before is in it. The newest 10 are kept, or as many as the hub was told to. Raises
        BadRequest if this hub keeps everything in memory, Unavailable if there is no room or the disk fails.
        """
        return await self._link.ask(Backup(id=0), BackedUp)

    async def status(self, status: Any) -> None:
        """Say what this agent does, for others to see in ``agents()``: any JSON up to 4 KiB."""
        plain_json.check(status, "status")
        await self._link.ask(Status(id=0, status=status), Revised)

    async def agents(self) -> Entries:
        """The agents with a session now: an entry for each name; the value says since when, status and meta."""
        return await self.list(ns="$agents")

    # --- keys ------------------------------------------------------------------------------------------------

    async def set(
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
        """Write an entry, for ``ttl`` seconds or for good. Raises Conflict if ``if_rev`` is not its revision.

        ``if_rev=0`` means only if absent. ``ephemeral`` entries go with this session. ``guard`` is a lock, a job or the
        token of one: it is written only while that is held, else NotHolder is raised, or LockLost where that is known.
        Without it, a key under somebody else's lock raises Locked.
        """
        plain_json.check(value, "value")
        plain_json.check(meta, "meta")
        command = Set(
            id=0,
            key=key,
            value=value,
            ns=ns,
            ttl=ttl,
            keep_ttl=keep_ttl,
            if_rev=if_rev,
            kind=kind,
            ephemeral=ephemeral,
            meta=meta,
            guard=guard_of(guard),
        )
        return await self._link.ask(command, Written)

    async def get(self, key: str, *, ns: str | None = None) -> Entry | None:
        """The entry, or None if it is absent."""
        return (await self._link.ask(Get(id=0, key=key, ns=ns), Got)).entry

    async def delete(
        self, key: str, *, ns: str | None = None, if_rev: int | None = None, guard: Guarding | None = None
    ) -> bool:
        """Delete an entry; False if there was none. Raises Conflict if ``if_rev`` is not its revision."""
        command = Delete(id=0, key=key, ns=ns, if_rev=if_rev, guard=guard_of(guard))
        return (await self._link.ask(command, Deleted)).deleted

    async def touch(
        self, key: str, ttl: float | None, *, ns: str | None = None, guard: Guarding | None = None
    ) -> float | None:
        """Give an entry ``ttl`` seconds from now, or no deadline with None; gives the deadline. Raises NotFound."""
        return (await self._link.ask(Touch(id=0, key=key, ttl=ttl, ns=ns, guard=guard_of(guard)), Touched)).expires_at

    async def update(
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

        ``fn`` is given the value (None if the key is absent) and returns the new one; it may be async. The write
        takes effect only if nobody has written meanwhile; else ``fn`` is called again with the value as it is then,
        100 times at most before Conflict is raised. So it should do nothing but compute. ``waggle.KEEP`` as its result
        writes nothing, None is refused, since it is what a forgotten ``return`` gives; what it raises is raised here.

        ``merge`` is a JSON Merge Patch (RFC 7396: None deletes a member), ``patch`` a JSON Patch (RFC 6902); ``incr``
        adds a number, ``append`` an item to a list, to the value or where ``pointer`` (RFC 6901) leads. An absent key
        counts as ``{}``, 0 or ``[]``. These are done by the hub in one step; ``if_rev`` goes with them.

        Kind, meta and deadline stay, an ephemeral entry stays with its session; ``ttl`` gives a new deadline.
        Raises BadRequest for what does not apply, Conflict if ``if_rev`` or a ``test`` of the patch does not hold.
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
            return await self._link.ask(command, Updated)
        attempts = Attempts(command, await self.get(key, ns=ns))
        while True:
            value = fn(attempts.value)
            if inspect.isawaitable(value):
                value = await value
            if value is KEEP:
                return attempts.kept()
            try:
                return await self._link.ask(attempts.command(value), Updated)
            except Conflict as conflict:
                pause = attempts.refused(conflict, link.chance())
            await asyncio.sleep(pause)

    async def txn(self, then: Iterable[Step], *, if_: Iterable[Condition] = (), else_: Iterable[Step] = ()) -> Done:
        """Several changes, all or nothing, at one revision: ``then`` if every condition holds, ``else_`` if not.

        Steps and conditions are dicts in the words of the wire, as `waggle.api.txn` lists them: a step has an ``op``
        (set, delete, touch, update, publish) and what the method of that name takes; a condition has a ``key`` and one
        of ``rev`` (0: absent), ``exists`` and ``equals`` (with ``pointer``: a part of the value).

        ``done`` of the result says which branch was taken, ``results`` holds Written, Deleted, Touched, Updated or
        Published for each step. If a step is refused nothing has happened, and its error is raised, with its place
        in ``details["index"]``.
        """
        command = txn_of(if_, then, else_)
        return decoded(command, await self._link.ask(command, Done))

    async def history(self, key: str, *, ns: str | None = None, limit: int | None = None) -> Entries:
        """The entry and, if its kind is ``versioned``, up to 20 earlier versions, newest first; ``[]`` if absent."""
        return (await self._link.ask(History(id=0, key=key, ns=ns, limit=limit), Histories)).entries

    async def list(
        self, pattern: str = "*", *, ns: str | None = None, limit: int | None = None, values: bool = True
    ) -> Entries:
        """The entries that match, in key order: all of them, or the first ``limit``.

        Many are read in pages, and what changes meanwhile may or may not be seen: `mirror` gives one state.
        """
        entries: list[Entry] = []
        after: str | None = None
        while limit is None or len(entries) < limit:
            page = PAGE if limit is None else min(PAGE, limit - len(entries))
            command = List(id=0, pattern=pattern, ns=ns, limit=page, after=after, values=values)
            listed = await self._link.ask(command, Listed)
            entries += listed.entries
            after = listed.next
            if after is None:
                break
        return entries

    async def search(self, text: str, *, pattern: str = "*", ns: str | None = None, limit: int = 20) -> Hits:
        """The entries with all the words of ``text`` in their key, value or meta, the best first, at most ``limit``.

        A word that ends in a star stands for all that begin so. Each hit is an Entry with a ``score``. The first search
        of a hub takes longer, seconds for each 100,000 entries: there is no time limit.
        """
        return (await self._link.ask(Search(id=0, text=text, pattern=pattern, ns=ns, limit=limit), Found)).entries

    async def clear(self, pattern: str, *, ns: str | None = None) -> int:
        """Delete every entry that matches, and say how many: there is no way back, so there is no default.

        Takes effect in steps of 1,000 entries, each whole; entries written meanwhile may go too. To see first what
        it would delete: ``list(pattern, values=False)``.
        """
        if not pattern:
            raise BadRequest('Say what to clear: a pattern such as "task:*".', field="pattern")
        deleted = 0
        while True:
            step = await self._link.ask(Clear(id=0, pattern=pattern, confirm=True, ns=ns), Cleared)
            deleted += step.deleted
            if not step.more:
                return deleted

    async def namespaces(self) -> Counts:
        """Each namespace, with its number of keys and their bytes."""
        return (await self._link.ask(Namespaces(id=0), NamespaceCounts)).namespaces

    # --- events ----------------------------------------------------------------------------------------------

    async def publish(self, channel: str, data: Any, *, ns: str | None = None) -> int:
        """Send a message to all who watch the channel; gives how many sessions that were. It is not stored."""
        plain_json.check(data, "data")
        return (await self._link.ask(Publish(id=0, channel=channel, data=data, ns=ns), Published)).receivers

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

        Iterating over ``hub.watch("task:*")`` subscribes at its first step; to know that it is subscribed
        before going on, enter it as a block. It goes on across lost connections.

        ``snapshot=True`` begins with what is there: events of type ``set`` (and ``lock``) with ``snapshot`` true,
        then one of type ``synced``. Should the hub ever be unable to go on from where this watcher is, an event of
        type ``lost`` says why: forget what came before; a new snapshot and a new ``synced`` follow. Without
        ``snapshot``, `Lost` is raised there, since events are missing.

        ``since`` goes on from a point saved earlier: ``watcher.since``, or ``(watcher.epoch, watcher.rev)``. If the
        hub cannot, the same rules hold: ``lost`` and a snapshot with ``snapshot=True``, else `Lost`.

        ``types`` defaults to all but touch, renew and queue; ``values=False`` leaves the values out; ``prev=True``
        adds the entry before each change; ``echo=False`` leaves out what this session does itself.

        ``conflate=0.5`` is for keys that change more often than one cares to know: one delivery each half second, in
        order, with the latest event of each key (set, delete, expire, evict, touch) and every message. A watcher is
        given a delivery when it is whole; ``watcher.since`` stands behind whole deliveries.
        """
        point = since if since is None or isinstance(since, Since) else Since(*since)
        return Watcher(
            self._link,
            patterns or ("*",),
            point,
            ns=ns,
            types=types,
            values=values,
            prev=prev,
            snapshot=snapshot,
            echo=echo,
            conflate=conflate,
        )

    def mirror(self, pattern: str = "*", *, ns: str | None = None, conflate: float | None = None) -> Mirror:
        """Keep a local copy of the entries that match in step with the hub, for as long as its block lasts.

        It is a mapping from key to Entry, filled when the block is entered, and never shows part of a change.
        ``conflate=0.5`` brings it up to date each half second at most: for entries that change more often than that.

        It shows a state that was, at ``tasks.rev``; a reply may come before what it tells of is shown, and does where
        it is conflated. To see what you wrote, wait for ``tasks.until(lambda m: m.rev >= written.rev)``.
        """
        return Mirror(self._link, pattern, ns, conflate)

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
        """Make a lock on names, or on all keys that a pattern could match: all or none, first come, first served.

        The lock is acquired when its block is entered, and renews itself there. If it is lost, the block raises
        LockLost, which says why: the asyncio client cancels the task for that, the blocking client raises at the end
        of the block. Writes under the lock pass ``guard=lock``; a system outside of the hub is given ``lock.token``
        and refuses lower tokens.

        ``wait`` is the number of seconds to wait, 0: not at all, None: for ever. Entering raises Locked or TimedOut,
        with ``details["holders"]``, and Deadlock where waiting would close a circle. ``shared`` locks are compatible
        with each other. A lock that is not renewed ends after ``ttl`` seconds, and every lock ends with its session.
        """
        return Lock(self._link, lock_of(names, pattern, ns, shared, ttl, wait))

    async def unlock(self, lock: int | str, *, ns: str | None = None, force: str | None = None) -> None:
        """Let a lock of this session go, by its token. Raises NotHolder if it is not held.

        ``force`` frees anybody's, by its token or its name, and is the reason that its holder is told.
        """
        token, name = (lock, None) if isinstance(lock, int) else (None, lock)
        command = Unlock(id=0, token=token, name=name, ns=ns, force=force is not None, reason=force)
        await self._link.ask(command, Revised)

    async def locks(self, pattern: str | None = None, *, ns: str | None = None) -> HeldLockList:
        """The locks that are held, on names that match, each with its holder and those who wait; ``ns="*"`` is all."""
        return (await self._link.ask(Locks(id=0, pattern=pattern, ns=ns), HeldLocks)).locks

    async def inspect(self) -> Inspection:
        """Who is here, what is held, who waits for whom, who hears of what."""
        return await self._link.ask(Inspect(id=0), Inspection)

    # --- waiting ---------------------------------------------------------------------------------------------

    @overload
    async def wait(self, key: str, **options: Unpack[WaitForEntry]) -> Entry: ...

    @overload
    async def wait(self, **options: Unpack[WaitForEntries]) -> Entries: ...

    @overload
    async def wait(self, key: str | None = ..., **options: Unpack[WaitForState]) -> Entry | Entries | None: ...

    async def wait(
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
        """Wait until the entry ``key`` is there, now or as soon as it comes, and return it.

        With ``pattern``, wait for ``count`` entries that match, and return them in a list. ``where`` compares the
        value, ``{"pointer": "/state", "value": "done"}``; ``since`` demands that it was written after that revision.
        ``absent`` waits until there is no entry, ``unlocked`` until nothing there is locked; these return None.

        Raises TimedOut after ``timeout`` seconds (None: never).
        """
        condition = condition_of(
            key=key, pattern=pattern, count=count, absent=absent, unlocked=unlocked, where=where, since=since, ns=ns
        )
        matched = (await self._wait([condition], timeout, all=True)).matched
        if absent or unlocked:
            return None
        return matched[0] if pattern is None else matched

    async def wait_all(self, conditions: Iterable[str | WaitFor], *, timeout: float | None = 30.0) -> Waited:
        """Wait until all conditions hold, at one revision: keys, or dicts as `waggle.WaitFor`; at most 100.

        ``matched`` of the result has their entries, ``rev`` is that revision. Raises TimedOut, whose
        ``details["met"]`` has the indices of those that hold.
        """
        return await self._wait(conditions_of(conditions, "wait_all"), timeout, all=True)

    async def wait_any(self, conditions: Iterable[str | WaitFor], *, timeout: float | None = 30.0) -> Waited:
        """Wait until one of the conditions holds, as `wait_all`; ``met`` of the result has the indices of those that
        do."""
        return await self._wait(conditions_of(conditions, "wait_any"), timeout, all=False)

    async def _wait(self, conditions: Awaiteds, timeout: float | None, *, all: bool) -> Waited:
        patience = WaitBudget(timeout, self._link.now)
        while True:
            try:
                return await self._link.ask(patience.command(conditions, all=all, now=self._link.now), Waited)
            except TimedOut as late:
                patience.refused(late, self._link.now)

    # --- work ------------------------------------------------------------------------------------------------

    def take(
        self,
        *patterns: str,
        ns: str | None = None,
        lease: float = 30.0,
        timeout: float | None = 0.0,
        max_deliveries: int | None = None,
    ) -> Job:
        """Take the oldest entry that matches and that is free, under a lease: one winner, however many ask.

        A block around the job renews the lease; the end of the block is the end of the job: done (the entry is
        deleted), or given back if an exception leaves the block. Without a block: `Job.done`, `Job.give_back`,
        `Job.extend` before the lease is over.

        Raises TimedOut if there is nothing within ``timeout`` seconds (0: now; None: waits for ever). An entry that was
        taken ``max_deliveries`` times already goes to namespace ``$dead`` instead.
        """
        return Job(self._link, take_of(patterns, ns, lease, timeout, max_deliveries))

    def work(
        self,
        *patterns: str,
        ns: str | None = None,
        lease: float = 30.0,
        timeout: float | None = None,
        max_deliveries: int | None = None,
    ) -> Work:
        """Iterate over jobs, one after another, each had as by `take`, until ``timeout`` seconds pass without work.

        A block around each job finishes it. The lease renews itself until the next step of the loop.
        """
        return Work(self._link, take_of(patterns, ns, lease, timeout, max_deliveries))

    # --- together --------------------------------------------------------------------------------------------

    async def barrier(self, name: str, parties: int, *, ns: str | None = None, timeout: float | None = None) -> None:
        """Wait until so many parties have come to the barrier of this name; then all go on, and it is closed again.

        A party that dies or gives up does not count. Raises TimedOut after ``timeout`` seconds.
        """
        await barriers.meet(self, name, parties, ns, timeout)

    def elect(self, name: str, *, ns: str | None = None, ttl: float = 30.0, wait: float | None = None) -> Election:
        """Take part in the election of a leader: entering its block waits until this agent leads.

        The block is given the term, a lock. `Election.leader` gives the leader, `Election.observe` follows it.
        """
        return Election(self, name, ns, ttl, wait)

    async def send(self, to: str, body: Any, *, ns: str | None = None, ttl: float | None = inboxes.KEPT) -> Sent:
        """Leave a message for an agent, here or not: it waits ``ttl`` seconds (None: for ever) until it is read.

        Gives `Sent`: whether the recipient is ``here``, and when it was ``last_seen``.
        """
        return await inboxes.send(self, to, body, ns, ttl)

    def inbox(self, *, ns: str | None = None, lease: float = 30.0) -> Inbox:
        """Iterate over the messages for this agent, or `Inbox.receive` one.

        A message that was read is not acknowledged yet: the end of a block around it does that, or `Message.ack`; else
        it comes again after ``lease`` seconds.
        """
        return Inbox(self, ns, lease)

    async def ask(self, to: str, body: Any, *, ns: str | None = None, timeout: float = 60.0) -> Any:
        """Ask an agent something, which it finds in its inbox, and give what it says by `Message.answer`.

        Raises TimedOut; the question is gone then.
        """
        return await inboxes.ask(self, to, body, ns, timeout)

    # --- values as types -------------------------------------------------------------------------------------

    def view(self, model: type[T], *, ns: str | None = None, prefix: str = "") -> View[T]:
        """The entries under a prefix with their values as ``model``: ``tasks = hub.view(Task, prefix="task:")``.

        ``model`` is a dataclass, a msgspec Struct, a TypedDict, or a plain type such as ``int`` or ``list[str]``. The
        view has get, set, update, list, watch, mirror and more, with keys within the prefix: ``tasks.get("auth")``.
        A stored value that is no ``model`` raises Mismatch where ``value`` is read, and never before.
        """
        return View(self, TypedCodec(model, ns, prefix))

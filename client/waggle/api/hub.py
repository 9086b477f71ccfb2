"""The client for asyncio: `connect` returns a `Hub`, whose methods are the commands of the wire.

A thin shell: each method builds a command, sends it over the `SessionDriver` and returns the useful part of the
reply. `waggle.core.session` decides what a lost connection means; `waggle.core.subscription` and `waggle.api.mirror`
decide what becomes of events. `waggle.sync` has the same methods in the same order.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Generator, Iterable
from random import random
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from msgspec import UNSET, UnsetType

from waggle.api import barrier as barriers
from waggle.api import inbox as inboxes
from waggle.api.compare_and_set import KEEP, Attempts, check_update
from waggle.api.election import Election
from waggle.api.inbox import MESSAGE_TTL_S, Inbox, Sent
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
from waggle.core.lease import Guarding, to_guard
from waggle.core.session import Session, State
from waggle.transport.driver import SessionDriver
from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, Conflict, TimedOut
from waggle.wire.limits import DEFAULT_URL, MAX_PAGE_ENTRIES
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
    """Return a connection to the hub: ``async with connect(...) as hub``, or ``hub = await connect(...)``.

    ``url``, ``agent``, ``token`` and ``ns`` default to WAGGLE_URL (else http://127.0.0.1:4483), WAGGLE_AGENT,
    WAGGLE_TOKEN and WAGGLE_NS. ``meta`` is an object that other agents can see. All times are in seconds:
    ``timeout`` is for each command, ``connect_timeout`` for the first connection. A connection that is lost later is
    restored with exponential backoff, for ``reconnect_timeout`` seconds (None: without end, so that an agent
    survives any restart of the hub). Meanwhile commands wait, each up to ``timeout``. ``on_state`` is called with
    each new state: "connected", "reconnecting", "closed".

    Raises Disconnected if there is no hub, Unauthorized or Forbidden if the hub refuses this agent.
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
        driver = SessionDriver(
            session,
            address,
            timeout=timeout,
            connect_timeout=connect_timeout,
            reconnect_timeout=reconnect_timeout,
            on_state=on_state,
        )
        await driver.open()
        return Hub(driver)

    return Connecting(opened)


class Connecting:
    """The result of `connect`: await it, or enter it as a block."""

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
    """A session with the hub.

    Every command raises TimedOut when the hub does not answer in time. It raises Disconnected when the connection is
    lost for good, and with ``details["in_doubt"]`` when a change may or may not have taken effect.
    """

    def __init__(self, driver: SessionDriver) -> None:
        self._driver = driver

    async def __aenter__(self) -> Hub:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- the session -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Return the state: ``connecting``, ``connected``, ``reconnecting`` or ``closed``."""
        return self._driver.session.state

    @property
    def agent(self) -> str:
        """Return the name of this agent: the given one, or one that the hub made."""
        return self.welcome.agent

    @property
    def session(self) -> str:
        """Return the id of this session. After a session is lost, with all that was tied to it, the id is another
        one."""
        return self.welcome.session

    @property
    def epoch(self) -> str:
        """Return the name of the hub's unbroken log."""
        return self.welcome.epoch

    @property
    def rev(self) -> int:
        """Return the highest revision seen so far."""
        return self._driver.session.rev

    @property
    def welcome(self) -> Welcome:
        """Return the hub's answer to hello, which began this connection."""
        welcome = self._driver.session.welcome
        assert welcome is not None
        return welcome

    async def close(self) -> None:
        """End the session now, with all that it holds, and close the connection."""
        await self._driver.close()

    async def ping(self) -> Pong:
        """Return the hub's revision and time."""
        return await self._driver.request(Ping(id=0), Pong)

    async def stats(self) -> Statistics:
        """Return the statistics of this hub: counts, rates and times since it started."""
        return await self._driver.request(Stats(id=0), Statistics)

    async def backup(self) -> BackedUp:
        """Back up the data that the hub keeps on disk, and wait until that is done, without a time limit.

        The backup contains every change that was answered before. The newest 10 backups are kept, or as many as the
        hub's settings say. Raises BadRequest if this hub keeps everything in memory, Unavailable if there is no room
        or the disk fails.
        """
        return await self._driver.request(Backup(id=0), BackedUp)

    async def status(self, status: Any) -> None:
        """Set the status of this agent, which others see in ``agents()``: any JSON up to 4 KiB."""
        plain_json.check(status, "status")
        await self._driver.request(Status(id=0, status=status), Revised)

    async def agents(self) -> Entries:
        """Return the agents with a session now: an entry for each name. The value holds the start time, the status
        and the meta."""
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
        """Write an entry, for ``ttl`` seconds or without a limit. Raises Conflict if ``if_rev`` is not its
        revision.

        ``if_rev=0`` writes only if the key is absent. An ``ephemeral`` entry ends with this session. ``guard`` is a
        lock, a job or the token of one: the entry is written only while that is held. Otherwise NotHolder is raised,
        or LockLost if this client knows of the loss. Without ``guard``, a key under another session's lock raises
        Locked.
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
            guard=to_guard(guard),
        )
        return await self._driver.request(command, Written)

    async def get(self, key: str, *, ns: str | None = None) -> Entry | None:
        """Return the entry, or None if it is absent."""
        return (await self._driver.request(Get(id=0, key=key, ns=ns), Got)).entry

    async def delete(
        self, key: str, *, ns: str | None = None, if_rev: int | None = None, guard: Guarding | None = None
    ) -> bool:
        """Delete an entry, and return whether it was there. Raises Conflict if ``if_rev`` is not its revision."""
        command = Delete(id=0, key=key, ns=ns, if_rev=if_rev, guard=to_guard(guard))
        return (await self._driver.request(command, Deleted)).deleted

    async def touch(
        self, key: str, ttl: float | None, *, ns: str | None = None, guard: Guarding | None = None
    ) -> float | None:
        """Set the deadline of an entry to ``ttl`` seconds from now, or remove it with None. Return the deadline.

        Raises NotFound.
        """
        return (
            await self._driver.request(Touch(id=0, key=key, ttl=ttl, ns=ns, guard=to_guard(guard)), Touched)
        ).expires_at

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
        """Change a value depending on what it is, with no other write in between: by ``fn``, or by one operation of
        the hub.

        ``fn`` gets the value (None if the key is absent) and returns the new one; it may be async in the asyncio
        client. The write takes effect only if the entry has not changed meanwhile. Otherwise ``fn`` is called again
        with the new value, up to 100 times before Conflict is raised, so ``fn`` should only compute. If it returns
        ``waggle.KEEP``, nothing is written. None is refused, because a forgotten ``return`` gives None. An exception
        of ``fn`` is raised here.

        ``merge`` is a JSON Merge Patch (RFC 7396: None deletes a member), ``patch`` a JSON Patch (RFC 6902).
        ``incr`` adds a number and ``append`` adds an item to a list: in the value, or at its ``pointer`` (RFC 6901).
        An absent key counts as ``{}``, 0 or ``[]``. The hub does these in one step, and ``if_rev`` can be given with
        them.

        Kind, meta and deadline stay, and an ephemeral entry stays with its session; ``ttl`` sets a new deadline.
        Raises BadRequest if the operation does not fit the value, Conflict if ``if_rev`` or a ``test`` of the patch
        does not hold.
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
            guard=to_guard(guard),
        )
        check_update(command, fn)
        if fn is None:
            return await self._driver.request(command, Updated)
        attempts = Attempts(command, await self.get(key, ns=ns))
        while True:
            value = fn(attempts.value)
            if inspect.isawaitable(value):
                value = await value
            if value is KEEP:
                return attempts.kept()
            try:
                return await self._driver.request(attempts.command(value), Updated)
            except Conflict as conflict:
                pause = attempts.on_conflict(conflict, random())
            await asyncio.sleep(pause)

    async def txn(self, then: Iterable[Step], *, if_: Iterable[Condition] = (), else_: Iterable[Step] = ()) -> Done:
        """Apply several changes at one revision, all or none: ``then`` if every condition holds, else ``else_``.

        Steps and conditions are dicts with the words of the wire, as listed in `waggle.api.txn`. A step has an
        ``op`` (set, delete, touch, update, publish) and the parameters of the method with that name. A condition has
        a ``key`` and one of ``rev`` (0: absent), ``exists`` and ``equals`` (with ``pointer``: a part of the value).

        ``done`` of the result names the branch, ``results`` holds Written, Deleted, Touched, Updated or Published
        for each step. If a step is refused, nothing is applied and its error is raised, with its position in
        ``details["index"]``.
        """
        command = txn_of(if_, then, else_)
        return decoded(command, await self._driver.request(command, Done))

    async def history(self, key: str, *, ns: str | None = None, limit: int | None = None) -> Entries:
        """Return the entry and, if its kind is ``versioned``, up to 20 earlier versions, newest first; ``[]`` if
        absent."""
        return (await self._driver.request(History(id=0, key=key, ns=ns, limit=limit), Histories)).entries

    async def list(
        self, pattern: str = "*", *, ns: str | None = None, limit: int | None = None, values: bool = True
    ) -> Entries:
        """Return the entries that match, in key order: all of them, or the first ``limit``.

        Many entries are read in pages, and changes meanwhile may be missed; `mirror` shows a state of one revision.
        """
        entries: list[Entry] = []
        after: str | None = None
        while limit is None or len(entries) < limit:
            page = MAX_PAGE_ENTRIES if limit is None else min(MAX_PAGE_ENTRIES, limit - len(entries))
            command = List(id=0, pattern=pattern, ns=ns, limit=page, after=after, values=values)
            listed = await self._driver.request(command, Listed)
            entries += listed.entries
            after = listed.next
            if after is None:
                break
        return entries

    async def search(self, text: str, *, pattern: str = "*", ns: str | None = None, limit: int = 20) -> Hits:
        """Return the entries with all words of ``text`` in key, value or meta, the best first, at most ``limit``.

        A word that ends in a star matches all words with that beginning. Each hit is an Entry with a ``score``. The
        first search of a hub builds the index, which takes seconds for each 100,000 entries, so there is no time
        limit.
        """
        return (await self._driver.request(Search(id=0, text=text, pattern=pattern, ns=ns, limit=limit), Found)).entries

    async def clear(self, pattern: str, *, ns: str | None = None) -> int:
        """Delete every entry that matches, and return the number of entries.

        This cannot be undone, so ``pattern`` has no default. The hub deletes in steps of 1,000 entries, each all or
        none; entries written meanwhile may be deleted too. ``list(pattern, values=False)`` shows first what would be
        deleted.
        """
        if not pattern:
            raise BadRequest('Say what to clear: a pattern such as "task:*".', field="pattern")
        deleted = 0
        while True:
            step = await self._driver.request(Clear(id=0, pattern=pattern, confirm=True, ns=ns), Cleared)
            deleted += step.deleted
            if not step.more:
                return deleted

    async def namespaces(self) -> Counts:
        """Return each namespace, with its number of keys and their bytes."""
        return (await self._driver.request(Namespaces(id=0), NamespaceCounts)).namespaces

    # --- events ----------------------------------------------------------------------------------------------

    async def publish(self, channel: str, data: Any, *, ns: str | None = None) -> int:
        """Send a message to all sessions that watch the channel, and return their number. The message is not
        stored."""
        plain_json.check(data, "data")
        return (await self._driver.request(Publish(id=0, channel=channel, data=data, ns=ns), Published)).receivers

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
        """Return the events of everything that matches any pattern (all, if none is given), in order and without a
        gap.

        Iterating over ``hub.watch("task:*")`` subscribes at the first step; entering it as a block subscribes at
        once. The watch continues after lost connections.

        ``snapshot=True`` begins with the present state: events of type ``set`` (and ``lock``) with ``snapshot``
        true, then one of type ``synced``. If the hub cannot continue from the position of this watcher, an event of
        type ``lost`` gives the reason: forget all earlier events; a new snapshot and a new ``synced`` follow.
        Without ``snapshot``, `Lost` is raised then, because events are missing.

        ``since`` continues from a saved position: ``watcher.since``, or ``(watcher.epoch, watcher.rev)``. If the hub
        cannot do that, the same rules hold: ``lost`` and a snapshot with ``snapshot=True``, else `Lost`.

        ``types`` defaults to all but touch, renew and queue; ``values=False`` leaves the values out; ``prev=True``
        adds the entry before each change; ``echo=False`` leaves out the changes of this session.

        ``conflate=0.5`` is for keys that change too often: one delivery each half second, in order, with the latest
        event of each key (set, delete, expire, evict, touch) and every message. A watcher gets a delivery when it is
        complete; ``watcher.since`` is behind a complete delivery.
        """
        point = since if since is None or isinstance(since, Since) else Since(*since)
        return Watcher(
            self._driver,
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
        """Keep a local copy of the entries that match, updated by the hub until the end of its block.

        The mirror is a mapping from key to Entry. It is filled when the block is entered, and never shows part of a
        change. ``conflate=0.5`` updates it each half second at most, for entries that change more often than that.

        A mirror shows the state at ``tasks.rev``. The reply to a write may arrive before the mirror shows that
        write, and does if it is conflated. To see an own write, wait for ``tasks.until(lambda m: m.rev >=
        written.rev)``.
        """
        return Mirror(self._driver, pattern, ns, conflate)

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
        return Lock(self._driver, lock_of(names, pattern, ns, shared, ttl, wait))

    async def unlock(self, lock: int | str, *, ns: str | None = None, force: str | None = None) -> None:
        """Release a lock of this session, by its token. Raises NotHolder if it is not held.

        ``force`` releases the lock of any session, by token or name; its text is the reason that the holder gets.
        """
        token, name = (lock, None) if isinstance(lock, int) else (None, lock)
        command = Unlock(id=0, token=token, name=name, ns=ns, force=force is not None, reason=force)
        await self._driver.request(command, Revised)

    async def locks(self, pattern: str | None = None, *, ns: str | None = None) -> HeldLockList:
        """Return the held locks on names that match, each with its holder and its waiters; ``ns="*"`` is all
        namespaces."""
        return (await self._driver.request(Locks(id=0, pattern=pattern, ns=ns), HeldLocks)).locks

    async def inspect(self) -> Inspection:
        """Return the sessions, the held locks and jobs, the waiting commands and the subscriptions of the hub."""
        return await self._driver.request(Inspect(id=0), Inspection)

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
        """Wait until the entry ``key`` exists, now or later, and return it.

        With ``pattern``, wait for ``count`` entries that match, and return them in a list. ``where`` compares the
        value, ``{"pointer": "/state", "value": "done"}``; ``since`` requires that it was written after that
        revision. ``absent`` waits until there is no entry, ``unlocked`` until nothing there is locked; these return
        None.

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
        ``details["met"]`` has the indices of the conditions that hold.
        """
        return await self._wait(conditions_of(conditions, "wait_all"), timeout, all=True)

    async def wait_any(self, conditions: Iterable[str | WaitFor], *, timeout: float | None = 30.0) -> Waited:
        """Wait until one of the conditions holds, as `wait_all`; ``met`` of the result has the indices of those
        that hold."""
        return await self._wait(conditions_of(conditions, "wait_any"), timeout, all=False)

    async def _wait(self, conditions: Awaiteds, timeout: float | None, *, all: bool) -> Waited:
        budget = WaitBudget(timeout, self._driver.now)
        while True:
            try:
                return await self._driver.request(budget.command(conditions, all=all, now=self._driver.now), Waited)
            except TimedOut as error:
                budget.on_timeout(error, self._driver.now)

    # --- work ------------------------------------------------------------------------------------------------

    def take(
        self,
        *patterns: str,
        ns: str | None = None,
        lease: float = 30.0,
        timeout: float | None = 0.0,
        max_deliveries: int | None = None,
    ) -> Job:
        """Take the oldest free entry that matches, under a lease: among all agents that ask, one gets it.

        A block around the job renews the lease. The end of the block finishes the job: it is done (the entry is
        deleted), or given back if an exception leaves the block. Without a block: `Job.done`, `Job.give_back`,
        `Job.extend` before the lease is over.

        Raises TimedOut if no entry is free within ``timeout`` seconds (0: now; None: waits without end). An entry
        that was taken ``max_deliveries`` times already moves to the namespace ``$dead`` instead.
        """
        return Job(self._driver, take_of(patterns, ns, lease, timeout, max_deliveries))

    def work(
        self,
        *patterns: str,
        ns: str | None = None,
        lease: float = 30.0,
        timeout: float | None = None,
        max_deliveries: int | None = None,
    ) -> Work:
        """Iterate over jobs, each taken as by `take`, until ``timeout`` seconds pass without work.

        A block around each job finishes it. The lease renews itself until the next step of the loop.
        """
        return Work(self._driver, take_of(patterns, ns, lease, timeout, max_deliveries))

    # --- together --------------------------------------------------------------------------------------------

    async def barrier(self, name: str, parties: int, *, ns: str | None = None, timeout: float | None = None) -> None:
        """Wait until ``parties`` agents have come to the barrier of this name; then all continue, and it closes
        again.

        A party that dies or gives up does not count. Raises TimedOut after ``timeout`` seconds.
        """
        await barriers.wait_at(self, name, parties, ns, timeout)

    def elect(self, name: str, *, ns: str | None = None, ttl: float = 30.0, wait: float | None = None) -> Election:
        """Take part in the election of a leader: entering its block waits until this agent leads.

        The block gets the term, a lock. `Election.leader` returns the leader, `Election.observe` follows changes.
        """
        return Election(self, name, ns, ttl, wait)

    async def send(self, to: str, body: Any, *, ns: str | None = None, ttl: float | None = MESSAGE_TTL_S) -> Sent:
        """Store a message for an agent, connected or not: it waits ``ttl`` seconds (None: without limit) until it
        is read.

        Return `Sent`: whether the recipient is ``here``, and when it was ``last_seen``.
        """
        return await inboxes.send(self, to, body, ns, ttl)

    def inbox(self, *, ns: str | None = None, lease: float = 30.0) -> Inbox:
        """Iterate over the messages for this agent, or `Inbox.receive` one.

        Reading a message does not acknowledge it: the end of a block around it does, or `Message.ack`. Otherwise the
        message comes again after ``lease`` seconds.
        """
        return Inbox(self, ns, lease)

    async def ask(self, to: str, body: Any, *, ns: str | None = None, timeout: float = 60.0) -> Any:
        """Send a question to the inbox of an agent, and return its `Message.answer`.

        Raises TimedOut; the question is deleted then.
        """
        return await inboxes.ask(self, to, body, ns, timeout)

    # --- values as types -------------------------------------------------------------------------------------

    def view(self, model: type[T], *, ns: str | None = None, prefix: str = "") -> View[T]:
        """Return the entries under a prefix with values of type ``model``: ``tasks = hub.view(Task,
        prefix="task:")``.

        ``model`` is a dataclass, a msgspec Struct, a TypedDict, or a plain type such as ``int`` or ``list[str]``.
        The view has get, set, update, list, watch, mirror and more, with keys within the prefix:
        ``tasks.get("auth")``. A stored value that is not a ``model`` raises Mismatch where ``value`` is read, and
        not before.
        """
        return View(self, TypedCodec(model, ns, prefix))

"""What a blocking hub gives to hold, to work on and to read: the twins of what the asyncio hub gives, in its thread.

Each of these calls into its twin; who holds what, and what a loss means, is decided there. One thing differs, since a
thread cannot be cancelled: a block whose lock is lost runs on, and raises LockLost at its end. Until then `check`
raises it, and so does every write with ``guard=``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from waggle.api import election as elections
from waggle.api import inbox as inboxes
from waggle.api import job as working
from waggle.api import leased
from waggle.api import lock as locking
from waggle.api.election import Leader
from waggle.wire.errors import LockLost, WaggleError
from waggle.wire.messages import Entry

if TYPE_CHECKING:
    from waggle.blocking.hub import Thread

__all__ = ["Election", "Inbox", "Job", "Leaders", "Lock", "Message", "Work"]

T = TypeVar("T")

_numbers = itertools.count(1)
_strand = threading.local()


def strand() -> str:
    """What the hub knows this thread by: so it sees a deadlock between two threads of one session, too."""
    if not hasattr(_strand, "name"):
        _strand.name = f"thread-{next(_numbers)}"
    name: str = _strand.name
    return name


class _Held:
    """A lock or a job, held by the asyncio hub."""

    def __init__(self, held: leased.Leased, thread: Thread) -> None:
        self._twin, self._thread = held, thread

    @property
    def token(self) -> int:
        """The fencing token: greater than every one granted before. Pass it on to what is outside of the hub."""
        return self._twin.token

    @property
    def expires_at(self) -> float:
        """Until when the hub holds it, in Unix seconds, if it is not renewed before."""
        return self._twin.expires_at

    @property
    def lost(self) -> LockLost | None:
        """Why it was lost, or None if it was not."""
        return self._thread.call(lambda: self._twin.lost)

    def check(self) -> None:
        """Raise LockLost if it is not held any more."""
        self._thread.call(self._twin.check)

    def _begin(self, begin: Coroutine[Any, Any, object]) -> None:
        """Have it; a caller that is interrupted holds nothing."""
        try:
            self._thread.run(begin)
        except WaggleError:
            raise
        except BaseException:
            self._thread.call(self._twin._give_up)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._thread.stopped:
            self._thread.run(self._twin._leave(error))
        elif error is None:
            self.check()  # the hub was closed within the block


class Lock(_Held):
    """A lock: ``with hub.lock(...) as lock``. See `waggle.Lock`; a loss raises LockLost at the end of the block."""

    def __init__(self, lock: locking.Lock, thread: Thread) -> None:
        super().__init__(lock, thread)
        self._lock = lock

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are locked."""
        return self._lock.names

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns that are locked."""
        return self._lock.patterns

    def acquire(self) -> Self:
        """Lock. Raises Locked, TimedOut (with `details["holders"]`), Deadlock."""
        self._begin(self._lock._acquire(strand()))
        return self

    def renew(self, ttl: float | None = None) -> float:
        """Renew it now, and from now on for ``ttl`` seconds at a time; gives the deadline. Raises LockLost."""
        return self._thread.run(self._lock.renew(ttl))

    def release(self) -> None:
        """Let it go; nothing happens the second time. Raises LockLost if it was not held to the end."""
        self._thread.run(self._lock.release())

    def __enter__(self) -> Self:
        return self.acquire()


class Job(_Held):
    """An entry that was taken: ``job = hub.take(...)``, or ``with hub.take(...) as job``. See `waggle.Job`."""

    def __init__(self, job: working.Job, thread: Thread) -> None:
        super().__init__(job, thread)
        self._job = job

    @property
    def entry(self) -> Entry:
        """The entry, as it was when it was taken."""
        return self._job.entry

    @property
    def key(self) -> str:
        """The key of the entry."""
        return self._job.key

    @property
    def value(self) -> Any:
        """The value of the entry."""
        return self._job.value

    @property
    def delivery(self) -> int:
        """How often this entry was taken, this time included."""
        return self._job.delivery

    def done(self) -> bool:
        """Delete the entry, and the lease with it; False if it was finished before. Raises LockLost."""
        return self._thread.run(self._job.done())

    def give_back(self) -> None:
        """Let somebody else take it; nothing happens if it was finished before. Raises LockLost."""
        self._thread.run(self._job.give_back())

    def extend(self, lease: float | None = None) -> float:
        """Renew the lease now, and from now on for ``lease`` seconds at a time; gives the deadline. Raises LockLost."""
        return self._thread.run(self._job.extend(lease))

    def __enter__(self) -> Self:
        self._thread.call(self._job._keep)
        return self


class Work:
    """One job after another: ``for job in hub.work("job:*")``. See `waggle.Work`."""

    def __init__(self, work: working.Work, thread: Thread) -> None:
        self._work, self._thread = work, thread

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Job:
        job = self._thread.run(_next(self._work.__anext__()))
        if job is None:
            raise StopIteration
        return Job(job, self._thread)


class Election:
    """An election: ``with hub.elect("planner") as term`` waits to lead, and leads within the block.

    See `waggle.Election`.
    """

    def __init__(self, election: elections.Election, thread: Thread) -> None:
        self._election, self._thread = election, thread
        self._term = Lock(election._term, thread)

    def leader(self) -> Leader | None:
        """Who leads now, or None."""
        return self._thread.run(self._election.leader())

    def observe(self) -> Leaders:
        """Who leads now, or None, and then whenever that changes: ``for leader in election.observe()``."""
        return Leaders(self._election.observe(), self._thread)

    def __enter__(self) -> Lock:
        return self._term.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._term.__exit__(kind, error, trace)


class Leaders:
    """Who leads, again and again: what ``election.observe`` gives."""

    def __init__(self, leaders: elections.Leaders, thread: Thread) -> None:
        self._leaders, self._thread = leaders, thread

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Leader | None:
        return self._thread.run(self._leaders.__anext__())

    def close(self) -> None:
        """Follow no more."""
        if not self._thread.stopped:
            self._thread.run(self._leaders.close())


class Inbox:
    """The messages for this agent, oldest first: ``for message in hub.inbox()``, or `receive`. See `waggle.Inbox`."""

    def __init__(self, inbox: inboxes.Inbox, thread: Thread) -> None:
        self._inbox, self._thread = inbox, thread

    def receive(self, *, timeout: float | None = None) -> Message:
        """The next message, under a lease. Raises TimedOut if none comes within ``timeout`` seconds."""
        return Message(self._thread.run(self._inbox.receive(timeout=timeout)), self._thread)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        return self.receive()


class Message:
    """A message under a lease: ``with message`` acknowledges it at the end of the block. See `waggle.Message`."""

    def __init__(self, message: inboxes.Message, thread: Thread) -> None:
        self._message, self._thread = message, thread
        self._job = Job(message._job, thread)

    @property
    def sender(self) -> str:
        """The agent that sent it, by the hub's word."""
        return self._message.sender

    @property
    def body(self) -> Any:
        """What was sent."""
        return self._message.body

    @property
    def sent_at(self) -> float:
        """When, in Unix seconds."""
        return self._message.sent_at

    @property
    def is_question(self) -> bool:
        """Whether its sender waits for an answer."""
        return self._message.is_question

    @property
    def delivery(self) -> int:
        """How often it was received, this time included."""
        return self._message.delivery

    @property
    def lost(self) -> LockLost | None:
        """Why it is not this reader's any more, or None: others may have it by now."""
        return self._job.lost

    def ack(self) -> None:
        """It is read, and goes; nothing happens the second time. Raises LockLost if somebody else may have it."""
        self._thread.run(self._message.ack())

    def give_back(self) -> None:
        """Let it come again; nothing happens if it was acknowledged."""
        self._thread.run(self._message.give_back())

    def answer(self, body: Any) -> None:
        """Answer a question, and acknowledge it. Raises BadRequest if it is none, LockLost if it is not ours."""
        self._thread.run(self._message.answer(body))

    def __enter__(self) -> Self:
        self._job.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._job.__exit__(kind, error, trace)


async def _next(following: Coroutine[Any, Any, T]) -> T | None:
    """What comes next, or None at the end, which no coroutine can raise into another thread."""
    try:
        return await following
    except StopAsyncIteration:
        return None

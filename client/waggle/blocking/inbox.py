"""Messages for one agent, without ``await``: what ``hub.inbox`` gives."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from waggle.api import inbox
from waggle.blocking.job import Job
from waggle.blocking.loop_thread import LoopThread
from waggle.blocking.twin import Twin, blocking, like
from waggle.wire.errors import LockLost

__all__ = ["Inbox", "Message"]


class Message(Twin[inbox.Message]):
    """A message under a lease: ``with message`` acknowledges it at the end of the block. See `waggle.Message`."""

    def __init__(self, twin: inbox.Message, thread: LoopThread) -> None:
        super().__init__(twin, thread)
        self._job = Job(twin.job, thread)

    @property
    def sender(self) -> str:
        """Return the name of the agent that sent the message, as the hub recorded it."""
        return self._twin.sender

    @property
    def body(self) -> Any:
        """Return the body of the message."""
        return self._twin.body

    @property
    def sent_at(self) -> float:
        """Return the time of sending, in Unix seconds."""
        return self._twin.sent_at

    @property
    def is_question(self) -> bool:
        """Return whether the sender waits for an answer."""
        return self._twin.is_question

    @property
    def delivery(self) -> int:
        """Return how often the message was received, this time included."""
        return self._twin.delivery

    @property
    def lost(self) -> LockLost | None:
        """Return the reason why this reader has lost the message, or None. Another reader may have a lost message."""
        return self._job.lost

    ack = blocking(inbox.Message.ack)
    give_back = blocking(inbox.Message.give_back)
    answer = blocking(inbox.Message.answer)

    def __enter__(self) -> Self:
        self._job.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._job.__exit__(kind, error, trace)


class Inbox(Twin[inbox.Inbox]):
    """The messages for this agent, oldest first: ``for message in hub.inbox()``, or `receive`. See `waggle.Inbox`."""

    @like(inbox.Inbox.receive)
    def receive(self, **options: Any) -> Message:
        return Message(self._thread.run(self._twin.receive(**options)), self._thread)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        return self.receive()

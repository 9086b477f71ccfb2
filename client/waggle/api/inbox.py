"""Messages for one agent, which stay until it has read them; questions and answers. Built of keys, deadlines and
`take`.

Rules:

1. **A message is stored before `send` returns.** It is an entry ``inbox:NAME/ID``, and stays until it is
   acknowledged or its time is over.
2. **Reading is not acknowledging.** A reader has a message under a lease. An acknowledged message is deleted; any
   other comes again. So each message arrives at least once, in the order of sending, at one reader at a time.
3. **The sender learns whether the recipient is connected now,** and when it last was.
4. **A question** is a message that names the key for the answer. Question and answer have deadlines, so they vanish
   when the caller does not wait any more.
"""

from __future__ import annotations

import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, LockLost, TimedOut
from waggle.wire.patterns import quoted

if TYPE_CHECKING:
    from waggle.api.hub import Hub
    from waggle.api.job import Job

__all__ = ["Inbox", "Message", "Sent", "answer_key", "ask", "body_of", "send"]

MESSAGE_TTL_S = 30 * 86400.0
"""Seconds that a message waits for its reader: 30 days, as long as the hub remembers an agent."""
ANSWER_TTL_S = 300.0
"""Seconds that an answer waits for the caller, which gets it at once, or after connecting again."""
ANSWER_PREFIX = "answer:"
"""The beginning of the key of every answer."""
ID_CHARS = 16
"""Characters of the last part of a message's key. The number is fixed, so that the inbox of ``a`` does not include that
of ``a/b``."""


class Sent(Struct, frozen=True):
    """The result of sending: the key of the message, its deadline, and whether its recipient is connected."""

    key: str
    rev: int
    expires_at: float | None
    here: bool
    """Whether the recipient is connected now."""
    last_seen: float | None
    """The time at which a session of the recipient last began or ended, in Unix seconds; None if the hub knows none."""


def body_of(value: Any) -> Any:
    """Return the body of a message; a value that was not written by `send` is the body itself."""
    return value["body"] if isinstance(value, dict) and "body" in value else value


def answer_key(value: Any) -> str | None:
    """Return the key for the answer to a message, None if the message is no question.

    The sender chooses only the end of the key, so an answer overwrites nothing else.
    """
    key = value.get("answer") if isinstance(value, dict) else None
    return key if isinstance(key, str) and key.startswith(ANSWER_PREFIX) else None


async def send(hub: Hub, to: str, body: Any, ns: str | None, ttl: float | None, answer: str | None = None) -> Sent:
    """Store a message, then look up its recipient."""
    plain_json.check(body, "body")
    key = f"inbox:{to}/{uuid.uuid4().hex[:ID_CHARS]}"
    value = {"body": body} if answer is None else {"body": body, "answer": answer}
    written = await hub.set(key, value, ns=ns, ttl=ttl, if_rev=0)
    present = await hub.get(to, ns="$agents")
    seen = await hub.get(to, ns="$seen")
    here = present is not None and bool(present.value["connected"])
    return Sent(key, written.rev, written.expires_at, here, None if seen is None else seen.value["last"])


async def ask(hub: Hub, to: str, body: Any, ns: str | None, timeout: float) -> Any:
    """Send a question, and wait for its answer. Raises TimedOut."""
    answer = f"{ANSWER_PREFIX}{uuid.uuid4().hex}"
    sent = await send(hub, to, body, ns, timeout, answer)
    try:
        entry = await hub.wait(answer, ns=ns, timeout=timeout)
    except TimedOut as timeout_error:
        presence = "it was connected" if sent.here else "it was not connected"
        message = f"{to!r} has not answered in time ({presence} when it was asked)."
        raise TimedOut(message, **timeout_error.details) from None
    await hub.delete(answer, ns=ns)
    return entry.value


class Inbox:
    """The messages for this agent, oldest first: ``async for message in hub.inbox()``, or `receive`."""

    def __init__(self, hub: Hub, ns: str | None, lease: float) -> None:
        self._hub, self._ns, self._lease = hub, ns, lease

    async def receive(self, *, timeout: float | None = None) -> Message:
        """Return the next message, under a lease. Raises TimedOut if none arrives within ``timeout`` seconds."""
        pattern = quoted(f"inbox:{self._hub.agent}/") + "?" * ID_CHARS
        while True:
            try:
                job = await self._hub.take(pattern, ns=self._ns, lease=self._lease, timeout=timeout)
            except LockLost:
                continue  # this program was suspended until the lease was over: the message comes again
            return Message(self._hub, job)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        return await self.receive()


class Message:
    """A message under a lease: ``async with message`` acknowledges it at the end of the block.

    Within the block the lease renews itself; if an exception leaves it, the message is given back.
    """

    def __init__(self, hub: Hub, job: Job) -> None:
        self._hub, self.job = hub, job

    @property
    def sender(self) -> str:
        """Return the name of the agent that sent the message, as the hub recorded it."""
        return self.job.entry.by

    @property
    def body(self) -> Any:
        """Return the body of the message."""
        return body_of(self.job.value)

    @property
    def sent_at(self) -> float:
        """Return the time of sending, in Unix seconds."""
        return self.job.entry.created_at

    @property
    def is_question(self) -> bool:
        """Return whether the sender waits for an answer."""
        return answer_key(self.job.value) is not None

    @property
    def delivery(self) -> int:
        """Return how often the message was received, this time included."""
        return self.job.delivery

    @property
    def lost(self) -> LockLost | None:
        """Return the reason why this reader has lost the message, or None. Another reader may have a lost message."""
        return self.job.lost

    async def ack(self) -> None:
        """Delete the message: it was read. A second call does nothing. Raises LockLost if another reader may have
        it."""
        await self.job.done()

    async def give_back(self) -> None:
        """Let the message come again; does nothing if it was acknowledged."""
        await self.job.give_back()

    async def answer(self, body: Any) -> None:
        """Answer a question, and acknowledge it. Raises BadRequest if the message is no question, LockLost if its
        lease was lost."""
        key = answer_key(self.job.value)
        if key is None:
            raise BadRequest("This message is not a question: use send() to reply.", field="answer")
        await self._hub.set(key, body, ns=self.job.entry.ns, ttl=ANSWER_TTL_S, guard=self.job)
        await self.ack()

    async def __aenter__(self) -> Self:
        await self.job.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.job.__aexit__(kind, error, trace)

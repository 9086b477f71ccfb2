"""Messages for one agent, which wait until it has read them; questions and answers (made of keys, deadlines and take).

The rules:

1. **Stored before told.** A message is an entry ``inbox:NAME/ID``, written before ``send`` returns; it stays until it
   is acknowledged, or its time is over.
2. **Read is not acknowledged.** Whoever receives it has it under a lease. Acknowledged, it is deleted; else it comes
   again. So each comes at least once, in the order sent, and to one reader at a time.
3. **The sender learns who is there:** whether the recipient is connected now, and when it last was.
4. **A question** is a message with the key that the answer is to be written to; both have deadlines, so what nobody
   waits for any more goes by itself.
"""

from __future__ import annotations

import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, LockLost, TimedOut
from waggle.wire.names import quoted

if TYPE_CHECKING:
    from waggle.api.hub import Hub
    from waggle.api.job import Job

__all__ = ["Inbox", "Message", "Sent", "answer_key", "ask", "body_of", "send"]

KEPT = 30 * 86400.0
"""Seconds that a message waits for its reader: as long as the hub remembers an agent."""
ANSWER_KEPT = 300.0
"""Seconds that an answer waits for who asked: who is still there has it at once, or after connecting again."""
ANSWER = "answer:"
"""How the key of an answer begins."""
DIGITS = 16
"""Of the last part of a key. All have as many, so that the inbox of ``a`` is not that of ``a/b``, too."""


class Sent(Struct, frozen=True):
    """What the sender of a message learns: where it waits and until when, and whether its recipient is there."""

    key: str
    rev: int
    expires_at: float | None
    here: bool
    """Whether the recipient is connected now."""
    last_seen: float | None
    """When a session of it last began or ended, in Unix seconds; None if the hub does not know of any."""


def body_of(value: Any) -> Any:
    """What a message says; one that was not written by `send` is taken as it is."""
    return value["body"] if isinstance(value, dict) and "body" in value else value


def answer_key(value: Any) -> str | None:
    """Where the answer to a message is to be written, None if it is no question. Its sender has no say in anything but
    the end of that key."""
    key = value.get("answer") if isinstance(value, dict) else None
    return key if isinstance(key, str) and key.startswith(ANSWER) else None


async def send(hub: Hub, to: str, body: Any, ns: str | None, ttl: float | None, answer: str | None = None) -> Sent:
    """Store a message, then see who is there."""
    plain_json.check(body, "body")
    key = f"inbox:{to}/{uuid.uuid4().hex[:DIGITS]}"
    value = {"body": body} if answer is None else {"body": body, "answer": answer}
    written = await hub.set(key, value, ns=ns, ttl=ttl, if_rev=0)
    present = await hub.get(to, ns="$agents")
    seen = await hub.get(to, ns="$seen")
    here = present is not None and bool(present.value["connected"])
    return Sent(key, written.rev, written.expires_at, here, None if seen is None else seen.value["last"])


async def ask(hub: Hub, to: str, body: Any, ns: str | None, timeout: float) -> Any:
    """Send a question, and wait for its answer. Raises TimedOut."""
    answer = f"{ANSWER}{uuid.uuid4().hex}"
    sent = await send(hub, to, body, ns, timeout, answer)
    try:
        entry = await hub.wait(answer, ns=ns, timeout=timeout)
    except TimedOut as late:
        there = "it is here" if sent.here else "it was not here"
        raise TimedOut(f"{to!r} has not answered in time ({there} when it was asked).", **late.details) from None
    await hub.delete(answer, ns=ns)
    return entry.value


class Inbox:
    """The messages for this agent, oldest first: ``async for message in hub.inbox()``, or `receive`."""

    def __init__(self, hub: Hub, ns: str | None, lease: float) -> None:
        self._hub, self._ns, self._lease = hub, ns, lease

    async def receive(self, *, timeout: float | None = None) -> Message:
        """The next message, under a lease. Raises TimedOut if none comes within ``timeout`` seconds."""
        pattern = quoted(f"inbox:{self._hub.agent}/") + "?" * DIGITS
        while True:
            try:
                job = await self._hub.take(pattern, ns=self._ns, lease=self._lease, timeout=timeout)
            except LockLost:
                continue  # this program stood still until the lease was over: the message comes again
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
        """The agent that sent it, by the hub's word."""
        return self.job.entry.by

    @property
    def body(self) -> Any:
        """What was sent."""
        return body_of(self.job.value)

    @property
    def sent_at(self) -> float:
        """When, in Unix seconds."""
        return self.job.entry.created_at

    @property
    def is_question(self) -> bool:
        """Whether its sender waits for an answer."""
        return answer_key(self.job.value) is not None

    @property
    def delivery(self) -> int:
        """How often it was received, this time included."""
        return self.job.delivery

    @property
    def lost(self) -> LockLost | None:
        """Why it is not this reader's any more, or None: others may have it by now."""
        return self.job.lost

    async def ack(self) -> None:
        """It is read, and goes; nothing happens the second time. Raises LockLost if somebody else may have it."""
        await self.job.done()

    async def give_back(self) -> None:
        """Let it come again; nothing happens if it was acknowledged."""
        await self.job.give_back()

    async def answer(self, body: Any) -> None:
        """Answer a question, and acknowledge it. Raises BadRequest if it is none, LockLost if it is not ours."""
        key = answer_key(self.job.value)
        if key is None:
            raise BadRequest("Nobody waits for an answer to this: use send().", field="answer")
        await self._hub.set(key, body, ns=self.job.entry.ns, ttl=ANSWER_KEPT, guard=self.job)
        await self.ack()

    async def __aenter__(self) -> Self:
        await self.job.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.job.__aexit__(kind, error, trace)

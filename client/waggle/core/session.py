"""One agent's session with the hub, without a socket: lines go in, lines and outcomes come out (protocol 2 and 3).

Rules:

1. **Pure.** The session has no socket, no clock, no random numbers and no event loop. A driver reports the
   connection (`opened`, `dropped`, `receive`), sends what `outgoing` returns, and passes on what `collect` returns.
2. **A command is queued, then sent, then settled,** in the order of the calls. When the connection drops, the
   commands without a reply return to the head of the queue.
3. **A takeover repeats every command without a reply.** (A takeover: a new connection continues the session.) A
   change carries a ``rid``, so the hub applies it once; a read may be repeated freely. At most `MAX_UNANSWERED`
   commands are without a reply, because the hub remembers the outcomes of the last 1,000 changes only.
4. **A new session does not repeat a change that was sent.** The change is in doubt: it may or may not have taken
   effect, and its caller gets an error that says so. Reads are repeated, and each subscription continues from its
   own cursor. `lock` and `take` are repeated too: what the old session was granted ended with it. The locks of the
   old session are lost, and their holders are told.
5. **A command that waits** (`PendingCommand.waits`) is answered out of order and does not count for the window. It
   is sent again after a takeover, because its reply may have been lost. The hub may answer under the old id or the
   new one; the first answer counts. `lock` and `take` have a ``rid``, so the hub joins both. `wait` has none: the
   second `wait` starts before the first is cancelled, so the hub watches without a break.
6. **A grant has an owner, or is returned.** When a caller gives up, its command is cancelled, and kept until the hub
   has answered. If it was granted meanwhile, in this connection or the next one, it is unlocked. Until then no other
   lock is sent for the same task: the hub would see the task wait for itself, which is a deadlock.
7. **After a takeover all leases are renewed,** because the notice of a loss may have been lost with the connection.

`waggle.core.pending` reads one reply, `waggle.core.lease` keeps one grant, and `waggle.core.subscriptions` keeps the
subscriptions.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET

from waggle.core.incoming import Incoming
from waggle.core.lease import Lease
from waggle.core.pending import Outcome, PendingCommand, in_doubt, outcome_of
from waggle.core.subscription import Subscription
from waggle.core.subscriptions import Subscriptions
from waggle.wire.errors import (
    BadRequest,
    Cancelled,
    Disconnected,
    NotHolder,
    SessionLost,
    TooLarge,
    WaggleError,
    copy_error,
)
from waggle.wire.json import encode
from waggle.wire.limits import MAX_MESSAGE_BYTES, MAX_STORED_OUTCOMES
from waggle.wire.messages import (
    Bye,
    Cancel,
    Change,
    Command,
    Granted,
    Hello,
    Id,
    Lock,
    Renew,
    Status,
    Take,
    Taken,
    Unlock,
    Unsubscribe,
    Wait,
    Welcome,
)

__all__ = ["NO_UPDATES", "Session", "State", "Updates"]

MAX_UNANSWERED = MAX_STORED_OUTCOMES // 2
"""Commands sent and not yet answered: half of the outcomes that the hub keeps for a session (protocol 2)."""
MAX_BATCH_BYTES = 256 * 2**10
"""Bytes of the lines that share one message: the hub works off one message without a pause."""

State = Literal["connecting", "connected", "reconnecting", "closed"]

_LINE = msgspec.json.Decoder(Incoming)


class Updates(NamedTuple):
    """The news since the last `Session.collect`: settled commands, subscriptions whose consumer has something to
    read, subscriptions to `retry` after some seconds, and lost leases."""

    settled: list[tuple[PendingCommand, Outcome]]
    woken: list[Subscription]
    retries: list[tuple[float, Subscription]]
    lost: list[Lease]


NO_UPDATES = Updates([], [], [], [])
"""The result of `Session.collect` when nothing has happened."""


class Session:
    """A session with the hub, and each new session that replaces a lost one."""

    def __init__(
        self,
        *,
        agent: str | None = None,
        ns: str | None = None,
        token: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Create a session that is not connected. Raises BadRequest if ``agent`` or ``meta`` cannot be sent as
        JSON."""
        _line_of(Hello(id=0, agent=agent, ns=ns, token=token, meta=meta))
        self.agent, self.ns, self.token, self.meta = agent, ns, token, meta
        self.state: State = "connecting"
        self.welcome: Welcome | None = None
        self.rev = 0
        """The highest revision that the hub has shown."""
        self.refusal: WaggleError | None = None
        """The error that answered ``hello``, if no other hello can help."""
        self.error: WaggleError | None = None
        """The error that closed the session for good."""
        self._numbers = itertools.count(1)
        self._hello: Hello | None = None
        self._lost = False
        """Whether the session has ended at the hub, so that the next hello starts a new one."""
        self._queue: deque[PendingCommand] = deque()
        self._unanswered: dict[Id, PendingCommand] = {}
        """Commands that were sent and are answered in order, by id."""
        self._waiting: dict[Id, PendingCommand] = {}
        """Commands that were sent and may wait at the hub, by every id that each had in this session."""
        self._cancelled_grants: dict[PendingCommand, None] = {}
        """Cancelled commands that may still be granted: an ordered set."""
        self._leases: dict[int, Lease] = {}
        """The leases that are held, by token."""
        self._lost_leases: list[Lease] = []
        self._out: list[bytes] = []
        self._settled: list[tuple[PendingCommand, Outcome]] = []
        self._subscriptions = Subscriptions()
        self._status: Any = UNSET

    # --- for callers --------------------------------------------------------------------------------------

    def submit(self, command: Command) -> PendingCommand:
        """Queue a command; `collect` returns its outcome. Raises the error that closed the session."""
        self._check_open()
        if isinstance(command, Status):
            self._status = command.status  # a new session must say it again
        pending = self._enqueue(command)
        self._pump()
        return pending

    def cancel(self, pending: PendingCommand) -> None:
        """Stop waiting for a command: it is not sent, or not repeated, and its reply is dropped.

        What the command was granted, or may be granted, is unlocked. An `unlock` that is queued is sent all the
        same.
        """
        if pending.subscription is not None:
            self.unsubscribe(pending.subscription)
        elif pending.lease is not None:
            self.release_now(pending.lease)
        elif pending.settled:
            pass  # the reply came in the same loop iteration as the caller's end
        elif pending.sent and (pending.grants or pending.waits):
            self._cancel_sent(pending)
        elif self._unanswered.get(pending.command.id) is pending and not isinstance(pending.command, Unlock):
            del self._unanswered[pending.command.id]
        elif pending in self._queue and not isinstance(pending.command, Unlock):
            self._queue.remove(pending)
        self._pump()

    def release_now(self, lease: Lease, reason: str = "released") -> None:
        """Mark a lease as lost for ``reason``, and queue its `unlock`. No caller waits for the reply."""
        # The lease may be gone: the hub can report its loss before the caller gives it up.
        if self._leases.pop(lease.token, None) is not None:
            self._lose(lease, reason)
            self._enqueue(Unlock(id=0, token=lease.token))
            self._pump()

    def mark_ended(self, lease: Lease) -> None:
        """Forget a lease that has ended at the hub."""
        self._leases.pop(lease.token, None)

    def unlock(self, lease: Lease) -> PendingCommand:
        """Queue the `unlock` of a lease; `collect` returns its outcome. Raises LockLost, or the error that closed
        the session."""
        lease.check()
        self._check_open()
        self._leases.pop(lease.token, None)
        return self.submit(Unlock(id=0, token=lease.token))

    def subscribe(self, subscription: Subscription) -> PendingCommand:
        """Start a subscription; its outcome is the hub's first answer. Raises the error that closed the session."""
        self._check_open()
        pending = self._subscriptions.add(subscription, self.ns or "default")
        self._pump()
        return pending

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription, whether the hub has answered it or not."""
        self._subscriptions.unsubscribe(subscription)
        for pending in [pending for pending in self._queue if pending.subscription is subscription]:
            self._queue.remove(pending)
            self._subscriptions.on_subscribe_dropped(subscription)
        self._pump()

    def resume(self, subscription: Subscription) -> None:
        """Continue a paused subscription: its consumer has read all events."""
        self._subscriptions.resume(subscription)
        self._pump()

    def retry(self, subscription: Subscription) -> None:
        """Subscribe again: the time after which the hub allowed it is over."""
        self._subscriptions.retry(subscription)
        self._pump()

    # --- for the shell: the connection --------------------------------------------------------------------

    def opened(self) -> None:
        """Queue hello on a new connection: for a new session, or to take this one over."""
        self._say_hello()

    def dropped(self) -> None:
        """Put the commands without a reply back into the queue: the connection is lost."""
        if self.state == "connected":
            self.state = "reconnecting"
        self._hello = None
        self._out.clear()
        # A waiting command that was queued again after an earlier takeover is in both: it keeps its place in the queue.
        sent = {*self._unanswered.values(), *self._waiting.values()}.difference(self._queue)
        unanswered = [*sorted(sent, key=lambda pending: pending.ids[-1]), *self._queue]
        self._unanswered.clear()
        self._queue.clear()
        for pending in unanswered:
            if pending.subscription is not None and pending.subscription.ended:
                self._subscriptions.on_subscribe_dropped(pending.subscription)
            elif not isinstance(pending.command, Unsubscribe | Bye) and pending.lease is None:
                # Left out: numbers of subscriptions change with the connection, and `_on_welcome` renews all leases.
                self._queue.append(pending)

    def receive(self, message: bytes) -> None:
        """Handle one message of the hub. Raises Disconnected if a line of it cannot be read."""
        for line in message.split(b"\n"):
            if line:
                try:
                    self._receive_line(_LINE.decode(line), len(line))
                except msgspec.MsgspecError as fault:
                    raise Disconnected(
                        f"The hub sent a line this client cannot read ({fault}): check that both have the same version."
                    ) from None
        self._pump()

    def end(self, error: WaggleError) -> None:
        """Close the session for good: every command, lease and subscription ends with ``error``."""
        self.state, self.error = "closed", error
        # A waiting command is there under each of its ids, and may be queued again: it is settled once.
        for pending in dict.fromkeys([*self._unanswered.values(), *self._waiting.values(), *self._queue]):
            doubtful = pending.in_doubt and isinstance(error, Disconnected)
            self._settled.append((pending, in_doubt(pending, error.message) if doubtful else copy_error(error)))
        self._unanswered.clear()
        self._waiting.clear()
        self._queue.clear()
        self._lose_all("disconnected", error.message)
        self._subscriptions.end(error)

    @property
    def has_output(self) -> bool:
        """Return whether `outgoing` has a message."""
        return bool(self._out)

    @property
    def unsent(self) -> int:
        """Return the number of lines that `outgoing` will send."""
        return len(self._out)

    def outgoing(self) -> Iterator[bytes]:
        """Return the messages to send now: lines joined up to `MAX_BATCH_BYTES`. Messages that are not taken stay."""
        while self._out:
            batch, size = 1, len(self._out[0])
            while batch < len(self._out) and size + len(self._out[batch]) <= MAX_BATCH_BYTES:
                size += 1 + len(self._out[batch])
                batch += 1
            message = b"\n".join(self._out[:batch])
            del self._out[:batch]  # before the yield: a caller that stops here must not send this message twice
            yield message

    def collect(self) -> Updates:
        """Return the news since the last call."""
        ours = self._subscriptions
        if not (self._settled or self._lost_leases or ours.settled or ours.woken or ours.retries):
            return NO_UPDATES  # the usual case after a message: no new object
        updates = Updates(self._settled + ours.settled, list(ours.woken), ours.retries, self._lost_leases)
        self._settled, self._lost_leases, ours.settled, ours.retries = [], [], [], []
        ours.woken.clear()
        return updates

    # --- hello --------------------------------------------------------------------------------------------

    def _say_hello(self) -> None:
        hello = Hello(id=next(self._numbers), token=self.token)
        if self.welcome is not None and not self._lost:
            hello.session, hello.secret = self.welcome.session, self.welcome.secret
            hello.cursors = self._subscriptions.cursors()
        else:
            hello.agent, hello.ns, hello.meta = self.agent, self.ns, self.meta
        self._hello = hello
        self._out.append(_line_of(hello))

    def _on_welcome(self, hello: Hello, outcome: Outcome) -> None:
        """Handle the reply to hello: a takeover, a new session, or a refusal."""
        self._hello = None
        if isinstance(outcome, WaggleError):
            if hello.session is not None and isinstance(outcome, SessionLost | BadRequest):
                # BadRequest: the hub cannot read this takeover, but may read a hello for a new session.
                self._lost = True
                self._say_hello()
            else:
                self.refusal = outcome
            return
        assert isinstance(outcome, Welcome)
        first = self.welcome is None
        self.welcome, self._lost, self.state = outcome, False, "connected"
        self.rev, self.agent = outcome.rev, outcome.agent
        if not first:
            # What the session restores goes before the commands that callers queued meanwhile.
            waiting, self._queue = self._queue, deque()
            if outcome.resumed:
                self._subscriptions.on_takeover(outcome)
            else:
                waiting = self._restart_session(waiting)
            self._queue.extend(self._take_subscription_commands())
            self._queue.extend(waiting)
            for lease in self._leases.values():
                self._enqueue(Renew(id=0, token=lease.token, ttl=lease.ttl)).lease = lease

    def _restart_session(self, waiting: deque[PendingCommand]) -> deque[PendingCommand]:
        """Restore what a new session can have, and return the commands of ``waiting`` that it repeats (rule 4)."""
        self._lose_all("session_lost")
        self._waiting.clear()
        self._cancelled_grants.clear()
        if self._status is not UNSET:  # a status belongs to a session, so the new one has none
            self._queue.append(PendingCommand(Status(id=0, status=self._status)))
        self._subscriptions.on_new_session()
        for pending in waiting:
            pending.ids.clear()  # the hub knows them from the old session only
            if pending.in_doubt:
                self._settled.append((pending, in_doubt(pending, "The session was lost with its connection.")))
        # A cancelled lock is gone with the old session, so there is nothing left to cancel or to unlock.
        return deque(
            pending
            for pending in waiting
            if not (pending.in_doubt or pending.cancelled or isinstance(pending.command, Cancel))
        )

    # --- commands and replies -----------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.error is not None:
            raise copy_error(self.error)

    def _take_subscription_commands(self) -> list[PendingCommand]:
        commands, self._subscriptions.commands = self._subscriptions.commands, []
        return commands

    def _pump(self) -> None:
        """Send queued commands until the window is full."""
        while True:
            for pending in self._take_subscription_commands() if self._subscriptions.commands else ():
                # Without a connection there is nothing to close: a takeover closes the numbers that have no owner.
                if self.state == "connected" or pending.subscription is not None:
                    self._queue.append(pending)
            if not self._queue or self.state != "connected" or len(self._unanswered) >= MAX_UNANSWERED:
                return
            following = self._next_to_send()
            if following is None:
                return
            self._send(following)

    def _next_to_send(self) -> PendingCommand | None:
        """Remove and return the first queued command that may be sent now (rule 6), or None."""
        if not self._cancelled_grants:  # the usual case costs no search
            return self._queue.popleft()
        cancelled = [pending.command for pending in self._cancelled_grants]
        busy_tasks = {command.task for command in cancelled if isinstance(command, Lock)} - {None}
        for pending in self._queue:
            if pending.cancelled or not (isinstance(pending.command, Lock) and pending.command.task in busy_tasks):
                self._queue.remove(pending)
                return pending
        return None

    def _send(self, pending: PendingCommand) -> None:
        if pending.subscription is not None:
            # The cursor has moved since the command was queued.
            pending.command = pending.subscription.request()
        pending.command.id = number = next(self._numbers)
        try:
            line = _line_of(pending.command)
        except BadRequest as fault:
            self._settle(pending, fault)
            return
        if len(line) > MAX_MESSAGE_BYTES:
            excess = f"The command has {len(line):,} bytes, and a message may have {MAX_MESSAGE_BYTES:,}"
            advice = "store the value elsewhere, a reference here."
            self._settle(pending, TooLarge(f"{excess}: {advice}", limit=MAX_MESSAGE_BYTES))
            return
        pending.sent = True
        pending.ids.append(number)
        self._out.append(line)
        if not pending.waits:
            self._unanswered[number] = pending
            return
        self._waiting[number] = pending
        # After a takeover: a cancelled lock is repeated to learn of its grant, and an earlier `wait` ends only now.
        if pending.cancelled:
            self._enqueue(Cancel(id=0, target=number))
        elif isinstance(pending.command, Wait):
            for earlier in pending.ids[:-1]:
                self._enqueue(Cancel(id=0, target=earlier))

    def _receive_line(self, incoming: Incoming, size: int) -> None:
        """Handle one line of the hub. A line without type and id is of a later version, and ignored."""
        if incoming.type:  # first, because most lines are events
            self.rev = max(self.rev, incoming.rev)
            self._subscriptions.on_event(incoming, size)
        elif self._hello is not None and incoming.id == self._hello.id:
            self._on_welcome(self._hello, outcome_of(self._hello, incoming))
        elif incoming.id is not None:
            self._on_reply(incoming.id, incoming)
        elif incoming.lost is not UNSET:
            self._on_lock_lost(incoming.lost.token, incoming.lost.reason, incoming.lost.message)

    def _on_reply(self, number: Id, incoming: Incoming) -> None:
        """Match a reply to its command. A reply is ignored if its caller gave up, or an earlier reply settled the
        command."""
        pending = self._unanswered.pop(number, None)
        if pending is not None:
            pending.duplicate = incoming.dup
            self._settle(pending, outcome_of(pending.command, incoming))
        elif number in self._waiting:
            self._on_late_reply(self._waiting[number], number, incoming)

    def _on_late_reply(self, pending: PendingCommand, number: Id, incoming: Incoming) -> None:
        """Handle the reply to a command that waits, under one of its ids (rule 5)."""
        pending.duplicate = incoming.dup
        outcome = outcome_of(pending.command, incoming)
        superseded = pending.ids[-1] != number
        if superseded and (pending.cancelled or isinstance(outcome, Cancelled)):
            del self._waiting[number]  # the newer attempt has a reply of its own
            self._unlock_unwanted(pending, outcome)
            return
        for known in pending.ids:
            self._waiting.pop(known, None)
        if superseded and not isinstance(outcome, Granted | Taken):
            # A grant is joined by its rid. Any other answer under an old id leaves the newer attempt waiting.
            self._cancel_superseded(pending)
        elif pending in self._queue:
            self._queue.remove(pending)
        self._settle(pending, outcome)

    def _settle(self, pending: PendingCommand, outcome: Outcome) -> None:
        self.rev = max(self.rev, getattr(outcome, "rev", 0))
        pending.settled = True
        if pending.cancelled:
            self._cancelled_grants.pop(pending, None)
            self._unlock_unwanted(pending, outcome)
        elif pending.lease is not None:
            # A `renew` after a takeover. NotHolder: the notice of the loss was lost with the connection.
            if isinstance(outcome, NotHolder):
                self._on_lock_lost(pending.lease.token, "not_holder")
        elif pending.subscription is None:
            if isinstance(outcome, Granted | Taken):
                pending.lease = self._leases[outcome.token] = _lease_of(pending.command, outcome)
            self._settled.append((pending, outcome))
        else:
            self._subscriptions.on_reply(pending, pending.subscription, outcome)

    def _enqueue(self, command: Command) -> PendingCommand:
        """Queue a command, with a fresh ``rid`` if it changes something."""
        if isinstance(command, Change):
            command.rid = str(next(self._numbers))
        pending = PendingCommand(command)
        self._queue.append(pending)
        return pending

    # --- what is granted, and lost ------------------------------------------------------------------------

    def _cancel_sent(self, pending: PendingCommand) -> None:
        """Cancel a command that was sent. A possible grant is awaited, to unlock it (rule 6)."""
        pending.cancelled = True
        if pending.grants:
            self._cancelled_grants[pending] = None
        else:
            # A `wait` or a search grants nothing, so its reply can be ignored.
            for known in pending.ids:
                self._waiting.pop(known, None)
            if pending in self._queue:
                self._queue.remove(pending)
        if pending.waits:
            self._enqueue(Cancel(id=0, target=pending.ids[-1]))

    def _cancel_superseded(self, pending: PendingCommand) -> None:
        """Cancel the newest attempt of a command whose earlier attempt was refused."""
        # The caller gets the refusal, so the attempt that still waits at the hub needs an object of its own.
        successor = PendingCommand(pending.command)
        successor.sent, successor.ids = True, pending.ids[-1:]
        if pending in self._queue:
            self._queue[self._queue.index(pending)] = successor
        elif pending.grants:
            self._waiting[pending.ids[-1]] = successor
        self._cancel_sent(successor)

    def _unlock_unwanted(self, pending: PendingCommand, outcome: Outcome) -> None:
        """Unlock what a cancelled command was granted."""
        if pending.cancelled and isinstance(outcome, Granted | Taken):
            self._enqueue(Unlock(id=0, token=outcome.token))
            self._queue.rotate(1)  # to the head: before the locks that wait for this one

    def _on_lock_lost(self, token: int, reason: str, message: str = "") -> None:
        lease = self._leases.pop(token, None)
        if lease is not None:
            self._lose(lease, reason, message)

    def _lose_all(self, reason: str, message: str = "") -> None:
        for lease in self._leases.values():
            self._lose(lease, reason, message)
        self._leases.clear()

    def _lose(self, lease: Lease, reason: str, message: str = "") -> None:
        lease.mark_lost(reason, message)
        self._lost_leases.append(lease)


def _line_of(command: Command) -> bytes:
    """Return the line of a command. Raises BadRequest if JSON cannot hold it."""
    try:
        return encode(command)
    except UnicodeEncodeError as fault:
        text = fault.object[fault.start : fault.end]
        raise BadRequest(
            f"This cannot be sent: it has the text {text!a}, which UTF-8 cannot hold. Remove it."
        ) from None
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as fault:
        raise BadRequest(f"This cannot be sent as JSON: {fault}. Use plain data only.") from None


def _lease_of(command: Command, grant: Granted | Taken) -> Lease:
    """Return the lease of a grant, named after the first of its locks."""
    if isinstance(grant, Taken):
        assert isinstance(command, Take)
        return Lease(repr(grant.entry.key), grant.token, command.lease)
    assert isinstance(command, Lock)
    names = [*(command.names or ()), *(command.patterns or ())]
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return Lease(f"the lock on {names[0]!r}{more}", grant.token, command.ttl)

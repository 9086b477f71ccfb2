"""One agent's side of the wire, without a socket: lines in, lines and outcomes out (protocol 2 and 3).

The rules:

1. **Pure.** No socket, no clock, no chance, no loop. A shell tells what happened to the connection (`opened`,
   `dropped`, `receive`), fetches what to send (`outgoing`) and whom to wake (`collect`).
2. **A command is queued, then sent, then settled,** in the order asked. When the connection drops, what was
   sent goes back to the head of the queue.
3. **A takeover repeats what is unanswered.** A Change carries its ``rid``, so it takes effect once; a read
   may be repeated freely. Never more than `WINDOW` commands are unanswered, since the hub remembers the
   outcomes of the last 1,000 only.
4. **In a new session a Change is not repeated:** if it was sent, it may or may not have happened, and its
   caller is told exactly that. Reads are repeated, and each subscription goes on from its own cursor. So are `lock`
   and `take`, since what the old session may have been granted went with it; what it held is lost, and its holders
   are told.
5. **A command that waits** (`PendingCommand.waits`) has no place in the order of replies and does not count for the
window. The
   hub answers it under the id it had before a takeover, or under its new one, if it was asked again in time: the first
   answer is the one that counts. It is asked again in any case, since the answer may be what was lost: `lock` and
   `take` join by their ``rid``; a second `wait`, which has none, stands before the first is cancelled, so that no
   moment goes unseen.
6. **A grant has an owner, or goes back.** What a caller has given up is cancelled, and remembered until the hub has
   answered: should it have been granted meanwhile, in this connection or the next, it is unlocked. Until then no other
   lock is asked for on behalf of the same task, to which the hub would say that it waits for itself.
7. **After a takeover all that is held is renewed,** since what told of a loss may have been lost itself.

How one reply is read is in `waggle.core.pending`, what is held in `waggle.core.lease`, what is watched in
`waggle.core.subscriptions`,
where and when to connect again in `waggle.core.backoff`.
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
from waggle.wire.errors import BadRequest, Cancelled, Disconnected, NotHolder, SessionLost, TooLarge, WaggleError, again
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

__all__ = ["NO_NEWS", "Session", "State", "Updates"]

WINDOW = 500
"""Commands sent and not yet answered; half of the outcomes that the hub keeps for a session (protocol 2)."""
MESSAGE = 16 * 2**20
"""Bytes of one message to the hub (protocol 1)."""
BATCH = 256 * 2**10
"""Bytes of lines that share one message, so that the hub can work it off in a slice."""

State = Literal["connecting", "connected", "reconnecting", "closed"]

_LINE = msgspec.json.Decoder(Incoming)
_encoded = msgspec.json.Encoder().encode


class Updates(NamedTuple):
    """What a shell passes on: outcomes, consumers to wake, subscriptions to `retry` after so many seconds, and what
    is not held any more."""

    settled: list[tuple[PendingCommand, Outcome]]
    woken: list[Subscription]
    retries: list[tuple[float, Subscription]]
    lost: list[Lease]


NO_NEWS = Updates([], [], [], [])
"""What `Session.collect` gives when nothing has happened."""


class Session:
    """A session with the hub, and the one after it when it is lost."""

    def __init__(
        self,
        *,
        agent: str | None = None,
        ns: str | None = None,
        token: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Raises BadRequest if JSON cannot hold what it is to say of itself."""
        _line_of(Hello(id=0, agent=agent, ns=ns, token=token, meta=meta))
        self.agent, self.ns, self.token, self.meta = agent, ns, token, meta
        self.state: State = "connecting"
        self.welcome: Welcome | None = None
        self.rev = 0
        """The highest revision seen."""
        self.refusal: WaggleError | None = None
        """The hub's answer to ``hello``, where that was an error and there is no other way in."""
        self.error: WaggleError | None = None
        """What closed the session for good."""
        self._numbers = itertools.count(1)
        self._hello: Hello | None = None
        self._lost = False
        """Whether the session is known to be gone, so that the next hello begins another."""
        self._queue: deque[PendingCommand] = deque()
        self._asked: dict[Id, PendingCommand] = {}
        """What was sent and will be answered in order, by id."""
        self._waiting: dict[Id, PendingCommand] = {}
        """What was sent and may be answered late, by every id that it had in this session."""
        self._given_up: dict[PendingCommand, None] = {}
        """What nobody waits for, and may be granted yet."""
        self._holds: dict[int, Lease] = {}
        self._lost_holds: list[Lease] = []
        self._out: list[bytes] = []
        self._settled: list[tuple[PendingCommand, Outcome]] = []
        self._subscriptions = Subscriptions()
        self._status: Any = UNSET

    # --- for callers --------------------------------------------------------------------------------------

    def ask(self, command: Command) -> PendingCommand:
        """Queue a command; its outcome comes with `collect`. Raises what closed the session, if it is
        closed."""
        self._check_open()
        if isinstance(command, Status):
            self._status = command.status
        ask = self._enqueue(command)
        self._pump()
        return ask

    def forget(self, ask: PendingCommand) -> None:
        """Nobody waits for this any more: it is not sent, or not again, and its reply is dropped.

        What it was granted, or may be, is given back; what was to be let go still is.
        """
        if ask.subscription is not None:
            self.leave(ask.subscription)
        elif ask.hold is not None:
            self.give_up(ask.hold)
        elif ask.settled:
            pass
        elif ask.sent and (ask.grants or ask.waits):
            self._give_up(ask)
        elif self._asked.get(ask.command.id) is ask and not isinstance(ask.command, Unlock):
            del self._asked[ask.command.id]
        elif ask in self._queue and not isinstance(ask.command, Unlock):
            self._queue.remove(ask)
        self._pump()

    def give_up(self, hold: Lease, reason: str = "released") -> None:
        """This must not be taken for held any more: the hub is told as soon as may be, and who has it hears why."""
        if self._holds.pop(hold.token, None) is not None:
            self._lose(hold, reason)
            self._enqueue(Unlock(id=0, token=hold.token))
            self._pump()

    def drop(self, hold: Lease) -> None:
        """It has ended, and the hub knows."""
        self._holds.pop(hold.token, None)

    def let_go(self, hold: Lease) -> PendingCommand:
        """Unlock it; its outcome comes with `collect`. Raises LockLost, or what closed the session."""
        hold.check()
        self._check_open()
        self._holds.pop(hold.token, None)
        return self.ask(Unlock(id=0, token=hold.token))

    def subscribe(self, subscription: Subscription) -> PendingCommand:
        """Begin a subscription; its outcome is the first answer. Raises what closed the session."""
        self._check_open()
        ask = self._subscriptions.add(subscription, self.ns or "default")
        self._pump()
        return ask

    def leave(self, subscription: Subscription) -> None:
        """End a subscription, begun or not."""
        self._subscriptions.leave(subscription)
        for ask in [ask for ask in self._queue if ask.subscription is subscription]:
            self._queue.remove(ask)
            self._subscriptions.abandoned(subscription)
        self._pump()

    def drained(self, subscription: Subscription) -> None:
        """The consumer has taken everything that waited."""
        self._subscriptions.drained(subscription)
        self._pump()

    def retry(self, subscription: Subscription) -> None:
        """The time is over after which the hub wanted to be asked again."""
        self._subscriptions.retry(subscription)
        self._pump()

    # --- for the shell: the connection --------------------------------------------------------------------

    def opened(self) -> None:
        """A connection stands: say hello, or take the session over."""
        self._say_hello()

    def dropped(self) -> None:
        """The connection is gone: what is unanswered waits for the next one."""
        if self.state == "connected":
            self.state = "reconnecting"
        self._hello = None
        self._out.clear()
        sent = {*self._asked.values(), *self._waiting.values()}.difference(self._queue)
        unanswered = [*sorted(sent, key=lambda ask: ask.ids[-1]), *self._queue]
        self._asked.clear()
        self._queue.clear()
        for ask in unanswered:
            if ask.subscription is not None and ask.subscription.ended:
                self._subscriptions.abandoned(ask.subscription)
            elif not isinstance(ask.command, Unsubscribe | Bye) and ask.hold is None:
                self._queue.append(ask)

    def receive(self, message: bytes) -> None:
        """Take one message of the hub. Raises Disconnected if it is not of this protocol."""
        for line in message.split(b"\n"):
            if line:
                try:
                    self._take(_LINE.decode(line), len(line))
                except msgspec.MsgspecError as fault:
                    raise Disconnected(
                        f"The hub sent a line this client cannot read ({fault}): check that both have the same version."
                    ) from None
        self._pump()

    def end(self, error: WaggleError) -> None:
        """There is no way back: everybody who waits is told ``error``."""
        self.state, self.error = "closed", error
        for ask in dict.fromkeys([*self._asked.values(), *self._waiting.values(), *self._queue]):
            doubtful = ask.in_doubt and isinstance(error, Disconnected)
            self._settled.append((ask, in_doubt(ask, error.message) if doubtful else again(error)))
        self._asked.clear()
        self._waiting.clear()
        self._queue.clear()
        self._lose_all("disconnected", error.message)
        self._subscriptions.end(error)

    @property
    def has_output(self) -> bool:
        """Whether `outgoing` has something."""
        return bool(self._out)

    @property
    def unsent(self) -> int:
        """How many lines `outgoing` has."""
        return len(self._out)

    def outgoing(self) -> Iterator[bytes]:
        """The messages to send now: lines joined up to `BATCH` bytes. What is not taken stays."""
        while self._out:
            batch, size = 1, len(self._out[0])
            while batch < len(self._out) and size + len(self._out[batch]) <= BATCH:
                size += 1 + len(self._out[batch])
                batch += 1
            message = b"\n".join(self._out[:batch])
            del self._out[:batch]
            yield message

    def collect(self) -> Updates:
        """What there is to pass on since the last call."""
        ours = self._subscriptions
        if not (self._settled or self._lost_holds or ours.settled or ours.woken or ours.retries):
            return NO_NEWS
        news = Updates(self._settled + ours.settled, list(ours.woken), ours.retries, self._lost_holds)
        self._settled, self._lost_holds, ours.settled, ours.retries = [], [], [], []
        ours.woken.clear()
        return news

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

    def _welcomed(self, hello: Hello, outcome: Outcome) -> None:
        """The reply to hello: a takeover, a new session, or a refusal."""
        self._hello = None
        if isinstance(outcome, WaggleError):
            if hello.session is not None and isinstance(outcome, SessionLost | BadRequest):
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
            waiting, self._queue = self._queue, deque()
            if outcome.resumed:
                self._subscriptions.taken_over(outcome)
            else:
                waiting = self._begin_anew(waiting)
            self._queue.extend(self._take_asks())
            self._queue.extend(waiting)
            for hold in self._holds.values():
                self._enqueue(Renew(id=0, token=hold.token, ttl=hold.ttl)).hold = hold

    def _begin_anew(self, waiting: deque[PendingCommand]) -> deque[PendingCommand]:
        """The session was lost: restore what can be, and tell whose change is in doubt, and who has lost a lock; what
        else waits is kept."""
        self._lose_all("session_lost")
        self._waiting.clear()
        self._given_up.clear()
        if self._status is not UNSET:
            self._queue.append(PendingCommand(Status(id=0, status=self._status)))
        self._subscriptions.begun_anew()
        for ask in waiting:
            ask.ids.clear()
            if ask.in_doubt:
                self._settled.append((ask, in_doubt(ask, "The session was lost with its connection.")))
        over = {ask for ask in waiting if ask.in_doubt or ask.given_up or isinstance(ask.command, Cancel)}
        return deque(ask for ask in waiting if ask not in over)

    # --- commands and replies -----------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.error is not None:
            raise again(self.error)

    def _take_asks(self) -> list[PendingCommand]:
        asks, self._subscriptions.asks = self._subscriptions.asks, []
        return asks

    def _pump(self) -> None:
        """Send what may be sent."""
        while True:
            for ask in self._take_asks() if self._subscriptions.asks else ():
                # Without a connection there is nothing to close: a takeover closes what nobody wants.
                if self.state == "connected" or ask.subscription is not None:
                    self._queue.append(ask)
            if not self._queue or self.state != "connected" or len(self._asked) >= WINDOW:
                return
            following = self._next()
            if following is None:
                return
            self._send(following)

    def _next(self) -> PendingCommand | None:
        """Take the first that may be sent off the queue: all but locks of tasks that have one to give back."""
        if not self._given_up:
            return self._queue.popleft()
        busy = {ask.command.task for ask in self._given_up if isinstance(ask.command, Lock)} - {None}
        for ask in self._queue:
            if ask.given_up or not (isinstance(ask.command, Lock) and ask.command.task in busy):
                self._queue.remove(ask)
                return ask
        return None

    def _send(self, ask: PendingCommand) -> None:
        if ask.subscription is not None:
            ask.command = ask.subscription.request()
        ask.command.id = number = next(self._numbers)
        try:
            line = _line_of(ask.command)
        except BadRequest as fault:
            self._settle(ask, fault)
            return
        if len(line) > MESSAGE:
            said = f"The command has {len(line):,} bytes, and a message may have {MESSAGE:,}"
            self._settle(ask, TooLarge(f"{said}: store the value elsewhere, a reference here.", limit=MESSAGE))
            return
        ask.sent = True
        ask.ids.append(number)
        self._out.append(line)
        if not ask.waits:
            self._asked[number] = ask
            return
        self._waiting[number] = ask
        if ask.given_up:
            self._enqueue(Cancel(id=0, target=number))
        elif isinstance(ask.command, Wait):
            for earlier in ask.ids[:-1]:
                self._enqueue(Cancel(id=0, target=earlier))

    def _take(self, incoming: Incoming, size: int) -> None:
        """One line of the hub. What has neither type nor id is not for this client, or of a later version."""
        if incoming.type:
            self.rev = max(self.rev, incoming.rev)
            self._subscriptions.event(incoming, size)
        elif self._hello is not None and incoming.id == self._hello.id:
            self._welcomed(self._hello, outcome_of(self._hello, incoming))
        elif incoming.id is not None:
            self._answered(incoming.id, incoming)
        elif incoming.lost is not UNSET:
            self._told_of_loss(incoming.lost.token, incoming.lost.reason, incoming.lost.message)

    def _answered(self, number: Id, incoming: Incoming) -> None:
        """A reply; to nobody, where its caller has gone, or an earlier one was taken."""
        ask = self._asked.pop(number, None)
        if ask is not None:
            ask.repeated = incoming.dup
            self._settle(ask, outcome_of(ask.command, incoming))
        elif number in self._waiting:
            self._answered_late(self._waiting[number], number, incoming)

    def _answered_late(self, ask: PendingCommand, number: Id, incoming: Incoming) -> None:
        """The reply to a command that waits, under one of its ids (rule 5)."""
        ask.repeated = incoming.dup
        outcome = outcome_of(ask.command, incoming)
        superseded = ask.ids[-1] != number
        if superseded and (ask.given_up or isinstance(outcome, Cancelled)):
            del self._waiting[number]  # its successor is answered, too
            self._take_back(ask, outcome)
            return
        for known in ask.ids:
            self._waiting.pop(known, None)
        if superseded and not isinstance(outcome, Granted | Taken):
            self._abandon(ask)
        elif ask in self._queue:
            self._queue.remove(ask)
        self._settle(ask, outcome)

    def _settle(self, ask: PendingCommand, outcome: Outcome) -> None:
        self.rev = max(self.rev, getattr(outcome, "rev", 0))
        ask.settled = True
        if ask.given_up:
            self._given_up.pop(ask, None)
            self._take_back(ask, outcome)
        elif ask.hold is not None:
            if isinstance(outcome, NotHolder):
                self._told_of_loss(ask.hold.token, "not_holder")
        elif ask.subscription is None:
            if isinstance(outcome, Granted | Taken):
                ask.hold = self._holds[outcome.token] = _hold_of(ask.command, outcome)
            self._settled.append((ask, outcome))
        else:
            self._subscriptions.answered(ask, ask.subscription, outcome)

    def _enqueue(self, command: Command) -> PendingCommand:
        """Queue a command, for a caller or for nobody."""
        if isinstance(command, Change):
            command.rid = str(next(self._numbers))
        ask = PendingCommand(command)
        self._queue.append(ask)
        return ask

    # --- what is granted, and lost ------------------------------------------------------------------------

    def _give_up(self, ask: PendingCommand) -> None:
        """Cancel what was sent; a grant is waited for, to give it back (rule 6)."""
        ask.given_up = True
        if ask.grants:
            self._given_up[ask] = None
        else:
            for known in ask.ids:
                self._waiting.pop(known, None)
            if ask in self._queue:
                self._queue.remove(ask)
        if ask.waits:
            self._enqueue(Cancel(id=0, target=ask.ids[-1]))

    def _abandon(self, ask: PendingCommand) -> None:
        """It was refused under an earlier id: what was asked with the newest has begun anew, and nobody wants it."""
        successor = PendingCommand(ask.command)
        successor.sent, successor.ids = True, ask.ids[-1:]
        if ask in self._queue:
            self._queue[self._queue.index(ask)] = successor
        elif ask.grants:
            self._waiting[ask.ids[-1]] = successor
        self._give_up(successor)

    def _take_back(self, ask: PendingCommand, outcome: Outcome) -> None:
        """What was granted although nobody waits any more is unlocked."""
        if ask.given_up and isinstance(outcome, Granted | Taken):
            self._enqueue(Unlock(id=0, token=outcome.token))
            self._queue.rotate(1)  # before the locks that waited for this

    def _told_of_loss(self, token: int, reason: str, message: str = "") -> None:
        hold = self._holds.pop(token, None)
        if hold is not None:
            self._lose(hold, reason, message)

    def _lose_all(self, reason: str, message: str = "") -> None:
        for hold in self._holds.values():
            self._lose(hold, reason, message)
        self._holds.clear()

    def _lose(self, hold: Lease, reason: str, message: str = "") -> None:
        hold.lose(reason, message)
        self._lost_holds.append(hold)


def _line_of(command: Command) -> bytes:
    """The line of a command. Raises BadRequest if JSON cannot hold it."""
    try:
        return _encoded(command)
    except UnicodeEncodeError as fault:
        text = fault.object[fault.start : fault.end]
        raise BadRequest(
            f"This cannot be sent: it has the text {text!a}, which UTF-8 cannot hold. Remove it."
        ) from None
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as fault:
        raise BadRequest(f"This cannot be sent as JSON: {fault}. Use plain data only.") from None


def _hold_of(command: Command, grant: Granted | Taken) -> Lease:
    """What a command was granted, by the first of its names."""
    if isinstance(grant, Taken):
        assert isinstance(command, Take)
        return Lease(repr(grant.entry.key), grant.token, command.lease)
    assert isinstance(command, Lock)
    names = [*(command.names or ()), *(command.patterns or ())]
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return Lease(f"the lock on {names[0]!r}{more}", grant.token, command.ttl)

"""All subscriptions of a session: the hub's number of each, and the commands to send for them.

Rules:

1. **A number has one owner.** The hub gives one number to one interest, and restarts it when it is subscribed again.
   So two subscriptions with the same interest must differ in words (`Subscription.duplicate_no`). The words of a
   subscription that has ended stay taken until the hub has answered every `subscribe` that used them.
2. **Each subscription is in one of four states:** open (it has a number), requested (its `subscribe` has no reply
   yet), paused (its consumer is slow), or waiting for a `retry`.
3. **A number without an owner is closed** as soon as the session is connected.

The commands to send are left in `commands`, in order; the session fetches them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from msgspec import UNSET

from waggle.core.pending import Outcome, PendingCommand
from waggle.core.subscription import Action, Subscription
from waggle.wire.errors import WaggleError, copy_error
from waggle.wire.messages import Event, Subscribe, Subscribed, Unsubscribe, Welcome

__all__ = ["Subscriptions"]


class Subscriptions:
    """The subscriptions of one session."""

    def __init__(self) -> None:
        self.commands: list[PendingCommand] = []
        """The commands to send, in this order."""
        self.settled: list[tuple[PendingCommand, Outcome]] = []
        """The first answers to `subscribe`."""
        self.woken: dict[Subscription, None] = {}
        """The subscriptions whose consumer has something to read: an ordered set."""
        self.retries: list[tuple[float, Subscription]] = []
        """The subscriptions that the hub refused for now, with the seconds to wait before `retry`."""
        self._all: dict[Subscription, PendingCommand | None] = {}
        """Every subscription that has not ended, with its `subscribe` until that is answered."""
        self._open: dict[int, Subscription] = {}

    # --- what callers want --------------------------------------------------------------------------------

    def add(self, subscription: Subscription, ns: str) -> PendingCommand:
        """Start a subscription and return its command; ``ns`` is the namespace of the session."""
        interest = subscription.interest(ns)
        taken = {other.duplicate_no for other in self._all if other.interest(ns) == interest}
        subscription.duplicate_no = next(n for n in itertools.count() if n not in taken)
        return self._subscribe(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription."""
        subscription.ended = True
        pending = self._all.get(subscription)
        if pending is None or not pending.sent:
            self._all.pop(subscription, None)
        for number in [n for n, owner in self._open.items() if owner is subscription]:
            self._close(number)

    def resume(self, subscription: Subscription) -> None:
        """Continue a subscription that was paused: its consumer has read all events."""
        if subscription.paused:
            subscription.paused = False
            self.retry(subscription)

    def retry(self, subscription: Subscription) -> None:
        """Subscribe again, unless the subscription is open, requested, paused or ended."""
        if subscription in self._not_open():
            self._subscribe(subscription)

    # --- what becomes of the connection -------------------------------------------------------------------

    def cursors(self) -> dict[int, int]:
        """Return ``cursors`` for a takeover: the revision reached in each subscription whose snapshot is complete."""
        return {number: owner.cursor for number, owner in self._open.items() if not owner.in_snapshot}

    def on_subscribe_dropped(self, subscription: Subscription) -> None:
        """Remove an ended subscription whose `subscribe` was not answered, and is not repeated."""
        self._all.pop(subscription, None)

    def on_takeover(self, welcome: Welcome) -> None:
        """Find each subscription under its present number after a takeover, and subscribe the rest again."""
        before, self._open = self._open, {}
        for number, subscription in before.items():
            present = welcome.subs.get(number)
            # Another epoch means another log: the cursor says nothing there, so the subscription starts again.
            if present is not None and subscription.epoch == welcome.epoch:
                subscription.restart()
                self.woken[subscription] = None
                self._open[present] = subscription
        for number in sorted({*welcome.subs.values()} - {*self._open}):
            self._close(number)
        self._subscribe_all(self._not_open())

    def on_new_session(self) -> None:
        """Subscribe everything again in a new session, each from its own cursor."""
        self._open.clear()
        self._subscribe_all(self._not_open())

    def end(self, error: WaggleError) -> None:
        """End every subscription with ``error``."""
        for subscription in list(self._all):
            self._fail(subscription, copy_error(error))
        self._open.clear()

    # --- what the hub says --------------------------------------------------------------------------------

    def on_reply(self, pending: PendingCommand, subscription: Subscription, outcome: Outcome) -> None:
        """Handle a reply to `subscribe`, the first or a later one."""
        self._all[subscription] = None
        if subscription.ended:
            del self._all[subscription]
            if isinstance(outcome, Subscribed):
                self._release_number(outcome.sub)
        elif isinstance(outcome, WaggleError):
            if subscription.begun and outcome.retry:
                self.retries.append((float(outcome.details.get("retry_after", 1.0)), subscription))
            else:
                self._fail(subscription, outcome)
                self.settled.append((pending, outcome))
        else:
            assert isinstance(outcome, Subscribed)
            self._on_subscribed(pending, subscription, outcome)

    def on_event(self, event: Event, size: int) -> None:
        """Handle a line without ``id``, ``size`` bytes long: an event, or a notice of a subscription."""
        if event.sub is UNSET:
            if event.type == "mark":
                for subscription in self._open.values():
                    subscription.on_mark(event.rev)
            return
        owner = self._open.get(event.sub)
        if owner is not None:
            self._apply(owner.feed(event, size), event.sub, owner)

    # --- within -------------------------------------------------------------------------------------------

    def _not_open(self) -> list[Subscription]:
        """Return the subscriptions that should be open and are neither open nor requested."""
        present = set(self._open.values())
        return [s for s, pending in self._all.items() if pending is None and not s.paused and s not in present]

    def _subscribe_all(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            self._subscribe(subscription)

    def _subscribe(self, subscription: Subscription) -> PendingCommand:
        subscription.restart()
        self.woken[subscription] = None
        pending = PendingCommand(subscription.request(), subscription)
        self._all[subscription] = pending
        self.commands.append(pending)
        return pending

    def _on_subscribed(self, pending: PendingCommand, subscription: Subscription, reply: Subscribed) -> None:
        if reply.sub in self._open:  # the hub sees the same interest: use other words
            subscription.duplicate_no = 1 + max(other.duplicate_no for other in self._all)
            self._all[subscription] = pending
            self.commands.append(pending)
            self._release_number(reply.sub)
            return
        assert isinstance(pending.command, Subscribe)
        self._open[reply.sub] = subscription
        self._apply(subscription.on_subscribed(pending.command, reply), reply.sub, subscription)
        self.settled.append((pending, subscription.error or reply))

    def _apply(self, action: Action, number: int, subscription: Subscription) -> None:
        match action:
            case Action.CONTINUE:
                pass
            case Action.RESUBSCRIBE:
                del self._open[number]
                self._subscribe(subscription)
            case Action.PAUSE:
                subscription.paused = True
                self._close(number)
            case Action.FAIL:
                del self._all[subscription]
                self._close(number)
        self.woken[subscription] = None

    def _fail(self, subscription: Subscription, error: WaggleError) -> None:
        del self._all[subscription]
        subscription.fail(error)
        self.woken[subscription] = None

    def _release_number(self, number: int) -> None:
        """Free a number that a useless `subscribe` returned: its owner was restarted, so it subscribes again;
        without an owner it is closed."""
        owner = self._open.pop(number, None)
        if owner is None:
            self._close(number)
        else:
            self._subscribe(owner)

    def _close(self, number: int) -> None:
        self._open.pop(number, None)
        self.commands.append(PendingCommand(Unsubscribe(id=0, sub=number)))

"""All subscriptions of a session: under which number the hub has each, and what must be asked for next.

The rules:

1. **A number has one owner.** The hub gives one number to one interest and restarts it when it is subscribed
   again, so two subscriptions of the same interest need different words (`Subscription.variant`). The words
   of one that has ended stay taken until the hub has answered everything that was asked with them.
2. **Whatever happens, each subscription is in one of four states:** open (it has a number), asked for (a
   ``subscribe`` is on its way), paused (its consumer is slow), or waiting for a `retry`.
3. **What the hub has open and nobody here wants is closed** as soon as the connection stands.

Feed in, collect out: what is to be sent is left in `asks`, in order, and fetched by the session.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from msgspec import UNSET

from waggle.core.pending import Outcome, PendingCommand
from waggle.core.subscription import Action, Subscription
from waggle.wire.errors import WaggleError, again
from waggle.wire.messages import Event, Subscribe, Subscribed, Unsubscribe, Welcome

__all__ = ["Subscriptions"]


class Subscriptions:
    """What this session watches."""

    def __init__(self) -> None:
        self.asks: list[PendingCommand] = []
        """To be sent, in this order."""
        self.settled: list[tuple[PendingCommand, Outcome]] = []
        """First answers, for those who began a subscription."""
        self.woken: dict[Subscription, None] = {}
        """Whose consumer has something to look at."""
        self.retries: list[tuple[float, Subscription]] = []
        """What the hub refused for now, with the seconds to wait before `retry`."""
        self._all: dict[Subscription, PendingCommand | None] = {}
        """Every one that has not ended, with its ``subscribe`` while that is on its way."""
        self._open: dict[int, Subscription] = {}

    # --- what callers want --------------------------------------------------------------------------------

    def add(self, subscription: Subscription, ns: str) -> PendingCommand:
        """Begin a subscription; ``ns`` is the session's namespace. The outcome is the first answer."""
        interest = subscription.interest(ns)
        taken = {other.variant for other in self._all if other.interest(ns) == interest}
        subscription.variant = next(n for n in itertools.count() if n not in taken)
        return self._begin(subscription)

    def leave(self, subscription: Subscription) -> None:
        """End a subscription."""
        subscription.ended = True
        ask = self._all.get(subscription)
        if ask is None or not ask.sent:
            self._all.pop(subscription, None)
        for number in [n for n, owner in self._open.items() if owner is subscription]:
            self._close(number)

    def drained(self, subscription: Subscription) -> None:
        """The consumer has taken everything: go on, if this subscription was paused."""
        if subscription.paused:
            subscription.paused = False
            self.retry(subscription)

    def retry(self, subscription: Subscription) -> None:
        """Subscribe again, unless it is open, on its way, paused or over."""
        if subscription in self._lacking():
            self._begin(subscription)

    # --- what becomes of the connection -------------------------------------------------------------------

    def cursors(self) -> dict[int, int]:
        """Return ``cursors`` for a takeover: the revision reached in each subscription whose snapshot is complete."""
        return {number: owner.cursor for number, owner in self._open.items() if not owner.filling}

    def abandoned(self, subscription: Subscription) -> None:
        """The ``subscribe`` of one that has ended was not answered, and will not be repeated."""
        self._all.pop(subscription, None)

    def taken_over(self, welcome: Welcome) -> None:
        """The session goes on: find each subscription under its present number, and ask for what is
        lacking."""
        before, self._open = self._open, {}
        for number, subscription in before.items():
            present = welcome.subs.get(number)
            if present is not None and subscription.epoch == welcome.epoch:
                subscription.restart()
                self.woken[subscription] = None
                self._open[present] = subscription
        for number in sorted({*welcome.subs.values()} - {*self._open}):
            self._close(number)
        self._begin_all(self._lacking())

    def begun_anew(self) -> None:
        """The session is a new one: ask for everything, each from its own cursor."""
        self._open.clear()
        self._begin_all(self._lacking())

    def end(self, error: WaggleError) -> None:
        """Nothing comes any more: every consumer is told ``error``."""
        for subscription in list(self._all):
            self._fail(subscription, again(error))
        self._open.clear()

    # --- what the hub says --------------------------------------------------------------------------------

    def answered(self, ask: PendingCommand, subscription: Subscription, outcome: Outcome) -> None:
        """The answer to ``subscribe``, the first or a later one."""
        self._all[subscription] = None
        if subscription.ended:
            del self._all[subscription]
            if isinstance(outcome, Subscribed):
                self._give_back(outcome.sub)
        elif isinstance(outcome, WaggleError):
            if subscription.begun and outcome.retry:
                self.retries.append((float(outcome.details.get("retry_after", 1.0)), subscription))
            else:
                self._fail(subscription, outcome)
                self.settled.append((ask, outcome))
        else:
            assert isinstance(outcome, Subscribed)
            self._accepted(ask, subscription, outcome)

    def event(self, event: Event, size: int) -> None:
        """A line without ``id``, ``size`` bytes long: an event, or what a subscription says of itself."""
        if event.sub is UNSET:
            if event.type == "mark":
                for subscription in self._open.values():
                    subscription.marked(event.rev)
            return
        found = self._open.get(event.sub)
        if found is not None:
            self._heed(found.feed(event, size), event.sub, found)

    # --- within -------------------------------------------------------------------------------------------

    def _lacking(self) -> list[Subscription]:
        """What the hub should have open and does not, nor has been asked for."""
        present = set(self._open.values())
        return [s for s, ask in self._all.items() if ask is None and not s.paused and s not in present]

    def _begin_all(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            self._begin(subscription)

    def _begin(self, subscription: Subscription) -> PendingCommand:
        subscription.restart()
        self.woken[subscription] = None
        ask = PendingCommand(subscription.request(), subscription)
        self._all[subscription] = ask
        self.asks.append(ask)
        return ask

    def _accepted(self, ask: PendingCommand, subscription: Subscription, reply: Subscribed) -> None:
        if reply.sub in self._open:  # one interest in the hub's eyes, in spite of other words: say more
            subscription.variant = 1 + max(other.variant for other in self._all)
            self._all[subscription] = ask
            self.asks.append(ask)
            self._give_back(reply.sub)
            return
        assert isinstance(ask.command, Subscribe)
        self._open[reply.sub] = subscription
        self._heed(subscription.accepted(ask.command, reply), reply.sub, subscription)
        self.settled.append((ask, subscription.error or reply))

    def _heed(self, verdict: Action, number: int, subscription: Subscription) -> None:
        match verdict:
            case Action.ON:
                pass
            case Action.GAP:
                del self._open[number]
                self._begin(subscription)
            case Action.FULL:
                subscription.paused = True
                self._close(number)
            case Action.LOST:
                del self._all[subscription]
                self._close(number)
        self.woken[subscription] = None

    def _fail(self, subscription: Subscription, error: WaggleError) -> None:
        del self._all[subscription]
        subscription.fail(error)
        self.woken[subscription] = None

    def _give_back(self, number: int) -> None:
        """A number whose answer is of no use here: its owner was restarted by it and goes on; else it
        closes."""
        owner = self._open.pop(number, None)
        if owner is None:
            self._close(number)
        else:
            self._begin(owner)

    def _close(self, number: int) -> None:
        self._open.pop(number, None)
        self.asks.append(PendingCommand(Unsubscribe(id=0, sub=number)))

"""Whatever happens to connection, session and log, and whenever: no event is missed, and none comes twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.client.modelhub import ModelHub
from waggle.api.mirror import Replica, mirroring
from waggle.core import subscription
from waggle.core.pending import Outcome, PendingCommand
from waggle.core.session import Session
from waggle.core.subscription import Buffer, Subscription
from waggle.wire.errors import Disconnected, Lost, WaggleError
from waggle.wire.messages import Event, Get, Set, Since, Written

KEYS = list("abcdefgh")


class Consumer:
    """A program that watches, and records the events."""

    def __init__(self, hub: ModelHub, snapshot: bool) -> None:
        self.buffer = Buffer()
        self.subscription = Subscription(["*"], self.buffer, snapshot=snapshot)
        self.snapshot = snapshot
        self.state: dict[str, object] = {}
        self.began: int | None = None
        """The revision behind which the tail began; None within a snapshot."""
        self.tail: list[tuple[int, str, str]] = []
        self.asked: PendingCommand | None = None
        self._hub = hub

    def take(self, session: Session) -> None:
        """Take one event, if one waits."""
        if self.buffer.empty:
            return
        event = self.buffer.take()
        self._saw(event)
        if self.buffer.empty:
            session.resume(self.subscription)

    def _saw(self, event: Event) -> None:
        if event.type == "lost":
            assert self.snapshot
            self.state, self.began, self.tail = {}, None, []
            assert self.buffer.point.epoch == ""
        elif event.type == "synced":
            assert self.began is None
            self.began = event.rev
            assert self.buffer.point == Since(self.subscription.epoch, event.rev)
        elif event.snapshot:
            assert self.began is None, "a snapshot outside of a snapshot"
            self.state[event.key] = event.value
        else:
            assert self.began is not None
            self.tail.append((event.rev, event.type, event.key))
            if event.type == "set":
                self.state[event.key] = event.value
            else:
                self.state.pop(event.key, None)

    def check_tail(self) -> None:
        """Check that the events are those that happened, without a gap, up to the position of this consumer."""
        if self.began is not None:
            upto = self.tail[-1][0] if self.tail else self.began
            expected = self._hub.events_between(self.began, upto)
            assert self.tail == expected[: len(self.tail)]
            assert len(expected) - len(self.tail) < len(KEYS), "at most the rest of one revision"


class World:
    """One client, one hub, and the lines between them."""

    def __init__(self) -> None:
        self.hub = ModelHub()
        self.session = Session(agent="walker")
        self.connected = False
        self.to_hub: list[bytes] = []
        self.consumers: list[Consumer] = []
        self.outcomes: dict[PendingCommand, Outcome] = {}
        self.sets: dict[PendingCommand, str] = {}
        self.reads: list[PendingCommand] = []
        self.replicas: list[Replica] = []
        for conflate in (None, 0.5):
            replica, mirror = mirroring("*", None, conflate)
            self.replicas.append(replica)
            self.session.subscribe(mirror)

    def collect(self) -> None:
        updates = self.session.collect()
        self.outcomes |= dict(updates.settled)
        for consumer in self.consumers:
            reply = self.outcomes.get(consumer.asked) if consumer.asked else None
            if reply is not None and not consumer.snapshot and consumer.began is None:
                consumer.began = getattr(reply, "rev", 0)

    # --- steps -----------------------------------------------------------------------------------------------

    def reconnect(self, _: int) -> None:
        if not self.connected:
            self.hub.connect()
            self.session.opened()
            self.connected = True

    def drop(self, _: int) -> None:
        if self.connected:
            self.hub.drop()
            self.to_hub.clear()
            self.session.dropped()
            self.connected = False

    def send(self, count: int) -> None:
        """Let some lines reach the hub: up to 7, or all."""
        for message in self.session.outgoing():
            self.to_hub += message.split(b"\n")
        for _ in range(min(count % 8, len(self.to_hub))):
            self.hub.receive(self.to_hub.pop(0))

    def deliver(self, count: int) -> None:
        """Let some lines reach the client: up to 7, rarely all."""
        for _ in range(min(count % 8 if count < 240 else 1000, len(self.hub.outbox))):
            self.session.receive(msgspec.json.encode(self.hub.next_line()))
            self.collect()

    def write(self, number: int) -> None:
        changes: list[tuple[str, str | None]] = [
            (key, f"w{self.hub.rev}" if (number >> place // 2) & 1 else None)
            for place, key in enumerate(KEYS)
            if (number >> (place % 4 + 4)) & 1
        ]
        self.hub.write(changes)

    def set(self, number: int) -> None:
        value = f"set {len(self.sets)}"
        self.sets[self.session.submit(Set(id=0, key=KEYS[number % 8], value=value))] = value

    def get(self, number: int) -> None:
        self.reads.append(self.session.submit(Get(id=0, key=KEYS[number % 8])))

    def watch(self, number: int) -> None:
        if len(self.consumers) < 5:
            consumer = Consumer(self.hub, snapshot=bool(number % 2))
            self.consumers.append(consumer)
            consumer.asked = self.session.subscribe(consumer.subscription)

    def unsubscribe(self, number: int) -> None:
        if self.consumers:
            consumer = self.consumers.pop(number % len(self.consumers))
            self.session.unsubscribe(consumer.subscription)

    def consume(self, number: int) -> None:
        for consumer in self.consumers[number % 2 :]:
            for _ in range(number // 16):
                consumer.take(self.session)

    def mark(self, _: int) -> None:
        self.hub.mark()

    def tick(self, _: int) -> None:
        self.hub.tick()

    def compact(self, _: int) -> None:
        self.hub.compact()

    def end_sessions(self, _: int) -> None:
        if not self.connected:
            self.hub.end_sessions()

    def renumber(self, _: int) -> None:
        if not self.connected:
            self.hub.renumber()

    def begin_epoch(self, _: int) -> None:
        if not self.connected:
            self.hub.begin_epoch()

    # --- the end ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Connect, and deliver everything."""
        for _ in range(500):
            self.reconnect(0)
            self.send(7)
            self.hub.tick()
            self.deliver(1000)
            for consumer in self.consumers:
                while not consumer.buffer.empty:
                    consumer.take(self.session)
            if not self.hub.outbox and not self.session.has_output and not self.to_hub:
                break
        else:
            raise AssertionError("it never comes to rest")

    def check(self) -> None:
        expected = {key: entry["value"] for key, entry in self.hub.entries.items()}
        self.check_mirrors()
        for replica in self.replicas:
            assert replica.synced
            assert {key: entry.value for key, entry in replica.entries.items()} == expected
        for consumer in self.consumers:
            error = consumer.subscription.error
            if error is None:
                assert consumer.began is not None
                assert consumer.tail == self.hub.events_between(consumer.began, self.hub.rev)
                assert consumer.subscription.point() == Since(self.hub.epoch, self.hub.rev) or not self.hub.history
                if consumer.snapshot:
                    assert consumer.state == expected
            else:
                assert isinstance(error, Lost)
                assert not consumer.snapshot
                consumer.check_tail()
        self.check_sets()
        assert not any(isinstance(self.outcomes[pending], WaggleError) for pending in self.reads)
        assert self.hub.session is not None
        running = [c for c in self.consumers if c.subscription.error is None]
        assert len(self.hub.session.subscriptions) == len(running) + 2, "nothing is left open"

    def check_mirrors(self) -> None:
        """Check that a mirror shows the whole state of its revision."""
        for replica in self.replicas:
            if replica.changes:
                state = {key: entry.value for key, entry in replica.entries.items()}
                assert state == self.hub.states[replica.point.rev]

    def check_sets(self) -> None:
        applied = self.hub.applied
        assert len(set(applied)) == len(applied), "a change took effect twice"
        for pending, value in self.sets.items():
            outcome = self.outcomes[pending]
            if isinstance(outcome, Written):
                assert value in applied
            else:
                assert isinstance(outcome, Disconnected)
                assert outcome.details["in_doubt"]


Step = Callable[[World, int], None]
STEPS: Sequence[Step] = (
    [World.deliver, World.send] * 12
    + [World.write, World.consume, World.reconnect] * 6
    + [World.set, World.drop] * 3
    + [World.get, World.mark, World.watch, World.unsubscribe, World.tick]
    + [World.compact, World.end_sessions, World.renumber, World.begin_epoch]
)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 255)), max_size=100))
@pytest.mark.parametrize("bound", [200, 8 * 2**20])
def test_a_client_sees_everything_once_and_in_order(bound: int, steps: list[tuple[Step, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscription, "MAX_BUFFERED_BYTES", bound)
        walk(steps)


@pytest.mark.parametrize("bound", [200, 8 * 2**20])
@pytest.mark.parametrize("seed", range(150))
def test_long_walks(bound: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MAX_BUFFERED_BYTES", bound)
    chance = Random(seed)
    walk([(chance.choice(STEPS), chance.randrange(256)) for _ in range(500)])


def walk(steps: list[tuple[Step, int]]) -> None:
    world = World()
    for step, number in steps:
        step(world, number)
        world.collect()
        world.check_mirrors()
        for consumer in world.consumers:
            if consumer.subscription.error is None:
                consumer.check_tail()
    world.settle()
    world.check()


def test_the_model_notices_a_client_that_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.settle()
    world.watch(0)
    world.settle()
    world.drop(0)
    world.write(0b00110011)
    monkeypatch.setattr(Subscription, "_on_log_line", lambda *_: subscription.Action.CONTINUE)
    world.settle()
    with pytest.raises(AssertionError):
        world.check()

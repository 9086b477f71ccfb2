"""Whatever is cut, cancelled or lost, and whenever: every grant has an owner, and every waiter is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import msgspec
import pytest

from waggle.core.pending import Outcome, PendingCommand
from waggle.core.session import Session
from waggle.wire import messages as m
from waggle_hub.delivery.encoding import lock_lost_line, reply_line
from waggle_hub.edge.decode import decode
from waggle_hub.settings import Limits
from waggle_hub.state.effects import BindSession, DeferredReply, Effect, Reply
from waggle_hub.state.effects import LockLost as LockLostLine
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

NAMES = ["a", "b", "c"]
INFO = m.Welcome(session="", secret="", agent="", resumed=False, epoch="", rev=0, grace=0.0,
                 hub=m.HubInfo("waggle", "0"), features=[], durability="memory", limits={}, subs={})  # fmt: skip


class Connection:
    """One socket: the lines on their way in both directions, and its session."""

    def __init__(self) -> None:
        self.session: str | None = None
        self.to_hub: list[str] = []
        self.to_client: list[str] = []


class World:
    """A client, the machine, a rival that needs no socket, and a clock."""

    def __init__(self) -> None:
        self.machine = Machine(Limits(grace=15.0), "e1")
        self.now = 1000.0
        self.client = Session(agent="client")
        self.connection: Connection | None = None
        self.speaker: Connection | None = None
        """The connection that the hub takes for the client's."""
        self.asks: dict[PendingCommand, Outcome | None] = {}
        self.rival_tokens: list[int] = []
        self._numbers = 0
        for output in self.machine.hello(m.Hello(id=0, agent="rival"), self._fresh(), self.now, INFO):
            if isinstance(output, BindSession):
                self.rival = output.session

    def _fresh(self) -> SessionIds:
        self._numbers += 1
        return SessionIds(f"s-{self._numbers}", f"secret-{self._numbers}", f"agent-{self._numbers}")

    # --- the hub ---------------------------------------------------------------------------------------------

    def _hear(self, connection: Connection, text: str) -> None:
        command = decode(text)
        if isinstance(command, m.Hello):
            outputs = self.machine.hello(command, self._fresh(), self.now, INFO)
        elif connection is self.speaker or connection.session is None:
            outputs = self.machine.apply(command, connection.session, self.now)
        else:
            return  # taken over by a newer one
        self._say(outputs, connection)

    def _say(self, outputs: list[Effect], connection: Connection | None) -> None:
        for output in outputs:
            match output:
                case Reply() if connection is not None:
                    connection.to_client.append(str(reply_line(output)))
                case BindSession() if connection is not None:
                    connection.session, self.speaker = output.session, connection
                case DeferredReply() if output.session != self.rival and self.speaker is not None:
                    self.speaker.to_client.append(str(reply_line(output)))
                case LockLostLine() if output.session != self.rival and self.speaker is not None:
                    self.speaker.to_client.append(str(lock_lost_line(output.lock)))

    def _rival(self, command: m.AnyCommand) -> m.Ok | msgspec.Raw | None:
        self._numbers += 1
        command.id = self._numbers
        outputs = self.machine.apply(command, self.rival, self.now)
        self._say([output for output in outputs if not isinstance(output, Reply)], None)
        return next((output.outcome.ok for output in outputs if isinstance(output, Reply)), None)

    # --- steps -----------------------------------------------------------------------------------------------

    def reconnect(self, _: Random) -> None:
        if self.connection is None:
            self.connection = Connection()
            self.client.opened()

    def drop(self, chance: Random) -> None:
        """Lose the connection. The hub may still get lines that are on their way, and may notice the loss later."""
        if self.connection is not None:
            if chance.random() < 0.5:
                for text in self.connection.to_hub[: chance.randrange(4)]:
                    self._hear(self.connection, text)
            self.connection = None
            self.client.dropped()
            if chance.random() < 0.5:
                self.notice(chance)

    def notice(self, _: Random) -> None:
        """Let the hub see that a connection is dead."""
        if self.speaker is not None and self.speaker is not self.connection:
            assert self.speaker.session is not None
            self._say(self.machine.drop(self.speaker.session, self.now), None)
            self.speaker = None

    def send(self, chance: Random) -> None:
        if self.connection is not None:
            for message in self.client.outgoing():
                self.connection.to_hub += message.decode().split("\n")
            for _ in range(chance.randrange(5)):
                if self.connection.to_hub:
                    self._hear(self.connection, self.connection.to_hub.pop(0))

    def deliver(self, chance: Random) -> None:
        if self.connection is not None:
            for _ in range(chance.randrange(5)):
                if self.connection.to_client:
                    self.client.receive(self.connection.to_client.pop(0).encode())
            self.collect()

    def lock(self, chance: Random) -> None:
        names = chance.sample(NAMES, chance.randint(1, 2))
        wait = chance.choice([0.0, 5.0, None])
        self._ask(
            m.Lock(id=0, names=names, wait=wait, ttl=chance.choice([3.0, 100.0]), task=f"task {chance.randrange(4)}")
        )

    def take(self, chance: Random) -> None:
        self._ask(m.Take(id=0, patterns=["job:*"], timeout=chance.choice([0.0, 5.0, None]), lease=100.0))

    def wait(self, chance: Random) -> None:
        self._ask(m.Wait(id=0, any=[m.Awaited(key=chance.choice(NAMES))], timeout=chance.choice([5.0, 3600.0])))

    def cancel(self, chance: Random) -> None:
        """Cancel a caller, answered or not."""
        if self.asks:
            pending = chance.choice(list(self.asks))
            del self.asks[pending]
            self.client.cancel(pending)

    def unlock(self, chance: Random) -> None:
        held = [pending for pending in self.asks if pending.lease is not None and pending.lease.lost is None]
        if held:
            pending = chance.choice(held)
            del self.asks[pending]
            assert pending.lease is not None
            self.client.unlock(pending.lease)

    def rival_locks(self, chance: Random) -> None:
        ok = self._rival(m.Lock(id=0, name=chance.choice(NAMES), ttl=100.0))
        if isinstance(ok, m.Granted):
            self.rival_tokens.append(ok.token)

    def rival_unlocks(self, chance: Random) -> None:
        if self.rival_tokens:
            self._rival(m.Unlock(id=0, token=self.rival_tokens.pop(chance.randrange(len(self.rival_tokens)))))

    def rival_forces(self, chance: Random) -> None:
        held = [claim.token for claim in self.machine.state.lock_table.held.values()]
        if held:
            token = chance.choice(held)
            self._rival(m.Unlock(id=0, token=token, force=True, reason="a test"))
            self.rival_tokens = [other for other in self.rival_tokens if other != token]

    def rival_writes(self, chance: Random) -> None:
        key = chance.choice([*NAMES, "job:1", "job:2"])
        self._rival(m.Set(id=0, key=key, value=1) if chance.random() < 0.7 else m.Delete(id=0, key=key))

    def time_passes(self, chance: Random) -> None:
        self.now += chance.choice([0.1, 1.0, 2.0, 4.0, 20.0])
        self._say(self.machine.expire(self.now, 100), None)

    # --- looking ---------------------------------------------------------------------------------------------

    def _ask(self, command: m.Command) -> None:
        self.asks[self.client.submit(command)] = None

    def collect(self) -> None:
        for pending, outcome in self.client.collect().settled:
            if pending in self.asks:
                assert self.asks[pending] is None, "two outcomes"
                self.asks[pending] = outcome

    def settle(self) -> None:
        """Deliver everything."""
        self.drop(Random(0))
        self.reconnect(Random(0))
        assert self.connection is not None
        quiet = 0
        while quiet < 3:
            for message in self.client.outgoing():
                self.connection.to_hub += message.decode().split("\n")
            quiet = 0 if self.connection.to_hub or self.connection.to_client else quiet + 1
            while self.connection.to_hub:
                self._hear(self.connection, self.connection.to_hub.pop(0))
            while self.connection.to_client:
                self.client.receive(self.connection.to_client.pop(0).encode())
            self.collect()

    def check(self) -> None:
        """Check that every grant of the hub has an owner here, and that the same commands wait here and there."""
        assert self.client.welcome is not None
        session = self.machine.state.sessions.get(self.client.welcome.session)
        assert session is not None
        granted = {claim.token for claim in session.lock_requests if claim.token is not None}
        owners = {pending.lease.token: pending for pending in self.asks if pending.lease is not None}
        assert granted <= set(owners), "a grant that nobody knows of"
        lost = [pending for token, pending in owners.items() if token not in granted and not pending.duplicate]
        assert all(pending.lease and pending.lease.lost for pending in lost), "a loss that nobody was told of"
        waiting = [pending for pending, outcome in self.asks.items() if outcome is None]
        assert len(session.pending) == len(waiting), "who waits here waits there, and nobody else"
        self.machine.check()

    def end(self) -> None:
        """Cancel all callers, and check that nothing is left."""
        for pending in list(self.asks):
            self.client.cancel(pending)
        self.asks.clear()
        self.settle()
        self.check()
        assert not self.client._unanswered
        assert not self.client._waiting
        assert not self.client._leases
        assert not self.client._cancelled_grants


Step = Callable[[World, Random], None]
STEPS: Sequence[Step] = (
    [World.send, World.deliver] * 8
    + [World.reconnect] * 4
    + [World.lock] * 3
    + [World.cancel, World.drop, World.rival_writes] * 2
    + [World.take, World.wait, World.unlock, World.rival_locks, World.rival_unlocks, World.rival_forces]
    + [World.time_passes, World.notice]
)


@pytest.mark.parametrize("seed", range(200))
def test_nothing_granted_is_ever_without_an_owner(seed: int) -> None:
    chance = Random(seed)
    world = World()
    for _ in range(300):
        chance.choice(STEPS)(world, chance)
        world.collect()
    world.settle()
    world.check()
    world.end()


@pytest.mark.parametrize("broken", ["_unlock_unwanted", "_cancel_superseded"])
def test_the_walk_notices_a_client_that_leaks(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, broken, lambda *_: None)
    with pytest.raises(AssertionError):
        walk_until_something_is_wrong()


def walk_until_something_is_wrong() -> None:
    for seed in range(300):
        test_nothing_granted_is_ever_without_an_owner(seed)

"""A harness for commands that wait, and for the replies that come later."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire import messages as m
from waggle.wire.errors import WaggleError
from waggle_hub.settings import Limits
from waggle_hub.state.effects import DeferredReply, LockLost, Reply


class WaitingHarness(MachineHarness):
    """A machine with four sessions, `a` to `d`, whose commands may wait."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self._id = 100
        for session in "abcd":
            self.open_session(session, agent=f"agent-{session}")

    def ask(self, session: str, op: str, **fields: Any) -> int:
        """Send a command that waits; its id. AssertionError if it was answered at once."""
        self._id += 1
        command = msgspec.convert({"op": op, "id": self._id, **fields}, m.AnyCommand)
        self.outputs = self.machine.apply(command, session, self.now)
        self.machine.check()
        assert not [output for output in self.outputs if isinstance(output, Reply)]
        return int(str(command.id))

    def proceed(self, most: int = 1_000) -> int:
        """Let the machine go on with what it looks at in slices; how many slices that took. All is in `outputs`."""
        slices = 0
        self.outputs = []
        while self.machine.has_pending_scan and slices < most:
            slices += 1
            self.outputs += self.machine.continue_scan(self.now)
            self.machine.check()
        return slices

    def tick(self, seconds: float) -> None:
        """Time passes, and what is due is settled."""
        self.now += seconds
        self.expire()

    def answers(self) -> dict[Any, Any]:
        """Return the deferred replies of the last command: by id, the `ok` or the error."""
        said = [output for output in self.outputs if isinstance(output, DeferredReply)]
        assert len({answer.id for answer in said}) == len(said)
        return {answer.id: answer.outcome.ok or answer.outcome.error for answer in said}

    def answer(self, id: Any) -> Any:
        """The `ok` of a command that has waited; raises its error."""
        outcome = self.answers()[id]
        if isinstance(outcome, WaggleError):
            raise outcome
        return outcome

    def losses(self) -> list[tuple[str, int, str]]:
        """Return the lock losses that the last command announced: session, token, reason."""
        lost = [output for output in self.outputs if isinstance(output, LockLost)]
        return [(one.session, one.lock.token, one.lock.reason) for one in lost]

    def told(self, ns: str = "default") -> list[list[tuple[str, str]]]:
        """Return the events of a namespace, revision by revision."""
        commits = [[(event.type, event.key) for event in c.events if event.ns == ns] for c in self.commits()]
        return [events for events in commits if events]

    def set(self, *keys: str, session: str = "a", **fields: Any) -> int:
        """Write entries, one after another; the last revision."""
        rev = 0
        for key in keys:
            rev = self.do(session, "set", key=key, **{"value": key, **fields}).rev
        return rev

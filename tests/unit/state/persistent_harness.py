"""A harness whose machine is stored, crashes and is loaded again."""

from __future__ import annotations

from tests.journals import MemoryDisk
from tests.unit.state.waiting_harness import WaitingHarness
from waggle_hub.settings import Limits
from waggle_hub.state.machine import Machine
from waggle_hub.state.persistence.records import WriteBatch


class PersistentHarness(WaitingHarness):
    """A machine with four sessions, `a` to `d`; its state is written to a disk in memory."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        super().__init__(self.limits)
        self.disk = MemoryDisk()
        self._kept = 0
        self.machine.set_durability("full")
        self.keep()

    def keep(self) -> WriteBatch:
        """Write down what has changed since the last time."""
        log = self.machine.state.log
        changes = self.machine.collect_changes(list(log.commits_after(max(self._kept, log.floor))))
        self._kept = log.rev
        self.disk.write(changes)
        return changes

    def crash(self, down: float = 1.0, epoch: str = "epoch") -> None:
        """Begin again with what was written down. What there is to say at the start is in `outputs`."""
        self.now += down
        self.machine = Machine(self.limits, epoch)
        self.machine.load(self.disk.load(), self.now)
        self.machine.set_durability("full")
        self.outputs = self.machine.start(self.now)
        self.machine.check()
        self.keep()

    def restart(self, down: float = 1.0) -> None:
        """Stop in good order, and begin again."""
        self.machine.set_durability(None)
        self.keep()
        self.crash(down)

    def go_back(self) -> None:
        """Take back what was not written down; who is connected still is."""
        log = self.machine.state.log
        connected = [session.id for session in self.machine.state.sessions if session.connected]
        self.machine.roll_back(list(log.commits_after(self._kept)), self.disk.all_records(), connected, self.now)
        self.outputs = self.machine.start(self.now)
        self.machine.check()

"""How the agents of an example become processes: each is a function, started by its name.

python -m waggle.examples.chain researcher          # WAGGLE_URL says where the hub is
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import waggle

__all__ = ["Agent", "Ask", "Busy", "Cast", "Person"]


class Busy:
    """A stand-in for the work of a real agent: ``await busy(2.0)`` takes some two seconds."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed

    async def __call__(self, seconds: float) -> None:
        await asyncio.sleep(seconds * random.uniform(0.7, 1.3) / self._speed)


Agent = Callable[[waggle.Hub, Busy], Awaitable[None]]
"""What an agent does, from its first step to its last."""
Ask = Callable[[str, str], Awaitable[str]]
"""Puts a question about a gate, which is a key, to the person in front, and gives what they say."""
Person = Callable[[waggle.Hub, Ask], Awaitable[None]]
"""What a person has to do with it."""


@dataclass(frozen=True)
class Cast:
    """The agents of an example, by name."""

    agents: Mapping[str, Agent]
    """Those who have something to do, and are done with it: then it is over."""
    services: Mapping[str, Agent] = field(default_factory=dict)
    """Those who are there for the others until they are stopped."""
    doomed: Mapping[str, Agent] = field(default_factory=dict)
    """Those who die on the way, by SIGKILL."""
    person: Person | None = None
    """The role that decides, if it is a person."""

    @property
    def all(self) -> dict[str, Agent]:
        """Return each process by the name of its agent."""
        return {**self.agents, **self.services, **self.doomed}

    def play(self) -> None:
        """Play the agent that the command line names, until it is done or told to stop."""
        parser = argparse.ArgumentParser(description="One agent of an example.")
        parser.add_argument("agent", choices=self.all)
        parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="so many times as fast")
        args = parser.parse_args()
        try:
            asyncio.run(_be(args.agent, self.all[args.agent], Busy(args.speed)))
        except (asyncio.CancelledError, KeyboardInterrupt):
            pass  # told to stop
        except waggle.WaggleError as error:
            sys.exit(f"{args.agent}: {error}")


async def _be(name: str, agent: Agent, busy: Busy) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # leave the hub in good order
    async with waggle.connect(agent=name, meta={"role": name}) as hub:
        await agent(hub, busy)

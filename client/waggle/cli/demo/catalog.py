"""What `waggle demo` can play: the crew, and each of the examples."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from waggle import Hub
from waggle.cli.demo.narration import CrewNarrator, ExampleNarrator, Narrator
from waggle.examples import EXAMPLES, crew
from waggle.examples.crew import SERVICES, number
from waggle.examples.roles import Cast, Person
from waggle.wire.messages import EventType

__all__ = ["AgentProcess", "Demo", "demo_titles", "find_demo"]

CREW = "crew"
"""What is played if nothing is named."""
ROLES = (
    ("researcher", ("researcher",)),
    *((service, ("builder", "--service", service)) for service in SERVICES),
    ("tester", ("tester",)),
)
"""Who is in the crew: a name, and the arguments of `waggle.examples.crew`."""
EXIT_DONE, EXIT_KILLED = 0, -9


class AgentProcess(NamedTuple):
    """An agent that is to be started, with the exit codes that are right for it: none if it is there to the end."""

    name: str
    command: list[str]
    ends: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Demo:
    """What is started for a demo, and told of it."""

    name: str
    ns: str
    """The demo's own namespace: on a hub that was running already, nobody else's keys are touched."""
    narrator: str
    """The agent that tells the story."""
    intro: str
    code: ModuleType
    story: Callable[[], Narrator]
    types: tuple[EventType, ...]
    gather: Callable[[Hub], Awaitable[list[AgentProcess]]]
    """Makes ready, and says who is to be started."""
    person: Person | None = None


def find_demo(name: str, *, once: bool, speed: float) -> Demo:
    """What goes by this name. Raises KeyError."""
    if name == CREW:
        return _crew(once, speed)
    if name in EXAMPLES:
        return _example(name, speed)
    raise KeyError(name)


def demo_titles() -> Iterator[tuple[str, str]]:
    """Each name, with a line about it."""
    yield CREW, "A crew of five that works through one build after another."
    for name in EXAMPLES:
        yield name, _title(import_module(f"waggle.examples.{name}"))


def _crew(once: bool, speed: float) -> Demo:
    intro = (
        "A crew of five agents builds software together, each in a process of its own. They meet only in the hub:\n"
        "each starts when the hub tells it that what it needs is there, and nobody ever asks twice."
    )
    gather = partial(_prepare_crew, once=once, speed=speed)
    return Demo(CREW, "demo", "narrator", intro, crew, CrewNarrator, ("set", "message"), gather)


async def _prepare_crew(hub: Hub, once: bool, speed: float) -> list[AgentProcess]:
    """The crew, to begin after the last build that an earlier one has left."""
    left = await hub.list("build/*", values=False)
    first = 1 + max((number(entry.key) for entry in left), default=0)
    job = ["--first", str(first), "--speed", str(speed), *(["--builds", "1"] if once else [])]
    ends = frozenset({EXIT_DONE}) if once else frozenset[int]()
    return [AgentProcess(name, [*_program(crew), *role, *job], ends) for name, role in ROLES]


def _example(name: str, speed: float) -> Demo:
    module = import_module(f"waggle.examples.{name}")
    cast: Cast = module.CAST
    types: tuple[EventType, ...] = ("set", "delete", "expire", "lock", "unlock", "message")
    gather = partial(_prepare_example, module=module, cast=cast, speed=speed)
    intro = f"{_title(module)}\nEach agent is a process of its own; nobody polls."
    return Demo(name, f"demo-{name}", f"narrator-{name}", intro, module, ExampleNarrator, types, gather, cast.person)


async def _prepare_example(hub: Hub, module: ModuleType, cast: Cast, speed: float) -> list[AgentProcess]:
    """The cast, on an empty stage."""
    await hub.clear("*")
    groups = (cast.agents, {EXIT_DONE}), (cast.services, set[int]()), (cast.doomed, {EXIT_KILLED})
    return [
        AgentProcess(name, [*_program(module), name, "--speed", str(speed)], frozenset(ends))
        for agents, ends in groups
        for name in agents
    ]


def _program(module: ModuleType) -> list[str]:
    return [sys.executable, "-P", "-m", module.__name__]


def _title(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]

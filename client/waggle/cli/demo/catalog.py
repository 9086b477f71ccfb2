"""The demos of `waggle demo`: the crew, and each of the examples."""

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
"""The name of the default demo."""
ROLES = (
    ("researcher", ("researcher",)),
    *((service, ("builder", "--service", service)) for service in SERVICES),
    ("tester", ("tester",)),
)
"""The agents of the crew: a name, and the arguments of `waggle.examples.crew`."""
EXIT_DONE, EXIT_KILLED = 0, -9


class AgentProcess(NamedTuple):
    """An agent to start, with the exit codes that are right for it: none if it runs to the end of the demo."""

    name: str
    command: list[str]
    exit_codes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Demo:
    """A demo: its namespace, its agents, and the narrator of its events."""

    name: str
    ns: str
    """The demo's own namespace: on a hub that was running already, no other keys are touched."""
    narrator: str
    """The name of the agent that reads the events."""
    intro: str
    code: ModuleType
    make_narrator: Callable[[], Narrator]
    types: tuple[EventType, ...]
    prepare: Callable[[Hub], Awaitable[list[AgentProcess]]]
    """Prepares the namespace, and returns the agents to start."""
    person: Person | None = None


def find_demo(name: str, *, once: bool, speed: float) -> Demo:
    """Return the demo of this name. Raises KeyError."""
    if name == CREW:
        return _crew(once, speed)
    if name in EXAMPLES:
        return _example(name, speed)
    raise KeyError(name)


def demo_titles() -> Iterator[tuple[str, str]]:
    """Yield the name of each demo, with a line about it."""
    yield CREW, "A crew of five that works through one build after another."
    for name in EXAMPLES:
        yield name, _title(import_module(f"waggle.examples.{name}"))


def _crew(once: bool, speed: float) -> Demo:
    intro = (
        "A crew of five agents builds software together, each in a process of its own. They meet only in the hub:\n"
        "each starts when the hub tells it that what it needs is there, and none of them ever asks twice."
    )
    prepare = partial(_prepare_crew, once=once, speed=speed)
    return Demo(CREW, "demo", "narrator", intro, crew, CrewNarrator, ("set", "message"), prepare)


async def _prepare_crew(hub: Hub, once: bool, speed: float) -> list[AgentProcess]:
    """Return the agents of the crew, whose first build comes after the last one of an earlier crew."""
    leftovers = await hub.list("build/*", values=False)
    first = 1 + max((number(entry.key) for entry in leftovers), default=0)
    arguments = ["--first", str(first), "--speed", str(speed), *(["--builds", "1"] if once else [])]
    exit_codes = frozenset({EXIT_DONE}) if once else frozenset[int]()
    return [AgentProcess(name, [*_program(crew), *role, *arguments], exit_codes) for name, role in ROLES]


def _example(name: str, speed: float) -> Demo:
    module = import_module(f"waggle.examples.{name}")
    cast: Cast = module.CAST
    types: tuple[EventType, ...] = ("set", "delete", "expire", "lock", "unlock", "message")
    prepare = partial(_prepare_example, module=module, cast=cast, speed=speed)
    intro = f"{_title(module)}\nEach agent is a process of its own; none of them polls."
    return Demo(name, f"demo-{name}", f"narrator-{name}", intro, module, ExampleNarrator, types, prepare, cast.person)


async def _prepare_example(hub: Hub, module: ModuleType, cast: Cast, speed: float) -> list[AgentProcess]:
    """Clear the namespace, and return the agents of the example."""
    await hub.clear("*")
    groups = (cast.agents, {EXIT_DONE}), (cast.services, set[int]()), (cast.doomed, {EXIT_KILLED})
    return [
        AgentProcess(name, [*_program(module), name, "--speed", str(speed)], frozenset(exit_codes))
        for agents, exit_codes in groups
        for name in agents
    ]


def _program(module: ModuleType) -> list[str]:
    return [sys.executable, "-P", "-m", module.__name__]


def _title(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]

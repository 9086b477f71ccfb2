"""The narration of `waggle demo`: the events of the crew as a story, those of an example one by one."""

from __future__ import annotations

from typing import Protocol

from msgspec import UNSET

from waggle import Event
from waggle.cli.output.format import count_of, preview, visible
from waggle.examples.crew import number
from waggle.wire.messages import OpCount

__all__ = ["CrewNarrator", "ExampleNarrator", "Narrator", "describe_counts"]

NAME_CHARS = 17
"""Width of the names of the crew."""
LONG_NAME_CHARS = 20
"""Width of the names of the examples."""
MAX_VALUE_CHARS = 70
"""Characters printed of a value."""
OWN_OPS = {"hello", "bye", "subscribe", "unsubscribe", "ping", "stats", "clear"}
"""Commands of the demo itself."""


class Narrator(Protocol):
    """The lines of a demo, made from its events."""

    def tell(self, event: Event) -> list[str]:
        """Return the lines about an event; none for an event that is left out."""


class ExampleNarrator:
    """The narrator of an example: when, which agent, and what happened to which key."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._deleted: tuple[int, str] | None = None

    def tell(self, event: Event) -> list[str]:
        """Return the line about an event; none for events outside the log, and for the unlock that ends with its
        entry."""
        what = "" if (event.rev, event.key) == self._deleted else _sentence(event)
        self._deleted = (event.rev, event.key) if event.type == "delete" else None
        if not what:
            return []
        if self._began is None:
            self._began = event.at
        return [f"  {event.at - self._began:5.1f} s  {visible(event.by):<{LONG_NAME_CHARS}}{what}"]


def _sentence(event: Event) -> str:
    key = visible(event.key)
    match event.type:
        case "set":
            return f"writes {key}  {preview(event.value, MAX_VALUE_CHARS)}"
        case "delete" | "expire" | "evict":
            return f"{event.type}s {key}"
        case "lock":
            return f"has {'a shared lock on' if event.mode == 'shared' else 'locked'} {key}"
        case "unlock":
            return f"frees {key}" + ("" if event.reason in (UNSET, "released") else f": {event.reason}")
        case "message":
            return f"says {preview(event.data, MAX_VALUE_CHARS)}"
        case _:
            return ""


def describe_counts(before: dict[str, OpCount], after: dict[str, OpCount]) -> str:
    """Return how many commands the hub was given in between, without those of the demo itself."""
    counts = {op: count.count - before.get(op, OpCount()).count for op, count in after.items() if op not in OWN_OPS}
    each = sorted(((count, op) for op, count in counts.items() if count), key=lambda pair: (-pair[0], pair[1]))
    return f"{count_of(sum(counts.values()), 'command')}: " + ", ".join(f"{op} {count}" for count, op in each)


class CrewNarrator:
    """The narrator of the crew: what happened, and how soon after its cause."""

    def __init__(self) -> None:
        self._build = 0
        self._began = 0.0
        self._ready: dict[int, float] = {}
        self._complete: dict[int, int] = {}
        self._at_work: set[tuple[int, str]] = set()

    def tell(self, event: Event) -> list[str]:
        """Return the lines about an event; none for an event that is left out."""
        match event.type, event.key.split("/"):
            case "set", ["build", _, "research", "findings"]:
                return self._found(event)
            case "set", ["build", _, "builders", service, "progress"]:
                return self._progressed(event, service)
            case "set", ["build", _, "builders", service, "complete"]:
                return self._completed(event, service)
            case "set", ["environments", name]:
                return self._tested(event, name)
            case "set", ["build", _, "tests", "result"]:
                result = event.value
                return [self._line(event, f"result: {result['passed']} tests pass, {result['failed']} fail")]
            case "message", ["chat"]:
                return [self._line(event, f'says "{visible(str(event.data["text"]))}"')]
            case _:
                return []

    def _found(self, event: Event) -> list[str]:
        build = number(event.key)
        self._build, self._began = build, event.at
        self._ready[build] = event.at
        return ["", f"build {build}", self._line(event, "has the findings: three builders can begin")]

    def _progressed(self, event: Event, service: str) -> list[str]:
        build = number(event.key)
        what = event.value["status"]
        if (build, service) in self._at_work:
            return [self._line(event, f"{what}, {event.value['percent']} %")]
        self._at_work.add((build, service))
        return [self._line(event, f"{what}; begun {self._after(event, build)} the findings were there")]

    def _completed(self, event: Event, service: str) -> list[str]:
        build = number(event.key)
        self._at_work.discard((build, service))
        self._complete[build] = self._complete.get(build, 0) + 1
        self._ready[build] = event.at
        return [self._line(event, f"complete ({self._complete[build]} of 3)")]

    def _tested(self, event: Event, environment: str) -> list[str]:
        began = self._after(event, self._build)
        self._complete.pop(self._build, None)
        self._ready.pop(self._build, None)
        return [self._line(event, f"tests on {environment}; begun {began} the last service was complete")]

    def _after(self, event: Event, build: int) -> str:
        return f"{(event.at - self._ready.get(build, event.at)) * 1000:.0f} ms after"

    def _line(self, event: Event, what: str) -> str:
        return f"  {event.at - self._began:5.1f} s  {visible(event.by):<{NAME_CHARS}}{what}"

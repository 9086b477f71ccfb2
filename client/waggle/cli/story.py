"""What `waggle demo` tells: the events of the crew's keys, as sentences."""

from __future__ import annotations

from waggle import Event
from waggle.cli.show import visible
from waggle.examples.crew import number

__all__ = ["Story"]

NAME = 17
"""Characters for who it is about."""


class Story:
    """Tells events, in the order they come, as lines: what happened, and how soon after what it waited for."""

    def __init__(self) -> None:
        self._build = 0
        self._began = 0.0
        self._ready: dict[int, float] = {}
        self._complete: dict[int, int] = {}
        self._at_work: set[tuple[int, str]] = set()

    def tell(self, event: Event) -> list[str]:
        """The lines about an event; none for what the story leaves out."""
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
        return f"  {event.at - self._began:5.1f} s  {visible(event.by):<{NAME}}{what}"

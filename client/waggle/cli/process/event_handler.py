"""A command of the person's that is run for each event: `watch --exec`.

1. **One at a time, in order.** The next event waits until the command has ended.
2. **None is skipped.** If events come faster, they wait: up to 8 MiB here, the rest in the hub's log, from which this
   goes on at its own pace. Should the log no longer reach back that far, that is a loss, and said. The person is told
   when the command falls behind.
3. **An event is data, never code.** Agents write keys and values: they come on standard input and in variables, and
   nothing of them becomes part of the command's text.
"""

from __future__ import annotations

import os
import time

import msgspec
from msgspec import UNSET

from waggle import Event, Hub
from waggle.cli.output.format import duration
from waggle.cli.process.processes import run_to_end
from waggle.cli.shared.connect import exit_error, notify

__all__ = ["EventHandler", "event_variables"]

MAX_VARIABLE_BYTES = 65536
"""Bytes of a value that go into a variable: the kernel refuses more than 128 KiB. Standard input has it whole."""
BEHIND_AFTER_S = 5.0
"""Seconds after which the person is told that the command is behind."""


class EventHandler:
    """Runs ``command`` in a shell for each event; with ``strict``, a failure is the end."""

    def __init__(self, command: str, *, strict: bool) -> None:
        self._command, self._strict = command, strict
        self._ahead = 0.0
        self._behind = False

    async def prepare(self, hub: Hub) -> None:
        """Find out what time it is at the hub."""
        self._ahead = (await hub.ping()).at - time.time()

    async def __call__(self, event: Event) -> None:
        """Run the command, to its end. Raises typer.Exit if it fails and must not."""
        if event.type == "lost":
            notify("missed too much: all there is follows")
        if event.type in ("synced", "lost"):
            return
        self._look_how_late(event)
        env = {**os.environ, **event_variables(event)}
        code = await run_to_end(["/bin/sh", "-c", self._command], env=env, stdin=msgspec.json.encode(event))
        if code:
            what = f"the command has ended with code {code}, at {event.type} {event.key!r}, rev {event.rev}"
            if self._strict:
                exit_error(f"{what}: this ends here, because of --fail.")
            notify(what)

    def _look_how_late(self, event: Event) -> None:
        late = 0.0 if event.snapshot else time.time() + self._ahead - event.at
        if late > BEHIND_AFTER_S and not self._behind:
            notify(f"the command is slower than the events, and {duration(late)} behind: they wait, none is skipped")
        self._behind = late > BEHIND_AFTER_S


def event_variables(event: Event) -> dict[str, str]:
    """What the command finds in its environment: the fields that most events have; a value as JSON."""
    content = event.data if event.value is UNSET else event.value
    values = {
        "TYPE": event.type,
        "KEY": event.key,
        "NS": event.ns,
        "REV": f"{event.rev}",
        "BY": event.by,
        "AT": f"{event.at}",
    }
    if content is not UNSET:
        text = msgspec.json.encode(content)
        if len(text) <= MAX_VARIABLE_BYTES:
            values["VALUE"] = text.decode()
    return {f"WAGGLE_EVENT_{name}": value for name, value in values.items()}

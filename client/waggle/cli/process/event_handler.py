"""The command that `watch --exec` runs for each event.

1. **One at a time, in order.** The next event waits until the command has ended.
2. **No event is skipped.** Events that come faster wait: up to 8 MiB in this process, the rest in the hub's log. If
   the log no longer reaches back that far, events are lost, and the person is told. The person is also told when the
   command falls behind.
3. **An event is data, never code.** Agents write keys and values. The command gets them on standard input and in
   variables; they never become part of its text.
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
"""The largest value for a variable: the kernel refuses more than 128 KiB. Standard input has every value."""
BEHIND_AFTER_S = 5.0
"""Delay at which the person is told that the command is behind."""


class EventHandler:
    """Runs ``command`` in a shell for each event. With ``strict``, a failure of the command ends the watch."""

    def __init__(self, command: str, *, strict: bool) -> None:
        self._command, self._strict = command, strict
        self._clock_offset_s = 0.0
        self._behind = False

    async def prepare(self, hub: Hub) -> None:
        """Measure the difference between the hub's clock and this one."""
        self._clock_offset_s = (await hub.ping()).at - time.time()

    async def __call__(self, event: Event) -> None:
        """Run the command for an event, to its end. With ``strict``, raises typer.Exit if the command fails."""
        if event.type == "lost":
            notify("missed too many events: all present entries follow")
        if event.type in ("synced", "lost"):
            return
        self._notify_if_behind(event)
        env = {**os.environ, **event_variables(event)}
        code = await run_to_end(["/bin/sh", "-c", self._command], env=env, stdin=msgspec.json.encode(event))
        if code:
            message = f"the command ended with code {code}, at {event.type} {event.key!r}, rev {event.rev}"
            if self._strict:
                exit_error(f"{message}: stopped, because of --fail.")
            notify(message)

    def _notify_if_behind(self, event: Event) -> None:
        lag_s = 0.0 if event.snapshot else time.time() + self._clock_offset_s - event.at
        if lag_s > BEHIND_AFTER_S and not self._behind:
            notify(f"the command is slower than the events, and {duration(lag_s)} behind: they wait, none is skipped")
        self._behind = lag_s > BEHIND_AFTER_S


def event_variables(event: Event) -> dict[str, str]:
    """Return the environment variables for an event: its common fields, and its value as JSON unless it is too
    long."""
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

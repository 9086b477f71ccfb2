"""Compare and set with a function, repeated until it succeeds: the command of one attempt, and the step after a
conflict.

Rules:

1. **Pure.** No connection, no clock, no random numbers. The hub object reads the entry, calls the function (and
   awaits it, or not), sends the command that `Attempts` returns, and waits as long as it says.
2. **Each attempt begins from one whole entry,** and is written only if the revision of that entry still holds. A
   conflict brings the next entry, so there is one read.
3. **Only the value changes.** The write is the hub's `update` with a patch of the whole value, not a `set`: kind,
   meta, deadline and session of the entry stay, and so does a `touch` made meanwhile.
4. **The attempts end.** After `MAX_ATTEMPTS` conflicts the caller gets the conflict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, structs

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, Conflict
from waggle.wire.messages import Entry, Update, Updated

__all__ = ["KEEP", "Attempts", "Keep", "check_update"]

MAX_ATTEMPTS = 100
"""Attempts before the conflict is raised: some five seconds with the pauses below, longer than a burst of writers."""
IMMEDIATE_ATTEMPTS = 3
"""Attempts without a pause: most conflicts are with one other writer, which has just written."""
FIRST_PAUSE_S = 0.002
"""Seconds: the upper end of the first pause, a few round trips. Each further pause may be twice as long."""
MAX_PAUSE_S = 0.1
"""Seconds: the longest pause, enough to spread many writers."""


class Keep:
    """The result of an ``update`` function that leaves the entry as it is: nothing is written."""

    def __repr__(self) -> str:
        return "waggle.KEEP"


KEEP = Keep()


def check_update(command: Update, fn: Callable[[Any], Any] | None) -> None:
    """Raise BadRequest unless there is one way to change the value, with what goes with it, as plain JSON."""
    operands = {"merge": command.merge, "patch": command.patch, "incr": command.incr, "append": command.append}
    given = [name for name, operand in operands.items() if operand is not UNSET]
    if fn is not None and not callable(fn):
        fault = f"update takes a function of the value, not {type(fn).__name__}"
        raise BadRequest(
            f"{fault}: to change members of an object pass merge=, to replace the value use set", field="fn"
        )
    if len(given) + (fn is not None) != 1:
        field = given[-1] if given else "fn"
        raise BadRequest("update takes exactly one of a function, merge=, patch=, incr= and append=", field=field)
    if fn is not None and command.pointer is not None:
        raise BadRequest("pointer= goes with incr= and append=; a function has the whole value", field="pointer")
    if fn is not None and command.if_rev is not None:
        fault = "if_rev= goes without a function, which finds the revision itself"
        raise BadRequest(f"{fault}: for one attempt at one revision use set(if_rev=)", field="if_rev")
    for name in given:
        plain_json.check(operands[name], name)


class Attempts:
    """One update by a function: the entry that the next attempt begins from, and how many have failed."""

    def __init__(self, command: Update, entry: Entry | None) -> None:
        self._command, self._entry = command, entry
        self._conflicts = 0

    @property
    def value(self) -> Any:
        """Return the argument for the function: the value now, or None if the key is absent."""
        return None if self._entry is None else self._entry.value

    def command(self, value: Any) -> Update:
        """Return the command that writes the function's result. Raises BadRequest if that is None, or not JSON."""
        if value is None:
            raise BadRequest(
                "The function returned None: return the new value, or waggle.KEEP to write nothing; null itself is"
                " written with set.",
                field="fn",
            )
        plain_json.check(value, "value")
        patch = [{"op": "add", "path": "", "value": value}]
        return structs.replace(self._command, patch=patch, if_rev=0 if self._entry is None else self._entry.rev)

    def kept(self) -> Updated:
        """Return the result when nothing is written: the entry as it was read; rev and version are 0 if it is
        absent."""
        if self._entry is None:
            return Updated(rev=0, version=0, value=None, expires_at=None)
        entry = self._entry
        return Updated(rev=entry.rev, version=entry.version, value=entry.value, expires_at=entry.expires_at)

    def on_conflict(self, conflict: Conflict, random: float) -> float:
        """Take the entry of the conflict, and return the seconds to wait; ``random`` is in [0, 1). Raises Conflict
        after the last attempt."""
        self._entry = conflict.current
        self._conflicts += 1
        if self._conflicts >= MAX_ATTEMPTS:
            raise Conflict(
                f"Others wrote {self._command.key!r} {MAX_ATTEMPTS} times while this update was decided: let fewer"
                " agents write it at once, or use merge=, incr= or append=, which the hub applies in one step.",
                **conflict.details,
            ) from conflict
        if self._conflicts < IMMEDIATE_ATTEMPTS:
            return 0.0
        return random * min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._conflicts - IMMEDIATE_ATTEMPTS))

"""Compare and set with a function, until it holds: what one attempt sends, and what follows when it is refused.

The rules:

1. **Pure.** No connection, no clock, no chance: a shell reads the entry, calls the function in its own way (awaits
   it, or not), sends what `Attempts` makes of the result, and waits as long as it says.
2. **No attempt sees part of another.** Each begins from an entry that was whole at one revision, and is written only
   if that revision still holds; a conflict brings the next entry, so there is one read.
3. **Only the value changes.** The write is the hub's `update` with a patch of the whole value, not a `set`: so kind,
   meta, deadline and session of the entry stay as they are, and a `touch` meanwhile is kept.
4. **It ends.** After `TRIES` refusals the conflict is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, structs

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest, Conflict
from waggle.wire.messages import Entry, Update, Updated

__all__ = ["KEEP", "Attempts", "Keep", "check_update"]

TRIES = 100
"""Attempts before the conflict is raised: with the pauses below some five seconds, which is no passing crowd."""
AT_ONCE = 3
"""Attempts without a pause: most conflicts are with one other writer, who has just been."""
FIRST_PAUSE = 0.002
"""Seconds: the upper end of the first pause, a few round trips; each further one may be twice as long."""
LONGEST_PAUSE = 0.1
"""Seconds: a crowd of writers spread over this leaves room for each."""


class Keep:
    """What a function given to ``update`` returns to leave the entry as it is: nothing is written."""

    def __repr__(self) -> str:
        return "waggle.KEEP"


KEEP = Keep()


def check_update(command: Update, fn: Callable[[Any], Any] | None) -> None:
    """Raise BadRequest unless there is one way to change the value, with what goes with it, as plain JSON."""
    operands = {"merge": command.merge, "patch": command.patch, "incr": command.incr, "append": command.append}
    given = [name for name, operand in operands.items() if operand is not UNSET]
    if fn is not None and not callable(fn):
        said = f"update takes a function of the value, not {type(fn).__name__}"
        raise BadRequest(
            f"{said}: to change members of an object pass merge=, to replace the value use set", field="fn"
        )
    if len(given) + (fn is not None) != 1:
        field = given[-1] if given else "fn"
        raise BadRequest("update takes exactly one of a function, merge=, patch=, incr= and append=", field=field)
    if fn is not None and command.pointer is not None:
        raise BadRequest("pointer= goes with incr= and append=; a function has the whole value", field="pointer")
    if fn is not None and command.if_rev is not None:
        said = "if_rev= goes without a function, which finds the revision itself"
        raise BadRequest(f"{said}: for one attempt at one revision use set(if_rev=)", field="if_rev")
    for name in given:
        plain_json.check(operands[name], name)


class Attempts:
    """One update by a function: the entry that the next attempt begins from, and how many have failed."""

    def __init__(self, command: Update, entry: Entry | None) -> None:
        self._command, self._entry = command, entry
        self._refusals = 0

    @property
    def value(self) -> Any:
        """What the function is given: the value now, or None if the key is absent."""
        return None if self._entry is None else self._entry.value

    def command(self, value: Any) -> Update:
        """The write of what the function returned. Raises BadRequest if that is None, or no plain JSON."""
        if value is None:
            raise BadRequest(
                "The function returned None: return the new value, or waggle.KEEP to write nothing; null itself is"
                " written with set.",
                field="fn",
            )
        plain_json.check(value, "value")
        whole = [{"op": "add", "path": "", "value": value}]
        return structs.replace(self._command, patch=whole, if_rev=0 if self._entry is None else self._entry.rev)

    def kept(self) -> Updated:
        """The result when nothing is written: the entry as it was read; rev and version are 0 if it is absent."""
        if self._entry is None:
            return Updated(rev=0, version=0, value=None, expires_at=None)
        entry = self._entry
        return Updated(rev=entry.rev, version=entry.version, value=entry.value, expires_at=entry.expires_at)

    def refused(self, conflict: Conflict, chance: float) -> float:
        """Go on from what is there now after so many seconds, ``chance`` in [0, 1). Raises Conflict at the end."""
        self._entry = conflict.current
        self._refusals += 1
        if self._refusals >= TRIES:
            raise Conflict(
                f"{self._command.key!r} was written by others {TRIES} times while this update was decided: have fewer"
                " write it at once, or use merge=, incr= or append=, which nobody can come in between.",
                **conflict.details,
            ) from conflict
        if self._refusals < AT_ONCE:
            return 0.0
        return chance * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._refusals - AT_ONCE))

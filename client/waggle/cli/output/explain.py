"""Who holds what, who waits for what, and for whom: in sentences, for people and for models.

Pure: what the hub has told is the argument, its time included. Whatever agents wrote is made visible.

A sentence has the form ``impl-1 waits for src/a.py since 12s: impl-2 holds it until 10:42:03 (3.0s more)``. Whoever
stands in the way and waits as well is followed, as far as that leads: ``... and waits for b since 5s: impl-3 ...``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from waggle.cli.output.format import duration, time_left, time_of_day, to_json, visible
from waggle.wire.messages import Awaited, HeldLock, Holder, Inspection, SeenWait, Waiter, Where
from waggle.wire.names import compile_pattern

__all__ = [
    "Reasons",
    "describe_condition",
    "describe_progress",
    "explain_refusal",
    "is_stuck",
    "join_words",
    "lock_subject",
]

MAX_NAMED = 3
"""Names, or reasons, that are told one by one; of more, the number."""
SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
"""Comparisons as they are written; the others are words."""

Locking = HeldLock | Holder | Waiter | SeenWait
"""What has names or patterns that are locked, or asked for."""


def join_words(parts: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``, ``a, b, c and 4 more``."""
    if len(parts) > MAX_NAMED + 1:
        parts = [*parts[:MAX_NAMED], f"{len(parts) - MAX_NAMED} more"]
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


# --- locks -------------------------------------------------------------------------------------------------------


def lock_subject(lock: Locking) -> str:
    """What a lock is on, held or asked for."""
    if lock.names:
        return join_words([visible(name) for name in lock.names])
    return f"all of {join_words([visible(text) for text in lock.patterns or ()])}"


def explain_refusal(asked: str, holders: Sequence[Holder], queued: int, now: float) -> str:
    """Why what was asked for is not granted: who holds it, since when and until when, and how many wait."""
    reasons = [
        f"{_holds(one, asked)} since {time_of_day(one.since)[:8]}, {_until(one, now)} if it is not renewed"
        for one in holders[:MAX_NAMED]
    ]
    return "; ".join([*reasons, *_others(len(holders) - MAX_NAMED, queued)])


def _holds(lock: HeldLock | Holder, asked: str) -> str:
    what = lock_subject(lock)
    return f"{visible(lock.agent)} holds {'it' if what == asked else what}{_shared(lock.mode)}"


def _until(lock: HeldLock | Holder, now: float) -> str:
    return f"until {time_of_day(lock.expires_at)[:8]} ({time_left(lock.expires_at, now)} more)"


def _shared(mode: object) -> str:
    return ", shared," if mode == "shared" else ""


def _others(holders: int, queued: int) -> Iterator[str]:
    """Those who are only counted."""
    if holders > 0:
        yield f"{holders} more {'holds' if holders == 1 else 'hold'} some of it"
    if queued:
        yield f"{queued} asked before and {'waits' if queued == 1 else 'wait'}"


# --- conditions --------------------------------------------------------------------------------------------------


def describe_progress(conditions: Sequence[Awaited], met: Collection[int]) -> str:
    """Which of the conditions hold, and which do not."""
    yes = [describe_condition(one) for place, one in enumerate(conditions) if place in met]
    no = [describe_condition(one) for place, one in enumerate(conditions) if place not in met]
    return "; ".join(f"{name}: {join_words(some)}" for name, some in (("met", yes), ("not yet", no)) if some)


def describe_condition(condition: Awaited) -> str:
    """What a condition says: ``spec is there``, ``3 of result:* have /state == "done"``."""
    says = _of_key(condition) if condition.key is not None else _of_pattern(condition)
    after = "" if condition.since is None else f", written after rev {condition.since}"
    return says + after + _within(condition.ns)


def _of_key(condition: Awaited) -> str:
    name = visible(condition.key or "")
    if condition.unlocked:
        return f"{name} is {'gone and ' if condition.absent else ''}not locked"
    if condition.where is None:
        return f"{name} is {'gone' if condition.absent else 'there'}"
    return f"{name} {'is gone or has not' if condition.absent else 'has'} {_comparison(condition.where)}"


def _of_pattern(condition: Awaited) -> str:
    name = visible(condition.pattern or "")
    if condition.unlocked:
        return f"nothing of {name} is {'there or ' if condition.absent else ''}locked"
    several = condition.count > 1 and not condition.absent
    number = "nothing" if condition.absent else f"{condition.count}" if several else "one"
    if condition.where is None:
        return f"{number} of {name} {'are' if several else 'is'} there"
    return f"{number} of {name} {'have' if several else 'has'} {_comparison(condition.where)}"


def _comparison(where: Where) -> str:
    part = visible(where.pointer) or "a value"
    if where.op == "exists":
        return part if where.value is not False else f"no {part}"
    return f"{part} {SIGNS.get(where.op, where.op)} {to_json(where.value)}"


def _within(ns: str | None) -> str:
    return "" if ns in (None, "default") else f" in namespace {visible(str(ns))}"


# --- who waits for whom ------------------------------------------------------------------------------------------


class Reasons:
    """What an inspection tells of those who wait.

    An agent is followed by its name: on the command line each command is a session of its own.
    """

    def __init__(self, seen: Inspection) -> None:
        self._seen = seen
        self._sessions = {session.session: session for session in seen.sessions}
        self._waits: dict[str, list[SeenWait]] = defaultdict(list)
        for wait in seen.waits:
            if is_stuck(wait):
                self._waits[wait.agent].append(wait)

    def sentence(self, wait: SeenWait) -> str:
        """Who waits, for what, and why that is so."""
        return f"{visible(wait.agent)} {self._waiting(wait, frozenset([wait.agent]))}"

    def agents(self, wait: SeenWait) -> set[str]:
        """Whom it is about: who waits, and who stands in the way."""
        return {wait.agent, *(holder.agent for holder in self._in_the_way(wait))}

    def _waiting(self, wait: SeenWait, known: frozenset[str]) -> str:
        """What one waits for, and why; ``known`` are the agents that the sentence has come by."""
        since = f"since {duration(self._seen.at - wait.since)}"
        if wait.op == "take":
            return f"is ready for work on {lock_subject(wait).removeprefix('all of ')}{_within(wait.ns)} {since}"
        if wait.op == "lock":
            what = lock_subject(wait)
            return f"waits for {what}{_shared(wait.mode)}{_within(wait.ns)} {since}: {self._reasons(wait, what, known)}"
        more = "" if wait.until is None else f", and {time_left(wait.until, self._seen.at)} more at most,"
        return f"waits {since}{more} until {self._conditions(wait)}{self._locked(wait, known)}"

    def _conditions(self, wait: SeenWait) -> str:
        conditions = wait.all or wait.any or []
        if len(conditions) == 1:
            return describe_condition(conditions[0])
        progress = describe_progress(conditions, wait.met or ())
        return f"{'all' if wait.all else 'any'} of {len(conditions)} hold ({progress})"

    def _locked(self, wait: SeenWait, known: frozenset[str]) -> str:
        """Who holds what is to be unlocked."""
        holders = self._in_the_way(wait)
        return f": {self._told(holders, '', 0, known)}" if holders else ""

    def _reasons(self, wait: SeenWait, what: str, known: frozenset[str]) -> str:
        reasons = self._told(self._in_the_way(wait), what, self._before(wait), known)
        return reasons or "it is not its turn yet"

    def _told(self, holders: Sequence[HeldLock | Holder], what: str, queued: int, known: frozenset[str]) -> str:
        reasons = [self._holder(holder, what, known) for holder in holders[:MAX_NAMED]]
        return "; ".join([*reasons, *_others(len(holders) - MAX_NAMED, queued)])

    def _holder(self, lock: HeldLock | Holder, what: str, known: frozenset[str]) -> str:
        """Who stands in the way, until when; whether it is away, and what it waits for itself."""
        text = f"{_holds(lock, what)} {_until(lock, self._seen.at)}"
        session = self._sessions.get(lock.session)
        if session is not None and not session.connected:
            text += f", is away, with {time_left(session.expires_at, self._seen.at)} to come back"
        waits = self._waits.get(lock.agent)
        if not waits:
            return text
        if lock.agent in known:
            return f"{text}, which closes a circle"
        return f"{text}, and {self._waiting(waits[0], known | {lock.agent})}"

    def _in_the_way(self, wait: SeenWait) -> Sequence[HeldLock | Holder]:
        if wait.op == "lock":
            return wait.blocked_by or ()
        conditions = wait.all or wait.any or ()
        asked = [one for place, one in enumerate(conditions) if one.unlocked and place not in (wait.met or ())]
        return [lock for lock in self._seen.locks if any(_is_on(lock, one, one.ns or wait.ns) for one in asked)]

    def _before(self, wait: SeenWait) -> int:
        """How many asked for the same before, and wait."""
        places = [0]
        for lock in self._seen.locks:
            queue = [(one.session, one.since) for one in lock.queue]
            if (wait.session, wait.since) in queue:
                places.append(queue.index((wait.session, wait.since)))
        return max(places)


def is_stuck(wait: SeenWait) -> bool:
    """Whether it cannot go on without others: one who is ready for work can, and has nothing to do."""
    return wait.op != "take"


def _is_on(lock: HeldLock, condition: Awaited, ns: str) -> bool:
    """Whether a lock is on the key of a condition, or on a name that its pattern matches."""
    if lock.ns != ns:
        return False
    if condition.key is not None:
        on = any(compile_pattern(text).match(condition.key) for text in lock.patterns or ())
        return on or condition.key in (lock.names or ())
    asked = compile_pattern(condition.pattern or "*")
    return lock.patterns == [asked.text] or any(asked.match(name) for name in lock.names or ())

"""Explanations in sentences: which agent holds a lock, which waits, for what, and because of which other agent.

Pure functions: the hub's answer is the argument, its time included. Text from agents is made visible.

A sentence has the form ``impl-1 waits for src/a.py since 12s: impl-2 holds it until 10:42:03 (3.0s more)``. If the
holder waits as well, the sentence goes on with that wait, as far as the chain leads: ``... and waits for b since 5s:
impl-3 ...``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from waggle.cli.output.format import duration, time_left, time_of_day, to_json, visible
from waggle.wire.messages import Awaited, HeldLock, Holder, Inspection, SeenWait, Waiter, Where
from waggle.wire.patterns import compile_pattern

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
"""Names, or reasons, in a sentence; of the rest, only the number."""
SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
"""Comparisons that have a sign; the others are words."""

Locking = HeldLock | Holder | Waiter | SeenWait
"""Anything with names or patterns that are locked, or asked for."""


def join_words(parts: Sequence[str], last: str = "and") -> str:
    """Return ``a``, ``a and b``, ``a, b and c``, ``a, b, c and 4 more``."""
    if len(parts) > MAX_NAMED + 1:
        parts = [*parts[:MAX_NAMED], f"{len(parts) - MAX_NAMED} more"]
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


# --- locks -------------------------------------------------------------------------------------------------------


def lock_subject(lock: Locking) -> str:
    """Return the names or patterns of a lock, held or asked for."""
    if lock.names:
        return join_words([visible(name) for name in lock.names])
    return f"all of {join_words([visible(text) for text in lock.patterns or ()])}"


def explain_refusal(asked: str, holders: Sequence[Holder], queued: int, now: float) -> str:
    """Return why a lock was refused: the holders, since when and until when, and the number of waiters."""
    reasons = [
        f"{_describe_hold(holder, asked)} since {time_of_day(holder.since)[:8]}, {_until(holder, now)}"
        " if it is not renewed"
        for holder in holders[:MAX_NAMED]
    ]
    return "; ".join([*reasons, *_count_others(len(holders) - MAX_NAMED, queued)])


def _describe_hold(lock: HeldLock | Holder, asked: str) -> str:
    what = lock_subject(lock)
    return f"{visible(lock.agent)} holds {'it' if what == asked else what}{_shared(lock.mode)}"


def _until(lock: HeldLock | Holder, now: float) -> str:
    return f"until {time_of_day(lock.expires_at)[:8]} ({time_left(lock.expires_at, now)} more)"


def _shared(mode: object) -> str:
    return ", shared," if mode == "shared" else ""


def _count_others(holders: int, queued: int) -> Iterator[str]:
    """Yield a clause for the holders beyond those named, and one for the waiters in the queue."""
    if holders > 0:
        yield f"{holders} more {'holds' if holders == 1 else 'hold'} some of it"
    if queued:
        yield f"{queued} asked before and {'waits' if queued == 1 else 'wait'}"


# --- conditions --------------------------------------------------------------------------------------------------


def describe_progress(conditions: Sequence[Awaited], met: Collection[int]) -> str:
    """Return which of the conditions hold, and which do not."""
    holding = [describe_condition(condition) for index, condition in enumerate(conditions) if index in met]
    missing = [describe_condition(condition) for index, condition in enumerate(conditions) if index not in met]
    return "; ".join(f"{name}: {join_words(some)}" for name, some in (("met", holding), ("not yet", missing)) if some)


def describe_condition(condition: Awaited) -> str:
    """Return a condition in words: ``spec is there``, ``3 of result:* have /state == "done"``."""
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


# --- waits -------------------------------------------------------------------------------------------------------


class Reasons:
    """The explanations of the waits of one inspection.

    An agent is followed by its name, not by its session: on the command line each command is a session of its own.
    """

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._sessions = {session.session: session for session in inspection.sessions}
        self._waits: dict[str, list[SeenWait]] = defaultdict(list)
        for wait in inspection.waits:
            if is_stuck(wait):
                self._waits[wait.agent].append(wait)

    def sentence(self, wait: SeenWait) -> str:
        """Return a sentence about a wait: the agent, what it waits for, and why."""
        return f"{visible(wait.agent)} {self._describe_wait(wait, frozenset([wait.agent]))}"

    def agents(self, wait: SeenWait) -> set[str]:
        """Return the agents of a wait: the waiter and the holders that block it."""
        return {wait.agent, *(holder.agent for holder in self._blockers(wait))}

    def _describe_wait(self, wait: SeenWait, followed: frozenset[str]) -> str:
        """Return what an agent waits for, and why. ``followed`` are the agents already named in the sentence."""
        since = f"since {duration(self._inspection.at - wait.since)}"
        if wait.op == "take":
            return f"is ready for work on {lock_subject(wait).removeprefix('all of ')}{_within(wait.ns)} {since}"
        if wait.op == "lock":
            what = lock_subject(wait)
            return (
                f"waits for {what}{_shared(wait.mode)}{_within(wait.ns)} {since}: {self._reasons(wait, what, followed)}"
            )
        more = "" if wait.until is None else f", and {time_left(wait.until, self._inspection.at)} more at most,"
        return (
            f"waits {since}{more} until {self._describe_conditions(wait)}{self._describe_lock_holders(wait, followed)}"
        )

    def _describe_conditions(self, wait: SeenWait) -> str:
        conditions = wait.all or wait.any or []
        if len(conditions) == 1:
            return describe_condition(conditions[0])
        progress = describe_progress(conditions, wait.met or ())
        return f"{'all' if wait.all else 'any'} of {len(conditions)} hold ({progress})"

    def _describe_lock_holders(self, wait: SeenWait, followed: frozenset[str]) -> str:
        """Return the holders of the names that a condition needs unlocked."""
        holders = self._blockers(wait)
        return f": {self._describe_holders(holders, '', 0, followed)}" if holders else ""

    def _reasons(self, wait: SeenWait, what: str, followed: frozenset[str]) -> str:
        reasons = self._describe_holders(self._blockers(wait), what, self._queue_position(wait), followed)
        return reasons or "it is not its turn yet"

    def _describe_holders(
        self, holders: Sequence[HeldLock | Holder], what: str, queued: int, followed: frozenset[str]
    ) -> str:
        reasons = [self._describe_holder(holder, what, followed) for holder in holders[:MAX_NAMED]]
        return "; ".join([*reasons, *_count_others(len(holders) - MAX_NAMED, queued)])

    def _describe_holder(self, lock: HeldLock | Holder, what: str, followed: frozenset[str]) -> str:
        """Return how a holder blocks the wait: until when, whether it is away, and what it waits for itself."""
        text = f"{_describe_hold(lock, what)} {_until(lock, self._inspection.at)}"
        session = self._sessions.get(lock.session)
        if session is not None and not session.connected:
            text += f", is away, with {time_left(session.expires_at, self._inspection.at)} to come back"
        waits = self._waits.get(lock.agent)
        if not waits:
            return text
        if lock.agent in followed:
            return f"{text}, which is a deadlock"
        return f"{text}, and {self._describe_wait(waits[0], followed | {lock.agent})}"

    def _blockers(self, wait: SeenWait) -> Sequence[HeldLock | Holder]:
        if wait.op == "lock":
            return wait.blocked_by or ()
        conditions = wait.all or wait.any or ()
        unmet = [part for index, part in enumerate(conditions) if part.unlocked and index not in (wait.met or ())]
        return [
            lock for lock in self._inspection.locks if any(_is_on(lock, part, part.ns or wait.ns) for part in unmet)
        ]

    def _queue_position(self, wait: SeenWait) -> int:
        """Return the number of waiters before this one in the queue."""
        places = [0]
        for lock in self._inspection.locks:
            queue = [(waiter.session, waiter.since) for waiter in lock.queue]
            if (wait.session, wait.since) in queue:
                places.append(queue.index((wait.session, wait.since)))
        return max(places)


def is_stuck(wait: SeenWait) -> bool:
    """Return whether a wait needs another agent to go on. A worker that waits for jobs does not: it is idle."""
    return wait.op != "take"


def _is_on(lock: HeldLock, condition: Awaited, ns: str) -> bool:
    """Return whether a lock is on the key of a condition, or on a name that the condition's pattern matches."""
    if lock.ns != ns:
        return False
    if condition.key is not None:
        on = any(compile_pattern(text).match(condition.key) for text in lock.patterns or ())
        return on or condition.key in (lock.names or ())
    asked = compile_pattern(condition.pattern or "*")
    return lock.patterns == [asked.text] or any(asked.match(name) for name in lock.names or ())

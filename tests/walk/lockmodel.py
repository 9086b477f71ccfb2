"""A model of locks, by brute force: a list of requests in their order, every pair compared each time.

Nothing is kept but the claims themselves. Who holds, who is next, who stands in whose way and where a circle would
close is computed from the list each time, as protocol 6 words it. What is given off has the shape that `shape` gives
to what a machine gives off, so the two can be compared line by line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET

from waggle.wire import messages as m
from waggle.wire.errors import Deadlock, Locked, TimedOut, WaggleError
from waggle.wire.patterns import compile_pattern
from waggle_hub.state.effects import BindSession, DeferredReply, Effect, LockLost, Reply, SessionEnded
from waggle_hub.state.log import Commit, Event
from waggle_hub.state.patterns.overlap import overlap
from waggle_hub.state.sessions import Outcome

GRACE = 4.0
LockOwner = tuple[str, str | None]
Shape = tuple[Any, ...]


@dataclass(eq=False, kw_only=True)
class Asked:
    """A lock that is held or waited for."""

    order: int
    session: str
    ns: str
    names: tuple[str, ...]
    patterns: tuple[str, ...]
    mode: str
    ttl: float
    task: str | None
    id: int
    rid: str | None
    since: float
    deadline: float | None = None
    token: int | None = None
    granted_at: float = 0.0

    @property
    def keys(self) -> tuple[str, ...]:
        return self.names + self.patterns

    @property
    def on(self) -> Shape:
        """Return the names or patterns, as they are shown."""
        return (self.names, self.patterns)

    @property
    def owner(self) -> LockOwner:
        return (self.session, self.task)

    def conflicts(self, other: Asked) -> bool:
        """Of the same namespace, some string could match both, and not both are shared (protocol 6)."""
        if self.ns != other.ns or (self.mode, other.mode) == ("shared", "shared"):
            return False
        mine, yours = ([compile_pattern(text) for text in one.patterns] for one in (self, other))
        return (
            bool(set(self.names) & set(other.names))
            or any(pattern.match(name) for pattern in mine for name in other.names)
            or any(pattern.match(name) for pattern in yours for name in self.names)
            or any(overlap(one, two) for one in mine for two in yours)
        )

    def is_on(self, key: str) -> bool:
        return key in self.names or any(compile_pattern(text).match(key) for text in self.patterns)


@dataclass(eq=False)
class ModelSession:
    """A session."""

    order: int
    connected: bool = True
    deadline: float | None = None
    waiting: dict[int, Asked] = field(default_factory=dict)
    granted: dict[str, Shape] = field(default_factory=dict)
    """The grant of each rid."""
    unsaid: list[Shape] = field(default_factory=list)


class LockModel:
    """The locks of a hub. A command gives the list of what it gives off, in order."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.rev = 0
        self.order = 0
        self.stays: dict[str, ModelSession] = {}
        self.claims: list[Asked] = []
        self.stored: set[str] = set()
        self.out: list[Shape] = []

    # --- what can be seen ---

    def before(self, claim: Asked) -> list[Asked]:
        """Return the earlier requests that conflict with this one."""
        return [one for one in self.claims if one.order < claim.order and one.conflicts(claim)]

    def held(self, session: str | None = None) -> list[Asked]:
        """Return the held locks, in the order of the grants."""
        found = [one for one in self.claims if one.token is not None and session in (None, one.session)]
        return sorted(found, key=lambda one: one.token or 0)

    def next_deadline(self) -> float | None:
        things: list[ModelSession | Asked] = [*self.stays.values(), *self.claims]
        return min((one.deadline for one in things if one.deadline is not None), default=None)

    def in_the_way(self, claim: Asked) -> Shape:
        """Return the fields of a refusal."""
        before = self.before(claim)
        holders = [
            (one.on, one.session, one.mode, one.granted_at, one.deadline, one.session == claim.session)
            for one in before
            if one.token is not None
        ]
        return (holders, sum(one.token is None for one in before))

    def shown(self, pattern: str = "*") -> Shape:
        """Return the reply to `locks`."""
        shown = []
        for held in self.held():
            if any(compile_pattern(pattern).match(key) for key in held.keys):
                queue = [one for one in self.claims if one.token is None and one.conflicts(held)]
                waiters = [(one.session, one.on, one.mode, one.since) for one in queue]
                shown.append((held.on, held.mode, held.session, held.token, held.granted_at, held.deadline, waiters))
        return ("ok", "locks", shown)

    # --- commands of a session ---

    def lock(self, session: str, id: int, wait: float | None, rid: str | None, **fields: Any) -> list[Shape]:
        stay = self.stays[session]
        joined = next((one for one in stay.waiting.values() if one.rid == rid is not None), None)
        if joined is not None:
            if id != joined.id and id in stay.waiting:
                return self.reply(id, ("error", "bad_request", "id"))
            if id != joined.id:
                del stay.waiting[joined.id]
                joined.id = id
                stay.waiting[id] = joined
            return []
        if id in stay.waiting:
            return self.reply(id, ("error", "bad_request", "id"))
        if rid in stay.granted:
            return self.reply(id, stay.granted[rid], dup=True)
        self.order += 1
        claim = Asked(order=self.order, session=session, id=id, rid=rid, since=self.now, **fields)
        if not self.before(claim):
            self.claims.append(claim)
            return self.reply(id, self.grant(claim))
        if wait == 0:
            return self.reply(id, ("error", "locked", *self.in_the_way(claim)))
        if circles(edges([*self.claims, claim]), claim.owner):
            return self.reply(id, ("error", "deadlock"))
        self.claims.append(claim)
        claim.deadline = None if wait is None else self.now + wait
        stay.waiting[id] = claim
        self.commit(self.queue_events(claim, session))
        return self.settle()

    def unlock(self, session: str, id: int, token: int) -> list[Shape]:
        claim = self.own(session, token)
        if claim is None:
            return self.reply(id, ("error", "not_holder"))
        self.commit(self.let_go(claim, session, "released"))
        return self.reply(id, ("ok", "rev", self.rev))

    def force(self, session: str, id: int, token: int | None, name: str | None) -> list[Shape]:
        found = [one for one in self.held() if one.token == token or (name in one.keys and one.ns == "default")]
        if not found:
            return self.reply(id, ("error", "not_holder"))
        found.sort(key=lambda one: (name not in one.names, one.order))
        self.commit([event for claim in found for event in self.let_go(claim, session, "forced")])
        for claim in found:
            self.say(claim.session, ("lost", claim.session, claim.token, "forced", claim.on))
        return self.reply(id, ("ok", "rev", self.rev))

    def renew(self, session: str, id: int, token: int, ttl: float | None) -> list[Shape]:
        claim = self.own(session, token)
        if claim is None:
            return self.reply(id, ("error", "not_holder"))
        claim.deadline = self.now + (claim.ttl if ttl is None else ttl)
        self.commit([("renew", key, session, session, token, claim.deadline) for key in claim.keys])
        return self.reply(id, ("ok", "renewed", claim.deadline, self.rev))

    def cancel(self, session: str, id: int, target: int) -> list[Shape]:
        stay = self.stays[session]
        if id in stay.waiting:
            return self.reply(id, ("error", "bad_request", "id"))
        claim = stay.waiting.get(target)
        if claim is not None:
            self.claims.remove(claim)
            self.commit(self.queue_events(claim, session))
            self.answer(claim, ("error", "cancelled"))
        return self.reply(id, ("ok", "cancelling", claim is not None))

    def set(self, session: str, id: int, key: str, guard: int | None) -> list[Shape]:
        if guard is not None and all(one.token != guard for one in self.claims):
            return self.reply(id, ("error", "not_holder"))
        for one in self.held():
            others = one.session != session and one.mode == "exclusive" and one.ns == "default"
            if others and one.is_on(key) and one.token != guard:
                holder = (one.on, one.session, one.mode, one.granted_at, one.deadline, False)
                return self.reply(id, ("error", "locked", [holder], None))
        self.stored.add(key)
        self.commit([])
        return self.reply(id, ("ok", "rev", self.rev))

    def clear(self, session: str, id: int, pattern: str) -> list[Shape]:
        asked = Asked(
            order=0, session=session, ns="default", names=(), patterns=(pattern,), mode="exclusive", ttl=1, task=None,
            id=id, rid=None, since=0,
        )  # fmt: skip
        others = [one for one in self.held() if one.session != session and one.mode == "exclusive"]
        if any(one.conflicts(asked) for one in others):
            return self.reply(id, ("error", "locked", None, None))
        gone = {key for key in self.stored if compile_pattern(pattern).match(key)}
        self.stored -= gone
        if gone:
            self.commit([])
        return self.reply(id, ("ok", "rev", self.rev))

    def look(self, session: str, id: int, pattern: str) -> list[Shape]:
        return self.reply(id, self.shown(pattern))

    # --- sessions and time ---

    def hello(self, session: str) -> list[Shape]:
        self.order += 1
        self.stays[session] = ModelSession(self.order)
        self.commit([])
        self.reply(0, ("ok", "welcome"), settle=False)
        self.out.append(("bind", session))
        return self.settle()

    def return_to(self, session: str) -> list[Shape]:
        stay = self.stays[session]
        if not stay.connected:
            stay.connected = True
            self.commit([])
        stay.deadline = None
        self.reply(0, ("ok", "welcome"), settle=False)
        self.out.append(("bind", session))
        self.out += stay.unsaid
        stay.unsaid = []
        return self.settle()

    def drop(self, session: str) -> list[Shape]:
        stay = self.stays[session]
        if stay.connected:
            stay.connected = False
            stay.deadline = self.now + GRACE
            self.commit([])
        return self.settle()

    def bye(self, session: str, id: int) -> list[Shape]:
        self.end(session)
        self.reply(id, ("ok", "bye"), settle=False)
        self.out.append(("ended", session))
        return self.settle()

    def pass_time(self) -> list[Shape]:
        """Whatever is due by now, in the order in which it is."""
        while True:
            things: list[tuple[float, int, str | Asked]] = [
                (stay.deadline, stay.order, name) for name, stay in self.stays.items() if stay.deadline is not None
            ]
            things += [(claim.deadline, claim.order, claim) for claim in self.claims if claim.deadline is not None]
            deadline, _, due = min(things, key=lambda one: one[:2], default=(self.now + 1, 0, ""))
            if deadline > self.now:
                return self.settle()
            if isinstance(due, str):
                self.end(due)
                self.out.append(("ended", due))
            elif due.token is not None:
                self.commit(self.let_go(due, "$hub", "expired"))
                self.say(due.session, ("lost", due.session, due.token, "expired", due.on))
            else:
                error = ("error", "timeout", *self.in_the_way(due))
                self.claims.remove(due)
                self.commit(self.queue_events(due, "$hub"))
                self.answer(due, error)
            self.settle_in_place()

    # --- how it is done ---

    def own(self, session: str, token: int) -> Asked | None:
        return next((one for one in self.held(session) if one.token == token), None)

    def end(self, session: str) -> None:
        stay = self.stays.pop(session)
        events = []
        for claim in stay.waiting.values():
            self.claims.remove(claim)
            events += self.queue_events(claim, session)
            if stay.connected:
                self.out.append(("answer", session, claim.id, ("error", "cancelled")))
        for claim in [one for one in self.claims if one.session == session]:
            events += self.let_go(claim, session, "session_ended")
        self.commit(events)

    def grant(self, claim: Asked) -> Shape:
        claim.token = self.rev + 1
        claim.granted_at = self.now
        claim.deadline = self.now + claim.ttl
        told = (claim.session, claim.session, claim.token, claim.mode, claim.deadline, claim.on)
        queue = self.queue_events(claim, claim.session) if claim.id in self.stays[claim.session].waiting else []
        self.commit([("lock", key, *told) for key in claim.keys] + queue)
        granted = ("ok", "granted", claim.token, claim.mode, claim.deadline, self.now - claim.since, claim.on)
        if claim.rid is not None:
            self.stays[claim.session].granted[claim.rid] = granted
        return granted

    def let_go(self, claim: Asked, by: str, reason: str) -> list[Shape]:
        self.claims.remove(claim)
        return [("unlock", key, by, claim.session, claim.token, reason) for key in claim.keys]

    def queue_events(self, claim: Asked, by: str) -> list[Shape]:
        waiting = [one for one in self.claims if one.token is None and one.ns == claim.ns]
        return [
            ("queue", name, by, claim.session, sum(name in one.names for one in waiting)) for name in claim.names
        ] + [
            ("queue", text, by, claim.session, sum(text in one.patterns for one in waiting)) for text in claim.patterns
        ]  # fmt: skip

    def commit(self, events: list[Shape]) -> None:
        self.rev += 1
        self.out.append(("commit", self.rev, events))

    def say(self, session: str, said: Shape) -> None:
        stay = self.stays[session]
        (self.out if stay.connected else stay.unsaid).append(said)

    def answer(self, claim: Asked, outcome: Shape) -> None:
        del self.stays[claim.session].waiting[claim.id]
        self.say(claim.session, ("answer", claim.session, claim.id, outcome))

    def reply(self, id: int, outcome: Shape, *, dup: bool = False, settle: bool = True) -> list[Shape]:
        self.out.append(("reply", id, outcome, dup))
        return self.settle() if settle else []

    def settle(self) -> list[Shape]:
        self.settle_in_place()
        out, self.out = self.out, []
        return out

    def settle_in_place(self) -> None:
        """Grant every request that can be granted, the oldest first."""
        while True:
            free = [claim for claim in self.claims if claim.token is None and not self.before(claim)]
            if not free:
                return
            claim = min(free, key=lambda one: one.order)
            granted = self.grant(claim)
            self.answer(claim, granted)


def edges(claims: list[Asked]) -> set[tuple[LockOwner, LockOwner]]:
    """From each waiting lock to the strands that hold, or asked earlier for, what it conflicts with."""
    return {
        (late.owner, early.owner)
        for late in claims
        for early in claims
        if late.token is None and early.order < late.order and early.conflicts(late)
        and (early.owner != late.owner or late.task is not None)
    }  # fmt: skip


def circles(edges: set[tuple[LockOwner, LockOwner]], start: LockOwner) -> list[set[LockOwner]]:
    """The strands that are one, two, three edges from this one, up to the first way back to itself; [] if none is."""
    steps = [{start}]
    seen: set[LockOwner] = set()
    while steps[-1]:
        steps.append({end for begin, end in edges if begin in steps[-1]} - seen)
        seen |= steps[-1]
        if start in seen:
            return steps[1:]
    return []


# --- the same shapes for what a machine gives off ---


def shape(output: Effect) -> Shape:
    """Return an output of the machine in the form of the model."""
    match output:
        case Commit():
            return ("commit", output.rev, [_event(event) for event in output.events if event.lock is not None])
        case Reply():
            return ("reply", output.id, _outcome(output.outcome), output.dup)
        case DeferredReply():
            return ("answer", output.session, output.id, _outcome(output.outcome))
        case LockLost():
            return ("lost", output.session, output.lock.token, output.lock.reason, _on(output.lock))
        case BindSession():
            return ("bind", output.session)
        case SessionEnded():
            return ("ended", output.session)
        case _:
            raise AssertionError(output)


def _on(shown: Any) -> Shape:
    names, patterns = (() if one is UNSET else tuple(one) for one in (shown.names, shown.patterns))
    return (names, patterns)


def _event(event: Event) -> Shape:
    grip = event.lock
    assert grip is not None
    start = (event.type, event.key, event.by.removeprefix("made-"), grip.session)
    match event.type:
        case "lock":
            return (*start, grip.token, grip.mode, grip.expires_at, _on(grip))
        case "unlock":
            return (*start, grip.token, event.reason)
        case "renew":
            return (*start, grip.token, grip.expires_at)
        case _:
            return (*start, grip.waiting)


def _holder(holder: m.Holder) -> Shape:
    return (_on(holder), holder.session, holder.mode, holder.since, holder.expires_at, holder.self)


def _outcome(outcome: Outcome) -> Shape:
    assert not isinstance(outcome.ok, msgspec.Raw)
    return _ok(outcome.ok) if outcome.error is None else _error(outcome.error)


def _error(error: WaggleError) -> Shape:
    match error:
        case Deadlock():
            return ("error", "deadlock")
        case Locked() | TimedOut():
            holders = [_holder(one) for one in error.details["holders"]]
            return ("error", error.code, holders, error.details.get("queued"))
        case _ if "field" in error.details:
            return ("error", error.code, error.details["field"])
        case _:
            return ("error", error.code)


def _ok(ok: m.Ok | None) -> Shape:
    match ok:
        case m.Granted():
            return ("ok", "granted", ok.token, ok.mode, ok.expires_at, ok.waited, _on(ok))
        case m.Renewed():
            return ("ok", "renewed", ok.expires_at, ok.rev)
        case m.Cancelling():
            return ("ok", "cancelling", ok.cancelled)
        case m.HeldLocks():
            return ("ok", "locks", [_held(one) for one in ok.locks])
        case m.Welcome():
            return ("ok", "welcome")
        case m.Revised() | m.Written() | m.Cleared():
            return ("ok", "rev", ok.rev)
        case m.Empty():
            return ("ok", "bye")
        case _:
            raise AssertionError(ok)


def _held(held: m.HeldLock) -> Shape:
    queue = [(one.session, _on(one), one.mode, one.since) for one in held.queue]
    return (_on(held), held.mode, held.session, held.token, held.since, held.expires_at, queue)

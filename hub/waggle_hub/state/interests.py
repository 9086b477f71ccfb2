"""Interests: what sessions subscribe to, each distinct subscription once.

An interest is a namespace (``*``: all but the hub's own), a set of patterns, a set of types, whether values and
previous entries are sent, and the time between deliveries. Two sessions with the same interest share its number
``sub``, so an event is encoded once for both. Echo, snapshot and since belong to the cursor of one session, not to the
interest.

Rules:
1. Numbers are given in order and never reused.
2. An interest exists exactly as long as a session is subscribed to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from waggle.wire.patterns import Pattern

from .patterns.pattern_index import PatternIndex

EVERYWHERE = "*"


class Scope(Struct, frozen=True):
    """The identity of an interest: what is asked for, in a form that compares."""

    ns: str
    patterns: tuple[str, ...]
    types: frozenset[str]
    values: bool
    prev: bool
    conflate: float | None = None
    """Seconds from one delivery to the next; None: every event at once."""


class Interest:
    """A scope with its number, its compiled patterns, and its sessions in order of their subscription."""

    __slots__ = ("patterns", "scope", "sessions", "sub")

    def __init__(self, sub: int, scope: Scope, patterns: tuple[Pattern, ...]) -> None:
        self.sub = sub
        self.scope = scope
        self.patterns = patterns
        self.sessions: dict[str, None] = {}

    def covers(self, ns: str) -> bool:
        """Return whether events of this namespace belong to the interest."""
        return self.scope.ns == ns or (self.scope.ns == EVERYWHERE and not ns.startswith("$"))

    def matches(self, ns: str, key: str, type: str) -> bool:
        """Return whether an event belongs to the interest: the same answer as `InterestIndex.find` gives."""
        return type in self.scope.types and self.covers(ns) and self.first_match(key) is not None

    def first_match(self, key: str, below: int | None = None) -> int | None:
        """Return the index of the first pattern that matches, of all or of the first `below`; None if none does."""
        for number, pattern in enumerate(self.patterns[:below]):
            if pattern.match(key):
                return number
        return None


class InterestIndex:
    """An index that finds the interests that an event belongs to."""

    def __init__(self) -> None:
        self._by_ns: dict[str, PatternIndex[Interest]] = {}

    def __len__(self) -> int:
        """Return the number of pairs of interest and pattern."""
        return sum(len(index) for index in self._by_ns.values())

    def add(self, interest: Interest) -> None:
        index = self._by_ns.setdefault(interest.scope.ns, PatternIndex())
        for pattern in interest.patterns:
            index.add(pattern, interest)

    def remove(self, interest: Interest) -> None:
        index = self._by_ns[interest.scope.ns]
        for pattern in interest.patterns:
            index.remove(pattern, interest)
        if not len(index):
            del self._by_ns[interest.scope.ns]

    def find(self, ns: str, key: str, type: str) -> list[Interest]:
        """Return the interests that an event belongs to."""
        matching: Iterable[Interest] = ()
        own = self._by_ns.get(ns)
        if own is not None:
            matching = own.find(key)
        # `*` leaves out the namespaces of the hub, such as `$agents`.
        if not ns.startswith("$"):
            everywhere = self._by_ns.get(EVERYWHERE)
            if everywhere is not None:
                matching = [*matching, *everywhere.find(key)]
        return [interest for interest in matching if type in interest.scope.types]

    def check(self) -> None:
        """Assert the rules of this module."""
        for index in self._by_ns.values():
            assert len(index)
            index.check()


class Interests:
    """All interests, by number, by scope, and by the keys they match."""

    def __init__(self, after: int = 0) -> None:
        self._by_scope: dict[Scope, Interest] = {}
        self._index = InterestIndex()
        self._last = after

    def __len__(self) -> int:
        """Return the number of pairs of interest and pattern."""
        return len(self._by_scope)

    def __iter__(self) -> Iterator[Interest]:
        return iter(self._by_scope.values())

    def get(self, scope: Scope) -> Interest | None:
        return self._by_scope.get(scope)

    def add_session(self, scope: Scope, patterns: tuple[Pattern, ...], session: str) -> Interest:
        """Subscribe a session to the interest with this scope, which is created if there is none; return it."""
        interest = self._by_scope.get(scope)
        if interest is None:
            self._last += 1
            interest = self._by_scope[scope] = Interest(self._last, scope, patterns)
            self._index.add(interest)
        interest.sessions[session] = None
        return interest

    def restore(self, sub: int, scope: Scope, patterns: tuple[Pattern, ...], session: str) -> Interest:
        """Subscribe a restored session; the interest gets the number that it had before."""
        last, self._last = self._last, sub - 1
        interest = self.add_session(scope, patterns, session)
        self._last = max(last, sub)
        assert interest.sub == sub
        return interest

    @property
    def last_sub(self) -> int:
        """The highest number that was ever given to an interest."""
        return self._last

    def remove_session(self, interest: Interest, session: str) -> None:
        """Unsubscribe a session; the interest ends with its last one."""
        del interest.sessions[session]
        if not interest.sessions:
            del self._by_scope[interest.scope]
            self._index.remove(interest)

    def find(self, ns: str, key: str, type: str) -> list[Interest]:
        """Return the interests that an event belongs to."""
        return self._index.find(ns, key, type)

    def check(self) -> None:
        """Assert the rules of this module."""
        self._index.check()
        for scope, interest in self._by_scope.items():
            assert interest.scope == scope
            assert interest.sessions
        assert len({interest.sub for interest in self._by_scope.values()}) == len(self._by_scope)

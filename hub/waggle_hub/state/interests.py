"""Interests: what sessions subscribe to, each counted once.

An interest is a namespace (``*``: all but the hub's own), a set of patterns, a set of types, whether values and the
entry before are wanted, and how many seconds apart. Two sessions with the same interest share its number ``sub``, so
an event is encoded once for both. Echo, snapshot and since belong to the session's own cursor, not to the interest.

Numbers are given in order and never again. An interest exists exactly as long as a session is subscribed to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from waggle.wire.names import Pattern

from .patterns.pattern_index import PatternIndex

EVERYWHERE = "*"


class Scope(Struct, frozen=True):
    """What is asked for, in a form that compares: the identity of an interest."""

    ns: str
    patterns: tuple[str, ...]
    types: frozenset[str]
    values: bool
    prev: bool
    conflate: float | None = None
    """Seconds from one delivery to the next; None for all that happens, as it happens."""


class Interest:
    """A scope with its number, its compiled patterns, and the sessions that have it, in order of arrival."""

    __slots__ = ("patterns", "scope", "sessions", "sub")

    def __init__(self, sub: int, scope: Scope, patterns: tuple[Pattern, ...]) -> None:
        self.sub = sub
        self.scope = scope
        self.patterns = patterns
        self.sessions: dict[str, None] = {}

    def covers(self, ns: str) -> bool:
        """Whether events of this namespace concern it at all."""
        return self.scope.ns == ns or (self.scope.ns == EVERYWHERE and not ns.startswith("$"))

    def matches(self, ns: str, key: str, type: str) -> bool:
        """Whether an event concerns it: the same answer as being found in the index."""
        return type in self.scope.types and self.covers(ns) and self.first_match(key) is not None

    def first_match(self, key: str, below: int | None = None) -> int | None:
        """The number of the first of its patterns, or of those `below`, that matches; None if none does."""
        for number, pattern in enumerate(self.patterns[:below]):
            if pattern.match(key):
                return number
        return None


class InterestIndex:
    """The interests that an event concerns, among those that are in."""

    def __init__(self) -> None:
        self._by_ns: dict[str, PatternIndex[Interest]] = {}

    def __len__(self) -> int:
        """How many pairs of interest and pattern are in."""
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
        """The interests that an event concerns."""
        found: Iterable[Interest] = ()
        own = self._by_ns.get(ns)
        if own is not None:
            found = own.find(key)
        if not ns.startswith("$"):
            everywhere = self._by_ns.get(EVERYWHERE)
            if everywhere is not None:
                found = [*found, *everywhere.find(key)]
        return [interest for interest in found if type in interest.scope.types]

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
        return len(self._by_scope)

    def __iter__(self) -> Iterator[Interest]:
        return iter(self._by_scope.values())

    def get(self, scope: Scope) -> Interest | None:
        return self._by_scope.get(scope)

    def add_session(self, scope: Scope, patterns: tuple[Pattern, ...], session: str) -> Interest:
        """The interest with this scope, made if there is none, now also of this session."""
        interest = self._by_scope.get(scope)
        if interest is None:
            self._last += 1
            interest = self._by_scope[scope] = Interest(self._last, scope, patterns)
            self._index.add(interest)
        interest.sessions[session] = None
        return interest

    def restore(self, sub: int, scope: Scope, patterns: tuple[Pattern, ...], session: str) -> Interest:
        """The interest comes back with the number that it had."""
        last, self._last = self._last, sub - 1
        interest = self.add_session(scope, patterns, session)
        self._last = max(last, sub)
        assert interest.sub == sub
        return interest

    @property
    def last_sub(self) -> int:
        """The highest number that was ever given."""
        return self._last

    def remove_session(self, interest: Interest, session: str) -> None:
        """The session has it no longer; nobody's interest is forgotten."""
        del interest.sessions[session]
        if not interest.sessions:
            del self._by_scope[interest.scope]
            self._index.remove(interest)

    def find(self, ns: str, key: str, type: str) -> list[Interest]:
        """The interests that an event concerns."""
        return self._index.find(ns, key, type)

    def check(self) -> None:
        """Assert the rules of this module."""
        self._index.check()
        for scope, interest in self._by_scope.items():
            assert interest.scope == scope
            assert interest.sessions
        assert len({interest.sub for interest in self._by_scope.values()}) == len(self._by_scope)

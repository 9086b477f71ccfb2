"""Interests: what sessions subscribe to, each counted once.

An interest is a namespace (``*``: all but the hub's own), a set of patterns, a set of types, and whether values and
the entry before are wanted. Two sessions with the same interest share its number ``sub``, so an event is encoded
once for both. Echo, snapshot and since belong to the session's own cursor, not to the interest.

Numbers are given in order and never again. An interest exists exactly as long as a session is subscribed to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from waggle.keys import Pattern

from .patternindex import PatternIndex

EVERYWHERE = "*"


class Scope(Struct, frozen=True):
    """What is asked for, in a form that compares: the identity of an interest."""

    ns: str
    patterns: tuple[str, ...]
    types: frozenset[str]
    values: bool
    prev: bool


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
        return type in self.scope.types and self.covers(ns) and any(pattern.match(key) for pattern in self.patterns)


class Interests:
    """All interests, by number, by scope, and by the keys they match."""

    def __init__(self) -> None:
        self._by_scope: dict[Scope, Interest] = {}
        self._indexes: dict[str, PatternIndex[Interest]] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_scope)

    def get(self, scope: Scope) -> Interest | None:
        return self._by_scope.get(scope)

    def join(self, scope: Scope, patterns: tuple[Pattern, ...], session: str) -> Interest:
        """The interest with this scope, made if there is none, now also of this session."""
        interest = self._by_scope.get(scope)
        if interest is None:
            self._last += 1
            interest = self._by_scope[scope] = Interest(self._last, scope, patterns)
            index = self._indexes.setdefault(scope.ns, PatternIndex())
            for pattern in patterns:
                index.add(pattern, interest)
        interest.sessions[session] = None
        return interest

    def leave(self, interest: Interest, session: str) -> None:
        """The session has it no longer; nobody's interest is forgotten."""
        del interest.sessions[session]
        if interest.sessions:
            return
        del self._by_scope[interest.scope]
        index = self._indexes[interest.scope.ns]
        for pattern in interest.patterns:
            index.remove(pattern, interest)
        if not len(index):
            del self._indexes[interest.scope.ns]

    def find(self, ns: str, key: str, type: str) -> list[Interest]:
        """The interests that an event concerns."""
        found: Iterable[Interest] = ()
        own = self._indexes.get(ns)
        if own is not None:
            found = own.find(key)
        if not ns.startswith("$"):
            everywhere = self._indexes.get(EVERYWHERE)
            if everywhere is not None:
                found = [*found, *everywhere.find(key)]
        return [interest for interest in found if type in interest.scope.types]

    def check(self) -> None:
        """Assert the rules of this module."""
        for index in self._indexes.values():
            index.check()
        for scope, interest in self._by_scope.items():
            assert interest.scope == scope
            assert interest.sessions
        assert len({interest.sub for interest in self._by_scope.values()}) == len(self._by_scope)

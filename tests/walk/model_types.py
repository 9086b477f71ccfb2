"""Types of the model: entries, events, scopes of subscriptions, sessions, refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, str]
USUAL = ("set", "delete", "expire", "evict", "lock", "unlock", "message")


class Refused(Exception):
    """A refusal: its code, and what else it carries."""

    def __init__(self, code: str, **more: Any) -> None:
        self.error: Fields = {"code": code, **more}


@dataclass(frozen=True)
class ModelEntry:
    """An entry."""

    key: str
    ns: str
    rev: int
    version: int
    kind: str
    created_at: float
    updated_at: float
    expires_at: float | None
    by: str
    meta: Any
    value: Any
    owner: str | None
    earlier: tuple[ModelEntry, ...] = ()

    def due(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def shown(self, values: bool = True) -> Fields:
        hidden = {"owner", "earlier"} if values else {"owner", "earlier", "value"}
        return {name: value for name, value in vars(self).items() if name not in hidden}

    @property
    def size(self) -> int:
        held = [self.value] if self.meta is None else [self.value, self.meta]
        texts = (json.dumps(part, separators=(",", ":"), ensure_ascii=False) for part in held)
        return len(self.key) + sum(len(text.encode()) for text in texts) + sum(item.size for item in self.earlier)


@dataclass(frozen=True)
class ModelEvent:
    """An event, with the session that did it."""

    type: str
    rev: int
    ns: str
    key: str
    at: float
    by: str
    origin: str | None
    more: Fields
    prev: ModelEntry | None
    fleeting: bool = False
    """True if the journal does not store it."""


@dataclass(frozen=True)
class Scope:
    """The scope of a subscription."""

    ns: str
    patterns: frozenset[str]
    types: frozenset[str]
    values: bool
    prev: bool
    conflate: float | None = None

    def covers(self, ns: str, key: str) -> bool:
        here = not ns.startswith("$") if self.ns == "*" else self.ns == ns
        return here and any(fnmatchcase(key, pattern) for pattern in self.patterns)

    def wants(self, event: ModelEvent) -> bool:
        return event.type in self.types and self.covers(event.ns, event.key)


@dataclass
class ModelSession:
    """A session."""

    id: str
    secret: str
    agent: str
    chosen: bool
    ns: str
    meta: Any
    since: float
    number: int
    last: float
    status: Any = None
    until: float | None = None
    subs: dict[int, Scope] = field(default_factory=dict)
    outcomes: dict[str, tuple[Fields, str]] = field(default_factory=dict)
    sweeping: bool = False

"""Values as a program's own types: a view reads values as T, and writes only values that can be read as T.

Rules:

1. **A value is checked where it is read.** It is converted when it arrives. A value that is no T is part of an entry
   or event whose ``value`` raises Mismatch. So a wrong value never ends a watch, empties a list or stops a mirror,
   and the rest can be read: key, revision, author.
2. **A written value can be read.** It is converted to JSON and back before it is sent, so a mistake shows where it
   was made.
3. **Keys are relative to the view:** without its prefix, in parameters and in results.

Nothing here sends or waits: `View` of `waggle.api.view` and of `waggle.blocking.view` are two shells over a
`TypedCodec` and the methods of a `Hub`.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, structs

from waggle.api.compare_and_set import Keep
from waggle.api.mirror import MirrorView
from waggle.wire.errors import BadRequest, Mismatch, copy_error
from waggle.wire.messages import Entry, Event, EventType, Updated
from waggle.wire.patterns import quoted

__all__ = ["TypedCodec", "TypedEntry", "TypedEvent", "TypedMirrorView", "TypedUpdated"]

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C", bound=type)

TYPES: tuple[EventType, ...] = ("set", "delete", "expire", "evict")
"""The event types of a view's watcher by default: all that change values."""


def _raise_mismatch_on_read(cls: C) -> C:
    """Make ``value`` return the content of the field, or raise it if it is a Mismatch (rule 1)."""
    field: Any = cls.value  # type: ignore[attr-defined]

    def value(self: Any) -> Any:
        stored = field.__get__(self)
        if isinstance(stored, Mismatch):
            raise copy_error(stored)
        return stored

    setattr(cls, "value", property(value, doc="The value as a T. Raises Mismatch if it is none."))  # noqa: B010
    return cls


@_raise_mismatch_on_read
class TypedEntry(Entry, Generic[T], kw_only=True):
    """An Entry with a ``value`` of type T. Reading it raises Mismatch if the stored value is no T."""

    value: T


@_raise_mismatch_on_read
class TypedEvent(Event, Generic[T], kw_only=True, repr_omit_defaults=True):
    """An Event with a ``value`` of type T. Reading it raises Mismatch if it is no T, and if the event type has no
    value."""

    value: T
    prev: TypedEntry[T] | UnsetType | None = UNSET


@_raise_mismatch_on_read
class TypedUpdated(Updated, Generic[T], kw_only=True):
    """The result of an update, with a ``value`` of type T. Reading it raises Mismatch if KEEP left a value that is
    no T."""

    value: T


class TypedCodec(Generic[T]):
    """The conversion of a view: its type, its namespace, and the prefix of its keys."""

    def __init__(self, model: type[T], ns: str | None, prefix: str) -> None:
        if isinstance(msgspec.inspect.type_info(model), msgspec.inspect.CustomType):
            raise BadRequest(
                f"{_name(model)} is not a JSON type: use a dataclass, a msgspec.Struct, a TypedDict or a plain type.",
                field="model",
            )
        self.ns = ns
        self._model, self._prefix = model, prefix

    # --- keys ---------------------------------------------------------------------------------------------

    def key(self, key: str) -> str:
        """Return the hub's key of a key within the view."""
        return self._prefix + key

    def within(self, key: str) -> str:
        """Return the key within the view of the hub's key."""
        return key.removeprefix(self._prefix)

    def pattern(self, pattern: str) -> str:
        """Return the hub's pattern: the prefix stands for itself, whatever characters it has."""
        return quoted(self._prefix) + pattern

    # --- values that are read -----------------------------------------------------------------------------

    def entry(self, entry: Entry) -> TypedEntry[T]:
        """Return the entry, with a T or a Mismatch as its value."""
        value = self._read(entry.key, entry.value, entry.by)
        return TypedEntry(**{**structs.asdict(entry), "key": self.within(entry.key), "value": value})

    def event(self, event: Event) -> TypedEvent[T]:
        """Return the event, with a T or a Mismatch as its value."""
        fields = {name: getattr(event, name) for name in Event.__struct_fields__}
        fields["key"] = self.within(event.key)
        if event.value is UNSET:
            fields["value"] = Mismatch(f"An event of type {event.type} has no value.", key=event.key, path="$")
        else:
            fields["value"] = self._read(event.key, event.value, event.by)
        if isinstance(event.prev, Entry):
            fields["prev"] = self.entry(event.prev)
        return TypedEvent(**fields)

    def updated(self, key: str, updated: Updated) -> TypedUpdated[T]:
        """Return the reply to an update, with a T or a Mismatch as its value."""
        value = self._read(self.key(key), updated.value, None)
        return TypedUpdated(**{**structs.asdict(updated), "value": value})

    def value(self, key: str, plain: Any) -> T | None:
        """Return the value for the function of an update, None for an absent key. Raises Mismatch."""
        return None if plain is None else _value_or_raise(self._read(self.key(key), plain, None))

    # --- values that are written --------------------------------------------------------------------------

    def plain(self, key: str, value: T) -> Any:
        """Return the value as JSON holds it. Raises Mismatch if it could not be read as a T (rule 2)."""
        try:
            plain = msgspec.to_builtins(value, str_keys=True)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as fault:
            raise self._mismatch(self.key(key), str(fault), None) from None
        _value_or_raise(self._read(self.key(key), plain, None))
        return plain

    def decided(self, key: str, value: T | Keep) -> Any:
        """Return the result of the function of an update, in the form for the hub."""
        return value if value is None or isinstance(value, Keep) else self.plain(key, value)

    # --- within -------------------------------------------------------------------------------------------

    def _read(self, key: str, plain: Any, by: str | None) -> T | Mismatch:
        try:
            return msgspec.convert(plain, self._model, str_keys=True)
        except msgspec.ValidationError as fault:
            return self._mismatch(key, str(fault), by)

    def _mismatch(self, key: str, fault: str, by: str | None) -> Mismatch:
        what, _, path = fault.partition(" - at ")
        path = path.strip("`") or "$"
        author = f", written by {by}," if by else ""
        return Mismatch(
            f"The value of {key!r}{author} is not of type {_name(self._model)}: {what} at {path}. Correct the value, or"
            " the type.",
            key=key,
            path=path,
            expected=what,
        )


def _name(model: Any) -> str:
    return model.__name__ if isinstance(model, type) else str(model)


def _value_or_raise(outcome: T | Mismatch) -> T:
    if isinstance(outcome, Mismatch):
        raise outcome
    return outcome


class TypedMirrorView(Mapping[str, TypedEntry[T]]):
    """The part of a typed mirror that a program sees. Each value is converted once for as long as it stays."""

    def __init__(self, view: MirrorView, codec: TypedCodec[T]) -> None:
        self._view, self._codec = view, codec
        self._known: dict[str, tuple[Entry, TypedEntry[T]]] = {}

    def __getitem__(self, key: str) -> TypedEntry[T]:
        return self._typed(self._view[self._codec.key(key)])

    def __len__(self) -> int:
        return len(self._view)

    def __iter__(self) -> Iterator[str]:
        return iter([self._codec.within(key) for key in self._view])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._codec.key(key) in self._view

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries, {'in step' if self.synced else 'being filled'}>"

    def items(self) -> ItemsView[str, TypedEntry[T]]:
        """Return keys and entries of this moment."""
        return self.snapshot().items()

    def values(self) -> ValuesView[TypedEntry[T]]:
        """Return the entries of this moment."""
        return self.snapshot().values()

    def value(self, key: str, default: D | None = None) -> T | D | None:
        """Return the value under ``key``, or ``default`` if the key is absent. Raises Mismatch if it is no T."""
        entry = self.get(key)
        return default if entry is None else entry.value

    def snapshot(self) -> dict[str, TypedEntry[T]]:
        """Return a copy of all entries."""
        return {self._codec.within(key): self._typed(entry) for key, entry in self._view.items()}

    @property
    def synced(self) -> bool:
        """Return whether the mirror is up to date; False while a new snapshot arrives and the former state is
        shown."""
        return self._view.synced

    @property
    def rev(self) -> int:
        """Return the revision that the mirror shows: every write up to it that matches is included."""
        return self._view.rev

    @property
    def changes(self) -> int:
        """Return the number of changes since the mirror began."""
        return self._view.changes

    def _typed(self, entry: Entry) -> TypedEntry[T]:
        known = self._known.get(entry.key)
        if known is None or known[0] is not entry:
            if len(self._known) > 2 * len(self._view) + 100:
                self._known = {}  # most of these entries are gone
            known = self._known[entry.key] = (entry, self._codec.entry(entry))
        return known[1]

"""Values as a program's own types: what a view reads is a T, and what it writes can be read as one.

The rules:

1. **A value is judged where it is read.** It is converted when it comes; one that is no T is an entry, or an event,
   whose ``value`` raises Mismatch. So a value that does not fit never ends a watch, empties a list or stops a mirror,
   and all else can be seen of it: key, revision, who wrote it.
2. **What is written can be read.** A value is converted there and back before it is sent. So a mistake shows where it
   was made.
3. **Keys are those within the view:** without its prefix, in what it takes and in what it gives.

Nothing here sends or waits: `View` of `waggle.api.view` and of `waggle.blocking.view` are two shells over a
`TypedCodec`
and over
the methods of a `Hub`.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, structs

from waggle.api.compare_and_set import Keep
from waggle.api.mirror import MirrorView
from waggle.wire.errors import BadRequest, Mismatch, again
from waggle.wire.messages import Entry, Event, EventType, Updated
from waggle.wire.names import quoted

__all__ = ["TypedCodec", "TypedEntry", "TypedEvent", "TypedMirrorView", "TypedUpdated"]

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C", bound=type)

TYPES: tuple[EventType, ...] = ("set", "delete", "expire", "evict")
"""What a view's watcher is told of by default: what becomes of values."""


def _judged_when_read(cls: C) -> C:
    """Let ``value`` give what the field holds, or raise it if it is a Mismatch (rule 1)."""
    field: Any = cls.value  # type: ignore[attr-defined]

    def value(self: Any) -> Any:
        held = field.__get__(self)
        if isinstance(held, Mismatch):
            raise again(held)
        return held

    setattr(cls, "value", property(value, doc="The value as a T. Raises Mismatch if it is none."))  # noqa: B010
    return cls


@_judged_when_read
class TypedEntry(Entry, Generic[T], kw_only=True):
    """An Entry whose ``value`` is a T. Reading it raises Mismatch if what is stored is none."""

    value: T


@_judged_when_read
class TypedEvent(Event, Generic[T], kw_only=True, repr_omit_defaults=True):
    """An Event whose ``value`` is a T. Reading it raises Mismatch if it is none, and where the type has no value."""

    value: T
    prev: TypedEntry[T] | UnsetType | None = UNSET


@_judged_when_read
class TypedUpdated(Updated, Generic[T], kw_only=True):
    """What an update leaves. Reading ``value`` raises Mismatch if KEEP left it as it was, and that is no T."""

    value: T


class TypedCodec(Generic[T]):
    """What a view looks through: a type, a namespace, and the prefix of the keys."""

    def __init__(self, model: type[T], ns: str | None, prefix: str) -> None:
        if isinstance(msgspec.inspect.type_info(model), msgspec.inspect.CustomType):
            raise BadRequest(
                f"{_name(model)} is no type that JSON can be read as: use a dataclass, a msgspec.Struct, a TypedDict or"
                " a plain type.",
                field="model",
            )
        self.ns = ns
        self._model, self._prefix = model, prefix

    # --- keys ---------------------------------------------------------------------------------------------

    def key(self, key: str) -> str:
        """The key in the hub of a key within the view."""
        return self._prefix + key

    def within(self, key: str) -> str:
        """The key within the view of a key in the hub."""
        return key.removeprefix(self._prefix)

    def pattern(self, pattern: str) -> str:
        """The pattern in the hub: the prefix stands for itself, whatever characters it has."""
        return quoted(self._prefix) + pattern

    # --- values that are read -----------------------------------------------------------------------------

    def entry(self, entry: Entry) -> TypedEntry[T]:
        """The entry, its value a T or the Mismatch."""
        value = self._read(entry.key, entry.value, entry.by)
        return TypedEntry(**{**structs.asdict(entry), "key": self.within(entry.key), "value": value})

    def event(self, event: Event) -> TypedEvent[T]:
        """The event, its value a T or the Mismatch."""
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
        """The reply to an update, its value a T or the Mismatch."""
        value = self._read(self.key(key), updated.value, None)
        return TypedUpdated(**{**structs.asdict(updated), "value": value})

    def value(self, key: str, plain: Any) -> T | None:
        """What a function of the value is given, None for what is absent. Raises Mismatch."""
        return None if plain is None else _given(self._read(self.key(key), plain, None))

    # --- values that are written --------------------------------------------------------------------------

    def plain(self, key: str, value: T) -> Any:
        """The value as JSON holds it. Raises Mismatch if it could not be read as a T (rule 2)."""
        try:
            plain = msgspec.to_builtins(value, str_keys=True)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as fault:
            raise self._mismatch(self.key(key), str(fault), None) from None
        _given(self._read(self.key(key), plain, None))
        return plain

    def decided(self, key: str, value: T | Keep) -> Any:
        """What a function of the value has returned, for the hub."""
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


def _given(outcome: T | Mismatch) -> T:
    if isinstance(outcome, Mismatch):
        raise outcome
    return outcome


class TypedMirrorView(Mapping[str, TypedEntry[T]]):
    """What a program sees of a mirror, through a lens. Each value is converted once for as long as it stays."""

    def __init__(self, view: MirrorView, lens: TypedCodec[T]) -> None:
        self._view, self._lens = view, lens
        self._known: dict[str, tuple[Entry, TypedEntry[T]]] = {}

    def __getitem__(self, key: str) -> TypedEntry[T]:
        return self._typed(self._view[self._lens.key(key)])

    def __len__(self) -> int:
        return len(self._view)

    def __iter__(self) -> Iterator[str]:
        return iter([self._lens.within(key) for key in self._view])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._lens.key(key) in self._view

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries, {'in step' if self.synced else 'being filled'}>"

    def items(self) -> ItemsView[str, TypedEntry[T]]:
        """Keys and entries, as they are now."""
        return self.snapshot().items()

    def values(self) -> ValuesView[TypedEntry[T]]:
        """The entries, as they are now."""
        return self.snapshot().values()

    def value(self, key: str, default: D | None = None) -> T | D | None:
        """The value under ``key``, or ``default`` if it is absent. Raises Mismatch if it is no T."""
        entry = self.get(key)
        return default if entry is None else entry.value

    def snapshot(self) -> dict[str, TypedEntry[T]]:
        """A copy of everything as it is now."""
        return {self._lens.within(key): self._typed(entry) for key, entry in self._view.items()}

    @property
    def synced(self) -> bool:
        """False while a fresh snapshot is on its way and the former state is shown."""
        return self._view.synced

    @property
    def rev(self) -> int:
        """The revision that the entries show: whatever was written up to there, and matches, is in them."""
        return self._view.rev

    @property
    def changes(self) -> int:
        """How often the entries have changed since the mirror began."""
        return self._view.changes

    def _typed(self, entry: Entry) -> TypedEntry[T]:
        known = self._known.get(entry.key)
        if known is None or known[0] is not entry:
            if len(self._known) > 2 * len(self._view) + 100:
                self._known = {}  # most of it is of entries that are gone
            known = self._known[entry.key] = (entry, self._lens.entry(entry))
        return known[1]

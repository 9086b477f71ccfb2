"""The past of namespaces: what is left of what is gone, and of what was never kept.

Rules:
1. A version never starts again. Those of deleted keys are remembered one by one (graves); of graves that had to be
   forgotten only the highest version is (`forgotten`): a key without a grave starts above it.
2. Versions of entries that are not kept are gone after a restart. So that they do not start again either, a ceiling
   above them is kept (`versions`), ahead of need: it is written once for many writes.
3. A namespace in which something happened that is not kept is *fleeting*. At the next start that leaves a *gap*: whose
   cursor stands below it may have missed something (G2).
4. While the journal fails, nothing of this can be written down. A start after a hub that broke off in that state has
   *lost sight*: there is a gap everywhere, and versions start far above all that were known.

Namespaces beyond `most` share one past.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.persistence.records import Key, NamespaceRecord, Record

_AHEAD = 1_000
"""How far the ceiling of versions is raised above what is needed."""
_FAR = 1_000_000
"""How far above what is known versions start where nothing is known of what was given."""
_OTHERS = "*"


class NamespaceVersions:
    """The past of one namespace."""

    __slots__ = ("ceiling", "floor", "gap", "ns", "volatile")

    def __init__(self, ns: str) -> None:
        self.ns = ns
        self.floor = 0
        self.ceiling = 0
        self.volatile = False
        self.gap = 0

    @property
    def record_name(self) -> Key:
        return (NamespaceRecord.kind, self.ns)

    def record(self) -> Record:
        return NamespaceRecord(
            ns=self.ns, forgotten=self.floor, versions=self.ceiling, fleeting=self.volatile, gap=self.gap
        )


class VersionFloors:
    """The pasts of all namespaces."""

    def __init__(self, changed: DirtySet, most: int = 10_000) -> None:
        self._dirty = changed
        self._max_namespaces = most
        self._others = NamespaceVersions(_OTHERS)
        self._by_ns: dict[str, NamespaceVersions] = {_OTHERS: self._others}

    def __iter__(self) -> Iterator[NamespaceVersions]:
        return iter(self._by_ns.values())

    def _of(self, ns: str) -> NamespaceVersions:
        past = self._by_ns.get(ns)
        if past is None:
            if len(self._by_ns) >= self._max_namespaces:
                return self._others
            past = self._by_ns[ns] = NamespaceVersions(ns)
            past.floor = self._others.floor
            past.gap = self._others.gap
        return past

    def floor(self, ns: str) -> int:
        """The version above which a key without a grave starts."""
        return self._by_ns.get(ns, self._others).floor

    def raise_floor(self, ns: str, version: int) -> None:
        """The grave of a key with this version is remembered no longer."""
        if version > self.floor(ns):
            past = self._of(ns)
            past.floor = version
            self._dirty.mark(past)

    def mark_volatile(self, ns: str, version: int = 0) -> None:
        """Something happened that is not kept; of an entry this is the version."""
        past = self._by_ns.get(ns)
        if past is not None and past.volatile and version <= past.ceiling:
            return
        past = self._of(ns)
        past.volatile = True
        if version > past.ceiling:
            past.ceiling = version + _AHEAD
        self._dirty.mark(past)

    def gap(self, namespaces: Iterable[str] | None) -> int:
        """The last revision up to which something may be missing in these namespaces; None for all but the hub's."""
        if namespaces is None:
            return max(past.gap for past in self if not past.ns.startswith("$"))
        return max(self._by_ns.get(ns, self._others).gap for ns in namespaces)

    def restore(self, record: NamespaceRecord, rev: int) -> None:
        """A namespace comes back at a start at this revision: what was not kept of it is gone."""
        past = self._of(record.ns)
        past.floor = max(past.floor, record.forgotten, record.versions)
        past.ceiling = max(past.ceiling, record.versions)
        past.gap = max(past.gap, rev if record.fleeting else record.gap)
        self._dirty.mark(past)

    def mark_unknown(self, rev: int) -> None:
        """Up to this revision anything may have happened that was not kept, in any namespace."""
        for past in self:
            past.gap = rev
            past.floor = max(past.floor, past.ceiling) + _FAR
            self._dirty.mark(past)

    def roll_back(self, records: Iterable[NamespaceRecord]) -> None:
        """Of what is not kept these records tell all that has been seen."""
        known = {record.ns: record for record in records}
        for past in self:
            record = known.get(past.ns)
            past.volatile = record is not None and record.fleeting
            past.ceiling = 0 if record is None else record.versions
            self._dirty.mark(past)

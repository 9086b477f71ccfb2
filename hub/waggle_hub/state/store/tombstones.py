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

    __slots__ = ("fleeting", "forgotten", "gap", "ns", "versions")

    def __init__(self, ns: str) -> None:
        self.ns = ns
        self.forgotten = 0
        self.versions = 0
        self.fleeting = False
        self.gap = 0

    @property
    def record_name(self) -> Key:
        return (NamespaceRecord.kind, self.ns)

    def record(self) -> Record:
        return NamespaceRecord(
            ns=self.ns, forgotten=self.forgotten, versions=self.versions, fleeting=self.fleeting, gap=self.gap
        )


class VersionFloors:
    """The pasts of all namespaces."""

    def __init__(self, changed: DirtySet, most: int = 10_000) -> None:
        self._changed = changed
        self._most = most
        self._others = NamespaceVersions(_OTHERS)
        self._by_ns: dict[str, NamespaceVersions] = {_OTHERS: self._others}

    def __iter__(self) -> Iterator[NamespaceVersions]:
        return iter(self._by_ns.values())

    def _of(self, ns: str) -> NamespaceVersions:
        past = self._by_ns.get(ns)
        if past is None:
            if len(self._by_ns) >= self._most:
                return self._others
            past = self._by_ns[ns] = NamespaceVersions(ns)
            past.forgotten = self._others.forgotten
            past.gap = self._others.gap
        return past

    def forgotten(self, ns: str) -> int:
        """The version above which a key without a grave starts."""
        return self._by_ns.get(ns, self._others).forgotten

    def forget(self, ns: str, version: int) -> None:
        """The grave of a key with this version is remembered no longer."""
        if version > self.forgotten(ns):
            past = self._of(ns)
            past.forgotten = version
            self._changed.mark(past)

    def fleeting(self, ns: str, version: int = 0) -> None:
        """Something happened that is not kept; of an entry this is the version."""
        past = self._by_ns.get(ns)
        if past is not None and past.fleeting and version <= past.versions:
            return
        past = self._of(ns)
        past.fleeting = True
        if version > past.versions:
            past.versions = version + _AHEAD
        self._changed.mark(past)

    def gap(self, namespaces: Iterable[str] | None) -> int:
        """The last revision up to which something may be missing in these namespaces; None for all but the hub's."""
        if namespaces is None:
            return max(past.gap for past in self if not past.ns.startswith("$"))
        return max(self._by_ns.get(ns, self._others).gap for ns in namespaces)

    def restore(self, record: NamespaceRecord, rev: int) -> None:
        """A namespace comes back at a start at this revision: what was not kept of it is gone."""
        past = self._of(record.ns)
        past.forgotten = max(past.forgotten, record.forgotten, record.versions)
        past.versions = max(past.versions, record.versions)
        past.gap = max(past.gap, rev if record.fleeting else record.gap)
        self._changed.mark(past)

    def lose_sight(self, rev: int) -> None:
        """Up to this revision anything may have happened that was not kept, in any namespace."""
        for past in self:
            past.gap = rev
            past.forgotten = max(past.forgotten, past.versions) + _FAR
            self._changed.mark(past)

    def rewind(self, records: Iterable[NamespaceRecord]) -> None:
        """Of what is not kept these records tell all that has been seen."""
        known = {record.ns: record for record in records}
        for past in self:
            record = known.get(past.ns)
            past.fleeting = record is not None and record.fleeting
            past.versions = 0 if record is None else record.versions
            self._changed.mark(past)

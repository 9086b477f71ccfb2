"""A small world of keys: it makes changes as the engine does, and knows what must come back of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from msgspec import Raw, structs

from waggle_hub.state.log import Commit, Event, LockInfo
from waggle_hub.state.persistence.records import (
    ClaimRecord,
    EntryId,
    HubRecord,
    Key,
    NamespaceRecord,
    OutcomeRecord,
    Record,
    StoredState,
    SubscriptionRecord,
    TombstoneRecord,
    WriteBatch,
)
from waggle_hub.state.store.entry import Entry

NAMESPACES = ("default", "$agents", "z")
KEYS = ("a", "tâche/é", "task:1", "task:10", '𝔘 "quoted" \\')
KINDS = ("persistent", "transient", "cached", "versioned")
VALUES = (
    b"null",
    b'{"owner":"impl-1","n":-1.5e-300}',
    b'"(\xc2\xb5/\xc3\xbd"',
    b'["' + b"again and again " * 1_000 + b'"]',
    b'"' + "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(3_000)).encode() + b'"',
)
HISTORY = 3


@dataclass(frozen=True)
class State:
    """All that is kept, as `plain` shows it, and up to where commits are not asked for."""

    parts: dict[str, Any]
    floor: int

    def matches(self, kept: StoredState | None) -> bool:
        """Assert that the loaded state is this."""
        return plain(kept, self.floor) == self.parts


class World:
    """Keys, the log, and some records."""

    def __init__(self) -> None:
        self.rev = 0
        self.floor = 0
        self.versions: dict[EntryId, int] = {}
        self.entries: dict[EntryId, Entry] = {}
        self.commits: list[Commit] = []
        self.records: dict[Key, Record] = {}

    def turn(self, commits: list[list[Any]], records: list[Record], gone: list[int], cut: int) -> WriteBatch:
        """Let some commits happen, each of some steps; then what changed of what must survive."""
        before = dict(self.entries)
        first = len(self.commits)
        for steps in commits:
            self.rev += 1
            events = [event for step in steps for event in self._step(*step)]
            if events:
                self.commits.append(Commit(self.rev, tuple(events), sum(event.size for event in events)))
        changes = WriteBatch(
            commits=[commit for commit in self.commits[first:] if any(e.persisted for e in commit.events)]
        )
        for place in {
            (e.ns, e.key) for commit in changes.commits for e in commit.events if e.persisted and e.lock is None
        }:
            self._add(changes, place, before.get(place))
        for record in records:
            changes.records[record.name] = self.records[record.name] = record
        for number in gone:
            if self.records:
                name = sorted(self.records, key=str)[number % len(self.records)]
                del self.records[name]
                changes.records[name] = None
        self.floor = changes.floor = max(self.floor, self.rev - cut)
        return changes

    def _step(self, what: str, ns: int, key: int, kind: int, value: int) -> Iterable[Event]:
        place = NAMESPACES[ns], KEYS[key]
        prev, entry, grip = self.entries.get(place), None, None
        match what:
            case "set":
                entry = self._written(place, prev, KINDS[kind], VALUES[value])
            case "touch" if prev is not None:
                entry = structs.replace(prev, expires_at=1e9 + value / 3 if value else None)
            case "delete" | "expire" if prev is not None:
                self.versions[place] = prev.version
                del self.entries[place]
            case "lock":
                prev = None
                grip = LockInfo(session="s1", token=self.rev, expires_at=2e9, names=[place[1]])
            case "message":
                prev = None
            case _:
                return ()
        if entry is not None:
            self.entries[place] = entry
        event = Event(
            type=what, rev=self.rev, ns=place[0], key=place[1], at=self.rev / 7, by="impl-1", origin="s1",
            entry=entry, prev=prev, lock=grip, data=b"1" if what == "message" else None,
            late=0.25 if what == "expire" else None,
        )  # fmt: skip
        return (event,)

    def _written(self, place: EntryId, prev: Entry | None, kind: str, value: bytes) -> Entry:
        earlier: tuple[Entry, ...] = ()
        if kind == "versioned" and prev is not None:
            earlier = (_bare(prev), *prev.earlier)[:HISTORY]
        return Entry(
            ns=place[0],
            key=place[1],
            value=value,
            rev=self.rev,
            version=(prev.version if prev is not None else self.versions.get(place, 0)) + 1,
            kind=kind,
            created_at=prev.created_at if prev is not None else self.rev / 7,
            updated_at=self.rev / 7,
            expires_at=1e9 + 0.1 if len(value) % 2 else None,
            by="impl-1",
            meta=b'{"m":null}' if len(value) % 3 else None,
            created_rev=prev.created_rev if prev is not None else self.rev,
            earlier=earlier,
            owner="s1" if value == VALUES[2] else None,
        )

    def _add(self, changes: WriteBatch, place: EntryId, before: Entry | None) -> None:
        entry = self.entries.get(place)
        changes.entries[place] = entry if entry is not None and entry.persisted else None
        was = {old.version: old for old in before.earlier} if before is not None else {}
        now = {old.version: old for old in entry.earlier} if entry is not None else {}
        for version in was.keys() - now.keys():
            changes.earlier[(*place, version)] = None
        for version in now.keys() - was.keys():
            changes.earlier[(*place, version)] = now[version]

    def state(self) -> State:
        """Return the state that must come back if the store is closed now."""
        commits = []
        for commit in self.commits:
            told = [e for e in commit.events if e.persisted and (e.entry is None or e.entry.persisted)]
            if told:
                commits.append(Commit(commit.rev, tuple(told), 0))
        entries = [entry for _, entry in sorted(self.entries.items()) if entry.persisted]
        return State(plain(StoredState(entries, commits, list(self.records.values())), self.floor), self.floor)


def plain(kept: StoredState | None, floor: int = 0) -> dict[str, Any]:
    """All that counts of what was loaded, in a form that can be compared."""
    if kept is None:
        kept = StoredState([], [], [])
    return {
        "entries": [structs.astuple(_bare(e)) for e in kept.entries],
        "earlier": {(e.ns, e.key): [structs.astuple(old) for old in e.earlier] for e in kept.entries if e.earlier},
        "commits": [(c.rev, [_plain_event(e) for e in c.events]) for c in kept.commits if c.rev > floor],
        "records": {record.name: _plain_record(record) for record in kept.records},
    }


def _plain_event(event: Event) -> dict[str, Any]:
    prev = event.prev if event.prev is not None and event.prev.persisted else None
    return structs.asdict(event) | {
        "entry": event.entry and structs.astuple(_bare(event.entry)),
        "prev": prev and structs.astuple(_bare(prev)),
        "lock": event.lock and structs.asdict(event.lock),
    }


def _plain_record(record: Record) -> dict[str, Any]:
    return {name: bytes(v) if isinstance(v, Raw) else v for name, v in structs.asdict(record).items()}


def _bare(entry: Entry) -> Entry:
    return structs.replace(entry, earlier=())


# --- for hypothesis ------------------------------------------------------------------------------------------------

_steps = st.tuples(
    st.sampled_from(("set", "set", "set", "touch", "delete", "expire", "lock", "message")),
    st.integers(0, len(NAMESPACES) - 1),
    st.integers(0, len(KEYS) - 1),
    st.integers(0, len(KINDS) - 1),
    st.integers(0, len(VALUES) - 1),
)
_numbers = st.integers(0, 2**62)
_records = st.one_of(
    st.builds(HubRecord, epoch=st.sampled_from(("e1", "é")), rev=_numbers, sub=_numbers),
    st.builds(NamespaceRecord, ns=st.sampled_from(NAMESPACES), volatile=st.booleans()),
    st.builds(
        TombstoneRecord, ns=st.sampled_from(NAMESPACES), key=st.sampled_from(KEYS), version=_numbers, number=_numbers
    ),
    st.builds(
        OutcomeRecord, serial=st.integers(0, 3), session=st.just("s1"), rid=st.just("r"), ok=st.just(Raw(b'{"rev":1}'))
    ),
    st.builds(
        SubscriptionRecord, session=st.sampled_from(("s1", "s2")), sub=st.integers(0, 3), ns=st.just("default"),
        patterns=st.just(["a*"]), types=st.just(["set"]), values=st.booleans(), prev=st.booleans(), start=_numbers,
        snapshot=st.booleans(),
    ),
    st.builds(
        ClaimRecord, serial=st.integers(0, 3), session=st.just("s1"), id=st.one_of(st.integers(0, 9), st.just("x")),
        since=st.floats(0, 1e10), ns=st.just("default"), names=st.just(["n"]), mode=st.just("exclusive"),
        ttl=st.floats(0, 1e10), deadline=st.none() | st.floats(0, 1e10),
    ),
)  # fmt: skip
turns = st.fixed_dictionaries(
    {
        "commits": st.lists(st.lists(_steps, min_size=1, max_size=3), max_size=5),
        "records": st.lists(_records, max_size=4),
        "gone": st.lists(st.integers(0, 100), max_size=2),
        "cut": st.integers(0, 30),
    }
)
"""Arguments of `World.turn`."""


def random_turns(seed: int, number: int) -> Iterator[dict[str, Any]]:
    """So many arguments of `World.turn`, where it need not be hypothesis that chooses."""
    chance = random.Random(seed)
    whats = ("set", "set", "set", "touch", "delete", "lock")
    sizes = (len(NAMESPACES), len(KEYS), len(KINDS), len(VALUES))
    for turn in range(number):
        commits = [[(chance.choice(whats), *map(chance.randrange, sizes))] for _ in range(chance.randint(1, 5))]
        hub = HubRecord(epoch="e1", rev=turn)
        yield {"commits": commits, "records": [hub], "gone": [], "cut": 30}


def told(done: int, total: int) -> None:
    """Hear how far a store has read."""

"""The oracle over several lives of a hub: shown events by revision, and the state after each restart.

`Oracle` is a model that decides nothing: it is told each commit when it is shown, and holds against it what was shown
before. `Follow`s of it are those of `reader`, which believe nothing.
"""

from __future__ import annotations

import json
from bisect import bisect_right

from tests.walk.model import Model
from tests.walk.model_types import USUAL, Fields, ModelEntry, ModelEvent, ModelSession, Place, Scope
from tests.walk.reader import ENTRY_TYPES, ConflatedFollow, Follow
from waggle_hub.delivery.encoding import event_body
from waggle_hub.state.locks.request import LockRequest
from waggle_hub.state.log import Commit, Event
from waggle_hub.state.store.entry import Entry

Hold = tuple[str, str, int]
"""Namespace, name or text of a pattern, and token of a lock that is held."""


class Oracle(Model):
    """The events that were shown, and the state that follows from them."""

    def __init__(self, epoch: str) -> None:
        super().__init__(None, epoch, 0)
        self.locks: dict[Hold, Fields] = {}
        self.versions: dict[Place, int] = {}
        """The highest version of each key that was ever shown."""
        self.token = 0
        """The highest token that was ever shown."""
        self.fleeting: list[tuple[int, set[str]]] = []
        """For each life that is over: where the next began, and in which namespaces anything happened that was not
        kept."""
        self.denied: set[int] = set()
        """Revisions that were taken back."""
        self.touched: dict[tuple[str, str, int], list[float | None]] = {}
        """Deadlines that entries were given by touches, by namespace, key and revision; also before they were shown."""
        self.holds: dict[int, dict[Hold, Fields]] = {0: {}}
        self._revs = [0]

    def open_session(self, session: str, agent: str, ns: str) -> None:
        """Note a session that was opened."""
        self.stays[session] = ModelSession(session, "", agent, True, ns, {}, 0.0, 0, 0.0)

    # --- what happens ---

    def tell(self, commit: Commit) -> None:
        """A commit is shown."""
        assert commit.rev > self.rev, "no revision is given twice, and none goes back"
        assert commit.rev not in self.denied, "rolled back commits are never shown"
        for event in commit.events:
            self._check(event)
            self._take(event)
        self._stand(commit.rev, [_happening(event) for event in commit.events])

    def restart(self, rev: int, entries: dict[Place, Entry], held: list[LockRequest], fleeting: set[str]) -> None:
        """A new life begins at a revision, with these entries and locks. In these namespaces something happened in the
        last life that was not kept."""
        assert rev > self.rev, "a restart begins above all that was shown"
        self.entries = {place: item_of(entry) for place, entry in entries.items()}
        self.locks = {(claim.ns, key, claim.token or 0): _held(claim, key) for claim in held for key in claim.keys}
        self.fleeting.append((rev, fleeting))
        self._stand(rev, [])

    def lose(self, kept: dict[int, Commit]) -> None:
        """Of what was shown and is kept no more nothing is told again, but for what was never kept."""
        for rev, happened in self.commits.items():
            if rev not in kept:
                self.commits[rev] = [one for one in happened if one.fleeting]
        # Who is here is shown also while nothing can be written down, also beyond the versions that were reserved.
        self.versions = {place: version for place, version in self.versions.items() if place[0] != "$agents"}

    def _check(self, event: Event) -> None:
        place = event.ns, event.key
        if event.type == "set":
            assert event.entry is not None
            assert event.entry.version > self.versions.get(place, 0), f"a version of {place} is given twice"
            self.versions[place] = event.entry.version
        elif event.type == "touch":
            assert event.entry is not None
            assert event.entry.version == self.entries[place].version
        elif event.type == "lock":
            assert event.lock is not None
            assert event.lock.token == event.rev
            assert not self._conflicting(event), "two sessions never hold conflicting locks"

    def _conflicting(self, event: Event) -> list[Fields]:
        assert event.lock is not None
        others = [line for (ns, key, _), line in self.locks.items() if (ns, key) == (event.ns, event.key)]
        return [
            line for line in others if line["token"] != event.rev and "exclusive" in (line["mode"], event.lock.mode)
        ]

    def _take(self, event: Event) -> None:
        place = event.ns, event.key
        if event.entry is not None:
            self.entries[place] = item_of(event.entry)
        elif event.type in ENTRY_TYPES:
            self.entries.pop(place, None)
        elif event.type == "lock":
            body = _body(event)
            self.locks[event.ns, event.key, event.rev] = body
        elif event.type == "unlock":
            assert event.lock is not None
            assert isinstance(event.lock.token, int)
            del self.locks[event.ns, event.key, event.lock.token]

    def _stand(self, rev: int, happened: list[ModelEvent]) -> None:
        self.rev = rev
        self._revs.append(rev)
        self.commits[rev] = happened
        self.states[rev] = dict(self.entries)
        self.holds[rev] = dict(self.locks)

    # --- what was so ---

    def between(self, after: int, upto: int) -> list[ModelEvent]:
        """All that happened above one revision, up to and with another."""
        revs = self._revs[bisect_right(self._revs, after) : bisect_right(self._revs, upto)]
        return [event for rev in revs for event in self.commits.get(rev, ())]

    def state_at(self, rev: int) -> dict[Place, ModelEntry]:
        return self.states[self._revs[bisect_right(self._revs, rev) - 1]]

    def holds_at(self, rev: int) -> dict[Hold, Fields]:
        return self.holds[self._revs[bisect_right(self._revs, rev) - 1]]

    def may_have_missed(self, scope: Scope, cursor: int) -> bool:
        """Return whether an event that was not stored may have followed a cursor, in an earlier life."""
        return any(_meet(scope.ns, spaces) for end, spaces in self.fleeting if cursor < end)


EVERYWHERE = {"?"}
"""Namespaces of which nothing is known."""


def _meet(ns: str, spaces: set[str]) -> bool:
    return spaces is EVERYWHERE or any(one == ns or (ns == "*" and not one.startswith("$")) for one in spaces)


def item_of(entry: Entry) -> ModelEntry:
    return ModelEntry(
        entry.key, entry.ns, entry.rev, entry.version, entry.kind, entry.created_at, entry.updated_at,
        entry.expires_at, entry.by, None if entry.meta is None else json.loads(entry.meta), json.loads(entry.value),
        entry.owner, tuple(item_of(one) for one in entry.earlier),
    )  # fmt: skip


def _happening(event: Event) -> ModelEvent:
    more = _body(event)
    for name in ("type", "key", "ns", "at", "by"):
        more.pop(name)
    prev = None if event.prev is None else item_of(event.prev)
    fleeting = not event.persisted or (event.entry is not None and not event.entry.persisted)
    return ModelEvent(
        event.type, event.rev, event.ns, event.key, event.at, event.by, event.origin, more, prev, fleeting
    )


def _body(event: Event) -> Fields:
    body: Fields = json.loads(b"{" + event_body(event, values=True, prev=False))
    return body


def _held(claim: LockRequest, key: str) -> Fields:
    event = Event(type="lock", rev=claim.token or 0, ns=claim.ns, key=key, at=claim.granted_at, by=claim.agent,
                  origin=claim.session.id, lock=claim.info())  # fmt: skip
    return _body(event)


# --- readers -----------------------------------------------------------------------------------------------------


class Reader(Follow):
    """A subscription over several lives of the hub."""

    oracle: Oracle

    def __init__(self, oracle: Oracle, session: str, asked: Fields, reply: Fields) -> None:
        super().__init__(oracle, session, asked, reply)
        self.oracle = oracle
        self.asked = asked

    def hear(self, line: Fields, written: float) -> None:
        assert line.get("rev") not in self.oracle.denied or line["type"] in ("mark", "synced")
        if line["type"] == "lost":
            assert line.keys() == {"sub", "type", "reason"}
            self._check_reason(line["reason"])
            line = {**line, "reason": "compacted"}
        super().hear(line, written)

    def _check_reason(self, reason: str) -> None:
        if reason == "restart":
            again = self.shown is not None  # it has no cursor, and is told once more why it had to begin again
            unsure = self.promised and self.oracle.fleeting  # whether its snapshot was complete may have been forgotten
            assert again or unsure or self.oracle.may_have_missed(self.scope, self.cursor), "it has missed nothing"
        else:
            assert reason == "compacted"

    def _hear_shown(self, line: Fields, written: float) -> None:
        if line["type"] != "lock":
            super()._hear_shown(line, written)
            return
        assert self.shown is not None
        place = f"lock {line['ns']}", f"{line['key']} {line['token']}"
        assert place not in self.shown, "each lock once"
        self.shown[place] = line

    def _hear_synced(self, line: Fields, now: float) -> None:
        assert self.shown is not None
        locks = {place: self.shown.pop(place) for place in list(self.shown) if place[0].startswith("lock ")}
        held = self.oracle.holds_at(line["rev"])
        wanted = {
            (f"lock {ns}", f"{key} {token}"): hold
            for (ns, key, token), hold in held.items()
            if "lock" in self.scope.types and self.scope.covers(ns, key)
        }
        assert locks.keys() == wanted.keys()
        for place, hold in wanted.items():
            told = {"sub": self.sub, "rev": hold["token"], "after": 0, "snapshot": True, **hold}
            assert {**locks[place], "expires_at": 0} == {**told, "expires_at": 0}
        super()._hear_synced(line, now)

    def _said(self, event: ModelEvent) -> Fields:
        said = super()._said(event)
        if event.type not in {*ENTRY_TYPES, "touch"}:
            said.pop("prev", None)
        return said

    def _between(self, after: int, upto: int) -> list[ModelEvent]:
        return [event for event in self.oracle.between(after, upto) if self.scope.wants(event)]

    def _wanted_at(self, rev: int) -> dict[Place, ModelEntry]:
        return {place: item for place, item in self.oracle.state_at(rev).items() if self.scope.covers(*place)}

    def _deadlines(self, item: ModelEntry) -> list[float | None]:
        return [item.expires_at, *self.oracle.touched.get((item.ns, item.key, item.rev), ())]


class ConflatedReader(Reader, ConflatedFollow):
    """One with `conflate`."""


def begin_reader(oracle: Oracle, session: str, asked: Fields, reply: Fields) -> Reader:
    """Return the reader of a new subscription."""
    ns = asked.get("ns") or oracle.stays[session].ns
    scope = Scope(ns, frozenset(asked["patterns"]), frozenset(asked.get("types") or USUAL), asked.get("values", True),
                  asked.get("prev", False), asked.get("conflate"))  # fmt: skip
    oracle.stays[session].subs[reply["sub"]] = scope
    kind = Reader if scope.conflate is None else ConflatedReader
    return kind(oracle, session, asked, reply)

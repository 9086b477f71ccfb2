"""The reader of one subscription: checks each line against the model.

A `Follow` believes nothing: each line must be the next one that a reader of this subscription is owed (G3), and what
it has been told, put together, must be the state (G4). A `ConflatedFollow` is owed less, and no less: of what happened
from one mark to the next the latest of each key, and all that is not of a key.
"""

from __future__ import annotations

from typing import Any

from tests.walk.model import Model
from tests.walk.model_types import Fields, ModelEntry, ModelEvent, Place, Scope

ENTRY_TYPES = {"set", "delete", "expire", "evict"}


def begin_follow(model: Model, session: str, asked: Fields, reply: Fields) -> Follow:
    """Return the reader of a new subscription."""
    kind = Follow if asked.get("conflate") is None else ConflatedFollow
    return kind(model, session, asked, reply)


class Follow:
    """One subscription as its agent sees it."""

    def __init__(self, model: Model, session: str, asked: Fields, reply: Fields) -> None:
        self.model = model
        self.session = session
        self.sub: int = reply["sub"]
        self.scope: Scope = model.stays[session].subs[self.sub]
        self.echo: bool = asked.get("echo", True)
        resumed = reply.get("resumed", False)
        self.start: int = asked["since"]["rev"] if resumed else reply["rev"]
        self.cursor: int = self.start
        self.promised = not resumed and (asked.get("snapshot", False) or "since" in asked)
        """True if a snapshot was promised, or forced later."""
        self.shown: dict[Place, Fields] | None = {} if self.promised else None
        """The snapshot being received, None when there is none."""
        self.base: int | None = self.start if self.promised else None
        """The revision that the snapshot must have, if it is known."""
        self.believed: dict[Place, Fields] | None = None
        """Snapshot and tail put together."""
        self.group: list[Fields] = []
        """Lines of a revision that goes on."""
        self.lost = 0

    # --- what the agent does on its own ---

    def take_over(self, tell: bool) -> int | None:
        """The session goes on with another connection: the cursor to send, or None."""
        self.group = []
        if tell and self.shown is None:
            return self.cursor
        self.base = None
        self.believed = None
        self.shown = {} if self.promised else None
        if not self.promised:
            self.cursor = self.start
        return None

    # --- lines ---

    def hear(self, line: Fields, written: float) -> None:
        """The next line of this subscription; those of a snapshot were written at the instant given."""
        if line["type"] in ("lost", "synced"):
            assert not self.group, "neither a revision nor a delivery is ever split"
        if line["type"] == "lost":
            assert line == {"sub": self.sub, "type": "lost", "reason": "compacted"}
            self.shown, self.believed, self.base, self.promised = {}, None, None, True
            self.lost += 1
        elif line.get("snapshot"):
            self._hear_shown(line, written)
        elif line["type"] == "synced":
            self._hear_synced(line, written)
        elif line["type"] == "mark":
            self.hear_mark(line["rev"])
        else:
            self._hear_event(line)

    def hear_mark(self, rev: int) -> None:
        assert self.shown is None, "no mark speaks for a snapshot"
        assert not self.group, "a revision is never split"
        assert rev >= self.cursor
        assert not self.missed(rev), "a mark passes over nothing"
        self.cursor = rev

    def _hear_shown(self, line: Fields, written: float) -> None:
        assert self.shown is not None, "a snapshot is asked for, or told with a reason"
        place = line["ns"], line["key"]
        assert place not in self.shown, "each entry once"
        assert line["expires_at"] is None or line["expires_at"] > written, "nothing is seen past its deadline"
        self.shown[place] = line

    def _hear_synced(self, line: Fields, now: float) -> None:
        assert self.shown is not None
        rev = line["rev"]
        assert line == {"type": "synced", "rev": rev, "sub": self.sub}
        assert rev >= self.start if self.base is None else rev == self.base
        wanted = self._wanted_at(rev) if "set" in self.scope.types else {}
        assert self.shown.keys() <= wanted.keys()
        for place, item in wanted.items():
            deadlines = self._deadlines(item)
            if place in self.shown:
                self._check_shown(self.shown[place], item, deadlines)
            else:
                due = [at for at in deadlines if at is not None and at <= now]
                assert due, "nothing is left out but what is due"
        self.cursor = self.start = rev
        self.believed = self.shown if self.scope.types >= ENTRY_TYPES else None
        self.shown = None

    def _check_shown(self, line: Fields, item: ModelEntry, deadlines: list[float | None]) -> None:
        said = {"sub": self.sub, "type": "set", "rev": item.rev, "after": 0, "snapshot": True, "key": item.key,
                "ns": item.ns, "at": item.updated_at, "by": item.by, "version": item.version,
                "kind": item.kind, "created_at": item.created_at}  # fmt: skip
        if self.scope.values:
            said["value"] = item.value
        if item.meta is not None:
            said["meta"] = item.meta
        rest = dict(line)
        assert rest.pop("expires_at") in deadlines
        assert rest == said

    def _deadlines(self, item: ModelEntry) -> list[float | None]:
        """The deadline of an entry, and those that touches gave it since."""
        later = [event for rev in range(item.rev + 1, self.model.rev + 1) for event in self.model.commits.get(rev, ())]
        return [item.expires_at] + [
            event.more["expires_at"]
            for event in later
            if (event.type, event.ns, event.key) == ("touch", item.ns, item.key)
        ]

    def _hear_event(self, line: Fields) -> None:
        assert self.shown is None, "events come after the snapshot"
        rev = line["rev"]
        assert line["after"] <= (rev if self.group else self.cursor) < rev + bool(self.group), "the chain holds"
        assert not self._between(self.cursor, rev - 1), "nothing between two events is missing"
        assert not [event for event in self._between(line["after"], rev - 1) if not self._own(event)]
        events = self._between(rev - 1, rev)
        assert events, "nothing comes that was not asked for"
        assert not self._own(events[0])
        number = len(self.group)
        more = {"more": True} if number < len(events) - 1 else {}
        assert line == {**self._said(events[number]), "after": line["after"], **more}
        self.group.append(line)
        if not more:
            self.cursor, group, self.group = rev, self.group, []
            self._believe(group)

    def _said(self, event: ModelEvent) -> Fields:
        more = {name: value for name, value in event.more.items() if name != "value" or self.scope.values}
        if self.scope.prev and event.type != "message":
            more["prev"] = None if event.prev is None else event.prev.shown(self.scope.values)
        place = {"key": event.key, "ns": event.ns, "at": event.at, "by": event.by}
        return {"sub": self.sub, "rev": event.rev, "type": event.type, **place, **more}

    def _believe(self, group: list[Fields]) -> None:
        if self.believed is None:
            return
        for line in group:
            place = line["ns"], line["key"]
            if line["type"] == "set":
                self.believed[place] = line
            elif line["type"] in ENTRY_TYPES:
                self.believed.pop(place, None)

    # --- what is true ---

    def _own(self, event: ModelEvent) -> bool:
        return not self.echo and event.origin == self.session

    def _between(self, after: int, upto: int) -> list[ModelEvent]:
        revs = range(max(after + 1, 0), upto + 1) if upto - after < 10_000 else self.model.commits
        return [event for rev in revs for event in self.model.commits.get(rev, ()) if self.scope.wants(event)]

    def _wanted_at(self, rev: int) -> dict[Place, ModelEntry]:
        return {place: item for place, item in self.model.states[rev].items() if self.scope.covers(*place)}

    def missed(self, rev: int) -> list[ModelEvent]:
        """The events up to a revision that this agent should have by then, and has not."""
        return [event for event in self._between(self.cursor, rev) if not self._own(event)]

    def check_belief(self, now: float) -> None:
        """Snapshot and tail, put together, are the state at the cursor (G4)."""
        if self.believed is None or self.group or not self.echo:
            return
        wanted = self._wanted_at(self.cursor)
        assert self.believed.keys() <= wanted.keys()
        for place, item in wanted.items():
            line: dict[str, Any] | None = self.believed.get(place)
            if line is None:
                assert item.due(now), f"{place} is there, and its reader does not know"
            else:
                assert (line["rev"], line["version"]) == (item.rev, item.version)
                assert not self.scope.values or line["value"] == item.value


class ConflatedFollow(Follow):
    """A subscription with `conflate`: what comes up to a mark is one delivery, and stands for all since the last."""

    def take_over(self, tell: bool) -> int | None:
        """Of a delivery that was cut off, it keeps the revisions that are whole: events move the cursor."""
        while self.group and self.group[-1].get("more"):
            self.group.pop()
        if tell and self.group:
            self._believe(self.group)
            self.cursor = self.group[-1]["rev"]
        return super().take_over(tell)

    def hear_mark(self, rev: int) -> None:
        assert self.shown is None, "no mark speaks for a snapshot"
        assert rev >= self.cursor
        delivery, self.group = self.group, []
        wanted = self.missed(rev)
        assert len(delivery) == len(wanted), "all that is news, and nothing else"
        after = delivery[0]["after"] if delivery else self.cursor
        assert after <= self.cursor, "a delivery is chained to what came before it"
        for number, (line, event) in enumerate(zip(delivery, wanted, strict=True), 1):
            more = event.rev in [other.rev for other in wanted[number : number + 1]]
            assert line == {**self._said(event), "after": after, **({"more": True} if more else {})}
            after = after if more else event.rev
        self.cursor = rev
        self._believe(delivery)

    def _hear_event(self, line: Fields) -> None:
        assert self.shown is None, "events come after the snapshot"
        self.group.append(line)

    def missed(self, rev: int) -> list[ModelEvent]:
        """Return the events still due: not the agent's own, nor those that its own events superseded."""
        events = self._between(self.cursor, rev)
        news = [event for number, event in enumerate(events, 1) if not _superseded(event, events[number:])]
        return [event for event in news if not self._own(event)]


def _superseded(event: ModelEvent, later: list[ModelEvent]) -> bool:
    """Return whether later events supersede it: a write any write, a touch any write or touch, all else nothing."""
    types = {other.type for other in later if (other.ns, other.key) == (event.ns, event.key)}
    if event.type == "touch":
        return bool(types & {*ENTRY_TYPES, "touch"})
    return event.type in ENTRY_TYPES and bool(types & ENTRY_TYPES)

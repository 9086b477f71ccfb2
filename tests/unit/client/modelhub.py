"""A model of the hub for one client, without sockets and time: only the rules that a client relies on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.unit.client.fakehub import Line, welcome

Commit = list[Line]


@dataclass
class ModelSubscription:
    """A cursor of the hub: its start, and whether a snapshot was promised and is complete."""

    interest: int
    start: int
    snapshot: bool
    after: int = 0
    synced: bool = False
    """True once the end of the snapshot has left the hub."""
    conflated: bool = False
    waiting: dict[str, Line] = field(default_factory=dict)
    """The next delivery of a conflated subscription: the latest event of each key, in order."""


@dataclass
class ModelSession:
    """A session: its subscriptions by number, and the outcomes of its changes."""

    secret: str
    subscriptions: dict[int, ModelSubscription] = field(default_factory=dict)
    outcomes: dict[str, Line] = field(default_factory=dict)
    unheard: dict[int, int] | None = None
    """The numbers that the client knows, with the present ones, while the welcome that says so is on its way: should
    it be lost, the client comes with the old ones again, which may name other interests by now."""


class ModelHub:
    """Entries, a log with a floor, sessions, and at most one connection."""

    def __init__(self) -> None:
        self.epoch_number = 1
        self.rev = self.floor = 100
        self.entries: dict[str, Line] = {}
        self.history: list[tuple[int, Commit]] = []
        """Every commit ever: epoch number and events."""
        self.sessions: dict[str, ModelSession] = {}
        self.opened = 0
        self.session: ModelSession | None = None
        self.outbox: list[Line] = []
        self.states: dict[int, dict[str, str]] = {100: {}}
        """The values behind every revision at which a client may stand."""
        self.applied: list[str] = []
        """The value of each set that took effect, in order."""
        self._ids: set[int] = set()
        self._numbers: dict[tuple[str, ...], int] = {}
        self._shift = 0

    @property
    def epoch(self) -> str:
        return f"e{self.epoch_number}"

    def next_line(self) -> Line:
        """Return the next line for the client."""
        line = self.outbox.pop(0)
        if line.get("type") == "synced":
            assert self.session is not None
            subscription = self.session.subscriptions.get(line["sub"])
            if subscription is not None:
                subscription.synced = True
        if "subs" in line.get("ok", {}) and self.session is not None:
            self.session.unheard = None
        return line

    # --- what happens to the hub -----------------------------------------------------------------------------

    def connect(self) -> None:
        self.session, self.outbox, self._ids = None, [], set()

    def drop(self) -> None:
        self.session, self.outbox = None, []

    def end_sessions(self) -> None:
        """End every session, as after its grace."""
        self.sessions.clear()

    def compact(self) -> None:
        """Drop the log up to now."""
        self.floor = self.rev

    def renumber(self) -> None:
        """Give the same interests other numbers, as a restarted hub does."""
        self._shift += 1

    def begin_epoch(self) -> None:
        """Lose the log, and the state and the sessions if so chosen."""
        self.epoch_number += 1
        self.rev += 1_000
        self.floor = self.rev
        self.sessions.clear()
        self._remember()

    def write(self, changes: list[tuple[str, str | None]]) -> None:
        """Commit changes: each key is set, or deleted where the value is None."""
        self.rev += 1
        commit: Commit = []
        for key, value in changes:
            if value is None:
                if self.entries.pop(key, None) is not None:
                    commit.append({"type": "delete", "rev": self.rev, "key": key, "ns": "default", "at": 1.0})
            else:
                entry = {"type": "set", "rev": self.rev, "key": key, "ns": "default", "at": 1.0, "value": value}
                self.entries[key] = entry
                commit.append(entry)
        if not commit:
            self.rev -= 1
            return
        self.history.append((self.epoch_number, commit))
        self._remember()
        if self.session is not None:
            for number, subscription in self.session.subscriptions.items():
                self._tell(number, subscription, commit)

    def mark(self) -> None:
        """Send the mark of an idle connection."""
        self.tick()
        if self.session is not None:
            self.outbox.append({"type": "mark", "rev": self.rev})

    def tick(self) -> None:
        """Send the deliveries of conflated subscriptions."""
        if self.session is not None:
            for number, subscription in self.session.subscriptions.items():
                if subscription.waiting:
                    self._deliver(number, subscription)

    def _remember(self) -> None:
        self.states[self.rev] = {key: entry["value"] for key, entry in self.entries.items()}

    # --- the wire --------------------------------------------------------------------------------------------

    def receive(self, message: bytes) -> None:
        for text in message.split(b"\n"):
            command: Line = msgspec.json.decode(text)
            assert command["id"] not in self._ids, "an id twice"
            self._ids.add(command["id"])
            answer = getattr(self, f"_{command['op']}")
            if command["op"] != "hello":
                assert self.session is not None, "hello comes first"
            answer(command)

    def _reply(self, command: Line, **ok: Any) -> None:
        self.outbox.append({"id": command["id"], "ok": ok})

    def _refuse(self, command: Line, code: str) -> None:
        self.outbox.append({"id": command["id"], "error": {"code": code, "message": code}})

    def _hello(self, command: Line) -> None:
        assert self.session is None
        if "session" not in command:
            self.opened += 1
            name = f"s-{self.opened}"
            self.session = self.sessions[name] = ModelSession(secret=f"secret of {name}")
            ok = welcome(session=name, secret=self.session.secret, epoch=self.epoch, rev=self.rev)
            self._reply(command, **ok)
            return
        session = self.sessions.get(command["session"])
        if session is None:
            self._refuse(command, "session_lost")
            return
        assert command["secret"] == session.secret
        self.session = session
        cursors = {int(number): rev for number, rev in command["cursors"].items()}
        assert all(rev <= self.rev for rev in cursors.values()), "a cursor ahead of the hub"
        names = session.unheard or {number: number for number in session.subscriptions}
        before = {known: session.subscriptions[present] for known, present in names.items()}
        subs = {number: subscription.interest + self._shift for number, subscription in before.items()}
        session.subscriptions, session.unheard = {}, subs
        ok = welcome(session=command["session"], secret=session.secret, resumed=True, epoch=self.epoch)
        self._reply(command, **{**ok, "rev": self.rev, "subs": subs})
        for number, subscription in before.items():
            session.subscriptions[subs[number]] = subscription
            self._go_on(subs[number], subscription, cursors.get(number))

    def _go_on(self, number: int, subscription: ModelSubscription, cursor: int | None) -> None:
        if subscription.snapshot and (cursor is None or not subscription.synced):
            self._snapshot(number, subscription)
            return
        cursor = subscription.start if cursor is None else cursor
        if cursor < self.floor:
            self.outbox.append({"sub": number, "type": "lost", "reason": "compacted"})
            self._snapshot(number, subscription)
        else:
            self._replay(number, subscription, cursor)

    def _subscribe(self, command: Line) -> None:
        assert self.session is not None
        since = command.get("since")
        interest = (*sorted(set(command["patterns"])), "of", *sorted(command.get("types", ["default"])))
        interest += ("conflated",) if "conflate" in command else ()
        base = self._numbers.setdefault(interest, len(self._numbers) + 1)
        number = base + self._shift
        reason = None
        if since is not None:
            assert not command.get("snapshot"), "since says enough"
            reason = "epoch" if since["epoch"] != self.epoch else "compacted" if since["rev"] < self.floor else None
        subscription = ModelSubscription(base, self.rev, command.get("snapshot", False) or reason is not None)
        subscription.after = self.rev
        subscription.conflated = "conflate" in command
        self.session.subscriptions[number] = subscription
        ok: Line = {"sub": number, "epoch": self.epoch, "rev": self.rev}
        if since is not None:
            ok |= {"resumed": reason is None, "reason": reason}
        self._reply(command, **ok)
        if subscription.snapshot:
            self._snapshot(number, subscription)
        elif since is not None:
            subscription.start = since["rev"]
            self._replay(number, subscription, since["rev"])

    def _unsubscribe(self, command: Line) -> None:
        assert self.session is not None
        if self.session.subscriptions.pop(command["sub"], None) is None:
            self._refuse(command, "not_found")
        else:
            self._reply(command)

    def _set(self, command: Line) -> None:
        assert self.session is not None
        known = self.session.outcomes.get(command["rid"])
        if known is not None:
            self.outbox.append({"id": command["id"], "ok": known, "dup": True})
            return
        self.write([(command["key"], command["value"])])
        self.applied.append(command["value"])
        ok = {"rev": self.rev, "version": 1, "expires_at": None}
        self.session.outcomes[command["rid"]] = ok
        self._reply(command, **ok)

    def _get(self, command: Line) -> None:
        self._reply(command, entry=None, rev=self.rev)

    # --- events ----------------------------------------------------------------------------------------------

    def _tell(self, number: int, subscription: ModelSubscription, commit: Commit) -> None:
        if subscription.conflated:
            for event in commit:
                subscription.waiting.pop(event["key"], None)
                subscription.waiting[event["key"]] = event
            return
        for place, event in enumerate(commit, 1):
            line = {"sub": number, "after": subscription.after, **event}
            if place < len(commit):
                line["more"] = True
            self.outbox.append(line)
            subscription.after = event["rev"]

    def _deliver(self, number: int, subscription: ModelSubscription) -> None:
        for event in subscription.waiting.values():
            self.outbox.append({"sub": number, "after": subscription.after, **event})
            subscription.after = event["rev"]
        subscription.waiting = {}
        self.outbox.append({"sub": number, "type": "mark", "rev": self.rev})

    def _snapshot(self, number: int, subscription: ModelSubscription) -> None:
        subscription.waiting = {}
        subscription.snapshot, subscription.start, subscription.after = True, self.rev, self.rev
        subscription.synced = False
        for key in sorted(self.entries):
            self.outbox.append({"sub": number, "after": 0, "snapshot": True, **self.entries[key]})
        self.outbox.append({"sub": number, "type": "synced", "rev": self.rev})

    def _replay(self, number: int, subscription: ModelSubscription, cursor: int) -> None:
        subscription.after, subscription.waiting = cursor, {}
        for epoch, commit in self.history:
            if epoch == self.epoch_number and commit[0]["rev"] > cursor:
                self._tell(number, subscription, commit)
        self._deliver(number, subscription)
        subscription.after = self.rev

    def events_between(self, low: int, high: int) -> list[tuple[int, str, str]]:
        """Return all events above ``low`` and up to ``high``: revision, type, key."""
        return [
            (event["rev"], event["type"], event["key"])
            for _, commit in self.history
            for event in commit
            if low < event["rev"] <= high
        ]

"""A harness for a hub over several lives, agents that come back to it, and a disk that outlives it.

Engine, machine and fan-out are the real ones, without sockets, loop or clock; the journal (`tests.journals`) says that
a batch is kept when the walk says so, fails and recovers. What is shown is told to an `Oracle`, and what must survive
is compared at each batch with what `expected_store` collects afresh.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec
from msgspec import structs

from tests.journals import LateJournal, MemoryDisk
from tests.walk.expected_store import ExpectedStore, expected_store, plain
from tests.walk.hub_harness import INFO
from tests.walk.model_types import Fields, Scope
from tests.walk.observed import EVERYWHERE, Oracle, Reader, begin_reader
from waggle_hub.app import make_machine
from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.fanout import PendingReply, Released
from waggle_hub.edge.decode import decode
from waggle_hub.engine.engine import Engine
from waggle_hub.journal.interface import Done, JournalListener
from waggle_hub.settings import Bounds, Limits, Settings
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine
from waggle_hub.state.persistence.records import (
    ClaimRecord,
    DeliveryRecord,
    EntryId,
    Key,
    QueuedNoticeRecord,
    Record,
    SessionRecord,
    WriteBatch,
)
from waggle_hub.state.sessions import SessionIds
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.expiry import deadline_after

COMING_AND_GOING = ("hello", "bye")
"""Ops allowed while the journal fails: sessions are stored once it works again."""


class Agent:
    """One who comes, loses its connection, and comes back."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.session: str | None = None
        self.secret = ""
        self.has_session = False
        """True if the connection has a session, as far as is decided."""
        self.readers: dict[int, Reader] = {}
        self.left: list[Reader] = []
        """Subscriptions of a session that is over, to be gone on with in another."""
        self.muddled: set[int] = set()
        """Subscriptions that it cannot know about: the reply was lost."""
        self.answered: dict[int, Fields] = {}
        """The replies that the agent has read, by id."""
        self.resumed = False
        """Whether the agent has taken its session over: what it was sent before may then come again."""
        self.open: dict[int, Fields] = {}
        """Commands without an answer so far."""
        self.asked: dict[int, Fields] = {}
        """All that it ever asked."""
        self.next: deque[int] = deque()
        """Of these, what was answered at once: the answers come in this order."""
        self.decided: dict[int, Fields] = {}
        """The answers that were decided; a failure of the journal changes them."""
        self.rids: dict[str, Fields] = {}
        """Outcomes that it has heard, by rid."""
        self.joined: set[int] = set()
        """Of what it asked, that it asked again under another id: the newest is answered, unless that is taken back."""
        self.written = 0.0

    @property
    def is_connected(self) -> bool:
        return self.connection is not None and self.has_session


class CheckedJournal(LateJournal):
    """A journal that knows at each batch what should be on its disk."""

    def __init__(self, listener: JournalListener, disk: MemoryDisk, machine: Machine) -> None:
        super().__init__(listener, disk)
        self.machine = machine
        self.born = machine.state.log.rev
        """The revision at which this life began, or went on after a failure."""
        self.wanted: deque[ExpectedStore] = deque()
        self.latest: ExpectedStore | None = None
        """All that must survive, as of the newest batch."""
        self.kept_all: ExpectedStore | None = None
        """All that has survived."""

    def write(self, changes: WriteBatch, done: Done) -> None:
        self.latest = expected_store(self.machine.state)
        if self.owed is None:
            self.wanted.append(self.latest)
        super().write(changes, done)

    def commit(self, error: Exception | None = None) -> None:
        if error is None:
            changes, done = self.waiting.popleft()
            self._land(changes)
            done(None)
        else:
            self.wanted.clear()
            super().commit(error)

    def land(self) -> None:
        """The oldest batch is on the disk, but is never released."""
        changes, _ = self.waiting.popleft()
        self._land(changes)

    def recover(self) -> None:
        self.kept_all = self.latest
        super().recover()
        assert self.kept_all is not None
        self.kept_all.check_disk(self.disk, self.born)

    def _land(self, changes: WriteBatch) -> None:
        self.disk.write(changes)
        self.disk.steady = True
        self.kept_all = self.wanted.popleft()
        self.kept_all.check_disk(self.disk, self.born)


class RestartHarness:
    """The hub that lives now, its agents, and what is true."""

    def __init__(self, limits: Limits, bounds: Bounds, agents: int = 4) -> None:
        self.settings = Settings(limits=limits, bounds=bounds)
        self.limits, self.bounds = limits, bounds
        self.now = 1_000_000.0
        self.disk = MemoryDisk()
        self.agents = [Agent(f"agent-{number}") for number in range(agents)]
        self.oracle = Oracle("")
        self.flown: set[str] = set()
        """Namespaces in which something happened in this life that was not kept."""
        self.numbers: dict[int, Any] = {}
        """The scope of each subscription number."""
        self.failing = False
        self.unheard = 0
        """Number of batches that the last life wrote and did not release."""
        self.orphans: list[Connection] = []
        """Connections that were replaced and are not read."""
        self._drawn = 0
        self._ids = count(1)
        self._live(None)

    # --- lives ---

    def _live(self, kept_all: ExpectedStore | None) -> None:
        """A hub starts with what is on the disk, which is all of this."""
        kept = None if kept_all is None else self.disk.load()
        self.machine = make_machine(self.settings, "full", kept, self.now)
        state = self.machine.state
        if kept_all is not None:
            self._check_loaded(kept_all)
            held = list(state.lock_table.held.values())
            self.oracle.restart(state.log.rev, expected_store(state).shown, held, self.flown)
        self.oracle.epoch = state.epoch
        self.flown = {"$agents"}
        self.failing = False
        self.engine = Engine(
            self.machine, self._open_journal, self.bounds, lambda: self.now, INFO,
            loop=None, random_ids=self._fresh, timer=count().__next__,
        )  # fmt: skip
        self.fanout = self.engine.fanout
        self._listen()
        self.journal.write(self.machine.collect_changes([]), lambda error: None)
        self.journal.commit()
        self.engine.begin()

    def _open_journal(self, listener: JournalListener) -> CheckedJournal:
        self.journal = CheckedJournal(listener, self.disk, self.machine)
        return self.journal

    def _fresh(self) -> SessionIds:
        self._drawn += 1
        return SessionIds(f"s-{self._drawn}", f"secret-{self._drawn}", f"nobody-{self._drawn}")

    def _listen(self) -> None:
        """Hear of all that is released, and of what is taken back."""
        release, rewind = self.fanout.release, self.machine.roll_back

        def released(items: Iterable[Released]) -> None:
            items = list(items)
            for item in items:
                if isinstance(item, Commit):
                    assert not self.failing or all(event.type != "lock" for event in item.events)
                    self.oracle.tell(item)
                elif isinstance(item, PendingReply):
                    self._check_read(item)
            release(items)

        def rewound(commits: list[Commit], *rest: Any) -> None:
            rewind(commits, *rest)
            self.oracle.denied.update(commit.rev for commit in commits)
            self.journal.born = self.machine.state.log.rev
            self._check_rewound()

        self.fanout.release = released  # type: ignore[method-assign]
        self.machine.roll_back = rewound  # type: ignore[method-assign, assignment]

    def crash(self, landed: int, down: float) -> None:
        """The hub is gone, with all that was on its way, and started again after a while. So many of the batches that
        were on their way are on the disk, and were not released."""
        self.unheard = 0
        while self.journal.waiting and self.unheard < landed:
            self.journal.land()
            self.unheard += 1
        commits = {commit.rev: commit for commit in self.disk.load().commits}
        for rev, commit in sorted(commits.items()):
            if rev > self.oracle.rev and not self.failing:
                self.oracle.tell(commit)
        if self.failing:
            self.flown = EVERYWHERE
            self.oracle.lose(commits)
            for agent in self.agents:
                agent.rids.clear()
                for reader in (*agent.readers.values(), *agent.left):
                    reader.believed = None
        self._outlive(down)

    def stop(self, leave_first: bool, down: float) -> None:
        """The hub is stopped in good order, and started again after a while."""

        async def stop() -> None:
            await self.engine.drain(2.0)
            for agent in self.agents:
                if agent.connection is not None and leave_first:
                    self.leave(agent)
            await self.engine.close()

        self.unheard = 0
        asyncio.run(stop())
        while self.journal.waiting:
            self.journal.commit()
        if self.failing:
            self.journal.recover()
            self.failing = False
        assert self.machine.state.hub_record.running is None or self.engine._failure is not None
        self._outlive(down)

    def _outlive(self, down: float) -> None:
        kept_all = self.journal.kept_all
        assert kept_all is not None
        self.orphans.clear()
        for agent in self.agents:
            self._break(agent)
            session = kept_all.rest["sessions"].get(agent.session)
            told = [one for one in kept_all.records.values() if isinstance(one, QueuedNoticeRecord)]
            unsaid = [one.id for one in told if one.session == agent.session and one.lost is None]
            waits = [] if session is None else [*session["waiting"], *unsaid]
            agent.open = {id: agent.asked[id] for id in waits}  # answers that were not kept are given once more
        self.now += down
        self._live(kept_all)

    def fail(self) -> None:
        """The disk is full, or worse: what is on its way to it is not kept."""
        assert not self.failing
        self.failing = True
        batches = [*self.engine._unreleased, self.engine._batch]
        undone = {item.id for batch in batches for item in batch if isinstance(item, PendingReply)}
        self.journal.commit(OSError("no space"))
        assert not self.engine._unreleased
        for agent in self.agents:
            agent.decided = {id: reply for id, reply in agent.decided.items() if id not in undone}
            agent.has_session = agent.connection is not None and agent.connection.session is not None
            agent.open |= {id: agent.asked[id] for id in self._waits_of(agent)}

    def recover(self) -> None:
        """There is room again."""
        self.turn()
        self.failing = False
        self.journal.recover()

    # --- what comes back ---

    def _check_loaded(self, wanted: ExpectedStore) -> None:
        state = self.machine.state
        found = expected_store(state)
        self._check_same(found, wanted, fresh=True)
        assert _whole_all(found.shown) == _whole_all(wanted.entries), "what was kept comes back, and nothing else"
        assert all(one.deadline == deadline_after(self.now, self.limits.grace) for one in state.sessions)
        if not self.failing and not self.unheard:
            kept = {place: one for place, one in self.oracle.entries.items() if one.kind in ("persistent", "versioned")}
            assert _views(found.shown) == {place: item.shown() for place, item in kept.items()}
            assert self._held() == self.oracle.locks.keys(), "who saw that a lock is held still does"

    def _check_rewound(self) -> None:
        assert self.journal.kept_all is not None
        found = expected_store(self.machine.state)
        self._check_same(found, self.journal.kept_all, fresh=False)
        assert _views(found.shown) == {place: item.shown() for place, item in self.oracle.entries.items()}
        assert self._held() == self.oracle.locks.keys()

    def _check_same(self, found: ExpectedStore, wanted: ExpectedStore, fresh: bool) -> None:
        mine = {name: record for name, record in found.records.items() if record.kind not in ("hub", "space")}
        kept = self._as_restored(wanted, fresh)
        assert mine.keys() == kept.keys(), mine.keys() ^ kept.keys()
        for name, record in kept.items():
            other = mine[name]
            if (
                isinstance(record, SessionRecord)
                and isinstance(other, SessionRecord)
                and other.last == round(self.now, 3)
            ):
                assert record.last in (None, other.last), "until now it was connected, as far as is known"
                record = structs.replace(record, last=other.last)
            assert plain(record) == plain(other), f"{plain(record)} was kept, and {plain(other)} came back"
        assert found.rest == wanted.rest, f"{wanted.rest} was kept, and {found.rest} came back"
        assert found.graves == (wanted.graves if self.disk.steady else []), (
            f"{wanted.graves} were kept, and {found.graves} came back"
        )
        floor = max(found.floor, wanted.floor)
        told = {rev: commit for rev, commit in found.commits.items() if rev > floor}
        assert told == {rev: commit for rev, commit in wanted.commits.items() if rev > floor}

    def _as_restored(self, wanted: ExpectedStore, fresh: bool) -> dict[Key, Record]:
        """The records as they come back: of what is not kept there are no deliveries, and locks have a fresh grace."""
        restored = {}
        until = deadline_after(self.now, self.limits.grace)
        for name, record in wanted.records.items():
            if record.kind in ("hub", "space"):
                continue
            if fresh and isinstance(record, DeliveryRecord) and (record.ns, record.key) not in wanted.entries:
                continue
            if isinstance(record, ClaimRecord) and record.token is not None:
                record = structs.replace(record, deadline=max(record.deadline or until, until))
            restored[name] = record
        return restored

    def _held(self) -> set[tuple[str, str, int]]:
        held = self.machine.state.lock_table.held
        return {(claim.ns, key, token) for token, claim in held.items() for key in claim.keys}

    # --- the loop ---

    def turn(self) -> None:
        """The loop turns: what was decided goes to the journal as one batch."""
        self.engine.flush()

    def commit(self, most: int = 1_000) -> None:
        """The journal has written its oldest batches."""
        while self.journal.waiting and most:
            self.journal.commit()
            most -= 1

    def show(self) -> None:
        self.turn()
        self.commit()

    def tick(self) -> None:
        """Settle what is due, in the order of the deadlines."""
        decided = len(self.engine._batch)
        self.engine._expiry.expire()
        events = [e for item in self.engine._batch[decided:] if isinstance(item, Commit) for e in item.events]
        expired = [e.prev for e in events if e.type == "expire" and e.prev is not None and e.ns != "$seen"]
        deadlines = [entry.expires_at or 0.0 for entry in expired]
        assert deadlines == sorted(deadlines)

    def deliver(self, early: bool = False) -> None:
        """Make the deliveries of conflated subscriptions that are due, or `early` all of them."""
        while (due := self.fanout.next_delivery_at()) is not None and (early or due <= self.now):
            self.fanout.conflate(max(due, self.now))

    def settle(self) -> None:
        """Everything decided is shown, and everybody has read everything."""
        for _ in range(10_000):
            self.show()
            for _ in range(1_000):
                if not self.machine.has_pending_scan:
                    break
                self.engine.continue_scan()
            else:
                raise AssertionError("the machine never comes to rest")
            self.deliver(early=True)
            busy = [self.read(agent, 50) for agent in self.agents]
            if not any(busy) and not self.engine._batch and not self.journal.waiting:
                return
        raise AssertionError("it never comes to rest")

    # --- what agents do ---

    def ask(self, agent: Agent, op: str, /, **asked: Any) -> Fields | None:
        """One command; the answer as decided, None if it waits."""
        assert agent.connection is not None
        if "rid" in asked:
            asked["rid"] = f"{op} {asked['rid']}"
        self._note_what_flies(agent, op, asked)
        id = next(self._ids)
        decided = len(self.engine._batch)
        self.engine.submit(agent.connection, decode(json.dumps({"id": id, "op": op, **asked})))
        given_off = self.engine._batch[decided:]
        for event in (event for item in given_off if isinstance(item, Commit) for event in item.events):
            if event.type == "touch" and event.entry is not None:
                place = event.ns, event.key, event.entry.rev
                self.oracle.touched.setdefault(place, []).append(event.entry.expires_at)
        agent.open[id] = agent.asked[id] = {"op": op, **asked}
        lines = [item for item in given_off if isinstance(item, PendingReply) and item.id == id]
        if self.failing:
            self._check_refused(agent, op, [item for item in given_off if isinstance(item, Commit)])
        if not lines:
            assert op in ("lock", "wait", "take")
            if "rid" in asked:
                agent.joined |= {other for other, known in agent.open.items() if known.get("rid") == asked["rid"]} - {
                    id
                }
            return None
        (line,) = lines
        reply: Fields = json.loads(line.text.data)
        agent.next.append(id)
        agent.decided[id] = reply
        return reply

    def _note_what_flies(self, agent: Agent, op: str, asked: Fields) -> None:
        steps = [(op, asked)] + [(step["op"], step) for step in asked.get("then", ())]
        for op, fields in steps:
            if op == "publish" or fields.get("kind") in ("transient", "cached"):
                session = self.machine.state.sessions.get(getattr(agent.connection, "session", None) or "")
                self.flown.add(fields.get("ns") or (session.ns if session is not None else "default"))

    def _check_refused(self, agent: Agent, op: str, commits: list[Commit]) -> None:
        """While the journal fails nothing is done that would have to survive."""
        session = agent.connection.session if agent.connection is not None else None
        for commit in commits:
            for event in commit.events:
                assert event.type != "lock"
                if event.persisted and event.origin == session and event.type in ("set", "touch", "delete"):
                    assert op in COMING_AND_GOING

    def hello(self, agent: Agent, /, **asked: Any) -> None:
        """A new connection and a new session; what it had before is left to its grace."""
        if agent.connection is not None:
            self.leave(agent)
        if agent.session is not None:
            self._forget_session(agent)
        agent.connection = Connection(self.bounds)
        reply = self.ask(agent, "hello", **asked)
        assert reply is not None
        agent.has_session = "ok" in reply
        if agent.has_session:
            self.oracle.open_session(reply["ok"]["session"], reply["ok"]["agent"], asked.get("ns") or "default")

    def take_over(self, agent: Agent, forget: bool, leave_first: bool) -> None:
        """Another connection for its session; if it is to `forget`, it sends no cursors."""
        older = agent.connection
        if older is not None and leave_first:
            self.leave(agent)
            older = None
        self._break(agent)
        self._keep_what_waits(agent)
        cursors = {sub: reader.take_over(not forget) for sub, reader in agent.readers.items()}
        reached = {str(sub): rev for sub, rev in cursors.items() if rev is not None}
        agent.connection = Connection(self.bounds)
        reply = self.ask(agent, "hello", session=agent.session, secret=agent.secret, cursors=reached)
        assert reply is not None
        agent.has_session = "ok" in reply
        if older is not None:
            self.orphans.append(older)

    def end_orphans(self) -> None:
        """Close the connections that were replaced and are not read."""
        for orphan in self.orphans:
            self.engine.leave(orphan)
            orphan.close(1000)
        self.orphans.clear()

    def come_back(self, agent: Agent, /, **asked: Any) -> None:
        """A new session, that goes on with the subscriptions of the one before."""
        self.hello(agent, **asked)
        if not agent.has_session:
            return
        for reader in agent.left:
            if reader.shown is None and not reader.group:
                since = {"epoch": self.oracle.epoch, "rev": reader.cursor}
                self.ask(agent, "subscribe", **{**_fields(reader), "since": since})

    def leave(self, agent: Agent) -> None:
        """The connection breaks; what was on its way is lost."""
        connection = agent.connection
        assert connection is not None
        self._break(agent)
        self.engine.leave(connection)
        connection.close(1000)
        self._keep_what_waits(agent)

    def _break(self, agent: Agent) -> None:
        for id in agent.next:
            asked, reply = agent.open.get(id, {}), agent.decided.get(id, {})
            sub = asked.get("sub") if asked.get("op") == "unsubscribe" else reply.get("ok", {}).get("sub")
            if sub is not None:
                agent.muddled.add(sub)
                agent.readers.pop(sub, None)
            agent.open.pop(id, None)
        for id, asked in agent.open.items():
            assert asked["op"] in ("lock", "wait", "take"), (id, asked)
        agent.next.clear()
        agent.decided.clear()
        agent.connection = None
        agent.has_session = False

    def _keep_what_waits(self, agent: Agent) -> None:
        """Keep of the open commands those that wait, or were answered while the agent was away."""
        waits = self._waits_of(agent)
        agent.open = {id: asked for id, asked in agent.open.items() if id in waits}

    def _waits_of(self, agent: Agent) -> set[Any]:
        return {id for session, id in self.machine.unanswered_commands() if session == agent.session}

    def _forget_session(self, agent: Agent) -> None:
        agent.left = list(agent.readers.values())
        agent.session = None
        agent.readers = {}
        agent.muddled = set()
        agent.open = {}
        agent.rids = {}

    # --- what agents hear ---

    def read(self, agent: Agent, most: int = 1) -> bool:
        """Take out and check as many writes as that; whether there was anything to do."""
        busy = False
        while most and agent.connection is not None and self._write(agent, agent.connection):
            busy = True
            most -= 1
        return busy

    def _write(self, agent: Agent, connection: Connection) -> bool:
        """One step of `Connection.write`, without a loop."""
        text = connection.take()
        if text is not None:
            for line in str(text).split("\n"):
                self._hear(agent, json.loads(line))
            return True
        if connection.closing is not None:
            self.leave(agent)
            if connection.closing[0] == 1000:
                self._forget_session(agent)
            return True
        if connection.ready:
            agent.written = self.now
            self.fanout.ready(connection)
            self.fanout.catch_up()
            return True
        return False

    def _hear(self, agent: Agent, line: Fields) -> None:
        told = line.get("ok", line).get("rev", 0)
        assert told <= self.fanout.rev, "only released revisions are sent"
        if "id" in line:
            self._hear_reply(agent, line)
        elif "lost" in line:
            assert not [hold for hold in self.oracle.locks if hold[2] == line["lost"]["token"]]
        elif "sub" in line:
            reader = agent.readers.get(line["sub"])
            assert reader is not None or line["sub"] in agent.muddled, f"nobody asked for {line}"
            if reader is not None:
                reader.hear(line, agent.written)
        else:
            assert line == {"type": "mark", "rev": line["rev"]}
            for reader in agent.readers.values():
                reader.hear_mark(line["rev"])

    def _hear_reply(self, agent: Agent, line: Fields) -> None:
        id = line.pop("id")
        if id not in agent.open:
            assert agent.resumed, "it was answered twice"
            assert agent.asked[id]["op"] in ("lock", "take", "wait"), "only what waits is answered again"
            assert agent.answered.setdefault(id, line) == line, "what comes again is the same"
            return
        agent.answered[id] = line
        asked = agent.open.pop(id)
        if id in agent.next:
            assert agent.next.popleft() == id, "answers come in the order of the commands"
        decided = agent.decided.pop(id, None)
        assert decided in (None, {"id": id, **line}), "what was decided is what is told"
        self._check_rid(agent, asked, line)
        ok = line.get("ok")
        if asked["op"] == "hello":
            self._hear_welcome(agent, asked, line)
        elif asked["op"] == "subscribe" and ok is not None:
            self._begin_reader(agent, asked, ok)
        elif asked["op"] == "unsubscribe" and ok is not None:
            agent.readers.pop(asked["sub"], None)
            agent.muddled.discard(asked["sub"])

    def _check_rid(self, agent: Agent, asked: Fields, line: Fields) -> None:
        """The same rid has its effect once, over restarts, too (G10)."""
        rid = asked.get("rid")
        code = line.get("error", {}).get("code")
        if rid is None or code not in (None, "conflict"):
            return
        answer: Fields = line["ok"] if code is None else line["error"]
        body = {name: value for name, value in answer.items() if name != "dup"}
        if rid in agent.rids:
            assert line.get("dup") is True, "it was done twice"
            assert agent.rids[rid] == body
        agent.rids[rid] = body

    def _hear_welcome(self, agent: Agent, asked: Fields, line: Fields) -> None:
        if "error" in line:
            assert line["error"]["code"] in ("session_lost", "unavailable", "limit"), line
            if line["error"]["code"] == "session_lost":
                self._forget_session(agent)
            return
        welcome = line["ok"]
        agent.resumed |= welcome["resumed"]
        subs = {int(sub) for sub in welcome["subs"]}
        agent.session, agent.secret = welcome["session"], welcome["secret"]
        agent.readers = {sub: reader for sub, reader in agent.readers.items() if sub in subs}
        agent.muddled = subs - agent.readers.keys()

    def _begin_reader(self, agent: Agent, asked: Fields, ok: Fields) -> None:
        assert agent.session is not None
        reader = begin_reader(self.oracle, agent.session, asked, ok)
        interest = reader.scope
        if ok.get("resumed") is False:
            self._check_reason(asked, ok, interest)
        assert self.numbers.setdefault(reader.sub, interest) == interest, "no number is given for something else"
        for left in agent.left:
            if ok.get("resumed") and left.scope == interest and left.cursor == reader.cursor:
                reader.believed = left.believed  # what it was told in the session before still holds
        agent.readers[reader.sub] = reader
        agent.muddled.discard(reader.sub)

    def _check_reason(self, asked: Fields, ok: Fields, scope: Scope) -> None:
        since = asked["since"]
        if ok["reason"] == "epoch":
            assert since["epoch"] != self.oracle.epoch
        elif ok["reason"] == "restart":
            assert self.oracle.may_have_missed(scope, since["rev"])
        else:
            assert ok["reason"] == "compacted"

    def _check_read(self, line: PendingReply) -> None:
        """Assert that a read returns only what was shown so far."""
        for agent in self.agents:
            asked = agent.open.get(line.id) if isinstance(line.id, int) else None
            if asked is None or asked["op"] != "get":
                continue
            ok = json.loads(line.text.data).get("ok")
            if ok is not None:
                item = self.oracle.entries.get((asked["ns"], asked["key"]))
                assert ok["entry"] is None or (item is not None and ok["entry"] == item.shown())

    # --- what always holds ---

    def check(self) -> None:
        self.machine.check()
        waits = self.machine.unanswered_commands()
        for agent in self.agents:
            if agent.connection is not None and agent.has_session:
                silent = [id for id in agent.open if id not in agent.next]
                lost = [id for id in silent if (agent.connection.session, id) not in waits]
                assert all(id in agent.joined or self._on_its_way(agent, id) for id in lost), "left unanswered"
        if not self.engine._batch and not self.engine._unreleased:
            assert _views(expected_store(self.machine.state).shown) == {
                place: item.shown() for place, item in self.oracle.entries.items()
            }
            assert self._held() == self.oracle.locks.keys()

    def _on_its_way(self, agent: Agent, id: int) -> bool:
        """Return whether the reply to a command that has waited was decided and is not read yet."""
        batches = [*self.engine._unreleased, self.engine._batch]
        decided = any(isinstance(item, PendingReply) and item.id == id for batch in batches for item in batch)
        assert agent.connection is not None
        released = any(
            json.loads(str(text).split("\n")[0]).get("id") == id
            for text, _, event in agent.connection._lines
            if not event
        )
        return decided or released

    def check_rest(self) -> None:
        """Assert, when all is read, that no event was missed, every command answered, and no reply is owed."""
        waits = self.machine.unanswered_commands()
        for agent in self.agents:
            if agent.connection is None or not agent.has_session:
                continue
            for reader in agent.readers.values():
                assert reader.shown is None, "its snapshot never ended"
                assert not reader.group, "its revision never ended"
                assert not reader.missed(self.fanout.rev), "it has missed something"
                reader.check_belief(self.now)
            for id in agent.open:
                assert id in agent.joined or (agent.session, id) in waits, "every command is answered"
            assert agent.connection.reserved_bytes == 0
            assert agent.connection.unsent_bytes == 0

    def end(self) -> None:
        """Everybody comes back, everything is answered, and nothing is left of anybody who has gone."""
        if self.engine._failure is not None:
            self.crash(0, 1.0)
        if self.failing:
            self.recover()
        self.end_orphans()
        self.settle()
        self.check()
        for agent in self.agents:
            if agent.session is not None and not agent.is_connected:
                self.take_over(agent, forget=False, leave_first=True)
            elif not agent.is_connected:
                self.come_back(agent, agent=agent.name)
        self.settle()
        self.check()
        self.check_rest()
        self.now += 1_000.0
        self.tick()
        self.settle()
        self.check_rest()
        for agent in self.agents:
            if agent.is_connected:
                self.ask(agent, "bye")
        self.settle()
        self.now += 1_000.0
        self.tick()
        self.settle()
        self.check()
        state = self.machine.state
        assert not len(state.sessions)
        assert not state.lock_table.held
        kinds = {record.kind for record in self.disk.all_records()}
        assert kinds <= {"hub", "space", "grave", "delivery"}, kinds


def _views(entries: dict[EntryId, Entry]) -> dict[EntryId, Fields]:
    return {place: json.loads(msgspec.json.encode(entry.to_wire())) for place, entry in entries.items()}


def _whole_all(entries: dict[EntryId, Entry]) -> dict[EntryId, Any]:
    return {place: msgspec.to_builtins(entry) for place, entry in entries.items()}


def _fields(reader: Reader) -> Fields:
    """Return the fields that resume a subscription."""
    return {name: value for name, value in reader.asked.items() if name not in ("op", "since", "snapshot")}

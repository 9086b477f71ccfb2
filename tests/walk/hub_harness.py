"""A whole hub without sockets, loop or clock: the real engine, machine and fan-out, and agents that take lines out.

A turn of the loop happens when the walk says so (`turn`), and so do a commit of the journal (`commit`) and a write to
an agent (`read`). ExpectedStore is decided twice, by the hub and by the model, and compared at once.
"""

from __future__ import annotations

import json
from collections import deque
from itertools import count
from typing import Any

import msgspec

from tests.journals import LateJournal
from tests.walk.model import Model
from tests.walk.model_types import Fields
from tests.walk.reader import Follow, begin_follow
from waggle.wire import messages as m
from waggle.wire.patterns import compile_pattern
from waggle_hub.delivery.connection import Connection
from waggle_hub.delivery.fanout import Fanout, PendingReply
from waggle_hub.delivery.feed import Cursor
from waggle_hub.edge.decode import decode
from waggle_hub.engine.engine import Engine
from waggle_hub.journal.interface import JournalListener
from waggle_hub.settings import Bounds, Limits
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

INFO = m.Welcome(session="", secret="", agent="", resumed=False, epoch="", rev=0, grace=0.0,
                 hub=m.HubInfo("waggle", "0"), features=[], durability="memory", limits={}, subs={})  # fmt: skip


class ObservedConnection(Connection):
    """A connection that remembers which subscriptions fell behind and have not caught up: G11 leaves those out."""

    def __init__(self, bounds: Bounds, fanout: Fanout | None) -> None:
        """With a fan-out that flushes it, it writes to a pipe; else its lines are taken."""
        self.pipe = None if fanout is None else FakeTransport(self)
        if fanout is None:
            super().__init__(bounds)
        else:
            super().__init__(bounds, socket=self.pipe, wake=fanout.wake)
        self.refilled: set[int] = set()

    def start_catchup(self, cursor: Cursor) -> None:
        super().start_catchup(cursor)
        self.refilled.add(cursor.feed.sub)


class FakeTransport:
    """A socket that takes frames at once, and has room for one: beyond that it waits for its agent to read."""

    def __init__(self, connection: Connection) -> None:
        self.frame: bytes | None = None
        self.closed = False
        self._connection = connection

    def write(self, frame: bytes) -> None:
        assert self.frame is None
        assert not self.closed
        self.frame = frame
        self._connection.pause()

    def close(self, code: int, reason: str) -> None:
        self.closed = True

    def read(self) -> str:
        """The text in the frame that has arrived."""
        assert self.frame is not None
        frame, self.frame = self.frame, None
        return frame[{126: 4, 127: 10}.get(frame[1], 2) :].decode()


class Agent:
    """An agent at the table: one connection at a time, one session at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: ObservedConnection | None = None
        self.session: str | None = None
        self.secret = ""
        self.follows: dict[int, Follow] = {}
        self.muddled: set[int] = set()
        """Subscriptions that it cannot know about: the reply was lost."""
        self.owed: deque[tuple[str, Fields, Follow | None]] = deque()
        """Replies that must come next: the text, what was asked, and the subscription it begins."""
        self.next_id = 0
        self.written = 0.0
        """When the lines that come next were written."""

    def forget(self) -> None:
        """Nothing is left but the agent itself."""
        self.session = None
        self.follows = {}
        self.muddled = set()


class HubHarness:
    """The hub, the model, and the agents."""

    def __init__(self, limits: Limits, bounds: Bounds, rev: int = 0, agents: int = 4, lane: bool = False) -> None:
        self.now = 1_000_000.0
        self.machine = Machine(limits, "epoch", rev)
        self.model = Model(limits, "epoch", rev)
        self.machine.set_durability("full")
        self.engine = Engine(
            self.machine, self._open_journal, bounds, lambda: self.now, INFO,
            loop=None, random_ids=self._fresh, timer=count().__next__,
        )  # fmt: skip
        self.journal.disk.write(self.machine.collect_changes([]))
        self.fanout = self.engine.fanout
        self.bounds = bounds
        self.lane = lane
        """True if connections write to sockets that take frames at once."""
        self.agents = [Agent(f"agent-{number}") for number in range(agents)]
        self.orphans: list[Connection] = []
        """Connections whose sessions were taken over, and that are not read."""
        self.closed: list[tuple[int, str]] = []
        self._drawn = 0

    def _open_journal(self, listener: JournalListener) -> LateJournal:
        self.journal = LateJournal(listener)
        return self.journal

    def _fresh(self) -> SessionIds:
        self._drawn += 1
        return self._last_fresh(self._drawn)

    def _last_fresh(self, number: int) -> SessionIds:
        return SessionIds(session=f"s-{number}", secret=f"secret-{number}", agent=f"nobody-{number}")

    # --- the loop ---

    def turn(self) -> None:
        """The loop turns: what was decided goes to the journal as one batch."""
        self.engine.flush()

    def commit(self, most: int = 1_000) -> None:
        """The journal has written its oldest batches."""
        while self.journal.waiting and most:
            self.journal.commit()
            most -= 1

    def refill(self) -> None:
        """The loop has time for one slice of a refill."""
        behind = []
        for agent in self.agents:
            if agent.connection is not None:
                behind += [(agent.connection, cursor) for cursor in agent.connection.behind]
                if agent.connection.ready:
                    agent.written = self.now
        decided = len(self.engine._batch)
        self.fanout.catch_up()
        for connection, cursor in behind:
            if cursor in cursor.feed.live:
                connection.refilled.discard(cursor.feed.sub)
        if len(self.engine._batch) > decided:
            self.model.begin(self.now)  # a cursor was lost, and beginning it again is a command

    def deliver(self, early: bool = False) -> None:
        """Make the deliveries of conflated subscriptions that are due, or `early` all of them."""
        while (due := self.fanout.next_delivery_at()) is not None and (early or due <= self.now):
            self.fanout.conflate(max(due, self.now))

    def settle(self) -> None:
        """Everything decided is shown, and everybody has read everything."""
        for _ in range(10_000):
            self.turn()
            self.commit()
            self.deliver(early=True)
            busy = [self.read(agent, 50) for agent in self.agents]
            if not any(busy):
                return
        raise AssertionError("it never comes to rest")

    def expire(self, most: int) -> None:
        """A slice of what is due, in the order of the deadlines."""
        self.engine._queue_effects(self.machine.expire(self.now, 0), None)
        order = [(entry.ns, entry.key) for entry in self.machine.state.keyspace.deadlines if entry.is_due(self.now)]
        self.engine._queue_effects(self.machine.expire(self.now, most), None)
        self.model.expire(self.now, most, order)

    # --- commands ---

    def ask(self, agent: Agent, /, op: str, **asked: Any) -> Fields:
        """One command of a agent's session, decided by both; the reply."""
        assert agent.connection is not None
        session = agent.session
        reply, line = self._decide(agent, agent.connection, op, asked)
        if op == "hello" and session is None:
            wanted = self.model.hello(self._last_fresh(self._drawn), asked, self.now)
        else:
            wanted = self.model.apply(session or "", op, self._chosen(op, asked, reply), self.now)
        if op == "txn" and "error" in reply:
            self._allow_forgetting()
        begun: Follow | None = None
        if op == "subscribe" and "ok" in reply and "ok" in wanted:
            assert session is not None
            begun = begin_follow(self.model, session, asked, reply["ok"])
        agent.owed.append((str(line.text), {"op": op, **asked}, begun))
        self._compare(op, asked, reply, wanted)
        return reply

    def _decide(self, agent: Agent, connection: Connection, op: str, asked: Fields) -> tuple[Fields, PendingReply]:
        agent.next_id += 1
        decided = len(self.engine._batch)
        command = decode(json.dumps({"id": agent.next_id, "op": op, **asked}))
        self.engine.submit(connection, command)
        (line,) = [item for item in self.engine._batch[decided:] if isinstance(item, PendingReply)]
        assert line.connection is connection
        reply: Fields = json.loads(str(line.text))
        assert reply.pop("id") == agent.next_id
        return reply, line

    def _allow_forgetting(self) -> None:
        """A txn that was taken back may have made the hub forget versions sooner; none may have gone back."""
        keyspace, model = self.machine.state.keyspace, self.model
        for (ns, key), version in model.graves.items():
            assert keyspace.next_version(ns, key, None) > version
        for ns, version in model.forgotten.items():
            assert keyspace.version_floors.floor(ns) >= version
        model.graves = {place: grave.version for place, grave in keyspace.tombstones.items()}
        model.forgotten = {past.ns: past.floor for past in keyspace.version_floors}

    def _chosen(self, op: str, asked: Fields, reply: Fields) -> Fields:
        """Return what the hub is free to choose: how far a clear gets."""
        if op != "clear" or "ok" not in reply or reply.get("dup"):
            return asked
        chosen: list[str] = []
        if reply["ok"]["deleted"]:
            commit = list(self.machine.state.log.commits_after(self.machine.state.log.rev - 1))[-1]
            chosen = [event.key for event in commit.events]
        return {**asked, "chosen": chosen, "more": reply["ok"]["more"]}

    def _compare(self, op: str, asked: Fields, reply: Fields, wanted: Fields) -> None:
        if "error" in wanted:
            assert "error" in reply, (op, asked, reply, wanted)
            assert reply["error"] == {**reply["error"], **wanted["error"]}, (op, asked, reply, wanted)
            assert reply["error"].pop("message")
            assert reply.get("dup") == wanted.get("dup")
        elif op == "hello":
            assert reply["ok"] == {**reply["ok"], **wanted["ok"]}, (op, asked, reply, wanted)
        else:
            assert reply == wanted, (op, asked, reply, wanted)

    def list_all(self, agent: Agent, ns: str, pattern: str, limit: int, values: bool) -> None:
        """Page through a list: all pages together are what is there, each no longer than asked."""
        assert agent.connection is not None
        assert agent.session is not None
        found: list[Fields] = []
        after = None
        for _ in range(200):
            asked = {"ns": ns, "pattern": pattern, "limit": limit, "values": values, "after": after}
            reply, line = self._decide(agent, agent.connection, "list", asked)
            agent.owed.append((str(line.text), {"op": "list"}, None))
            self.model.begin(self.now)
            if agent.session not in self.model.stays:
                assert reply["error"]["code"] == "session_lost"
                return
            page = reply["ok"]["entries"]
            assert len(page) <= limit
            assert reply["ok"]["rev"] == self.model.rev
            found += page
            after = reply["ok"]["next"]
            if after is None:
                break
            assert not page or page[-1]["key"] <= after
        assert after is None
        keys = self.model.matching(ns, pattern)
        assert found == [self.model.entries[ns, key].shown(values) for key in keys]

    # --- connections ---

    def hello(self, agent: Agent, /, **asked: Any) -> Fields:
        """A new connection and a new session; what the agent had before is left to its grace."""
        if agent.connection is not None:
            self.leave(agent)
        agent.connection = self._connect()
        agent.forget()
        reply = self.ask(agent, "hello", **asked)
        if "ok" in reply:
            agent.session, agent.secret = reply["ok"]["session"], reply["ok"]["secret"]
        return reply

    def take_over(self, agent: Agent, forget: set[int], leave_first: bool) -> Fields:
        """Another connection for the agent's session; `forget` are subscriptions it sends no cursor for."""
        older = agent.connection
        if older is not None and leave_first:
            self.leave(agent)
            older = None
        self._lose_replies(agent)
        cursors = {sub: follow.take_over(sub not in forget) for sub, follow in agent.follows.items()}
        reached = {str(sub): rev for sub, rev in cursors.items() if rev is not None}
        session, secret = agent.session, agent.secret
        agent.connection = self._connect()
        follows, muddled, agent.session = agent.follows, agent.muddled, None
        reply, line = self._decide(
            agent, agent.connection, "hello", {"session": session, "secret": secret, "cursors": reached}
        )
        asked = {"session": session, "secret": secret, "cursors": {int(sub): rev for sub, rev in reached.items()}}
        wanted = self.model.hello(None, asked, self.now)
        self._compare("hello", asked, reply, wanted)
        agent.owed.append((str(line.text), {"op": "hello"}, None))
        if "ok" in reply:
            agent.session, agent.follows, agent.muddled = session, follows, muddled
        else:
            agent.forget()
        if older is not None:
            self.orphans.append(older)
        return reply

    def refused_hello(self, agent: Agent, /, **asked: Any) -> Fields:
        """A hello on a connection of its own that must not get in."""
        connection = Connection(self.bounds)
        reply, _ = self._decide(agent, connection, "hello", asked)
        wanted = self.model.hello(
            None, {**asked, "cursors": {int(k): v for k, v in asked.get("cursors", {}).items()}}, self.now
        )
        self._compare("hello", asked, reply, wanted)
        assert "error" in reply
        self.engine.leave(connection)
        return reply

    def leave(self, agent: Agent) -> None:
        """The agent's connection breaks; what was on its way is lost."""
        assert agent.connection is not None
        connection, agent.connection = agent.connection, None
        self._lose_replies(agent)
        self.hang_up(connection, agent.session)

    def hang_up(self, connection: Connection, session: str | None) -> None:
        """A door tells the engine that a socket is gone."""
        speaks = session is not None and self.engine._active_connection.get(session) is connection
        self.engine.leave(connection)
        connection.close(1000)
        if speaks and session is not None:
            self.model.drop(session, self.now)

    def refused_orphan(self, connection: Connection) -> None:
        """A replaced connection is refused."""
        for op in ("ping", "hello"):
            decided = len(self.engine._batch)
            self.engine.submit(connection, decode(json.dumps({"id": 0, "op": op})))
            (item,) = [item for item in self.engine._batch[decided:] if isinstance(item, PendingReply)]
            if not connection.replaced:
                self.model.begin(self.now)  # its session has ended: only the machine can tell
            assert json.loads(str(item.text))["error"]["code"] == "session_lost"

    def _lose_replies(self, agent: Agent) -> None:
        for _, asked, follow in agent.owed:
            if follow is not None:
                agent.muddled.add(follow.sub)
                agent.follows.pop(follow.sub, None)
            elif asked["op"] == "unsubscribe":
                agent.follows.pop(asked["sub"], None)
                agent.muddled.add(asked["sub"])
        agent.owed.clear()

    def _connect(self) -> ObservedConnection:
        return ObservedConnection(self.bounds, self.fanout if self.lane else None)

    # --- what an agent reads ---

    def read(self, agent: Agent, most: int = 1) -> bool:
        """Take out and check as many writes as that; whether there was anything to do."""
        busy = False
        while most and agent.connection is not None and self._write(agent, agent.connection):
            busy = True
            most -= 1
        return busy

    def _write(self, agent: Agent, connection: ObservedConnection) -> bool:
        """One step of `Connection.write`, without a loop; or what arrives through a pipe, which makes room in it."""
        pipe = connection.pipe
        if pipe is not None:
            if pipe.frame is not None:
                self._hear_all(agent, pipe.read())
                connection.resume()
                self.fanout.write()
                return True
        elif (text := connection.take()) is not None:
            connection.sends += 1
            self._hear_all(agent, str(text))
            return True
        if connection.closing is not None:
            assert pipe is None or pipe.closed
            self._closed(agent, connection)
            return True
        if connection.ready:
            if not self.lane:
                self.fanout.ready(connection)
            self.refill()
            return True
        return False

    def _hear_all(self, agent: Agent, text: str) -> None:
        lines = text.split("\n")
        assert len(lines) == 1 or len(text) <= self.bounds.frame + len(lines)
        for line in lines:
            self._hear(agent, line)

    def _closed(self, agent: Agent, connection: Connection) -> None:
        assert connection.closing is not None
        self.closed.append(connection.closing)
        agent.connection = None
        self._lose_replies(agent)
        self.hang_up(connection, agent.session)
        if connection.closing[0] == 1000:
            agent.forget()

    def _hear(self, agent: Agent, text: str) -> None:
        line = json.loads(text)
        told = line.get("ok", line).get("rev", 0)
        assert told <= self.fanout.rev, "only released revisions are sent"
        if "id" in line:
            self._hear_reply(agent, text, line)
        elif "sub" in line:
            follow = agent.follows.get(line["sub"])
            assert follow is not None or line["sub"] in agent.muddled, f"nobody asked for {text}"
            if follow is not None:
                follow.hear(line, agent.written)
        else:
            assert line == {"type": "mark", "rev": line["rev"]}
            for follow in agent.follows.values():
                follow.hear_mark(line["rev"])

    def _hear_reply(self, agent: Agent, text: str, line: Fields) -> None:
        wanted, asked, follow = agent.owed.popleft()
        assert text == wanted, "replies come in the order of the commands"
        ok = line.get("ok", {})
        if not line.get("dup") and "rev" in ok:
            self._check_reply_after_events(agent, ok["rev"])
        if follow is not None:
            agent.follows[follow.sub] = follow
            agent.muddled.discard(follow.sub)
            self._begin_live(agent, follow.sub)
        elif asked["op"] == "unsubscribe" and "ok" in line:
            agent.follows.pop(asked["sub"], None)
            agent.muddled.discard(asked["sub"])

    def _begin_live(self, agent: Agent, sub: int) -> None:
        cursor = self.fanout._cursors.get(agent.session or "", {}).get(sub)
        if cursor is not None and cursor in cursor.feed.live:
            assert agent.connection is not None
            agent.connection.refilled.discard(sub)

    def _check_reply_after_events(self, agent: Agent, rev: int) -> None:
        """G11: but for conflated subscriptions, and those before their `synced`, or being refilled."""
        assert agent.connection is not None
        for sub, follow in agent.follows.items():
            if follow.shown is None and follow.scope.conflate is None and sub not in agent.connection.refilled:
                assert not follow.missed(rev), f"the reply at {rev} came before its events"

    # --- what always holds ---

    def check(self) -> None:
        """Hub and model have the same state, the same log, and the same next deadline."""
        machine, model = self.machine, self.model
        machine.check()
        state = machine.state
        stored = [
            entry for ns in state.keyspace.namespaces() for entry in state.keyspace.scan(ns, compile_pattern("*"))
        ]
        shown = {(entry.ns, entry.key): json.loads(msgspec.json.encode(entry.to_wire())) for entry in stored}
        assert shown == {place: item.shown() for place, item in model.entries.items()}
        assert state.log.rev == model.rev
        assert state.log.floor == model.floor
        for commit in state.log.commits_after(state.log.floor):
            mine = [(e.type, e.rev, e.ns, e.key, e.at, e.by, e.origin) for e in model.commits[commit.rev]]
            assert [(e.type, e.rev, e.ns, e.key, e.at, e.by, e.origin) for e in commit.events] == mine
        assert machine.next_deadline() == model.next_deadline()
        assert {session.id for session in state.sessions} == model.stays.keys()
        self._check_what_is_held()

    def _check_what_is_held(self) -> None:
        """Snapshots are open for those who read them, and feeds collect for those who are live."""
        cursors = [cursor for cursors in self.fanout._cursors.values() for cursor in cursors.values()]
        reading = [cursor.snapshot for cursor in cursors if cursor.snapshot is not None]
        if not self.engine._batch and not self.journal.waiting:
            held = [snapshot for snapshot in reading if not snapshot.done and not snapshot.overrun]
            assert len(self.machine.state.snapshots) == len(held)
        collecting = [feed for feed in self.fanout._feeds.values() if feed.holds_back]
        assert {feed.sub for feed in self.fanout._conflated} == {feed.sub for feed in collecting}
        assert all(feed.live for feed in collecting)

    def check_rest(self) -> None:
        """Assert, when all is read, that no event was missed and every copy equals the state."""
        for agent in self.agents:
            if agent.connection is None:
                continue
            for follow in agent.follows.values():
                assert follow.shown is None
                assert not follow.group
                assert not follow.missed(self.model.rev)
                follow.check_belief(self.now)

"""Random walks of what waits: conditions and work, looked at in slices, against a model that looks at everything anew.

The model keeps the entries as the commits tell of them, and who waits in the order in which they came. At each
revision, before the machine decides anything, it asks every condition of every wait and every entry of every taker.
What the machine then says is held against that: no wake-up is lost, nobody is answered twice, the oldest that is free
goes to the first who waits for it, deliveries are counted, and nothing is taken by two. Which locks are on what is
read from the machine: the walk of locks proves those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.unit.state.machine_harness import INFO
from tests.walk.walks import PARTS, CheckedMachine, take_walks
from waggle.wire import messages as m
from waggle.wire.errors import Cancelled, LimitReached, TimedOut
from waggle.wire.patterns import compile_pattern
from waggle_hub.settings import Limits
from waggle_hub.state.effects import DeferredReply, Effect, LockLost, Reply
from waggle_hub.state.json_pointer import equal
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine
from waggle_hub.state.namespaces import DEAD
from waggle_hub.state.sessions import Session, SessionIds
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.expiry import deadline_after
from waggle_hub.state.transaction import Transaction
from waggle_hub.state.waits import condition
from waggle_hub.state.waits.condition import Wait
from waggle_hub.state.work.queue import Taker

GRACE = 4.0
KEYS = [f"{letter}{number}" for letter in "abc" for number in (1, 2, 3)]
PATTERNS = ["*", "*", "a*", "b*", "*1", "[ab]2", "?3", "c1"]
NARROW = ["a*", "b[12]", "*1", "c?"]
NAMESPACES = ["default"] * 6 + ["other"]
Place = tuple[str, str]
Name = tuple[str, Any]
"""A session and the id of a command."""


def match(pattern: str, key: str) -> bool:
    return compile_pattern(pattern).match(key)


@dataclass(eq=False)
class Waiter:
    """A `wait` or a `take` that has not been answered."""

    order: int
    asked: dict[str, Any]
    deadline: float | None
    waiting: Any
    """What the machine keeps of it, to see whether it is still looking."""


@dataclass
class Sight:
    """All there is at one revision: entries, and claims as (namespace, names, patterns, token)."""

    rev: int = 0
    entries: dict[Place, Entry] = field(default_factory=dict)
    claims: list[tuple[str, tuple[str, ...], tuple[str, ...], int | None]] = field(default_factory=list)

    def claimed(self, ns: str, key: str) -> bool:
        return any(
            ns == where and (key in names or any(match(text, key) for text in patterns))
            for where, names, patterns, _ in self.claims
        )

    def free(self, asked: dict[str, Any], now: float) -> list[Entry]:
        """What a take could get, oldest first."""
        found = [
            entry
            for (ns, key), entry in self.entries.items()
            if ns == asked["ns"] and any(match(text, key) for text in asked["patterns"])
            and not entry.is_due(now) and not self.claimed(ns, key)
        ]  # fmt: skip
        return sorted(found, key=lambda entry: entry.created_rev)

    def meeting(self, asked: dict[str, Any], now: float) -> list[Entry]:
        """The entries that a condition asks for, in key order."""
        where = asked.get("where")
        found = []
        for (ns, key), entry in sorted(self.entries.items()):
            if ns != asked["ns"] or entry.is_due(now) or entry.rev <= asked.get("since", -1):
                continue
            if not (key == asked["key"] if "key" in asked else match(asked["pattern"], key)):
                continue
            value = msgspec.json.decode(entry.value)
            if where is None or (equal(value, where["value"]) if where["op"] == "eq" else value >= where["value"]):
                found.append(entry)
        return found

    def unlocked(self, asked: dict[str, Any]) -> bool:
        for ns, names, patterns, token in self.claims:
            if ns != asked["ns"] or token is None:
                continue
            if "key" in asked:
                if asked["key"] in names or any(match(text, asked["key"]) for text in patterns):
                    return False
            elif any(match(asked["pattern"], name) for name in names) or any(
                match(asked["pattern"], key) and match(text, key)
                for text in patterns
                for key in [*KEYS, "z1", "z3", "zz"]
            ):
                return False
        return True

    def holds(self, asked: dict[str, Any], now: float) -> bool:
        if asked.get("unlocked") and not self.unlocked(asked):
            return False
        if asked.get("absent"):
            return not self.meeting(asked, now)
        return bool(asked.get("unlocked")) or len(self.meeting(asked, now)) >= asked.get("count", 1)

    def met(self, asked: dict[str, Any], now: float) -> list[int]:
        return [at for at, one in enumerate(asked["conditions"]) if self.holds(one, now)]

    def satisfied(self, asked: dict[str, Any], now: float) -> bool:
        return enough(asked, self.met(asked, now))

    def surely(self, asked: dict[str, Any], now: float) -> bool:
        """Whether it is met whichever way one sees what is due and not gone yet: it wakes nobody before it is gone."""
        return enough(asked, [at for at in self.met(asked, now) if at in self.met(asked, 0.0)])


def enough(asked: dict[str, Any], met: list[int]) -> bool:
    return len(met) == len(asked["conditions"]) if asked["need"] == "all" else bool(met)


class Walk(CheckedMachine):
    """Five agents."""

    @initialize(scan=st.sampled_from([1, 1, 2, 4, 50]), spare=st.sampled_from([-1, 0, 100]), lines=st.integers(1, 4),
                stock=st.lists(st.sampled_from(KEYS), unique=True))  # fmt: skip
    def begin(self, scan: int, spare: int, lines: int, stock: list[str]) -> None:
        self.limits = Limits(scan=scan, work_queues=lines, grace=GRACE, claims=6)
        self.machine = Machine(self.limits, "epoch")
        self.now = 1_000.0
        self.order = 0
        self.ids = 0
        self.sights = {0: Sight()}
        self.sight = self.sights[0]
        self.waits: dict[Name, Waiter] = {}
        self.takers: dict[Name, Waiter] = {}
        self.required: dict[Name, int] = {}
        """Waits that were met at this revision, and must be answered before the next."""
        self.deliveries: dict[Place, int] = {}
        self.taken: dict[int, tuple[str, Place]] = {}
        """Locks of taken entries: the session, and the entry."""
        self.lost: list[tuple[str, int]] = []
        """Who is to be told of a loss before the next revision."""
        self.owed: dict[str, list[Any]] = {}
        """What was said to each session, and has not been heard."""
        self.rids: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self.asking: tuple[str, dict[str, Any]] | None = None
        """The take that is being decided."""
        self.names: list[str] = []
        self.opened = 0
        log = self.machine.state.log
        append = log.append

        def seen(events: Any) -> Commit:
            commit = append(events)
            self.see(commit)
            return commit

        log.append = seen  # type: ignore[method-assign]
        walk, say = self, Transaction.notify

        def said(turn: Transaction, session: Session, told: Any) -> None:
            if turn.state is walk.machine.state:
                walk.hear(session.id, told)
            say(turn, session, told)

        self.patches: list[Any] = [
            mock.patch.object(Transaction, "notify", said),
            mock.patch.object(condition, "_SPARE_KEYS", spare),
        ]
        for patch in self.patches:
            patch.start()
        for _ in range(5):
            self.open_session()
        for key in stock:
            self.do("s0", "set", key=key, value=0)

    def teardown(self) -> None:
        for patch in getattr(self, "patches", ()):
            patch.stop()

    # --- what the machine does, as it does it ---

    def see(self, commit: Commit) -> None:
        """A revision, before anybody is told of it."""
        self.settled()
        before = self.sight
        entries = dict(before.entries)
        claims = [
            (claim.ns, claim.names, tuple(pattern.text for pattern in claim.patterns), claim.token)
            for session in self.machine.state.sessions
            for claim in session.lock_requests
        ]
        self.sight = self.sights[commit.rev] = Sight(commit.rev, entries, claims)
        tokens = {event.lock.token for event in commit.events if event.type == "unlock" and event.lock is not None}
        for event in commit.events:
            place = event.ns, event.key
            if event.entry is not None:
                entries[place] = event.entry
            if event.type in ("delete", "expire", "evict"):
                del entries[place]
                ended = [token for token, (_, what) in self.taken.items() if what == place]
                assert tokens.issuperset(ended), "the lock of a taken entry ends with it, in the same revision"
                self.lost += [(self.taken.pop(one)[0], one) for one in ended if event.origin != self.taken[one][0]]
                if event.reason == "dead":
                    self.see_dead(commit, before, place)
                self.deliveries.pop(place, None)
            if event.type == "unlock" and event.lock is not None:
                self.taken.pop(event.lock.token, None)  # type: ignore[arg-type]
                if event.reason in ("expired", "forced") and (event.lock.session, event.lock.token) not in self.lost:
                    self.lost.append((event.lock.session, event.lock.token))  # type: ignore[arg-type]
        for name, waiter in self.waits.items():
            if self.sight.surely(waiter.asked, self.now):
                self.required[name] = commit.rev

    def see_dead(self, commit: Commit, before: Sight, place: Place) -> None:
        """An entry has been delivered too often for the first who wants it."""
        entry = before.entries[place]
        wanting = [one for one in self.takers.values() if self.wants(one.asked, entry)]
        first = min(wanting, key=lambda one: one.order).asked if wanting else None
        if first is None:
            assert self.asking is not None
            first = self.asking[1]
        assert self.wants(first, entry)
        assert first["max_deliveries"] is not None
        assert self.deliveries[place] >= first["max_deliveries"]
        assert before.free(first, self.now)[0] is entry or self.ties(before.free(first, self.now), entry)
        (dead,) = [event.entry for event in commit.events if event.type == "set"]
        assert dead is not None
        assert dead.ns == DEAD
        assert dead.key.split(".")[0] == f"{entry.ns}:{entry.created_rev}"
        assert dead.value == entry.value

    def hear(self, session: str, said: Any) -> None:
        """Something is said to a session, whether it is there or not."""
        self.owed[session].append(said)
        if isinstance(said, LockLost):
            self.lost.remove((session, said.lock.token))
            return
        name = session, said.id
        outcome = said.outcome.ok or said.outcome.error
        if name in self.waits:
            waiter = self.waits.pop(name)
            self.required.pop(name, None)
            self.judge_wait(waiter, outcome)
        elif name in self.takers:
            self.judge_take(session, self.takers.pop(name), outcome)

    def settled(self) -> None:
        """Nothing that had to be said at the last revision was left unsaid."""
        for name in self.required:
            assert self.waits[name].waiting in self.machine.state.condition_index.to_scan, "a wake-up was lost"
        self.required.clear()
        assert not self.lost

    def judge_wait(self, waiter: Waiter, outcome: Any) -> None:
        if isinstance(outcome, Cancelled):
            return
        sight, asked = self.sight, waiter.asked
        met = sight.met(asked, self.now)
        if isinstance(outcome, TimedOut):
            assert waiter.deadline is not None
            assert waiter.deadline <= self.now
            assert not sight.satisfied(asked, self.now), "it was refused although it held"
            assert outcome.details == {"met": met, "rev": sight.rev}
            return
        assert isinstance(outcome, m.Waited)
        assert outcome.rev == sight.rev
        self.judge_matches(outcome, asked, sight)
        if isinstance(waiter.waiting, Wait):
            open_ones = [at for at, one in enumerate(waiter.waiting.conditions) if one.incomplete]
            assert set(met) - set(open_ones) <= set(outcome.met)

    def judge_matches(self, outcome: m.Waited, asked: dict[str, Any], sight: Sight) -> None:
        assert set(outcome.met) <= set(sight.met(asked, self.now))
        assert enough(asked, outcome.met)
        wanted = []
        for at in outcome.met:
            one = asked["conditions"][at]
            if not one.get("absent") and not one.get("unlocked"):
                wanted += sight.meeting(one, self.now)[: one.get("count", 1)]
        assert [(one.ns, one.key, one.rev) for one in outcome.matched] == [(e.ns, e.key, e.rev) for e in wanted]

    def wants(self, asked: dict[str, Any], entry: Entry) -> bool:
        return asked["ns"] == entry.ns and any(match(text, entry.key) for text in asked["patterns"])

    def ties(self, free: list[Entry], entry: Entry) -> bool:
        """Whether it is one of the oldest: those of one txn are of one age."""
        return free[0].created_rev == entry.created_rev and entry.key in [one.key for one in free]

    def judge_take(self, session: str, waiter: Waiter, outcome: Any) -> None:
        """A waiting take is answered. It is out of `takers` already."""
        asked = waiter.asked
        if isinstance(outcome, Cancelled):
            return
        if isinstance(outcome, TimedOut):
            assert waiter.deadline is not None
            assert waiter.deadline <= self.now
            assert not self.sight.free(asked, self.now), "there was something for it"
        elif isinstance(outcome, LimitReached):
            self.judge_limit(session)
        else:
            self.judge_taken(session, asked, waiter.order, outcome)

    def judge_limit(self, session: str) -> None:
        found = self.machine.state.sessions.get(session)
        assert found is not None
        assert len(found.lock_requests) == self.limits.claims

    def judge_taken(self, session: str, asked: dict[str, Any], order: int, taken: Any) -> None:
        assert isinstance(taken, m.Taken)
        place = taken.entry.ns, taken.entry.key
        before = self.sights[taken.token - 1]
        free = before.free(asked, self.now)
        assert free, "it was locked, or gone"
        assert self.ties(free, before.entries[place]), "there is an older one"
        for other in self.takers.values():
            assert other.order > order or not self.wants(other.asked, before.entries[place]), "somebody was passed over"
        self.deliveries[place] = self.deliveries.get(place, 0) + 1
        assert taken.delivery == self.deliveries[place]
        assert asked["max_deliveries"] is None or taken.delivery <= asked["max_deliveries"]
        assert taken.expires_at == deadline_after(self.now, asked["lease"])
        held = [claim for claim in self.sights[taken.token].claims if claim[3] == taken.token]
        assert held == [(place[0], (place[1],), (), taken.token)]
        assert place not in [what for _, what in self.taken.values()], "it has one winner"
        self.taken[taken.token] = session, place

    # --- commands ---

    def run(self, outputs: list[Effect]) -> Reply | None:
        """What a command gave off is heard by those who are there."""
        for output in outputs:
            if isinstance(output, DeferredReply | LockLost) and not output.again:
                assert self.owed[output.session].pop(0) is output, "what is said is heard once, in order"
        self.settled()
        replies = [output for output in outputs if isinstance(output, Reply)]
        assert len(replies) <= 1
        return replies[0] if replies else None

    def do(self, session: str, op: str, **fields: Any) -> Any:
        """The outcome of a command; None if it waits."""
        self.ids += 1
        command = msgspec.convert({"op": op, "id": self.ids, **fields}, m.AnyCommand)
        self.before = self.sight.rev
        reply = self.run(self.machine.apply(command, session, self.now))
        if reply is None:
            return None
        self.dup = reply.dup
        return reply.outcome.ok or reply.outcome.error

    def open_session(self) -> None:
        name = f"s{self.opened}"
        self.opened += 1
        self.owed[name], self.rids[name] = [], []
        self.names.append(name)
        self.run(self.machine.hello(m.Hello(id=0), SessionIds(name, name, f"agent-{name}"), self.now, INFO))

    def present(self) -> list[str]:
        return [one.id for one in self.machine.state.sessions if one.connected]

    def pick(self, number: int) -> str:
        """A session that is there."""
        if not self.present():
            self.open_session()
        return self.present()[number % len(self.present())]

    def guard(self, key: str, ns: str, guarded: bool) -> dict[str, Any]:
        tokens = [token for token, (_, place) in self.taken.items() if place == (ns, key)]
        return {"guard": {"token": tokens[0]}} if guarded and tokens else {}

    who = st.integers(0, 4)
    key = st.sampled_from(KEYS)
    ns = st.sampled_from(NAMESPACES)
    value = st.sampled_from([0, 1, 2])

    @rule(who=who, key=key, ns=ns, value=value, ttl=st.sampled_from([None, None, None, 1, 3]),
          ephemeral=st.sampled_from([False, False, True]), guarded=st.booleans())  # fmt: skip
    def set(self, who: int, key: str, ns: str, value: int, ttl: float | None, ephemeral: bool, guarded: bool) -> None:
        fields = {"ttl": ttl, "ephemeral": ephemeral, **self.guard(key, ns, guarded)}
        self.do(self.pick(who), "set", key=key, ns=ns, value=value, kind="cached", **fields)

    @rule(who=who, key=key, ns=ns, guarded=st.booleans(), pattern=st.sampled_from(NARROW),
          what=st.sampled_from(["delete", "delete", "touch", "update", "clear", "bury", "evict"]))  # fmt: skip
    def change(self, who: int, key: str, ns: str, guarded: bool, pattern: str, what: str) -> None:
        session = self.pick(who)
        match what:
            case "delete":
                self.do(session, "delete", key=key, ns=ns, **self.guard(key, ns, guarded))
            case "touch":
                self.do(session, "touch", key=key, ttl=2 if guarded else None)
            case "update":
                self.do(session, "update", key=key, incr=1)
            case "clear":
                self.do(session, "clear", pattern=pattern, confirm=True)
            case "bury":
                self.do(session, "clear", pattern="*", confirm=True, ns=DEAD)
            case _:
                self.run(self.machine.evict([("default", key), ("other", key)], self.now))

    @rule(who=who, steps=st.lists(st.tuples(key, st.sampled_from([0, 1, None])), min_size=1, max_size=5),
          refused=st.integers(0, 8), guarded=st.booleans())  # fmt: skip
    def txn(self, who: int, steps: list[tuple[str, int | None]], refused: int, guarded: bool) -> None:
        """Sets and deletes; one in nine is refused at its end, after it has changed what it could."""
        then: list[dict[str, Any]] = [
            {"op": "delete" if value is None else "set", "key": key, **self.guard(key, "default", guarded),
             **({} if value is None else {"value": value})}
            for key, value in steps
        ]  # fmt: skip
        if not refused:
            then.append({"op": "set", "key": "a1", "value": 0, "if_rev": 2**40})
        self.do(self.pick(who), "txn", **{"if": [], "then": then})

    @rule(who=who, names=st.lists(key, min_size=1, max_size=2), pattern=st.none() | st.sampled_from(NARROW),
          wait=st.sampled_from([0, 0, 2, None]), ttl=st.sampled_from([1, 3, 8]),
          mode=st.sampled_from(["exclusive", "shared"]))  # fmt: skip
    def lock(self, who: int, names: list[str], pattern: str | None, wait: float | None, ttl: float, mode: str) -> None:
        on: dict[str, Any] = {"names": names} if pattern is None else {"pattern": pattern}
        self.do(self.pick(who), "lock", wait=wait, ttl=ttl, mode=mode, **on)

    @precondition(lambda self: self.machine.state.lock_table.held)
    @rule(who=who, number=st.integers(0, 5), force=st.booleans())
    def unlock(self, who: int, number: int, force: bool) -> None:
        """Also what was taken: it is given up."""
        held = list(self.machine.state.lock_table.held.values())
        claim = held[number % len(held)]
        if force or not claim.session.connected:
            self.do(self.pick(who), "unlock", token=claim.token, force=True, reason="stuck")
        else:
            self.do(claim.session.id, "unlock", token=claim.token)

    @precondition(lambda self: self.taken)
    @rule(number=st.integers(0, 5), who=st.none() | who)
    def finish(self, number: int, who: int | None) -> None:
        """Work is done: by its holder, or by another that has the token."""
        token = list(self.taken)[number % len(self.taken)]
        session, (ns, key) = self.taken[token]
        if who is not None or session not in self.present():
            session = self.pick(who or 0)
        self.do(session, "delete", key=key, ns=ns, guard={"token": token})

    # --- what waits ---

    @rule(who=who, drawn=st.lists(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2, unique=True), min_size=1,
                                  max_size=2), ns=ns,
          timeout=st.sampled_from([0, 2, 5, None, None]), lease=st.sampled_from([1, 4, 30]),
          most=st.sampled_from([None, None, 1, 2]), dead=st.integers(0, 12), rid=st.booleans())  # fmt: skip
    def take(
        self, who: int, drawn: list[list[str]], ns: str, timeout: float | None, lease: float, most: int | None,
        dead: int, rid: bool,
    ) -> None:  # fmt: skip
        """One or more after another, by different sessions."""
        for number, patterns in enumerate(drawn):
            asked: dict[str, Any] = {"patterns": patterns, "ns": ns, "timeout": timeout, "lease": lease,
                                     "max_deliveries": most}  # fmt: skip
            if not dead:
                asked.update(ns=DEAD, max_deliveries=None, patterns=["*"])
            session = self.pick(who + number)
            if rid:
                asked["rid"] = f"r{self.ids}"
                self.rids[session].append((asked["rid"], asked))
            self.ask_take(session, asked)

    def ask_take(self, session: str, asked: dict[str, Any]) -> None:
        self.order += 1
        order = self.order
        self.asking = session, asked
        self.machine_settles()
        outcome = self.do(session, "take", **asked)
        self.asking = None
        if outcome is None:
            return self.begin_waiting(session, asked, order, self.takers)
        if isinstance(outcome, m.Taken):
            assert not self.dup
            assert outcome.token > self.before
            return self.judge_taken(session, asked, order, outcome)
        if isinstance(outcome, TimedOut):
            assert asked["timeout"] == 0
            assert not self.sight.free(asked, self.now), "there was something for it"
        else:
            assert isinstance(outcome, LimitReached)
            self.judge_limit(session)
        return None

    def begin_waiting(self, session: str, asked: dict[str, Any], order: int, among: dict[Name, Waiter]) -> None:
        found = self.machine.state.sessions.get(session)
        assert found is not None
        deadline = None if asked["timeout"] is None else deadline_after(self.now, asked["timeout"])
        among[session, self.ids] = Waiter(order, asked, deadline, found.pending[self.ids])

    @precondition(lambda self: any(self.rids.values()))
    @rule(number=st.integers(0, 10))
    def take_again(self, number: int) -> None:
        """A rid is asked again: it is joined, or its first outcome is given, or it is a take like any other."""
        rids = [(name, rid) for name in self.present() for rid in self.rids[name]]
        if not rids:
            return
        session, (rid, asked) = rids[number % len(rids)]
        found = self.machine.state.sessions.get(session)
        assert found is not None
        self.machine_settles()
        joined = found.by_rid.get(rid)
        kept = found.outcomes.get(rid)
        if joined is not None:
            old = session, joined.id
            waiter = self.takers.pop(old)
            self.takers[session, self.ids + 1] = waiter
            assert self.do(session, "take", **asked) is None
            assert (session, joined.id) == (session, self.ids)
        elif kept is not None:
            assert self.do(session, "take", **asked) is kept.outcome.ok
            assert self.dup
        else:
            self.ask_take(session, asked)

    def machine_settles(self) -> None:
        """What is due for a session is settled, as it is before each command."""
        self.run(self.machine.expire(self.now, 0))

    condition = st.fixed_dictionaries(
        {"ns": ns, "aimed": st.integers(0, 20), "on": st.sampled_from(["key", "pattern", "pattern"]), "key": key,
         "pattern": st.sampled_from(PATTERNS),
         "shape": st.sampled_from(["plain", "plain", "absent", "unlocked", "both"]),
         "count": st.sampled_from([1, 1, 2, 4]), "since": st.sampled_from([None, None, 0, 2]),
         "where": st.sampled_from([None, None, ("eq", 1), ("ge", 1)])}
    )  # fmt: skip

    @rule(who=who, drawn=st.lists(condition, min_size=1, max_size=3), need=st.sampled_from(["all", "all", "any"]),
          timeout=st.sampled_from([0, 2, 5, 100]))  # fmt: skip
    def wait(self, who: int, drawn: list[dict[str, Any]], need: str, timeout: float) -> None:
        wire = [self.condition_of(one) for one in drawn]
        asked = {"conditions": wire, "need": need, "timeout": timeout}
        session = self.pick(who)
        outcome = self.do(session, "wait", timeout=timeout, **{need: wire})
        if outcome is None:
            return self.begin_waiting(session, asked, 0, self.waits)
        sight = self.sight
        if isinstance(outcome, TimedOut):
            assert timeout == 0
            assert not sight.satisfied(asked, self.now)
            assert outcome.details == {"met": sight.met(asked, self.now), "rev": sight.rev}
        else:
            assert outcome.rev == sight.rev
            self.judge_matches(outcome, asked, sight)
        return None

    def condition_of(self, drawn: dict[str, Any]) -> dict[str, Any]:
        one: dict[str, Any] = {"ns": drawn["ns"], drawn["on"]: drawn[drawn["on"]]}
        shape = drawn["shape"]
        aims = [name for _, names, _, _ in self.sight.claims for name in names] if shape == "unlocked" else [
            key for ns, key in self.sight.entries if ns == "default"
        ]  # fmt: skip
        if shape != "plain" and aims and drawn["on"] == "key":
            one["key"] = aims[drawn["aimed"] % len(aims)]
        if shape in ("absent", "both"):
            one["absent"] = True
        if shape in ("unlocked", "both"):
            one["unlocked"] = True
            return one
        if drawn["on"] == "pattern" and shape == "plain":
            one["count"] = drawn["count"]
        if drawn["since"] is not None:
            one["since"] = max(0, self.sight.rev - drawn["since"])
        if drawn["where"] is not None:
            one["where"] = {"op": drawn["where"][0], "value": drawn["where"][1]}
        return one

    # --- time, sessions, slices ---

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0]))
    def tick(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)

    @rule(short=st.booleans())
    def tick_to_the_next_deadline(self, short: bool) -> None:
        deadline = self.machine.next_deadline()
        if deadline is not None and deadline < 100_000:
            self.now = max(self.now, round(deadline - 0.001, 3) if short else deadline)

    @rule(most=st.sampled_from([0, 1, 2, 1_000]))
    def expire(self, most: int) -> None:
        self.run(self.machine.expire(self.now, most))

    @precondition(lambda self: self.machine.has_pending_scan)
    @rule(most=st.sampled_from([1, 1, 2, 1_000]))
    def proceed(self, most: int) -> None:
        for _ in range(most):
            if not self.machine.has_pending_scan:
                return
            self.run(self.machine.continue_scan(self.now))
        assert most < 1_000, "the machine never comes to rest"

    @rule(who=who, number=st.integers(0, 20),
          what=st.sampled_from(["drop", "drop", "back", "back", "back", "cancel", "cancel", "bye"]))  # fmt: skip
    def come_and_go(self, who: int, number: int, what: str) -> None:
        match what:
            case "drop":
                self.run(self.machine.drop(self.pick(who), self.now))
            case "back":
                self.come_back(number)
            case "cancel":
                self.cancel(number)
            case _:
                self.do(self.pick(who), "bye")
        while len(self.machine.state.sessions) < 5:
            self.open_session()

    def come_back(self, number: int) -> None:
        away = [one.id for one in self.machine.state.sessions if not one.connected]
        if not away:
            return
        name = away[number % len(away)]
        command = m.Hello(id=0, session=name, secret=name)
        reply = self.run(self.machine.hello(command, SessionIds("x", "x", "x"), self.now, INFO))
        assert reply is not None
        assert reply.outcome.error or self.owed[name] == []

    def cancel(self, number: int) -> None:
        waiting = [
            (session.id, id) for session in self.machine.state.sessions if session.connected for id in session.pending
        ]
        if waiting:
            session, target = waiting[number % len(waiting)]
            outcome = self.do(session, "cancel", target=target)
            assert isinstance(outcome, m.Cancelling)
            assert (session, target) not in self.waits.keys() | self.takers.keys()

    # --- what is so after each command ---

    def check(self) -> None:
        self.machine.check()
        state = self.machine.state
        stored = {
            (ns, entry.key): entry
            for ns in state.keyspace.namespaces()
            for entry in state.keyspace.scan(ns, compile_pattern("*"))
        }
        assert stored == self.sight.entries

    @invariant()
    def who_waits_still_waits_for_a_reason(self) -> None:
        self.settled()
        state = self.machine.state
        waiting = {
            (session.id, id)
            for session in state.sessions
            for id, one in session.pending.items()
            if isinstance(one, Wait | Taker)
        }
        assert waiting == self.waits.keys() | self.takers.keys()
        for waiter in self.waits.values():
            if waiter.waiting not in state.condition_index.to_scan:
                assert not self.sight.surely(waiter.asked, self.now)
        lookers = [waiter.order for waiter in self.takers.values() if waiter.waiting.scanning]
        for waiter in self.takers.values():
            if not waiter.waiting.scanning and self.sight.free(waiter.asked, self.now):
                assert lookers
                assert min(lookers) < waiter.order, "it is held back for somebody who came earlier"

    @invariant()
    def those_who_are_there_have_heard_everything(self) -> None:
        for session in self.machine.state.sessions:
            assert not (session.connected and self.owed[session.id])
            assert [id(one.notice) for one in session.queued_notices] == [id(one) for one in self.owed[session.id]]


@pytest.mark.parametrize("part", PARTS)
def test_waits_and_jobs_agree_with_their_model_after_whatever_agents_do(part: int) -> None:
    take_walks(Walk, walks=250, steps=60)

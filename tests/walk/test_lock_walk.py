"""Random walks in the machine's locks, against a model that looks at every pair (protocol 6, G8).

After every step the machine has given off exactly what the model says, in the same order and at the same revisions:
who was granted, who waits, who was told what, and how many stand in a queue. Besides, what the hub promises is looked
at as such: nobody holds what conflicts, tokens only grow, each waiting command is answered once, and a circle is
called one exactly when there is one.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.unit.state.machine_harness import INFO
from tests.walk.lockmodel import GRACE, Asked, LockModel, LockOwner, Shape, circles, edges, shape
from tests.walk.walks import PARTS, WALKS, CheckedMachine, take_walks
from waggle.wire import messages as m
from waggle.wire.errors import Deadlock
from waggle_hub.settings import Limits
from waggle_hub.state.effects import Effect, Reply
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

AGENTS = 5
NAMES = ["a", "b", "a:1", "b:1"]
PATTERNS = ["*", "a*", "?", "*:1", "b", "[ab]", "?:*"]
WHAT = st.one_of(
    st.sampled_from(NAMES).map(lambda name: {"name": name}),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(lambda names: {"names": names}),
    st.sampled_from(NAMES).map(lambda name: {"name": name}),
    st.sampled_from(PATTERNS).map(lambda text: {"pattern": text}),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(lambda texts: {"patterns": texts}),
)
MODES = st.sampled_from(["exclusive", "exclusive", "shared"])
TASKS = st.sampled_from([None, None, "t", "u"])
WAITS = st.sampled_from([0, 0.5, 2.0, None, None, None])
TTLS = st.sampled_from([0.5, 2.0, 30.0, 30.0])
SPACES = st.sampled_from(["default", "default", "default", "other"])
KEYS = st.sampled_from(NAMES)


class Walk(CheckedMachine):
    """Agents that lock, wait, change their minds, vanish and return."""

    @initialize()
    def begin(self) -> None:
        self.machine = Machine(Limits(grace=GRACE), "epoch")
        self.model = LockModel()
        self.number = 0
        self.opened = 0
        self.sessions: list[str | None] = [None] * AGENTS
        self.owed: dict[str, set[int]] = {}
        """The ids of each session that are to be answered still."""
        self.newest_token = 0
        for number in range(3):
            self.hello(number)

    # --- both at once ---

    def compare(self, outputs: list[Effect], expected: list[Shape]) -> None:
        told = [shape(output) for output in outputs if not getattr(output, "again", False)]
        for mine in told:
            if mine[0] == "answer":
                self.owed[mine[1]].remove(mine[2])
            if mine[0] == "commit":
                for event in mine[2]:
                    if event[0] == "lock":
                        assert event[4] == mine[1], "the token is the revision of the grant"
                        assert event[4] >= self.newest_token, "tokens only grow"
                        self.newest_token = event[4]
        assert told == expected

    def ask(self, session: str, op: str, expected: list[Shape], id: int | None = None, **fields: Any) -> list[Effect]:
        """Let a session ask; `expected` is what the model gave off for it."""
        command = msgspec.convert({"op": op, "id": self.number if id is None else id, **fields}, m.AnyCommand)
        outputs = self.machine.apply(command, session, self.model.now)
        self.compare(outputs, expected)
        return outputs

    def someone(self, number: int) -> str | None:
        """A session that is there and connected, after all that is due has come."""
        self.compare(self.machine.expire(self.model.now, 100), self.model.pass_time())
        there = [
            session for session in self.sessions if session in self.model.stays and self.model.stays[session].connected
        ]
        self.number += 1
        return there[number % len(there)] if there else None

    def held_by(self, session: str, which: int) -> int:
        """The token of a lock of this session; one that never was if it has none."""
        held = self.model.held(session)
        return (held[which % len(held)].token if held else None) or 999_999

    anybody = st.integers(0, AGENTS - 1)
    whichever = st.integers(0, 5)

    # --- locks ---

    @rule(n=anybody, what=WHAT, mode=MODES, wait=WAITS, ttl=TTLS, task=TASKS, ns=SPACES,
          rid=st.sampled_from([None, None, "r1", "r2"]))  # fmt: skip
    def lock(self, n: int, what: Any, wait: float | None, task: str | None, rid: str | None, **rest: Any) -> None:
        session = self.someone(n)
        if session is not None:
            self.lock_as(session, self.number, what, wait, task, rid, **rest)

    @rule(asked=st.lists(st.tuples(anybody, WHAT, WAITS, TASKS, MODES, TTLS), min_size=4, max_size=14))
    def crowd(self, asked: list[tuple[int, Any, float | None, str | None, str, float]]) -> None:
        """Many come at once."""
        for n, what, wait, task, mode, ttl in asked:
            session = self.someone(n)
            if session is not None:
                self.lock_as(session, self.number, what, wait, task, None, mode=mode, ttl=ttl, ns="default")

    @rule(n=anybody, other=anybody, one=KEYS, two=KEYS, tasks=st.tuples(TASKS, TASKS))
    def cross(self, n: int, other: int, one: str, two: str, tasks: tuple[Any, Any]) -> None:
        """Two agents, each of which wants what the other may have."""
        for number, names, task in ((n, (one, two), tasks[0]), (other, (two, one), tasks[1])):
            for name in names:
                session = self.someone(number)
                if session is not None:
                    what = {"name": name}
                    self.lock_as(session, self.number, what, None, task, None, mode="exclusive", ttl=30.0, ns="default")

    @rule(n=anybody, which=whichever, again=st.sampled_from(["same", "new", "taken"]))
    def repeat(self, n: int, which: int, again: str) -> None:
        """A command that waits is asked again: with its rid, under the same id, a new one, or another's."""
        session = self.someone(n)
        waiting = [] if session is None else list(self.model.stays[session].waiting.values())
        if session is not None and waiting:
            claim = waiting[which % len(waiting)]
            id = {"same": claim.id, "new": self.number, "taken": waiting[-1].id}[again]
            what: dict[str, Any] = {"names": list(claim.names)} if claim.names else {"patterns": list(claim.patterns)}
            rest: dict[str, Any] = {"mode": claim.mode, "ttl": claim.ttl, "ns": claim.ns}
            self.lock_as(session, id, what, None, claim.task, claim.rid, **rest)

    @rule(n=anybody, op=st.sampled_from(["cancel", "unlock", "bye"]), which=whichever)
    def ask_under_an_id_that_waits(self, n: int, op: str, which: int) -> None:
        session = self.someone(n)
        waiting = [] if session is None else list(self.model.stays[session].waiting)
        if session is not None and waiting:
            id = waiting[which % len(waiting)]
            fields: dict[str, Any] = {"cancel": {"target": id}, "unlock": {"token": 1}, "bye": {}}[op]
            refused: list[Shape] = [("reply", id, ("error", "bad_request", "id"), False)]
            self.ask(session, op, refused, id, **fields)

    def lock_as(
        self, session: str, id: int, what: dict[str, Any], wait: float | None, task: str | None, rid: str | None,
        **rest: Any,
    ) -> None:  # fmt: skip
        names = tuple(dict.fromkeys([what["name"]] if "name" in what else what.get("names", [])))
        patterns = tuple(dict.fromkeys([what["pattern"]] if "pattern" in what else what.get("patterns", [])))
        before = list(self.model.claims)
        expected = self.model.lock(session, id, wait, rid, task=task, names=names, patterns=patterns, **rest)
        fields = {**what, **rest, "wait": wait, "task": task, "rid": rid}
        waits = session in self.model.stays and id in self.model.stays[session].waiting
        if waits:
            owed = self.owed.setdefault(session, set())
            owed.clear()
            owed.update(self.model.stays[session].waiting)
        outputs = self.ask(session, "lock", expected, id, **fields)
        for output in outputs:
            newcomer = Asked(
                order=self.model.order, session=session, task=task, names=names, patterns=patterns, id=id, rid=rid,
                since=0.0, **rest,
            )  # fmt: skip
            check_if_cycle(before, newcomer, output)

    @rule(n=anybody, owner=anybody, which=whichever)
    def unlock(self, n: int, owner: int, which: int) -> None:
        session = self.someone(n)
        if session is not None:
            token = self.held_by(self.sessions[owner] or "", which)
            self.ask(session, "unlock", self.model.unlock(session, self.number, token), token=token)

    @rule(which=st.integers(0, 20))
    def unlock_one(self, which: int) -> None:
        """Something is let go by who holds it."""
        self.someone(0)
        held = [claim for claim in self.model.held() if self.model.stays[claim.session].connected]
        if held:
            claim = held[which % len(held)]
            expected = self.model.unlock(claim.session, self.number, claim.token or 0)
            self.ask(claim.session, "unlock", expected, token=claim.token)

    @rule(which=st.integers(0, 20))
    def cancel_one(self, which: int) -> None:
        """Somebody waits no longer."""
        self.someone(0)
        waiting = [one for one in self.model.claims if one.token is None and self.model.stays[one.session].connected]
        if waiting:
            claim = waiting[which % len(waiting)]
            expected = self.model.cancel(claim.session, self.number, claim.id)
            self.ask(claim.session, "cancel", expected, target=claim.id)

    @rule(n=anybody, owner=anybody, which=whichever, ttl=st.sampled_from([None, 0.5, 4.0]))
    def renew(self, n: int, owner: int, which: int, ttl: float | None) -> None:
        session = self.someone(n)
        if session is not None:
            token = self.held_by(self.sessions[owner] or "" if owner == 0 else session, which)
            expected = self.model.renew(session, self.number, token, ttl)
            self.ask(session, "renew", expected, token=token, ttl=ttl)

    @rule(n=anybody)
    def cancel_what_does_not_wait(self, n: int) -> None:
        session = self.someone(n)
        if session is not None:
            self.ask(session, "cancel", self.model.cancel(session, self.number, 999_999), target=999_999)

    @rule(n=anybody, which=whichever, text=st.one_of(st.none(), st.sampled_from(NAMES + PATTERNS)))
    def force(self, n: int, which: int, text: str | None) -> None:
        session = self.someone(n)
        if session is not None:
            held = self.model.held()
            token = None if text is not None else held[which % len(held)].token if held else 999_999
            expected = self.model.force(session, self.number, token, text)
            self.ask(session, "unlock", expected, token=token, name=text, force=True, reason="walked")

    @rule(n=anybody, pattern=st.sampled_from(PATTERNS))
    def look(self, n: int, pattern: str) -> None:
        session = self.someone(n)
        if session is not None:
            self.ask(session, "locks", self.model.look(session, self.number, pattern), pattern=pattern, ns="*")

    # --- what locks mean for writes ---

    @rule(n=anybody, key=KEYS, which=st.one_of(st.none(), whichever))
    def set(self, n: int, key: str, which: int | None) -> None:
        session = self.someone(n)
        if session is not None:
            held = self.model.held()
            token = None if which is None else held[which % len(held)].token if held else 999_999
            guard: dict[str, Any] = {} if token is None else {"guard": {"token": token}}
            self.ask(session, "set", self.model.set(session, self.number, key, token), key=key, value=1, **guard)

    @rule(n=anybody, pattern=st.sampled_from(PATTERNS))
    def clear(self, n: int, pattern: str) -> None:
        session = self.someone(n)
        if session is not None:
            expected = self.model.clear(session, self.number, pattern)
            command = m.Clear(id=self.number, pattern=pattern, confirm=True)
            (told,) = map(shape, self.machine.apply(command, session, self.model.now)[-1:])
            if expected[-1][2][:2] == ("error", "locked"):
                assert told[2][:2] == ("error", "locked")
            else:
                assert told == expected[-1]

    # --- sessions and time ---

    @rule(n=anybody)
    def hello(self, n: int) -> None:
        self.someone(0)
        if self.sessions[n] not in self.model.stays:
            self.opened += 1
            session = self.sessions[n] = f"s{self.opened}"
            outputs = self.machine.hello(
                m.Hello(id=0), SessionIds(session, "secret", f"made-{session}"), self.model.now, INFO
            )
            self.compare(outputs, self.model.hello(session))

    @rule(n=anybody)
    def drop(self, n: int) -> None:
        session = self.someone(n)
        if session is not None:
            self.compare(self.machine.drop(session, self.model.now), self.model.drop(session))

    @rule(n=anybody)
    def come_back(self, n: int) -> None:
        self.someone(0)
        session = self.sessions[n]
        if session in self.model.stays:
            assert session is not None
            hello = m.Hello(id=0, session=session, secret="secret")
            outputs = self.machine.hello(hello, SessionIds("", "", ""), self.model.now, INFO)
            self.compare(outputs, self.model.return_to(session))

    @rule(n=anybody)
    def bye(self, n: int) -> None:
        session = self.someone(n)
        if session is not None:
            self.ask(session, "bye", self.model.bye(session, self.number))

    @rule()
    def a_little_later(self) -> None:
        self.model.now += 0.125

    @precondition(lambda self: self.model.next_deadline() is not None)
    @rule(short=st.sampled_from([0.0, 0.0, 0.125]))
    def later(self, short: float) -> None:
        """Up to the next deadline exactly, or just before it."""
        deadline = self.model.next_deadline()
        assert deadline is not None
        self.model.now = max(self.model.now, deadline - short)

    @rule(n=anybody, op=st.sampled_from(["ping", "hello", "drop"]))
    def what_is_due_comes_before_the_next_command(self, n: int, op: str) -> None:
        deadline = self.model.next_deadline()
        session = self.sessions[n]
        if deadline is None or session not in self.model.stays or op == "ping":
            return
        assert session is not None
        self.model.now = max(self.model.now, deadline)
        due = self.model.pass_time()
        there = session in self.model.stays
        if op == "hello":
            hello = m.Hello(id=0, session=session, secret="secret")
            outputs = self.machine.hello(hello, SessionIds("", "", ""), self.model.now, INFO)
            then = self.model.return_to(session) if there else [("reply", 0, ("error", "session_lost"), False)]
        else:
            outputs = self.machine.drop(session, self.model.now)
            then = self.model.drop(session) if there else []
        self.compare(outputs, due + then)

    # --- what always holds ---

    def check(self) -> None:
        self.machine.check()
        self.check_holders()
        self.check_no_deadlock()

    def check_holders(self) -> None:
        """No two hold what conflicts."""
        held = self.model.held()
        assert {claim.token for claim in held} == self.machine.state.lock_table.held.keys()
        for number, claim in enumerate(held):
            assert not any(claim.conflicts(other) for other in held[:number])

    def check_no_deadlock(self) -> None:
        found = edges(self.model.claims)
        assert not any(circles(found, begin) for begin, _ in found)

    @invariant()
    def whoever_waits_is_owed_an_answer_and_nobody_else(self) -> None:
        for session in self.machine.state.sessions:
            assert session.pending.keys() == self.model.stays[session.id].waiting.keys()
            unsaid = {said[2] for said in self.model.stays[session.id].unsaid if said[0] == "answer"}
            assert self.owed.get(session.id, set()) == session.pending.keys() | unsaid

    @invariant()
    def both_look_to_the_same_deadline(self) -> None:
        assert self.machine.next_deadline() == self.model.next_deadline()


def check_if_cycle(claims: list[Asked], newcomer: Asked, output: Effect) -> None:
    """What the hub calls a circle is one: each of it waits for a strand of the next, the last for the newcomer's."""
    if not isinstance(output, Reply) or not isinstance(output.outcome.error, Deadlock):
        return
    cycle: list[dict[str, Any]] = output.outcome.error.details["cycle"]
    assert cycle[0]["session"] == newcomer.session
    assert all(link["agent"] == f"made-{link['session']}" for link in cycle)
    ways: list[tuple[LockOwner, set[LockOwner]]] = [(newcomer.owner, ahead(claims, newcomer))]
    for link in cycle[1:]:
        on = (tuple(link.get("names", ())), tuple(link.get("patterns", ())))
        ways = [
            (claim.owner, ahead(claims, claim))
            for claim in claims
            if claim.token is None and (claim.session, claim.on) == (link["session"], on)
            and any(claim.owner in before for _, before in ways)
        ]  # fmt: skip
        assert ways, "each waits for the next"
    assert any(newcomer.owner in before for _, before in ways), "the last waits for the first"
    assert len(cycle) == len(circles(edges([*claims, newcomer]), newcomer.owner)), "and it is the shortest"


def ahead(claims: list[Asked], claim: Asked) -> set[LockOwner]:
    """The strands that this claim waits for."""
    return {one.owner for one in claims if one.order < claim.order and one.conflicts(claim)}


@pytest.mark.parametrize("part", PARTS)
def test_locks_and_their_model_agree_after_whatever_agents_do(part: int) -> None:
    take_walks(Walk, walks=200, steps=60)


class LockContention:
    """Few agents, few names, and everybody waits for ever: so close that circles are the rule.

    Drawn evenly, not by hypothesis, whose walks seldom get as far into a crowd.
    """

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.machine = Machine(Limits(), "epoch")
        self.model = LockModel()
        self.tasks: list[str | None] = self.draw.choice([[None], [None], [None, "t"], ["t", "u"]])
        self.widest = self.draw.choice([1, 2, 2, 3])
        self.sharing = self.draw.choice([0.2, 0.5, 0.6, 0.7])
        self.patterned = self.draw.choice([0.0, 0.3])
        for session in "pqrs":
            self.machine.hello(m.Hello(id=0), SessionIds(session, "secret", f"made-{session}"), self.model.now, INFO)
            self.model.hello(session)

    def step(self, number: int) -> None:
        """Somebody lets go, changes his mind, or asks for something more."""
        claims = [(claim.session, claim.token, claim.id) for claim in self.model.claims]
        if claims and self.draw.random() < 0.15:
            session, token, id = self.draw.choice(claims)
            if token is None:
                self.compare(session, m.Cancel(id=number, target=id), self.model.cancel(session, number, id))
            else:
                self.compare(session, m.Unlock(id=number, token=token), self.model.unlock(session, number, token))
            return
        session = self.draw.choice("pqrs")
        mode: m.Mode = "shared" if self.draw.random() < self.sharing else "exclusive"
        texts = PATTERNS if self.draw.random() < self.patterned else NAMES
        on = tuple(self.draw.sample(texts, self.draw.randint(1, self.widest)))
        names, patterns = (on, ()) if texts is NAMES else ((), on)
        fields: dict[str, Any] = {
            "names": names,
            "patterns": patterns,
            "mode": mode,
            "ttl": 30.0,
            "task": self.draw.choice(self.tasks),
        }
        before = list(self.model.claims)
        expected = self.model.lock(session, number, None, None, ns="default", **fields)
        on_wire: dict[str, Any] = {"names": list(names) or None, "patterns": list(patterns) or None}
        command = m.Lock(id=number, mode=mode, wait=None, task=fields["task"], **on_wire)
        for output in self.compare(session, command, expected):
            newcomer = Asked(
                order=self.model.order, session=session, id=number, rid=None, since=0.0, ns="default", **fields
            )
            check_if_cycle(before, newcomer, output)

    def compare(self, session: str, command: m.AnyCommand, expected: list[Shape]) -> list[Effect]:
        outputs = self.machine.apply(command, session, self.model.now)
        assert [shape(output) for output in outputs] == expected
        return outputs


@pytest.mark.parametrize("part", range(10))
def test_a_deadlock_is_reported_exactly_where_a_cycle_exists(part: int) -> None:
    for _ in range(5 * int(WALKS or 200) // 10):
        seed = random.randrange(2**32)
        contention = LockContention(seed)
        try:
            for number in range(1, 41):
                contention.step(number)
            contention.machine.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise

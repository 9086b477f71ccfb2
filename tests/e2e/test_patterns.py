"""The examples of `waggle demo NAME`, in real processes: what the event log proves of them, and what they ask for.

A raw agent records every event. An agent *begins* with the first thing it does or says of itself; what it does not
count as is to wait for something, or to say so.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.test_demo import SOON, WAGGLE, environment
from tests.e2e.wire import Join, Json, Wire

pytestmark = pytest.mark.e2e

FAST, SLOW = 20, 8
"""How many times as fast as for people."""
ALL = ["set", "delete", "expire", "evict", "touch", "lock", "renew", "unlock", "queue", "message"]
RELEASE = "checkpoint/gates/release"


class Played(NamedTuple):
    """A demo that was played: all events in the order of revisions, how often each op was asked, what it told."""

    log: list[Json]
    ops: Counter[str]
    story: str

    @property
    def ns(self) -> list[Json]:
        """The events of the demo's keys and locks."""
        return [event for event in self.log if event["ns"] != "$agents"]

    def sets(self, key: str) -> list[Json]:
        """The writes of a key."""
        return [event for event in self.ns if event["type"] == "set" and event["key"] == key]

    def of(self, *types: str, key: str = "*") -> list[Json]:
        """The events of these types."""
        return [event for event in self.ns if event["type"] in types and fnmatchcase(event["key"], key)]

    def begun(self, agent: str) -> int:
        """The revision at which an agent began."""
        own = (event["rev"] for event in self.ns if event["by"] == agent and event["type"] != "queue")
        said = (
            event["rev"]
            for event in self.log
            if event["ns"] == "$agents" and event["key"] == agent and event["type"] == "set" and _at_work(event)
        )
        return int(min([*own, *said]))


def _at_work(presence: Json) -> bool:
    status = presence["value"]["status"]
    return status is not None and not status.startswith("waiting")


Answer = Callable[[Wire], Any]


@pytest.fixture(scope="module")
def known() -> dict[tuple[object, ...], Played]:
    """What was played: the tests look at the same log in different ways."""
    return {}


@pytest.fixture
def play(hub: HubProcess, join: Join, known: dict[tuple[object, ...], Played]) -> Callable[..., Any]:
    """Plays a demo to its end, once, while a witness records: `await play("chain")`; `answer` is who decides there."""

    async def play(name: str, speed: float = FAST, answer: Answer | None = None) -> Played:
        if (name, speed, answer) not in known:
            known[name, speed, answer] = await record(name, speed, answer)
        return known[name, speed, answer]

    async def record(name: str, speed: float, answer: Answer | None) -> Played:
        witness = await join(agent="witness", ns=f"demo-{name}")
        await witness.subscribe("*", types=ALL)
        await witness.subscribe("*", ns="$agents", types=["set"])
        before = await counts(witness)
        options = ["--port", str(hub.port), "--speed", str(speed), *([] if answer else ["--yes"])]
        process = await asyncio.create_subprocess_exec(
            WAGGLE,
            "demo",
            name,
            *options,
            env=environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        if answer is not None:
            await answer(witness)
        story, said = await asyncio.wait_for(process.communicate(), SOON)
        assert (process.returncode, said.decode()) == (0, ""), story.decode()
        await witness.settle()
        events = (line for line in witness.heard if "sub" in line and line["type"] in ALL)
        log = [event for event in events if event["by"] != f"narrator-{name}"]  # it clears what was there before
        return Played(sorted(log, key=lambda line: line["rev"]), await counts(witness) - before, story.decode())

    return play


async def counts(wire: Wire) -> Counter[str]:
    """How often each op was asked of the hub so far."""
    ops = (await wire.ask("stats"))["ops"]
    return Counter({op: count["count"] for op, count in ops.items()})


# --- what is proved ----------------------------------------------------------------------------------------------


def too_early(played: Played, prerequisites: dict[str, list[str]]) -> list[str]:
    """The agents that began before all of these keys had been written."""
    return [
        agent
        for agent, keys in prerequisites.items()
        if played.begun(agent) < max(played.sets(key)[0]["rev"] for key in keys)
    ]


def late(played: Played, key: str) -> Played:
    """The log as if a key had been written after all else."""
    last = played.log[-1]["rev"]
    moved = [{**event, "rev": event["rev"] + last} if event["key"] == key else event for event in played.log]
    return played._replace(log=sorted(moved, key=lambda event: event["rev"]))


class Held(NamedTuple):
    """A lock from its grant to its end."""

    key: str
    token: int
    by: str
    mode: str
    end: int
    reason: str

    def covers(self, key: str) -> bool:
        return fnmatchcase(key, self.key)


def holds(events: Iterable[Json]) -> Iterator[Held]:
    """All locks that were granted; each must have ended, once."""
    ends: dict[tuple[str, int], list[Json]] = {}
    grants = []
    for event in events:
        if event["type"] == "unlock":
            ends.setdefault((event["key"], event["token"]), []).append(event)
        elif event["type"] == "lock":
            assert event["token"] == event["rev"]
            grants.append(event)
    for grant in grants:
        (end,) = ends.pop((grant["key"], grant["token"]))
        yield Held(grant["key"], grant["token"], grant["by"], grant["mode"], end["rev"], end["reason"])
    assert not ends


def overlaps(held: list[Held]) -> list[tuple[Held, Held]]:
    """Pairs that were held at the same time, though they conflict; none of our names is a pattern but `src/*`."""
    return [
        (one, two)
        for one in held
        for two in held
        if one.token < two.token < one.end
        and {one.mode, two.mode} != {"shared"}
        and (one.covers(two.key) or two.covers(one.key))
    ]


CHAIN = {
    "designer": ["handoff/research/findings"],
    "developer": ["handoff/design/spec"],
    "tester": ["handoff/code/api"],
}
SERVICES = ["users", "products", "orders", "payments"]
FAN = {
    **{f"{service}-developer": ["fanout/spec"] for service in SERVICES},
    "integrator": [f"fanout/complete/{service}" for service in SERVICES],
}
STATE = "shared/project-state"
SHARED = {
    agent: [STATE] for agent in ("users-developer", "orders-developer", "tester", "auditor", "analyst", "manager")
}


@pytest.mark.parametrize(("name", "prerequisites"), [("chain", CHAIN), ("fan", FAN), ("shared", SHARED)])
async def test_no_agent_begins_before_its_prerequisites_are_written(
    play: Callable[..., Any], name: str, prerequisites: dict[str, list[str]]
) -> None:
    played = await play(name)
    assert too_early(played, prerequisites) == []
    for agent, keys in prerequisites.items():
        assert agent in too_early(late(played, keys[-1]), prerequisites), "the proof proves something"


async def test_the_last_of_a_fan_has_what_all_have_built(play: Callable[..., Any]) -> None:
    played = await play("fan")
    (gateway,) = played.sets("fanout/gateway")
    assert gateway["value"] == {"routes": [f"/{service}" for service in SERVICES]}


# --- gates -------------------------------------------------------------------------------------------------------


async def reject_then_approve(wire: Wire) -> None:
    """A person at another door: no at first, then yes."""
    for verdict in {"status": "rejected", "reason": "not on a Friday"}, {"status": "approved"}:
        while True:
            event = await wire.event("set", within=SOON)
            if event["key"] == RELEASE and event["value"]["status"] == "pending":
                break
        await wire.ask("set", key=RELEASE, value=verdict)


async def test_no_work_goes_through_a_gate_before_it_is_approved(play: Callable[..., Any]) -> None:
    played = await play("gates", answer=reject_then_approve)
    approved = {phase: rev_of(played, phase, "approved") for phase in ("plan", "code", "release")}
    assert played.begun("developer") > approved["plan"]
    assert played.begun("operator") > approved["code"]
    (released,) = played.sets("checkpoint/released")
    assert released["rev"] > approved["release"]


async def test_a_gate_names_the_deciding_agent_and_rejected_work_returns_with_the_reason(
    play: Callable[..., Any],
) -> None:
    played = await play("gates", answer=reject_then_approve)
    assert gate(played, "plan") == [("planner", "pending"), ("architect", "approved")]
    twice = ["pending", "rejected", "pending", "approved"]
    assert gate(played, "code") == list(zip(["developer", "reviewer"] * 2, twice, strict=True))
    assert gate(played, "release") == list(zip(["operator", "witness"] * 2, twice, strict=True))
    mended = [event["value"]["mended"] for event in played.sets("checkpoint/code/work")]
    assert mended == [[], ["there are no tests"]]
    mended = [event["value"]["mended"] for event in played.sets("checkpoint/release/work")]
    assert mended == [[], ["not on a Friday"]]


async def test_work_and_its_pending_gate_are_one_change(play: Callable[..., Any]) -> None:
    played = await play("gates")
    for phase in "plan", "code", "release":
        pending = [event["rev"] for event in played.sets(f"checkpoint/gates/{phase}") if _is(event, "pending")]
        assert pending == [event["rev"] for event in played.sets(f"checkpoint/{phase}/work")]
    assert gate(played, "release") == [("operator", "pending"), ("person", "approved")]


def gate(played: Played, phase: str) -> list[tuple[str, str]]:
    """Who wrote a gate, and what."""
    return [(event["by"], event["value"]["status"]) for event in played.sets(f"checkpoint/gates/{phase}")]


def rev_of(played: Played, phase: str, status: str) -> int:
    """When a gate first had this status."""
    rev: int = next(event["rev"] for event in played.sets(f"checkpoint/gates/{phase}") if _is(event, status))
    return rev


def _is(event: Json, status: str) -> bool:
    return bool(event["value"]["status"] == status)


# --- shared state ------------------------------------------------------------------------------------------------


async def test_many_writers_to_one_entry_lose_no_update(play: Callable[..., Any]) -> None:
    played = await play("shared")
    states = played.sets(STATE)
    assert [event["version"] for event in states] == list(range(states[0]["version"], states[0]["version"] + 20))
    for before, after in pairwise(states):
        for part in "endpoints", "issues":
            assert after["value"][part][: len(before["value"][part])] == before["value"][part]
    last = states[-1]["value"]
    assert sorted(last["endpoints"]) == sorted(f"/{who}/{number}" for who in ("users", "orders") for number in range(5))
    assert (last["issues"], last["rounds"], last["coverage"]) == (["no rate limit", "weak password rule"], 3, 85)


async def test_the_report_is_of_a_state_that_was_complete(play: Callable[..., Any]) -> None:
    played = await play("shared")
    (report,) = played.sets("shared/report")
    assert report["rev"] > played.begun("manager") > played.sets(STATE)[-1]["rev"]
    assert len(report["value"]["endpoints"]) == 10
    assert report["value"]["version"] == played.sets(STATE)[-1]["version"]


# --- locks -------------------------------------------------------------------------------------------------------


async def test_locks_that_conflict_never_overlap(play: Callable[..., Any]) -> None:
    held = list(holds((await play("files")).ns))
    assert len(held) == 16
    assert overlaps(held) == []
    assert {each.reason for each in held} == {"released"}
    longer = [each._replace(end=held[-1].token) if each is held[0] else each for each in held]
    assert overlaps(longer) != [], "the proof proves something"


async def test_every_write_to_a_file_is_made_under_its_lock(play: Callable[..., Any]) -> None:
    played = await play("files")
    held = list(holds(played.ns))
    writes = played.of("set", key="src/*")
    assert len(writes) == 14
    for write in writes:
        under = [
            each
            for each in held
            if each.covers(write["key"]) and each.token < write["rev"] < each.end and each.mode == "exclusive"
        ]
        assert [each.by for each in under] == [write["by"]]


async def test_files_do_not_change_under_a_shared_lock(play: Callable[..., Any]) -> None:
    played = await play("files")
    assert [event["value"]["still"] for event in played.of("set", key="tests/*")] == [True] * 3


# --- work --------------------------------------------------------------------------------------------------------


async def test_each_job_is_done_once_though_a_worker_is_killed_with_one_in_its_hands(play: Callable[..., Any]) -> None:
    played = await play("queue")
    jobs = [f"job/{number}" for number in range(1, 10)]
    assert Counter(event["key"] for event in played.of("delete", key="job/*")) == Counter(jobs)
    results = played.of("set", key="result/*")
    assert Counter(event["key"] for event in results) == Counter(f"result/{number}" for number in range(1, 10))
    held = list(holds(played.ns))
    assert overlaps(held) == []
    (given_up,) = (each for each in held if each.by == "unlucky-worker")
    assert given_up.reason == "expired"
    again = Counter(each.key for each in held)
    assert again == Counter([*jobs, given_up.key])
    deliveries = {event["key"].replace("result", "job"): event["value"]["delivery"] for event in results}
    assert deliveries == again
    (report,) = played.sets("report")
    assert report["rev"] > max(event["rev"] for event in played.of("delete"))


# --- questions ---------------------------------------------------------------------------------------------------


async def test_an_agent_that_asks_goes_on_only_with_the_answer(play: Callable[..., Any]) -> None:
    played = await play("questions")
    answers = played.of("set", key="answer:*")
    assert [event["by"] for event in answers].count("architect") == 2
    for topic in "storage", "tokens":
        (decision,) = played.sets(f"decision/{topic}")
        (answer,) = (event for event in answers if event["value"] == decision["value"])
        statuses = [
            event["rev"]
            for event in played.log
            if event["ns"] == "$agents" and event["value"]["status"] == f"building {topic}"
        ]
        assert answer["rev"] < min(statuses) < decision["rev"]
    (checked,) = (event for event in answers if event["by"] == "security")
    (tokens,) = (event for event in answers if event["by"] == "architect" and event["value"]["checked"])
    assert checked["rev"] < tokens["rev"]


async def test_every_message_is_read_once_in_the_order_sent(play: Callable[..., Any]) -> None:
    played = await play("questions")
    for inbox in "architect", "security", "lead":
        sent, read, gone = (
            [event["key"] for event in played.of(kind, key=f"inbox:{inbox}/*")] for kind in ("set", "lock", "delete")
        )
        assert len(sent) > 0
        assert sent == read == gone
    assert played.of("set", key="answer:*")
    left = {event["key"] for event in played.of("set")} - {event["key"] for event in played.of("delete")}
    assert left == {"decision/storage", "decision/tokens", "report"}


# --- what it costs -----------------------------------------------------------------------------------------------

WAITS = {"chain": 3, "fan": 5, "gates": 11, "shared": 6, "files": 1, "queue": 2, "questions": 3}
"""Each wait in the code, once for each time that it is come to."""
GROWS = {"renew", "cancel", "get", "update"}
"""Renewals are a matter of time; a cancel of when it ended; `shared` reads again if somebody was faster."""


@pytest.mark.parametrize("name", WAITS)
async def test_a_wait_is_one_command_however_long(play: Callable[..., Any], name: str) -> None:
    fast = (await play(name)).ops
    slow = (await play(name, SLOW)).ops
    assert fast["wait"] == slow["wait"] == WAITS[name]
    assert {op: count for op, count in fast.items() if op not in GROWS} == {
        op: count for op, count in slow.items() if op not in GROWS
    }


async def test_the_demo_says_what_the_hub_was_given() -> None:
    process = await asyncio.create_subprocess_exec(
        WAGGLE, "demo", "chain", "--port", "0", "--speed", str(FAST), env=environment(), stdout=asyncio.subprocess.PIPE
    )
    story, _ = await asyncio.wait_for(process.communicate(), SOON)
    assert process.returncode == 0
    assert re.search(r"The hub was given 14 commands: status 7, set 4, wait 3\.\n$", story.decode())

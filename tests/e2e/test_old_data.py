"""Data directories that hubs of revision 8942e7e have left: agents of then go on at a hub of today.

The clock is today's: what had a deadline then may be over. Deadlines that lie ten years ahead still hold until 2036;
tests/unit/journal/test_old_data.py looks at the same data at the time when its hub ended.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli.shell import environment, run_here
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.wire import Chain, Json, Wire
from tests.old_data import FIXTURES, NAMES, OldData, stored, unpack

pytestmark = pytest.mark.e2e

OPTIONS = {"full": (), "relaxed": ("--durability", "relaxed"), "json": ("--journal", "json")}
GRACE_S = 600.0
"""So long that no session ends between two tests."""


@pytest.fixture(scope="module", params=NAMES)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OldData:
    return unpack(request.param, tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def old_hub(old: OldData, start_shared_hub: StartHub) -> HubProcess:
    """A hub of today on the data. The tests share it, in the order in which they stand here."""
    return start_shared_hub(data=old.data, options=OPTIONS[old.name.partition("-")[0]], limits={"grace": GRACE_S})


class Agents:
    """Agents that come back to the hub, and new ones."""

    def __init__(self, old: OldData, hub: HubProcess) -> None:
        self._old, self._hub = old, hub
        self.wires: list[Wire] = []

    async def join(self, **fields: Any) -> Wire:
        wire = await self.connect()
        await wire.hello(**fields)
        return wire

    async def back(self, agent: str, *waiting: str) -> tuple[Wire, Chain | None]:
        """Take over the session of an agent, which has commands of these ops that still wait. Return its connection,
        and its subscription if it has one."""
        wire = await self.connect()
        chain, cursors = None, {}
        if agent in self._old.expected["subscriptions"]:
            command, ok, cursor = self._old.expected["subscriptions"][agent]
            chain = wire.chains[ok["sub"]] = Chain(command, ok)
            chain.filling = False
            chain.resume(cursor)
            cursors = {str(ok["sub"]): cursor}
        # Also those that were answered to an earlier connection of this test file: their replies come again.
        for op, (owner, id) in self._old.expected["waiting"].items():
            if op in waiting or owner == agent:
                wire.expect(id, op)
        await wire.hello(**self._old.expected["sessions"][agent], cursors=cursors)
        assert wire.welcome["resumed"] is True
        return wire, chain

    async def connect(self) -> Wire:
        wire = await Wire.connect(self._hub.ws)
        self.wires.append(wire)
        return wire


@pytest.fixture
async def agents(old: OldData, old_hub: HubProcess) -> AsyncIterator[Agents]:
    agents = Agents(old, old_hub)
    yield agents
    for wire in agents.wires:
        await wire.close()


async def test_old_entries_locks_and_history_are_shown_as_they_were(old: OldData, agents: Agents) -> None:
    wire = await agents.join(agent="observer")
    assert (wire.welcome["epoch"] == old.expected["epoch"]) is not old.new_epoch
    assert wire.welcome["rev"] > old.expected["rev"]
    entries = {entry["key"]: entry for entry in (await wire.ask("list", pattern="*", limit=1000))["entries"]}
    assert "ends" not in entries, "its deadline has passed"
    for entry in stored(old.expected["entries"]["default"]):
        assert entries[entry["key"]] == entry
    assert (await wire.ask("list", pattern="*", ns="$dead"))["entries"] == old.expected["entries"]["$dead"]
    assert (await wire.ask("history", key="versions"))["entries"] == old.expected["history"]
    locks = {lock["token"]: lock for lock in (await wire.ask("locks", ns="*"))["locks"]}
    for lock in old.expected["locks"]:
        assert locks[lock["token"]] == lock
    assert (await wire.ask("set", key="deleted", ns="default", value=1))["version"] == 4
    await wire.ask("delete", key="deleted")


async def test_an_agent_of_then_misses_no_event(old: OldData, agents: Agents) -> None:
    a, _ = await agents.back("a")
    c, _ = await agents.back("c", "wait")
    assert (await c.refused(old.expected["waiting"]["wait"][1])).code == "timeout"
    if old.new_epoch:
        for wire in (a, c):
            assert (await wire.event("lost"))["reason"] == "epoch"
        assert {(await a.event("set"))["key"] for _ in range(2)} == {"k:1", "k:9"}
        return
    events = [await a.event("set", "delete") for _ in range(4)]
    told = [(event["type"], event["key"], event.get("value"), event["version"]) for event in events]
    assert told == [("set", "k:1", 2, 2), ("set", "k:2", 1, 1), ("delete", "k:2", None, 1), ("set", "k:9", 1, 1)]
    conflated = [await c.event("set", "delete") for _ in range(3)]
    assert [(event["type"], event["key"]) for event in conflated] == [("set", "k:1"), ("delete", "k:2"), ("set", "k:9")]
    written = await a.ask("set", key="k:10", ns="feed", value=1)
    assert (await a.event("set"))["rev"] == written["rev"] > old.expected["rev"]


async def test_an_agent_that_was_away_hears_what_it_has_missed(old: OldData, agents: Agents) -> None:
    wire = await agents.connect()
    away = old.expected["away"]
    wire.expect(away["wait"], "wait")
    await wire.hello(**old.expected["sessions"]["d"])
    assert (await wire.ok(away["wait"]))["rev"] == away["rev"]
    assert [(lost["token"], lost["reason"]) for lost in wire.lost] == [(away["token"], "forced")]


async def test_a_rid_of_then_is_not_done_again(old: OldData, agents: Agents) -> None:
    wires = {"a": (await agents.back("a"))[0], "c": (await agents.back("c"))[0]}
    for agent, op, fields, line in old.expected["rids"]:
        again = await wires[agent].reply(*await wires[agent].send({"op": op, **fields}))
        assert again["dup"] is True
        for result in ("ok", "error"):
            assert again.get(result) == (line[result] | {"dup": True} if result in line else None)


async def test_a_lock_of_then_goes_on_to_the_agent_that_waited(old: OldData, agents: Agents) -> None:
    a, _ = await agents.back("a")
    b, _ = await agents.back("b", "lock", "take")
    waiting, tokens = old.expected["waiting"], old.expected["tokens"]
    assert (await a.refusal("set", key="src/a", value=1)).code == "locked"
    await a.ask("unlock", token=tokens["deploy"])
    assert (await b.ok(waiting["lock"][1]))["token"] > old.expected["rev"]
    await a.ask("set", key="later:1", ns="work", value=1)
    assert (await b.ok(waiting["take"][1]))["entry"]["key"] == "later:1"
    assert (await b.ask("renew", token=tokens["job:0"]))["expires_at"]
    done = await b.ask("delete", key="job:0", guard={"token": tokens["job:0"]})
    assert done["deleted"] is True


def test_an_export_of_then_is_imported(hub: HubProcess, ns: str, tmp_path: Path) -> None:
    env = environment(WAGGLE_URL=hub.url)
    imported = run_here(env, ["import", str(FIXTURES / "export.jsonl"), "--ns", ns], "")
    assert imported.returncode == 0, imported.stderr
    again = tmp_path / "again.jsonl"
    assert run_here(env, ["export", "--ns", ns, "--output", str(again)], "").returncode == 0
    assert keys_and_values(again) == keys_and_values(FIXTURES / "export.jsonl")


def keys_and_values(path: Path) -> dict[str, Any]:
    """Return the values of an export by key, without the entry that has expired since."""
    lines: list[Json] = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return {line["key"]: line["value"] for line in lines if line["key"] != "ends"}

"""Data of revision 8942e7e, loaded at the time when its hub ended: nothing has expired meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.old_data import BACKUPS, NAMES, Json, OldData, stored, unpack
from tests.unit.journal.world import told
from waggle.wire import messages as m
from waggle_hub.app import make_machine
from waggle_hub.delivery.encoding import reply_line
from waggle_hub.journal.data_directory import DataDirectory
from waggle_hub.settings import Settings
from waggle_hub.state.effects import DeferredReply, Effect, Reply
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

DOWN_S = 0.5
"""Seconds between the end of the hub of then and the start of the hub of today."""
INFO = m.Welcome(
    session="", secret="", agent="", resumed=False, epoch="", rev=0, grace=1, hub=m.HubInfo("waggle", "0"),
    features=[], durability="full", limits={}, subs={},
)  # fmt: skip


class Today:
    """The hub of today on old data, without a clock: its machine, and an observer's session."""

    def __init__(self, directory: Path, journal: str, now: float) -> None:
        with DataDirectory(directory) as data, data.store(journal) as store:
            state = store.load(told)
            assert state is not None
            self.machine: Machine = make_machine(Settings(), "full", state, now)
        self.now = now
        self.outputs: list[Effect] = self.machine.start(now)
        self.machine.check()
        ids = SessionIds("observer", "secret", "made")
        self.outputs += self.machine.hello(m.Hello(id=0, agent="observer"), ids, now, INFO)

    def reply(self, op: str, session: str = "observer", **fields: Any) -> Json:
        """Do a command, and return the line of its reply without `id`."""
        command = msgspec.convert({"op": op, "id": 1, **fields}, m.AnyCommand)
        self.outputs = self.machine.apply(command, session, self.now)
        self.machine.check()
        (reply,) = [output for output in self.outputs if isinstance(output, Reply)]
        while self.machine.has_pending_scan:
            self.outputs += self.machine.continue_scan(self.now)
        line: Json = json.loads(reply_line(reply).data)
        del line["id"]
        return line

    def ask(self, op: str, session: str = "observer", **fields: Any) -> Json:
        ok: Json = self.reply(op, session, **fields)["ok"]
        return ok

    def take_over(self, session: Json) -> None:
        """Let an agent of then connect again, and go on with its session."""
        ids = SessionIds("unused", "unused", "unused")
        self.outputs = self.machine.hello(m.Hello(id=0, **session), ids, self.now, INFO)
        self.machine.check()

    def entries(self, ns: str = "default") -> list[Json]:
        listed: list[Json] = self.ask("list", pattern="*", ns=ns, limit=1000)["entries"]
        return listed

    def tick(self, until: float) -> None:
        """Let what is due until then happen."""
        self.now = until
        self.outputs = self.machine.expire(until, 1_000)
        self.machine.check()

    def deferred(self) -> dict[tuple[str, Any], Json]:
        """Return the lines of the replies that the last step gave to waiting commands, by session and id."""
        replies = [output for output in self.outputs if isinstance(output, DeferredReply)]
        return {(reply.session, reply.id): json.loads(reply_line(reply).data) for reply in replies}

    def events(self) -> list[tuple[str, str]]:
        """Return the types and keys of the events of the last step, those of presence left out."""
        commits = [output for output in self.outputs if isinstance(output, Commit)]
        return [(event.type, event.key) for commit in commits for event in commit.events if event.ns[0] != "$"]


@pytest.fixture(params=NAMES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> OldData:
    return unpack(request.param, tmp_path)


@pytest.fixture
def today(old: OldData) -> Today:
    return Today(old.data, old.journal, old.expected["stopped_at"] + DOWN_S)


def session(old: OldData, agent: str) -> str:
    id: str = old.expected["sessions"][agent]["session"]
    return id


def test_old_entries_keep_value_meta_revision_version_and_deadline(old: OldData, today: Today) -> None:
    expected = old.expected["entries"]
    assert {entry["kind"] for entry in expected["default"]} == {"persistent", "versioned", "transient", "cached"}
    assert [entry for entry in today.entries() if entry["key"] != "ends"] == stored(expected["default"])
    assert today.entries("work") == stored(expected["work"])
    assert today.entries("$dead") == expected["$dead"] != []


def test_old_versions_of_an_entry_are_in_its_history(old: OldData, today: Today) -> None:
    assert today.ask("history", key="versions")["entries"] == old.expected["history"]
    assert len(old.expected["history"]) == 4


def test_keys_that_were_deleted_go_on_above_their_old_versions(today: Today) -> None:
    assert today.ask("set", key="deleted", value=1)["version"] == 4
    assert today.ask("set", key="expired", value=1)["version"] == 2
    assert today.ask("set", key="cleared:1", ns="work", value=1)["version"] == 2
    for key in ("transient", "cached"):
        assert today.ask("set", key=key, value=1)["version"] > 1


def test_an_old_deadline_that_comes_later_is_an_expire_event(today: Today) -> None:
    (ends,) = [entry for entry in today.entries() if entry["key"] == "ends"]
    assert ends["expires_at"] > today.now
    today.tick(ends["expires_at"] - 0.001)
    assert ("expire", "ends") not in today.events()
    today.tick(ends["expires_at"])
    assert ("expire", "ends") in today.events()


def test_old_locks_keep_holder_token_deadline_and_queue(old: OldData, today: Today) -> None:
    assert today.ask("locks", ns="*")["locks"] == old.expected["locks"]
    held = {lock["token"] for lock in old.expected["locks"]}
    assert held >= set(old.expected["tokens"].values())
    assert today.reply("set", key="deploy", value=1)["error"]["code"] == "locked"
    assert today.ask("set", key="deploy", value=1, guard={"token": old.expected["tokens"]["deploy"]})


def test_commands_that_waited_then_are_answered_today(old: OldData, today: Today) -> None:
    waiting, a = old.expected["waiting"], session(old, "a")
    for agent in ("b", "c"):
        today.take_over(old.expected["sessions"][agent])
    ids = {op: (session(old, agent), id) for op, (agent, id) in waiting.items()}
    today.ask("unlock", a, token=old.expected["tokens"]["deploy"])
    assert today.deferred()[ids["lock"]]["ok"]["token"] > old.expected["rev"]
    today.ask("set", key="later:1", value=1, ns="work")
    assert today.deferred()[ids["take"]]["ok"]["entry"]["key"] == "later:1"
    today.ask("set", key="comes", value={"n": 0})
    assert ids["wait"] not in today.deferred()
    today.ask("set", key="comes", value={"n": 1})
    assert today.deferred()[ids["wait"]]["ok"]["met"] == [0]


def test_an_old_job_comes_again_when_its_lease_is_given_up(old: OldData, today: Today) -> None:
    b, token = session(old, "b"), old.expected["tokens"]["job:0"]
    today.ask("unlock", b, token=token)
    taken = today.ask("take", patterns=["job:*"], ns="work")
    assert (taken["entry"]["key"], taken["delivery"]) == ("job:0", 2)


def test_a_rid_that_was_done_then_is_not_done_again(old: OldData, today: Today) -> None:
    for agent, op, fields, line in old.expected["rids"]:
        again = today.reply(op, session(old, agent), **{"ns": "default", **fields})
        assert again.pop("dup") is True
        assert next(iter(again.values())).pop("dup") is True
        assert again == line


def test_old_sessions_are_there_until_their_grace_is_over(old: OldData, today: Today) -> None:
    agents = {one["agent"] for one in today.ask("inspect")["sessions"]}
    assert agents >= {"a", "b", "c", "d", "a-caller"}
    (mine,) = [entry for entry in today.entries() if entry["key"] == "mine"]
    today.tick(today.now + 120)
    assert ("delete", "mine") in today.events()
    assert {one["agent"] for one in today.ask("inspect")["sessions"]} & {"a", "b", "c", "d"} == set()
    assert mine["key"] not in {entry["key"] for entry in today.entries()}


@pytest.mark.parametrize("name", BACKUPS)
def test_an_old_backup_can_be_restored(name: str, tmp_path: Path) -> None:
    old = unpack(name, tmp_path)
    with DataDirectory(tmp_path / "new") as directory:
        directory.restore(old.backup)
    today = Today(tmp_path / "new", old.journal, old.expected["stopped_at"])
    kept = [entry for entry in stored(old.expected["entries"]["default"]) if entry["key"] != "mine"]
    assert [entry for entry in today.entries() if entry["key"] != "ends"] == kept
    assert today.entries("work") == stored(old.expected["entries"]["work"])
    assert today.ask("history", key="versions")["entries"] == old.expected["history"]
    assert today.ask("set", key="deleted", value=1)["version"] == 4
    assert today.ask("locks", ns="*")["locks"] == []
    assert today.ask("ping")["rev"] > old.expected["rev"]

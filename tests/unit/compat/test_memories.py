"""The nine tools with a hub in this process: what is kept, what is dropped, and what others see of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec import structs

from tests.unit.mcp.memories import Room, id_of, memory, room
from waggle.compat.shared_memory import SharedMemory
from waggle.compat.shared_memory.memories import Memories, told
from waggle.compat.shared_memory.memory_index import Index
from waggle.wire.errors import Conflict, Unavailable
from waggle.wire.messages import Since
from waggle_hub.edge.identity import Identity
from waggle_hub.settings import Limits, Quota, Settings


@pytest_asyncio.fixture(name="here")
async def _here() -> AsyncIterator[Room]:
    async with room() as here:
        yield here


# --- adding and rotation -----------------------------------------------------------------------------------------


async def test_an_added_memory_is_an_entry_at_every_door(here: Room) -> None:
    reply = await here.use("add_memory", agent_name="claude-alpha", content=" found it ", tags=["A"], metadata={"n": 1})
    entry = (await here.call("get", key=reply["entry_id"]))["entry"]
    assert entry["value"] == {
        "entry_id": reply["entry_id"],
        "timestamp": reply["timestamp"],
        "agent_name": "claude-alpha",
        "content": "found it",
        "word_count": 2,
        "tags": ["a"],
        "priority": "medium",
        "metadata": {"n": 1},
        "updated_at": None,
    }
    assert (entry["by"], entry["expires_at"]) == ("impl", None)
    assert reply["message"] == "Memory entry #1 added successfully by claude-alpha"
    assert "rotated" not in reply


async def test_the_oldest_are_dropped_beyond_the_limit_and_the_reply_says_which(here: Room) -> None:
    await here.allow(3)
    ids = [(await here.use("add_memory", agent_name="a", content=f"note {n}"))["entry_id"] for n in range(3)]
    reply = await here.use("add_memory", agent_name="a", content="one more")
    assert reply["rotated"] == {"count": 1, "entry_ids": ids[:1]}
    assert reply["entry_number"] == 4
    assert await here.contents() == ["note 1", "note 2", "one more"]


async def test_what_is_added_is_not_dropped_for_others_that_claim_to_be_of_the_future(here: Room) -> None:
    await here.allow(3)
    await here.put(*(memory(number, f"9999-01-0{number}T00:00:00Z") for number in (1, 2, 3)))
    reply = await here.use("add_memory", agent_name="a", content="new")
    assert reply["rotated"]["entry_ids"] == [id_of(1)]
    assert (await here.use("get_memory", entry_id=reply["entry_id"]))["entry"]["content"] == "new"


async def test_many_are_dropped_at_once_where_the_limit_was_lowered(here: Room) -> None:
    await here.put(*(memory(number, f"2025-01-01T00:{number // 60:02}:{number % 60:02}Z") for number in range(700)))
    await here.allow(10)
    reply = await here.use("add_memory", agent_name="a", content="new")
    assert reply["rotated"]["count"] == 691
    assert reply["rotated"]["entry_ids"] == [id_of(number) for number in range(100)]
    assert len(await here.contents()) == 10


async def test_concurrent_adds_leave_exactly_the_maximum_of_memories(here: Room) -> None:
    await here.allow(7)
    windows = [SharedMemory() for _ in range(5)]  # each with an index of its own, as windows over stdio
    added = await asyncio.gather(
        *(
            here.use("add_memory", window, agent_name=f"agent-{number}", content=f"note {n}")
            for n in range(8)
            for number, window in enumerate(windows)
        )
    )
    dropped = [id for reply in added for id in reply.get("rotated", {}).get("entry_ids", [])]
    assert len(set(dropped)) == len(dropped) == 40 - 7
    kept = await here.use("read_memory", response_format="json")
    assert kept["total_entries"] == 7
    assert {one["entry_id"] for one in kept["entries"]} == {reply["entry_id"] for reply in added} - set(dropped)


async def test_dropped_memories_are_announced_at_the_revision_of_their_deletion(here: Room) -> None:
    await here.allow(1)
    first = await here.use("add_memory", agent_name="a", content="first")
    await here.use("add_memory", agent_name="a", content="second")
    log = here.hub.machine.state.log
    (commit,) = [commit for commit in log.commits_after(log.floor) if commit.events[-1].type == "message"]
    assert [event.type for event in commit.events] == ["delete", "message"]
    message = commit.events[-1]
    assert (message.ns, message.key) == ("memory", "rotation")
    assert json.loads(bytes(message.data or b"")) == {"dropped": [first["entry_id"]], "kept": 1, "limit": 1}


async def test_two_added_at_the_same_instant_have_an_order_all_the_same(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here.hub.engine, "clock", lambda: 1_761_827_696.789)
    replies = [await here.use("add_memory", agent_name="a", content=f"note {n}") for n in range(3)]
    assert [reply["timestamp"] for reply in replies] == [
        "2025-10-30T12:34:56.789Z",
        "2025-10-30T12:34:56.789001Z",
        "2025-10-30T12:34:56.789002Z",
    ]
    assert [reply["entry_number"] for reply in replies] == [1, 2, 3]


async def test_an_add_that_is_acknowledged_is_there_also_where_the_rest_fails(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*said: Any) -> None:
        raise Unavailable("the hub has broken off")

    with monkeypatch.context() as patch:
        patch.setattr(Memories, "ask", broken)
        reply = await here.use("add_memory", agent_name="a", content="kept")
    assert (reply["entry_number"], reply["message"]) == (None, "Memory entry added successfully by a")
    assert "the hub has broken off" in reply["warning"]
    assert await here.contents() == ["kept"]


async def test_a_locked_memory_is_not_dropped_and_the_reply_says_so(here: Room) -> None:
    await here.allow(1)
    await here.put(memory(1))
    await here.hub.callers.caller(Identity("other", "memory")).call("lock", {"name": id_of(1), "ttl": 60})
    reply = await here.use("add_memory", agent_name="a", content="new")
    assert "other" in reply["warning"]
    assert "rotated" not in reply
    assert await here.contents() == ["a note", "new"]


# --- changing ----------------------------------------------------------------------------------------------------


async def test_an_update_changes_what_is_said_and_leaves_the_rest_as_it_is(here: Room) -> None:
    await here.call("set", key=id_of(1), value=_plain(1), ttl=60, meta={"from": "there"})
    reply = await here.use("update_memory", entry_id=id_of(1), content="two words", tags=["T"], metadata={"a": None})
    assert reply["updated_fields"] == ["content", "tags", "metadata"]
    assert reply["message"] == f"Entry {id_of(1)} updated successfully"
    entry = (await here.call("get", key=id_of(1)))["entry"]
    changed = {"content": "two words", "word_count": 2, "tags": ["t"], "metadata": {"a": None}}
    assert entry["value"] == {**_plain(1), **changed, "updated_at": reply["updated_at"]}
    assert (entry["expires_at"] is None, entry["meta"]) == (False, {"from": "there"})


async def test_an_update_of_nothing_bumps_the_time_as_the_original_did(here: Room) -> None:
    await here.put(memory(1))
    reply = await here.use("update_memory", entry_id=id_of(1))
    assert reply["updated_fields"] == []
    assert (await here.use("get_memory", entry_id=id_of(1)))["entry"]["updated_at"] == reply["updated_at"]


async def test_concurrent_updates_of_different_fields_both_take_effect(here: Room) -> None:
    await here.put(memory(1))
    await asyncio.gather(
        *(here.use("update_memory", entry_id=id_of(1), tags=[f"t{n}"]) for n in range(10)),
        *(here.use("update_memory", entry_id=id_of(1), priority="high") for n in range(10)),
    )
    entry = (await here.use("get_memory", entry_id=id_of(1)))["entry"]
    assert entry["priority"] == "high"
    assert entry["tags"][0].startswith("t")


async def test_a_deleted_memory_is_gone_and_a_second_delete_finds_none(here: Room) -> None:
    await here.put(memory(1), memory(2))
    reply = await here.use("delete_memory", entry_id=id_of(1))
    assert (reply["agent_name"], reply["remaining_entries"]) == ("a", 1)
    missing = f"Entry not found with ID: {id_of(1)}"
    for tool in ("delete_memory", "get_memory", "update_memory"):
        assert await here.refused(tool, entry_id=id_of(1)) == missing


async def test_entries_that_are_no_memories_are_neither_found_nor_changed(here: Room) -> None:
    await here.call("set", key=id_of(1), value={"content": "of another kind"})
    for tool in ("delete_memory", "get_memory", "update_memory"):
        assert await here.refused(tool, entry_id=id_of(1)) == f"Entry not found with ID: {id_of(1)}"
    assert (await here.call("get", key=id_of(1)))["entry"]["version"] == 1


async def test_a_refusal_of_the_hub_is_reported_in_the_hubs_words(here: Room) -> None:
    await here.put(memory(1))
    other = here.hub.callers.caller(Identity("other", "memory"))
    await other.call("lock", {"name": id_of(1), "ttl": 60})
    told = await here.refused("update_memory", entry_id=id_of(1), priority="low")
    assert told.startswith("Failed to update memory: ")
    assert "other" in told
    assert (await here.refused("delete_memory", entry_id=id_of(1))).startswith("Failed to delete memory: ")
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    told = await here.refused("add_memory", agent_name="a", content="x", metadata={"deep": deep})
    assert told.startswith("Failed to add memory: metadata['deep']")


async def test_a_change_that_others_keep_ahead_of_is_given_up(here: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await here.put(memory(1))
    window = here.window()

    async def always_late(op: str, fields: Any) -> Any:
        if op in ("update", "delete"):
            raise Conflict("somebody was faster")
        return await window._caller.call(op, fields)

    monkeypatch.setattr(here, "window", lambda: window)
    monkeypatch.setattr(window, "call", always_late)
    for tool in ("update_memory", "delete_memory"):
        assert "try again" in await here.refused(tool, entry_id=id_of(1))


# --- reading -----------------------------------------------------------------------------------------------------


async def test_who_reads_sees_all_that_was_acknowledged_before_by_any_door(here: Room) -> None:
    for number in range(20):
        await here.put(memory(number, content=f"note {number}"))
        assert len(await here.contents()) == number + 1
        if number % 3 == 0:
            await here.call("delete", key=id_of(number))
            assert len(await here.contents()) == number
            await here.put(memory(number, content=f"note {number}"))
    await here.call("clear", pattern="*", confirm=True)
    assert await here.contents() == []


async def test_concurrent_reads_share_one_catch_up(here: Room) -> None:
    await here.put(*(memory(number) for number in range(50)))
    subscribed = 0
    submit = here.hub.engine.submit

    def counted(connection: Any, command: Any) -> None:
        nonlocal subscribed
        subscribed += type(command).__name__ == "Subscribe"
        submit(connection, command)

    here.hub.engine.submit = counted  # type: ignore[method-assign]
    replies = await asyncio.gather(*(here.use("get_memory_stats") for _ in range(30)))
    assert {reply["total_entries"] for reply in replies} == {50}
    assert subscribed <= 3


async def test_an_index_that_was_dropped_is_built_again(here: Room) -> None:
    await here.put(memory(1))
    assert len(await here.contents()) == 1
    here.profile._memories._forget()
    await here.put(memory(2))
    assert len(await here.contents()) == 2


async def test_who_shares_a_catching_up_is_not_answered_of_nothing_when_the_other_question_fails(here: Room) -> None:
    await here.put(memory(1))

    def fail(index: Index) -> int:
        raise MemoryError

    memories, window = here.profile._memories, here.window()
    replies = await asyncio.gather(
        memories.ask(window, fail), memories.ask(window, Index.total), return_exceptions=True
    )
    assert isinstance(replies[0], Unavailable)
    assert replies[1] == 1


async def test_as_many_tags_as_may_be_said_are_looked_for(here: Room) -> None:
    tags = [f"t{number}" for number in range(100)]
    await here.put(memory(1, tags=tags), memory(2, tags=tags[1:]))
    assert (await here.use("read_memory", response_format="json", tags=tags))["total_entries"] == 1


async def test_an_error_has_an_end_whatever_was_said(here: Room) -> None:
    said = {"agent_name": "a", "content": "x", "metadata": {"k" * 100_000: 2**70}}
    assert len(await here.refused("add_memory", **said)) < 1_100


async def test_an_index_that_is_not_used_for_a_while_is_dropped_with_its_thread(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.put(memory(1))
    await here.contents()
    opened = here.profile._memories._open
    assert opened is not None
    monkeypatch.setattr("waggle.compat.shared_memory.memories.DROP_UNUSED_AFTER_S", 0.0)
    assert len(await here.contents()) == 1
    for _ in range(3):
        await asyncio.sleep(0)
    assert here.profile._memories._open is None
    with pytest.raises(RuntimeError):
        opened._thread.submit(print)


async def test_a_catching_up_that_breaks_off_leaves_nothing_half_known(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.put(memory(1))
    assert len(await here.contents()) == 1
    window = here.window()
    catch_up = window.catch_up

    async def half(ns: str, since: Since | None, put: Any) -> Since:
        await catch_up(ns, None, put)
        raise Unavailable("the hub has broken off: try again")

    with monkeypatch.context() as patch:
        patch.setattr(here, "window", lambda: window)
        patch.setattr(window, "catch_up", half)
        assert "broken off" in await here.refused("read_memory")
    await here.put(memory(2))
    assert len(await here.contents()) == 2


async def test_who_shares_a_catching_up_is_not_answered_from_an_index_that_was_dropped_since(here: Room) -> None:
    await here.put(*(memory(number) for number in range(5)))

    def broken(index: Index) -> int:
        raise sqlite3.OperationalError("disk I/O error")

    window, memories = here.window(), here.profile._memories
    first, second, third = await asyncio.gather(
        memories.ask(window, Index.total),
        memories.ask(window, broken),
        memories.ask(window, Index.total),
        return_exceptions=True,
    )
    assert (first, third) == (5, 5)
    assert isinstance(second, Unavailable)


async def test_who_gives_up_halfway_leaves_the_others_their_answer(here: Room) -> None:
    await here.put(*(memory(number) for number in range(2_000)))
    impatient = asyncio.ensure_future(here.use("get_memory_stats"))
    patient = asyncio.ensure_future(here.use("get_memory_stats"))
    while here.profile._memories._open is None:
        await asyncio.sleep(0)
    impatient.cancel()
    opened = here.profile._memories._open
    assert (await patient)["total_entries"] == 2_000
    assert here.profile._memories._open is opened  # what was begun was not begun again
    assert here.profile._memories._begun <= 2


async def test_so_many_questions_of_one_agent_are_enough_and_others_are_answered(here: Room) -> None:
    await here.put(memory(1))
    said: dict[str, Any] = {"query": "note", "response_format": "json"}
    texts = await asyncio.gather(*(here.text("search_memory", said) for _ in range(150)))
    refused = [text for text in texts if "questions are under way" in text]
    assert len(refused) == 50
    assert (await here.use("search_memory", **said))["total_results"] == 1


async def test_more_memories_than_can_be_looked_through_are_told_and_nothing_breaks(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waggle.compat.shared_memory.memory_index.MAX_DATABASE_PAGES", 100)
    await here.put(*(memory(number, content="some words " * 50) for number in range(900)))
    assert "more memories than can be looked through" in await here.refused("read_memory")
    reply = await here.use("add_memory", agent_name="a", content="kept all the same")
    assert "more memories than can be looked through" in reply["warning"]
    assert (await here.use("get_memory", entry_id=reply["entry_id"]))["entry"]["content"] == "kept all the same"
    await here.call("clear", pattern="*", confirm=True)
    assert await here.contents() == []


async def test_a_memory_of_the_greatest_size_delays_no_other_client(here: Room) -> None:
    huge = "x" * 9_000_000
    reply = await here.use("add_memory", agent_name="a", content=huge, metadata={"n": 1})
    read = await here.use("read_memory", response_format="json")
    assert read["entries"][0]["content"] == "x" * 1_500 + "..."
    assert (await here.use("get_memory", entry_id=reply["entry_id"]))["entry"]["content"] == huge
    assert "Failed to add memory" in await here.refused("add_memory", agent_name="a", content="x" * 12_000_000)


async def test_nobody_is_in_the_way_of_the_hub_while_an_index_is_made(here: Room) -> None:
    await here.put(*(memory(number, content="some words " * 50) for number in range(3_000)))
    reading = asyncio.ensure_future(here.use("get_memory_stats"))
    pings = 0
    while not reading.done():
        await here.call("ping")
        pings += 1
        await asyncio.sleep(0)
    assert (await reading)["total_entries"] == 3_000
    assert pings > 5


# --- clearing and health -----------------------------------------------------------------------------------------


async def test_cleared_memories_are_in_the_backup(here: Room) -> None:
    await here.put(*(memory(number, content=f"note {number}") for number in range(300)))
    await here.call("set", key=id_of(500), value=_plain(500), ttl=60, meta={"a": 1}, kind="versioned")
    await here.call("set", key="junk", value="stays")
    await here.allow(500)
    reply = await here.use("clear_memory", confirm=True)
    assert reply["message"] == "Successfully cleared 301 memory entries. Backup created."
    assert await here.contents() == []
    assert [one["key"] for one in (await here.call("list", pattern="*"))["entries"]] == ["junk", "settings"]
    kept = (await here.call("list", pattern="*", ns=reply["backup"], limit=1_000))["entries"]
    assert {one["value"]["content"] for one in kept} >= {f"note {number}" for number in range(300)}
    other = next(one for one in kept if one["key"] == id_of(500))
    assert (other["kind"], other["meta"]) == ("versioned", {"a": 1})
    assert other["expires_at"] is not None


async def test_entries_written_during_a_clear_stay(here: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await here.put(*(memory(number) for number in range(10)))
    window = here.window()
    call = window.call

    async def meanwhile(op: str, fields: Any) -> Any:
        done = await call(op, fields)
        if op == "txn" and fields["then"][0]["op"] == "set":  # all is copied
            await here.put(memory(3, content="changed"), memory(20, content="new"))
            await here.call("delete", key=id_of(4))
            await here.hub.callers.caller(Identity("other", "memory")).call("lock", {"name": id_of(5), "ttl": 60})
        return done

    monkeypatch.setattr(window, "call", meanwhile)
    monkeypatch.setattr(here, "window", lambda: window)
    reply = await here.use("clear_memory", confirm=True)
    assert (reply["entries_cleared"], reply["entries_not_cleared"]) == (7, 3)
    assert "3 were not: they were changed or deleted meanwhile, or are locked." in reply["message"]
    assert sorted(await here.contents()) == ["a note", "changed", "new"]


async def test_where_there_is_no_room_for_a_backup_nothing_is_cleared() -> None:
    quotas = {"memory": Quota(keys=400)}
    async with room(Settings(limits=Limits(keys=500, quotas=quotas))) as here:
        await here.put(*(memory(number) for number in range(300)))
        told = await here.refused("clear_memory", confirm=True)
        assert told.startswith("Failed to clear memory: ")
        assert len((await here.call("list", pattern="*", limit=1_000))["entries"]) == 300
        spaces = [one["ns"] for one in (await here.call("namespaces"))["namespaces"]]
        assert not any(ns.startswith("memory.backup.") for ns in spaces)


async def test_a_clearing_that_breaks_off_says_how_far_it_came_and_where_all_is(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.put(*(memory(number) for number in range(300)))
    window = here.window()
    call = window.call
    deletions = 0

    async def breaking(op: str, fields: Any) -> Any:
        nonlocal deletions
        deletions += op == "txn" and fields["then"][0]["op"] == "delete"
        if deletions == 2:
            raise Unavailable("the hub is stopping")
        return await call(op, fields)

    with monkeypatch.context() as patch:
        patch.setattr(window, "call", breaking)
        patch.setattr(here, "window", lambda: window)
        told = await here.refused("clear_memory", confirm=True)
    assert "the hub is stopping. Up to there 128 were cleared; all are in memory.backup." in told
    backup = told.rpartition(" ")[2].rstrip(".")
    assert len((await here.call("list", pattern="*", ns=backup, limit=1_000))["entries"]) == 300
    assert (await here.use("get_memory_stats"))["total_entries"] == 172


async def test_the_newest_ten_backups_are_kept_however_fast_they_are_made(here: Room) -> None:
    made = []
    for number in range(12):
        await here.put(memory(number))
        made.append((await here.use("clear_memory", confirm=True))["backup"])
    spaces = {one["ns"] for one in (await here.call("namespaces"))["namespaces"]}
    kept = {ns for ns in spaces if ns.startswith("memory.backup.")}
    assert kept == set(made[-10:])
    assert (await here.use("health_check"))["checks"]["backup_system"]["backup_count"] == 10


async def test_the_backup_that_a_reply_names_is_there_whatever_others_have_made(here: Room) -> None:
    for number in range(11):
        await here.hub.callers.caller(Identity(None, f"memory.backup.9999{number:02}")).call(
            "set", {"key": "a", "value": 1}
        )
    await here.put(memory(1))
    backup = (await here.use("clear_memory", confirm=True))["backup"]
    spaces = {one["ns"] for one in (await here.call("namespaces"))["namespaces"]}
    assert backup in spaces
    assert len([ns for ns in spaces if ns.startswith("memory.backup.")]) == 10


async def test_nothing_is_cleared_without_a_word_and_nothing_can_be(here: Room) -> None:
    await here.put(memory(1))
    assert (
        await here.refused("clear_memory", confirm=False) == "Confirmation required. Set 'confirm' parameter to true."
    )
    assert len(await here.contents()) == 1
    await here.use("clear_memory", confirm=True)
    reply = await here.use("clear_memory", confirm=True)
    assert (reply["entries_cleared"], reply["backup"]) == (0, None)


async def test_health_tells_that_nothing_can_be_added(here: Room) -> None:
    state = here.hub.machine.state
    state.hub_record = structs.replace(
        state.hub_record, rev=state.log.rev + 100
    )  # as many as a journal would have put aside
    here.hub.machine.refuse("the journal fails (no space left)")
    reply = json.loads(await here.text("health_check", {}))
    assert reply["success"] is False
    assert reply["checks"]["storage_file"]["status"] == "error"
    assert "the journal fails (no space left)" in reply["message"]


async def test_health_tells_what_is_true_of_this_hub(here: Room) -> None:
    await here.put(memory(1), memory(2))
    await here.call("set", key="junk", value=1)
    await here.call("set", key="settings", value={"max_entries": "many"})
    await here.hub.callers.caller(Identity("other", "memory")).call("lock", {"name": "x", "ttl": 60})
    reply = await here.use("health_check")
    checks = reply["checks"]
    assert checks["json_parsing"] == {"status": "warning", "entry_count": 2, "others": 1}
    assert (checks["storage_file"]["exists"], checks["storage_file"]["durability"]) == (True, "memory")
    assert checks["storage_file"]["size_bytes"] > 100
    assert checks["file_locking"]["locks_held"] == 1
    assert checks["settings"] == {"status": "warning", "max_entries": 1_000}
    assert "1 values in namespace memory are no memories" in reply["message"]
    assert "waggle set settings" in reply["message"]


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_761_827_696_789_000, "2025-10-30T12:34:56.789Z"),
    ],
)
def test_an_instant_looks_as_in_the_document(instant: int, text: str) -> None:
    assert told(instant) == text


def _plain(number: int) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(memory(number))
    return plain

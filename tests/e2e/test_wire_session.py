"""The wire from outside, sentence by sentence: sessions, takeover and presence (protocol 3)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.wire import ENTRY_FIELDS, Join, Json, Refused, Wire, told

pytestmark = [pytest.mark.e2e, pytest.mark.every_journal, pytest.mark.every_server]


async def agent_entry(wire: Wire, name: str) -> Json | None:
    """What `$agents` says of a name."""
    entry: Json | None = (await wire.ask("get", ns="$agents", key=name))["entry"]
    return entry


# --- hello -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("ping", {}),
        ("set", {"key": "k", "value": 1}),
        ("subscribe", {"patterns": ["*"]}),
        ("bye", {}),
        ("status", {"status": 1}),
    ],
)
async def test_anything_before_hello_is_a_bad_request(join: Join, op: str, fields: Json) -> None:
    wire = await join(hello=False)
    assert (await wire.refusal(op, **fields)).code == "bad_request"
    assert await wire.hello(), "the connection lives on"


async def test_commands_may_follow_hello_in_the_same_message(join: Join) -> None:
    wire = await join(hello=False)
    _, second, third = await wire.send(
        {"op": "hello", "agent": "quick"}, {"op": "set", "key": "hello-batch", "value": 1}, {"op": "bye"}
    )
    assert (await wire.ok(second))["rev"]
    assert await wire.ok(third) == {}


async def test_hello_tells_agent_epoch_durability_and_features(join: Join, mode: str) -> None:
    welcome = (await join(agent="who", meta={"role": "tester"})).welcome
    assert welcome["agent"] == "who"
    assert welcome["resumed"] is False
    assert welcome["grace"] == 15
    assert welcome["durability"] == mode
    assert welcome["subs"] == {}
    assert isinstance(welcome["epoch"], str)
    assert {"hello", "bye", "status", "ping", "set", "get", "delete", "touch", "list"} <= {*welcome["features"]}
    if mode == "memory":
        assert abs(welcome["rev"] / 1e6 - time.time()) < 3600, (
            "an epoch that remembers nothing begins at the time in µs"
        )
    else:
        assert welcome["rev"] < 10_000, "in a fresh directory it begins at 1"


async def test_two_sessions_have_different_names_ids_and_secrets(join: Join) -> None:
    one, two = (await join()).welcome, (await join()).welcome
    for field in ("session", "secret", "agent"):
        assert one[field]
        assert one[field] != two[field]
    assert len(one["secret"]) >= 20


@pytest.mark.parametrize(
    "fields", [{"agent": 7}, {"meta": "text"}, {"unknown": 1}, {"cursors": {"1": "x"}}, {"token": 5}]
)
async def test_a_hello_that_is_wrong_says_where_and_may_be_repeated(join: Join, fields: Json) -> None:
    wire = await join(hello=False)
    refusal = await wire.refusal("hello", **fields)
    assert refusal.code == "bad_request"
    assert refusal.field == next(iter(fields))
    assert await wire.hello()


# --- bye and the end of a session --------------------------------------------------------------------------------


async def test_bye_ends_the_session_at_once_and_in_one_step(join: Join, ns: str) -> None:
    watcher = await join()
    await watcher.subscribe("*")
    await watcher.subscribe("leaver", ns="$agents")
    await watcher.subscribe("leaver", ns="$seen")
    leaver = await join(agent="leaver")
    await leaver.send(*({"op": "set", "key": f"e{n}", "value": n, "ephemeral": True} for n in range(5)))
    await leaver.ask("set", key="stays", value=1)
    await leaver.ask("set", key="e4", value="tied no longer")
    await watcher.settle()
    await leaver.ask("bye")
    gone = await watcher.settle()
    assert sorted(told(gone)) == [
        *(("delete", f"e{n}") for n in range(4)),
        ("delete", "leaver"),
        ("set", "leaver"),
    ]
    assert len({line["rev"] for line in gone}) == 1, "one step in the order"
    ephemeral = [line for line in gone if line["ns"] == ns]
    assert [line.get("more", False) for line in ephemeral] == [True, True, True, False]
    assert {line["by"] for line in gone} == {"leaver"}
    assert {line["reason"] for line in gone if line["type"] == "delete"} == {"session_ended"}
    assert await agent_entry(watcher, "leaver") is None
    refusal = await (await join(hello=False)).refusal(
        "hello", session=leaver.welcome["session"], secret=leaver.welcome["secret"]
    )
    assert refusal.code == "session_lost"


async def test_a_session_outlives_its_connection_by_its_grace_and_no_longer(quick_hub: HubProcess, join: Join) -> None:
    watcher = await join(quick_hub)
    await watcher.subscribe("*")
    await watcher.subscribe("ghost", ns="$agents")
    ghost = await join(quick_hub, agent="ghost")
    await ghost.send(*({"op": "set", "key": f"e{n}", "value": n, "ephemeral": True} for n in range(3)))
    await ghost.ask("ping")
    await watcher.settle()
    ghost.cut()
    dropped = await watcher.event()
    assert told([dropped]) == [("set", "ghost")]
    assert dropped["value"]["connected"] is False
    gone = await watcher.take(4)
    assert sorted(told(gone)) == [("delete", "e0"), ("delete", "e1"), ("delete", "e2"), ("delete", "ghost")]
    assert len({line["rev"] for line in gone}) == 1
    assert {line["reason"] for line in gone} == {"session_ended"}
    assert 0.499 <= gone[0]["at"] - dropped["at"] < 5, "the grace of this hub is 0.5 s"
    refusal = await (await join(quick_hub, hello=False)).refusal(
        "hello", session=ghost.welcome["session"], secret=ghost.welcome["secret"]
    )
    assert refusal.code == "session_lost"


# --- takeover ----------------------------------------------------------------------------------------------------


async def test_a_takeover_goes_on_from_what_was_got(join: Join) -> None:
    writer, reader = await join(), await join(agent="reader")
    everything = await reader.subscribe("*", prev=True)
    some = await reader.subscribe("k1*", values=False, types=["set", "touch"])
    await writer.ask("set", key="k1", value=0)
    assert len(await reader.settle()) == 2
    reader.cut()
    for n in range(20):
        await writer.ask("set", key=f"k{n}", value=n)
    await writer.ask("touch", key="k1", ttl=100)
    await writer.ask("delete", key="k1")
    again = await join(hello=False)
    welcome = await again.take_over(reader)
    assert welcome["resumed"] is True
    assert welcome["session"] == reader.welcome["session"]
    assert welcome["epoch"] == reader.welcome["epoch"]
    assert welcome["subs"] == {str(everything.sub): everything.sub, str(some.sub): some.sub}
    await again.event("mark")
    await again.event("mark")
    await writer.ask("set", key="k1", value="live")
    await again.settle()
    lines = [line for line in again.heard if line.get("type", "mark") != "mark"]
    assert told(line for line in lines if line["sub"] == everything.sub) == [
        *(("set", f"k{n}") for n in range(20)),
        ("delete", "k1"),
        ("set", "k1"),
    ]
    assert told(line for line in lines if line["sub"] == some.sub) == [
        ("set", "k1"),
        *(("set", f"k{n}") for n in range(10, 20)),
        ("touch", "k1"),
        ("set", "k1"),
    ]
    assert "id" in again.heard[0], "what came due in between follows the reply"


async def test_events_that_were_not_received_are_sent_again(join: Join) -> None:
    writer, reader = await join(), await join()
    plain = await reader.subscribe("*")
    snapped = await reader.subscribe("s*", snapshot=True)
    await writer.ask("set", key="s1", value=1)
    await reader.settle()
    reader.cut()
    again = await join(hello=False)
    await again.take_over(reader, cursors={})
    await again.event("synced")
    await again.settle()
    lines = [line for line in again.heard if line.get("type", "mark") not in ("mark", "synced")]
    assert told(line for line in lines if line["sub"] == plain.sub) == [("set", "s1")], "from its subscribe reply"
    assert [line["key"] for line in lines if line["sub"] == snapped.sub and line.get("snapshot")] == ["s1"]
    assert not [line for line in lines if line["sub"] == snapped.sub and not line.get("snapshot")]


async def test_a_snapshot_without_synced_starts_again(join: Join) -> None:
    writer = await join()
    ids = await writer.send(*({"op": "set", "key": f"k{n:04}", "value": "x" * 1000} for n in range(2000)))
    await writer.ok(ids[-1])
    reader = await join()
    id = (await reader.send({"op": "subscribe", "patterns": ["*"], "snapshot": True}))[0]
    sub = (await reader.ok(id))["sub"]
    await reader.event("set")
    assert reader.chains[sub].filling
    reader.cut()
    await writer.ask("delete", key="k0007")
    again = await join(hello=False)
    await again.take_over(reader)
    synced = await again.event("synced")
    assert len(again.chains[sub].snapshot) == 1999
    await writer.ask("set", key="k0007", value=1)
    assert (await again.event())["after"] <= synced["rev"]


async def test_a_long_absence_is_told_whole(join: Join, ns: str) -> None:
    writer, reader = await join(), await join()
    await reader.subscribe("*")
    reader.cut()
    for start in range(0, 6000, 500):
        await writer.send(*({"op": "set", "key": f"k{n % 50}", "value": n} for n in range(start, start + 500)))
    await writer.ask("ping")
    again = await join(hello=False)
    await again.take_over(reader)
    assert [line["value"] for line in await again.take(6000)] == list(range(6000))


async def test_a_cursor_ahead_of_the_hub_is_a_bad_request_and_the_session_stays(join: Join) -> None:
    reader = await join()
    chain = await reader.subscribe("*")
    reader.cut()
    again = await join(hello=False)
    credentials = {field: reader.welcome[field] for field in ("session", "secret")}
    refusal = await again.refusal("hello", **credentials, cursors={str(chain.sub): chain.cursor + 10**9})
    assert (refusal.code, refusal.field) == ("bad_request", "cursors")
    assert (await again.take_over(reader))["resumed"] is True


async def test_a_takeover_needs_the_right_secret(join: Join) -> None:
    owner = await join()
    thief = await join(hello=False)
    session = owner.welcome["session"]
    for attempt in (
        {"session": session, "secret": "wrong"},
        {"session": session, "secret": owner.welcome["secret"] + "x"},
        {"session": session, "secret": "\u2603"},
        {"session": "s-0", "secret": owner.welcome["secret"]},
    ):
        assert (await thief.refusal("hello", **attempt)).code == "session_lost"
    for half in ({"session": session}, {"secret": "s"}):
        assert (await thief.refusal("hello", **half)).code == "bad_request"
    assert (await thief.hello())["session"] != session, "hello without it opens a new one"
    assert await owner.ask("ping")


async def test_the_newest_connection_wins(join: Join) -> None:
    older = await join()
    await older.subscribe("*")
    newer = await join(hello=False)
    assert (await newer.take_over(older))["resumed"] is True
    assert (await older.closed()).code == 4002
    await newer.ask("set", key="k", value=1)
    assert told(await newer.settle()) == [("set", "k")]


async def test_a_session_keeps_its_entries_and_outcomes_until_the_takeover(join: Join) -> None:
    watcher, holder = await join(), await join(agent="holder")
    await watcher.subscribe("*")
    await holder.ask("set", key="e", value=1, ephemeral=True)
    await holder.ask("set", key="k", value=1, rid="once")
    holder.cut()
    again = await join(hello=False)
    await again.take_over(holder)
    await again.send({"op": "set", "key": "k", "value": 1, "rid": "once", "id": "again"})
    repeated = await again.reply("again")
    assert repeated["dup"] is True
    assert repeated["ok"]["version"] == 1
    assert (await again.ask("get", key="e"))["entry"]["by"] == "holder"
    assert told(await watcher.settle()) == [("set", "e"), ("set", "k")]
    await again.ask("bye")
    assert told(await watcher.settle()) == [("delete", "e")]


async def test_a_session_can_be_taken_over_again_and_again(join: Join) -> None:
    writer, wire = await join(), await join()
    chain = await wire.subscribe("*")
    values = []
    for n in range(10):
        wire.cut()
        await writer.ask("set", key="k", value=2 * n)
        newer = await join(hello=False)
        await newer.take_over(wire)
        wire = newer
        await writer.ask("set", key="k", value=2 * n + 1)
        values += [line["value"] for line in await wire.take(2)]
    assert values == list(range(20))
    assert list(wire.chains) == [chain.sub]


# --- presence ----------------------------------------------------------------------------------------------------


async def test_each_live_agent_name_is_an_entry(join: Join) -> None:
    watcher = await join()
    before = time.time()
    one = await join(agent="present", meta={"role": "bee"})
    entry = await agent_entry(watcher, "present")
    assert entry is not None
    assert set(entry) == ENTRY_FIELDS
    assert entry["by"] == "present"
    value = entry["value"]
    assert set(value) == {"session", "connected", "since", "meta", "status", "sessions"}
    assert value["session"] == one.welcome["session"]
    assert (value["connected"], value["meta"], value["status"], value["sessions"]) == (True, {"role": "bee"}, None, 1)
    assert before - 1 < value["since"] < time.time() + 1


async def test_the_newest_session_under_a_name_speaks_for_it(join: Join) -> None:
    watcher = await join()
    one, two = await join(agent="twins", meta={"n": 1}), await join(agent="twins", meta={"n": 2})
    value = (await agent_entry(watcher, "twins") or {})["value"]
    assert (value["session"], value["sessions"], value["meta"]) == (two.welcome["session"], 2, {"n": 2})
    await two.ask("bye")
    value = (await agent_entry(watcher, "twins") or {})["value"]
    assert (value["session"], value["sessions"], value["meta"]) == (one.welcome["session"], 1, {"n": 1})
    await one.ask("bye")
    assert await agent_entry(watcher, "twins") is None


async def test_connected_tells_whether_there_is_a_connection(join: Join) -> None:
    watcher, wire = await join(), await join(agent="flicker")
    chain = await watcher.subscribe("flicker", ns="$agents", snapshot=True)
    assert [line["value"]["connected"] for line in chain.snapshot.values()] == [True]
    watcher.drain()
    wire.cut()
    assert (await watcher.event())["value"]["connected"] is False
    again = await join(hello=False)
    await again.take_over(wire)
    assert (await watcher.event())["value"]["connected"] is True


@pytest.mark.parametrize("status", ["busy", None, {"task": 1, "done": [True]}, 7, "x" * 4094])
async def test_a_status_is_any_json_up_to_4_kib(join: Join, status: Any) -> None:
    wire = await join(agent="busy")
    watcher = await join()
    await watcher.subscribe("busy", ns="$agents")
    rev = (await wire.ask("status", status=status))["rev"]
    event = await watcher.event()
    assert event["rev"] == rev
    assert event["value"]["status"] == status
    assert event["value"]["connected"] is True
    assert (await wire.refusal("status", status="x" * 4095)).code == "too_large"
    await wire.ask("bye")


async def test_seen_keeps_names_that_the_client_chose(join: Join) -> None:
    watcher = await join()
    wire, nameless = await join(agent="chosen"), await join()
    entry = (await watcher.ask("get", ns="$seen", key="chosen"))["entry"]
    assert set(entry["value"]) == {"last"}
    assert abs(entry["expires_at"] - time.time() - 30 * 86400) < 10
    assert (await watcher.ask("get", ns="$seen", key=nameless.welcome["agent"]))["entry"] is None
    await asyncio.sleep(0.02)
    await wire.ask("bye")
    later = (await watcher.ask("get", ns="$seen", key="chosen"))["entry"]
    assert later["value"]["last"] > entry["value"]["last"]
    assert later["expires_at"] > entry["expires_at"]


@pytest.mark.parametrize("space", ["$agents", "$seen", "$other"])
async def test_namespaces_with_a_dollar_are_written_by_the_hub_alone(join: Join, space: str) -> None:
    wire = await join(agent="writer")
    for op, fields in (
        ("set", {"key": "writer", "value": 1}),
        ("delete", {"key": "writer"}),
        ("touch", {"key": "writer", "ttl": 5}),
        ("clear", {"pattern": "*", "confirm": True}),
        ("publish", {"channel": "c", "data": 1}),
    ):
        refusal = await wire.refusal(op, ns=space, **fields)
        assert refusal.code == "forbidden"
        assert refusal.error["need"]
    assert (await agent_entry(wire, "writer") or {})["version"]
    with pytest.raises(Refused):
        await (await join(hello=False)).hello(ns=space)
    assert (await wire.ask("list", ns=space, pattern="*"))["next"] is None, "reading is free"


async def test_everywhere_means_all_but_the_hubs_own_namespaces(join: Join, ns: str) -> None:
    watcher = await join(ns="elsewhere")
    await watcher.subscribe(f"{ns}*", ns="*")
    other = await join(agent=f"{ns}-agent")
    await other.ask("set", key=f"{ns}-key", value=1)
    await other.ask("status", status="here")
    assert told(await watcher.settle()) == [("set", f"{ns}-key")]

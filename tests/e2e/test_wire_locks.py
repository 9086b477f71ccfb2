"""The wire from outside, sentence by sentence: locks, waits and work (protocol 6 and 7, G7 to G10)."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.wire import Join, Json, Wire, told

pytestmark = [pytest.mark.e2e, pytest.mark.every_journal]


async def hear_loss(wire: Wire) -> Json:
    """The next loss of a lock that this agent is told of."""
    async with asyncio.timeout(20):
        while not wire.lost:
            await wire._hear()
    return wire.lost.pop(0)


async def events_of(wire: Wire, count: int) -> list[tuple[str, str]]:
    return told(await wire.take(count))


# --- locks -------------------------------------------------------------------------------------------------------


async def test_a_lock_is_handed_over_in_the_order_in_which_it_was_asked_for(join: Join) -> None:
    first, second, third, watcher = [await join(agent=name) for name in ("first", "second", "third", "watcher")]
    await watcher.subscribe("*", types=["lock", "unlock", "queue"])
    granted = await first.ask("lock", name="src/a.py", ttl=60)
    (second_id,) = await second.send({"op": "lock", "name": "src/a.py", "wait": None})
    await second.ask("ping")
    (third_id,) = await third.send({"op": "lock", "name": "src/a.py", "wait": 30, "mode": "shared"})
    await third.ask("ping")
    refused = await watcher.refusal("lock", name="src/a.py")
    assert (refused.code, refused.error["queued"]) == ("locked", 2)
    (holder,) = refused.error["holders"]
    assert (holder["agent"], holder["names"], holder["mode"], holder["self"]) == (
        "first", ["src/a.py"], "exclusive", False,
    )  # fmt: skip
    (held,) = (await watcher.ask("locks"))["locks"]
    assert [waiter["agent"] for waiter in held["queue"]] == ["second", "third"]
    await first.ask("unlock", token=granted["token"])
    next_one = await second.ok(second_id)
    assert next_one["token"] > granted["token"]
    assert next_one["waited"] >= 0
    await second.ask("bye")
    assert (await third.ok(third_id))["mode"] == "shared"
    assert [(kind, key) for kind, key in await events_of(watcher, 8)] == [
        ("lock", "src/a.py"), ("queue", "src/a.py"), ("queue", "src/a.py"), ("unlock", "src/a.py"),
        ("lock", "src/a.py"), ("queue", "src/a.py"), ("unlock", "src/a.py"), ("lock", "src/a.py"),
    ]  # fmt: skip


async def test_writes_under_anothers_lock_are_refused_and_guarded_ones_go_through(join: Join) -> None:
    holder, other = await join(agent="holder"), await join(agent="other")
    lock = await holder.ask("lock", pattern="src/*", ttl=60)
    for op, fields in (("set", {"value": 1}), ("delete", {}), ("touch", {"ttl": 1}), ("update", {"incr": 1})):
        refused = await other.refusal(op, key="src/a", **fields)
        assert refused.code == "locked"
        assert refused.error["holders"][0]["agent"] == "holder"
    assert (await other.refusal("clear", pattern="*a*", confirm=True)).code == "locked"
    assert (await other.refusal("txn", **{"if": [], "then": [{"op": "set", "key": "src/a", "value": 1}]})).error[
        "index"
    ] == 0
    await other.ask("set", key="src/a", value=1, guard={"token": lock["token"]})
    await holder.ask("set", key="src/a", value=2)
    await other.ask("set", key="doc/a", value=1)
    await holder.ask("unlock", token=lock["token"])
    assert (await other.refusal("set", key="src/a", value=1, guard={"token": lock["token"]})).code == "not_holder"
    await other.ask("set", key="src/a", value=1)


async def test_a_lock_expires_at_its_ttl_and_its_holder_is_told(join: Join) -> None:
    holder, waiter = await join(), await join()
    began = time.monotonic()
    lock = await holder.ask("lock", names=["a", "b"], ttl=0.3)
    (id,) = await waiter.send({"op": "lock", "name": "b", "wait": 10})
    lost = await hear_loss(holder)
    assert (lost["token"], lost["reason"], lost["names"]) == (lock["token"], "expired", ["a", "b"])
    await waiter.ok(id)
    assert 0.3 < time.monotonic() - began < 10
    for op in ("renew", "unlock"):
        assert (await holder.refusal(op, token=lock["token"])).code == "not_holder"


async def test_renewing_keeps_a_lock(join: Join) -> None:
    holder, other = await join(), await join()
    lock = await holder.ask("lock", name="a", ttl=2.0)
    for _ in range(4):
        await asyncio.sleep(0.6)  # together longer than the ttl, and each far shorter
        assert (await holder.ask("renew", token=lock["token"]))["expires_at"] > lock["expires_at"]
    assert (await other.refusal("lock", name="a")).code == "locked"


async def test_unlocking_by_force_needs_a_reason(join: Join) -> None:
    holder, boss = await join(agent="holder"), await join(agent="boss")
    lock = await holder.ask("lock", name="a")
    assert (await boss.refusal("unlock", name="a", force=True)).field == "reason"
    await boss.ask("unlock", name="a", force=True, reason="the build is stuck")
    lost = await hear_loss(holder)
    assert (lost["token"], lost["reason"]) == (lock["token"], "forced")
    assert "boss" in lost["message"]
    assert "the build is stuck" in lost["message"]
    assert (await boss.refusal("unlock", name="a", force=True, reason="again")).code == "not_holder"


async def test_a_deadlock_is_refused_at_once_and_its_cycle_is_named(join: Join) -> None:
    one, two = await join(agent="one"), await join(agent="two")
    await one.ask("lock", name="a")
    await two.ask("lock", name="b")
    await one.send({"op": "lock", "name": "b", "wait": 30})
    await one.ask("ping")
    refused = await two.refusal("lock", name="a", wait=30)
    assert refused.code == "deadlock"
    assert [(link["agent"], link["names"]) for link in refused.error["cycle"]] == [("two", ["a"]), ("one", ["b"])]


async def test_locks_outlive_a_lost_connection_by_the_grace(join: Join, quick_hub: HubProcess) -> None:
    holder = await join()
    await holder.ask("lock", name="kept")
    holder.cut()
    back = await join(hello=False)
    assert (await back.take_over(holder))["resumed"]
    assert (await back.refusal("lock", name="kept")).error["holders"][0]["self"]
    # The same at a hub whose grace is short: there it ends, and a takeover might come too late.
    holder, waiter = await join(at=quick_hub), await join(at=quick_hub)
    await holder.ask("lock", name="kept")
    (id,) = await waiter.send({"op": "lock", "name": "kept", "wait": None})
    await waiter.ask("ping")
    holder.cut()
    assert (await waiter.ok(id))["waited"] > 0.3


async def test_replies_and_losses_of_a_disconnected_agent_are_told_after_the_takeover(join: Join) -> None:
    away, other = await join(agent="away"), await join(agent="other")
    held = await other.ask("lock", name="a")
    mine = await away.ask("lock", name="mine")
    lock_id, wait_id = await away.send(
        {"op": "lock", "name": "a", "wait": None, "rid": "r"},
        {"op": "wait", "all": [{"key": "go"}], "timeout": 60},
    )
    await away.ask("ping")
    away.cut()
    gone = {"key": "away", "ns": "$agents", "where": {"pointer": "/connected", "value": False}}
    await other.ask("wait", all=[gone])
    await other.ask("unlock", token=held["token"])
    await other.ask("set", key="go", value=1)
    await other.ask("unlock", name="mine", force=True, reason="because")
    back = await join(hello=False)
    await back.take_over(away)
    granted = await back.ok(lock_id)
    assert granted["token"] > held["token"]
    assert [entry["key"] for entry in (await back.ok(wait_id))["matched"]] == ["go"]
    assert (await hear_loss(back))["token"] == mine["token"]
    again = await back.ask("lock", name="a", wait=None, rid="r")
    assert (again["token"], again["dup"]) == (granted["token"], True)


async def test_a_cancelled_wait_is_answered_and_leaves_the_queue(join: Join) -> None:
    holder, waiter, last = await join(), await join(), await join()
    lock = await holder.ask("lock", name="a")
    (id,) = await waiter.send({"op": "lock", "name": "a", "wait": None})
    (last_id,) = await last.send({"op": "lock", "name": "a", "wait": None})
    await waiter.send({"op": "cancel", "target": id})
    assert (await waiter.refused(id)).code == "cancelled"
    await last.ask("ping")
    await holder.ask("unlock", token=lock["token"])
    await last.ok(last_id)


async def test_locks_are_in_a_snapshot(join: Join) -> None:
    holder, watcher = await join(agent="holder"), await join()
    lock = await holder.ask("lock", name="src/a", ttl=60)
    await holder.ask("lock", pattern="doc/*")
    await holder.ask("lock", name="other")
    await holder.ask("set", key="src/a", value="an entry of the same name")
    chain = await watcher.subscribe("src/*", "doc/*", snapshot=True)
    assert [key for _, key in chain.snapshot] == ["src/a"]
    assert [key for _, key, _ in chain.locks] == ["src/a", "doc/*"]
    line = next(iter(chain.locks.values()))
    assert (line["token"], line["names"], line["by"], line["rev"]) == (
        lock["token"], ["src/a"], "holder", lock["token"],
    )  # fmt: skip


# --- waiting -----------------------------------------------------------------------------------------------------


async def test_a_wait_is_one_command_however_long(join: Join) -> None:
    waiter, writer = await join(), await join()
    (id,) = await waiter.send(
        {"op": "wait", "all": [{"pattern": "result:*", "count": 3}, {"key": "go", "where": {"value": True}}]}
    )
    await waiter.ask("ping")
    for number in range(3):
        await writer.ask("set", key=f"result:{number}", value=number)
    await writer.ask("set", key="go", value=False)
    written = await writer.ask("set", key="go", value=True)
    done = await waiter.ok(id)
    assert (done["met"], done["rev"]) == ([0, 1], written["rev"])
    assert [entry["key"] for entry in done["matched"]] == ["result:0", "result:1", "result:2", "go"]


async def test_a_wait_that_times_out_says_what_holds(join: Join) -> None:
    waiter = await join()
    await waiter.ask("set", key="here", value=1)
    refused = await waiter.refusal("wait", all=[{"key": "here"}, {"key": "missing"}], timeout=0.2)
    assert (refused.code, refused.error["met"]) == ("timeout", [0])
    assert refused.error["rev"] > 0


async def test_an_expiry_ends_a_wait_for_absence(join: Join) -> None:
    waiter = await join()
    began = time.monotonic()
    await waiter.ask("set", key="lease", value=1, ttl=0.3)
    assert (await waiter.ask("wait", any=[{"key": "lease", "absent": True}], timeout=20))["met"] == [0]
    assert 0.3 < time.monotonic() - began < 10


# --- work --------------------------------------------------------------------------------------------------------


async def test_each_item_has_one_winner(join: Join) -> None:
    boss = await join()
    workers = [await join() for _ in range(8)]
    for number in range(40):
        await boss.ask("set", key=f"job:{number:02}", value=number)
    taken: list[str] = []

    async def work(worker: Wire) -> None:
        while True:
            [id] = await worker.send({"op": "take", "patterns": ["job:*"], "lease": 30})
            reply = await worker.reply(id)
            if "error" in reply:
                assert reply["error"]["code"] == "timeout"
                return
            job = reply["ok"]
            taken.append(job["entry"]["key"])
            await worker.ask("delete", key=job["entry"]["key"], guard={"token": job["token"]})

    await asyncio.gather(*map(work, workers))
    assert sorted(taken) == [f"job:{number:02}" for number in range(40)]
    assert all(not worker.lost for worker in workers)


async def test_given_up_work_goes_to_the_next_and_in_the_end_to_the_dead(join: Join) -> None:
    boss, worker = await join(), await join()
    await boss.ask("set", key="job:1", value={"n": 1}, meta={"from": "boss"})
    created = (await boss.ask("get", key="job:1"))["entry"]["rev"]
    first = await worker.ask("take", patterns=["job:*"], lease=0.2, max_deliveries=2)
    assert first["delivery"] == 1
    second = await worker.ask("take", patterns=["job:*"], timeout=20, max_deliveries=2)
    assert second["delivery"] == 2
    await worker.ask("unlock", token=second["token"])
    assert (await worker.refusal("take", patterns=["job:*"], max_deliveries=2)).code == "timeout"
    ns = first["entry"]["ns"]
    (dead,) = (await boss.ask("list", pattern=f"{ns}:*", ns="$dead"))["entries"]
    assert (dead["key"], dead["value"]) == (f"{ns}:{created}", {"n": 1})
    assert dead["meta"]["key"] == "job:1"
    assert (await boss.ask("delete", key=dead["key"], ns="$dead"))["deleted"]


async def test_a_taker_waits_for_work_and_is_served_in_turn(join: Join) -> None:
    boss, first, second = await join(), await join(), await join()
    (one,) = await first.send({"op": "take", "patterns": ["job:*"], "timeout": 10})
    await first.ask("ping")
    (two,) = await second.send({"op": "take", "patterns": ["job:*", "other:*"], "timeout": 10})
    await second.ask("ping")
    await boss.ask("set", key="job:a", value=1)
    await boss.ask("set", key="job:b", value=2)
    assert (await first.ok(one))["entry"]["key"] == "job:a"
    assert (await second.ok(two))["entry"]["key"] == "job:b"


# --- inspect -----------------------------------------------------------------------------------------------------


async def test_inspect_shows_waiters_and_the_holders_they_wait_for(join: Join) -> None:
    holder, waiter = await join(agent="the holder"), await join(agent="the waiter")
    await holder.ask("lock", name="inspected")
    await waiter.send({"op": "lock", "name": "inspected", "wait": None})
    await waiter.send({"op": "wait", "all": [{"key": "never"}], "timeout": 60})
    await waiter.ask("ping")
    seen = await holder.ask("inspect")
    lock = next(lock for lock in seen["locks"] if lock.get("names") == ["inspected"])
    assert (lock["agent"], [one["agent"] for one in lock["queue"]]) == ("the holder", ["the waiter"])
    waits = {one["op"]: one for one in seen["waits"] if one["agent"] == "the waiter"}
    assert waits["lock"]["blocked_by"][0]["agent"] == "the holder"
    assert (waits["wait"]["all"], waits["wait"]["met"]) == ([{"key": "never"}], [])
    assert {"the holder", "the waiter"} <= {one["agent"] for one in seen["sessions"]}

"""What the tools that wait ask of the hub, and what they say when the time is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.mcp.fake import FakeCaller, Ok, entry, use
from waggle.mcp.call import Call
from waggle.mcp.parked_waits import MAX_PARKED_OF_OWNER, Parking
from waggle.mcp.time_limits import DEFAULT_LIMIT_S, TimeLimit, limit_of
from waggle.mcp.tools import run
from waggle.wire.errors import Locked, TimedOut
from waggle.wire.file_locks import UNKNOWN_ROOT, Place

GRANTED = {"token": 5, "mode": "exclusive", "expires_at": 600.0, "waited": 0.0}
HOLDER = {"agent": "impl-1", "names": ["a"], "mode": "exclusive", "since": 0.0, "expires_at": 60.0, "self": False}


async def test_a_lock_gives_its_token_and_says_what_to_do_with_it() -> None:
    reply = await use("lock", FakeCaller(lock=GRANTED), names=["src/a.py"])
    assert (reply["granted"], reply["token"]) == (True, 5)
    assert "unlock(token=5)" in reply["next"]


async def test_the_name_of_a_file_is_the_same_however_it_is_said(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    place = Place(tmp_path.resolve(), tmp_path.resolve() / "src")
    for said in ("src/a.py", "./a.py", "src//a.py", "src\\a.py", f"{tmp_path}/src/a.py"):
        caller = FakeCaller(lock=GRANTED)
        await use("lock", caller, place=place, names=[said])
        assert caller.fields("lock")["names"] == ["src/a.py"]


async def test_a_lock_that_is_not_granted_is_a_normal_answer_that_names_its_holder() -> None:
    for refusal in (Locked("no", holders=[HOLDER], queued=2), TimedOut("no", holders=[HOLDER], queued=2)):
        reply = await use("lock", FakeCaller(lock=refusal), names=["a"])
        assert (reply["granted"], reply["code"]) == (False, refusal.code)
        assert reply["held_by"][0]["agent"] == "impl-1"
        assert reply["next"]


async def test_a_lock_of_another_task_of_the_session_is_not_granted_again() -> None:
    reply = await use("lock", FakeCaller(lock=Locked("no", holders=[{**HOLDER, "self": True}], queued=0)), names=["a"])
    assert reply["granted"] is False
    assert "lock(token=" in reply["next"]


async def test_a_lock_with_its_token_is_renewed() -> None:
    caller = FakeCaller(renew={"expires_at": 60.0, "rev": 3})
    assert (await use("lock", caller, token=5, ttl=60))["renewed"] is True
    assert caller.fields("renew") == {"token": 5, "ttl": 60.0}


async def test_no_call_waits_for_longer_than_its_client_does() -> None:
    forever: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    caller = FakeCaller(lock=forever, locks={"locks": []}, take=forever, wait={"matched": [], "met": [0], "rev": 1})
    await use("wait", caller, keys=["a"], timeout=1_000)
    assert caller.fields("wait")["timeout"] == 55.0
    assert (await use("lock", caller, names=["a"], timeout=1_000, limit=0.001))["timed_out"] is True
    assert (await use("take", caller, pattern="*", timeout=1_000, limit=0.001))["timed_out"] is True


def test_a_configured_limit_overrides_the_known_limit_of_a_client() -> None:
    assert limit_of(None, "claude-code") == 240.0
    assert limit_of(30.0, "claude-code") == 30.0
    assert limit_of(None, "whatever") == limit_of(None, None) == DEFAULT_LIMIT_S < 60


async def test_a_wait_that_is_over_gives_a_fresh_cursor_that_changes_nothing_of_what_counts() -> None:
    caller = FakeCaller(wait=TimedOut("no", met=[], rev=41))
    reply = await use("wait", caller, keys=["a"])
    assert (reply["met"], reply["timed_out"], reply["cursor"]) == (False, True, "0@41")
    await use("wait", caller, keys=["a"], cursor=reply["cursor"])
    assert caller.fields("wait")["all"] == [{"key": "a"}]


async def test_the_cursor_of_a_wait_that_was_met_goes_on_after_it() -> None:
    caller = FakeCaller(wait={"matched": [entry("a", 1)], "met": [0], "rev": 41})
    reply = await use("wait", caller, keys=["a"])
    assert reply["cursor"] == "41@41"
    await use("wait", caller, keys=["a"], cursor=reply["cursor"])
    assert caller.fields("wait")["all"] == [{"key": "a", "since": 41}]


@pytest.mark.parametrize("cursor", ["", "41", "x@1", "1@", "-1@2", "9" * 17 + "@1"])
async def test_an_invalid_cursor_is_refused(cursor: str) -> None:
    assert (await use("wait", FakeCaller(), keys=["a"], cursor=cursor))["error"]["field"] == "cursor"


async def test_all_keys_and_so_many_of_a_pattern_with_a_value() -> None:
    caller = FakeCaller(wait={"matched": [], "met": [], "rev": 1})
    await use("wait", caller, keys=["a", "b"], pattern="r:*", count=3, equals="done", pointer="/state")
    where = {"pointer": "/state", "op": "eq", "value": "done"}
    assert caller.fields("wait")["all"] == [
        {"key": "a", "where": where},
        {"key": "b", "where": where},
        {"pattern": "r:*", "count": 3, "where": where},
    ]


async def test_gone_and_unlocked_are_asked_for_as_such() -> None:
    caller = FakeCaller(wait={"matched": [], "met": [], "rev": 1})
    await use("wait", caller, keys=["a"], until="gone")
    assert caller.fields("wait")["all"] == [{"key": "a", "absent": True}]
    await use("wait", caller, keys=["./src/a.py"], until="unlocked")
    assert caller.fields("wait")["all"] == [{"key": "src/a.py", "unlocked": True}]


async def test_nothing_to_wait_for_is_refused() -> None:
    assert (await use("wait", FakeCaller()))["error"]["code"] == "bad_request"
    assert (await use("lock", FakeCaller()))["error"]["code"] == "bad_request"


async def test_a_hub_that_does_not_answer_is_an_error_and_no_timeout_of_the_wait() -> None:
    away = TimedOut("the hub is away", unanswered=True)
    caller = FakeCaller(wait=away, lock=away, take=away)
    for name, said in (("wait", {"keys": ["a"]}), ("lock", {"names": ["a"]}), ("take", {"pattern": "*"})):
        assert (await use(name, caller, **said))["error"]["message"] == "the hub is away"


async def test_a_job_comes_with_its_token_and_how_to_end_it() -> None:
    taken = {"entry": entry("job:1", {"n": 1}), "token": 9, "expires_at": 60.0, "delivery": 2, "waited": 0.0}
    reply = await use("take", FakeCaller(take=taken), pattern="job:*")
    assert (reply["key"], reply["value"], reply["token"], reply["delivery"]) == ("job:1", {"n": 1}, 9, 2)
    assert 'delete(key="job:1", token=9)' in reply["next"]


async def test_no_job_is_a_normal_answer() -> None:
    reply = await use("take", FakeCaller(take=TimedOut("no")), pattern="job:*")
    assert (reply["taken"], reply["code"]) == (False, "timeout")


# --- between two calls -------------------------------------------------------------------------------------------


async def test_a_lock_that_was_not_granted_in_time_keeps_its_place_for_the_next_call() -> None:
    granted: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    held = {**HOLDER, "queue": []}
    caller, parking = FakeCaller(lock=granted, locks={"locks": [held]}), Parking()
    first = await use("lock", caller, parking=parking, limit=0.001, names=["a"], timeout=50)
    assert (first["granted"], first["code"], first["held_by"][0]["agent"]) == (False, "timeout", "impl-1")
    second = await use("lock", caller, parking=parking, limit=0.001, cursor=first["cursor"], timeout=50)
    assert second["cursor"] != first["cursor"]
    granted.set_result(GRANTED)
    third = await use("lock", caller, parking=parking, cursor=second["cursor"], timeout=50)
    assert (third["granted"], third["token"], third["names"]) == (True, 5, ["a"])
    assert [op for op, _ in caller.asked].count("lock") == 1


async def test_who_asks_for_the_same_again_does_not_stand_behind_itself() -> None:
    granted: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    caller, parking = FakeCaller(lock=[granted, Locked("no", holders=[])], locks={"locks": []}), Parking()
    await use("lock", caller, parking=parking, limit=0.001, names=["a"], timeout=50)
    granted.set_result(GRANTED)
    assert (await use("lock", caller, parking=parking, names=["a"]))["token"] == 5
    assert (await use("lock", caller, parking=parking, names=["a"]))["code"] == "locked"


async def test_a_job_that_comes_between_two_calls_is_had_by_the_second() -> None:
    taken: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    caller, parking = FakeCaller(take=taken), Parking()
    first = await use("take", caller, parking=parking, limit=0.001, pattern="job:*", timeout=50)
    taken.set_result({"entry": entry("job:1", 1), "token": 9, "expires_at": 60.0, "delivery": 1, "waited": 0.0})
    second = await use("take", caller, parking=parking, cursor=first["cursor"])
    assert (second["taken"], second["key"]) == (True, "job:1")


@pytest.mark.parametrize("granted_before", [True, False])
async def test_a_parked_wait_that_is_not_resumed_is_cancelled_and_undone(granted_before: bool) -> None:
    granted: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()
    granted.add_done_callback(lambda done: ended.set() if done.cancelled() else None)

    class Caller(FakeCaller):
        async def call(self, op: str, fields: Ok) -> Ok:
            if op == "unlock":
                ended.set()
            return await super().call(op, fields)

    caller, parking = Caller(lock=granted, locks={"locks": []}, unlock={}), Parking(linger=0.01)
    left = await use("lock", caller, parking=parking, limit=0.001, names=["a"], timeout=50)
    if granted_before:
        granted.set_result(GRANTED)
    await asyncio.wait_for(ended.wait(), 5)
    assert granted.cancelled() is not granted_before
    late = await use("lock", caller, parking=parking, cursor=left["cursor"])
    assert late["error"]["code"] == "bad_request"


async def test_a_cursor_is_good_for_its_owner_alone_and_once() -> None:
    granted: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    parking = Parking()
    caller = FakeCaller(lock=granted, locks={"locks": []})
    cursor = (await use("lock", caller, parking=parking, limit=0.001, names=["a"], timeout=50))["cursor"]
    stranger = FakeCaller()
    stranger.agent = "stranger"
    assert "error" in await use("lock", stranger, parking=parking, cursor=cursor)
    assert (await use("lock", caller, parking=parking, limit=0.001, cursor=cursor, timeout=50))["cursor"] != cursor
    assert "error" in await use("lock", caller, parking=parking, cursor=cursor)


async def test_the_oldest_wait_of_an_owner_gives_way() -> None:
    parking = Parking()
    futures: list[asyncio.Future[Ok]] = []
    for _ in range(MAX_PARKED_OF_OWNER + 1):
        futures.append(asyncio.get_running_loop().create_future())
        caller = FakeCaller(lock=futures[-1], locks={"locks": []})
        await use("lock", caller, parking=parking, limit=0.001, names=[f"{len(futures)}"], timeout=50)
    await asyncio.wait([futures[0]])
    assert [future.cancelled() for future in futures] == [True] + [False] * MAX_PARKED_OF_OWNER


# --- while it lasts ----------------------------------------------------------------------------------------------


async def test_who_stands_in_the_way_is_told_while_one_waits() -> None:
    granted: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    held = {**HOLDER, "queue": []}
    caller = FakeCaller(lock=granted, ping={"at": 19.0, "rev": 1}, locks={"locks": [held]})
    told: list[tuple[float, float, str]] = []

    async def tell(progress: float, total: float, message: str) -> None:
        told.append((progress, total, message))
        if len(told) == 3:
            granted.set_result(GRANTED)

    said = {"names": ["task:7"], "timeout": 50}
    reply, _ = await run("lock", said, Call(caller, TimeLimit(55.0, tell, every=0.001), UNKNOWN_ROOT, Parking()))
    assert reply["granted"] is True
    assert {message for _, _, message in told} == {"waiting for task:7 (held by impl-1, 41 s left)"}
    assert [progress for progress, _, _ in told] == sorted({progress for progress, _, _ in told})


async def test_a_grant_that_comes_as_its_caller_goes_is_given_back() -> None:
    granted: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    returned = asyncio.Event()

    class Caller(FakeCaller):
        async def call(self, op: str, fields: Ok) -> Ok:
            if op == "unlock":
                returned.set()
            return await super().call(op, fields)

    caller = Caller(lock=granted, unlock={})
    task = asyncio.ensure_future(use("lock", caller, names=["a"], timeout=50))
    while not caller.asked:
        await asyncio.sleep(0)
    granted.set_result(GRANTED)
    await asyncio.sleep(0)  # the work is done, and who waits for it has not run yet
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await asyncio.wait_for(returned.wait(), 5)
    assert caller.fields("unlock") == {"token": 5}


async def test_a_caller_that_goes_cancels_what_it_waits_for() -> None:
    pending: asyncio.Future[Ok] = asyncio.get_running_loop().create_future()
    caller = FakeCaller(wait=pending)
    task = asyncio.ensure_future(use("wait", caller, keys=["a"]))
    while not caller.asked:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert pending.cancelled()

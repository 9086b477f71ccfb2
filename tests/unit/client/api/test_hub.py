"""The asyncio client over real sockets, against a hub whose lines each test writes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import waggle
from tests.unit.client.fakehub import FakeConnection, FakeHub
from tests.unit.client.session_harness import event, snapshot, synced
from waggle.api import compare_and_set
from waggle.core import subscription
from waggle.transport import driver
from waggle.wire.errors import BadRequest, Conflict, Disconnected, Forbidden, LimitReached, Lost, TimedOut, Unauthorized
from waggle.wire.messages import Published, Since, Updated, Written

WRITTEN = {"rev": 101, "version": 1, "expires_at": None}
ENTRY = {
    "key": "k", "ns": "default", "rev": 7, "version": 2, "kind": "persistent", "created_at": 1.0,
    "updated_at": 2.0, "expires_at": None, "by": "b", "meta": None, "value": [1],
}  # fmt: skip


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore variables of the environment, and connect again without a pause."""
    for name in ("WAGGLE_URL", "WAGGLE_AGENT", "WAGGLE_TOKEN", "WAGGLE_NS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(driver, "random", lambda: 0.0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeHub]:
    async with FakeHub() as fake:
        yield fake


@asynccontextmanager
async def meeting(fake: FakeHub, **options: Any) -> AsyncIterator[tuple[waggle.Hub, FakeConnection]]:
    """Connect a client; yield it and the hub's end, then close both."""
    opening = asyncio.create_task(opened(fake, **options))
    end = await fake.welcomed()
    hub = await opening
    try:
        yield hub, end
    finally:
        await hub.close()


async def opened(fake: FakeHub, **options: Any) -> waggle.Hub:
    return await waggle.connect(fake.url, **options)


# --- connecting and leaving --------------------------------------------------------------------------------------


async def test_a_block_says_hello_and_bye(fake: FakeHub) -> None:
    async def program() -> None:
        async with waggle.connect(fake.url, agent="a", ns="n", token="t", meta={"role": "test"}) as hub:
            assert (hub.state, hub.agent, hub.session, hub.epoch, hub.rev) == ("connected", "tester", "s-1", "e1", 100)
            assert hub.welcome.durability == "memory"
        assert hub.state == "closed"
        with pytest.raises(Disconnected, match="closed by the program"):
            await hub.ping()
        await hub.close()

    running = asyncio.create_task(program())
    end = await fake.connection()
    hello = await end.welcome()
    assert (hello["agent"], hello["ns"], hello["token"], hello["meta"]) == ("a", "n", "t", {"role": "test"})
    await running


async def test_the_environment_gives_the_url_and_the_agent(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAGGLE_URL", fake.url)
    monkeypatch.setenv("WAGGLE_AGENT", "from-outside")
    monkeypatch.setenv("WAGGLE_TOKEN", "secret")
    monkeypatch.setenv("WAGGLE_NS", "project")

    async def program() -> None:
        async with await waggle.connect():
            pass

    running = asyncio.create_task(program())
    end = await fake.connection()
    hello = await end.welcome()
    assert (hello["agent"], hello["token"], hello["ns"]) == ("from-outside", "secret", "project")
    await running


async def test_connecting_without_a_hub_raises_an_error_with_a_remedy(fake: FakeHub) -> None:
    await fake.stop()
    with pytest.raises(Disconnected, match="waggle serve"):
        await waggle.connect(fake.url, connect_timeout=0.05)
    await fake.start()


async def test_a_hub_that_never_says_welcome_is_not_there(fake: FakeHub) -> None:
    with pytest.raises(Disconnected, match="waggle serve"):
        await waggle.connect(fake.url, timeout=0.01, connect_timeout=0.05)


async def test_a_hub_that_is_only_starting_is_waited_for(fake: FakeHub) -> None:
    opening = asyncio.create_task(opened(fake))
    (await fake.connection()).cut()
    await fake.welcomed()
    hub = await opening
    await hub.close()


async def test_a_refused_command_raises_the_class_of_its_code(fake: FakeHub) -> None:
    opening = asyncio.create_task(opened(fake))
    end = await fake.connection()
    await end.refuse(await end.next("hello"), "unauthorized", "a token is needed")
    with pytest.raises(Unauthorized, match="a token is needed"):
        await opening


async def test_a_hub_that_is_busy_is_asked_again(fake: FakeHub) -> None:
    opening = asyncio.create_task(opened(fake))
    end = await fake.connection()
    await end.refuse(await end.next("hello"), "unavailable", retry_after=0)
    await fake.welcomed()
    hub = await opening
    await hub.close()


async def test_giving_up_while_connecting_leaves_nothing_behind(fake: FakeHub) -> None:
    opening = asyncio.create_task(opened(fake))
    end = await fake.connection()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await end.closed()


async def test_a_hub_that_does_not_let_go_is_left_anyway(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "BYE_TIMEOUT_S", 0.01)
    opening = asyncio.create_task(opened(fake))
    end = await fake.welcomed()
    end.polite = False
    await (await opening).close()
    await end.next("bye")
    await end.closed()


async def test_leaving_while_the_hub_is_away_does_not_wait_for_it(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        await fake.stop()
        await end.closed()
        await hub.close()
        assert hub.state == "closed"
    await fake.start()


# --- commands ----------------------------------------------------------------------------------------------------


async def test_every_command_has_its_words_and_its_answer(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def answer(op: str, **ok: Any) -> dict[str, Any]:
            command = await end.next(op)
            await end.reply(command, **ok)
            return {name: value for name, value in command.items() if name not in ("op", "id", "rid")}

        async def both(call: Any, op: str, **ok: Any) -> tuple[Any, dict[str, Any]]:
            result, command = await asyncio.gather(call, answer(op, **ok))
            return result, command

        options: dict[str, Any] = {"ns": "n", "ttl": 5, "if_rev": 0, "kind": "cached", "ephemeral": True, "meta": {}}
        result, command = await both(hub.set("k", [1], **options), "set", **WRITTEN)
        assert isinstance(result, Written)
        assert command == {"key": "k", "value": [1], **options}
        result, command = await both(hub.get("k", ns="n"), "get", entry=ENTRY, rev=101)
        assert (result.value, command) == ([1], {"key": "k", "ns": "n"})
        assert (await both(hub.get("k"), "get", entry=None, rev=101))[0] is None
        result, command = await both(hub.delete("k", if_rev=7), "delete", deleted=True, rev=101)
        assert (result, command) == (True, {"key": "k", "if_rev": 7})
        result, command = await both(hub.touch("k", None), "touch", expires_at=None, rev=101)
        assert (result, command) == (None, {"key": "k", "ttl": None})
        result, command = await both(hub.publish("c", {"n": 1}), "publish", rev=101, receivers=3)
        assert (result, command) == (3, {"channel": "c", "data": {"n": 1}})
        assert (await both(hub.status("busy"), "status", rev=101))[1] == {"status": "busy"}
        assert (await both(hub.ping(), "ping", rev=150, at=1.0))[0].rev == 150
        assert hub.rev == 150
        numbers: dict[str, Any] = {
            "rev": 150,
            "at": 1.0,
            "keys": 3,
            "bytes": 4,
            "max_keys": 5,
            "max_bytes": 6,
            "sessions": 7,
        }
        numbers |= {"subscriptions": 8, "locks": 0, "waits": 0, "log": {"events": 9}, "ops": {"set": {"count": 2}}}
        result, command = await both(hub.stats(), "stats", **numbers, of_a_later_version=1)
        assert (result.keys, result.log.events, result.ops["set"].count, command) == (3, 9, 2, {})
        result, _ = await both(hub.namespaces(), "namespaces", namespaces=[{"ns": "n", "keys": 1, "bytes": 2}])
        assert result[0].keys == 1
        result, command = await both(hub.agents(), "list", entries=[ENTRY], next=None, rev=101)
        assert (len(result), command["ns"]) == (1, "$agents")


async def test_list_goes_through_all_pages(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        listing = asyncio.create_task(hub.list("k*", values=False))
        for after, entries, more in ((None, 2, "k2"), ("k2", 0, "k3"), ("k3", 1, None)):
            command = await end.next("list")
            assert (command.get("after"), command["limit"], command["values"]) == (after, 1000, False)
            await end.reply(command, entries=[ENTRY] * entries, next=more, rev=101)
        assert len(await listing) == 3


async def test_list_asks_for_no_more_than_its_limit(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        listing = asyncio.create_task(hub.list(limit=1500))
        for limit in (1000, 500):
            command = await end.next("list")
            assert command.get("limit", 100) == limit
            await end.reply(command, entries=[ENTRY] * limit, next="k9", rev=101)
        assert len(await listing) == 1500
        assert await hub.list(limit=0) == []


async def test_clear_repeats_until_nothing_is_left_and_wants_a_pattern(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        clearing = asyncio.create_task(hub.clear("k*"))
        for deleted, more in ((1000, True), (0, True), (5, False)):
            command = await end.next("clear")
            assert command["confirm"] is True
            await end.reply(command, deleted=deleted, more=more, rev=101)
        assert await clearing == 1005
        with pytest.raises(BadRequest, match="what to clear"):
            await hub.clear("")


async def test_values_that_json_cannot_hold_are_not_sent(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        for attempt in (
            hub.set("k", float("nan")),
            hub.set("k", 1, meta={1: 2}),  # type: ignore[dict-item]
            hub.publish("c", {1, 2}),
            hub.status(object()),
        ):
            with pytest.raises(BadRequest):
                await attempt
        assert end.quiet
    with pytest.raises(BadRequest):
        waggle.connect(fake.url, meta={"nan": float("nan")})


async def test_errors_of_the_hub_are_raised(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        setting = asyncio.create_task(hub.set("k", 1, if_rev=3))
        await end.refuse(await end.next("set"), "conflict", current=ENTRY)
        with pytest.raises(Conflict) as conflict:
            await setting
        assert conflict.value.current.rev == 7


async def test_commands_of_one_turn_share_a_message(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        calls = [asyncio.create_task(hub.set(f"k{number}", number)) for number in range(5)]
        for _ in calls:
            await end.reply(await end.next("set"), **WRITTEN)
        await asyncio.gather(*calls)
        assert [message.count("\n") for message in end.messages] == [0, 4]


async def test_no_answer_in_time_says_what_may_have_happened(fake: FakeHub) -> None:
    async with meeting(fake, timeout=0.02) as (hub, end):
        with pytest.raises(TimedOut, match="may still take effect"):
            await hub.set("k", 1)
        with pytest.raises(TimedOut, match="changed nothing"):
            await hub.get("k")
        await end.next("set")
        await end.next("get")


async def test_a_cancelled_command_leaves_nothing_pending(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        setting = asyncio.create_task(hub.set("k", 1))
        command = await end.next("set")
        setting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await setting
        await end.reply(command, **WRITTEN)
        end.cut()
        end = await fake.welcomed(resumed=True)
        pinging = asyncio.create_task(hub.ping())
        await end.reply(await end.next("ping"), rev=1, at=1.0)
        await pinging


# --- changes that depend on what is there ------------------------------------------------------------------------


def there(rev: int, value: Any) -> dict[str, Any]:
    return {**ENTRY, "rev": rev, "value": value}


def updated(rev: int, value: Any) -> dict[str, Any]:
    return {"rev": rev, "version": 3, "value": value, "expires_at": None}


def written(command: dict[str, Any]) -> Any:
    """Return the value that an attempt writes."""
    (operation,) = command["patch"]
    assert (operation["op"], operation["path"]) == ("add", "")
    return operation["value"]


async def test_an_update_without_a_function_is_one_command(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        for words in (
            {"merge": {"a": None}, "ttl": 5},
            {"patch": [{"op": "remove", "path": "/a"}]},
            {"incr": 2, "pointer": "/n", "ns": "n"},
            {"append": None, "if_rev": 7},
        ):
            updating = asyncio.create_task(hub.update("k", **words))
            command = await end.next("update")
            assert {name: command[name] for name in command if name not in ("id", "op", "rid")} == {"key": "k", **words}
            await end.reply(command, **updated(8, [1]))
            assert await updating == Updated(rev=8, version=3, value=[1], expires_at=None)
        with pytest.raises(BadRequest, match="exactly one"):
            await hub.update("k", incr=1, append=1)
        assert end.quiet


async def test_an_update_by_a_function_reads_once_and_goes_on_from_each_conflict(fake: FakeHub) -> None:
    seen = []

    def add(value: Any) -> Any:
        seen.append(value)
        return [*(value or []), len(seen)]

    async with meeting(fake) as (hub, end):
        updating = asyncio.create_task(hub.update("k", add, ns="n", ttl=5))
        get = await end.next("get")
        assert (get["key"], get["ns"]) == ("k", "n")
        await end.reply(get, entry=there(7, ["a"]), rev=100)
        first = await end.next("update")
        assert (first["key"], first["ns"], first["ttl"], first["if_rev"]) == ("k", "n", 5, 7)
        assert written(first) == ["a", 1]
        await end.refuse(first, "conflict", current=there(9, ["b"]))
        second = await end.next("update")
        assert (second["if_rev"], written(second)) == (9, ["b", 2])
        assert second["rid"] != first["rid"]
        await end.refuse(second, "conflict", current=None)
        third = await end.next("update")
        assert (third["if_rev"], written(third)) == (0, [3])
        await end.reply(third, **updated(12, [3]))
        assert await updating == Updated(rev=12, version=3, value=[3], expires_at=None)
        assert seen == [["a"], ["b"], None]
        assert end.quiet


async def test_an_async_function_is_awaited_and_may_use_the_hub(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def joined(value: Any) -> Any:
            other = await hub.get("other")
            assert other is not None
            return value + other.value

        updating = asyncio.create_task(hub.update("k", joined))
        await end.reply(await end.next("get"), entry=there(7, ["a"]), rev=100)
        await end.reply(await end.next("get"), entry=there(8, ["b"]), rev=100)
        command = await end.next("update")
        assert written(command) == ["a", "b"]
        await end.reply(command, **updated(12, ["a", "b"]))
        await updating


async def test_a_function_that_keeps_the_value_writes_nothing(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        for entry, result in (
            (ENTRY, Updated(rev=7, version=2, value=[1], expires_at=None)),
            (None, Updated(rev=0, version=0, value=None, expires_at=None)),
        ):
            updating = asyncio.create_task(hub.update("k", lambda _: waggle.KEEP))
            await end.reply(await end.next("get"), entry=entry, rev=100)
            assert await updating == result
        assert end.quiet


async def test_an_update_function_that_raises_or_returns_nothing_writes_nothing(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        for function, error in (
            (lambda value: value["missing"], TypeError),
            (lambda value: value.append(2), BadRequest),
            (lambda value: {1, 2}, BadRequest),
        ):
            updating = asyncio.create_task(hub.update("k", function))
            await end.reply(await end.next("get"), entry=ENTRY, rev=100)
            with pytest.raises(error):
                await updating
        assert end.quiet


async def test_an_update_that_is_always_too_late_ends_with_the_conflict(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        updating = asyncio.create_task(hub.update("k", lambda value: value + 1))
        await end.reply(await end.next("get"), entry=there(1, 0), rev=100)
        for rev in range(2, compare_and_set.MAX_ATTEMPTS + 2):
            command = await end.next("update")
            assert (command["if_rev"], written(command)) == (rev - 1, rev - 1)
            await end.refuse(command, "conflict", current=there(rev, rev - 1))
        with pytest.raises(Conflict, match="100 times") as conflict:
            await updating
        assert conflict.value.current.rev == compare_and_set.MAX_ATTEMPTS + 1
        assert end.quiet


async def test_other_errors_end_an_update_at_once(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        updating = asyncio.create_task(hub.update("k", lambda value: value))
        await end.reply(await end.next("get"), entry=ENTRY, rev=100)
        await end.refuse(await end.next("update"), "limit", limit=1)
        with pytest.raises(LimitReached):
            await updating
        assert end.quiet


async def test_an_update_that_is_cancelled_tries_no_more(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_and_set, "IMMEDIATE_ATTEMPTS", 0)
    monkeypatch.setattr(compare_and_set, "FIRST_PAUSE_S", 1000.0)
    monkeypatch.setattr(compare_and_set, "MAX_PAUSE_S", 1000.0)
    monkeypatch.setattr("waggle.api.hub.random", lambda: 0.9)
    thinking = asyncio.Event()

    async def think(value: Any) -> Any:
        thinking.set()
        await asyncio.Event().wait()

    async with meeting(fake) as (hub, end):
        for function, waits_for in ((think, "function"), (lambda value: 1, "answer"), (lambda value: 1, "pause")):
            updating = asyncio.create_task(hub.update("k", function))
            await end.reply(await end.next("get"), entry=ENTRY, rev=100)
            if waits_for == "function":
                await thinking.wait()
            elif waits_for == "answer":
                await end.next("update")
            else:
                await end.refuse(await end.next("update"), "conflict", current=ENTRY)
                await ponged(hub, end)
            updating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await updating
            await ponged(hub, end)
            assert end.quiet


async def ponged(hub: waggle.Hub, end: FakeConnection) -> None:
    """Wait until both sides have received all earlier lines."""
    pinging = asyncio.create_task(hub.ping())
    await end.reply(await end.next("ping"), rev=100, at=1.0)
    await pinging


async def test_an_update_in_doubt_is_told_as_such(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        updating = asyncio.create_task(hub.update("k", lambda value: 1))
        await end.reply(await end.next("get"), entry=ENTRY, rev=100)
        await end.next("update")
        end.cut()
        again = await fake.connection()
        await again.refuse(await again.next("hello"), "session_lost")
        await again.welcome(session="s-2")
        with pytest.raises(Disconnected, match="may or may not"):
            await updating


async def test_a_lost_connection_repeats_an_attempt_as_the_same(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        updating = asyncio.create_task(hub.update("k", lambda value: 1))
        await end.reply(await end.next("get"), entry=ENTRY, rev=100)
        first = await end.next("update")
        end.cut()
        again = await fake.welcomed(resumed=True)
        second = await again.next("update")
        assert {**first, "id": 0} == {**second, "id": 0}
        await again.reply(second, **updated(12, 1))
        assert (await updating).rev == 12


async def test_a_txn_gives_each_step_its_own_reply(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        acting = asyncio.create_task(
            hub.txn(
                [{"op": "delete", "key": "a"}],
                if_=[{"key": "a", "rev": 7}],
                else_=[{"op": "set", "key": "b", "value": 1}, {"op": "publish", "channel": "c", "data": 2}],
            )
        )
        command = await end.next("txn")
        assert (command["if"], command["then"]) == ([{"key": "a", "rev": 7}], [{"op": "delete", "key": "a"}])
        assert len(command["else"]) == 2
        await end.reply(command, done="else", rev=101, results=[WRITTEN, {"rev": 101, "receivers": 2}])
        done = await acting
        assert (done.done, done.rev) == ("else", 101)
        assert done.results == [Written(101, 1, None), Published(101, 2)]


async def test_a_refused_txn_names_its_step_and_the_present_entry(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        acting = asyncio.create_task(hub.txn([{"op": "delete", "key": "a"}, {"op": "delete", "key": "k", "if_rev": 3}]))
        await end.refuse(await end.next("txn"), "conflict", index=1, current=ENTRY)
        with pytest.raises(Conflict) as conflict:
            await acting
        assert conflict.value.details["index"] == 1
        assert conflict.value.current.rev == 7
        with pytest.raises(BadRequest, match="put it into"):
            await hub.txn({"op": "delete", "key": "a"})  # type: ignore[dict-item]
        assert end.quiet


async def test_history_gives_entries(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        asking = asyncio.create_task(hub.history("k", ns="n", limit=2))
        command = await end.next("history")
        assert (command["key"], command["ns"], command["limit"]) == ("k", "n", 2)
        await end.reply(command, entries=[there(9, 2), there(7, 1)])
        assert [(entry.rev, entry.value) for entry in await asking] == [(9, 2), (7, 1)]


# --- a connection that drops -------------------------------------------------------------------------------------


async def test_a_caller_sees_a_pause_and_nothing_else(fake: FakeHub) -> None:
    states: list[str] = []
    async with meeting(fake, on_state=states.append) as (hub, end):
        setting = asyncio.create_task(hub.set("k", 1))
        first = await end.next("set")
        end.cut()
        end = await fake.connection()
        hello = await end.welcome(resumed=True)
        assert hello["session"] == "s-1"
        again = await end.next("set")
        assert again["rid"] == first["rid"]
        await end.reply(again, **WRITTEN)
        assert (await setting).rev == 101
        assert states == ["connected", "reconnecting", "connected"]
    assert states[-1] == "closed"


async def test_a_lost_session_puts_a_change_in_doubt(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        setting, getting = asyncio.create_task(hub.set("k", 1)), asyncio.create_task(hub.get("k"))
        await end.next("set")
        await end.next("get")
        end.cut()
        end = await fake.connection()
        await end.refuse(await end.next("hello"), "session_lost")
        await end.welcome(session="s-2")
        await end.reply(await end.next("get"), entry=None, rev=101)
        assert await getting is None
        with pytest.raises(Disconnected, match="may or may not have taken effect"):
            await setting
        assert hub.session == "s-2"


async def test_a_hub_that_stays_away_is_given_up_after_the_time_given(fake: FakeHub) -> None:
    async with meeting(fake, reconnect_timeout=0.05) as (hub, _):
        await fake.stop()
        with pytest.raises(Disconnected, match="No hub has answered"):
            await hub.ping()
        assert hub.state == "closed"
    await fake.start()


async def test_commands_wait_while_the_hub_is_away_and_time_out_with_a_remedy(fake: FakeHub) -> None:
    async with meeting(fake, timeout=1.0) as (hub, end):
        await fake.stop()
        await end.closed()
        with pytest.raises(TimedOut, match="is away"):
            await hub.ping()
        await fake.start()
        end = await fake.welcomed(resumed=True)
        setting = asyncio.create_task(hub.set("k", 1))
        await end.reply(await end.next("set"), **WRITTEN)
        await setting


@pytest.mark.parametrize(
    ("code", "error"), [(1000, Disconnected), (4002, Disconnected), (4401, Unauthorized), (4403, Forbidden)]
)
async def test_a_final_close_fails_waiting_commands(fake: FakeHub, code: int, error: type[Exception]) -> None:
    async with meeting(fake) as (hub, end):
        watcher = hub.watch("k*")
        waiting = asyncio.create_task(anext(watcher))
        await end.subscribed(1)
        getting = asyncio.create_task(hub.get("k"))
        await end.next("get")
        await end.close(code, "because")
        for call in (waiting, getting):
            with pytest.raises(error, match="because"):
                await call
        assert hub.state == "closed"


async def test_a_draining_hub_is_avoided_for_as_long_as_it_says(fake: FakeHub) -> None:
    async with meeting(fake) as (_, end):
        await end.close(4000, "0.01")
        await fake.welcomed(resumed=True)


async def test_a_callback_that_fails_does_not_stop_the_client(fake: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    def fail(state: str) -> None:
        raise ValueError(state)

    async with meeting(fake, on_state=fail) as (hub, _):
        assert hub.state == "connected"
    assert "on_state failed" in caplog.text


# --- watching ----------------------------------------------------------------------------------------------------


async def test_a_block_is_entered_when_the_hub_has_answered_and_left_with_unsubscribe(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        subscribed = asyncio.create_task(end.subscribed(1))
        async with hub.watch("a*", "b*", ns="*", types=["set"], values=False, prev=True, echo=False) as events:
            command = await subscribed
            assert command == {
                "op": "subscribe", "id": command["id"], "patterns": ["a*", "b*"], "ns": "*", "types": ["set"],
                "values": False, "prev": True, "echo": False,
            }  # fmt: skip
            assert (events.epoch, events.rev) == ("e1", 100)
            await end.say(event(1, 101, 100, "a1"), {"type": "mark", "rev": 120})
            assert (await anext(events)).key == "a1"
            assert events.since == Since("e1", 120)
        await end.reply(await end.next("unsubscribe"))
        assert [event async for event in events] == []
        with pytest.raises(BadRequest, match="again"):
            async with events:
                pass


async def test_a_bare_loop_subscribes_at_its_first_step_and_unsubscribes_at_its_end(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def program() -> str:
            async for event in hub.watch("a*", snapshot=True):
                if event.type == "synced":
                    break
            return event.type

        running = asyncio.create_task(program())
        await end.subscribed(1)
        await end.say(snapshot(1, 40, "a"), synced(1, 100))
        assert await running == "synced"
        gc.collect()
        await end.next("unsubscribe")


async def test_a_watcher_outlives_connections_and_sessions(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        watcher = hub.watch("a*")
        waiting = asyncio.create_task(anext(watcher))
        await end.subscribed(1)
        end.cut()
        end = await fake.connection()
        assert (await end.welcome(resumed=True, subs={1: 5}))["cursors"] == {"1": 100}
        await end.say(event(5, 101, 100, "a1"))
        assert (await waiting).key == "a1"
        end.cut()
        end = await fake.connection()
        await end.refuse(await end.next("hello"), "session_lost")
        await end.welcome(session="s-2")
        assert (await end.subscribed(1, rev=110, resumed=True))["since"] == {"epoch": "e1", "rev": 101}
        await end.say(event(1, 105, 101, "a2"))
        assert (await anext(watcher)).key == "a2"


async def test_lost_events_raise_lost_in_a_watch_without_snapshot(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        watcher = hub.watch("a*")
        waiting = asyncio.create_task(anext(watcher))
        await end.subscribed(1)
        await end.say({"sub": 1, "type": "lost", "reason": "compacted"})
        with pytest.raises(Lost, match="snapshot=True"):
            await waiting
        with pytest.raises(Lost):
            await anext(watcher)


async def test_a_saved_place_that_is_too_old_is_raised_on_entering(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        answering = asyncio.create_task(end.subscribed(1, resumed=False, reason="epoch"))
        with pytest.raises(Lost, match="epoch"):
            async with hub.watch("a*", since=("e0", 5)):
                pass
        assert (await answering)["since"] == {"epoch": "e0", "rev": 5}


async def test_a_cancelled_entry_leaves_no_subscription_behind(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        waiting = asyncio.create_task(anext(hub.watch("a*")))
        command = await end.next("subscribe")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await end.reply(command, sub=1, epoch="e1", rev=100)
        assert (await end.next("unsubscribe"))["sub"] == 1


async def test_a_slow_loop_may_use_the_hub_while_events_wait(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MAX_BUFFERED_BYTES", 2000)
    async with meeting(fake) as (hub, end):

        async def program() -> list[str]:
            seen = []
            async for event in hub.watch("k*"):
                await hub.set("done", event.key)
                seen.append(event.key)
                if event.key == "k300":
                    break
            return seen

        running = asyncio.create_task(program())
        await end.subscribed(1)
        await end.say(*(event(1, 100 + number, 99 + number, f"k{number}") for number in range(1, 301)))
        while not running.done():
            command = await end.next("set", "unsubscribe", "subscribe")
            if command["op"] == "set":
                await end.reply(command, **WRITTEN)
            elif command["op"] == "unsubscribe":
                await end.reply(command)
            else:
                start = command["since"]["rev"]
                await end.reply(command, sub=1, epoch="e1", rev=400, resumed=True)
                await end.say(*(event(1, rev, rev - 1, f"k{rev - 100}") for rev in range(start + 1, 401)))
            if command.get("value") == "k300":
                break
        assert await running == [f"k{number}" for number in range(1, 301)]
        gc.collect()
        await end.next("unsubscribe")


# --- mirrors -----------------------------------------------------------------------------------------------------


async def test_a_mirror_is_filled_when_entered_and_follows(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):

        async def feed() -> None:
            command = await end.subscribed(1)
            assert command["types"] == ["set", "delete", "expire", "evict", "touch"]
            await end.say(snapshot(1, 40, "a"), synced(1, 100))

        feeding = asyncio.create_task(feed())
        async with hub.mirror("*") as mirror:
            await feeding
            assert list(mirror) == ["a"]
            changing = asyncio.create_task(mirror.changed(timeout=5))
            reaching = asyncio.create_task(mirror.until(lambda entries: "c" in entries, timeout=5))
            await end.say(event(1, 101, 100, "b"))
            await changing
            assert not reaching.done()
            await end.say(event(1, 102, 101, "c"))
            await reaching
            with pytest.raises(TimedOut, match="wait longer"):
                await mirror.until(lambda entries: "d" in entries, timeout=0.01)
        await end.reply(await end.next("unsubscribe"))
        with pytest.raises(BadRequest, match="not open"):
            await mirror.changed()
        assert list(mirror) == ["a", "b", "c"]


async def test_a_mirror_says_when_the_hub_is_gone_for_good(fake: FakeHub) -> None:
    async with meeting(fake) as (hub, end):
        entering = asyncio.create_task(hub.mirror("*").__aenter__())
        await end.subscribed(1)
        await end.close(4002, "taken over")
        with pytest.raises(Disconnected, match="taken over"):
            await entering

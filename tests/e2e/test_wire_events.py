"""Events over HTTP: what EventSource, or curl, hears (protocol 5, 10)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.web import Web, refused

pytestmark = [pytest.mark.e2e, pytest.mark.every_server]


@pytest.fixture
async def web(hub: HubProcess, ns: str) -> AsyncIterator[Web]:
    """Somebody without a name, in a namespace of their own."""
    web = Web(hub, ns=ns)
    yield web
    await web.close()


async def until_subscribed(web: Web, ns: str) -> None:
    """Wait until the hub has a subscription in this namespace."""
    async with asyncio.timeout(20):
        while not any(one["ns"] == ns for one in (await web.ok("inspect"))["subscriptions"]):
            await asyncio.sleep(0.02)


def of(type: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["type"] == type


async def test_the_first_event_says_where_the_cursor_stands(web: Web) -> None:
    rev = (await web.ok("set", key="before", value=1))["rev"]
    async with web.events(pattern="*") as events:
        assert events.answer.headers["content-type"] == "text/event-stream"
        first = await events.next()
        assert (first["type"], first["rev"] >= rev) == ("mark", True)
        assert events.id.rpartition(":")[2] == str(first["rev"])
        assert int(events.retry) > 0
        await web.ok("set", key="k", value={"text": "line\nline"})
        (event,) = await events.key("k")
        assert (event["type"], event["value"], event["after"]) == ("set", {"text": "line\nline"}, first["rev"])
        assert events.id.endswith(f":{event['rev']}")


async def test_patterns_and_types_are_those_of_subscribe(web: Web) -> None:
    asked: dict[str, Any] = {"pattern": ["a,b", "c*"], "types": "set,touch", "values": "false"}
    async with web.events(**asked) as events:
        await events.next()
        for key in ("a", "b", "a,b", "cc"):
            await web.ok("set", key=key, value=1)
        await web.ok("delete", key="cc")
        await web.ok("touch", key="a,b", ttl=50)
        heard = await events.until(of("touch"))
        assert [(event["type"], event["key"]) for event in heard] == [("set", "a,b"), ("set", "cc"), ("touch", "a,b")]
        assert "value" not in heard[0]


async def test_a_snapshot_comes_first_and_only_its_end_moves_the_cursor(web: Web) -> None:
    for number in range(5):
        await web.ok("set", key=f"k{number}", value=number)
    async with web.events(pattern="k*", snapshot="true") as events:
        for number in range(5):
            event = await events.next()
            assert (event["key"], event["snapshot"], events.id) == (f"k{number}", True, "")
        assert (await events.next())["type"] == "synced"
        assert events.id
        await web.ok("set", key="k5", value=5)
        assert "snapshot" not in (await events.key("k5"))[0]


async def test_a_stream_resumed_by_last_event_id_has_each_event_once(web: Web) -> None:
    id, heard = "", []
    for number in range(10):
        await web.ok("set", key=f"k{number}", value=number)
        headers = {"last-event-id": id} if id else {}
        async with web.events(headers, pattern="k*", snapshot="true") as events:
            heard += [event["value"] for event in await events.until(of("mark")) if event["type"] == "set"]
            id = events.id
    assert heard == list(range(10))


async def test_all_events_of_a_revision_but_the_last_leave_the_cursor_where_it_was(web: Web) -> None:
    async with web.events(pattern="*") as events:
        await events.next()
        before = events.id
        then = [{"op": "set", "key": key, "value": 1} for key in "abc"]
        rev = (await web.ok("txn", **{"if": [], "then": then}))["rev"]
        ids = []
        for _ in "abc":
            await events.next()
            ids.append(events.id)
        assert ids == [before, before, f"{before.partition(':')[0]}:{rev}"]


@pytest.mark.parametrize("id", ["another:5", "nonsense", "a:b", ":", "0", "x:99999999999999999999"])
async def test_a_cursor_of_another_log_gets_a_snapshot_and_the_reason(web: Web, id: str) -> None:
    await web.ok("set", key="k", value=1)
    async with web.events({"last-event-id": id}, pattern="*") as events:
        lost = await events.next()
        assert (lost["type"], lost["reason"], events.id) == ("lost", "epoch", "")
        assert (await events.next())["snapshot"] is True
        assert (await events.next())["type"] == "synced"
        assert events.id


async def test_since_in_the_query_is_a_cursor_too(web: Web) -> None:
    async with web.events(pattern="*") as events:
        await events.next()
        since = events.id
    await web.ok("set", key="k", value=1)
    async with web.events(pattern="*", since=since) as events:
        assert (await events.next())["key"] == "k"
    async with web.events({"last-event-id": since}, pattern="*", since="older:1") as events:
        assert (await events.next())["key"] == "k"
    async with web.events(pattern="*", since="") as events:
        assert (await events.next())["type"] == "mark"


@pytest.mark.parametrize("query", [
    "pattern=[", "pattern=", "types=odd", "types=", "conflate=0", "conflate=nan", "conflate=x", "ns=no%20spaces",
    "tpyes=set", "snapshot=perhaps", "ns=a&ns=b", "&".join(f"pattern=p{number}" for number in range(101)),
])  # fmt: skip
async def test_an_invalid_subscription_is_refused_with_a_status(web: Web, query: str) -> None:
    answer = await web.client.get(f"/v1/events?{query}")
    assert refused(answer) in ((400, "bad_request"), (429, "limit"))


async def test_a_cursor_ahead_of_the_hub_is_refused(web: Web) -> None:
    async with web.events(pattern="*") as events:
        epoch = (await events.next(), events.id.partition(":")[0])[1]
    answer = await web.client.get("/v1/events", headers={"last-event-id": f"{epoch}:{2**52}"})
    assert refused(answer) == (400, "bad_request")


async def test_a_stream_can_be_conflated(web: Web) -> None:
    async with web.events(pattern="k", conflate="2") as events:
        await events.next()
        for number in range(20):
            await web.ok("set", key="k", value=number)
        heard = await events.until(lambda event: event.get("value") == 19)
        assert len(heard) < 10


async def test_a_session_lasts_as_long_as_its_stream(hub: HubProcess, ns: str) -> None:
    web, other = Web(hub, f"watcher-{ns}", ns), Web(hub)

    async def here() -> int:
        listed = await other.ok("list", pattern=f"watcher-{ns}", ns="$agents")
        return sum(entry["value"]["sessions"] for entry in listed["entries"])

    async with web.events(pattern="*") as events:
        await events.next()
        assert await here() == 1
    async with asyncio.timeout(20):
        while await here():
            await asyncio.sleep(0.02)
    await web.close()
    await other.close()


async def test_an_idle_stream_hears_a_mark_now_and_then(quick_hub: HubProcess) -> None:
    web, ns = Web(quick_hub, ns="here"), Web(quick_hub, ns="elsewhere")
    async with web.events(pattern="*") as events:
        first = await events.next()
        rev = (await ns.ok("set", key="k", value=1))["rev"]
        marks = await events.until(lambda event: event["rev"] >= rev)
        assert (len(marks), marks[0]["type"]) == (1, "mark")
        assert rev > first["rev"]
        assert events.id.endswith(f":{marks[0]['rev']}")
    await web.close()
    await ns.close()


async def test_a_slow_reader_delays_no_other_client_and_catches_up(start_hub: StartHub, ns: str) -> None:
    hub = start_hub()
    web = Web(hub, ns=ns)
    slow = socket.create_connection(("127.0.0.1", hub.port))
    slow.settimeout(30)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
    slow.sendall(f"GET /v1/events?ns={ns} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await until_subscribed(web, ns)
    before = hub.rss()
    value = "x" * 100_000
    async with web.events(pattern="*") as events:
        await events.next()
        for number in range(300):
            await web.ok("set", key=f"k{number % 3}", value=f"{number} {value}")
        assert (await events.until(lambda event: event.get("value", "").startswith("299 ")))[-1]
    assert hub.rss() - before < 100 * 2**20

    def read() -> int:
        file = slow.makefile("rb")
        seen = 0
        for line in file:
            if line.startswith(b"data: ") and b'"value":"' in line:
                number = int(json.loads(line[6:])["value"].split()[0])
                assert number == seen
                seen += 1
                if number == 299:
                    break
        file.close()
        return seen

    assert await asyncio.to_thread(read) == 300
    slow.close()
    await web.close()


@pytest.mark.own_server
async def test_a_stopping_hub_waits_only_briefly_for_a_stream_that_is_not_read(start_hub: StartHub, ns: str) -> None:
    hub = start_hub()
    web = Web(hub, ns=ns)
    stuck = socket.create_connection(("127.0.0.1", hub.port))
    stuck.sendall(f"GET /v1/events?ns={ns} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await until_subscribed(web, ns)
    for number in range(150):
        await web.ok("set", key=f"k{number % 3}", value="x" * 100_000)
    await web.close()
    assert await asyncio.to_thread(hub.stop) == 0
    stuck.close()


async def test_a_stop_ends_streams_and_a_client_that_reconnects_misses_nothing(
    start_hub: StartHub, tmp_path: Path
) -> None:
    hub = start_hub(data=tmp_path / "d")
    web = Web(hub, ns="n")
    async with web.events(pattern="*") as events:
        await events.next()
        await web.ok("set", key="before", value=1)
        await events.key("before")
        stopping = asyncio.create_task(asyncio.to_thread(hub.stop))
        with pytest.raises(EOFError):
            await events.until(lambda event: False)
        id = events.id
        assert await stopping == 0
    await web.close()
    hub = start_hub(data=tmp_path / "d", port=hub.port)
    web = Web(hub, ns="n")
    await web.ok("set", key="after", value=2)
    async with web.events({"last-event-id": id}, pattern="*") as events:
        assert [event["key"] for event in await events.key("after")] == ["after"]
    await web.close()


async def test_many_streams_of_one_interest_hear_the_same(web: Web) -> None:
    async def hear(ready: asyncio.Semaphore) -> list[int]:
        async with web.events(pattern="k") as events:
            await events.next()
            ready.release()
            return [event["value"] for event in await events.until(lambda event: event.get("value") == 9)]

    ready = asyncio.Semaphore(0)
    hearing = [asyncio.create_task(hear(ready)) for _ in range(20)]
    for _ in hearing:
        await ready.acquire()
    for number in range(10):
        await web.ok("set", key="k", value=number)
    for told in await asyncio.gather(*hearing):
        assert told == list(range(10))

"""Callers that are broken, greedy or hostile harm nobody but themselves, and leave nothing behind (G12, G13)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.latency_probe import LatencyProbe
from tests.e2e.web import Web, until_waiting

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]
MIB = 2**20
SLOWEST = 20.0
"""Seconds that a round trip of a well-behaved agent may take meanwhile, on a machine that has other things to do."""
BUSIEST = 1.0
"""Seconds that the hub may work within one of them."""
HEAD = "Host: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def hub(start_hub: StartHub) -> AsyncIterator[HubProcess]:
    """A hub that somebody well-behaved uses meanwhile, and that is well afterwards."""
    hub = start_hub()
    probe = await asyncio.to_thread(LatencyProbe, hub.ws, hub.pid)
    try:
        yield hub
        await asyncio.sleep(0.3)
        figures = await asyncio.to_thread(probe.stop)
        assert figures.slowest < SLOWEST, figures
        assert figures.busiest < BUSIEST, figures
        assert await asyncio.to_thread(hub.alive)
    finally:
        probe.kill()


async def connect(hub: HubProcess, text: str | bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has sent this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port, limit=65_536)
    writer.write(text.encode() if isinstance(text, str) else text)
    return reader, writer


async def until_nobody(hub: HubProcess) -> None:
    """Return when nobody waits in the hub."""
    web = Web(hub)
    async with asyncio.timeout(20):
        while (await web.ok("inspect"))["waits"]:
            await asyncio.sleep(0.05)
    await web.close()


async def test_noise_is_answered_or_closed(hub: HubProcess) -> None:
    chance = random.Random(7)
    good = f'POST /v1/set HTTP/1.1\r\n{HEAD}Content-Length: 23\r\n\r\n{{"key": "k", "value": 1}}'.encode()
    writers = []
    for _ in range(300):
        text = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            text[chance.randrange(len(text))] = chance.randrange(256)
        writers.append((await connect(hub, bytes(text)))[1])
    await asyncio.sleep(0.5)
    for writer in writers:
        writer.close()


async def test_bodies_that_never_end_delay_no_other_client(hub: HubProcess) -> None:
    before = hub.rss()
    head = f'POST /v1/set HTTP/1.1\r\n{HEAD}Content-Length: 1000000\r\n\r\n{{"key": "k", '
    writers = [(await connect(hub, head))[1] for _ in range(200)]
    await asyncio.sleep(0.5)
    assert hub.rss() - before < 30 * MIB
    for writer in writers:
        writer.transport.abort()


@pytest.mark.parametrize(("head", "more"), [
    ("GET /v1/keys?pattern=", "x" * 65_536), ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ", "x" * 65_536),
    ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "x" * 65_536), ("", "\r\n" * 32_768),
    ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "a: b\r\n" * 10_000),
    (f"POST /v1/ping HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n", "a: b\r\n" * 10_000),
])  # fmt: skip
async def test_heads_that_never_end_are_cut_off(hub: HubProcess, head: str, more: str) -> None:
    before = hub.rss()
    reader, writer = await connect(hub, head)
    sent = 0
    with suppress(ConnectionError):
        while sent < 20 * MIB and not reader.at_eof():
            writer.write(more.encode())
            sent += len(more)
            await writer.drain()
            await asyncio.sleep(0.001)
    assert sent < 10 * MIB
    assert hub.peak() - before < 30 * MIB
    writer.transport.abort()


LENGTH = "Content-Length: 22\r\n\r\n"
STOPPED = {
    "nothing": "",
    "blank lines": "\r\n\r\n",
    "half a head": f"POST /v1/set HTTP/1.1\r\n{HEAD}",
    "half a body": f'POST /v1/set HTTP/1.1\r\n{HEAD}{LENGTH}{{"key"',
    "half a body in chunks": f'POST /v1/set HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n6\r\n{{"key"\r\n',
    "half a body that is not wanted": f"POST /nothing HTTP/1.1\r\n{HEAD}{LENGTH}{{",
    "half a second head": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he",
    "half an upgrade": "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
}


@pytest.mark.parametrize("what", STOPPED)
async def test_a_request_that_stops_half_way_is_cut_off(start_hub: StartHub, what: str) -> None:
    hub = start_hub(bounds={"silence": 0.5})
    reader, writer = await connect(hub, STOPPED[what])
    async with asyncio.timeout(20):
        said = await reader.read()
    unsaid = what in ("nothing", "blank lines", "half a body that is not wanted")
    assert (b"stopped half-way for 0.5 seconds" in said) is not unsaid
    writer.close()


UPGRADE = (
    "GET /ws{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
)
UNREADABLE = {
    "a body": UPGRADE.format(path="", more="Content-Length: 5\r\n"),
    "a body in chunks": UPGRADE.format(path="", more="Transfer-Encoding: chunked\r\n"),
    "too many headers": UPGRADE.format(path="", more="X-A: 1\r\n" * 200),
    "too long a header": UPGRADE.format(path="", more=f"Cookie: {'x' * 9_000}\r\n"),
    "too long an address": UPGRADE.format(path=f"?{'x' * 9_000}", more=""),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_handshake_that_cannot_be_read_is_answered_and_not_kept(hub: HubProcess, what: str) -> None:
    reader, writer = await connect(hub, UNREADABLE[what])
    async with asyncio.timeout(20):
        said = await reader.read()
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"This cannot become a WebSocket" in said
    writer.close()
    assert hub.said() == ""


async def test_half_a_request_behind_one_that_waits_is_no_answer_to_that(start_hub: StartHub) -> None:
    hub = start_hub(bounds={"silence": 0.5})
    body = '{"all": [{"key": "never"}], "timeout": 600}'
    wait = f"POST /v1/wait HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n\r\n{body}"
    reader, writer = await connect(hub, wait + "GET /v1/keys HTTP/1.1\r\n")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await until_nobody(hub)


async def test_a_slow_request_that_goes_on_is_served_and_a_waiting_call_may_be_silent(start_hub: StartHub) -> None:
    hub = start_hub(bounds={"silence": 3.0})
    web = Web(hub)
    waiting = asyncio.create_task(web.ok("wait", all=[{"key": "k"}], timeout=30))
    text = '{"key": "k", "value": 1}'
    reader, writer = await connect(hub, f"POST /v1/set HTTP/1.1\r\n{HEAD}Content-Length: {len(text)}\r\n\r\n")
    for start in range(0, len(text), 4):
        await asyncio.sleep(0.6)  # together longer than the silence that is allowed, and each far shorter
        writer.write(text[start : start + 4].encode())
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert (await waiting)["matched"]
    writer.close()
    await web.close()


async def test_a_head_may_be_long_and_come_in_pieces(hub: HubProcess) -> None:
    text = f"GET /healthz HTTP/1.1\r\n{HEAD}X-Long: {'x' * 50_000}\r\nConnection: close\r\n\r\n"
    reader, writer = await connect(hub, "")
    for start in range(0, len(text), 5_000):
        writer.write(text[start : start + 5_000].encode())
        await asyncio.sleep(0.01)
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_calls_that_wait_and_are_dropped_leave_nothing(hub: HubProcess) -> None:
    web = Web(hub, "holder")
    token = (await web.ok("lock", name="n", ttl=600))["token"]
    body = '{"name": "n", "wait": null, "ttl": 600}'
    for turn in range(5):
        writers = []
        for number in range(100):
            agent = f"X-Waggle-Agent: a{number % 7}\r\nContent-Length: {len(body)}\r\n\r\n"
            writers.append((await connect(hub, f"POST /v1/lock HTTP/1.1\r\n{HEAD}{agent}{body}"))[1])
        await asyncio.sleep(0.05 * turn)
        for writer in writers:
            writer.transport.abort()
    await until_nobody(hub)
    await web.ok("unlock", token=token)
    async with asyncio.timeout(20):
        while (await web.ok("locks"))["locks"]:
            await asyncio.sleep(0.05)
    await web.close()


async def test_a_call_is_dropped_with_its_connection_whatever_was_sent_behind_it(hub: HubProcess) -> None:
    body = '{"all": [{"key": "never"}], "timeout": 600}'
    wait = f"POST /v1/wait HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n\r\n{body}"
    writer = (await connect(hub, wait + "GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3))[1]
    await until_waiting(hub)
    writer.transport.abort()
    await until_nobody(hub)


async def test_large_answers_that_are_not_read_are_not_built(hub: HubProcess) -> None:
    web = Web(hub)
    await web.ok("set", key="large", value="x" * (8 * MIB))
    before = hub.rss()
    many = "GET /v1/keys/large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    writers = [(await connect(hub, many))[1] for _ in range(5)]
    await asyncio.sleep(1.5)
    assert hub.peak() - before < 5 * 3 * 8 * MIB
    for writer in writers:
        writer.transport.abort()
    await web.close()


async def test_streams_that_are_not_read_take_bounded_memory_and_end_with_their_connection(hub: HubProcess) -> None:
    web = Web(hub)
    text = "GET /v1/events?pattern=*&snapshot=true HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writers = [(await connect(hub, text))[1] for _ in range(40)]
    async with asyncio.timeout(20):
        while sum(one["subscriptions"] for one in (await web.ok("inspect"))["sessions"] if one["ns"] == "default") < 40:
            await asyncio.sleep(0.05)
    before = hub.rss()
    for number in range(200):
        await web.ok("set", key=f"k{number % 3}", value="x" * 100_000)
    assert hub.rss() - before < 20 * MIB + 40 * 3 * MIB
    for writer in writers:
        writer.transport.abort()
    async with asyncio.timeout(10):
        while [one for one in (await web.ok("inspect"))["sessions"] if one["ns"] == "default" and one["subscriptions"]]:
            await asyncio.sleep(0.05)
    await web.close()


async def test_names_without_end_are_refused_beyond_a_limit(start_hub: StartHub) -> None:
    hub = start_hub(limits={"sessions": 20, "http_idle": 5.0})
    webs = [Web(hub, f"a{number}") for number in range(30)]
    answers = await asyncio.gather(*(web.post("ping") for web in webs))  # all of them before the first has rested
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (20, 10)
    refused = webs[statuses.index(429)]
    nameless = Web(hub)
    assert await nameless.ok("ping")
    await nameless.close()
    async with asyncio.timeout(20):
        while (await refused.post("ping")).status_code != 200:
            await asyncio.sleep(0.05)
    for web in webs:
        await web.close()

"""Agents that are broken, greedy or hostile harm nobody but themselves (G12, G13).

Every attack runs beside a well-behaved agent, in a process of its own, whose round trips must go on; and the hub must
answer, and be of reasonable size, afterwards. The figures are printed.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.latency_probe import LatencyProbe
from tests.e2e.rawsocket import RawSocket, frame
from tests.e2e.wire import Closed, Join, Json, Wire
from tests.frames import BINARY, CONTINUATION, PING, TEXT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MIB = 2**20
SLOWEST = 20.0
"""Seconds that a round trip of the probe may take by the clock, on a machine that has other things to do."""

BUSIEST = 1.0
"""Seconds that the hub may work within one round trip of the probe."""

BUSIEST_WHOLE = 6.0
"""The same beside the greatest values there can be: each is decided whole, and nothing else meanwhile. That takes about
a second on an idle machine."""

LONG_PING_S = 600.0
"""Seconds between two pings, where an agent does not read for a long time, and is not to be cut off for that."""

Attack = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def beside() -> Iterator[Attack]:
    """`async with beside(hub, "what")`: a probe works meanwhile, and the hub is well afterwards."""
    started: list[LatencyProbe] = []

    @asynccontextmanager
    async def beside(hub: HubProcess, what: str, busiest: float = BUSIEST) -> AsyncIterator[None]:
        before = hub.rss()
        probe = await asyncio.to_thread(LatencyProbe, hub.ws, hub.pid)
        started.append(probe)
        yield
        await asyncio.sleep(0.3)  # so that what the attack leaves behind is seen, too
        figures = await asyncio.to_thread(probe.stop)
        grown = f"the hub grew by {(hub.rss() - before) / MIB:.0f} MiB, at most {(hub.peak() - before) / MIB:.0f}"
        print(f"\n{what}: {figures}; {grown}")
        assert figures.slowest < SLOWEST, f"{what}: {figures}"
        assert figures.busiest < busiest, f"{what}: {figures}"
        assert figures.count > 20
        assert await asyncio.to_thread(hub.alive)

    yield beside
    for probe in started:
        probe.kill()


@pytest.fixture
def fresh_hub(start_hub: StartHub) -> HubProcess:
    """A hub of one's own: its memory is measured."""
    return start_hub(bounds={"ping": LONG_PING_S})


async def still_serves(hub: HubProcess) -> None:
    """A newcomer is served."""
    wire = await Wire.connect(hub.ws)
    await wire.hello()
    assert await wire.ask("ping")
    await wire.close()


# --- lines that are none -----------------------------------------------------------------------------------------


async def test_mangled_lines_are_each_answered(hub: HubProcess, join: Join, beside: Attack) -> None:
    seed = 20240
    chance = random.Random(seed)
    samples = [
        '{"id": 7, "op": "set", "key": "k", "value": {"a": [1, 2.5, null, "text"]}, "ttl": 60}',
        '{"id": "x", "op": "subscribe", "patterns": ["a*", "[b-c]?"], "types": ["set"], "snapshot": false}',
        '{"id": 8, "op": "list", "pattern": "*", "limit": 5}',
        '{"id": 9, "op": "delete", "key": "k", "if_rev": 0}',
    ]
    wire = await join()
    async with beside(hub, f"3,000 mangled lines (seed {seed})"):
        for _ in range(3000):
            text = list(chance.choice(samples))
            for _ in range(chance.randint(1, 6)):
                place = chance.randrange(len(text))
                match chance.randrange(4):
                    case 0:
                        del text[place:]
                        text.append(" ")
                    case 1:
                        text[place] = chance.choice('{}[]",:\\\0\x7f\u2028é\U0001f41d0eE+-.')
                    case 2:
                        text[place:place] = text[place : place + chance.randint(1, 20)]
                    case _:
                        text[place : place + chance.randint(1, 5)] = []
                if not text:
                    text = ["x"]
            line = "".join(text).replace("\n", " ")
            if not line.isspace():
                reply = await wire.raw(line)
                assert reply["id"] is not None or reply["error"]["code"] == "bad_request"
        assert await wire.ask("ping")


# --- frames that are none ----------------------------------------------------------------------------------------

FRAMES: dict[str, tuple[int, list[bytes]]] = {
    "invalid UTF-8": (1007, [frame(TEXT, b'{"id":1,"op":"ping","\xff\xfe":1}')]),
    "UTF-8 cut in two": (1007, [frame(TEXT, b'"\xe2\x82')]),
    "a surrogate in UTF-8": (1007, [frame(TEXT, b'"\xed\xa0\x80"')]),
    "binary": (4400, [frame(BINARY, b'{"id":1,"op":"ping"}')]),
    "binary in fragments": (4400, [frame(BINARY, b"a", fin=False), frame(CONTINUATION, b"b")]),
    "17 MiB": (1009, [frame(TEXT, b" " * 17 * MIB)]),
    "17 MiB in fragments": (
        1009,
        [frame(TEXT, b" " * MIB, fin=False)] + [frame(CONTINUATION, b" " * MIB, fin=False)] * 16,
    ),
    "a length of 4 EiB": (1009, [frame(TEXT, b"", length=2**62)]),
    "a length beyond all": (1002, [frame(TEXT, b"", length=2**64 - 1)]),
    "unmasked": (1002, [frame(TEXT, b'{"id":1,"op":"ping"}', masked=False)]),
    "an opcode that is none": (1002, [frame(5, b"x")]),
    "a ping of 126 bytes": (1002, [frame(PING, b"x" * 126)]),
    "a ping in fragments": (1002, [frame(PING, b"x", fin=False)]),
    "a continuation of nothing": (1002, [frame(CONTINUATION, b"x")]),
    "a message within a message": (1002, [frame(TEXT, b"x", fin=False), frame(TEXT, b"y")]),
}


@pytest.mark.every_server
@pytest.mark.own_server
@pytest.mark.parametrize("what", FRAMES)
async def test_bad_frames_close_with_their_code(hub: HubProcess, what: str) -> None:
    code, frames = FRAMES[what]
    async with RawSocket(hub.port) as raw:
        await raw.upgrade()
        await raw.send(frame(TEXT, b'{"id":1,"op":"hello"}'))
        try:
            for one in frames:
                await raw.send(one)
        except ConnectionError:
            pass  # closed before it was all sent
        allowed = {1002, 1009} if what == "a length beyond all" else {code}
        assert await raw.close_code() in allowed
    await still_serves(hub)


@pytest.mark.every_server
@pytest.mark.own_server
async def test_an_agent_hears_that_its_message_was_too_big(hub: HubProcess, join: Join) -> None:
    wire = await join()
    await wire.say(" " * 17 * MIB)
    assert (await wire.closed()).code == 1009


@pytest.mark.every_server
@pytest.mark.own_server
async def test_17_mib_again_and_again(fresh_hub: HubProcess, beside: Attack) -> None:
    async with beside(fresh_hub, "20 messages of 17 MiB"):
        for _ in range(20):
            async with RawSocket(fresh_hub.port) as raw:
                await raw.upgrade()
                try:
                    await raw.send(frame(TEXT, b" " * 17 * MIB))
                except ConnectionError:
                    pass
                assert await raw.close_code() == 1009
    assert fresh_hub.peak() < 250 * MIB


@pytest.mark.every_server
@pytest.mark.own_server
async def test_empty_fragments_without_end_cost_nothing(fresh_hub: HubProcess, beside: Attack) -> None:
    before = fresh_hub.rss()
    async with beside(fresh_hub, "1,000,000 empty fragments"), RawSocket(fresh_hub.port) as raw:
        await raw.upgrade()
        await raw.send(frame(TEXT, b"", fin=False))
        for _ in range(1000):
            await raw.send(frame(CONTINUATION, b"", fin=False) * 1000)
        await raw.send(frame(CONTINUATION, b'{"id":1,"op":"ping"}'))
        assert json.loads((await raw.message())[1])["id"] == 1
        assert fresh_hub.peak() - before < 5 * MIB


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_message_of_tiny_fragments_costs_what_it_holds(fresh_hub: HubProcess, beside: Attack) -> None:
    before = fresh_hub.rss()
    text = b'{"id": 1, "op": "ping"' + b" " * MIB + b"}"
    async with beside(fresh_hub, "1 MiB in fragments of one byte"), RawSocket(fresh_hub.port) as raw:
        await raw.upgrade()
        await raw.send(frame(TEXT, b"", fin=False))
        for start in range(0, len(text), 5000):
            await raw.send(
                b"".join(frame(CONTINUATION, bytes([byte]), fin=False) for byte in text[start : start + 5000])
            )
        await raw.send(frame(CONTINUATION, b""))
        assert json.loads((await raw.message())[1])["id"] == 1
        assert fresh_hub.peak() - before < 15 * MIB


@pytest.mark.every_server
@pytest.mark.own_server
async def test_pings_whose_pongs_are_not_read_take_no_memory(fresh_hub: HubProcess, beside: Attack) -> None:
    before = fresh_hub.rss()
    async with beside(fresh_hub, "500,000 pings, pongs unread"), RawSocket(fresh_hub.port) as raw:
        await raw.upgrade()
        raw.reader._limit = 1  # type: ignore[attr-defined]  # asyncio then stops reading at once
        for _ in range(500):
            await asyncio.wait_for(raw.send(frame(PING, b"x" * 125) * 1000), 20)
        assert fresh_hub.peak() - before < 20 * MIB


# --- too deep, too many, too long ---------------------------------------------------------------------------------

NESTED: dict[str, Callable[[], str]] = {
    "100,000 deep": lambda: "[" * 100_000 + "]" * 100_000,
    "100,000 objects deep": lambda: '{"a":' * 100_000 + "1" + "}" * 100_000,
    "8 MiB deep": lambda: "[" * 4 * MIB + "]" * 4 * MIB,
    "15 MiB deep and not closed": lambda: "[" * 15 * MIB,
    "15 MiB of objects not closed": lambda: '{"a":' * 3 * MIB,
    "15 MiB of mixed brackets": lambda: "[{]}" * 3 * MIB,
    "15 MiB of quotes": lambda: '"' * 15 * MIB,
    "15 MiB of backslashes": lambda: '"' + "\\" * 15 * MIB,
    "15 MiB of digits": lambda: "9" * 15 * MIB,
    "7 million numbers": lambda: "[" + "1," * 7_000_000 + "1]",
    "4 million lists": lambda: "[" + "[]," * 4_000_000 + "[]]",
    "2 million objects": lambda: "[" + '{"":1},' * 2_000_000 + "1]",
    "7 million numbers and then an error": lambda: "[" + "1," * 7_000_000 + "x]",
    "1 million names": lambda: "{" + ",".join(f'"{n}":{n}' for n in range(1_000_000)) + "}",
}


@pytest.mark.parametrize("what", NESTED)
async def test_a_monstrous_value_does_not_delay_other_clients(
    fresh_hub: HubProcess, join: Join, beside: Attack, what: str
) -> None:
    wire = await join(fresh_hub)
    before = fresh_hub.rss()
    async with beside(fresh_hub, what, BUSIEST_WHOLE):
        for _ in range(3):
            reply = await wire.raw('{"id": 1, "op": "set", "key": "k", "value": ' + NESTED[what]() + "}")
            if "error" in reply:
                assert reply["error"]["code"] in ("bad_request", "too_large")
    assert fresh_hub.peak() - before < 1000 * MIB
    await still_serves(fresh_hub)


async def test_a_hundred_thousand_subscriptions(fresh_hub: HubProcess, join: Join, beside: Attack) -> None:
    wire = await join(fresh_hub)
    wire.remember = False
    before = fresh_hub.rss()
    refused = 0
    async with beside(fresh_hub, "100,000 subscriptions of one session"):
        for start in range(0, 100_000, 5000):
            ids = await wire.send(
                *({"op": "subscribe", "patterns": [f"p{n}*"], "ns": "*"} for n in range(start, start + 5000))
            )
            for id in ids:
                reply = await wire.reply(id)
                if "error" in reply:
                    refused += 1
                    assert reply["error"]["code"] == "limit"
                    assert reply["error"]["limit"] == 1000
    assert refused == 99_000
    assert fresh_hub.peak() - before < 40 * MIB


HOSTILE_PATTERNS = ["*a" * 100 + "*b", "*" * 255, "?*" * 127, "[a-z]*" * 42, "*[!b]" * 50 + "c", "a*" * 127 + "b"]


async def test_hostile_patterns_match_in_linear_time(fresh_hub: HubProcess, join: Join, beside: Attack) -> None:
    listener, writer = await join(fresh_hub), await join(fresh_hub)
    listener.remember = writer.remember = False
    await listener.subscribe(*HOSTILE_PATTERNS, snapshot=True)
    async with beside(fresh_hub, "2,000 keys against patterns that explode elsewhere"):
        for n in range(20):
            ids = await writer.send(*({"op": "set", "key": f"{'a' * 250}{n:02}{m:02}", "value": 1} for m in range(100)))
            for id in ids:
                await writer.ok(id)
        for pattern in HOSTILE_PATTERNS:
            page: Json = {"next": ""}
            while page["next"] is not None:
                page = await writer.ask("list", pattern=pattern, after=page["next"], limit=1000)
    assert len(await listener.settle()) == 2000


async def test_a_session_full_of_hostile_patterns(fresh_hub: HubProcess, join: Join, beside: Attack) -> None:
    wire = await join(fresh_hub)
    wire.remember = False
    async with beside(fresh_hub, "10,000 patterns of one session that match every namespace's keys almost"):
        for n in range(100):
            patterns = [f"*a*[b-c]*?{n:03}{m:03}*" for m in range(100)]
            await wire.subscribe(*patterns, ns="*")


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_batch_of_a_hundred_thousand_commands_in_one_message(
    fresh_hub: HubProcess, join: Join, beside: Attack
) -> None:
    wire = await join(fresh_hub)
    wire.remember = False
    before = fresh_hub.rss()
    async with beside(fresh_hub, "100,000 commands in one message"):
        commands: list[Json] = [{"op": "set", "key": f"k{n % 100}", "value": n} for n in range(100_000)]
        ids = await wire.send(*commands)
        for id in ids:
            await wire.ok(id)
    assert fresh_hub.peak() - before < 200 * MIB


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_hundred_thousand_small_messages(fresh_hub: HubProcess, beside: Attack) -> None:
    ping = frame(TEXT, b'{"id":1,"op":"ping"}')
    async with beside(fresh_hub, "100,000 small messages at once"), RawSocket(fresh_hub.port) as raw:
        await raw.upgrade()
        await raw.send(frame(TEXT, b'{"id":1,"op":"hello"}'))
        sending = asyncio.create_task(raw.send(ping * 100_000))
        answered = 0
        while answered < 100_000:
            answered += (await raw.message())[1].count(b'"at"')
        await sending


MANY_LINES: dict[str, Callable[[], str]] = {
    "16 MiB of newlines": lambda: "\n" * (16 * MIB - 1),
    "5 million lines that are none": lambda: "ab\n" * (5 * MIB),
    "1 million lines of brackets": lambda: "[[[[[[[\n" * MIB,
}


@pytest.mark.every_server
@pytest.mark.own_server
@pytest.mark.parametrize("what", MANY_LINES)
async def test_a_message_of_millions_of_lines(fresh_hub: HubProcess, beside: Attack, what: str) -> None:
    """Its sender reads its replies for a while, and leaves."""
    wire = await Wire.connect(fresh_hub.ws)
    await wire.hello()
    before = fresh_hub.rss()
    async with beside(fresh_hub, what):
        await wire.say(MANY_LINES[what]())
        try:
            async with asyncio.timeout(2):
                while True:
                    await wire.socket.recv()
        except TimeoutError:
            pass
        wire.cut()
    assert fresh_hub.peak() - before < 150 * MIB


# --- those that do not read --------------------------------------------------------------------------------------


async def no_reader(hub: HubProcess, *patterns: str) -> Wire:
    """An agent that subscribes, and then reads nothing until it is asked to."""
    wire = await Wire.connect(hub.ws, max_queue=1)
    wire.slow = True
    await wire.hello(ns="attack")
    await wire.subscribe(*patterns)
    return wire


async def write_many(hub: HubProcess, count: int, size: int, keys: int = 100) -> None:
    """Set keys of the namespace to values of this size, in batches whose replies are awaited."""
    writer = await Wire.connect(hub.ws)
    writer.remember = False
    await writer.hello(ns="attack", agent="writer")
    batch = max(1, min(500, MIB // size))
    for start in range(0, count, batch):
        commands: list[Json] = [
            {"op": "set", "key": f"k{n % keys}", "value": [n, "x" * size]}
            for n in range(start, min(count, start + batch))
        ]
        for id in await writer.send(*commands):
            await writer.ok(id)
    await writer.close()


async def catch_up(wire: Wire, last: int) -> list[int]:
    """Read until the value with this number; the numbers of all values told live."""
    numbers = []
    while True:
        line = await wire.event("set", "lost")
        if line["type"] == "set":
            number = line["value"][0]
            if not line.get("snapshot"):
                numbers.append(number)
            if number == last:
                return numbers


@pytest.mark.every_server
@pytest.mark.own_server
async def test_many_small_events_that_are_not_read(start_hub: StartHub, beside: Attack) -> None:
    """Within the window of the log: refilled, complete."""
    hub = start_hub(limits={"log_events": 60_000, "log_bytes": 40 * MIB}, bounds={"ping": LONG_PING_S})
    readers = [await no_reader(hub, "*", "never") for _ in range(20)]
    await write_many(hub, 2000, 100)
    before = hub.rss()
    async with beside(hub, "20 that do not read 50,000 small events"):
        await write_many(hub, 50_000, 100)
    log = 52_000 * 1000
    assert hub.peak() - before < log + 20 * 2 * MIB
    for reader in readers[:3]:
        numbers = await catch_up(reader, 49_999)
        assert numbers == [*range(2000), *range(50_000)]
        assert all(chain.losses == 0 for chain in reader.chains.values())
    for reader in readers:
        reader.cut()


@pytest.mark.every_server
@pytest.mark.own_server
async def test_huge_events_that_are_not_read(start_hub: StartHub, beside: Attack) -> None:
    """Beyond the window of the log: `lost`, and a fresh snapshot."""
    hub = start_hub(limits={"log_bytes": 20 * MIB}, bounds={"ping": LONG_PING_S})
    readers = [await no_reader(hub, "*") for _ in range(5)]
    before = hub.rss()
    async with beside(hub, "5 that do not read 40 values of 5 MiB"):
        await write_many(hub, 40, 5 * MIB, keys=2)
    assert hub.peak() - before < 20 * MIB + 5 * 25 * MIB + 100 * MIB
    for reader in readers[:2]:
        await catch_up(reader, 39)
        await reader.event("synced", "mark")
        assert all(1 <= chain.losses <= 3 for chain in reader.chains.values()), "it may be lost again before it reads"
        last = {line["key"]: line["value"][0] for chain in reader.chains.values() for line in chain.snapshot.values()}
        assert last == {"k0": 38, "k1": 39}
    for reader in readers:
        reader.cut()


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_connection_that_never_catches_up_is_closed_with_4001(start_hub: StartHub, beside: Attack) -> None:
    hub = start_hub(limits={"log_events": 20}, bounds={"ping": LONG_PING_S})
    reader = await no_reader(hub, "*")
    writing = asyncio.create_task(write_many(hub, 4000, 100_000, keys=40))
    async with beside(hub, "one that reads ten times slower than is written"):

        async def read_slowly() -> None:
            while True:
                await reader.event("lost", "set")
                await asyncio.sleep(0.01)

        with pytest.raises(Closed) as closed:
            await asyncio.wait_for(read_slowly(), 60)
        assert closed.value.code == 4001
        assert sum(line.get("type") == "lost" for line in reader.heard) == 3
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


@pytest.mark.every_server
@pytest.mark.own_server
async def test_connections_that_answer_no_pings_are_cut_and_their_sessions_end(
    start_hub: StartHub, beside: Attack
) -> None:
    """Keepalive: its pings are not answered, since they are not read."""
    hub = start_hub(limits={"grace": 0.5}, bounds={"ping": 1.0})
    readers = [await no_reader(hub, "*") for _ in range(10)]
    watcher = await Wire.connect(hub.ws)
    await watcher.hello()
    async with beside(hub, "10 that stop for good"):
        await write_many(hub, 200, 100_000)
        names = {reader.welcome["agent"] for reader in readers}
        async with asyncio.timeout(30):
            while names & {entry["key"] for entry in (await watcher.ask("list", ns="$agents", pattern="*"))["entries"]}:
                await asyncio.sleep(0.2)
    await watcher.close()
    for reader in readers:
        reader.cut()


@pytest.mark.every_server
@pytest.mark.own_server
async def test_pipelined_gets_of_a_large_value_whose_replies_are_not_read(
    fresh_hub: HubProcess, beside: Attack
) -> None:
    wire = await Wire.connect(fresh_hub.ws, max_queue=1)
    wire.remember = False
    await wire.hello()
    await wire.ask("set", key="large", value="x" * MIB)
    before = fresh_hub.rss()
    async with beside(fresh_hub, "500 pipelined gets of 1 MiB, replies unread"):
        sending = asyncio.gather(*(wire.send({"op": "get", "key": "large"}) for _ in range(500)))
        await asyncio.sleep(2)
        assert fresh_hub.peak() - before < 40 * MIB
        for (id,) in await sending:
            entry = (await wire.ok(id))["entry"]
            assert len(entry["value"]) == MIB
    assert fresh_hub.peak() - before < 60 * MIB
    await wire.close()


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_batch_of_gets_of_a_large_value_in_one_message(fresh_hub: HubProcess, beside: Attack) -> None:
    """1,000 replies of 5 MiB for 50 kB of commands."""
    wire = await Wire.connect(fresh_hub.ws, max_queue=1)
    await wire.hello()
    await wire.ask("set", key="large", value="x" * 5 * MIB)
    before = fresh_hub.rss()
    async with beside(fresh_hub, "1,000 gets of 5 MiB in one message, replies unread"):
        await wire.send(*({"op": "get", "key": "large"} for _ in range(1000)))
        await asyncio.sleep(2)
        wire.cut()
    assert fresh_hub.peak() - before < 100 * MIB


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_connection_that_closes_with_unread_replies_leaves_no_session(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 0.2})
    watcher = await Wire.connect(hub.ws)
    await watcher.hello()
    wire = await Wire.connect(hub.ws, max_queue=1)
    await wire.hello(agent="leaver")
    await wire.ask("set", key="large", value="x" * MIB)
    await wire.send(*({"op": "get", "key": "large"} for _ in range(100)))
    await asyncio.sleep(0.5)
    wire.cut()
    async with asyncio.timeout(20):
        while (await watcher.ask("list", ns="$agents", pattern="leaver"))["entries"]:
            await asyncio.sleep(0.1)
    await watcher.close()


# --- those that hardly speak -------------------------------------------------------------------------------------


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_byte_at_a_time(hub: HubProcess, beside: Attack) -> None:
    async def dribble(text: bytes, handshake: bool) -> None:
        async with RawSocket(hub.port) as raw:
            if handshake:
                for byte in raw.request:
                    await raw.send(bytes([byte]))
                    await asyncio.sleep(0.01)
                await asyncio.wait_for(raw.reader.readuntil(b"\r\n\r\n"), 20)
            else:
                await raw.upgrade()
            for byte in frame(TEXT, text):
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.02)
            assert json.loads((await raw.message())[1])["id"] == 1

    async with beside(hub, "50 that send a byte at a time"):
        await asyncio.gather(*(dribble(b'{"id":1,"op":"hello","ns":"attack"}', n % 2 == 0) for n in range(50)))


async def test_a_byte_a_second(hub: HubProcess, beside: Attack) -> None:
    async with beside(hub, "a byte a second"), RawSocket(hub.port) as raw:
        await raw.upgrade()
        for byte in frame(TEXT, b"{}")[:-1]:
            await raw.send(bytes([byte]))
            await asyncio.sleep(1)
        await raw.send(b"}")
        assert json.loads((await raw.message())[1])["error"]["code"] == "bad_request"


@pytest.mark.every_server
@pytest.mark.own_server
async def test_half_open_connections(start_hub: StartHub, beside: Attack) -> None:
    hub = start_hub(bounds={"ping": 1.0})
    before = hub.rss()
    raws = [RawSocket(hub.port) for _ in range(400)]
    async with beside(hub, "400 half-open connections"):
        for n, raw in enumerate(raws):
            await raw.__aenter__()
            match n % 5:
                case 0:
                    pass  # nothing at all
                case 1:
                    await raw.send(raw.request[: n % 100])
                case 2:
                    await raw.upgrade()
                    await raw.send(frame(TEXT, b'{"id":1,"op":"hello"}')[: n % 20])
                case 3:
                    await raw.upgrade()
                    await raw.send(frame(TEXT, b"x", fin=False))
                    raw.writer.write_eof()
                case _:
                    await raw.upgrade()
                    await raw.send(frame(TEXT, b'{"id":1,"op":"hello"}'))
        reads = [asyncio.create_task(raw.reader.read()) for raw in raws]
        async with asyncio.timeout(30):
            # Those that shook hands and do not answer pings are cut; the others have not sent a whole request yet.
            while sum(not read.done() for read in reads) > 160:
                await asyncio.sleep(0.1)
        await still_serves(hub)
    for raw in raws:
        raw.cut()
    await asyncio.gather(*reads, return_exceptions=True)
    assert hub.peak() - before < 40 * MIB


@pytest.mark.every_server
@pytest.mark.own_server
async def test_a_thousand_connections_that_never_say_hello(fresh_hub: HubProcess, beside: Attack) -> None:
    before = fresh_hub.rss()
    wires: list[Wire] = []
    async with beside(fresh_hub, "1,000 connections that never say hello"):
        for _ in range(50):
            wires += await asyncio.gather(*(Wire.connect(fresh_hub.ws) for _ in range(20)))
        each = (fresh_hub.rss() - before) / 1000
        print(f"\n{each / 1024:.0f} KiB each")
        await still_serves(fresh_hub)
        assert each < 150 * 1024
        for wire in wires:
            wire.cut()
    await still_serves(fresh_hub)


@pytest.mark.every_server
@pytest.mark.own_server
async def test_connections_that_say_nothing_are_closed_and_others_are_not(start_hub: StartHub) -> None:
    hub = start_hub(bounds={"silence": 2.0})
    silent, half, refused = RawSocket(hub.port), RawSocket(hub.port), RawSocket(hub.port)
    wire = await Wire.connect(hub.ws)
    await wire.hello()
    async with silent, half, refused:
        for raw in (silent, half, refused):
            await raw.upgrade()
        await half.send(frame(TEXT, b'{"id":1,"op":"hello"}')[:10])
        await refused.send(frame(TEXT, b'{"id":1,"op":"hello","agent":""}'))
        assert (await refused.message())[0] == TEXT
        assert [await silent.close_code(), await half.close_code()] == [4001, 4001]
        await refused.send(frame(TEXT, b'{"id":2,"op":"hello"}'))
        assert b'"ok"' in (await refused.message())[1]
        assert await wire.ask("ping")
    await wire.close()


@pytest.mark.every_server
@pytest.mark.own_server
async def test_connections_that_come_and_go(fresh_hub: HubProcess, beside: Attack) -> None:
    """Sessions that are opened and never closed are bounded in number, and told so."""

    async def come_and_go() -> None:
        for _ in range(30):
            wire = await Wire.connect(fresh_hub.ws)
            await wire.hello(ns="attack")
            await wire.subscribe("*", snapshot=True)
            await wire.send({"op": "set", "key": "k", "value": 1, "ephemeral": True})
            wire.cut()

    async with beside(fresh_hub, "600 sessions that are cut off"):
        await asyncio.gather(*(come_and_go() for _ in range(20)))

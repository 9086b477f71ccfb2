"""A connection of the client has the outcomes of `websockets`' own, however bytes are cut, and no task or turn of the
loop for a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidMessage, InvalidStatus

from tests.frames import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, frame
from tests.unit.client.socketless import MOST, Outcome, RecordingListener, Socketless, unmasked
from waggle.transport import connection
from waggle.transport.connection import Connection, text_frame


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_MESSAGE_BYTES", MOST)


def text(payload: bytes) -> bytes:
    return frame(FIN | TEXT, payload)


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(FIN | CLOSE, code.to_bytes(2, "big") + reason)


CORPUS: dict[str, list[bytes]] = {
    "nothing": [],
    "one message": [text(b'{"id":1}')],
    "one that is empty": [text(b"")],
    "several": [text(b"a"), text(b"b" * 125), text(b"c" * 126), text(b"d" * MOST)],
    "binary": [text(b"a"), frame(FIN | BINARY, b"abc"), text(b"b")],
    "a length longer than it need be": [b"\x81\x7e\x00\x01a", b"\x81\x7f" + bytes(7) + b"\x01b"],
    "fragments": [frame(TEXT, b"a"), frame(CONTINUATION, b"b"), frame(FIN | CONTINUATION, b"c"), text(b"d")],
    "fragments that hold nothing": [frame(TEXT), frame(CONTINUATION), frame(FIN | CONTINUATION, b"c"), text(b"d")],
    "fragments of nothing": [frame(TEXT), frame(FIN | CONTINUATION), text(b"d")],
    "a ping among fragments": [frame(TEXT, b"a"), frame(FIN | PING, b"p"), frame(FIN | CONTINUATION, b"b")],
    "fragments without an end": [text(b"a"), frame(TEXT, b"b")],
    "half a frame": [text(b"a"), text(b"bcd")[:-1]],
    "half a head": [text(b"a"), b"\x81\x7e\x00"],
    "pings and pongs": [frame(FIN | PING), frame(FIN | PING, b"x" * 125), frame(FIN | PONG, b"y"), text(b"a")],
    "too big": [text(b"a"), text(b"b" * (MOST + 1)), text(b"c")],
    "far too big": [text(b"a"), frame(FIN | TEXT, size=2**62), text(b"c")],
    "too big beyond measure": [frame(FIN | TEXT, size=2**64 - 1)],
    "too big by a fragment": [frame(TEXT, b"a" * MOST), frame(CONTINUATION, b"b"), text(b"c")],
    "just not too big by a fragment": [frame(TEXT, b"a" * (MOST - 1)), frame(FIN | CONTINUATION, b"b"), text(b"c")],
    "masked": [text(b"a"), frame(FIN | TEXT, b"b", mask=b"abcd"), text(b"c")],
    "masked and long": [text(b"a"), frame(FIN | TEXT, b"b" * 200, mask=b"abcd"), text(b"c")],
    "a reserved bit": [text(b"a"), frame(FIN | 0x40 | TEXT, b"b"), text(b"c")],
    "another reserved bit": [frame(FIN | 0x10 | PING, b"b"), text(b"c")],
    "an opcode that is none": [frame(FIN | 3, b"b"), text(b"c")],
    "a ping too long": [frame(FIN | PING, b"x" * 126), text(b"c")],
    "a ping in fragments": [frame(PING, b"x"), text(b"c")],
    "a continuation of nothing": [frame(FIN | CONTINUATION, b"x"), text(b"c")],
    "a message within a message": [frame(TEXT, b"a"), text(b"b"), text(b"c")],
    "a close within a message": [frame(TEXT, b"a"), close(1000), text(b"c")],
    "closed": [text(b"a"), close(1000, b"well"), text(b"b"), frame(FIN | PING, b"p")],
    "closed without a code": [frame(FIN | CLOSE)],
    "closed with a code of its own": [close(4000, "za 5 sekund żegnaj".encode())],
    "closed with half a code": [frame(FIN | CLOSE, b"\x03"), text(b"a")],
    "closed with a code that is none": [close(999)],
    "closed with a reason that is no UTF-8": [close(1000, b"\xff")],
    "closed twice": [close(4002), close(1000)],
}

CUTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "frame by frame": lambda frames: frames,
    "in one piece": lambda frames: [b"".join(frames)],
    "byte by byte": lambda frames: [bytes([byte]) for byte in b"".join(frames)],
    "a byte late": lambda frames: [b"".join(frames)[:1], b"".join(frames)[1:]],
}


async def played(kind: type[ClientConnection], chunks: list[bytes]) -> Outcome:
    wire = Socketless(kind)
    await wire.shaken()
    wire.feed(*chunks)
    return await wire.outcome()


# --- what arrives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("what", CORPUS)
async def test_the_outcome_is_that_of_websockets_own(what: str, cut: str) -> None:
    wanted = await played(ClientConnection, CORPUS[what])
    assert await played(Connection, CUTS[cut](CORPUS[what])) == wanted


@pytest.mark.parametrize("what", ["several", "fragments", "closed", "masked and long", "too big"])
async def test_messages_are_the_same_wherever_the_bytes_are_cut(what: str) -> None:
    data = b"".join(CORPUS[what])
    wanted = await played(ClientConnection, CORPUS[what])
    for place in range(len(data)):
        assert await played(Connection, [data[:place], data[place:]]) == wanted


FRAMES = st.builds(
    frame,
    st.one_of(st.sampled_from([TEXT, FIN | TEXT, CONTINUATION, FIN | CONTINUATION, FIN | PING]), st.integers(0, 255)),
    st.binary(max_size=200),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 400), max_size=5))
def test_random_frames_cut_anywhere_have_the_outcome_of_websockets_own(frames: list[bytes], places: list[int]) -> None:
    data = b"".join(frames)
    cuts = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    chunks = [data[start:end] for start, end in pairwise(cuts)]
    wanted = asyncio.run(played(ClientConnection, frames))
    assert asyncio.run(played(Connection, chunks)) == wanted


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 50, 1000])
async def test_frames_may_come_along_with_the_answer_to_the_handshake(size: int) -> None:
    wire = Socketless()
    data = await wire.head() + text(b"early") + frame(FIN | PING, b"p") + text(b"bird")
    wire.feed(*(data[start : start + size] for start in range(0, len(data), size)))
    await wire.shaking
    assert (await wire.outcome()).messages == [b"early", b"bird"]
    assert unmasked(b"".join(wire.transport.writes)) == [(FIN | PONG, b"p")]


async def test_a_refusal_is_heard_with_its_body() -> None:
    wire = Socketless()
    await wire.head()
    body = b"no\r\n\r\n" * 5000
    wire.feed(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with pytest.raises(InvalidStatus) as refused:
        await wire.shaking
    assert (refused.value.response.status_code, refused.value.response.body) == (403, body)


async def test_a_wrong_answer_to_the_handshake_fails_at_once() -> None:
    wire = Socketless()
    await wire.head()
    wire.feed(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    wire.connection.connection_lost(None)
    with pytest.raises(InvalidMessage):
        await wire.shaking


async def test_what_one_read_completes_is_told_at_once() -> None:
    wire, listener = Socketless(), RecordingListener()
    await wire.shaken()
    assert isinstance(wire.connection, Connection)
    wire.connection.open(listener)
    data = b"".join([text(b"a"), text(b"b"), text(b"c")])
    wire.feed(data[:-1])
    assert listener.reads == [[b"a", b"b"]]
    wire.feed(data[-1:])
    assert listener.reads == [[b"a", b"b"], [b"c"]]
    wire.lose()
    assert listener.gone == 1


async def test_a_hub_that_says_goodbye_and_stays_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 0.0)
    wire = Socketless()
    await wire.shaken()
    wire.feed(close(1000))
    assert not wire.transport.aborted
    async with asyncio.timeout(5):
        while not wire.transport.aborted:
            await asyncio.sleep(0)
    wire.lose()


async def test_a_hub_that_answers_pings_lives_and_one_that_does_not_is_dead() -> None:
    wire = Socketless(ping=0.01)
    await wire.shaken()
    wire.connection.start_keepalive()
    for _ in range(3):
        wire.transport.writes.clear()
        async with asyncio.timeout(5):
            while not wire.transport.writes:
                await asyncio.sleep(0)
        ((first, payload),) = unmasked(b"".join(wire.transport.writes))
        assert (first, wire.transport.aborted) == (FIN | PING, False)
        wire.feed(text(b"a") + frame(FIN | PONG, payload))
    async with asyncio.timeout(5):
        while not wire.transport.aborted:
            await asyncio.sleep(0)
    wire.lose()
    assert wire.connection.close_code == 1006


async def test_a_listener_of_a_closed_connection_is_told_at_once() -> None:
    wire, listener = Socketless(), RecordingListener()
    await wire.shaken()
    wire.feed(text(b"a"))
    wire.lose()
    assert isinstance(wire.connection, Connection)
    wire.connection.open(listener)
    assert (listener.reads, listener.gone) == ([[b"a"]], 1)


# --- what is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_a_frame_holds_its_message_masked(size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert unmasked(text_frame(message, b"\x01\x80\xff\x00")) == [(FIN | TEXT, message)]


async def test_masks_differ_and_a_message_is_one_write() -> None:
    wire = Socketless()
    await wire.shaken()
    assert isinstance(wire.connection, Connection)
    for _ in range(2):
        wire.connection.write(b"the same")
    first, second = wire.transport.writes
    assert first != second
    assert unmasked(first) == unmasked(second) == [(FIN | TEXT, b"the same")]
    wire.lose()


async def test_nothing_is_sent_after_the_end() -> None:
    wire = Socketless()
    await wire.shaken()
    assert isinstance(wire.connection, Connection)
    wire.feed(close(1000))
    wire.transport.writes.clear()
    wire.connection.write(b"too late")
    wire.lose()
    wire.connection.write(b"much too late")
    assert wire.transport.writes == []


async def test_the_connection_tells_when_the_socket_is_full_and_when_it_has_room() -> None:
    wire, listener = Socketless(), RecordingListener()
    await wire.shaken()
    assert isinstance(wire.connection, Connection)
    wire.connection.open(listener)
    wire.connection.pause_writing()
    assert wire.connection.full
    wire.connection.resume_writing()
    assert (wire.connection.full, listener.rooms) == (False, 1)
    wire.lose()

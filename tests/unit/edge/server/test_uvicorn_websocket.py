"""The hub's WebSocket protocol has the outcomes of uvicorn's own, with the lane and without, however bytes are cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tests.frames import FIN, PING, frame, masked
from tests.unit.edge.corpus import CORPUS, close, text
from tests.unit.edge.socketless import Application, Outcome, Socketless, turns
from waggle_hub.delivery.frame import Payload
from waggle_hub.edge.server.uvicorn_fast_path import FastPathProtocol
from waggle_hub.edge.server.uvicorn_websocket import Protocol

OURS = {"plain": (Protocol, False), "lane": (FastPathProtocol, False), "busy lane": (FastPathProtocol, True)}


async def _play(
    chunks: list[bytes], kind: type[WebSocketsSansIOProtocol], busy: bool = False
) -> tuple[list[str], Outcome]:
    """What reached the application, and what the agent was told."""
    application = Application(busy)
    connection = Socketless(kind, application)
    await connection.feed(*chunks)
    heard: list[str] | None = None
    while heard != application.heard:
        heard = list(application.heard)
        await turns()
    outcome = connection.outcome()
    await connection.lose()
    assert application.gone == 1
    assert application.heard == heard
    return heard, outcome


def reference(frames: list[bytes]) -> tuple[list[str], Outcome]:
    """What uvicorn makes of it; a frame at a time, since it forgets what came in one piece with a fault."""
    return asyncio.run(_play(frames, WebSocketsSansIOProtocol))


CUTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "frame by frame": lambda frames: frames,
    "in one piece": lambda frames: [b"".join(frames)],
    "byte by byte": lambda frames: [bytes([byte]) for byte in b"".join(frames)],
    "a byte late": lambda frames: [b"".join(frames)[:1], b"".join(frames)[1:]],
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("what", CORPUS)
async def test_the_outcome_is_that_of_uvicorns_own(what: str, ours: str, cut: str) -> None:
    frames = CORPUS[what]
    wanted = await _play(frames, WebSocketsSansIOProtocol)
    kind, busy = OURS[ours]
    assert await _play(CUTS[cut](frames), kind, busy) == wanted


@pytest.mark.parametrize("ours", OURS)
async def test_the_outcome_is_the_same_when_every_frame_takes_a_turn(
    ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waggle_hub.edge.server.uvicorn_websocket._PARSE_SLICE_S", -1.0)
    kind, busy = OURS[ours]
    for frames in CORPUS.values():
        assert await _play([b"".join(frames)], kind, busy) == await _play(frames, WebSocketsSansIOProtocol)


FRAMES = st.one_of(
    st.sampled_from([one for frames in CORPUS.values() for one in frames]),
    st.builds(text, st.text(max_size=200).map(str.encode)),
    st.builds(
        frame,
        st.integers(0, 255),
        st.binary(max_size=130),
        mask=st.just(b"") | st.binary(min_size=4, max_size=4),
    ),
)


@settings(deadline=None)
@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 3000), max_size=10), st.sampled_from(list(OURS)))
def test_any_frames_cut_anywhere_have_the_outcome_of_uvicorns_own(
    frames: list[bytes], cuts: list[int], ours: str
) -> None:
    whole = b"".join(frames)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    chunks = [whole[start:end] for start, end in pairwise(places)]
    kind, busy = OURS[ours]
    assert asyncio.run(_play(chunks, kind, busy)) == reference(frames)


# --- what is the lane's own --------------------------------------------------------------------------------------


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
async def lane(application: Application) -> AsyncIterator[Socketless]:
    """A connection whose application has taken the lane."""
    connection = Socketless(FastPathProtocol, application)
    await turns()
    yield connection
    await connection.lose()


async def test_a_message_is_heard_before_the_call_that_brings_it_returns(
    lane: Socketless, application: Application
) -> None:
    lane.protocol.data_received(text(b"a") + text(b"b"))
    assert application.heard == ["a", "b"]
    assert lane.transport.pauses == 0, "nothing waits, so nothing is paused"


async def test_the_connection_lives_on_without_a_task(lane: Socketless, application: Application) -> None:
    assert not lane.protocol.tasks
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await lane.feed(text(b"a"))
    assert application.heard == ["a"]
    assert not lane.transport.ended


async def test_messages_before_the_fast_path_are_read_first(application: Application) -> None:
    lane = Socketless(FastPathProtocol, application)
    lane.protocol.data_received(text(b"a"))
    assert application.heard == []
    await lane.feed(text(b"b"))
    assert application.heard == ["a", "b"]
    await lane.lose()


async def test_while_the_listener_is_busy_one_message_waits_and_nothing_is_read() -> None:
    application = Application(busy=True)
    lane = Socketless(FastPathProtocol, application)
    await turns()
    lane.protocol.data_received(text(b"a") + text(b"b") + masked(FIN | PING, b"p") + text(b"c"))
    assert application.heard == ["a"]
    assert not lane.transport.reading
    await turns(20)
    assert application.heard == ["a", "b", "c"]
    assert lane.outcome().pongs == [b"p"]
    assert lane.transport.reading
    await lane.lose()


async def test_a_ping_is_answered_while_the_listener_is_busy() -> None:
    """Who takes long is not cut off by the keepalive."""
    lane = Socketless(FastPathProtocol, Application(busy=True))
    await turns()
    lane.protocol.data_received(text(b"a") + masked(FIN | PING, b"p"))
    assert lane.outcome().pongs == [b"p"]
    await lane.lose()


async def test_frames_go_out_as_they_are(lane: Socketless, application: Application) -> None:
    assert application.lane is not None
    before = len(lane.transport.writes)
    ready_made = Payload(b"lines").frame
    application.lane.write(ready_made)
    assert lane.transport.writes[before:] == [ready_made]


async def test_the_listener_is_told_how_the_socket_keeps_up(lane: Socketless, application: Application) -> None:
    lane.protocol.pause_writing()
    lane.protocol.resume_writing()
    assert application.pauses == [True, False]


async def test_who_waits_for_a_socket_that_is_lost_is_told_that_it_need_not(
    lane: Socketless, application: Application
) -> None:
    lane.protocol.pause_writing()
    await lane.lose()
    assert application.pauses == [True, False]
    assert application.gone == 1


async def test_after_the_end_nothing_is_written(lane: Socketless, application: Application) -> None:
    assert application.lane is not None
    await lane.feed(close(1000))
    before = list(lane.transport.writes)
    application.lane.write(Payload(b"late").frame)
    application.lane.close(1000, "")
    assert lane.transport.writes == before
    assert application.gone == 1


async def test_a_reason_too_long_for_a_close_frame_is_cut_between_letters(
    lane: Socketless, application: Application
) -> None:
    assert application.lane is not None
    application.lane.close(4001, "ż" * 100)
    assert lane.outcome().closed == [(4001).to_bytes(2, "big") + "ż".encode() * 61]


async def test_a_server_that_shuts_down_ends_the_connection(lane: Socketless, application: Application) -> None:
    lane.protocol.shutdown()
    assert lane.outcome().closed == [(1012).to_bytes(2, "big")]
    assert application.gone == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_an_application_that_does_not_answer_the_handshake_is_no_protocol(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if fails:
            raise ValueError("a fault")

    connection = Socketless(FastPathProtocol, application)
    await turns()
    assert connection.transport.writes[0].startswith(b"HTTP/1.1 500")
    assert connection.transport.ended
    assert ("a fault" in caplog.text) == fails
    await connection.lose()

"""A text and its frame: what any WebSocket client reads, made once."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from waggle_hub.delivery.frame import Payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
def test_the_frame_is_that_of_a_whole_text_message(size: int) -> None:
    data = b"x" * size
    assert Payload(data).frame == Frame(Opcode.TEXT, data).serialize(mask=False)


def test_a_frame_is_made_once() -> None:
    text = Payload(b"line")
    assert text.frame is text.frame


def test_a_text_is_as_long_as_its_bytes() -> None:
    assert len(Payload("żółw".encode())) == 7
    assert str(Payload("żółw".encode())) == "żółw"

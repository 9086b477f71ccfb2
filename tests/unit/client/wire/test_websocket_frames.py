"""Heads of frames, beside those of the library websockets."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from waggle.wire.websocket_frames import MASKED, head, read_long_size

LONG = [126, 127, 128, 65_535, 65_536, 70_000]


@pytest.mark.parametrize("size", [0, 1, 125, *LONG])
def test_a_head_is_that_of_the_library(size: int) -> None:
    assert head(size) == Frame(Opcode.TEXT, bytes(size)).serialize(mask=False)[: -size or None]
    masked = Frame(Opcode.TEXT, bytes(size)).serialize(mask=True)
    assert head(size, MASKED) == masked[: len(masked) - size - 4]


@pytest.mark.parametrize("size", LONG)
@pytest.mark.parametrize("masked", [0, MASKED])
def test_a_long_size_is_read_once_its_head_is_whole(size: int, masked: int) -> None:
    start = 3
    whole = bytearray(start) + head(size, masked)
    assert read_long_size(whole, start) == (len(whole), size)
    for length in range(start + 2, len(whole)):
        assert read_long_size(whole[:length], start) == (len(whole), 0)

"""Decoded values: so that a value is decoded once, however many conditions compare something with it."""

from __future__ import annotations

from typing import Any

from waggle.wire.json import decode

_MAX_BYTES = 4 * 1024 * 1024
"""The texts whose decoded values are kept. A decoded value of small parts takes ten times as much memory."""
_OVERHEAD_BYTES = 1_000
"""What each value counts beside its text: so at most some 4,000 are kept."""


class DecodedValues:
    """The decoded values that were used last, by their text. The newest is kept even if it is above the bound.

    The result is the same with and without it: nothing may change a value that it returns.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._values: dict[bytes, Any] = {}

    def __contains__(self, text: bytes) -> bool:
        return text in self._values

    def get(self, text: bytes) -> Any:
        """Return the value of a JSON text."""
        if text in self._values:
            value = self._values[text] = self._values.pop(text)  # now it is the one used last
            return value
        value = self._values[text] = decode(text)
        self._bytes += len(text) + _OVERHEAD_BYTES
        while self._bytes > self._max_bytes and len(self._values) > 1:
            oldest = next(iter(self._values))
            del self._values[oldest]
            self._bytes -= len(oldest) + _OVERHEAD_BYTES
        return value

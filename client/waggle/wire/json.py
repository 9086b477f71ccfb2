"""JSON as the wire has it: one encoder and one decoder, with the default options, for all modules of client and hub.

A module that decodes to a type has a decoder of its own. Both functions are safe from any thread.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["decode", "encode"]

encode: Final = msgspec.json.Encoder().encode
"""Return an object as JSON in UTF-8: a msgspec Struct, or plain data."""
decode: Final = msgspec.json.Decoder(Any).decode
"""Return the plain data that a JSON text holds. Raises `msgspec.DecodeError`."""

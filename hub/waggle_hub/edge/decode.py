"""Decoding of lines to commands, and errors that name what to correct (protocol 2).

msgspec checks shape and types in one pass. If that fails, the line is read again, leniently, for its id alone, so
that the error can be matched to its command. A line that is nested too deeply is flattened first.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest

_decoder: msgspec.json.Decoder[m.AnyCommand] = msgspec.json.Decoder(m.AnyCommand)
_MAX_ID = 64
_MAX_TOKENS = 100_000
"""Brackets and strings that are looked at for the id of a line that is nested too deeply: about 30 ms."""


_FIELD_IN_ERROR = re.compile(r"`\$\.(\w+)|field `(\w+)`")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class BadLine(Exception):
    """The error of a line that is not a command, and the id of the line if it has a usable one."""

    def __init__(self, id: m.Id | None, error: BadRequest) -> None:
        super().__init__(error.message)
        self.id = id
        self.error = error


def decode(line: str) -> m.AnyCommand:
    """Return the command of a line. Raises BadLine."""
    try:
        command = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _explain(line, error) from None
    if not _usable(command.id):
        raise BadLine(None, BadRequest("id is an integer below 2^63 or a string of up to 64 characters", field="id"))
    return command


def _explain(line: str, error: Exception) -> BadLine:
    if isinstance(error, RecursionError):
        id = _id_of(_read_leniently(_flatten(line)))
        return BadLine(id, BadRequest("the line is nested too deeply: flatten it, or store it as text"))
    match = _FIELD_IN_ERROR.search(str(error))
    fields = _read_leniently(line)
    id = _id_of(fields)
    if match is None:
        field = _lone_surrogate_in(fields)
        if field is None:
            return BadLine(id, BadRequest(f"the line is not a JSON object of the wire: {error}"))
        return BadLine(id, BadRequest(f"{field} holds a lone surrogate: send valid Unicode", field=field))
    field = match[1] or match[2]
    if field == "op" and "Invalid value" in str(error):
        return BadLine(id, BadRequest(f"unknown op; this hub knows {', '.join(sorted(m.OPS))}", field="op"))
    return BadLine(id, BadRequest(str(error), field=field))


def _read_leniently(line: str) -> dict[str, Any]:
    """Return the fields of a line that is almost JSON. Only the id among them is used."""
    try:
        fields = json.loads(line, parse_int=_read_int)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _read_int(digits: str) -> int | None:
    """Return the integer, or None beyond 20 digits: Python refuses thousands of digits, and an id has at most 19."""
    return int(digits) if len(digits) <= 20 else None


def _id_of(fields: dict[str, Any]) -> m.Id | None:
    id = fields.get("id")
    return id if isinstance(id, int | str) and not isinstance(id, bool) and _usable(id) else None


def _lone_surrogate_in(fields: dict[str, Any]) -> str | None:
    for name, value in fields.items():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return name.encode(errors="replace").decode()
    return None


def _usable(id: m.Id) -> bool:
    if isinstance(id, str):
        return len(id) <= _MAX_ID and not any("\ud800" <= character <= "\udfff" for character in id)
    return -(2**63) <= id < 2**63


def _flatten(line: str) -> str:
    """Return the line with null in place of everything nested in it, ended where there are too many brackets to
    follow."""
    parts: list[str] = []
    depth = 0
    end = 0
    for number, token in enumerate(_TOKEN.finditer(line)):
        if number == _MAX_TOKENS:
            return "".join(parts) + "}"
        text = token[0]
        if text in "[{":
            if depth == 1:
                parts.append(line[end : token.start()] + "null")
            depth += 1
        elif text in "]}":
            depth -= 1
            if depth == 1:
                end = token.end()
    parts.append(line[end:])
    return "".join(parts)

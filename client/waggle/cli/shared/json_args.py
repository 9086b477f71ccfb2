"""JSON that a person types or pipes in: what it means, and a hint where it is not what it should be."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import typer

__all__ = ["json_or_string", "read_json", "read_value"]


def read_value(said: str, text: bool, name: str = "VALUE") -> Any:
    """What an argument means that is JSON, or text with --text; ``-`` reads it from standard input.

    Raises typer.BadParameter if it is neither.
    """
    if text:
        return _text(said, name)
    try:
        return read_json(said, name)
    except typer.BadParameter as fault:
        hint = f"""--text {said}, or as JSON '"{said}"'""" if len(said) < 40 and said.isalnum() else "--text"
        raise typer.BadParameter(f"{fault.message} If it is meant to be text: {hint}.") from None


def read_json(said: str, name: str) -> Any:
    """What an argument or option means that is JSON; ``-`` reads it from standard input. Raises BadParameter."""
    try:
        return msgspec.json.decode(_content(said))
    except UnicodeError:
        raise typer.BadParameter(f"{name} is not valid UTF-8.") from None
    except (msgspec.MsgspecError, RecursionError) as fault:
        raise typer.BadParameter(f"{name} is not JSON ({fault}).") from None


def json_or_string(said: str) -> Any:
    """What an argument means that is JSON where it can be, and else text."""
    try:
        return msgspec.json.decode(said)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return said


def _text(said: str, name: str) -> str:
    try:
        text = _content(said).decode()
    except UnicodeError:
        raise typer.BadParameter(f"{name} is not valid UTF-8.") from None
    return text.removesuffix("\n") if said == "-" else text


def _content(said: str) -> bytes:
    return sys.stdin.buffer.read() if said == "-" else said.encode()

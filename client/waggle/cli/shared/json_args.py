"""JSON that a person types or pipes in: what it means, and a hint where it is not what it should be."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import typer

__all__ = ["json_or_string", "read_json", "read_value"]


def read_value(argument: str, text: bool, name: str = "VALUE") -> Any:
    """What an argument means that is JSON, or text with --text; ``-`` reads it from standard input.

    Raises typer.BadParameter if it is neither.
    """
    if text:
        return _text(argument, name)
    try:
        return read_json(argument, name)
    except typer.BadParameter as error:
        hint = (
            f"""--text {argument}, or as JSON '"{argument}"'"""
            if len(argument) < 40 and argument.isalnum()
            else "--text"
        )
        raise typer.BadParameter(f"{error.message} If it is meant to be text: {hint}.") from None


def read_json(argument: str, name: str) -> Any:
    """What an argument or option means that is JSON; ``-`` reads it from standard input. Raises BadParameter."""
    try:
        return msgspec.json.decode(_content(argument))
    except UnicodeError:
        raise typer.BadParameter(f"{name} is not valid UTF-8.") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise typer.BadParameter(f"{name} is not JSON ({error}).") from None


def json_or_string(argument: str) -> Any:
    """What an argument means that is JSON where it can be, and else text."""
    try:
        return msgspec.json.decode(argument)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return argument


def _text(argument: str, name: str) -> str:
    try:
        text = _content(argument).decode()
    except UnicodeError:
        raise typer.BadParameter(f"{name} is not valid UTF-8.") from None
    return text.removesuffix("\n") if argument == "-" else text


def _content(argument: str) -> bytes:
    return sys.stdin.buffer.read() if argument == "-" else argument.encode()

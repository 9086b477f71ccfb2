"""JSON arguments: from the command line or standard input, with a hint in the error where text was meant."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import typer

__all__ = ["json_or_string", "read_json", "read_value"]


def read_value(argument: str, text: bool, name: str = "VALUE") -> Any:
    """Return the value of a JSON argument, or of a text argument with --text; ``-`` reads standard input.

    Raises typer.BadParameter, with a hint, if the argument is not valid.
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
    """Return the value of a JSON argument; ``-`` reads standard input. Raises typer.BadParameter if it is no JSON."""
    try:
        return msgspec.json.decode(_content(argument))
    except UnicodeError:
        raise typer.BadParameter(f"{name} is not valid UTF-8.") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise typer.BadParameter(f"{name} is not JSON ({error}).") from None


def json_or_string(argument: str) -> Any:
    """Return the value of an argument: parsed if it is JSON, else the text itself."""
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

"""docs/client.md documents every method with its signature, every exported name and every error."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

import waggle
from tests.unit.client.blocking.test_twins import public
from waggle.api.mirror import MirrorView
from waggle.wire import errors

REFERENCE = (Path(__file__).resolve().parents[3] / "docs" / "client.md").read_text()
SPELT_OUT = {
    "Entries": "list[Entry]",
    "TypedEntries[T]": "list[TypedEntry[T]]",
    "Counts": "list[NamespaceCount]",
    "HeldLockList": "list[HeldLock]",
    "Hits": "list[Hit]",
    "Entry | Entries | None": "Entry | list[Entry] | None",
}
NAMES = [
    ("hub", waggle.Hub),
    ("watcher", waggle.Watcher),
    ("mirror", waggle.Mirror),
    ("mirror", MirrorView),
    ("view", waggle.View),
    ("lock", waggle.Lock),
    ("job", waggle.Job),
    ("election", waggle.Election),
    ("leaders", waggle.Leaders),
    ("inbox", waggle.Inbox),
    ("message", waggle.Message),
]


def default(value: Any) -> str:
    """How a default is written: the constants that mean "not given", or are long, as ``...``."""
    if value is UNSET or (isinstance(value, tuple) and value):
        return "..."
    return f'"{value}"' if isinstance(value, str) else repr(value)


def signature(called: str, function: Any) -> str:
    """A function as the reference writes it: ``await hub.get(key, *, ns=None) -> Entry | None``."""
    words: list[str] = []
    for parameter in list(inspect.signature(function).parameters.values()):
        if parameter.name == "self":
            continue
        word = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            word = f"*{word}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not any(word.startswith("*") for word in words):
            words.append("*")
        if parameter.default is not parameter.empty:
            word += f"={default(parameter.default)}"
        words.append(word)
    result = inspect.signature(function).return_annotation
    gives = "" if result == "None" else f" -> {SPELT_OUT.get(result, result)}"
    waits = "await " if inspect.iscoroutinefunction(function) else ""
    return f"{waits}{called}({', '.join(words)}){gives}"


def entries() -> list[Any]:
    methods = [
        (f"{name}.{method}", inspect.getattr_static(cls, method)) for name, cls in NAMES for method in public(cls)
    ]
    return [pytest.param(called, thing, id=called) for called, thing in [("connect", waggle.connect), *methods]]


@pytest.mark.parametrize(("called", "thing"), entries())
def test_every_method_has_its_entry_with_its_signature(called: str, thing: Any) -> None:
    line = called if isinstance(thing, property) else signature(called, thing)
    assert f"`{line}`" in REFERENCE.replace("\\|", "|")


@pytest.mark.parametrize("name", waggle.__all__)
def test_everything_exported_is_named(name: str) -> None:
    assert re.search(rf"`(waggle\.)?{name}`|-> {name}`", REFERENCE)


def test_every_error_says_when() -> None:
    table = REFERENCE.partition("## Errors")[2]
    classes = [name for name in errors.__all__ if inspect.isclass(getattr(errors, name))]
    assert [name for name in classes if f"`{name}`" not in table] == []

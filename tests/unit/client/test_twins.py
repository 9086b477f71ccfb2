"""The two clients are one: the same methods, in the same order, with the same parameters. And what `waggle` exports."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

import waggle
from waggle import (
    aio,
    aioviews,
    attempts,
    awaiting,
    elections,
    errors,
    following,
    holds,
    inboxes,
    keeping,
    locking,
    messages,
    steps,
    sync,
    syncholds,
    syncviews,
    typed,
    working,
)
from waggle.mirror import MirrorView
from waggle.typed import TypedMirrorView

TWINS = [
    (aio.Hub, sync.Hub),
    (following.Watcher, sync.Watcher),
    (following.Mirror, sync.Mirror),
    (aioviews.View, syncviews.View),
    (aioviews.TypedWatcher, syncviews.TypedWatcher),
    (aioviews.TypedMirror, syncviews.TypedMirror),
    (locking.Lock, syncholds.Lock),
    (working.Job, syncholds.Job),
    (working.Work, syncholds.Work),
    (elections.Election, syncholds.Election),
    (elections.Leaders, syncholds.Leaders),
    (inboxes.Inbox, syncholds.Inbox),
    (inboxes.Message, syncholds.Message),
]
BATCHES = {"batch"}
"""What a blocking watcher reads by; not for programs."""


def public(cls: type) -> list[str]:
    """The public names that the class itself or a private base of it defines, in order of definition."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if base is cls or base is keeping.Held or base.__name__.startswith("_"):
            names |= dict.fromkeys(name for name in vars(base) if not name.startswith("_"))
    return [name for name in names if name not in BATCHES]


def parameters(function: Any) -> list[tuple[str, Any, Any, Any]]:
    return [(p.name, p.kind, p.default, p.annotation) for p in inspect.signature(function).parameters.values()]


def test_the_hubs_have_the_same_methods_in_the_same_order() -> None:
    assert public(aio.Hub) == public(sync.Hub)
    assert public(aioviews.View) == public(syncviews.View)
    assert public(locking.Lock) == public(syncholds.Lock)
    assert public(working.Job) == public(syncholds.Job)
    assert public(inboxes.Message) == public(syncholds.Message)


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_both_have_the_same_names_parameters_and_results(one: type, other: type) -> None:
    assert sorted(public(one)) == sorted(public(other))
    for name in public(one):
        mine, its = inspect.getattr_static(one, name), inspect.getattr_static(other, name)
        if isinstance(mine, property):
            assert isinstance(its, property)
            mine, its = mine.fget, its.fget
        assert parameters(mine) == parameters(its), name
        assert inspect.signature(mine).return_annotation == inspect.signature(its).return_annotation, name


def test_both_connect_in_the_same_way() -> None:
    assert parameters(aio.connect) == parameters(sync.connect)


def test_both_mirrors_are_read_in_the_same_way() -> None:
    assert issubclass(following.Mirror, MirrorView)
    assert issubclass(sync.Mirror, MirrorView)
    assert issubclass(aioviews.TypedMirror, TypedMirrorView)
    assert issubclass(syncviews.TypedMirror, TypedMirrorView)


def test_a_typed_mirror_is_read_as_a_plain_one() -> None:
    assert sorted(public(TypedMirrorView)) == sorted(public(MirrorView))
    assert set(public(aioviews.TypedWatcher)) <= set(public(following.Watcher))
    assert sorted(public(aioviews.TypedMirror)) == sorted(public(following.Mirror))


MODULES = [
    aio, sync, following, attempts, steps, typed, aioviews, syncviews, awaiting, elections, holds, inboxes, locking,
    syncholds, working, waggle,
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_is_documented(module: ModuleType) -> None:
    for name in module.__all__:
        thing = getattr(module, name)
        if isinstance(thing, type) and thing.__module__ == module.__name__:
            for method in public(thing):
                static = inspect.getattr_static(thing, method)
                assert inspect.ismemberdescriptor(static) or inspect.getdoc(static), f"{name}.{method}"
        assert name == "__version__" or inspect.getdoc(thing), name


def test_every_op_of_the_wire_has_its_method() -> None:
    """Those that have none of the same name are what the client does by itself, or by another name."""
    others = {"hello", "bye", "subscribe", "unsubscribe", "cancel", "renew"}
    assert set(messages.OPS) - others <= set(public(aio.Hub))


def test_every_error_is_exported() -> None:
    codes = {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))}
    assert codes <= set(waggle.__all__)


def test_importing_waggle_imports_nothing_that_it_does_not_need() -> None:
    code = "import sys, waggle; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"typer", "rich", "click", "starlette", "uvicorn", "waggle_hub"} & set(run.stdout.split())

"""Both clients have the same methods, in the same order, with the same parameters; `waggle` exports its public
names.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

import waggle
from waggle.api import compare_and_set, election, inbox, job, leased, lock, txn, typed, wait, watcher
from waggle.api import hub as aio_hub
from waggle.api import view as aio_view
from waggle.api.mirror import MirrorView
from waggle.api.typed import TypedMirrorView
from waggle.blocking import election as blocking_election
from waggle.blocking import hub as blocking_hub
from waggle.blocking import inbox as blocking_inbox
from waggle.blocking import job as blocking_job
from waggle.blocking import leased as blocking_leased
from waggle.blocking import lock as blocking_lock
from waggle.blocking import mirror as blocking_mirror
from waggle.blocking import view as blocking_view
from waggle.blocking import watcher as blocking_watcher
from waggle.core import lease
from waggle.wire import errors, messages

TWINS = [
    (aio_hub.Hub, blocking_hub.Hub),
    (watcher.Watcher, blocking_watcher.Watcher),
    (watcher.Mirror, blocking_mirror.Mirror),
    (aio_view.View, blocking_view.View),
    (aio_view.TypedWatcher, blocking_view.TypedWatcher),
    (aio_view.TypedMirror, blocking_view.TypedMirror),
    (lock.Lock, blocking_lock.Lock),
    (job.Job, blocking_job.Job),
    (job.Work, blocking_job.Work),
    (election.Election, blocking_election.Election),
    (election.Leaders, blocking_election.Leaders),
    (inbox.Inbox, blocking_inbox.Inbox),
    (inbox.Message, blocking_inbox.Message),
]
FOR_THE_BLOCKING_CLIENT = {"batch", "acquire_as", "take", "start_renewing", "end_block", "abandon"}
"""Methods that the blocking client calls; not for programs."""

SHARED_BASES = (leased.Leased, blocking_leased.Leased, watcher.Position)
"""Bases whose names are public in the classes that derive from them."""


def public(cls: type) -> list[str]:
    """Return the public names that the class or a private base defines, in order of definition."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if (
            base is cls
            or base in (leased.Leased, blocking_leased.Leased, watcher.Position)
            or base.__name__.startswith("_")
        ):
            names |= dict.fromkeys(name for name in vars(base) if not name.startswith("_"))
    return [name for name in names if name not in FOR_THE_BLOCKING_CLIENT or cls.__name__ == "Hub"]


def parameters(function: Any) -> list[tuple[str, Any, Any, Any]]:
    return [(p.name, p.kind, p.default, p.annotation) for p in inspect.signature(function).parameters.values()]


def test_the_hubs_have_the_same_methods_in_the_same_order() -> None:
    assert public(aio_hub.Hub) == public(blocking_hub.Hub)
    assert public(aio_view.View) == public(blocking_view.View)
    assert public(lock.Lock) == public(blocking_lock.Lock)
    assert public(job.Job) == public(blocking_job.Job)
    assert public(inbox.Message) == public(blocking_inbox.Message)


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
    assert parameters(aio_hub.connect) == parameters(blocking_hub.connect)


def test_both_mirrors_are_read_in_the_same_way() -> None:
    assert issubclass(watcher.Mirror, MirrorView)
    assert issubclass(blocking_mirror.Mirror, MirrorView)
    assert issubclass(aio_view.TypedMirror, TypedMirrorView)
    assert issubclass(blocking_view.TypedMirror, TypedMirrorView)


def test_a_typed_mirror_is_read_as_a_plain_one() -> None:
    assert sorted(public(TypedMirrorView)) == sorted(public(MirrorView))
    assert set(public(aio_view.TypedWatcher)) <= set(public(watcher.Watcher))
    assert sorted(public(aio_view.TypedMirror)) == sorted(public(watcher.Mirror))


MODULES = [
    aio_hub, blocking_hub, watcher, compare_and_set, txn, typed, aio_view, blocking_view, wait, election, lease,
    inbox, lock,
    blocking_lock, blocking_job, blocking_watcher, blocking_mirror, blocking_election, blocking_inbox, job, waggle,
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
    assert set(messages.OPS) - others <= set(public(aio_hub.Hub))


def test_every_error_is_exported() -> None:
    codes = {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))}
    assert codes <= set(waggle.__all__)


def test_importing_waggle_imports_only_modules_that_it_needs() -> None:
    code = "import sys, waggle; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"typer", "rich", "click", "starlette", "uvicorn", "waggle_hub"} & set(run.stdout.split())

"""Namespaces: which one a command means, and whether the command may write there (protocol 2)."""

from __future__ import annotations

from waggle.wire.errors import Forbidden
from waggle.wire.names import check_ns

from .sessions import Session

DEAD = "$dead"
"""The namespace of jobs that were delivered too often (dead letters)."""


def read_ns(ns: str | None, session: Session) -> str:
    """Return the namespace that a command reads: the one it names, or that of its session."""
    if ns is None:
        return session.ns
    check_ns(ns, hub=True)
    return ns


def written_ns(ns: str | None, session: Session) -> str:
    """Return the namespace that a command writes. Raises Forbidden for those of the hub, which begin with a dollar."""
    name = read_ns(ns, session)
    if name.startswith("$"):
        raise Forbidden(f"namespace {name} is written by the hub alone: use another namespace", need="hub")
    return name


def emptied_ns(ns: str | None, session: Session) -> str:
    """Return the namespace that a command removes entries from: one that it may write, or the dead letters."""
    return DEAD if ns == DEAD else written_ns(ns, session)

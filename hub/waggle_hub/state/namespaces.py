"""Which namespace a command means, and whether it may write there: the same for every rule (protocol 2)."""

from __future__ import annotations

from waggle.wire.errors import Forbidden
from waggle.wire.names import check_ns

from .sessions import Session

DEAD = "$dead"
"""The namespace of work that was given up too often."""


def read_ns(ns: str | None, session: Session) -> str:
    """The namespace that a command reads: its session's, unless it names one."""
    if ns is None:
        return session.ns
    check_ns(ns, hub=True)
    return ns


def written_ns(ns: str | None, session: Session) -> str:
    """The namespace that a command writes; those with a dollar are written by the hub alone."""
    found = read_ns(ns, session)
    if found.startswith("$"):
        raise Forbidden(f"namespace {found} is written by the hub alone: use another namespace", need="hub")
    return found


def emptied_ns(ns: str | None, session: Session) -> str:
    """The namespace that a command takes something out of: like a written one, and what is dead may go too."""
    return DEAD if ns == DEAD else written_ns(ns, session)

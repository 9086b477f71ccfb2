"""The systems that are compared: adapters with twin names (`waggle`, `redis`, `nats`) of one `port`."""

from __future__ import annotations

from .nats import NATS
from .port import System
from .redis import REDIS
from .waggle import WAGGLE

__all__ = ["SYSTEMS", "System"]

SYSTEMS: tuple[System, ...] = (WAGGLE, REDIS, NATS)

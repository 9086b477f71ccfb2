"""A lock or a job without ``await``: what `waggle.api.leased` does, in the loop's thread.

One thing differs, since a thread cannot be cancelled: a block whose lock is lost runs on, and raises LockLost at its
end. Until then `check` raises LockLost, and so does every write with ``guard=``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from waggle.api import leased
from waggle.blocking.twin import Twin
from waggle.wire.errors import LockLost, WaggleError

__all__ = ["Leased", "thread_owner"]

L = TypeVar("L", bound=leased.Leased)

_numbers = itertools.count(1)
_owner = threading.local()


def thread_owner() -> str:
    """Return the name of this thread as an owner of locks, so that the hub sees a deadlock between two threads."""
    if not hasattr(_owner, "name"):
        _owner.name = f"thread-{next(_numbers)}"
    name: str = _owner.name
    return name


class Leased(Twin[L]):
    """A lock or a job, held by the asyncio hub."""

    @property
    def token(self) -> int:
        """Return the fencing token: greater than every token granted before. Pass it to systems outside of the hub."""
        return self._twin.token

    @property
    def expires_at(self) -> float:
        """Return the time, in Unix seconds, until which the hub holds the lease without another renewal."""
        return self._twin.expires_at

    @property
    def lost(self) -> LockLost | None:
        """Return the reason of the loss, or None if it is not lost."""
        return self._thread.call(lambda: self._twin.lost)

    def check(self) -> None:
        """Raise LockLost if it is not held any more."""
        self._thread.call(self._twin.check)

    def _begin(self, begin: Coroutine[Any, Any, object]) -> None:
        """Acquire it; a caller that is interrupted holds nothing."""
        try:
            self._thread.run(begin)
        except WaggleError:
            raise
        except BaseException:
            self._thread.call(self._twin.abandon)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._thread.stopped:
            self._thread.run(self._twin.end_block(error))
        elif error is None:
            self.check()  # the hub was closed within the block

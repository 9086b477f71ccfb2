"""How something is kept that is held for a time only, and what its loss does to who holds it (protocol 6, G8).

The rules:

1. **Renewed by itself,** early, and again if that fails, for as long as somebody has the lock or job it belongs to.
2. **Over at its deadline,** by the client's own clock, if it could not be renewed: never later than in the hub, as
   `waggle.core.lease` says. The hub is told, should it still hold it.
3. **A loss stops the work.** The task that entered the block is cancelled, and the block raises LockLost in place of
   that, as `asyncio.timeout` does with TimeoutError. Somebody else's wish to cancel the task, and an error of its own,
   are not covered up.
4. **Left is let go.** Whatever way a block is left, or an object forgotten, the hub is told.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable

from msgspec import structs

from waggle.core.lease import Lease
from waggle.transport.driver import SessionDriver
from waggle.wire.errors import BadRequest, LockLost, NotHolder, WaggleError, again
from waggle.wire.messages import Granted, Lock, Take, Taken

__all__ = ["Leased", "strand"]

SHORTEST_PAUSE = 0.05
"""Seconds between a renewal that failed and the next attempt, at least."""

_numbers = itertools.count(1)
_strands: weakref.WeakKeyDictionary[asyncio.Task[object], str] = weakref.WeakKeyDictionary()


def strand() -> str:
    """What the hub knows this task by: so it sees a deadlock between two tasks of one session, too."""
    task = asyncio.current_task()
    assert task is not None
    if task not in _strands:
        _strands[task] = f"task-{next(_numbers)}"
    return _strands[task]


class _Renewer:
    """Renews one hold until it is stopped, or the hold is lost."""

    def __init__(self, link: SessionDriver, hold: Lease, lost: weakref.WeakMethod[Callable[[], None]]) -> None:
        self._link, self._hold, self._lost = link, hold, lost
        link.alarm(hold, self._over)
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"waggle keeps {hold.name}")

    def stop(self) -> None:
        """Leave it to run out."""
        self._task.cancel()
        self._link.hush(self._hold)

    def _over(self) -> None:
        """It is lost: tell whoever has it, if somebody still does."""
        self._task.cancel()
        tell = self._lost()
        if tell is not None:
            tell()

    async def _keep(self) -> None:
        hold, link = self._hold, self._link
        while hold.lost is None:
            try:
                async with asyncio.timeout(hold.deadline - link.now):
                    await asyncio.sleep(hold.due - link.now)
                    await link.renew(hold)
            except (TimeoutError, WaggleError):
                left = hold.deadline - link.now
                if left <= 0:
                    link.give_up(hold, "expired")
                else:
                    hold.due = link.now + max(SHORTEST_PAUSE, left / 2)


class _CancelScope:
    """Cancels the task that entered a block, and takes that back at its end."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before, self._thrown = task, task.cancelling(), False

    def throw(self, why: LockLost) -> None:
        """Cancel it, once."""
        if not self._thrown:
            self._thrown = True
            self._task.cancel(why.message)

    async def taken_back(self, error: BaseException | None) -> bool:
        """Whether the block was left by nothing but this interruption."""
        if not self._thrown:
            return False
        ours_alone = self._task.uncancel() <= self._before
        if isinstance(error, asyncio.CancelledError):
            return ours_alone
        try:
            await asyncio.sleep(0)  # it was not delivered yet, and is not wanted any more
        except asyncio.CancelledError:
            if not ours_alone:
                raise
        return False


class Leased:
    """A lock or a job: not held at first, then held, then let go or lost."""

    def __init__(self, link: SessionDriver, command: Lock | Take) -> None:
        self._link, self._command = link, command
        self._open = False
        """Whether it is held, or asked for."""
        self._hold: Lease | None = None
        self._granted: Granted | Taken | None = None
        self._keeper: _Renewer | None = None
        self._interruption: _CancelScope | None = None
        self._forgotten: Callable[[], object] | None = None

    # --- what the public classes show ---------------------------------------------------------------------

    @property
    def token(self) -> int:
        """The fencing token: greater than every one granted before. Pass it on to what is outside of the hub."""
        return self._grip.token

    @property
    def expires_at(self) -> float:
        """Until when the hub holds it, in Unix seconds, if it is not renewed before."""
        return self._grant.expires_at

    @property
    def lost(self) -> LockLost | None:
        """Why it was lost, or None if it was not."""
        hold = self._hold
        if hold is None:
            return None
        if hold.lost is None and self._open and self._link.now >= hold.deadline:
            self._link.give_up(hold, "expired")
        return hold.lost

    def check(self) -> None:
        """Raise LockLost if it is not held any more."""
        lost = self.lost
        if lost is not None:
            raise again(lost)
        if not self._open or self._hold is None:
            raise BadRequest("This is not held: it was let go, or not entered yet.", field="lock")

    # --- taking and keeping -------------------------------------------------------------------------------

    async def _take(self) -> None:
        """Ask for it, and have it. Raises what the hub says, and BadRequest if it is held already."""
        if self._open:
            raise BadRequest("This is held already: make another one, or let it go first.", field="lock")
        self._open, self._granted, self._hold = True, None, None
        try:
            self._granted, self._hold = await self._link.grant(structs.replace(self._command))
        except BaseException:
            self._open = False
            raise
        forgotten = weakref.finalize(self, self._link.give_up_soon, self._hold)
        forgotten.atexit = False
        self._forgotten = forgotten.detach

    def start_renewing(self) -> None:
        """Renew it from now on; a loss stops that, and cancels the task that entered."""
        self._stop_keeping()
        self._keeper = _Renewer(self._link, self._grip, weakref.WeakMethod(self._is_lost))

    def _stop_keeping(self) -> None:
        if self._keeper is not None:
            self._keeper.stop()
            self._keeper = None

    async def _renew(self, ttl: float | None) -> float:
        """Renew it now; gives the deadline. Raises LockLost."""
        self.check()
        self._grant.expires_at = (await self._link.renew(self._grip, ttl)).expires_at
        if self._keeper is not None:
            self.start_renewing()
        return self._grant.expires_at

    def _enter(self) -> None:
        """From here to `end_block` a loss cancels this task."""
        self._interruption = _CancelScope()
        if self.lost is not None:
            self._interruption.throw(self.lost)

    async def end_block(self, error: BaseException | None) -> None:
        """The block was left, by ``error`` or not: let go, or say that it was lost."""
        self._stop_keeping()
        interruption, self._interruption = self._interruption, None
        interrupted = interruption is not None and await interruption.taken_back(error)
        try:
            await self._end(error)
        except LockLost as lost:
            if error is None or interrupted or isinstance(error, NotHolder):
                raise lost from error

    async def _end(self, error: BaseException | None) -> None:
        """What the end of a block does with it, if it was not let go before. Raises LockLost if it was lost."""
        raise NotImplementedError

    async def _let_go(self) -> None:
        """Unlock it; nothing happens the second time. Raises LockLost if it was lost before."""
        if self._close():
            await self._link.let_go(self._grip)

    def _close(self) -> bool:
        """It is nobody's business here any more; whether it was until now."""
        self._stop_keeping()
        was, self._open = self._open, False
        if self._forgotten is not None:
            self._forgotten()
            self._forgotten = None
        return was

    def abandon(self) -> None:
        """Give it up: the caller that asked for it was interrupted."""
        if self._close() and self._hold is not None:
            self._link.give_up(self._hold)

    def _is_lost(self) -> None:
        self._stop_keeping()
        if self._interruption is not None and self._grip.lost is not None:
            self._interruption.throw(self._grip.lost)

    @property
    def _grip(self) -> Lease:
        if self._hold is None:
            raise BadRequest("This is not held yet: enter it, or await it.", field="lock")
        return self._hold

    @property
    def _grant(self) -> Granted | Taken:
        if self._granted is None:
            raise BadRequest("This is not held yet: enter it, or await it.", field="lock")
        return self._granted

"""A lock or job under a lease: its renewal, and the effect of its loss on its holder (protocol 6, G8).

Rules:

1. **A lease is renewed by itself,** early, and again if that fails, for as long as a program keeps the lock or job
   object.
2. **A lease ends at its deadline,** by the client's own clock, if it could not be renewed: never later than at the
   hub (`waggle.core.lease`). The hub is told, in case it still holds the lease.
3. **A loss stops the work.** The task that entered the block is cancelled, and the block raises LockLost in place of
   the cancellation, as `asyncio.timeout` does with TimeoutError. A cancellation by other code, and an error of the
   block itself, are not replaced.
4. **The end of a block, or of the object, releases the lease** at the hub.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable

from msgspec import structs

from waggle.core.lease import Lease
from waggle.transport.driver import SessionDriver
from waggle.wire.errors import BadRequest, LockLost, NotHolder, WaggleError, copy_error
from waggle.wire.messages import Granted, Lock, Take, Taken

__all__ = ["Leased", "task_owner"]

MIN_RETRY_S = 0.05
"""Seconds between a renewal that failed and the next attempt, at least."""

_numbers = itertools.count(1)
_owners: weakref.WeakKeyDictionary[asyncio.Task[object], str] = weakref.WeakKeyDictionary()


def task_owner() -> str:
    """Return the name of this task as an owner of locks, so that the hub sees a deadlock between two tasks of one
    session."""
    task = asyncio.current_task()
    assert task is not None
    if task not in _owners:
        _owners[task] = f"task-{next(_numbers)}"
    return _owners[task]


class _Renewer:
    """A task that renews one lease until it is stopped, or the lease is lost."""

    def __init__(self, driver: SessionDriver, lease: Lease, lost: weakref.WeakMethod[Callable[[], None]]) -> None:
        self._driver, self._lease, self._lost = driver, lease, lost
        driver.on_loss(lease, self._on_lost)
        self._task = asyncio.get_running_loop().create_task(self._renew_until_lost(), name=f"waggle keeps {lease.name}")

    def stop(self) -> None:
        """Stop renewing; the lease runs out."""
        self._task.cancel()
        self._driver.cancel_loss_callback(self._lease)

    def _on_lost(self) -> None:
        """Stop, and tell the holder if it still exists."""
        self._task.cancel()
        tell = self._lost()
        if tell is not None:
            tell()

    async def _renew_until_lost(self) -> None:
        lease, driver = self._lease, self._driver
        while lease.lost is None:
            try:
                async with asyncio.timeout(lease.deadline - driver.now):
                    await asyncio.sleep(lease.renew_at - driver.now)
                    await driver.renew(lease)
            except (TimeoutError, WaggleError):
                remaining = lease.deadline - driver.now
                if remaining <= 0:
                    driver.release_now(lease, "expired")
                else:
                    lease.renew_at = driver.now + max(MIN_RETRY_S, remaining / 2)


class _CancelScope:
    """A cancellation of the task that entered a block, undone at the end of the block."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before, self._cancelled = task, task.cancelling(), False

    def cancel(self, why: LockLost) -> None:
        """Cancel the task, once."""
        if not self._cancelled:
            self._cancelled = True
            self._task.cancel(why.message)

    async def close(self, error: BaseException | None) -> bool:
        """Undo the cancellation. Return whether it was the only reason that the block ended."""
        if not self._cancelled:
            return False
        ours_alone = self._task.uncancel() <= self._before
        if isinstance(error, asyncio.CancelledError):
            return ours_alone
        try:
            await asyncio.sleep(0)  # receive a cancellation that was not delivered yet: the block is over
        except asyncio.CancelledError:
            if not ours_alone:
                raise
        return False


class Leased:
    """A lock or a job: not held at first, then held, then released or lost."""

    def __init__(self, driver: SessionDriver, command: Lock | Take) -> None:
        self._driver, self._command = driver, command
        self._open = False
        """Whether the lease is held or requested."""
        self._lease: Lease | None = None
        self._granted: Granted | Taken | None = None
        self._renewer: _Renewer | None = None
        self._cancel_scope: _CancelScope | None = None
        self._detach_finalizer: Callable[[], object] | None = None

    # --- for programs -------------------------------------------------------------------------------------

    @property
    def token(self) -> int:
        """Return the fencing token: greater than every token granted before. Pass it to systems outside of the hub."""
        return self._held_lease.token

    @property
    def expires_at(self) -> float:
        """Return the time, in Unix seconds, until which the hub holds the lease without another renewal."""
        return self._grant.expires_at

    @property
    def lost(self) -> LockLost | None:
        """Return the reason of the loss, or None if it is not lost."""
        lease = self._lease
        if lease is None:
            return None
        if lease.lost is None and self._open and self._driver.now >= lease.deadline:
            self._driver.release_now(lease, "expired")
        return lease.lost

    def check(self) -> None:
        """Raise LockLost if it is not held any more."""
        lost = self.lost
        if lost is not None:
            raise copy_error(lost)
        if not self._open or self._lease is None:
            raise BadRequest("This is not held: it was released, or not entered yet.", field="lock")

    # --- from the grant to the end ------------------------------------------------------------------------

    async def _take(self) -> None:
        """Request and get the grant. Raises the hub's error, and BadRequest if it is held already."""
        if self._open:
            raise BadRequest("This is held already: make another one, or release it first.", field="lock")
        self._open, self._granted, self._lease = True, None, None
        try:
            self._granted, self._lease = await self._driver.acquire(structs.replace(self._command))
        except BaseException:
            self._open = False
            raise
        forgotten = weakref.finalize(self, self._driver.release_threadsafe, self._lease)
        forgotten.atexit = False
        self._detach_finalizer = forgotten.detach

    def start_renewing(self) -> None:
        """Renew the lease from now on; a loss stops that, and cancels the task that entered the block."""
        self._stop_renewing()
        self._renewer = _Renewer(self._driver, self._held_lease, weakref.WeakMethod(self._on_lost))

    def _stop_renewing(self) -> None:
        if self._renewer is not None:
            self._renewer.stop()
            self._renewer = None

    async def _renew(self, ttl: float | None) -> float:
        """Renew now, and return the deadline. Raises LockLost."""
        self.check()
        self._grant.expires_at = (await self._driver.renew(self._held_lease, ttl)).expires_at
        if self._renewer is not None:
            self.start_renewing()
        return self._grant.expires_at

    def _enter(self) -> None:
        """Start the block: until `end_block` a loss cancels this task."""
        self._cancel_scope = _CancelScope()
        if self.lost is not None:
            self._cancel_scope.cancel(self.lost)

    async def end_block(self, error: BaseException | None) -> None:
        """End the block, with its error if it has one: release, or raise LockLost."""
        self._stop_renewing()
        scope, self._cancel_scope = self._cancel_scope, None
        interrupted = scope is not None and await scope.close(error)
        try:
            await self._end(error)
        except LockLost as lost:
            if error is None or interrupted or isinstance(error, NotHolder):
                raise lost from error

    async def _end(self, error: BaseException | None) -> None:
        """End the lease at the end of a block, unless it ended before. Raises LockLost if it was lost."""
        raise NotImplementedError

    async def _unlock(self) -> None:
        """Unlock; a second call does nothing. Raises LockLost if it was lost before."""
        if self._close():
            await self._driver.unlock(self._held_lease)

    def _close(self) -> bool:
        """Mark as not held and stop renewing. Return False if it was not held already."""
        self._stop_renewing()
        was, self._open = self._open, False
        if self._detach_finalizer is not None:
            self._detach_finalizer()
            self._detach_finalizer = None
        return was

    def abandon(self) -> None:
        """Release without waiting: the caller that asked for it was interrupted."""
        if self._close() and self._lease is not None:
            self._driver.release_now(self._lease)

    def _on_lost(self) -> None:
        self._stop_renewing()
        if self._cancel_scope is not None and self._held_lease.lost is not None:
            self._cancel_scope.cancel(self._held_lease.lost)

    @property
    def _held_lease(self) -> Lease:
        if self._lease is None:
            raise BadRequest("This is not held yet: enter it, or await it.", field="lock")
        return self._lease

    @property
    def _grant(self) -> Granted | Taken:
        if self._granted is None:
            raise BadRequest("This is not held yet: enter it, or await it.", field="lock")
        return self._granted

"""An event loop in a thread of its own, and calls into it from other threads.

Rules:

1. A call that was handed over before `LoopThread.stop` gets its result; a later call raises Disconnected.
2. A caller that is interrupted (Ctrl-C) cancels its call.
3. Code that runs in the loop's thread must not wait for the loop: `LoopThread.run` raises RuntimeError there.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from waggle.transport.driver import closed_by_program
from waggle.wire.errors import BadRequest

__all__ = ["LoopThread"]

T = TypeVar("T")

END_OF_TASKS_TIMEOUT_S = 1.0
"""Seconds that tasks get to end by themselves when the thread stops. The hub is closed then, so each has its result."""


class _Call(Generic[T]):
    """One coroutine for the loop, and a wait for its end.

    The wait is a lock that the end of the task releases. asyncio's own `run_coroutine_threadsafe` needs two futures and
    a lock for each, which a call of 0.1 ms would feel.
    """

    def __init__(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self._work, self._loop = work, loop
        self._task: asyncio.Task[T] | None = None
        self._discarded = False
        self._running = threading.Lock()
        self._running.acquire()

    def start(self) -> None:
        """Start the task. Called in the loop's thread."""
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(lambda _: self._running.release())

    def wait(self) -> None:
        """Wait for the end of the task."""
        self._running.acquire()

    def result(self) -> T:
        """Return the result of a task that has ended. Raises Disconnected if the hub was closed meanwhile."""
        assert self._task is not None
        if self._task.cancelled():
            raise closed_by_program()
        return self._task.result()

    def discard(self) -> None:
        """Drop a call that was not handed over."""
        self._discarded = True
        self._work.close()

    def cancel(self) -> None:
        """Cancel the task from another thread; without effect when the loop has ended."""
        if not self._discarded:
            with suppress(RuntimeError):  # the loop was closed this very moment
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is None:
            self._work.close()  # the caller was interrupted before the call was handed over
        else:
            self._task.cancel()


class LoopThread:
    """A daemon thread that runs one event loop until `stop`."""

    def __init__(self) -> None:
        self.stopped = False
        self._gate = threading.Lock()  # held while a call is handed over, so that `stop` leaves none behind
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="waggle", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and return its result."""
        call = _Call(work, self._loop)
        try:
            # Within the block: the loop may run, and an interrupt arrive, before this thread gets to wait.
            self._start(call)
            call.wait()
        except BaseException:
            call.cancel()
            raise
        return call.result()

    def run_with_function(
        self, function: Callable[[Any], Any], work: Callable[[Callable[[Any], Any]], Coroutine[Any, Any, T]]
    ) -> T:
        """Run a coroutine that calls ``function``, each call in the thread of the caller, and return its result.

        ``work`` is given an async function to await in place of ``function``. An exception of ``function`` cancels the
        coroutine and is raised here. Raises BadRequest if ``function`` is async.
        """
        arguments: SimpleQueue[tuple[Any, asyncio.Future[Any]] | None] = SimpleQueue()

        async def in_caller(argument: Any) -> Any:
            answer: asyncio.Future[Any] = self._loop.create_future()
            arguments.put((argument, answer))
            return await answer

        async def watched() -> T:
            try:
                return await work(in_caller)
            finally:
                arguments.put(None)

        call = _Call(watched(), self._loop)
        try:
            self._start(call)
            while (asked := arguments.get()) is not None:
                argument, answer = asked
                result = function(argument)
                if inspect.iscoroutine(result):
                    result.close()
                    raise BadRequest("An async function is for the async client: pass a plain one.", field="fn")
                with suppress(RuntimeError):  # the hub was closed meanwhile: `result` says so
                    self._loop.call_soon_threadsafe(_resolve, answer, result)
            call.wait()
        except BaseException:
            call.cancel()
            raise
        return call.result()

    def call(self, function: Callable[[], T]) -> T:
        """Call a plain function in the loop's thread, or right here when that thread has ended or is this one."""

        async def work() -> T:
            return function()

        return function() if self.stopped or threading.current_thread() is self._thread else self.run(work())

    def stop(self) -> None:
        """Let the tasks of the loop end, then end the thread. A second call does nothing."""
        with self._gate:
            if self.stopped:
                return
            self.stopped = True
        asyncio.run_coroutine_threadsafe(_end_other_tasks(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _start(self, call: _Call[T]) -> None:
        with self._gate:
            if self.stopped:
                call.discard()
                raise closed_by_program()
            if threading.current_thread() is self._thread:
                call.discard()
                raise RuntimeError(
                    "on_state and the conditions of a mirror run in the hub's own thread: a call of the hub there would"
                    " wait for itself. Hand the work to another thread."
                )
            self._loop.call_soon_threadsafe(call.start)


def _resolve(answer: asyncio.Future[Any], result: Any) -> None:
    if not answer.done():  # the coroutine was cancelled meanwhile
        answer.set_result(result)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop where uvloop is installed, else asyncio's: a call takes a quarter less time there."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _end_other_tasks() -> None:
    """Wait for all other tasks of the loop; cancel those that do not end in time."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, stuck = await asyncio.wait(others, timeout=END_OF_TASKS_TIMEOUT_S)
        for task in stuck:
            task.cancel()
        if stuck:
            await asyncio.wait(stuck)

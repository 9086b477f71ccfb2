"""The client without ``await``: the methods of `waggle.api.hub.Hub`, in the same order, for programs that block.

Each hub runs the asyncio client in a thread of its own, and each method here is a call into that thread. A second
implementation over blocking sockets would need its own reconnecting, time limits and locks, and nothing would answer
the hub's pings while the program computes. A call costs a hop between threads and back, some 0.1 ms, and half of that
where uvloop is installed; events come over in batches.

Calls may be made from several threads at once. ``on_state``, and the condition of `Mirror.until`, are called in the
hub's thread: they must not call the hub. The function given to `Hub.update` is called in the thread of the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack, overload

from waggle.api import hub
from waggle.api.wait import WaitForEntries, WaitForEntry, WaitForState
from waggle.blocking.election import Election
from waggle.blocking.inbox import Inbox
from waggle.blocking.job import Work, taken
from waggle.blocking.lock import Lock
from waggle.blocking.loop_thread import LoopThread
from waggle.blocking.mirror import Mirror
from waggle.blocking.twin import Closing, Twin, blocking, documented_as, giving, like, with_parameters_of
from waggle.blocking.view import View
from waggle.blocking.watcher import Watcher
from waggle.core.session import State
from waggle.wire.messages import Entry, Updated, Welcome

__all__ = ["Hub", "connect"]

Entries = list[Entry]


async def _open(connecting: hub.Connecting) -> hub.Hub:
    return await connecting


class Hub(Closing, Twin[hub.Hub]):
    """A session with the hub. See `waggle.Hub`."""

    def __enter__(self) -> Hub:
        return self

    # --- the session -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Return the state: ``connecting``, ``connected``, ``reconnecting`` or ``closed``."""
        return self._twin.state

    @property
    def agent(self) -> str:
        """Return the name of this agent: the given one, or one that the hub made."""
        return self._twin.agent

    @property
    def session(self) -> str:
        """Return the id of this session. After a session is lost, with all that was tied to it, the id is another
        one."""
        return self._twin.session

    @property
    def epoch(self) -> str:
        """Return the name of the hub's unbroken log."""
        return self._twin.epoch

    @property
    def rev(self) -> int:
        """Return the highest revision seen so far."""
        return self._twin.rev

    @property
    def welcome(self) -> Welcome:
        """Return the hub's answer to hello, which began this connection."""
        return self._twin.welcome

    def close(self) -> None:
        """End the session now, with all that it holds, and close the connection."""
        if not self._thread.stopped:
            try:
                self._thread.run(self._twin.close())
            finally:
                self._thread.stop()

    ping = blocking(hub.Hub.ping)
    stats = blocking(hub.Hub.stats)
    backup = blocking(hub.Hub.backup)
    status = blocking(hub.Hub.status)
    agents = blocking(hub.Hub.agents)

    # --- keys ------------------------------------------------------------------------------------------------

    set = blocking(hub.Hub.set)
    get = blocking(hub.Hub.get)
    delete = blocking(hub.Hub.delete)
    touch = blocking(hub.Hub.touch)

    @like(hub.Hub.update)
    def update(self, key: str, fn: Callable[[Any], Any] | None = None, **options: Any) -> Updated:
        if not callable(fn):
            return self._thread.run(self._twin.update(key, fn, **options))
        return self._thread.run_with_function(fn, lambda in_caller: self._twin.update(key, in_caller, **options))

    txn = blocking(hub.Hub.txn)
    history = blocking(hub.Hub.history)
    list = blocking(hub.Hub.list)
    search = blocking(hub.Hub.search)
    clear = blocking(hub.Hub.clear)
    namespaces = blocking(hub.Hub.namespaces)

    # --- events ----------------------------------------------------------------------------------------------

    publish = blocking(hub.Hub.publish)
    watch = giving(hub.Hub.watch, Watcher)
    mirror = giving(hub.Hub.mirror, Mirror)

    # --- locks -----------------------------------------------------------------------------------------------

    lock = giving(hub.Hub.lock, Lock)
    unlock = blocking(hub.Hub.unlock)
    locks = blocking(hub.Hub.locks)
    inspect = blocking(hub.Hub.inspect)

    # --- waiting ---------------------------------------------------------------------------------------------

    @overload
    def wait(self, key: str, **options: Unpack[WaitForEntry]) -> Entry: ...

    @overload
    def wait(self, **options: Unpack[WaitForEntries]) -> Entries: ...

    @overload
    def wait(self, key: str | None = ..., **options: Unpack[WaitForState]) -> Entry | Entries | None: ...

    @documented_as(hub.Hub.wait)
    def wait(self, key: str | None = None, **options: Any) -> Any:
        return self._thread.run(self._twin.wait(key, **options))

    wait_all = blocking(hub.Hub.wait_all)
    wait_any = blocking(hub.Hub.wait_any)

    # --- work ------------------------------------------------------------------------------------------------

    take = giving(hub.Hub.take, taken)
    work = giving(hub.Hub.work, Work)

    # --- together --------------------------------------------------------------------------------------------

    barrier = blocking(hub.Hub.barrier)
    elect = giving(hub.Hub.elect, Election)
    send = blocking(hub.Hub.send)
    inbox = giving(hub.Hub.inbox, Inbox)
    ask = blocking(hub.Hub.ask)

    # --- values as types -------------------------------------------------------------------------------------

    view = giving(hub.Hub.view, View)


@with_parameters_of(hub.connect)
def connect(*args: Any, **options: Any) -> Hub:
    """Connect to the hub: ``with connect(...) as hub``. See `waggle.connect` for the parameters."""
    connecting = hub.connect(*args, **options)
    thread = LoopThread()
    try:
        return Hub(thread.run(_open(connecting)), thread)
    except BaseException:
        thread.stop()
        raise

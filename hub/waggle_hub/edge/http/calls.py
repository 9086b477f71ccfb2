"""Callers: agents that ask by single calls, over HTTP or MCP, and have no connection of their own (`state.callers`).

    callers = Callers(engine)                   # one for the hub
    caller = callers.named("impl-1", ns)        # or callers.nameless(ns); cheap: make one for each call
    ok = await caller.call("lock", {"name": "src/a.py", "wait": 60})    # decoded; raises WaggleError
    text = await caller.ask("lock", b'{"name": "src/a.py"}')            # the same, both as JSON text

Rules:
1. A call is a command like any other: decoded as a line is, decided by the engine, its reply released by the journal in
   its place. Any op but hello, bye, subscribe and unsubscribe can be asked.
2. All who call under one name share a session, and so one connection (`VirtualConnection`), which hands each reply
to its call.
3. Who stops waiting drops the call: cancelling the task that awaits it is enough. A call that still waits is cancelled
   in the hub. A grant that nobody heard of is given back, unless it repeats an older one, or its rid is asked again.
4. An `id` in the fields names the call, so that `cancel` can; those that begin with `$` are given here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from waggle.wire import messages as m
from waggle.wire.changefeed import Put
from waggle.wire.errors import BadRequest, SessionLost, Unavailable, WaggleError, error_from_wire
from waggle_hub.delivery.connection import Connection
from waggle_hub.edge.decode import BadLine, decode
from waggle_hub.engine.engine import Engine
from waggle_hub.settings import Bounds

from .catch_up import catch_up


class _Answered(Struct):
    """The line of a reply."""

    id: m.Id | None = None
    ok: Raw | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class _Grant(Struct):
    """What is looked at in the `ok` of a lock or a take."""

    token: int
    dup: bool = False


_read_line = msgspec.json.Decoder(_Answered).decode
_read_grant = msgspec.json.Decoder(_Grant).decode
_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


class CallRegistry:
    """Everybody who calls."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open: set[Call] = set()
        """Calls that have not been answered."""
        self._numbers = count(1)

    def named(self, agent: str, ns: str | None = None) -> HttpCaller:
        """An agent that calls under this name, `ns` its default namespace."""
        return HttpCaller(self, agent, ns)

    def nameless(self, ns: str | None = None) -> HttpCaller:
        """Somebody who gives no name."""
        return HttpCaller(self, None, ns)

    def drain(self, seconds: float) -> None:
        """Tell every call that still waits to come back after so many seconds."""
        for call in list(self.open):
            self.engine.drop_call(call.desk, call.command.id)
            self._settle(call, error=Unavailable("the hub is stopping: come back", retry_after=seconds))

    def begin(self, agent: str | None, ns: str | None, op: str, fields: bytes) -> Call:
        """Decide a command now, its fields a JSON object; its answer comes in `Call.reply`. Raises a WaggleError."""
        command = self._command(op, fields)
        connection = self.engine.open_http_session(agent, ns, self._connect)
        assert isinstance(connection, VirtualConnection)
        if command.id in connection.calls:
            raise BadRequest(f"a call with id {command.id!r} still waits for its answer: choose another", field="id")
        call = connection.calls[command.id] = Call(self, connection, command)
        self.open.add(call)
        self.engine.submit(connection, command)
        return call

    def _command(self, op: str, fields: bytes) -> m.AnyCommand:
        made = f"${next(self._numbers)}"
        try:
            rest = fields.decode().strip()
        except UnicodeDecodeError as error:
            raise BadRequest(f"this is not UTF-8: {error}") from None
        if not rest.startswith("{"):
            raise BadRequest("the fields of a command are a JSON object: {} if there are none")
        comma = "" if rest[1:].lstrip().startswith("}") else ","
        try:
            command = decode(f'{{"op":{_write(op).decode()},"id":"{made}"{comma}{rest[1:]}')
        except BadLine as bad:
            raise bad.error from None
        if command.id != made and str(command.id).startswith("$"):
            raise BadRequest("ids that begin with $ are given by the hub: choose another", field="id")
        return command

    # --- what the desks hear ---

    def _connect(self) -> VirtualConnection:
        return VirtualConnection(self.engine.bounds, self._hear)

    def _hear(self, connection: Connection) -> None:
        assert isinstance(connection, VirtualConnection)
        while (text := connection.take()) is not None:
            for line in text.data.split(b"\n"):
                self._answer(connection, line)
        if connection.closing is not None:
            self._close(connection)

    def _answer(self, desk: VirtualConnection, line: bytes) -> None:
        answer = _read_line(line)
        call = None if answer.id is None else desk.calls.get(answer.id)
        if call is None:
            return
        if isinstance(answer.error, UnsetType):
            self._settle(call, ok=bytes(answer.ok) if isinstance(answer.ok, Raw) else b"{}")
        else:
            self._settle(call, error=error_from_wire(answer.error))

    def _settle(self, call: Call, ok: bytes | None = None, error: WaggleError | None = None) -> None:
        """This is the answer to a call."""
        del call.desk.calls[call.command.id]
        self.open.discard(call)
        call.settle(ok, error)

    def _close(self, desk: VirtualConnection) -> None:
        """Its session has ended. A call that it held nothing for, and that takes longer, is not answered any more."""
        for call in list(desk.calls.values()):
            self._settle(call, error=SessionLost("the session ended before there was an answer: ask again"))
        asyncio.get_running_loop().call_soon(self.engine.leave, desk)

    # --- calls that are dropped ---

    def cancel(self, call: Call) -> None:
        """Nobody waits for this call any more."""
        self.engine.drop_call(call.desk, call.command.id)

    def give_back(self, call: Call, ok: bytes) -> None:
        """Nobody has heard of this answer: if it is a grant, it is the hub's again."""
        if not isinstance(call.command, m.Lock | m.Take):
            return
        grant, rid = _read_grant(ok), call.command.rid
        if not grant.dup and not self._asks(call.desk, rid):
            self.engine.drop_call(call.desk, call.command.id, rid, grant.token)

    def _asks(self, desk: VirtualConnection, rid: str | None) -> bool:
        """Whether there is a call with this rid that has not been answered."""
        if rid is None:
            return False
        commands = (call.command for call in desk.calls.values())
        return any(isinstance(command, m.Change) and command.rid == rid for command in commands)


class VirtualConnection(Connection):
    """The connection of all who call under one name: it takes replies as they are put, and nothing waits in it."""

    is_virtual = True

    def __init__(self, bounds: Bounds, wake: Callable[[Connection], None]) -> None:
        super().__init__(bounds, wake=wake)
        self.calls: dict[m.Id, Call] = {}
        """Its calls that have not been answered, by id."""


class Call:
    """A command that was asked, and its answer."""

    def __init__(self, callers: CallRegistry, desk: VirtualConnection, command: m.AnyCommand) -> None:
        self.desk = desk
        self.command = command
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The `ok` as JSON text, or a WaggleError."""
        self._callers = callers
        self._answered = False

    def settle(self, ok: bytes | None = None, error: WaggleError | None = None) -> None:
        """This is the answer."""
        self._answered = True
        if not self.reply.cancelled():
            if error is not None:
                self.reply.set_exception(error)
            else:
                self.reply.set_result(ok or b"{}")
        elif ok is not None:
            self._callers.give_back(self, ok)

    def drop(self) -> None:
        """Whoever asked is gone, and has not heard the answer."""
        if not self._answered:
            self.reply.cancel()
            self._callers.cancel(self)
        elif not self.reply.cancelled() and self.reply.exception() is None:
            self._callers.give_back(self, self.reply.result())


class HttpCaller:
    """Somebody who calls, by name or without one."""

    def __init__(self, callers: CallRegistry, agent: str | None, ns: str | None) -> None:
        self._callers = callers
        self._agent = agent
        self._ns = ns

    def begin(self, op: str, fields: bytes) -> Call:
        """Decide a command now, its fields a JSON object. Whoever stops waiting for `reply` says `drop`."""
        return self._callers.begin(self._agent, self._ns, op, fields)

    async def ask(self, op: str, fields: bytes) -> bytes:
        """The `ok` of a command as JSON text, its fields a JSON object. Raises a WaggleError."""
        call = self.begin(op, fields)
        try:
            return await call.reply
        except asyncio.CancelledError:
            call.drop()
            raise

    async def call(self, op: str, fields: Mapping[str, Any]) -> Any:
        """The `ok` of a command, decoded. Raises a WaggleError."""
        try:
            text = _write(fields)
        except (TypeError, UnicodeError, ValueError, RecursionError) as error:
            raise BadRequest(f"the fields are not JSON: {error}") from None
        return _read(await self.ask(op, text))

    async def catch_up(self, ns: str, since: m.Since | None, put: Put) -> m.Since:
        """What has changed in a namespace, as `waggle.ops.Caller.catch_up`. Raises a WaggleError."""
        return await catch_up(self._callers.engine, ns, since, put)

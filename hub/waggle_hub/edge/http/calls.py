"""Calls: single commands over HTTP or MCP, from agents without a connection (`state.commands.http_sessions`).

    calls = CallRegistry(engine)                        # one for the hub
    caller = calls.caller(Identity("impl-1", ns))       # ANONYMOUS has no name; cheap: made for each call
    ok = await caller.call("lock", {"name": "src/a.py", "wait": 60})    # decoded; raises WaggleError
    text = await caller.ask("lock", b'{"name": "src/a.py"}')            # the same, both as JSON text

Rules:
1. A call is a command like any other: decoded as a line is, decided by the engine, its reply released by the journal
   in its place. Any op but hello, bye, subscribe and unsubscribe can be called.
2. All calls under one agent name share a session, and so one connection (`VirtualConnection`), which hands each
   reply to its call.
3. A client that disconnects drops its call: cancelling the task that awaits the call is enough. A call that still
   waits is cancelled in the hub. A grant that was not delivered is released, unless it repeats an older grant or its
   rid is being asked again.
4. An `id` in the fields names the call for the op `cancel`; ids that begin with `$` are given by the hub.
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
from waggle_hub.edge.identity import Identity
from waggle_hub.engine.engine import Engine
from waggle_hub.settings import Bounds

from .index_catch_up import catch_up


class _ReplyLine(Struct):
    """The parsed line of a reply."""

    id: m.Id | None = None
    ok: Raw | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class _Grant(Struct):
    """The fields of a lock's or take's `ok` that decide whether an undelivered grant is released."""

    token: int
    dup: bool = False


_read_line = msgspec.json.Decoder(_ReplyLine).decode
_read_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_read_grant = msgspec.json.Decoder(_Grant).decode
_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


class CallRegistry:
    """All calls that are open, and the virtual connections that they share."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open: set[Call] = set()
        """Calls that have not been answered."""
        self._numbers = count(1)

    def caller(self, identity: Identity) -> HttpCaller:
        """Return the caller of this identity. Cheap: made for each call."""
        return HttpCaller(self, identity)

    def drain(self, seconds: float) -> None:
        """Answer every open call with `unavailable`: come back in so many seconds."""
        for call in list(self.open):
            self.engine.drop_call(call.connection, call.command.id)
            self._resolve(call, error=Unavailable("the hub is stopping: come back", retry_after=seconds))

    def begin(self, identity: Identity, op: str, fields: bytes) -> Call:
        """Submit a command whose fields are a JSON object; the reply comes in `Call.reply`. Raises a WaggleError."""
        command = self._command(op, fields)
        connection = self.engine.open_http_session(identity.agent, identity.ns, self._connect)
        assert isinstance(connection, VirtualConnection)
        if command.id in connection.calls:
            raise BadRequest(f"a call with id {command.id!r} still waits for its answer: choose another", field="id")
        call = connection.calls[command.id] = Call(self, connection, command)
        self.open.add(call)
        self.engine.submit(connection, command)
        return call

    def _command(self, op: str, fields: bytes) -> m.AnyCommand:
        given_id = f"${next(self._numbers)}"
        try:
            fields_by_name = _read_fields(fields)
            line = _write({"op": op, "id": given_id, **fields_by_name}).decode()
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadRequest(f"the fields of a command are a JSON object, {{}} if there are none: {error}") from None
        if "op" in fields_by_name:
            raise BadRequest("the op stands in the path: leave it out of the fields", field="op")
        try:
            command = decode(line)
        except BadLine as bad:
            raise bad.error from None
        if command.id != given_id and str(command.id).startswith("$"):
            raise BadRequest("ids that begin with $ are given by the hub: choose another", field="id")
        return command

    # --- what the desks hear ---

    def _connect(self) -> VirtualConnection:
        return VirtualConnection(self.engine.bounds, self._take_replies)

    def _take_replies(self, connection: Connection) -> None:
        assert isinstance(connection, VirtualConnection)
        while (text := connection.take()) is not None:
            for line in text.data.split(b"\n"):
                self._resolve_line(connection, line)
        if connection.closing is not None:
            self._close(connection)

    def _resolve_line(self, connection: VirtualConnection, line: bytes) -> None:
        reply = _read_line(line)
        call = None if reply.id is None else connection.calls.get(reply.id)
        if call is None:
            return
        if isinstance(reply.error, UnsetType):
            self._resolve(call, ok=bytes(reply.ok) if isinstance(reply.ok, Raw) else b"{}")
        else:
            self._resolve(call, error=error_from_wire(reply.error))

    def _resolve(self, call: Call, ok: bytes | None = None, error: WaggleError | None = None) -> None:
        """Resolve a call and forget it."""
        del call.connection.calls[call.command.id]
        self.open.discard(call)
        call.resolve(ok, error)

    def _close(self, connection: VirtualConnection) -> None:
        """Answer the remaining calls of a session that has ended, and leave its connection."""
        for call in list(connection.calls.values()):
            self._resolve(call, error=SessionLost("the session ended before there was an answer: ask again"))
        asyncio.get_running_loop().call_soon(self.engine.leave, connection)

    # --- calls that are dropped ---

    def cancel(self, call: Call) -> None:
        """Cancel the command of a call whose client has disconnected."""
        self.engine.drop_call(call.connection, call.command.id)

    def release_grant(self, call: Call, ok: bytes) -> None:
        """Release the grant in a reply that was not delivered; other replies need nothing."""
        if not isinstance(call.command, m.Lock | m.Take):
            return
        grant, rid = _read_grant(ok), call.command.rid
        if not grant.dup and not self._is_asked_again(call.connection, rid):
            self.engine.drop_call(call.connection, call.command.id, rid, grant.token)

    def _is_asked_again(self, connection: VirtualConnection, rid: str | None) -> bool:
        """Return whether an unanswered call has this rid."""
        if rid is None:
            return False
        commands = (call.command for call in connection.calls.values())
        return any(isinstance(command, m.Change) and command.rid == rid for command in commands)


class VirtualConnection(Connection):
    """The connection shared by all calls under one name. Replies are taken as they are queued, so nothing waits in
    it."""

    is_virtual = True

    def __init__(self, bounds: Bounds, wake: Callable[[Connection], None]) -> None:
        super().__init__(bounds, wake=wake)
        self.calls: dict[m.Id, Call] = {}
        """Unanswered calls, by id."""


class Call:
    """A command of a caller, and the future of its reply."""

    def __init__(self, registry: CallRegistry, connection: VirtualConnection, command: m.AnyCommand) -> None:
        self.connection = connection
        self.command = command
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The `ok` as JSON text, or a WaggleError."""
        self._registry = registry
        self._answered = False

    def resolve(self, ok: bytes | None = None, error: WaggleError | None = None) -> None:
        """Resolve the call with its `ok` or its error."""
        self._answered = True
        if not self.reply.cancelled():
            if error is not None:
                self.reply.set_exception(error)
            else:
                self.reply.set_result(ok or b"{}")
        elif ok is not None:
            self._registry.release_grant(self, ok)

    def cancel_or_release(self) -> None:
        """Cancel the call, or release its grant: the client has disconnected and has not read the reply."""
        if not self._answered:
            self.reply.cancel()
            self._registry.cancel(self)
        elif not self.reply.cancelled() and self.reply.exception() is None:
            self._registry.release_grant(self, self.reply.result())


class HttpCaller:
    """A caller without a connection: an agent by its name, or an anonymous caller."""

    def __init__(self, registry: CallRegistry, identity: Identity) -> None:
        self._registry = registry
        self._identity = identity

    def begin(self, op: str, fields: bytes) -> Call:
        """Submit a command whose fields are a JSON object. A caller that stops waiting for `reply` must call
        `drop`."""
        return self._registry.begin(self._identity, op, fields)

    async def ask(self, op: str, fields: bytes) -> bytes:
        """Return the `ok` of a command as JSON text; the fields are a JSON object. Raises a WaggleError."""
        call = self.begin(op, fields)
        try:
            return await call.reply
        except asyncio.CancelledError:
            call.cancel_or_release()
            raise

    async def call(self, op: str, fields: Mapping[str, Any]) -> Any:
        """Return the decoded `ok` of a command. Raises a WaggleError."""
        try:
            text = _write(fields)
        except (TypeError, UnicodeError, ValueError, RecursionError) as error:
            raise BadRequest(f"the fields are not JSON: {error}") from None
        return _read(await self.ask(op, text))

    async def catch_up(self, ns: str, since: m.Since | None, put: Put) -> m.Since:
        """Hand over the changes of a namespace, as `waggle.ops.Caller.catch_up`. Raises a WaggleError."""
        return await catch_up(self._registry.engine, ns, since, put)

"""The MCP door: the tools of `waggle.mcp` over streamable HTTP, for clients that need no program of ours.

Rules:
1. **Who calls is said by the address or the headers,** which a person has configured: ``X-Waggle-Agent`` or
   ``?agent=``, ``X-Waggle-Ns`` or ``?ns=``, and ``X-Waggle-Limit`` or ``?limit=``, the seconds that a call may take. No
   tool takes a name.
2. **Stateless:** every request stands alone, so a restart of the hub breaks nobody. What an agent holds is its
   session's (`state.callers`), and not the connection's.
3. **Loaded when it is first asked for,** in a thread: the SDK takes most of a second and 35 MB, and nobody else waits.
   Where it cannot be loaded, every request is told so.
4. Which browsers may knock the guard has said before (`guard`): the SDK's own checks, which know less, are off.
5. What a client gets wrong is answered, and no word in the hub's own output, which anybody could fill.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import JSONResponse

from waggle.errors import BadRequest, Unavailable
from waggle.mcp.changes import Put
from waggle.messages import Since
from waggle.paths import NOWHERE

from ..settings import Bounds
from .callers import Caller, Callers
from .exchange import Exchange

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from waggle.mcp.server import Calling, Context

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger("waggle_hub")


class Said(Struct):
    """Who calls, as far as that is said; the address may say other things too, to others."""

    agent: str | None = None
    ns: str | None = None
    limit: str | None = None


class McpDoor:
    """The ASGI application at ``/mcp``."""

    def __init__(self, callers: Callers, bounds: Bounds) -> None:
        self._callers, self._bounds = callers, bounds
        self._closing = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # there is nothing that the hub would say unasked, and no session to end
            refusal = BadRequest("this path takes POST, of a client of MCP", field="method")
            answer = JSONResponse({"error": refusal.to_wire()}, status_code=405, headers={"Allow": "POST"})
            await answer(scope, receive, send)
            return
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._manager))
        try:
            manager = await asyncio.shield(self._manager)
        except Exception as fault:
            error = Unavailable(f"{fault}: on the hub's machine, pip install 'wagglehub[hub]'")
            await JSONResponse({"error": error.to_wire()}, status_code=503)(scope, receive, send)
        else:
            await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End all that is under way."""
        self._closing.set()
        if self._serving is not None:
            await asyncio.wait([self._serving])

    async def _serve(self, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        try:
            manager = (await asyncio.to_thread(_load))(self)
        except Exception as fault:
            if not isinstance(fault, ImportError):
                log.exception("the tools of MCP cannot be loaded")
            ready.set_exception(fault)
            return
        async with manager.run():
            ready.set_result(manager)
            await self._closing.wait()

    @property
    def largest(self) -> int:
        """Bytes of a request: as much as one message may have elsewhere."""
        return self._bounds.message

    async def identify(self, context: Context) -> Calling:
        """Who makes this request. Raises WaggleError."""
        from waggle.mcp.server import Calling

        request = context.request
        assert isinstance(request, Request)
        agent, ns, limit = structs.astuple(_said(Exchange(request.scope, request.receive)))
        ns = ns or "default"
        seconds = None if limit is None else _seconds(limit)
        caller = self._callers.nameless(ns) if agent is None else self._callers.named(agent, ns)
        return Calling(Visitor(caller, agent, ns), NOWHERE, seconds)


class Visitor:
    """A caller as the tools want it. What it held and lost it learns when it uses it: no connection could tell it."""

    def __init__(self, caller: Caller, agent: str | None, ns: str) -> None:
        self._caller = caller
        self.agent = agent or ""
        self.ns = ns

    async def call(self, op: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """As `waggle.calling.Caller.call`."""
        ok: dict[str, Any] = await self._caller.call(op, fields)
        return ok

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """As `waggle.calling.Caller.catch_up`."""
        return await self._caller.catch_up(ns, since, put)

    def losses(self) -> list[str]:
        """None that anybody was told of."""
        return []


def _load() -> Callable[[McpDoor], StreamableHTTPSessionManager]:
    """What takes long to import. Raises ImportError."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings

    from waggle.mcp.server import make_server

    logging.getLogger("mcp").setLevel(logging.ERROR)

    def make(door: McpDoor) -> StreamableHTTPSessionManager:
        return StreamableHTTPSessionManager(
            make_server(door.identify),
            stateless=True,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=door.largest,
        )

    return make


def _seconds(limit: str) -> float:
    try:
        seconds = float(limit)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise BadRequest(f"limit is so many seconds, not {limit!r}", field="limit")
    return seconds


def _said(exchange: Exchange) -> Said:
    """What the headers say, or else the address. Raises BadRequest for what is no text, or comes twice."""
    address = exchange.query(Said)
    return Said(
        agent=exchange.header("x-waggle-agent") or address.agent or None,
        ns=exchange.header("x-waggle-ns") or address.ns or None,
        limit=exchange.header("x-waggle-limit") or address.limit or None,
    )

"""The MCP door: the tools of `waggle.mcp` over streamable HTTP, for clients that need no program of ours.

Rules:
1. **Who calls is said by the address or the headers,** which a person has configured: ``X-Waggle-Agent`` or
   ``?agent=``, ``X-Waggle-Ns`` or ``?ns=``, and ``X-Waggle-Limit`` or ``?limit=``, the seconds that a call may take. No
   tool takes a name. What cannot be meant, or is misspelt, is refused at once: so a client shows it to that person.
2. **Which tools there are,** too: ``X-Waggle-Profile`` or ``?profile=``, else Waggle's own (`waggle.mcp.PROFILES`).
3. **Stateless:** every request stands alone, so a restart of the hub breaks nobody. What an agent holds is its
   session's (`state.callers`), and not the connection's.
4. **Loaded when it is first asked for,** in a thread: the SDK takes most of a second and 35 MB, and nobody else waits.
   Where it cannot be loaded, every request is told so.
5. Which browsers may knock the guard has said before (`guard`): the SDK's own checks, which know less, are off.
6. What a client gets wrong is answered, and no word in the hub's own output, which anybody could fill.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from starlette.requests import Request

from waggle.mcp import NATIVE, PROFILES
from waggle.wire.changefeed import Put
from waggle.wire.errors import BadRequest, Unavailable
from waggle.wire.file_locks import UNKNOWN_ROOT
from waggle.wire.messages import Since
from waggle.wire.names import check_agent, check_ns
from waggle_hub.settings import Bounds

from .http.calls import CallRegistry, HttpCaller
from .http.exchange import Exchange
from .http.status_codes import refusal

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from waggle.mcp.server import Calling, Context

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger("waggle_hub")


_SAID = "waggle.said"
"""Where a request has what was said of who makes it, read once."""


class Said(NamedTuple):
    """Who calls, for which tools, and how many seconds a call may take, if that is said."""

    agent: str | None
    ns: str
    limit: float | None
    profile: str


class _Address(Struct, forbid_unknown_fields=True):
    """What of it may stand in the address."""

    agent: str | None = None
    ns: str | None = None
    limit: str | None = None
    profile: str | None = None


class McpEndpoint:
    """The ASGI application at ``/mcp``."""

    def __init__(self, callers: CallRegistry, bounds: Bounds) -> None:
        self._callers, self._bounds = callers, bounds
        self._closing = asyncio.Event()
        self._managers: dict[str, asyncio.Future[StreamableHTTPSessionManager]] = {}
        """By profile."""
        self._serving: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # there is nothing that the hub would say unasked, and no session to end
            wrong = BadRequest("this path takes POST, of a client of MCP", field="method")
            await refusal(wrong, 405, {"allow": "POST"})(scope, receive, send)
            return
        try:
            said = scope[_SAID] = _said(Exchange(scope, receive))
            manager = await asyncio.shield(self._manager(said.profile))
        except BadRequest as error:
            await refusal(error)(scope, receive, send)
        except Exception as fault:
            missing = Unavailable(f"{fault}: on the hub's machine, pip install 'wagglehub[hub]'")
            await refusal(missing)(scope, receive, send)
        else:
            await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End all that is under way."""
        self._closing.set()
        if self._serving:
            await asyncio.wait(self._serving)

    def _manager(self, profile: str) -> asyncio.Future[StreamableHTTPSessionManager]:
        """What serves a profile, from its first request on."""
        if profile not in self._managers:
            ready = self._managers[profile] = asyncio.get_running_loop().create_future()
            self._serving.add(asyncio.create_task(self._serve(profile, ready)))
        return self._managers[profile]

    async def _serve(self, profile: str, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        try:
            manager = (await asyncio.to_thread(_load, profile))(self)
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
        """Who makes this request."""
        from waggle.mcp.server import Calling

        request = context.request
        assert isinstance(request, Request)
        said = request.scope[_SAID]
        caller = self._callers.named(said.agent, said.ns) if said.agent else self._callers.nameless(said.ns)
        return Calling(McpCaller(caller, said.agent, said.ns), UNKNOWN_ROOT, said.limit)


class McpCaller:
    """A caller as the tools want it. What it held and lost it learns when it uses it: no connection could tell it."""

    def __init__(self, caller: HttpCaller, agent: str | None, ns: str) -> None:
        self._caller = caller
        self.agent = agent or ""
        self.ns = ns

    async def call(self, op: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """As `waggle.ops.Caller.call`."""
        ok: dict[str, Any] = await self._caller.call(op, fields)
        return ok

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """As `waggle.ops.Caller.catch_up`."""
        return await self._caller.catch_up(ns, since, put)

    def losses(self) -> list[str]:
        """None that anybody was told of."""
        return []


def _load(profile: str) -> Callable[[McpEndpoint], StreamableHTTPSessionManager]:
    """What takes long to import. Raises ImportError."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings

    from waggle.mcp.profiles import make_profile
    from waggle.mcp.server import make_server

    logging.getLogger("mcp").setLevel(logging.ERROR)

    made = make_profile(profile)

    def make(door: McpEndpoint) -> StreamableHTTPSessionManager:
        return StreamableHTTPSessionManager(
            make_server(made, door.identify),
            stateless=True,
            json_response=profile != NATIVE,  # a value is told whole there, and clients bound the events of a stream
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=door.largest,
        )

    return make


def _said(exchange: Exchange) -> Said:
    """What the headers say, or else the address. Raises BadRequest for what cannot be meant."""
    address = exchange.query(_Address)
    profile = exchange.header("x-waggle-profile") or address.profile or NATIVE
    if profile not in PROFILES:
        raise BadRequest(f"profile {profile!r} is none of {', '.join(PROFILES)}", field="profile")
    agent = exchange.header("x-waggle-agent") or address.agent or None
    ns = exchange.header("x-waggle-ns") or address.ns or "default"
    if agent is not None:
        check_agent(agent)
    check_ns(ns)
    return Said(
        agent=agent,
        ns=ns,
        limit=_seconds(exchange.header("x-waggle-limit") or address.limit or None),
        profile=profile,
    )


def _seconds(limit: str | None) -> float | None:
    if limit is None:
        return None
    try:
        seconds = float(limit)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise BadRequest(f"limit is so many seconds, not {limit!r}", field="limit")
    return seconds

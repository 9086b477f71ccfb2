"""MCP over streamable HTTP: the tools of `waggle.mcp`, for clients that need no program of ours.

Rules:
1. **The caller is configured,** by a person, in headers or the address: ``X-Waggle-Agent`` or ``?agent=``,
   ``X-Waggle-Ns`` or ``?ns=``, and ``X-Waggle-Limit`` or ``?limit=``, the seconds that a call may take. No tool
   takes a name. A value that makes no sense, or a misspelt name, is refused at once, so that the client shows it to
   that person.
2. **So is the set of tools:** ``X-Waggle-Profile`` or ``?profile=``, else Waggle's own (`waggle.mcp.PROFILES`).
3. **Stateless:** every request stands alone, so a restart of the hub breaks no client. Locks and jobs belong to the
   agent's session (`state.commands.http_sessions`), not to a connection.
4. **Loaded at the first request,** in a thread: the SDK takes most of a second and 35 MB. If it cannot be loaded,
   every request gets an error that says so.
5. Browsers were checked before (`origin_check`); the SDK's own checks, which know less, are off.
6. A client's mistakes are answered and not logged: anybody could fill the log with them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from starlette.requests import Request

from waggle.mcp import NATIVE, PROFILES
from waggle.wire.changefeed import Put
from waggle.wire.errors import BadRequest, Unavailable
from waggle.wire.file_locks import UNKNOWN_ROOT
from waggle.wire.messages import Since
from waggle_hub.settings import Bounds

from .asgi import Receive, Scope, Send
from .http.calls import CallRegistry, HttpCaller
from .http.exchange import Exchange
from .http.status_codes import refusal
from .identity import Identity, identify_by_address

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from waggle.mcp.server import Calling, Context


logger = logging.getLogger("waggle_hub")


_CONFIGURATION = "waggle.said"
"""Where a request has what was said of who makes it, read once."""


class McpConfiguration(NamedTuple):
    """The configuration in a request: the caller, its tools, and the seconds that a call may take, if given."""

    identity: Identity
    limit: float | None
    profile: str


class _Address(Struct, forbid_unknown_fields=True):
    """The query parameters of the address."""

    agent: str | None = None
    ns: str | None = None
    limit: str | None = None
    profile: str | None = None


class McpEndpoint:
    """The ASGI application at ``/mcp``."""

    def __init__(self, registry: CallRegistry, bounds: Bounds) -> None:
        self._registry, self._bounds = registry, bounds
        self._closing = asyncio.Event()
        self._managers: dict[str, asyncio.Future[StreamableHTTPSessionManager]] = {}
        """By profile."""
        self._serving: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # there is nothing that the hub would say unasked, and no session to end
            error = BadRequest("this path takes POST, of a client of MCP", field="method")
            await refusal(error, 405, {"allow": "POST"})(scope, receive, send)
            return
        try:
            configuration = scope[_CONFIGURATION] = _configuration(Exchange(scope, receive))
            manager = await asyncio.shield(self._manager(configuration.profile))
        except BadRequest as error:
            await refusal(error)(scope, receive, send)
        except Exception as fault:
            missing = Unavailable(f"{fault}: on the hub's machine, pip install 'wagglehub[hub]'")
            await refusal(missing)(scope, receive, send)
        else:
            await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """End all requests and managers."""
        self._closing.set()
        if self._serving:
            await asyncio.wait(self._serving)

    def _manager(self, profile: str) -> asyncio.Future[StreamableHTTPSessionManager]:
        """Return the manager of a profile, started at its first request."""
        if profile not in self._managers:
            ready = self._managers[profile] = asyncio.get_running_loop().create_future()
            self._serving.add(asyncio.create_task(self._serve(profile, ready)))
        return self._managers[profile]

    async def _serve(self, profile: str, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        try:
            manager = (await asyncio.to_thread(_load, profile))(self)
        except Exception as fault:
            if not isinstance(fault, ImportError):
                logger.exception("the tools of MCP cannot be loaded")
            ready.set_exception(fault)
            return
        async with manager.run():
            ready.set_result(manager)
            await self._closing.wait()

    @property
    def max_request_bytes(self) -> int:
        """The bytes that a request may have: as many as a WebSocket message."""
        return self._bounds.message

    async def identify(self, context: Context) -> Calling:
        """Return the caller of the current request."""
        from waggle.mcp.server import Calling

        request = context.request
        assert isinstance(request, Request)
        configuration = request.scope[_CONFIGURATION]
        caller = self._registry.caller(configuration.identity)
        return Calling(McpCaller(caller, configuration.identity), UNKNOWN_ROOT, configuration.limit)


class McpCaller:
    """A caller as the tools need it. Without a connection it learns of a lost lock when it uses the lock."""

    def __init__(self, caller: HttpCaller, identity: Identity) -> None:
        self._caller = caller
        self.agent = identity.agent or ""
        self.ns = identity.ns or ""

    async def call(self, op: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the decoded `ok` of a command, as `waggle.ops.Caller.call`."""
        ok: dict[str, Any] = await self._caller.call(op, fields)
        return ok

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        """Hand over the changes of a namespace, as `waggle.ops.Caller.catch_up`."""
        return await self._caller.catch_up(ns, since, put)

    def losses(self) -> list[str]:
        """Return no losses: a caller without a connection is not told of them."""
        return []


def _load(profile: str) -> Callable[[McpEndpoint], StreamableHTTPSessionManager]:
    """Import the SDK and return a maker of its manager. Raises ImportError."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings

    from waggle.mcp.profiles import make_profile
    from waggle.mcp.server import make_server

    logging.getLogger("mcp").setLevel(logging.ERROR)

    loaded = make_profile(profile)

    def make(endpoint: McpEndpoint) -> StreamableHTTPSessionManager:
        return StreamableHTTPSessionManager(
            make_server(loaded, endpoint.identify),
            stateless=True,
            json_response=profile != NATIVE,  # a value is told whole there, and clients bound the events of a stream
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=endpoint.max_request_bytes,
        )

    return make


def _configuration(exchange: Exchange) -> McpConfiguration:
    """Return the configuration of a request: headers first, else the address. Raises BadRequest."""
    address = exchange.query(_Address)
    profile = exchange.header("x-waggle-profile") or address.profile or NATIVE
    if profile not in PROFILES:
        raise BadRequest(f"profile {profile!r} is none of {', '.join(PROFILES)}", field="profile")
    return McpConfiguration(
        identity=identify_by_address(exchange, address.agent, address.ns),
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

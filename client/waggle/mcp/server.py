"""An MCP server of a profile's tools and of the resources, by the official SDK.

The server is made once. For each request it asks for the caller: the same each time over stdio, another over HTTP.
It keeps nothing between two requests, so a restart breaks no client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from mcp import types
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError

from waggle.mcp import resources
from waggle.mcp.call import Call
from waggle.mcp.parked_waits import Parking
from waggle.mcp.profiles.profile import Profile, ToolResult
from waggle.mcp.time_limits import TimeLimit, limit_of
from waggle.ops import Caller
from waggle.version import __version__
from waggle.wire.errors import Cancelled, WaggleError
from waggle.wire.file_locks import Place

__all__ = ["Calling", "make_server", "program_of"]

Context = ServerRequestContext[Any, Any]


class Calling(NamedTuple):
    """The caller of a request, its directory, and its time limit if configured."""

    caller: Caller
    place: Place
    limit: float | None


Identify = Callable[[Context], Awaitable[Calling]]
"""Who makes this request. Raises WaggleError if it cannot be served."""


def make_server(profile: Profile, identify: Identify, heard: Callable[[Context], None] | None = None) -> Server[Any]:
    """Make the server of a profile. ``heard`` is called when a client lists the tools, which all clients do first."""
    door = _Handlers(profile, identify, heard)
    entries: dict[str, Any] = {
        "on_list_resources": door.list_resources,
        "on_list_resource_templates": door.list_templates,
        "on_read_resource": door.read_resource,
        "on_subscriptions_listen": door.listen,
    }
    server: Server[Any] = Server(
        "waggle",
        version=__version__,
        title="Waggle",
        instructions=profile.instructions,
        on_list_tools=door.list_tools,
        on_call_tool=door.call_tool,
        **(entries if profile.resources else {}),
    )
    server.add_notification_handler("notifications/cancelled", types.CancelledNotificationParams, door.cancel)
    return server


def program_of(context: Context) -> str | None:
    """Return the name of the client program, if given."""
    client = context.session.client_params
    return None if client is None else client.client_info.name


class _Handlers:
    def __init__(self, profile: Profile, identify: Identify, heard: Callable[[Context], None] | None) -> None:
        self._profile, self._identify, self._heard = profile, identify, heard
        self._parking = Parking()
        self._running: dict[tuple[str, str, str], list[asyncio.Task[ToolResult]]] = {}
        """The calls under way, by agent, namespace and the client's own id of it."""

    async def list_tools(self, context: Context, params: object) -> types.ListToolsResult:
        if self._heard is not None:
            self._heard(context)
        return types.ListToolsResult(tools=self._profile.tools)

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            calling = await self._identify(context)
        except WaggleError as error:
            return _result(self._profile.refused(error))
        time_limit = TimeLimit(limit_of(calling.limit, program_of(context)), context.session.report_progress)
        call = Call(calling.caller, time_limit, calling.place, self._parking)
        work = asyncio.ensure_future(self._profile.call(params.name, params.arguments or {}, call))
        key = _key(calling.caller, context.request_id)
        self._running.setdefault(key, []).append(work)
        try:
            await asyncio.wait([work])
        finally:
            work.cancel()
            self._running[key].remove(work)
            if not self._running[key]:
                del self._running[key]
        if work.cancelled():
            return _result(self._profile.refused(Cancelled("The client has cancelled this call.")))
        return _result(work.result())

    async def cancel(self, context: Context, params: types.CancelledNotificationParams) -> None:
        """Cancel a call that the client has given up. Over stateless HTTP a call is known by the agent's name and
        its id only: if two calls share them, both go on, and so do calls of anonymous agents."""
        try:
            calling = await self._identify(context)
        except WaggleError:
            return
        if not calling.caller.agent:
            return
        running = self._running.get(_key(calling.caller, params.request_id), [])
        if len(running) == 1:
            running[0].cancel()

    async def list_resources(self, context: Context, params: object) -> types.ListResourcesResult:
        """List the first entries of the caller's namespace; the tool `list` finds the rest."""
        calling = await self._identified(context)
        with _told():
            page = await calling.caller.call("list", {"pattern": "*", "values": False, "limit": 100})
        found = [
            types.Resource(uri=resources.uri_of(one["ns"], one["key"]), name=one["key"], mime_type="application/json")
            for one in page["entries"]
        ]
        return types.ListResourcesResult(resources=found)

    async def list_templates(self, context: Context, params: object) -> types.ListResourceTemplatesResult:
        described = "An entry that agents share, with its revision and who wrote it."
        template = types.ResourceTemplate(
            uri_template=resources.TEMPLATE, name="entry", description=described, mime_type="application/json"
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        calling = await self._identified(context)
        with _told():
            text = await resources.read(calling.caller, str(params.uri))
        if text is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no entry {params.uri}", {"uri": str(params.uri)})
        contents = types.TextResourceContents(uri=params.uri, text=text, mime_type="application/json")
        return types.ReadResourceResult(contents=[contents])

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Tell of the resources that were named, until the client has heard enough."""
        bus = InMemorySubscriptionBus()
        uris = [str(uri) for uri in params.notifications.resource_subscriptions or ()]
        calling = await self._identified(context)
        with _told():
            listening = resources.Listening(calling.caller, uris)
            await listening.begin()

        async def tell(uri: str) -> None:
            await bus.publish(ResourceUpdated(uri=uri))

        handler = ListenHandler(bus)
        following = asyncio.ensure_future(listening.go_on(tell))
        following.add_done_callback(lambda _: handler.close())  # the hub is gone: the client may listen anew
        try:
            return await handler(context, params)
        finally:
            following.cancel()
            with suppress(WaggleError, asyncio.CancelledError):
                await following

    async def _identified(self, context: Context) -> Calling:
        with _told():
            return await self._identify(context)


class _told:  # noqa: N801 - reads as a statement
    """A block in which an error of the hub becomes an error of the protocol."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, WaggleError):
            raise MCPError(types.INVALID_PARAMS, error.message, {"code": error.code}) from None


def _key(caller: Caller, id: object) -> tuple[str, str, str]:
    return caller.agent, caller.ns, f"{id}"


def _result(answer: ToolResult) -> types.CallToolResult:
    content = [types.TextContent(type="text", text=answer.text)]
    return types.CallToolResult(content=list(content), structured_content=answer.structured, is_error=answer.failed)

"""Identity of a caller: the one place that reads it for single calls, streams and MCP.

Rules:
1. Headers come first. ``X-Waggle-Agent`` names the agent at every HTTP door. The namespace of a call is in its
   fields or its query; only MCP, whose address a person configures, also reads ``X-Waggle-Ns`` and the query
   parameters ``agent`` and ``ns``.
2. A call without a name is anonymous. The machine decides what anonymous callers may do.
3. A WebSocket says the same in the fields of its ``hello``, which the machine checks: one connection, one agent.

The hub asks for no access token yet: an ``Authorization`` header is accepted and ignored. A token of a single call,
a stream or MCP will be checked here. The dashboard's files, `/metrics`, `/healthz` and `/openapi.json` identify no
caller; every HTTP path passes `origin_check.OriginCheckMiddleware`.
"""

from __future__ import annotations

from typing import NamedTuple

from waggle.wire.names import check_agent, check_ns

from .http.exchange import Exchange

AGENT_HEADER = "x-waggle-agent"
NS_HEADER = "x-waggle-ns"


class Identity(NamedTuple):
    """A caller: the agent's name, None if the caller is anonymous, and its default namespace, None if not given."""

    agent: str | None
    ns: str | None


ANONYMOUS = Identity(None, None)


def identify(exchange: Exchange) -> Identity:
    """Return the caller of a request by its headers; the machine checks the names. Raises BadRequest."""
    return Identity(exchange.header(AGENT_HEADER), None)


def identify_by_address(exchange: Exchange, agent: str | None, ns: str | None) -> Identity:
    """Return the caller by its headers, else by these query parameters of its address. Raises BadRequest."""
    agent = exchange.header(AGENT_HEADER) or agent or None
    ns = exchange.header(NS_HEADER) or ns or "default"
    if agent is not None:
        check_agent(agent)
    check_ns(ns)
    return Identity(agent, ns)

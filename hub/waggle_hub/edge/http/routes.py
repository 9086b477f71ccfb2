"""Routes: the one table of all paths of HTTP.

`openapi` describes the same table, and a test holds the two together.
"""

from __future__ import annotations

from msgspec import Struct
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import BaseRoute, Route

from waggle_hub.engine.engine import Engine
from waggle_hub.settings import Settings

from .calls import CallRegistry
from .commands import OPS, HttpCommands
from .events import EventStream
from .exchange import Endpoint, no_such_path
from .export_import import ExportImport
from .health import Health
from .metrics import Metrics
from .openapi import Description
from .stream import Streams


class _Rest(PathConvertor):
    """The rest of a path, line breaks included: starlette's own convertor ends at a line break."""

    regex = r"(?s:.*)"


register_url_convertor("rest", _Rest())


class Handlers(Struct, frozen=True):
    """The parts of the hub that the routes lead to."""

    engine: Engine
    callers: CallRegistry
    streams: Streams
    settings: Settings


def endpoints(handlers: Handlers) -> dict[str, Endpoint]:
    """Return the endpoint of each path, as OpenAPI writes paths."""
    bounds, limits = handlers.settings.bounds, handlers.settings.limits
    http = HttpCommands(handlers.callers, bounds.message)
    portable = ExportImport(handlers.streams, handlers.callers, bounds, limits)
    health, metrics = Health(handlers.engine), Metrics(handlers.engine)
    return {
        "/v1/keys": Endpoint({"GET": http.list}),
        "/v1/keys/{key}": Endpoint({"GET": http.get, "PUT": http.put, "DELETE": http.delete}),
        "/v1/events": Endpoint({"GET": EventStream(handlers.streams).events}, head=False),
        "/v1/export": Endpoint({"GET": portable.export}, head=False),
        "/v1/import": Endpoint({"POST": portable.import_}),
        **{f"/v1/{op}": Endpoint({"POST": http.call}) for op in OPS},
        "/healthz": Endpoint({"GET": health.alive}),
        "/readyz": Endpoint({"GET": health.ready}),
        "/metrics": Endpoint({"GET": metrics.metrics}),
        "/openapi.json": Endpoint({"GET": Description().openapi}),
    }


def routes(handlers: Handlers) -> list[BaseRoute]:
    """Return the routes of all endpoints, and a response for every other path below `/v1`."""
    all_routes: list[BaseRoute] = [
        Route(path.replace("{key}", "{key:rest}"), endpoint) for path, endpoint in endpoints(handlers).items()
    ]
    not_found = dict.fromkeys(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"), no_such_path)
    return [*all_routes, Route("/v1/{rest:rest}", Endpoint(not_found)), Route("/v1", Endpoint(not_found))]

"""The OpenAPI 3.1 description of HTTP, made of the vocabulary (`waggle.wire.messages`) and the status codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, structs
from starlette.responses import Response

from waggle.version import __version__
from waggle.wire import messages as m
from waggle.wire.limits import MAX_AGENT_CHARS, MAX_KEY_CHARS
from waggle.wire.names import AGENT_REGEX
from waggle_hub.edge.asgi import App

from .commands import OPS, DeleteQuery, GetQuery, ListQuery, OpQuery, PutQuery
from .events import EventsQuery
from .exchange import Exchange
from .export_import import NDJSON, ExportQuery, Imported, ImportQuery
from .status_codes import JSON, STATUSES

_REF = "#/components/schemas/{name}"
_REASONS = {
    400: "What was asked is no command of the hub: `field` names what to correct.",
    401: "The hub asks for a token.",
    403: "This caller may not do that: `need` names the right that is missing.",
    404: "There is no such entry, op or path.",
    405: "This path does not take this method: `Allow` says which it takes.",
    408: "It did not come about in the time given.",
    409: "Not as things stand now: conflict, locked, not_holder, deadlock, cancelled or session_lost.",
    413: "The body or a value is larger than `limit` bytes.",
    429: "A bound of the hub or of this caller is reached: `limit` is that bound.",
    500: "A fault of the hub; `id` is also in its own output.",
    503: "The hub cannot do this now: come back after `retry_after` seconds.",
}
_AGENT = {
    "name": "X-Waggle-Agent",
    "in": "header",
    "description": "Who calls, in UTF-8. Only who has a name can lock, take, or tie entries to a session.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_AGENT_CHARS, "pattern": f"^{AGENT_REGEX}$"},
}
_KEY = {
    "name": "key",
    "in": "path",
    "required": True,
    "description": "The key, percent-encoded; slashes may stand as they are.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
}


class Description:
    """The handler of `GET /openapi.json`."""

    def __init__(self) -> None:
        self._text = msgspec.json.encode(describe())

    async def openapi(self, exchange: Exchange) -> App:
        """Handle `GET /openapi.json`."""
        return Response(self._text, media_type=JSON)


def describe() -> dict[str, Any]:
    """Build the whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Waggle",
            "version": __version__,
            "description": "The hub where agents that work on the same thing find each other. Durations are seconds, "
            "instants end in `_at` and are Unix seconds.",
        },
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths() -> dict[str, Any]:
    read, write = (400, 401, 403, 404, 429, 500, 503), (400, 401, 403, 404, 409, 413, 429, 500, 503)
    none_match = _header("If-None-Match", "The ETag that the caller has, or for a write `*`: only if there is none.")
    match = _header("If-Match", "The ETag that the entry must have; `*`: only if there is one.")
    etag = {"ETag": {"description": "The revision of the entry.", "schema": {"type": "string"}}}
    paths: dict[str, Any] = {
        "/v1/keys": {"get": _operation("listKeys", m.List, m.Listed, [_AGENT, *_query(ListQuery)], read)},
        "/v1/keys/{key}": {
            "get": _operation(
                "getKey", m.Get, m.Got, [_KEY, _AGENT, none_match, *_query(GetQuery)], read, headers=etag, extra={304}
            ),
            "put": _operation(
                "putKey", m.Set, m.Written, [_KEY, _AGENT, match, none_match, *_query(PutQuery)], write, headers=etag,
                body={"schema": {"description": "The value."}},
            ),
            "delete": _operation(
                "deleteKey", m.Delete, m.Deleted, [_KEY, _AGENT, match, none_match, *_query(DeleteQuery)], write
            ),
        },
        "/v1/events": {
            "get": _stream_operation(
                "events", "Events as they happen (Server-Sent Events).", "text/event-stream",
                [_AGENT, _header("Last-Event-ID", "Go on after this one, `epoch:rev`."), *_query(EventsQuery)], read,
            )
        },
        "/v1/export": {
            "get": _stream_operation("export", "Entries as JSON lines.", NDJSON, [_AGENT, *_query(ExportQuery)], read),
        },
        "/v1/import": {
            "post": {
                **_operation("import", "Write what was exported.", Imported, [_AGENT, *_query(ImportQuery)], write),
                "requestBody": {
                    "required": True, "content": {NDJSON: {"schema": {"type": "string"}}},
                },
            }
        },
    }  # fmt: skip
    for op, command in OPS.items():
        statuses = (400, 401, 403, 404, 408, 409, 413, 429, 500, 503)
        body = {"schema": {"$ref": _REF.format(name=command.__name__)}}
        paths[f"/v1/{op}"] = {
            "post": _operation(op, command, m.REPLIES[command], [_AGENT, *_query(OpQuery)], statuses, body=body)
        }
    alive = {"description": "Yes.", "content": {JSON: {"schema": {"type": "object"}}}}
    paths["/healthz"] = {"get": {"operationId": "healthz", "summary": "Is it alive?", "responses": {"200": alive}}}
    ready = {"200": alive, **_errors((503,))}
    paths["/readyz"] = {"get": {"operationId": "readyz", "summary": "Does it accept everything?", "responses": ready}}
    text = {"description": "All metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    paths["/metrics"] = {"get": {"operationId": "metrics", "summary": "For Prometheus.", "responses": {"200": text}}}
    here = {"description": "This document.", "content": {JSON: {"schema": {"type": "object"}}}}
    paths["/openapi.json"] = {"get": {"operationId": "openapi", "summary": "This.", "responses": {"200": here}}}
    return paths


def _operation(
    name: str,
    about: type[m.Command] | str,
    reply: type[Struct],
    parameters: list[dict[str, Any]],
    statuses: Iterable[int],
    *,
    headers: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    extra: Iterable[int] = (),
) -> dict[str, Any]:
    text = about if isinstance(about, str) else (about.__doc__ or "")
    done: dict[str, Any] = {
        "description": (reply.__doc__ or "").split("\n")[0],
        "content": {JSON: {"schema": {"$ref": _REF.format(name=reply.__name__)}}},
    }
    if headers is not None:
        done["headers"] = headers
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": text.split("\n")[0],
        "parameters": parameters,
        "responses": {
            "200": done,
            **{str(status): {"description": "The caller has it already."} for status in extra},
            **_errors(statuses),
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: body}}
    return operation


def _stream_operation(
    name: str, summary: str, type: str, parameters: list[dict[str, Any]], statuses: Iterable[int]
) -> dict[str, Any]:
    """Describe an operation whose response is a text that is sent as it comes."""
    done = {"description": summary, "content": {type: {"schema": {"type": "string"}}}}
    responses = {"200": done, **_errors(statuses)}
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": responses}


def _errors(statuses: Iterable[int]) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": _REF.format(name="Refusal")}}}
    return {str(status): {"description": _REASONS[status], "content": content} for status in statuses}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _query(type: type[Struct]) -> list[dict[str, Any]]:
    """Return the parameters that the fields of a struct describe."""
    schema = msgspec.json.schema(type)["$defs"][type.__name__]
    return [
        {"name": field.encode_name, "in": "query", "schema": _without_null(schema["properties"][field.encode_name])}
        for field in structs.fields(type)
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null: a parameter is present or absent."""
    if "anyOf" in schema:
        (schema_of_value,) = [option for option in schema["anyOf"] if option != {"type": "null"}]
        return dict(schema_of_value)
    return schema


def _schemas() -> dict[str, Any]:
    """Return the schemas of command bodies, replies and errors."""
    commands = list(OPS.values())
    replies = [m.REPLIES[command] for command in commands]
    _, schemas = msgspec.json.schema_components([*commands, *replies, Imported], ref_template=_REF)
    for command in commands:
        schema = schemas[command.__name__]
        for name in ("op", "id"):
            schema["properties"].pop(name, None)
        schema["properties"]["id"] = {
            "anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 64, "pattern": "^[^$]"}],
            "description": "Names the call for `cancel`; given by the hub otherwise.",
        }
        schema["required"] = [name for name in schema.get("required", []) if name not in ("op", "id")]
    schemas["Refusal"] = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"code": {"enum": sorted(STATUSES)}, "message": {"type": "string"}},
                "required": ["code", "message"],
            }
        },
        "required": ["error"],
    }
    return schemas

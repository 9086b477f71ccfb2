"""The description of the HTTP door: it is OpenAPI, and it tells of everything that is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from waggle.wire import messages as m
from waggle.wire.errors import BY_CODE, BadRequest
from waggle.wire.names import check_agent
from waggle_hub.app import build
from waggle_hub.edge.http.commands import OPS
from waggle_hub.edge.http.exchange import Endpoint
from waggle_hub.edge.http.openapi import describe
from waggle_hub.edge.http.routes import Handlers, endpoints
from waggle_hub.edge.http.status_codes import STATUSES
from waggle_hub.settings import Settings

NEED_A_CONNECTION = {"hello", "bye", "subscribe", "unsubscribe"}


async def all_endpoints() -> dict[str, Endpoint]:
    hub = build(Settings())
    return endpoints(Handlers(hub.engine, hub.callers, hub.streams, hub.settings))


def test_the_description_is_valid_openapi() -> None:
    validate(describe(), cls=OpenAPIV31SpecValidator)


async def test_each_op_has_its_route_and_its_description() -> None:
    found, described = await all_endpoints(), describe()["paths"]
    for op in m.OPS.keys() - NEED_A_CONNECTION:
        assert list(found[f"/v1/{op}"].handlers) == ["POST"]
        body = described[f"/v1/{op}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["$ref"].endswith(f"/{m.OPS[op].__name__}")
    for op in NEED_A_CONNECTION:
        assert f"/v1/{op}" not in found


async def test_the_description_lists_exactly_the_existing_routes() -> None:
    routes = {
        path: {method.lower() for method in endpoint.handlers} for path, endpoint in (await all_endpoints()).items()
    }
    assert {path: set(operations) for path, operations in describe()["paths"].items()} == routes


def test_fields_are_those_of_the_vocabulary() -> None:
    schemas = describe()["components"]["schemas"]
    for op in m.OPS.keys() - NEED_A_CONNECTION:
        command = m.OPS[op]
        fields = set(command.__struct_encode_fields__)
        schema: dict[str, Any] = schemas[command.__name__]
        assert set(schema["properties"]) == fields
        assert schema["additionalProperties"] is False
        assert not {"op", "id"} & set(schema["required"])


async def test_the_page_for_users_names_every_op_path_and_code() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "http.md").read_text()
    words = set(re.findall(r"[\w/.]+", page))
    assert words >= m.OPS.keys()
    assert words >= STATUSES.keys()
    for path in await all_endpoints():
        assert path.partition("{")[0].rstrip("/") in words or path.removeprefix("/v1/") in OPS


@pytest.mark.parametrize("name", [
    "impl-1", "агент ü", "рабочий 7", "名前", "x" * 100, "a$b", "\U0001f41d", "", "$hub", " a", "a ", "\xa0a",
    "x" * 101, "a\tb", "a\x7f", "a\x85b", "a\ud800",
])  # fmt: skip
def test_it_says_of_a_name_what_the_hub_says(name: str) -> None:
    ping = describe()["paths"]["/v1/ping"]["post"]["parameters"]
    (said,) = [one["schema"] for one in ping if one["name"] == "X-Waggle-Agent"]
    try:
        check_agent(name)
        good = True
    except BadRequest:
        good = False
    assert (re.search(said["pattern"], name) is not None and len(name) <= said["maxLength"]) is good


def test_every_code_has_a_status() -> None:
    assert STATUSES.keys() == BY_CODE.keys()

"""Whatever fits /openapi.json is answered as that says: what is made up at random finds nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.e2e.hubs import HubProcess
from waggle_hub.edge.http.openapi import describe

pytestmark = pytest.mark.e2e
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    unsupported_method,
]  # fmt: skip
LONGEST = 0.05
"""Seconds that anything may wait here."""


@pytest.fixture(scope="module")
def hub() -> Iterator[HubProcess]:
    hub = HubProcess()
    try:
        yield hub
        assert hub.alive()
        assert not hub.said()
    finally:
        hub.stop()
        hub.close()


schema = schemathesis.openapi.from_dict(describe()).exclude(path=["/v1/events", "/v1/import", "/v1/backup"])
"""All but what has no end, takes lines, or writes to the disk."""


@schema.parametrize()
@settings(
    max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_random_requests_are_answered_as_described(hub: HubProcess, case: Any) -> None:
    if isinstance(case.body, dict):
        for name in ("wait", "timeout"):
            if name in case.body or (name == "timeout" and case.operation.path == "/v1/wait"):
                case.body[name] = min(LONGEST, case.body.get(name) or 0) if _is_number(case.body.get(name)) else LONGEST
    agent = case.headers.get("X-Waggle-Agent")
    if agent is not None:
        case.headers["X-Waggle-Agent"] = agent.encode().decode("latin-1")  # what is sent is UTF-8
    case.call_and_validate(base_url=hub.url, checks=CHECKS, timeout=10)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

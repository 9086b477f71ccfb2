"""Profiles: the same hub by the tools of earlier systems, by the official client in both eras of the protocol."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

import waggle
from tests.e2e.hubs import HubProcess
from tests.e2e.mcp.windows import MODES
from tests.e2e.mcp.windows import http as mcp_http

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("mode_", MODES)
async def test_a_client_chooses_its_tools_by_the_address(mode_: str, hub: HubProcess, ns: str) -> None:
    async with (
        mcp_http(mode_, hub.url, "impl", ns, profile="octocode") as window,
        waggle.connect(hub.url, ns=ns) as python,
    ):
        tools = (await window.client.list_tools()).tools
        assert [tool.name for tool in tools] == ["setStorage", "getStorage", "deleteStorage"]
        await window("setStorage", key="task:1", value="{}")
        entry = await python.get("task:1")
        assert entry is not None
        assert (entry.value, entry.by) == ("{}", "impl")


def test_a_profile_that_there_is_not_is_refused_with_those_that_there_are(hub: HubProcess) -> None:
    request = urllib.request.Request(f"{hub.url}/mcp?profile=redis", b"{}", {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value:
        error = json.load(refused.value)["error"]
    assert (refused.value.code, error["field"]) == (400, "profile")
    assert "native, octocode" in error["message"]

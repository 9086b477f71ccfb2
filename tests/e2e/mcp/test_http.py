"""``/mcp``: the hub's own door for models, by the official client in both eras of the protocol."""

from __future__ import annotations

import asyncio
import http.client
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.subscriptions import ResourceUpdated, SubscriptionLost
from mcp.shared.exceptions import MCPError

import waggle
from tests.e2e.cli.shell import SOON
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.mcp.mcp_clients import MODES, McpClient, give_up_waiting
from tests.e2e.mcp.mcp_clients import http as mcp_http
from tests.e2e.web import until_waiting

pytestmark = pytest.mark.e2e
both = pytest.mark.parametrize("mode_", MODES)


@both
async def test_an_entry_written_by_a_model_is_read_by_all_others(mode_: str, hub: HubProcess, ns: str) -> None:
    async with mcp_http(mode_, hub.url, "impl", ns) as window, waggle.connect(hub.url, ns=ns) as python:
        assert len((await window.client.list_tools()).tools) == 12
        await window("set", key="task:1", value={"n": 1})
        entry = await python.get("task:1")
        assert entry is not None
        assert (entry.value, entry.by) == ({"n": 1}, "impl")
        assert (await window("who"))["you"] == {"agent": "impl", "namespace": ns}


@both
async def test_a_lock_outlives_its_call_and_keeps_others_out(mode_: str, hub: HubProcess, ns: str) -> None:
    async with (
        mcp_http(mode_, hub.url, f"a-{mode_}", ns) as one,
        mcp_http(mode_, hub.url, f"b-{mode_}", ns) as other,
    ):
        token = (await one("lock", names=["src/a.py"]))["token"]
        refused = await other("lock", names=["./src/a.py"])
        assert (refused["granted"], refused["held_by"][0]["agent"]) == (False, f"a-{mode_}")
        waiting = asyncio.ensure_future(other("lock", names=["src/a.py"], timeout=SOON))
        async with asyncio.timeout(SOON):
            while "waiting" not in (await one("who"))["locks"][0]:
                await asyncio.sleep(0.05)
        await one("unlock", token=token)
        assert (await waiting)["token"] > token


@both
async def test_a_lock_keeps_its_place_between_two_calls_that_are_too_short(
    mode_: str, hub: HubProcess, ns: str
) -> None:
    async with (
        waggle.connect(hub.url, agent="python", ns=ns) as python,
        waggle.connect(hub.url, agent="later", ns=ns) as later,
        mcp_http(mode_, hub.url, f"a-{ns}", ns) as window,
    ):
        lock = await python.lock("a")
        first = await window("lock", names=["a"], timeout=0.2)
        assert (first["granted"], first["code"], first["held_by"][0]["agent"]) == (False, "timeout", "python")
        waiting = asyncio.ensure_future(later.lock("a", wait=SOON).acquire())
        async with asyncio.timeout(SOON):
            while len((await python.locks("a"))[0].queue) < 2:
                await asyncio.sleep(0.05)
        await lock.release()
        second = await window("lock", cursor=first["cursor"], timeout=SOON)
        assert (second["granted"], second["names"]) == (True, ["a"])
        assert not waiting.done()
        await window("unlock", token=second["token"])
        assert (await waiting).token > second["token"]


@both
async def test_a_deadlock_of_waiting_calls_is_refused_at_once(mode_: str, hub: HubProcess, ns: str) -> None:
    async with mcp_http(mode_, hub.url, f"a-{ns}", ns) as one, mcp_http(mode_, hub.url, f"b-{ns}", ns) as other:
        await one("lock", names=["a"])
        token = (await other("lock", names=["b"]))["token"]
        waiting = asyncio.ensure_future(one("lock", names=["b"], timeout=SOON))
        async with asyncio.timeout(SOON):
            while not any("waiting" in lock for lock in (await other("who"))["locks"]):
                await asyncio.sleep(0.05)
        refused = await other.refused("lock", names=["a"], timeout=SOON)
        assert refused["code"] == "deadlock"
        assert "unlock" in refused["next"]
        await other("unlock", token=token)
        assert (await waiting)["granted"] is True


@both
async def test_a_window_outlives_a_restart_of_the_hub(mode_: str, start_hub: StartHub, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path / "data")
    port = hub.port
    async with mcp_http(mode_, hub.url, "impl", "shop") as window:
        token = (await window("lock", names=["a"]))["token"]
        await window("set", key="k", value=1)
        waiting = asyncio.ensure_future(window.result("wait", keys=["never"], timeout=50))
        await until_waiting(hub)
        hub.stop()
        interrupted = (await asyncio.gather(waiting, return_exceptions=True))[0]
        if not isinstance(interrupted, BaseException):
            assert interrupted.structured_content["error"]["code"] == "unavailable"
        start_hub(data=tmp_path / "data", port=port)
        assert (await window("get", key="k"))["value"] == 1
        assert (await window("unlock", token=token))["released"] is True


@both
async def test_a_call_that_gives_up_leaves_nothing_waiting(mode_: str, hub: HubProcess, ns: str) -> None:
    async with (
        waggle.connect(hub.url, agent="python", ns=ns) as python,
        mcp_http(mode_, hub.url, f"impl-{ns}", ns) as window,
    ):
        await give_up_waiting(window, python)


async def test_a_connection_that_is_dropped_leaves_nothing_waiting(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, agent="python", ns=ns) as python, python.lock("a"):
        call = {"name": "lock", "arguments": {"names": ["a"], "timeout": 50}}
        dropped = http.client.HTTPConnection("127.0.0.1", hub.port)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        dropped.request("POST", f"/mcp?agent=dropped&ns={ns}", body, ACCEPTED)
        async with asyncio.timeout(SOON):
            while not any(one.queue for one in await python.locks("a")):
                await asyncio.sleep(0.05)
        dropped.close()
        async with asyncio.timeout(SOON):
            while any(one.queue for one in await python.locks("a")):
                await asyncio.sleep(0.05)


async def test_anonymous_clients_can_read_and_write_but_not_lock(hub: HubProcess, ns: str) -> None:
    async with Client(f"{hub.url}/mcp?ns={ns}", mode="legacy") as client:
        window = McpClient(client)
        await window("set", key="a", value=1)
        assert (await window("who"))["you"]["agent"] is None
        for tool, said in (("lock", {"names": ["a"]}), ("take", {"pattern": "*"}), ("inbox", {})):
            assert (await window.refused(tool, **said))["code"] == "bad_request"


async def test_a_subscriber_of_a_resource_is_told_of_its_changes(hub: HubProcess, ns: str) -> None:
    async with (
        mcp_http("auto", hub.url, "listener", ns) as window,
        waggle.connect(hub.url, agent="python", ns=ns) as python,
    ):
        heard, other = f"waggle://{ns}/heard", f"waggle://{ns}/other"
        async with window.client.listen(resource_subscriptions=[heard]) as events:
            heard_of = aiter(events)
            await python.set("other", 1)
            for change in (python.set("heard", 2), python.delete("heard")):
                await change
                event = await asyncio.wait_for(anext(heard_of), SOON)
                assert isinstance(event, ResourceUpdated)
                assert event.uri == heard
        await python.set("heard", 3)
        read = await window.client.read_resource(heard)
        assert json.loads(read.contents[0].text)["value"] == 3  # type: ignore[union-attr]
        with pytest.raises(MCPError):
            await window.client.read_resource(other.replace("other", "absent"))
        assert heard in [f"{one.uri}" for one in (await window.client.list_resources()).resources]


async def test_a_stopping_hub_does_not_wait_for_listeners_or_waiting_calls(start_hub: StartHub) -> None:
    hub, listens = start_hub(), asyncio.Event()
    async with mcp_http("auto", hub.url, "listener", "shop") as window:

        async def listen() -> None:
            with suppress(SubscriptionLost):
                async with window.client.listen(resource_subscriptions=["waggle://shop/a"]) as events:
                    listens.set()
                    async for _ in events:
                        pass

        under_way: list[asyncio.Future[Any]] = [asyncio.ensure_future(listen())]
        under_way.append(asyncio.ensure_future(window.result("wait", keys=["never"], timeout=50)))
        await listens.wait()
        began = asyncio.get_running_loop().time()
        assert await asyncio.to_thread(hub.stop) == 0
        assert asyncio.get_running_loop().time() - began < 12
        async with asyncio.timeout(SOON):
            await asyncio.gather(*under_way, return_exceptions=True)


# --- who may knock -----------------------------------------------------------------------------------------------

ACCEPTED = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
WRITE = {"name": "set", "arguments": {"key": "evil", "value": 1}}


def post(hub: HubProcess, path: str, body: Any, headers: dict[str, str], method: str = "POST") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=SOON)
    try:
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
async def test_a_page_of_another_site_gets_nowhere(hub: HubProcess, ns: str, headers: dict[str, str]) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": WRITE}
    status, _ = await asyncio.to_thread(post, hub, f"/mcp?ns={ns}", body, {**ACCEPTED, **headers})
    assert 400 <= status < 500
    async with waggle.connect(hub.url, ns=ns) as python:
        assert await python.get("evil") is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","id":1,"method":"x"}', b"["
     * 100_000, b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}'],
)  # fmt: skip
async def test_a_body_that_is_no_request_is_answered_and_not_logged(hub: HubProcess, ns: str, body: bytes) -> None:
    async with waggle.connect(hub.url, ns=ns) as python:
        status, _ = await asyncio.to_thread(post, hub, f"/mcp?ns={ns}", body, ACCEPTED)
        assert 200 <= status < 500
        assert (await python.ping()).rev > 0


async def test_the_address_is_answered_without_a_redirect(hub: HubProcess) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    status, text = await asyncio.to_thread(post, hub, "/mcp", body, ACCEPTED)
    assert status == 200
    assert b"inbox" in text


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_no_stream_to_wait_on_and_no_session_to_end(hub: HubProcess, method: str) -> None:
    status, text = await asyncio.to_thread(post, hub, "/mcp", b"", ACCEPTED, method)
    assert status == 405
    assert b"this path takes POST" in text


async def test_headers_name_the_agent_and_override_the_address(hub: HubProcess, ns: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "who", "arguments": {}}}
    said = {"X-Waggle-Agent": "\u00fcbersetzer".encode().decode("latin-1"), "X-Waggle-Ns": ns}
    status, text = await asyncio.to_thread(post, hub, "/mcp?agent=other&ns=other", body, {**ACCEPTED, **said})
    assert status == 200
    line = next(line for line in text.decode().splitlines() if line.startswith("data: {"))
    reply = json.loads(line.removeprefix("data: "))["result"]["structuredContent"]
    assert reply["you"] == {"agent": "\u00fcbersetzer", "namespace": ns}


@pytest.mark.parametrize("query", [
    "agent=%24hub", "ns=a%20b", "agent=" + "x" * 200, "limit=soon", "limit=nan", "limit=-1", "profile=redis",
])  # fmt: skip
async def test_an_invalid_value_in_the_address_is_refused_at_once(hub: HubProcess, query: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": WRITE}
    status, text = await asyncio.to_thread(post, hub, f"/mcp?{query}", body, ACCEPTED)
    assert status == 400
    assert b"bad_request" in text


@pytest.mark.parametrize(("query", "field"), [
    ("agnet=reviewer", "agnet"), ("agent=a&namespace=shop", "namespace"), ("Agent=a", "Agent"),
    ("agent=a&agent=b", "agent"), ("agent=%FF", None),
])  # fmt: skip
async def test_an_address_that_is_misspelt_is_refused_from_the_first_request_on(
    hub: HubProcess, query: str, field: str | None
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    status, text = await asyncio.to_thread(post, hub, f"/mcp?{query}", body, ACCEPTED)
    error = json.loads(text)["error"]
    assert (status, error["code"], error.get("field")) == (400, "bad_request", field)
    if field not in (None, "agent"):
        assert "agent, ns, limit" in error["message"]


@pytest.mark.parametrize("name", ["X-Waggle-Agent", "X-Waggle-Ns", "X-Waggle-Limit", "X-Waggle-Profile"])
async def test_a_header_that_is_no_text_is_refused_as_everywhere(hub: HubProcess, name: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": WRITE}
    status, text = await asyncio.to_thread(post, hub, "/mcp", body, {**ACCEPTED, name: "\xff"})
    assert status == 400
    assert b"not UTF-8" in text

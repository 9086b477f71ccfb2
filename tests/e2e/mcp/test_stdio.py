"""`waggle mcp`: what an editor's window has of it, by the official client in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import waggle
from tests.e2e.cli.shell import SOON, WAGGLE, Restarting, environment
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.mcp.mcp_clients import MODES, give_up_waiting, stdio
from tests.e2e.web import until_waiting
from waggle.cli.process.background_hub import hub_answers

pytestmark = pytest.mark.e2e
both = pytest.mark.parametrize("mode_", MODES)


@pytest.fixture
def env(hub: HubProcess, ns: str) -> dict[str, str]:
    return {"WAGGLE_URL": hub.url, "WAGGLE_NS": ns}


@both
async def test_an_entry_written_by_a_client_is_read_by_all_others(
    mode_: str, hub: HubProcess, ns: str, env: dict[str, str]
) -> None:
    async with stdio(mode_, env) as window, waggle.connect(hub.url, agent="python", ns=ns) as python:
        assert len((await window.client.list_tools()).tools) == 12
        written = await window("set", key="task:1", value={"n": 1}, ttl=60)
        entry = await python.get("task:1")
        assert entry is not None
        assert (entry.value, entry.rev) == ({"n": 1}, written["rev"])
        await python.set("task:2", "hello")
        read = await window("get", key="task:2")
        assert (read["value"], read["by"]) == ("hello", "python")
        assert "data" in read["note"]
        assert [one["key"] for one in (await window("list", pattern="task:*"))["entries"]] == ["task:1", "task:2"]
        assert (await window("delete", key="task:1"))["deleted"] is True
        assert (await window.refused("set", key="task:2", value=1, if_rev=0))["code"] == "conflict"


async def test_two_windows_have_two_names_and_see_each_other(mode_: str, env: dict[str, str]) -> None:
    async with stdio(mode_, env) as one, stdio(mode_, env) as other:
        me, you = (await one("who"))["you"], (await other("who"))["you"]
        assert me["agent"] != you["agent"]
        assert me["namespace"] == you["namespace"] == env["WAGGLE_NS"]
        assert you["agent"] in [agent["agent"] for agent in (await one("who"))["agents"]]


async def test_a_name_that_is_configured_is_the_name(mode_: str, env: dict[str, str]) -> None:
    async with (
        stdio(mode_, {**env, "WAGGLE_AGENT": f"impl-{mode_}"}) as one,
        stdio(mode_, env, "--agent", f"{mode_}-2") as two,
    ):
        assert (await one("who"))["you"]["agent"] == f"impl-{mode_}"
        assert (await two("who"))["you"]["agent"] == f"{mode_}-2"


async def test_a_lock_keeps_others_out_and_ends_with_its_window(
    mode_: str, hub: HubProcess, ns: str, env: dict[str, str]
) -> None:
    async with waggle.connect(hub.url, agent="python", ns=ns) as python:
        async with stdio(mode_, env) as window:
            token = (await window("lock", names=["src/a.py"]))["token"]
            with pytest.raises(waggle.Locked):
                await python.lock("src/a.py")
            with pytest.raises(waggle.Locked):
                await python.set("src/a.py", 1)
            assert (await window("set", key="src/a.py", value=1, token=token))["rev"] > token
            assert (await window("lock", token=token, ttl=60))["renewed"] is True
        lock = await python.lock("src/a.py", wait=SOON)
        assert lock.token > token


async def test_a_window_that_is_told_to_end_lets_go_at_once(hub: HubProcess, ns: str, env: dict[str, str]) -> None:
    started = [WAGGLE, "mcp", "--agent", "short"]
    window = subprocess.Popen(
        started, env=environment(**env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert window.stdin is not None
    assert window.stderr is not None
    meta = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    lines: list[dict[str, object]] = [
        {"id": 1, "method": "initialize", "params": meta},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ]
    for line in lines:
        window.stdin.write(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")
    window.stdin.flush()
    assert b"short" in window.stderr.readline()  # it is there, before any tool was called
    async with waggle.connect(hub.url, ns=ns) as python:
        assert "short" in [entry.key for entry in await python.agents()]
        window.send_signal(signal.SIGTERM)
        await python.wait_any([{"key": "short", "ns": "$agents", "absent": True}], timeout=10)  # grace is 15 s
    with window:
        assert await asyncio.to_thread(window.wait, SOON) == 128 + signal.SIGTERM


@both
async def test_a_call_that_gives_up_leaves_nothing_waiting(
    mode_: str, hub: HubProcess, ns: str, env: dict[str, str]
) -> None:
    async with waggle.connect(hub.url, agent="python", ns=ns) as python, stdio(mode_, env) as window:
        await give_up_waiting(window, python)


@both
async def test_a_waiting_call_reports_the_holder_every_ten_seconds(
    mode_: str, hub: HubProcess, ns: str, env: dict[str, str]
) -> None:
    told: list[str] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with waggle.connect(hub.url, agent="impl-2", ns=ns) as other, stdio(mode_, env) as window:
        async with other.lock("task:7"):
            said = {"names": ["task:7"], "timeout": 15}
            result = await window.client.call_tool("lock", said, progress_callback=tell)
        assert result.structured_content["code"] == "timeout"
        assert not result.is_error
        assert len(told) == 1
        assert told[0].startswith("waiting for task:7 (held by impl-2, ")


async def test_a_wait_returns_with_what_came(mode_: str, hub: HubProcess, ns: str, env: dict[str, str]) -> None:
    async with waggle.connect(hub.url, agent="python", ns=ns) as python, stdio(mode_, env) as window:
        waiting = asyncio.ensure_future(window("wait", keys=["spec"], timeout=SOON))
        await python.set("other", 1)
        await python.set("spec", "done")
        met = await waiting
        assert [entry["value"] for entry in met["entries"]] == ["done"]
        late = await window("wait", keys=["spec"], cursor=met["cursor"], timeout=0.1)
        assert late["met"] is False
        await python.set("spec", "again")
        assert (await window("wait", keys=["spec"], cursor=late["cursor"]))["entries"][0]["value"] == "again"


async def test_a_window_outlives_a_restart_of_the_hub(mode_: str, start_hub: StartHub, tmp_path: Path) -> None:
    hub = start_hub(data=tmp_path / "data")
    port, env = hub.port, {"WAGGLE_URL": hub.url, "WAGGLE_NS": "shop"}
    async with stdio(mode_, env, "--no-start") as window:
        await window("set", key="a", value=1)
        token = (await window("lock", names=["src/a.py"]))["token"]
        waiting = asyncio.ensure_future(window("wait", keys=["b"], timeout=50))
        await until_waiting(hub)
        hub.stop()
        again = start_hub(data=tmp_path / "data", port=port)
        async with waggle.connect(again.url, agent="python", ns="shop") as python:
            with pytest.raises(waggle.Locked):
                await python.lock("src/a.py")
            await python.set("b", 2)
        assert (await waiting)["entries"][0]["value"] == 2
        assert (await window("get", key="a"))["value"] == 1
        assert (await window("unlock", token=token))["released"] is True


@both
async def test_a_window_is_told_what_it_lost_when_the_hub_has_forgotten_it(mode_: str) -> None:
    with Restarting() as hub:
        async with stdio(mode_, {"WAGGLE_URL": hub.env["WAGGLE_URL"]}, "--no-start") as window:
            token = (await window("lock", names=["src/a.py"]))["token"]
            hub.stop()
            hub.start()
            async with asyncio.timeout(SOON):
                while "lost" not in (reply := await window("who")):
                    await asyncio.sleep(0.1)
            assert f"(token {token})" in reply["lost"][0]
            assert (await window.refused("unlock", token=token))["code"] == "not_holder"


# --- without a hub -----------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An address where no hub is, and directories of one's own; a hub that is started there ends soon by itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    yield {"WAGGLE_URL": url, "XDG_STATE_HOME": f"{tmp_path}/state", "XDG_DATA_HOME": f"{tmp_path}/data"}
    until = time.monotonic() + SOON
    while hubs_at(url):
        assert time.monotonic() < until, "a hub in the background did not end by itself"
        time.sleep(0.1)


def hubs_at(url: str) -> list[int]:
    """The processes of hubs that were started for this address."""
    port, found = url.rpartition(":")[2].encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"waggle_hub" in words and port in words:
            found.append(int(process.name))
    return found


async def test_windows_that_begin_at_the_same_instant_start_one_hub_which_ends_after_them(
    mode_: str, nowhere: dict[str, str]
) -> None:
    url = nowhere["WAGGLE_URL"]
    assert not hub_answers(url)
    here, counted = asyncio.Barrier(4), asyncio.Event()

    async def begin() -> str:
        async with stdio(mode_, nowhere, "--idle", "1s") as window:
            name = str((await window("who"))["you"]["agent"])
            await here.wait()
            await counted.wait()
            return name

    windows = [asyncio.ensure_future(begin()) for _ in range(3)]
    async with asyncio.timeout(60):
        await here.wait()
    assert len(hubs_at(url)) == 1
    counted.set()
    assert len(set(await asyncio.gather(*windows))) == 3
    async with asyncio.timeout(SOON):
        while hub_answers(url):
            await asyncio.sleep(0.1)


async def test_no_hub_is_started_where_that_is_not_wanted(mode_: str, nowhere: dict[str, str]) -> None:
    async with stdio(mode_, nowhere, "--no-start") as window:
        error = await window.refused("who")
        assert error["code"] == "disconnected"
        assert "waggle serve" in error["message"]
    assert hubs_at(nowhere["WAGGLE_URL"]) == []


async def test_a_hub_that_dies_is_started_again_and_the_window_goes_on(mode_: str, nowhere: dict[str, str]) -> None:
    url = nowhere["WAGGLE_URL"]
    async with stdio(mode_, nowhere, "--idle", "1s") as window:
        token = (await window("lock", names=["a"]))["token"]
        await window("set", key="k", value=1)
        (hub,) = hubs_at(url)
        os.kill(hub, signal.SIGKILL)
        async with asyncio.timeout(60):
            while not hub_answers(url):
                await asyncio.sleep(0.1)
        assert (await window("get", key="k"))["value"] == 1
        assert (await window("unlock", token=token))["released"] is True


async def test_a_port_that_something_else_has_is_said_to_be_so(mode_: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        env = {"WAGGLE_URL": url, "XDG_STATE_HOME": f"{tmp_path}/state", "XDG_DATA_HOME": f"{tmp_path}/data"}
        async with stdio(mode_, env) as window:
            error = await window.refused("who")
    assert error["code"] == "disconnected"
    assert "Choose another port" in error["message"]


async def test_directories_of_one_project_share_a_namespace(mode_: str, hub: HubProcess, tmp_path: Path) -> None:
    (tmp_path / "shop" / ".git").mkdir(parents=True)
    (tmp_path / "shop" / "src").mkdir()
    async with (
        stdio(mode_, {"WAGGLE_URL": hub.url}, cwd=tmp_path / "shop") as one,
        stdio(mode_, {"WAGGLE_URL": hub.url}, cwd=tmp_path / "shop" / "src") as two,
    ):
        await one("lock", names=["src/a.py"])
        refused = await two("lock", names=["./a.py"])
        assert (refused["granted"], refused["code"]) == (False, "locked")
        assert refused["held_by"][0]["agent"] == (await one("who"))["you"]["agent"]

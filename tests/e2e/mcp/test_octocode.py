"""octocode-local-memory: the examples of its own document, and what its tools refuse, by every way to them.

The agents do what stands there, in Python: read, decide, write. Where they look again and again, they look more often.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

import waggle
from tests.e2e.cli.shell import SOON
from tests.e2e.hubs import HubProcess
from tests.e2e.mcp.transports import Come, Reply, Tools, over_both_transports, over_every_transport, pasted
from tests.octocode import FORMAT, KEY, LONG, NO_TEXT, NO_VALUE, TOO_LONG, TTL

pytestmark = pytest.mark.e2e


async def put(tools: Tools, key: str, value: Any, **more: Any) -> Reply:
    """setStorage of an object, as its examples do it."""
    reply = await tools("setStorage", key=key, value=json.dumps(value), **more)
    assert (reply["success"], reply["key"]) == (True, key)
    assert datetime.fromisoformat(reply["timestamp"]).tzinfo is not None
    return reply


async def got(tools: Tools, key: str) -> Any:
    """getStorage of what must be there, and what it says."""
    reply = await tools("getStorage", key=key)
    assert (reply["success"], reply["key"], reply["exists"]) == (True, key, True)
    return json.loads(reply["value"])


# --- its examples ------------------------------------------------------------------------------------------------


@over_every_transport
async def test_the_first_workflow_of_its_document_runs(come: Come) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")
    task = {"description": "Implement user authentication", "assignedTo": "worker-agent-1", "priority": "high"}
    await put(manager, "task:auth-feature", task, ttl=3600)
    assert await got(worker, "task:auth-feature") == task
    status = {"currentTask": "task:auth-feature", "status": "in_progress", "progress": 50}
    await put(worker, "status:worker-agent-1", status, ttl=3600)
    assert (await got(manager, "status:worker-agent-1"))["progress"] == 50
    assert await worker("getStorage", key="task:999") | {"timestamp": ""} == {
        "success": True, "key": "task:999", "value": None, "exists": False, "timestamp": "",
    }  # fmt: skip


async def test_tasks_are_assigned_reported_and_monitored(come: Come) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")
    for number in (1, 2):
        await put(manager, f"task:{number}", {"taskId": f"{number}", "assignedTo": f"agent-impl-{number}"}, ttl=3600)
    for number in (1, 2):
        assert (await got(worker, f"task:{number}"))["taskId"] == f"{number}"
        status = {"status": "in_progress", "progress": 60 + number}
        await put(worker, f"status:agent-impl-{number}:task-{number}", status, ttl=3600)
    one, two = [await got(manager, f"status:agent-impl-{number}:task-{number}") for number in (1, 2)]
    assert (one["progress"], two["progress"]) == (61, 62)
    assert (await manager("deleteStorage", key="task:1"))["deleted"] is True
    assert (await manager("deleteStorage", key="task:1"))["deleted"] is False


async def test_a_key_with_a_star_lists_entries(come: Come) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")
    assert (await manager("getStorage", key="status:*"))["exists"] is False
    for number in range(3):
        await put(worker, f"status:agent-{number}", {"progress": number})
    await put(worker, "task:1", {})
    reply = await manager("getStorage", key="status:*")
    assert (reply["success"], reply["key"], reply["exists"]) == (True, "status:*", True)
    found = [(one["key"], json.loads(one["value"])["progress"]) for one in reply["matches"]]
    assert found == [("status:agent-0", 0), ("status:agent-1", 1), ("status:agent-2", 2)]


async def test_a_file_is_locked_by_agreement_and_released(come: Come) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")
    key = "lock:src/auth/login.ts"
    assert (await worker("getStorage", key=key))["exists"] is False
    await put(worker, key, {"lockedBy": "agent-impl-1", "taskId": "task-1"}, ttl=300)
    assert (await got(manager, key))["lockedBy"] == "agent-impl-1"
    await worker("deleteStorage", key=key)
    assert (await manager("getStorage", key=key))["exists"] is False


async def test_a_waiting_agent_gets_the_lock_when_it_is_released(come: Come) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")

    async def acquire(tools: Tools, agent: str, most: float) -> bool:
        began = time.monotonic()
        while time.monotonic() - began < most:
            if not (await tools("getStorage", key="lock:src/a.ts"))["exists"]:
                await put(tools, "lock:src/a.ts", {"lockedBy": agent}, ttl=300)
                return True
            await asyncio.sleep(0.05)
        return False

    assert await acquire(worker, "impl-1", SOON)
    assert not await acquire(manager, "manager", 0.2)
    waiting = asyncio.ensure_future(acquire(manager, "manager", SOON))
    await worker("deleteStorage", key="lock:src/a.ts")
    assert await waiting
    assert (await got(worker, "lock:src/a.ts"))["lockedBy"] == "manager"


async def test_a_question_is_asked_and_answered(come: Come) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")
    question = {"from": "agent-impl-1", "to": "agent-manager", "question": "Should we use JWT or session-based auth?"}
    await put(worker, "question:impl-1:auth-approach", question, ttl=1800)
    assert (await got(manager, "question:impl-1:auth-approach"))["question"] == question["question"]
    await put(manager, "answer:impl-1:auth-approach", {"answer": "Use JWT tokens"}, ttl=3600)
    assert (await got(worker, "answer:impl-1:auth-approach"))["answer"] == "Use JWT tokens"


async def test_progress_of_a_workflow_is_counted_and_its_history_kept(come: Come) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")
    await put(manager, "workflow:build-feature", {"totalTasks": 2, "completedTasks": 0, "phase": "planning"}, ttl=7200)
    for _ in range(2):
        workflow = await got(worker, "workflow:build-feature")
        workflow["completedTasks"] += 1
        if workflow["completedTasks"] == workflow["totalTasks"]:
            workflow["phase"] = "complete"
        await put(worker, "workflow:build-feature", workflow, ttl=7200)
    assert (await got(manager, "workflow:build-feature"))["phase"] == "complete"
    for progress in (10, 50):
        current = await worker("getStorage", key="status:agent-1")
        status = json.loads(current["value"]) if current["exists"] else {"history": []}
        status["history"].append({"progress": progress})
        await put(worker, "status:agent-1", {**status, "current": progress}, ttl=3600)
    assert [one["progress"] for one in (await got(manager, "status:agent-1"))["history"]] == [10, 50]


async def test_an_agent_is_well_as_long_as_its_heart_beats(come: Come, hub: HubProcess, ns: str) -> None:
    manager = await come("octocode", "agent-manager")
    worker = await come("octocode", "agent-impl-1")
    async with waggle.connect(hub.url, ns=ns) as python:
        await put(worker, "agent:impl-1:heartbeat", {"lastSeen": 1}, ttl=60)
        await put(worker, "agent:impl-1:heartbeat", {"lastSeen": 2}, ttl=1.5)
        assert (await manager("getStorage", key="agent:impl-1:heartbeat"))["exists"] is True
        await python.wait_any([{"key": "agent:impl-1:heartbeat", "absent": True}], timeout=SOON)
        assert (await manager("getStorage", key="agent:impl-1:heartbeat"))["exists"] is False


# --- what it takes and refuses -----------------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any]]] = [
    *((KEY, {"value": "x", **said}) for said in ({}, {"key": ""}, {"key": None}, {"key": 7}, {"key": ["a"]})),
    *((LONG, {"key": key, "value": "x"}) for key in ("a" * 256, "!" * 256)),
    *((FORMAT, {"key": key, "value": "x"}) for key in ("task #1", "task@agent", "task:1:priority!", "\u00e4", "a\\b")),
    *((FORMAT, {"key": key, "value": "x"}) for key in ("task:1\n", "\ntask:1", " task:1", "status:*")),
    *((NO_VALUE, {"key": "a", **said}) for said in ({}, {"value": None})),
    *((NO_TEXT, {"key": "a", "value": value}) for value in ({"a": 1}, ["x"], 7, False)),
    *((TTL, {"key": "a", "value": "x", "ttl": ttl}) for ttl in (None, 0, 0.5, -1, 86_400.1, "60", True, [1])),
]


@over_both_transports
async def test_what_is_wrong_is_an_error_in_its_own_words(come: Come, hub: HubProcess, ns: str) -> None:
    worker = await come("octocode", "agent-impl-1")
    for message, said in REFUSED:
        result = await worker.client.call_tool("setStorage", said)
        assert worker.told(result) == result.structured_content == {"success": False, "error": message}, said
        assert result.is_error
    for tool in ("getStorage", "deleteStorage"):
        for message, said in ((KEY, {}), (LONG, {"key": "a" * 256}), (FORMAT, {"key": "task:1\n"})):
            assert (await worker(tool, **said))["error"] == message
    assert (await worker("deleteStorage", key="a*"))["error"] == FORMAT
    assert (await worker("clearStorage"))["error"] == "Unknown tool: clearStorage"
    async with waggle.connect(hub.url, ns=ns) as python:
        assert await python.list() == []


async def test_all_that_its_document_calls_good_is_good(come: Come, hub: HubProcess, ns: str) -> None:
    worker = await come("octocode", "agent-impl-1")
    for key in ("task:1", "lock:src/auth/auth.ts", "status:agent-1:task-1", "workflow_123", "a" * 255):
        assert (await worker("setStorage", key=key, value=""))["success"] is True
        assert (await worker("getStorage", key=key))["value"] == ""
    async with waggle.connect(hub.url, ns=ns) as python:
        for said, kept in (({"ttl": 1.5}, 1.5), ({"ttl": 86_400}, 86_400.0), ({}, 3_600.0)):
            await worker("setStorage", key="task:1", value="", **said)
            entry = await python.get("task:1")
            if kept > 2:
                assert entry is not None
                assert entry.expires_at == pytest.approx(entry.updated_at + kept, abs=0.01)


@over_both_transports
async def test_ten_megabytes_are_counted_in_utf_16_and_what_is_more_is_too_much(transport: str, come: Come) -> None:
    worker = await come("octocode", "agent-impl-1")
    most = "x" * 10_485_760
    assert (await worker("setStorage", key="big", value=most))["success"] is True
    assert (await worker("getStorage", key="big"))["value"] == most
    for value in (most + "x", "\U0001f41d" * 3_000_000):
        assert await worker("setStorage", key="big", value=value) == {"success": False, "error": TOO_LONG}
    astral = {"key": "big", "value": "\U0001f41d" * 5_242_881}
    if transport.startswith("stdio"):
        assert (await worker("setStorage", **astral))["error"] == TOO_LONG
    else:  # more than any request may hold
        with pytest.raises(MCPError):
            await worker.client.call_tool("setStorage", astral)
    assert (await worker("setStorage", key="big", value="\U0001f41d" * 2_800_000))["success"] is True
    assert (await worker("deleteStorage", key="big"))["deleted"] is True


@over_both_transports
async def test_two_windows_in_a_project_share_by_the_one_line_of_their_settings(
    transport: str, hub: HubProcess, tmp_path: Path
) -> None:
    if transport.startswith("http"):
        entry: dict[str, Any] = {
            "type": "http",
            "url": f"http://127.0.0.1:4483/mcp?profile=octocode&ns={tmp_path.name}",
        }
    else:
        entry = {"command": "waggle", "args": ["mcp", "--profile", "octocode"]}
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    async with pasted(entry, hub, tmp_path) as one, pasted(entry, hub, tmp_path / "src") as other:
        await put(one, "task:1", {"n": 1})
        assert await got(other, "task:1") == {"n": 1}


@over_both_transports
async def test_the_three_original_tools_are_listed_with_their_descriptions(come: Come) -> None:
    worker = await come("octocode", "agent-impl-1")
    tools = {tool.name: tool for tool in (await worker.client.list_tools()).tools}
    assert list(tools) == ["setStorage", "getStorage", "deleteStorage"]
    said = tools["setStorage"].input_schema
    assert said["required"] == ["key", "value"]
    assert said["properties"]["key"]["pattern"] == "^[a-zA-Z0-9:_./-]+$"
    assert (said["properties"]["ttl"]["minimum"], said["properties"]["ttl"]["maximum"]) == (1, 86_400)
    assert isinstance(worker.client, Client)
    assert "status:*" in (worker.client.instructions or "")

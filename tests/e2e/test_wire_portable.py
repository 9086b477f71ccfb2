"""Export and import over HTTP (protocol 10)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.web import Web, refused

pytestmark = pytest.mark.e2e
HEADER = {"waggle": "export", "version": 1}
LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def web(hub: HubProcess, ns: str) -> AsyncIterator[Web]:
    """Somebody without a name, in a namespace of their own."""
    web = Web(hub, ns=ns)
    yield web
    await web.close()


def file(*lines: dict[str, Any]) -> bytes:
    """What an import takes."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in (HEADER, *lines))


async def bring(web: Web, body: Any, **params: Any) -> Any:
    """Import this; what became of it."""
    answer = await web.client.post("/v1/import", content=body, params={"ns": web.ns or "", **params}, headers=LINES)
    return answer.json() if answer.status_code == 200 else refused(answer)


@pytest.mark.every_server
async def test_exported_entries_are_imported_elsewhere(web: Web, start_hub: StartHub, tmp_path: Path) -> None:
    await web.ok("set", key="plain", value={"n": [1, "ü"]})
    await web.ok("set", key="all", value=None, ttl=500, kind="versioned", meta={"m": 1})
    text = (await web.client.get("/v1/export", params={"ns": web.ns})).text
    header, *lines = map(json.loads, text.splitlines())
    assert (header["waggle"], header["version"]) == ("export", 1)
    assert {"epoch", "rev"} < header.keys()
    assert [line["key"] for line in lines] == ["all", "plain"]
    other = Web(start_hub(), ns=web.ns)
    answer = await other.client.post("/v1/import", content=text.encode(), headers=LINES)
    assert answer.json() == {"written": 2, "skipped": 0, "expired": 0}
    entry = (await other.ok("get", key="all"))["entry"]
    was = (await web.ok("get", key="all"))["entry"]
    for field in ("value", "kind", "meta"):
        assert entry[field] == was[field]
    assert entry["expires_at"] == pytest.approx(was["expires_at"], abs=0.1)
    await other.close()


async def test_the_command_line_reads_it_too(web: Web, start_hub: StartHub, tmp_path: Path) -> None:
    await web.ok("set", key="k", value=1)
    path = tmp_path / "export.jsonl"
    path.write_bytes((await web.client.get("/v1/export", params={"ns": web.ns})).content)
    hub = start_hub()
    command = [str(Path(sys.executable).parent / "waggle"), "import", str(path), "--url", hub.url, "--no-backup"]
    done = await asyncio.to_thread(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    assert (done.returncode, done.stderr) == (0, ""), done
    other = Web(hub, ns=web.ns)
    assert (await other.ok("get", key="k"))["entry"]["value"] == 1
    await other.close()


@pytest.mark.every_server
async def test_an_export_is_of_one_revision_while_others_write(web: Web) -> None:
    for number in range(0, 3_000, 100):
        then = [{"op": "set", "key": f"k{one:05}", "value": 0} for one in range(number, number + 100)]
        await web.ok("txn", **{"if": [], "then": then})
    rest = b""
    async with web.client.stream("GET", "/v1/export", params={"ns": web.ns}) as answer:
        async for chunk in answer.aiter_bytes():
            if not rest:
                await web.ok("clear", pattern="*", confirm=True)
                await web.ok("set", key="later", value=1)
            rest += chunk
    lines = [json.loads(line) for line in rest.splitlines()[1:]]
    assert [line["key"] for line in lines] == [f"k{one:05}" for one in range(3_000)]


async def test_an_import_overwrites_existing_entries_only_when_asked_to(web: Web) -> None:
    await web.ok("set", key="b", value="old")
    body = file(*({"key": key, "value": "new"} for key in "abc"))
    assert await bring(web, body) == (409, "conflict")
    assert await bring(web, body, skip_existing="true") == {"written": 2, "skipped": 1, "expired": 0}
    assert (await web.ok("get", key="b"))["entry"]["value"] == "old"
    assert await bring(web, body, overwrite="true") == {"written": 3, "skipped": 0, "expired": 0}
    assert (await web.ok("get", key="b"))["entry"]["value"] == "new"
    assert await bring(web, body, overwrite="true", skip_existing="true") == (400, "bad_request")


async def test_expired_lines_of_an_import_are_left_out(web: Web) -> None:
    body = file({"key": "a", "value": 1, "expires_at": 1.0}, {"key": "b", "value": 1})
    assert await bring(web, body) == {"written": 1, "skipped": 0, "expired": 1}


@pytest.mark.parametrize("bad", [
    b"{", b"[]", b'{"key": "k"}', b'{"key": "k", "value": 1, "tll": 1}', b'{"key": " k", "value": 1}',
    b'{"key": "k", "value": ' + b"[" * 200 + b"]" * 200 + b"}", b'{"key": "k", "value": 1} {}', b"\xff",
    b'{"key": "k", "value": 123456789012345678901234567890}', b'{"key": "k", "value": "\xff"}',
])  # fmt: skip
async def test_if_a_line_is_wrong_nothing_is_written_and_it_is_named(web: Web, bad: bytes) -> None:
    body = file({"key": "a", "value": 1}) + bad + b"\n"
    answer = await web.client.post("/v1/import", content=body, params={"ns": web.ns}, headers=LINES)
    assert refused(answer) == (400, "bad_request")
    assert answer.json()["error"]["line"] == 3
    assert (await web.ok("list", pattern="*"))["entries"] == []


@pytest.mark.parametrize("body", [b"", b"\n", b"{}\n", b'{"waggle": "export", "version": 99}\n', b"hello\n", b"\xff"])
async def test_an_invalid_export_is_refused(web: Web, body: bytes) -> None:
    assert await bring(web, body) == (400, "bad_request")


async def test_namespaces_of_the_hub_are_not_written(hub: HubProcess) -> None:
    web = Web(hub)
    body = file({"ns": "$agents", "key": "fake", "value": 1})
    answer = await web.client.post("/v1/import", content=body, headers=LINES)
    assert answer.status_code in (400, 403)
    await web.close()


@pytest.mark.every_server
async def test_an_import_of_many_entries_is_written_as_it_comes(web: Web, hub: HubProcess) -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield file()
        for number in range(400):
            yield json.dumps({"key": f"k{number}", "value": "x" * 100_000}).encode() + b"\n"

    before = hub.peak()
    assert await bring(web, lines()) == {"written": 400, "skipped": 0, "expired": 0}
    assert (await web.ok("get", key="k399"))["entry"]["value"][:1] == "x"
    assert hub.peak() - before < 160 * 2**20  # 40 of them are in the store, and again in the log


async def test_many_small_lines_take_no_more_memory_than_large_ones(web: Web, hub: HubProcess) -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield file()
        text = b"".join(b'{"key": "k%d", "value": 1}\n' % number for number in range(1_000))
        for _ in range(60):
            yield text

    before = hub.peak()
    assert (await bring(web, lines(), overwrite="true"))["written"] == 60_000
    assert hub.peak() - before < 100 * 2**20


@pytest.mark.every_server
async def test_a_line_without_end_is_refused(web: Web) -> None:
    async def line() -> AsyncIterator[bytes]:
        yield file()
        for _ in range(18):
            yield b"x" * 2**20
        yield b"\n"

    assert await bring(web, line()) == (413, "too_large")


@pytest.mark.every_server
async def test_a_client_that_disconnects_leaves_no_session(web: Web) -> None:
    for number in range(0, 2_000, 100):
        then = [{"op": "set", "key": f"k{one}", "value": "x" * 1_000} for one in range(number, number + 100)]
        await web.ok("txn", **{"if": [], "then": then})
    async with web.client.stream("GET", "/v1/export", params={"ns": web.ns}) as answer:
        assert answer.status_code == 200

    async def streams() -> list[Any]:
        sessions = (await web.ok("inspect"))["sessions"]
        return [one for one in sessions if one["subscriptions"]]

    async with asyncio.timeout(10):
        while await streams():
            await asyncio.sleep(0.02)

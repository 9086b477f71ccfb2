"""A hub whose disk is full, whose data is damaged, that is not alone, or that has to stop (G2).

The disk is full when the process may write no longer files (RLIMIT_FSIZE), and has space again when it may.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.wire import Closed, Json, Refused, Wire

pytestmark = pytest.mark.e2e

UNLIMITED = resource.RLIM_INFINITY


def fill_disk(hub: HubProcess) -> None:
    """From now on no file of this hub may grow."""
    resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (0, UNLIMITED))


def free_disk(hub: HubProcess) -> None:
    resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))


async def connect(hub: HubProcess, agent: str) -> Wire:
    wire = await Wire.connect(hub.ws)
    await wire.hello(agent=agent)
    return wire


async def eventually_set(wire: Wire, key: str, value: object) -> None:
    """Set a key as soon as that is accepted."""
    async with asyncio.timeout(20):
        while True:
            reply = await wire.reply(*await wire.send({"op": "set", "key": key, "value": value}))
            if "ok" in reply:
                return
            assert reply["error"]["code"] == "unavailable"
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("options", [[], ["--journal", "json"], ["--durability", "relaxed"]], ids=" ".join)
async def test_a_full_disk_refuses_what_must_survive_and_nothing_else(tmp_path: Path, options: list[str]) -> None:
    hub = HubProcess(data=tmp_path / "data", options=options)
    try:
        await _fill_and_free(hub, "relaxed" in options)
        hub.stop("SIGKILL")
        again = HubProcess(data=tmp_path / "data", options=options)
        try:
            wire = await connect(again, "c")
            found = {entry["key"]: entry["value"] for entry in (await wire.ask("list", pattern="*"))["entries"]}
            assert {"before": 1, "after": 1}.items() <= found.items()
            await wire.close()
        finally:
            again.stop()
            again.close()
    finally:
        hub.stop("SIGKILL")
        hub.close()


async def _fill_and_free(hub: HubProcess, relaxed: bool) -> None:
    a, b = await connect(hub, "a"), await connect(hub, "b")
    await b.subscribe("*")
    await a.ask("set", key="before", value=1)
    lock = await a.ask("lock", name="held", ttl=600)
    (waits,) = await b.send({"op": "wait", "all": [{"key": "after"}], "timeout": 600})
    await b.settle()
    await asyncio.to_thread(fill_disk, hub)
    if relaxed:  # accepted until the hub has tried to write one of them
        async with asyncio.timeout(20):
            while "ok" in await a.reply(*await a.send({"op": "set", "key": "full", "value": "x" * 100_000})):
                await asyncio.sleep(0.05)
    refused = await a.refusal("set", key="full", value="x" * 100_000)
    assert refused.code == "unavailable"
    assert refused.error["retry_after"] > 0
    assert "full" in refused.error["message"] or "large" in refused.error["message"], refused.error
    asked: list[tuple[str, Json]] = [
        ("set", {"key": "before", "value": 2}),
        ("delete", {"key": "before"}),
        ("lock", {"name": "other"}),
        ("touch", {"key": "before", "ttl": 5}),
    ]
    for op, fields in asked:
        assert (await a.refusal(op, **fields)).code == "unavailable", op
    assert (await a.ask("get", key="before"))["entry"]["value"] == 1
    if not relaxed:
        assert (await a.ask("list", pattern="full"))["entries"] == [], "what was refused is not there"
        assert [line["key"] for line in await b.settle() if line["type"] == "set"] == []
    await a.ask("set", key="fleeting", value=1, kind="transient")
    await a.ask("publish", channel="talk", data=1)
    assert (await b.event("message"))["data"] == 1
    newcomer = await connect(hub, "newcomer")
    assert (await newcomer.ask("get", key="fleeting"))["entry"]["value"] == 1
    await a.ask("renew", token=lock["token"], ttl=600)
    await asyncio.to_thread(free_disk, hub)
    await eventually_set(a, "after", 1)
    assert (await b.ok(waits))["met"] == [0]
    assert (await a.ask("locks"))["locks"][0]["token"] == lock["token"]
    await a.ask("unlock", token=lock["token"])
    await a.ask("backup")  # what was shown is on disk when this is answered
    for wire in (a, b, newcomer):
        await wire.close()


@contextmanager
def hub_that_complains(data: Path, *options: str) -> Iterator[HubProcess]:
    """A hub that reports faults on its standard error, as it should."""
    hub = HubProcess(data=data, options=options)
    try:
        yield hub
        assert "the journal fails" in hub.said()
    finally:
        hub.stop("SIGKILL")
        hub.close()


def ready(hub: HubProcess) -> tuple[int, str]:
    """Return the status and the text of `GET /readyz`."""
    try:
        with urllib.request.urlopen(f"{hub.url}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("options", [[], ["--journal", "json"], ["--durability", "relaxed"]], ids=" ".join)
async def test_a_hub_whose_directory_is_taken_away_refuses_until_it_is_back(
    start_hub: StartHub, tmp_path: Path, options: list[str]
) -> None:
    data = tmp_path / "data"
    with hub_that_complains(data, *options) as hub:
        await _take_away_and_put_back(hub, data)
    again = await asyncio.to_thread(start_hub, data=data, options=options)
    wire = await connect(again, "b")
    assert (await wire.ask("get", key="before"))["entry"]["value"] == 1
    assert (await wire.ask("get", key="after"))["entry"]["value"] == 1
    await wire.close()


async def _take_away_and_put_back(hub: HubProcess, data: Path) -> None:
    wire = await connect(hub, "a")
    await wire.ask("set", key="before", value=1)
    away = data.rename(data.with_name("away"))
    async with asyncio.timeout(5):
        while (await asyncio.to_thread(ready, hub))[0] == 200:
            await asyncio.sleep(0.05)
    status, text = await asyncio.to_thread(ready, hub)
    assert (status, "was removed or replaced while the hub ran" in text) == (503, True), text
    for op, fields in (("set", {"key": "k", "value": 1}), ("lock", {"name": "n"})):
        refused = await wire.refusal(op, **fields)
        assert refused.code == "unavailable"
        assert str(data) in refused.error["message"]
    assert (await wire.ask("get", key="before"))["entry"]["value"] == 1
    data.mkdir()
    assert (await wire.refusal("set", key="k", value=1)).code == "unavailable", "another directory does not do"
    data.rmdir()
    away.rename(data)
    await eventually_set(wire, "after", 1)
    await wire.ask("backup")  # what was shown is on disk when this is answered
    await wire.close()


@pytest.mark.parametrize("name", ["waggle.db", "waggle.db-wal", "waggle.db-shm"])
async def test_a_hub_whose_database_is_deleted_refuses(tmp_path: Path, name: str) -> None:
    with hub_that_complains(tmp_path / "data") as hub:
        wire = await connect(hub, "a")
        await wire.ask("set", key="before", value=1)
        (tmp_path / "data" / name).unlink()
        async with asyncio.timeout(5):
            while "ok" in await wire.reply(*await wire.send({"op": "set", "key": "k", "value": 1})):
                await asyncio.sleep(0.05)
        refused = await wire.refusal("lock", name="n")
        assert refused.code == "unavailable"
        assert f"{name} was removed or replaced" in refused.error["message"]
        await wire.close()


def run_hub(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A hub that is expected to refuse."""
    command = [sys.executable, "-m", "waggle_hub", "--port", "0", "--data", str(data), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("room", [0, 300, 9_000])
def test_a_hub_whose_disk_is_full_from_the_start_says_so_and_is_never_there(tmp_path: Path, room: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))  # the hub has it from us
    try:
        refused = run_hub(tmp_path / "data")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert str(tmp_path / "data") in refused.stderr
    assert "the limit on the size of a file is reached" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_second_hub_on_the_same_data_is_refused_and_told_which_is_the_first(
    start_hub: StartHub, tmp_path: Path
) -> None:
    hub = start_hub(data=tmp_path / "data")
    second = run_hub(tmp_path / "data")
    assert second.returncode == 2
    assert str(hub.pid) in second.stderr
    assert hub.url in second.stderr
    hub.stop("SIGKILL")
    start_hub(data=tmp_path / "data")


@pytest.mark.parametrize("journal", ["sqlite", "json"])
def test_a_second_hub_is_refused_although_the_lock_file_of_the_first_was_deleted(
    start_hub: StartHub, tmp_path: Path, journal: str
) -> None:
    start_hub(data=tmp_path / "data", options=["--journal", journal])
    (tmp_path / "data" / "hub.lock").unlink()
    second = run_hub(tmp_path / "data", "--journal", journal)
    assert second.returncode == 2
    assert "is in use by another hub" in second.stderr


@pytest.mark.parametrize("journal", ["sqlite", "json"])
async def test_damaged_data_is_found_at_the_start_and_not_touched(
    start_hub: StartHub, tmp_path: Path, journal: str
) -> None:
    hub = await asyncio.to_thread(start_hub, data=tmp_path / "data", options=["--journal", journal])
    wire = await connect(hub, "a")
    for number in range(50):
        await wire.ask("set", key=f"k{number}", value="a value to be found again")
    await wire.close()
    hub.stop()
    (file,) = (tmp_path / "data").glob("waggle.*")
    data = file.read_bytes()
    file.write_bytes(data.replace(b"found again", b"found agaim", 1))
    damaged = file.read_bytes()
    assert damaged != data
    refused = await asyncio.to_thread(run_hub, tmp_path / "data", "--journal", journal)
    assert refused.returncode == 2
    assert file.name in refused.stderr
    assert "restore" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert file.read_bytes() == damaged


@pytest.mark.parametrize("gone", ["waggle.db-wal", "waggle.db*", "waggle.json"])
async def test_after_a_kill_data_that_lost_its_newest_writes_is_refused_or_accepted_in_a_new_epoch(
    start_hub: StartHub, tmp_path: Path, gone: str
) -> None:
    data = tmp_path / "data"
    options = ["--journal", "json" if "json" in gone else "sqlite"]
    hub = await asyncio.to_thread(start_hub, data=data, options=options)
    wire = await connect(hub, "a")
    rev = 0
    for number in range(30):
        rev = (await wire.ask("set", key=f"k{number}", value=number))["rev"]
    epoch = wire.welcome["epoch"]
    hub.stop("SIGKILL")
    for file in data.glob(gone):
        file.unlink()
    left = {file: file.read_bytes() for file in data.glob("waggle.*") if file.suffix != ".db-shm"}
    refused = await asyncio.to_thread(run_hub, data, *options)
    assert refused.returncode == 2
    assert epoch in refused.stderr
    assert "--accept-older" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {file: file.read_bytes() for file in left} == left
    hub = await asyncio.to_thread(start_hub, data=data, options=[*options, "--accept-older"])
    wire = await connect(hub, "b")
    assert wire.welcome["epoch"] != epoch
    told = await wire.ask("subscribe", patterns=["*"], since={"epoch": epoch, "rev": rev})
    assert (told["resumed"], told["reason"]) == (False, "epoch")
    assert (await wire.ask("set", key="k0", value=1))["rev"] > rev
    await wire.close()
    hub.stop()
    start_again = await asyncio.to_thread(start_hub, data=data, options=options)
    assert start_again.alive()


async def work_until_told(wire: Wire) -> Closed:
    """Set until the hub closes; what it refuses before that is refused for now."""
    try:
        while True:
            reply = await wire.reply(*await wire.send({"op": "set", "key": "k", "value": 2}))
            if "error" in reply:
                assert reply["error"]["code"] == "unavailable"
                assert reply["error"]["retry_after"] > 0
    except Closed as end:
        return end


async def test_a_hub_that_stops_refuses_new_work_and_says_when_to_come_back(
    start_hub: StartHub, tmp_path: Path
) -> None:
    hub = await asyncio.to_thread(start_hub, data=tmp_path / "data")
    wire = await connect(hub, "a")
    await wire.ask("set", key="k", value=1)
    stopping = asyncio.create_task(asyncio.to_thread(hub.stop))
    end = await work_until_told(wire)
    assert end.code == 4000
    assert float(end.reason) > 0
    assert await stopping == 0


async def test_a_stopping_hub_without_a_disk_answers_waiting_commands(start_hub: StartHub) -> None:
    hub = await asyncio.to_thread(start_hub)
    wire = await connect(hub, "a")
    (waits,) = await wire.send({"op": "wait", "all": [{"key": "never"}], "timeout": 600})
    await wire.ask("ping")
    stopping = asyncio.create_task(asyncio.to_thread(hub.stop))
    refused = await wire.refused(waits)
    assert refused.code == "unavailable"
    assert refused.error["retry_after"] > 0
    assert (await wire.closed()).code == 4000
    assert await stopping == 0


async def test_writes_acknowledged_while_the_hub_stopped_are_kept(start_hub: StartHub, tmp_path: Path) -> None:
    started = time.monotonic()
    hub = await asyncio.to_thread(start_hub, data=tmp_path / "data", options=["--durability", "relaxed"])
    wire = await connect(hub, "a")
    stopping = None
    written = -1
    try:
        for number in range(1_000_000):
            await wire.ask("set", key="k", value=number)
            written = number
            if stopping is None and number == 50:
                stopping = asyncio.create_task(asyncio.to_thread(hub.stop))
    except (Closed, Refused):
        pass
    assert stopping is not None
    assert await stopping == 0, time.monotonic() - started
    hub = await asyncio.to_thread(start_hub, data=tmp_path / "data", options=["--durability", "relaxed"])
    wire = await connect(hub, "b")
    assert (await wire.ask("get", key="k"))["entry"]["value"] >= written
    assert json.loads((tmp_path / "data" / "hub.lock").read_text())["pid"] == hub.pid
    await wire.close()


async def test_after_a_crash_on_a_full_disk_cursors_do_not_resume(tmp_path: Path) -> None:
    hub = HubProcess(data=tmp_path / "data")
    try:
        wire = await connect(hub, "a")
        rev = (await wire.ask("set", key="kept", value=1))["rev"]
        await asyncio.to_thread(fill_disk, hub)
        assert (await wire.refusal("set", key="full", value=1)).code == "unavailable"
        seen = await wire.ask("set", key="fleeting", value=1, kind="transient")
        epoch = wire.welcome["epoch"]
        hub.stop("SIGKILL")
        again = HubProcess(data=tmp_path / "data")
        try:
            wire = await connect(again, "b")
            told = await wire.ask("subscribe", patterns=["*"], since={"epoch": epoch, "rev": rev})
            assert (told["resumed"], told["reason"]) == (False, "restart")
            assert (await wire.ask("set", key="fleeting", value=2, kind="transient"))["version"] > seen["version"]
            await wire.close()
        finally:
            again.stop()
            again.close()
    finally:
        hub.stop("SIGKILL")
        hub.close()

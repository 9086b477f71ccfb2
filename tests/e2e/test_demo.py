"""`waggle demo`: the crew works in the right order, a person is asked, and nothing is left of it afterwards.

What the examples prove is `test_patterns.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from msgspec import structs

import waggle
from tests.e2e.hubs import HubProcess, StartHub
from waggle import Event
from waggle.examples import EXAMPLES
from waggle.examples.crew import SERVICES, number
from waggle.wire.messages import EventType

pytestmark = pytest.mark.e2e

WAGGLE = str(Path(sys.executable).with_name("waggle"))
SOON = 30.0
FAST = ("--speed", "20")
ALL: tuple[EventType, ...] = ("set", "delete", "expire", "touch", "message")
CREW = {"researcher", "tester", *SERVICES}


def environment() -> dict[str, str]:
    """This process's environment without what is said there of a hub."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WAGGLE_")}


class Demo:
    """A `waggle demo` that runs."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [WAGGLE, "demo", *args], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.output, self.said = self.process.stdout, self.process.stderr
        self.told: list[str] = []

    def until(self, part: str) -> str:
        """Read the story up to a line with ``part`` in it."""
        for line in self.output:
            self.told.append(line)
            if part in line:
                return line
        raise AssertionError(f"the story ended without {part!r}: {''.join(self.told)}{self.said.read()}")

    def children(self) -> list[int]:
        """The ids of the processes it has started."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]

    def end(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(SOON)
        self.told.extend(self.output)
        return code


@contextmanager
def demo(*args: str) -> Iterator[Demo]:
    """A demo that is stopped at the end, with all it started."""
    running = Demo(*args)
    with running.process:
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.terminate()
                try:
                    running.process.wait(SOON)
                finally:
                    running.process.kill()


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def alive(pid: int) -> bool:
    """Whether the process runs, and is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int]) -> bool:
    """Whether all of them end within a while."""
    until = time.monotonic() + SOON
    while any(map(alive, pids)):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@asynccontextmanager
async def log_of(hub: HubProcess) -> AsyncIterator[list[Event]]:
    """The events of the crew and of its agents, all of them, while the block runs; complete when it has ended."""
    log: list[Event] = []

    async def record(events: waggle.Watcher) -> None:
        async for event in events:
            log.append(event)  # noqa: PERF401 - the test looks at it meanwhile

    async with (
        waggle.connect(hub.url, agent="witness") as witness,
        witness.watch(ns="demo", types=ALL) as crew,
        witness.watch(ns="$agents", types=ALL) as agents,
    ):
        recording = [asyncio.create_task(record(events)) for events in (crew, agents)]
        yield log
        await witness.ping()  # its reply comes after every event there was
        await crew.close()
        await agents.close()
        await asyncio.gather(*recording)
    log.sort(key=lambda event: event.rev)


async def run_to_end(*args: str) -> tuple[int, str, str]:
    """Run a demo that ends by itself: its exit code, its story, what else it said."""
    process = await asyncio.create_subprocess_exec(
        WAGGLE, "demo", *args, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    story, said = await asyncio.wait_for(process.communicate(), SOON)
    assert process.returncode is not None
    return process.returncode, story.decode(), said.decode()


def begins_in_order(log: list[Event], build: int) -> None:
    """Assert from the log that in this build nobody began before what they needed was there."""
    written: dict[str, int] = {}
    for event in sorted(log, key=lambda event: event.rev):
        if event.ns == "demo" and event.type == "set":
            written.setdefault(event.key, event.rev)

    def said(agent: str, status: str) -> list[int]:
        """The revisions of the statuses of this agent that match."""
        statuses = (event for event in log if event.ns == "$agents" and event.key == agent and event.type == "set")
        return [event.rev for event in statuses if re.fullmatch(status, event.value["status"] or "")]

    findings = written[f"build/{build}/research/findings"]
    complete = []
    for service in SERVICES:
        begun = [
            written[f"build/{build}/builders/{service}/progress"],
            *said(service, rf"(designing|writing|reviewing) {service}, build {build}"),
        ]
        assert len(begun) == 4
        assert min(begun) > findings, f"{service} began build {build} without findings"
        complete.append(written[f"build/{build}/builders/{service}/complete"])
        assert complete[-1] > max(begun)
    result = written[f"build/{build}/tests/result"]
    used = [event.rev for event in log if event.value == {"used_for": f"build {build}"}]
    begun = [result, *used, *said("tester", f"testing build {build}")]
    assert len(begun) == 3
    assert min(begun) > max(complete), f"the tester began build {build} before all services were complete"
    if f"build/{build + 1}/research/findings" in written:
        begun = [
            written[f"build/{build + 1}/research/findings"],
            *said("researcher", f"researching build {build + 1}"),
        ]
        assert len(begun) == 2
        assert min(begun) > result, f"build {build + 1} began before build {build} was tested"


def late(log: list[Event], key: str) -> list[Event]:
    """The log as it would be if this had been written after all else."""
    last = log[-1].rev
    return [structs.replace(event, rev=event.rev + last) if event.key == key else event for event in log]


# --- the order ---------------------------------------------------------------------------------------------------


async def test_no_agent_begins_before_its_prerequisites_are_written(start_hub: StartHub) -> None:
    hub = start_hub()
    async with log_of(hub) as log:
        code, story, said = await run_to_end("--once", "--port", str(hub.port), *FAST)
    assert (code, said) == (0, "")
    begins_in_order(log, build=1)
    for key in "build/1/research/findings", f"build/1/builders/{SERVICES[1]}/complete":
        with pytest.raises(AssertionError, match="began build 1"):
            begins_in_order(late(log, key), build=1)
    assert {number(event.key) for event in log if event.key.startswith("build/")} == {1}
    assert f"Watch it live:  {hub.url}/" in story.strip().splitlines()[0]
    assert "build 1" in story
    assert story.strip().splitlines()[-1].endswith('tests pass"')


async def test_one_build_follows_another_and_each_type_of_event_is_seen(start_hub: StartHub) -> None:
    hub = start_hub()
    async with log_of(hub) as log:
        with demo("--port", str(hub.port), *FAST) as running:
            for build in (1, 2, 3):
                await asyncio.to_thread(running.until, f"build {build}: all")
            async with asyncio.timeout(SOON):
                while not any(event.type == "expire" for event in log):
                    await asyncio.sleep(0.05)
            running.process.terminate()
            assert await asyncio.to_thread(running.end) == 0
            assert running.said.read() == ""
    for build in (1, 2, 3):
        begins_in_order(log, build)
    assert {event.type for event in log} == set(ALL)
    ended = {event.key for event in log if event.ns == "$agents" and event.type == "delete"}
    assert ended >= CREW, "who leaves in good order is gone at once"


async def test_a_later_crew_begins_after_what_an_earlier_one_has_left(start_hub: StartHub) -> None:
    hub = start_hub()
    await run_to_end("--once", "--port", str(hub.port), *FAST)
    async with log_of(hub) as log:
        code, story, said = await run_to_end("--once", "--port", str(hub.port), *FAST)
    assert (code, said) == (0, "")
    assert "\nbuild 2\n" in story
    assert "build 1" not in story
    begins_in_order(log, build=2)


# --- processes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_it_started(number: signal.Signals) -> None:
    with demo("--port", "0", *FAST) as running:
        running.until("designing")
        children = running.children()
        assert len(children) == 6
        running.process.send_signal(number)
        assert running.end() == 0
        assert running.said.read() == ""
        assert not any(map(alive, children))


def test_as_a_background_job_it_can_be_stopped_too() -> None:
    """Shells have the background jobs of a script ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with demo("--port", "0", *FAST) as running:
            running.until("designing")
            children = running.children()
            running.process.send_signal(signal.SIGINT)
            running.until("says")
            running.process.terminate()
            assert running.end() == 0
            assert not any(map(alive, children))
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_demo_leaves_no_process_even_when_it_is_killed() -> None:
    with demo("--port", "0", *FAST) as running:
        running.until("designing")
        children = running.children()
        running.process.kill()
        running.process.wait()
        assert gone(children)


@pytest.mark.parametrize(
    ("part", "name"), [("tester", "tester"), ("order-service", "order-service"), ("waggle_hub", "the hub")]
)
def test_when_a_process_dies_it_says_which_and_stops(part: str, name: str) -> None:
    with demo("--port", "0", *FAST) as running:
        running.until("designing")
        children = running.children()
        (victim,) = (pid for pid in children if part in command_of(pid))
        os.kill(victim, signal.SIGKILL)
        assert running.end() == 2
        assert running.said.read() == f"waggle: {name} was killed by SIGKILL, and without it the demo cannot go on.\n"
        assert not any(map(alive, children))


def test_the_hub_of_a_demo_ends_with_it_and_logs_nothing() -> None:
    with demo("--once", "--port", "0", *FAST) as running:
        running.until("designing")
        children = running.children()
        assert running.end() == 0
        assert running.said.read() == ""
        assert not any(map(alive, children))


def test_a_demo_ends_quietly_when_its_output_is_closed() -> None:
    with demo("--port", "0", *FAST) as running:
        running.until("designing")
        children = running.children()
        running.output.close()
        assert running.process.wait(SOON) == 0
        assert running.said.read() == ""
        assert not any(map(alive, children))


# --- the examples ------------------------------------------------------------------------------------------------


def test_the_list_has_the_crew_and_every_example() -> None:
    with demo("--list") as running:
        assert running.end() == 0
    assert [line.split("\t")[0] for line in running.told] == ["crew", *EXAMPLES]


def test_a_name_that_is_none_is_an_error_that_says_which_there_are() -> None:
    with demo("nonsense") as running:
        assert running.end() == 2
        assert "'nonsense'" in (said := running.said.read())
        assert ", ".join(["crew", *EXAMPLES]) in said


def test_an_example_ends_by_itself_with_all_it_has_started() -> None:
    with demo("fan", "--port", "0", *FAST) as running:
        running.until("writes fanout/spec")
        children = running.children()
        assert len(children) == 7
        assert running.end() == 0
        assert running.said.read() == ""
        assert not any(map(alive, children))


def test_a_signal_stops_an_example_too() -> None:
    with demo("gates", "--port", "0", *FAST) as running:
        running.until("May version 1.0 be released?")
        children = running.children()
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0
        assert running.said.read() == ""
        assert not any(map(alive, children))


def test_an_agent_of_an_example_that_dies_is_told_of_unless_it_was_to() -> None:
    with demo("queue", "--port", "0") as running:
        running.until("has locked job/")
        (victim,) = (pid for pid in running.children() if "worker-1" in command_of(pid))
        os.kill(victim, signal.SIGKILL)
        assert running.end() == 2
        assert running.said.read().startswith("waggle: worker-1 was killed by SIGKILL")


def test_two_different_demos_can_be_played_at_the_same_hub(start_hub: StartHub) -> None:
    hub = start_hub()
    with demo("--port", str(hub.port)) as running:
        running.until("Watch it live")
        with demo("chain", "--port", str(hub.port), *FAST) as second:
            assert second.end() == 0
            assert second.said.read() == ""
        assert running.process.poll() is None


async def test_at_a_terminal_the_person_in_front_of_it_decides(start_hub: StartHub) -> None:
    hub = start_hub()
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            WAGGLE, "demo", "gates", "--port", str(hub.port), *FAST,
            env=environment(), stdin=theirs, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        for answer in "\n", "not on a Friday\n", "yes\n":
            await asyncio.wait_for(process.stdout.readuntil(b"or why not: "), SOON)
            os.write(ours, answer.encode())
        story, _ = await asyncio.wait_for(process.communicate(), SOON)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0
    assert b'person              writes checkpoint/gates/release  {"status":"approved"}' in story
    async with waggle.connect(hub.url, ns="demo-gates") as witness:
        work = await witness.get("checkpoint/release/work")
        assert work is not None
        assert work.value["mended"] == ["not on a Friday"]


async def test_a_question_at_a_terminal_may_be_decided_by_another_agent(start_hub: StartHub) -> None:
    hub = start_hub()
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            WAGGLE, "demo", "gates", "--port", str(hub.port), *FAST,
            env=environment(), stdin=theirs, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readuntil(b"or why not: "), SOON)
        async with waggle.connect(hub.url, ns="demo-gates") as other:
            await other.set("checkpoint/gates/release", {"status": "approved"})
        await asyncio.wait_for(process.communicate(), SOON)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0


# --- the port ----------------------------------------------------------------------------------------------------


def test_a_port_that_something_else_has_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, demo("--port", str(other.getsockname()[1])) as running:
        assert running.end() == 2
        assert "not a hub" in running.said.read()
        assert running.told == []


def test_a_second_demo_at_the_same_hub_is_refused(start_hub: StartHub) -> None:
    hub = start_hub()
    with demo("--port", str(hub.port)) as running:
        running.until("Watch it live")
        with demo("--port", str(hub.port)) as second:
            assert second.end() == 2
            assert f"{hub.url}/" in second.said.read()
    assert hub.alive()

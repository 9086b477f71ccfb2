"""The benchmark as a program: its load counts right, it writes what it found, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import json

from tests.bench.generator import Load
from tests.bench.publishing import PAGES, RESULTS
from tests.bench.results import Report

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "tests.bench", "--quick"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    return Load(tmp_path_factory.mktemp("load"))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def _answering(sock: socket.socket, parts: list[bytes]) -> threading.Thread:
    """Answers each byte that comes with these parts, one after another."""

    def answer() -> None:
        while data := sock.recv(1):
            for part in parts:
                sock.sendall(part)
                time.sleep(0.002)
            if data == b"z":
                return

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


async def test_an_answer_that_comes_in_pieces_counts_once(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    thread = _answering(theirs, [b'junk "o', b"k", b'" junk'])
    found = await load.ask([ours], [[b"a"] * 9 + [b"z"]], b'"ok"', seconds=10, window=1, once=True)
    thread.join()
    assert found.count == 10
    assert 0.004 < found.p50 <= found.p99 <= found.max < 10


async def test_several_answers_to_one_request_are_one_sample(
    load: Load, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    thread = _answering(theirs, [b"ok ok ", b"ok"])
    found = await load.ask([ours], [[b"a", b"z"]], b"ok", seconds=10, each=3, once=True)
    thread.join()
    assert found.count == 6


async def test_deliveries_that_do_not_come_are_an_error(load: Load, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    member, other = socket.socketpair()
    with member, other:
        other.sendall(b"early @event@")  # what came before is not counted
        threading.Timer(0.1, lambda: other.sendall(b"@event@")).start()
        with pytest.raises(TimeoutError, match="1 of 2 deliveries"):
            await load.hear(ours, [member], [b"a", b"b"], b"@event@", seconds=3.0)


def test_one_work_is_measured_and_the_pages_stay_as_they_were(tmp_path: Path) -> None:
    before = [path.read_bytes() for path in (*PAGES, RESULTS)]
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [*COMMAND, "--only", "locks", "--json", str(figures)], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.decode(figures.read_bytes(), type=Report)
    table = report.table("locks")
    assert table is not None
    assert all(0 < rounds[0] < 10 for cells in table.rows.values() for rounds in cells)
    assert table.title in done.stdout
    assert [path.read_bytes() for path in (*PAGES, RESULTS)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_leaves_no_process_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, "--only", "growth"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            hub = _child(process.pid, "waggle_hub")
            assert list(tmp_path.iterdir())
            process.send_signal(number)
            assert process.wait(60) == 130
        finally:
            process.kill()
        assert process.stderr is not None
        assert b"nothing was written" in process.stderr.read()
    assert not Path(f"/proc/{hub}").exists()
    assert list(tmp_path.iterdir()) == []


def _child(parent: int, name: str) -> int:
    """The child that has this in its command line, once there is one."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for task in Path(f"/proc/{parent}/task").iterdir():
            for child in (task / "children").read_text().split():
                if name in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
        time.sleep(0.05)
    raise AssertionError(f"there is no child {name}")

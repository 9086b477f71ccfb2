"""`waggle doctor`: every door is used, and one that does not do what it is for is told of."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

import waggle.sync
from tests.e2e.cli.shell import Shell
from tests.e2e.hubs import HubProcess
from waggle.cli.doctor.checks import CHECKS, CheckFailed, Target
from waggle.wire.errors import WaggleError

pytestmark = pytest.mark.e2e


def test_every_door_of_a_hub_is_used_and_nothing_is_left(shell: Shell, hub: HubProcess) -> None:
    done = shell("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok"] * len(CHECKS)
    with waggle.sync.connect(hub.url, ns="waggle-doctor") as seen:
        assert seen.list("doctor:*") == []


def test_for_programs_it_is_a_line_for_each_door(shell: Shell) -> None:
    lines = [json.loads(line) for line in shell("doctor", "--json").stdout.splitlines()]
    assert [line["door"] for line in lines] == [check.name for check in CHECKS]
    assert all(line["ok"] for line in lines)


def test_without_a_hub_it_says_how_to_start_one(shell: Shell) -> None:
    done = shell("doctor", WAGGLE_URL="http://127.0.0.1:1")
    assert done.returncode == 2
    assert "waggle serve" in done.stderr


class Nothing(http.server.BaseHTTPRequestHandler):
    """Answers everything with the same."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"welcome")

    do_PUT = do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """A server that is no hub."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
async def test_a_door_that_is_none_is_found(check: object, stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waggle.cli.doctor.checks.CHECK_TIMEOUT_S", 1.0)
    use = next(one.use for one in CHECKS if one is check)
    with pytest.raises((CheckFailed, WaggleError, OSError)):
        await use(Target(stranger, None, "doctor:x"))

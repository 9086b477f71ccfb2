"""Starting a hub from the command line, and what is said where there is none."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

import waggle.sync
from tests.e2e.cli.shell import SOON, WAGGLE, Shell, environment
from tests.e2e.hubs import HubProcess

pytestmark = pytest.mark.e2e


def test_without_a_hub_it_says_how_to_start_one(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = shell("get", "k", "--url", f"http://127.0.0.1:{port}")
    assert (result.returncode, result.stdout) == (2, "")
    assert "waggle serve" in result.stderr
    assert "WAGGLE_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_says_where_it_is_and_stops_in_order() -> None:
    with subprocess.Popen(
        [WAGGLE, "serve", "--port", "0", "--memory"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            url = process.stdout.readline().split()[-1]
            with waggle.sync.connect(url) as agent:
                assert agent.ping().rev > 0
            process.terminate()
            assert process.wait(SOON) == 0
            assert f"{url}/" in process.stdout.read()
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_serve_refuses_the_network_without_insecure(process: Shell) -> None:
    result = process("serve", "--host", "0.0.0.0", "--port", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--insecure" in result.stderr


def test_serve_has_the_hub_s_own_help(process: Shell) -> None:
    result = process("serve", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: waggle serve ")
    assert all(option in result.stdout for option in ("--host", "--port", "--memory", "--insecure", "--allow-origin"))


def test_serve_on_a_port_that_is_taken_says_so(process: Shell, hub: HubProcess) -> None:
    result = process("serve", "--port", str(hub.port))
    assert result.returncode == 2
    assert "--port" in result.stderr


def test_a_module_in_the_current_directory_is_not_taken_for_one_of_the_hub_s(tmp_path: Path) -> None:
    (tmp_path / "asyncio.py").write_text("raise SystemExit('taken from the current directory')")
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True}
    result = subprocess.run([WAGGLE, "serve", "--help"], timeout=60, **options)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "options",
    [("--port", "70000"), ("--port", "-1"), ("--max-keys", "0"), ("--log-events", "-5"), ("--history", "-1")],
)
def test_serve_refuses_a_number_that_makes_no_hub(process: Shell, options: tuple[str, str]) -> None:
    result = process("serve", "--memory", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"argument {options[0]}: {options[1]!r} is not " in result.stderr


def test_serve_asks_for_another_hub_only_where_the_port_is_taken(process: Shell) -> None:
    result = process("serve", "--memory", "--port", "0", "--insecure", "--host", "no host")
    assert result.returncode == 2
    assert "--host" in result.stderr
    assert "already" not in result.stderr

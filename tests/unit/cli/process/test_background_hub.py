"""Where a hub may be started in the background, and how the name of a file is told to the hub."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from waggle.cli.commands.lock import in_repository
from waggle.cli.process.background_hub import can_start, ensure_hub, hub_answers
from waggle.wire.errors import Disconnected


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4483", "http://localhost:4483/", "ws://[::1]:9/ws", "127.0.0.1:4483"]
)
def test_on_this_machine_a_hub_can_be_started(url: str) -> None:
    assert can_start(url)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:4483", "http://hub.example:4483", "http://10.0.0.1", "http://127.0.0.1:1/prefix", ""]
)
def test_a_hub_on_another_machine_or_behind_a_proxy_is_not_started(url: str) -> None:
    assert not can_start(url)


def test_a_silent_listener_is_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waggle.cli.process.background_hub.ANSWER_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not hub_answers(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_state_directory_that_cannot_be_used_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}/state")
    (tmp_path / "state").write_text("not a directory")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Disconnected, match=r"state/waggle.*waggle serve.*XDG_STATE_HOME"):
        ensure_hub(url)


def test_a_file_that_is_locked_in_a_shell_has_the_name_that_a_model_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    assert in_repository(["./a.py", "src/a.py", "deploy"], pattern=False) == ["src/a.py", "src/a.py", "deploy"]
    assert in_repository(["./*.py"], pattern=True) == ["src/*.py"]

"""Completion as the shells ask for it: commands, options, and the keys and namespaces that the hub has."""

from __future__ import annotations

import subprocess

import pytest

import waggle.sync
from tests.e2e.cli.shell import WAGGLE

pytestmark = pytest.mark.e2e


def completed(env: dict[str, str], *words: str) -> list[str]:
    """Return the completions that bash gets for the last of these words, which bash splits at colons."""
    parts = [part for word in ("waggle", *words) for part in word.replace(":", "\n:\n").strip("\n").split("\n")]
    asked = {"_WAGGLE_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(parts), "COMP_CWORD": f"{len(parts) - 1}"}
    done = subprocess.run([WAGGLE], env={**env, **asked}, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(env: dict[str, str], shell_name: str) -> None:
    # typer would otherwise take the shell from the process tree, which is another one wherever the tests run
    named = {**env, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [WAGGLE, "--show-completion", shell_name]
    script = subprocess.run(command, env=named, capture_output=True, text=True, timeout=60)
    assert (script.returncode, script.stderr) == (0, "")
    assert "_WAGGLE_COMPLETE" in script.stdout


def test_commands_options_keys_and_namespaces_are_completed(
    env: dict[str, str], agent: waggle.sync.Hub, ns: str
) -> None:
    for key in ("task:1", "task:12", "task:a:b", "tool", "nasty key; rm"):
        agent.set(key, 1)
    assert completed(env, "to") == ["top", "touch"]
    assert completed(env, "get", "--js") == ["--json"]
    assert completed(env, "get", "to") == ["tool"]
    assert completed(env, "get", "task:1") == ["1", "12"]
    assert completed(env, "get", "task:") == ["1", "12", "a:b"]
    assert completed(env, "watch", "task:a:") == ["b"]
    assert completed(env, "get", "nasty") == []
    assert ns in completed(env, "get", "k", "--ns", ns[:4])


def test_without_a_hub_nothing_is_completed_in_silence(env: dict[str, str]) -> None:
    assert completed({**env, "WAGGLE_URL": "http://127.0.0.1:1"}, "get", "t") == []

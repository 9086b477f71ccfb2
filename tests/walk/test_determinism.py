"""The same commands at the same times give the same lines, events and state, to the byte: in one process, and in
processes that hash their strings differently. (So hubs that share a log have the same state.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.walk.scripted import Player, script


@pytest.mark.parametrize("seed", range(8))
def test_a_script_played_twice_gives_the_same_bytes(seed: int) -> None:
    steps = script(seed)
    first, second = Player(), Player()
    heard = first.play(steps)
    assert heard == second.play(steps)
    first.machine.check()


def test_the_scripts_reach_what_they_are_meant_to_reach() -> None:
    heard = b"".join(Player().play(script(seed)) for seed in range(8))
    for word in (b'"type":"expire"', b'"synced"', b'"lost"', b"session_ended", b'"dup"', b'"more"', b'"conflict"'):
        assert word in heard


def test_processes_with_other_hashes_give_the_same_bytes() -> None:
    here = Player().play(script(7))
    root = Path(__file__).parents[2]
    for seed in ("0", "1", "4242"):
        run = subprocess.run(
            [sys.executable, "-m", "tests.walk.scripted", "7"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            check=True,
        )
        assert run.stdout == here, f"PYTHONHASHSEED={seed}"

"""The dashboard's modules that need no browser, tested under node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITES = sorted(path.name for path in HERE.glob("*.test.mjs"))


@pytest.mark.parametrize("suite", SUITES)
def test_under_node(suite: str) -> None:
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.fail("node is missing, which the tests of the dashboard need: apt-get install nodejs", pytrace=False)
    run = subprocess.run([node, "--test", suite], cwd=HERE, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        pytest.fail(f"{suite}\n{run.stdout[-6000:]}{run.stderr[-2000:]}", pytrace=False)


def test_there_are_suites() -> None:
    assert "model.test.mjs" in SUITES

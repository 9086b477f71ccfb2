"""Every example in the README and in docs/ is run as it stands, against a real hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hubs import HubProcess

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "migrating").glob("*.md")])
FENCE = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _examples() -> Iterator[object]:
    for page in PAGES:
        text = page.read_text()
        for found in FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 2
            yield pytest.param(found[1], found[2], id=f"{page.relative_to(ROOT)}:{line}")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    process = HubProcess(data=tmp_path_factory.mktemp("data"))
    try:
        yield process
    finally:
        process.stop()
        process.close()


@pytest.mark.parametrize(("language", "code"), list(_examples()))
def test_an_example_runs_as_it_stands(hub: HubProcess, language: str, code: str) -> None:
    environment = {**os.environ, "WAGGLE_URL": hub.url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    code = code.replace("http://127.0.0.1:4483", hub.url)
    program = [sys.executable, "-W", "error", "-c", code] if language == "python" else ["bash", "-euc", code]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples_to_run() -> None:
    assert len(list(_examples())) >= 6


def _anchors(page: Path) -> set[str]:
    """The names of the headings of a page, as links say them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    found = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for path, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]*))?\)", page.read_text()):
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name} links to {path}"
            assert not anchor or anchor in _anchors(target), f"{page.name} links to {path}#{anchor}"
            found += bool(anchor)
    assert found > 10


def test_every_promise_has_its_test() -> None:
    promises = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(promises) > 20
    for file, name in promises:
        assert re.search(rf"^(async def|def|class) {name}\b|^{name} = ", (ROOT / file).read_text(), re.MULTILINE), name

"""What is written about the tree holds of the tree: the shelves, and the contract of what the hub may import."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HUB = ROOT / "hub" / "waggle_hub"
CLIENT = ROOT / "client" / "waggle"
SHARED = {"mcp", "version", "wire"}
"""What the hub may import of the client."""
BASES = (ROOT, HUB, ROOT / "client", CLIENT)
"""Folders that the pages for developers begin a path at."""
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FOR_DEVELOPERS = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md", *DECISIONS]
MAX_MODULES = 20
"""Modules that a folder holds at the most, so that a reader takes in its listing at one glance."""


@pytest.mark.parametrize("root", [HUB, CLIENT], ids=["hub", "client"])
def test_no_folder_holds_more_modules_than_a_reader_takes_in(root: Path) -> None:
    modules = Counter(path.parent for path in root.rglob("*.py") if path.name != "__init__.py")
    assert {str(folder): count for folder, count in modules.items() if count > MAX_MODULES} == {}


def test_each_part_of_the_client_is_shared_with_the_hub_or_forbidden_to_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["name"].startswith("The hub imports the wire"))
    forbidden = {name.removeprefix("waggle.") for name in contract["forbidden_modules"]}
    parts = {path.stem for path in CLIENT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} - SHARED == {name for name in forbidden if "." not in name}


def test_each_folder_of_the_source_has_one_row_in_the_map() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(
        r"^\| `([\w/]+/)` \|", page.partition("## Map of the code")[2].partition("## Invariants")[0], re.M
    )
    folders = [path.parent.relative_to(ROOT).as_posix() + "/" for root in (HUB, CLIENT) for path in root.rglob("*.py")]
    assert sorted(rows) == sorted(set(folders))


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=lambda page: page.name)
def test_each_path_that_a_page_for_developers_names_exists(page: Path) -> None:
    paths = re.findall(r"`([\w.][\w./-]*/(?:[\w.-]+\.\w+)?)`", page.read_text())
    paths = [path for path in paths if "NAME" not in path]
    assert [path for path in paths if not any((base / path).exists() for base in BASES)] == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_each_decision_has_its_number_a_status_a_date_and_three_sections(page: Path) -> None:
    title, _, status, *_ = lines = page.read_text().splitlines()
    assert title.startswith(f"# {int(page.name[:4])}. ")
    assert re.match(r"\* Status: (accepted|superseded by \[\d+\])", status)
    assert [line for line in lines if re.fullmatch(r"\* Date: \d{4}-\d\d-\d\d", line)]
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Consequences"]

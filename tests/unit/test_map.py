"""What is written about the tree holds of the tree: the shelves, and the contract of what the hub may import."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HUB = ROOT / "hub" / "waggle_hub"
CLIENT = ROOT / "client" / "waggle"
SHARED = {"mcp", "version", "wire"}
"""What the hub may import of the client."""
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

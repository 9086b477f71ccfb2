"""What is written about the tree holds of the tree: the code map, and the contract of what the hub may import."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HUB = ROOT / "hub" / "waggle_hub"
CLIENT = ROOT / "client" / "waggle"
SHARED = {"errors", "keys", "mcp", "messages", "paths", "portable", "version"}
"""What the hub may import of the client."""


def test_every_module_has_its_place_in_the_code_map() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("## Code map")[2].partition("## Invariants")[0]
    told: set[str] = set()
    for row in table.splitlines():
        names = re.findall(r"`([\w/]+\.py)`", row.split("|")[1]) if row.count("|") > 2 else []
        folder = names[0].rpartition("/")[0] if names else ""
        told |= {name if "/" in name or not folder else f"{folder}/{name}" for name in names}
    modules = {path.relative_to(HUB).as_posix() for path in HUB.rglob("*.py") if path.name != "__init__.py"}
    assert modules - told == set()
    assert {name for name in told if not name.startswith("client/")} - modules == set()


def test_each_part_of_the_client_is_shared_with_the_hub_or_forbidden_to_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["name"].startswith("Of the client"))
    forbidden = {name.removeprefix("waggle.") for name in contract["forbidden_modules"]}
    parts = {path.stem for path in CLIENT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} - SHARED == {name for name in forbidden if "." not in name}

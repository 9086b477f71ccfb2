"""Invariants of the source: the machine is pure, and the engine never awaits between a decision and its release."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HUB = Path(__file__).resolve().parents[2] / "hub" / "waggle_hub"
PURE = {
    "__future__", "abc", "bisect", "collections", "collections.abc", "enum", "functools", "heapq", "hmac", "itertools",
    "math", "operator", "re", "typing",
    "msgspec", "sortedcontainers", "waggle.wire", "waggle.wire.errors", "waggle.wire.json", "waggle.wire.limits",
    "waggle.wire.names", "waggle.wire.patterns",
}  # fmt: skip
"""What the machine may import: nothing here knows the time, or reaches beyond its arguments."""
IMPURE = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
"""Builtins that do."""
DELIVERY = ("conflation", "encoding", "fanout", "feed", "catchup", "catchup_queue", "frame")
ENGINE_COROUTINES = {
    "engine": {"start", "drain", "close", "settled", "_write"},
    "background": {"refuse_backup", "_run"},
}
"""The functions of the engine that may await, by module: for the journal at start, stop and backup, or in a background
task."""


def modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((HUB / folder).rglob("*.py")):
        yield path.relative_to(HUB / folder).with_suffix("").as_posix(), ast.parse(path.read_text())


def coroutines(tree: ast.Module) -> set[str]:
    """The functions that may await."""
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("name", "tree"), list(modules("state")))
def test_the_machine_uses_only_its_arguments(name: str, tree: ast.Module) -> None:
    assert coroutines(tree) == set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= PURE
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            inside = node.module.startswith("waggle_hub.state") or node.module == "waggle_hub.settings"
            assert inside or node.module in PURE
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, "relative imports stay in their folder"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE, f"{name}:{node.lineno}"


def test_the_engine_decides_and_releases_without_awaiting() -> None:
    found = {name: coroutines(tree) for name, tree in modules("engine")}
    assert {name: functions for name, functions in found.items() if functions} == ENGINE_COROUTINES
    delivery = dict(modules("delivery"))
    assert {name for name in DELIVERY if coroutines(delivery[name])} == set()

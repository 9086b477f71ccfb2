"""The installed dependencies have every name that the project uses of them, private ones too (decision 8).

It is short and needs pytest alone, so that it can also look at what a fresh install gets: see `make fresh`.
"""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import FunctionType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["hub"]]
REMEDY = "Adapt the project to that version, or keep it out with an upper bound in pyproject.toml."
SUBCLASSES = [
    ("waggle_hub.edge.server.uvicorn_websocket:Protocol", set[str]()),
    ("waggle_hub.edge.server.uvicorn_fast_path:FastPathProtocol", {"open", "go_on", "write", "close"}),
    ("waggle_hub.edge.server.uvicorn_http:HttpProtocol", {"bounds"}),
    ("waggle_hub.edge.server.uvicorn_server:Server", set[str]()),
    ("waggle.transport.connection:Connection", {"open", "write", "full"}),
]
"""Classes that extend one of a dependency, and the public names that they add. Their other additions are private."""


def imports() -> Iterator[tuple[str, str, str]]:
    """Yield each name that the project imports of a dependency: the file, the module, and the name in it."""
    packages = {
        package
        for package, distributions in packages_distributions().items()
        if {name.lower() for name in distributions} & {requirement.name.lower() for requirement in REQUIREMENTS}
    }
    for path in sorted([*(ROOT / "client").rglob("*.py"), *(ROOT / "hub").rglob("*.py")]):
        tree = ast.parse(path.read_text())
        # What is imported in a `try` may be absent.
        optional = {node for guarded in ast.walk(tree) if isinstance(guarded, ast.Try) for node in guarded.body}
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module is None or node.level or node in optional:
                continue
            if node.module.split(".")[0] in packages:
                yield from ((str(path.relative_to(ROOT)), node.module, alias.name) for alias in node.names)


def installed(module: str) -> str:
    """Return the name and version of the distribution that a module is from."""
    (distribution, *_) = packages_distributions()[module.split(".")[0]]
    return f"{distribution} {version(distribution)}"


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_the_installed_version_is_within_the_bounds(requirement: Requirement) -> None:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    present = version(requirement.name)
    assert requirement.specifier.contains(present, prereleases=True), (
        f"pyproject.toml asks for {requirement}, but {requirement.name} {present} is installed."
    )


def test_every_name_that_is_imported_of_a_dependency_is_there() -> None:
    names = list(imports())
    assert ("hub/waggle_hub/edge/server/uvicorn_websocket.py", "uvicorn._types", "ASGIReceiveEvent") in names
    for file, module, name in names:
        try:
            there = hasattr(import_module(module), name)
        except ImportError:
            there = False
        assert there, f"{installed(module)} has no {module}.{name}, which {file} imports. {REMEDY}"


@pytest.mark.parametrize(("place", "added"), SUBCLASSES, ids=[place.partition(":")[2] for place, _ in SUBCLASSES])
def test_a_class_of_a_dependency_has_what_its_subclass_uses(place: str, added: set[str]) -> None:
    module, _, name = place.partition(":")
    subclass: type = getattr(import_module(module), name)
    bases = [base for base in subclass.__mro__[1:] if not base.__module__.startswith("waggle")]
    has = attributes(*bases)
    uses = {used for used in used_attributes(subclass) if not used.startswith("_")}
    uses |= {used for used in vars(subclass) if not used.startswith("_")}
    assert uses > added
    for used in sorted(uses - added):
        assert used in has, (
            f"{installed(bases[0].__module__)} has no {bases[0].__name__}.{used}, which {module}.{name} uses. {REMEDY}"
        )


@cache
def attributes(*classes: type) -> set[str]:
    """Return the names of all attributes of the classes, those that their methods set included."""
    names = {name for cls in classes for name in dir(cls)}
    for cls in classes:
        for function in vars(cls).values():
            if isinstance(function, FunctionType):
                names |= {step.argval for step in dis.get_instructions(function) if step.opname == "STORE_ATTR"}
    return names


def used_attributes(cls: type) -> set[str]:
    """Return the names of the attributes of `self` that the source of a class uses."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }

"""What holds for all examples; that they work, in processes, is `tests/e2e/test_patterns.py`."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import waggle.examples
from waggle.examples import EXAMPLES
from waggle.examples.roles import Cast

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "patterns.md").read_text()
FOLDER = Path(waggle.examples.__file__).parent


def source(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text()


def test_every_example_there_is_can_be_played() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*EXAMPLES, "__init__", "crew", "roles"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_a_title_and_a_cast(name: str) -> None:
    module = import_module(f"waggle.examples.{name}")
    title, blank, *_ = (module.__doc__ or "").split("\n")
    assert 30 < len(title) < 110
    assert blank == ""
    assert isinstance(module.CAST, Cast)
    assert module.CAST.agents, "somebody is done some day, or it would never end"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_small_and_neither_sleeps_nor_polls(name: str) -> None:
    text = source(name)
    assert text.count("\n") < 150
    assert not re.search(r"sleep\(|time\.\w", text)
    for loop in re.findall(r"while .*:\n(?: {8,}.*\n)+", text):
        assert "hub.wait(" in loop, "a loop without end begins again when the hub tells it to"
        assert "hub.get(" not in loop


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_agent_says_what_it_waits_for(name: str) -> None:
    """The proofs rest on it: who says anything else has begun."""
    said = re.findall(r'hub\.status\(f?"(\w+)', source(name))
    assert said or "hub.wait(" not in source(name)
    assert {word for word in said if "wait" in word.lower()} <= {"waiting"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_shows_a_line_of_the_example(name: str) -> None:
    (row,) = re.findall(rf"^\|.*\| `(.*?)` \| `waggle demo {name}` \| \[{name}\.py\].*$", PAGE, re.MULTILINE)
    assert row in source(name)

"""The source of the pages reads well: lines end at 100 characters, and software is called by its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MAX_WIDTH = 100
UNBREAKABLE = re.compile(r"`[^`]*`|!?\[[^\]]*\]\([^)]*\)")
"""A span of code, or a link: a line is not broken within it."""
PRONOUNS = re.compile(r"\b(whoever|nobody|somebody|anybody)\b", re.IGNORECASE)
QUOTED = {"CONTRIBUTING.md", "guarantees.md"}
"""Pages that have such words for a reason: as examples of what not to write; in promises that stay word for word."""


def prose(page: Path) -> list[str]:
    """Return the lines of a page without code, tables, and the parts that the benchmark writes."""
    text = re.sub(r"^```.*?^```$|^<!-- bench: .*?^<!-- end: .*?$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [line for line in text.splitlines() if not line.startswith("|")]


def pages(without: set[str]) -> list[Path]:
    return [page for page in PAGES if page.name not in without]


@pytest.mark.parametrize("page", pages(without=set()), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_line_of_prose_ends_at_100_characters_if_it_can_be_broken(page: Path) -> None:
    long = [line for line in prose(page) if len(line) > MAX_WIDTH]
    assert [line for line in long if " " in UNBREAKABLE.sub("", re.sub(r"^ *[*\d.]+ ", "", line)).strip()] == []


@pytest.mark.parametrize("page", pages(without=QUOTED), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_calls_software_by_its_name(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if PRONOUNS.search(line)] == []

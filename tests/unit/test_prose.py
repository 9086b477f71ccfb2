"""Docstrings name the thing and say what it does (CONTRIBUTING.md, "Write prose").

The rule came after much of the code: as long as docstrings break it, their number may only shrink.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for root in ("hub", "client") for path in (ROOT / root).rglob("*.py"))
PRONOUN_FIRST = re.compile(r"^(It|Its|What|Who|Whoever|Nobody|Somebody|That|This)\b")
SOFTWARE_AS_PERSON = re.compile(r"\b(whoever|nobody|somebody)\b", re.IGNORECASE)
MIN_WORDS = 3
MAX_VIOLATIONS = 170
"""To be lowered with each docstring that is rewritten, down to zero."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and text of each docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def breaks_the_rule(text: str) -> bool:
    """Return whether a docstring begins with a pronoun, calls software somebody, or says next to nothing."""
    return bool(PRONOUN_FIRST.search(text) or SOFTWARE_AS_PERSON.search(text) or len(text.split()) < MIN_WORDS)


MENTION = re.compile(r"`((?:waggle|waggle_hub)(?:\.[a-z_]+)+)((?:\.[A-Z]\w*)?(?:\.\w+)*)`")
MODULES = {
    ".".join(part for part in path.relative_to(ROOT / path.relative_to(ROOT).parts[0]).with_suffix("").parts)
    for path in SOURCES
}


def test_every_module_that_a_docstring_names_exists() -> None:
    packages = {name.removesuffix(".__init__") for name in MODULES}
    missing = []
    for path in SOURCES:
        for line, text in docstrings(path):
            for name, _ in MENTION.findall(text):
                parent = name.rpartition(".")[0]
                if name not in packages and parent not in packages:
                    missing.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert missing == []


def test_docstrings_that_break_the_rule_only_get_fewer() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in SOURCES
        for line, text in docstrings(path)
        if breaks_the_rule(text)
    ]
    assert len(found) <= MAX_VIOLATIONS, "\n".join(found)

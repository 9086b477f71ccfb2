"""Docstrings name the thing and say what it does (CONTRIBUTING.md, "Write prose")."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for root in ("hub", "client") for path in (ROOT / root).rglob("*.py"))
PRONOUN_FIRST = re.compile(r"^(It|Its|What|Who|Whoever|Nobody|Somebody|That|This)\b")
SOFTWARE_AS_PERSON = re.compile(r"\b(whoever|nobody|somebody)\b", re.IGNORECASE)
NO_VERB_FIRST = re.compile(
    r"^(A|All|An|As|Each|Every|From|How|If|More|No|None|Not|One|Only|So|Some|The|These|Those|To be|Until|When|Where"
    r"|Whether|Which|Why)\b"
)
"""How the docstring of a function does not begin: it begins with a verb."""
MIN_WORDS = 3


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and text of the docstring of each function that is not a property."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and not any("property" in ast.unparse(decorator) for decorator in node.decorator_list):
                yield node.lineno, text


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


def test_docstrings_name_the_thing() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in SOURCES
        for line, text in docstrings(path)
        if breaks_the_rule(text)
    ]
    assert found == []


def test_the_docstring_of_a_function_begins_with_a_verb() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in SOURCES
        for line, text in functions(path)
        if NO_VERB_FIRST.search(text)
    ]
    assert found == []

"""The generated parts of pages: each lies between two comments that name it; the text around them is never changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_PART = re.compile(r"(<!-- bench: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(<!-- end: (?P=name) -->)", re.DOTALL)


def names(page: str) -> list[str]:
    """Return the names of the parts that a page has a place for."""
    return [found["name"] for found in _PART.finditer(page)]


def filled(pages: Sequence[str], parts: Mapping[str, str]) -> list[str]:
    """Return the pages with these parts. Raises ValueError if no page has a place for one of them."""
    missing = set(parts) - {name for page in pages for name in names(page)}
    if missing:
        raise ValueError(f"no page has <!-- bench: {min(missing)} --> ... <!-- end: {min(missing)} -->")

    def replacement(found: re.Match[str]) -> str:
        return f"{found[1]}{parts.get(found['name'], found['text'])}{found[4]}"

    return [_PART.sub(replacement, page) for page in pages]

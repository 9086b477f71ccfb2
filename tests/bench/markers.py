"""The generated parts of a page: each stands between two comments that name it; what is around them stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"(<!-- bench: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(<!-- end: (?P=name) -->)", re.DOTALL)


def names(page: str) -> list[str]:
    """The parts that the page has room for."""
    return [found["name"] for found in _PART.finditer(page)]


def filled(page: str, parts: Mapping[str, str]) -> str:
    """The page with these parts. Raises ValueError if it has no room for one of them: nothing is lost in silence."""
    homeless = set(parts) - set(names(page))
    if homeless:
        raise ValueError(f"the page has no <!-- bench: {min(homeless)} --> ... <!-- end: {min(homeless)} -->")
    return _PART.sub(lambda found: f"{found[1]}{parts.get(found['name'], found['text'])}{found[4]}", page)

"""A member more, or less, in a person's JSON or TOML file, and every other character as it was.

The rules:

1. **Text is changed, not data:** comments, order, indentation and line ends stay.
2. **What is written is read again before.** If the result would not be what was there with that one member more or
   less, nothing is written, and CannotSpliceError says so: then a person does it better.
3. Taking out what was put in gives back the very text, but for a table that held nothing else: that goes, too.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, NamedTuple

__all__ = ["ConfigEditError", "json_data", "json_with", "json_without", "toml_data", "toml_with", "toml_without"]

Data = dict[str, Any]

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|[{}\[\],:]|[^\s{}\[\],:"/]+|/', re.DOTALL)


class ConfigEditError(Exception):
    """This file is not one that can be changed safely: why."""


# --- JSON, with comments if there are any ------------------------------------------------------------------------


class _Token(NamedTuple):
    text: str
    start: int
    end: int


class _Member(NamedTuple):
    """A member of an object: where its key begins, and where its value begins and ends."""

    key: str
    start: int
    value: int
    end: int


def json_data(text: str) -> Data:
    """What the file says; nothing, if it is empty. Raises CannotSpliceError if it is no JSON object."""
    if not text.strip():
        return {}
    plain = "".join(" " if one.text.startswith(("//", "/*")) else one.text for one in _tokens(text, gaps=True))
    try:
        data = json.loads(plain)
    except ValueError as fault:
        raise ConfigEditError(f"it is no JSON ({fault})") from None
    if not isinstance(data, dict):
        raise ConfigEditError("it is no JSON object")
    return data


def json_with(text: str, table: str, name: str, entry: Data) -> str:
    """The text with ``entry`` as ``name`` in the object ``table``, which is made if it is not there."""
    before = json_data(text)
    if not text.strip():
        return json.dumps({table: {name: entry}}, indent=2) + "\n"
    unit = _indent(text)
    top = _members(text, text.index("{", _opening_brace(text)))
    found = next((one for one in top if one.key == table), None)
    if found is None:
        changed = _with_member(text, _opening_brace(text), top, table, {name: entry}, unit, 1)
    else:
        changed = _with_member(text, found.value, _members(text, found.value), name, entry, unit, 2)
    expected = {**before, table: {**before.get(table, {}), name: entry}}
    return _checked(changed, json_data(changed), expected)


def json_without(text: str, table: str, name: str) -> str:
    """The text without ``name`` in the object ``table``; without that, if it holds nothing else."""
    before = json_data(text)
    top = _members(text, _opening_brace(text))
    outer = next(one for one in top if one.key == table)
    inner = _members(text, outer.value)
    rest = {key: value for key, value in before[table].items() if key != name}
    if rest:
        changed = _without_member(text, inner, [one.key for one in inner].index(name), outer.value)
        expected = {**before, table: rest}
    else:
        changed = _without_member(text, top, top.index(outer), _opening_brace(text))
        expected = {key: value for key, value in before.items() if key != table}
    return _checked(changed, json_data(changed), expected)


def _tokens(text: str, *, gaps: bool = False) -> list[_Token]:
    """The tokens; with ``gaps``, what is between them, too."""
    tokens, place = [], 0
    for found in _TOKEN.finditer(text):
        if gaps and found.start() > place:
            tokens.append(_Token(text[place : found.start()], place, found.start()))
        tokens.append(_Token(found[0], found.start(), found.end()))
        place = found.end()
    return tokens


def _opening_brace(text: str) -> int:
    """Where the outermost object begins."""
    return next(one.start for one in _tokens(text) if one.text == "{")


def _members(text: str, opening: int) -> list[_Member]:
    """The members of the object that begins there. Raises CannotSpliceError if it is none."""
    if text[opening] != "{":
        raise ConfigEditError("what should be an object is something else")
    tokens = [one for one in _tokens(text) if one.start > opening and not one.text.startswith(("//", "/*"))]
    members: list[_Member] = []
    depth, key, value = 0, None, None
    previous = opening + 1
    for one in tokens:
        if depth == 0 and one.text in (",", "}"):
            if key is not None and value is not None:
                members.append(_Member(json.loads(key.text), key.start, value, previous))
            key = value = None
            if one.text == "}":
                return members
        elif depth == 0 and key is None:
            key = one
        elif depth == 0 and one.text == ":":
            pass
        elif value is None:
            value = one.start
        depth += (one.text in "{[") - (one.text in "}]")
        previous = one.end
    raise ConfigEditError("an object is not closed")


def _with_member(text: str, opening: int, members: list[_Member], name: str, value: Data, unit: str, depth: int) -> str:
    """With a member after the last one."""
    margin = unit * depth
    if members:
        line = text[text.rfind("\n", 0, members[-1].start) + 1 : members[-1].start]
        margin = line if line.strip() == "" else margin
    newline = "\r\n" if "\r\n" in text else "\n"
    shown = json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", f"{newline}{margin}")
    member = f"{newline}{margin}{json.dumps(name)}: {shown}"
    if members:
        end = members[-1].end
        return f"{text[:end]},{member}{text[end:]}"
    closing = text.index("}", opening)
    if text[opening + 1 : closing].strip():
        raise ConfigEditError("an object holds nothing but a comment")
    return f"{text[: opening + 1]}{member}{newline}{unit * (depth - 1)}{text[closing:]}"


def _without_member(text: str, members: list[_Member], place: int, opening: int) -> str:
    """Without that member, and the comma that it needed."""
    one = members[place]
    if place > 0:
        return text[: members[place - 1].end] + text[one.end :]
    if len(members) > 1:
        return text[: one.start] + text[members[1].start :]
    return text[: opening + 1] + text[text.index("}", one.end) :]


def _indent(text: str) -> str:
    found = re.search(r'\n([ \t]+)"', text)
    return found[1] if found else "  "


# --- TOML --------------------------------------------------------------------------------------------------------


def toml_data(text: str) -> Data:
    """What the file says. Raises CannotSpliceError if it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigEditError(f"it is no TOML ({fault})") from None


def toml_with(text: str, table: str, name: str, entry: Data) -> str:
    """The text with the table ``[table.name]`` at its end."""
    before = toml_data(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else newline if text.endswith("\n") else newline * 2
    lines = [f"{key} = {_toml(value)}" for key, value in entry.items()]
    changed = text + gap + newline.join([f"[{table}.{name}]", *lines, ""])
    expected = {**before, table: {**before.get(table, {}), name: entry}}
    return _checked(changed, toml_data(changed), expected)


def _toml(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {_toml(one)}' for key, one in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def toml_without(text: str, table: str, name: str) -> str:
    """The text without that table, and the empty line before it."""
    before = toml_data(text)
    found = re.search(
        rf"(?:^\r?\n)?^\[{re.escape(table)}\.{re.escape(name)}\]\r?\n(?:[^\[\n].*\n?)*", text, re.MULTILINE
    )
    if found is None:
        raise ConfigEditError(f"[{table}.{name}] is not written as a table of its own")
    changed = text[: found.start()] + text[found.end() :]
    rest = {key: value for key, value in before[table].items() if key != name}
    expected = {**before, table: rest} if rest else {key: value for key, value in before.items() if key != table}
    return _checked(changed, toml_data(changed), expected)


def _checked(text: str, data: Data, expected: Data) -> str:
    if data != expected:
        raise ConfigEditError("it is written in a way that cannot be changed safely")
    return text

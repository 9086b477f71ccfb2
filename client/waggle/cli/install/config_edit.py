"""Edits of a person's JSON or TOML file: one member added or removed, every other character as it was.

1. **The text is changed, not the data:** comments, order, indentation and line ends stay.
2. **The result is read again before it is written.** If it is not the former data with that one member more or less,
   nothing is written, and ConfigEditError says so: then the person has to make the change.
3. Removing what was added gives back the former text, but for a table that held nothing else: that goes, too.

No library does this: for JSON with comments there is none that keeps the text as it is, and tomlkit removes the
comments above the next table together with a table.
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
    """A file that cannot be changed safely; the message says why."""


# --- JSON, with comments if there are any ------------------------------------------------------------------------


class _Token(NamedTuple):
    text: str
    start: int
    end: int

    @property
    def is_comment(self) -> bool:
        return self.text.startswith(("//", "/*"))


class _Member(NamedTuple):
    """A member of an object: the start of its key, and the start and end of its value."""

    key: str
    start: int
    value: int
    end: int


def json_data(text: str) -> Data:
    """Return the data of a file, empty for an empty file. Raises ConfigEditError if it is no JSON object."""
    if not text.strip():
        return {}
    plain = "".join(" " if token.is_comment else token.text for token in _tokens(text, gaps=True))
    try:
        data = json.loads(plain)
    except ValueError as error:
        raise ConfigEditError(f"it is no JSON ({error})") from None
    if not isinstance(data, dict):
        raise ConfigEditError("it is no JSON object")
    return data


def json_with(text: str, table: str, name: str, entry: Data) -> str:
    """Return the text with ``entry`` as ``name`` in the object ``table``, which is added if it is absent."""
    before = json_data(text)
    if not text.strip():
        return json.dumps({table: {name: entry}}, indent=2) + "\n"
    unit = _indent(text)
    outer = _members(text, _opening_brace(text))
    member = next((member for member in outer if member.key == table), None)
    if member is None:
        changed = _with_member(text, _opening_brace(text), outer, table, {name: entry}, unit, 1)
    else:
        changed = _with_member(text, member.value, _members(text, member.value), name, entry, unit, 2)
    return _checked(changed, json_data(changed), _data_with(before, table, name, entry))


def json_without(text: str, table: str, name: str) -> str:
    """Return the text without ``name`` in the object ``table``; without the table if it holds nothing else."""
    expected = _data_without(json_data(text), table, name)
    opening = _opening_brace(text)
    members = _members(text, opening)
    key = table
    if table in expected:
        opening = next(member.value for member in members if member.key == table)
        members = _members(text, opening)
        key = name
    changed = _without_member(text, members, [member.key for member in members].index(key), opening)
    return _checked(changed, json_data(changed), expected)


def _tokens(text: str, *, gaps: bool = False) -> list[_Token]:
    """Return the tokens; with ``gaps``, also the text between them."""
    tokens, end = [], 0
    for match in _TOKEN.finditer(text):
        if gaps and match.start() > end:
            tokens.append(_Token(text[end : match.start()], end, match.start()))
        tokens.append(_Token(match[0], match.start(), match.end()))
        end = match.end()
    return tokens


def _opening_brace(text: str) -> int:
    """Return the index of the outermost object's brace."""
    return next(token.start for token in _tokens(text) if token.text == "{")


def _members(text: str, opening: int) -> list[_Member]:
    """Return the members of the object that begins at ``opening``. Raises ConfigEditError if it is no object."""
    if text[opening] != "{":
        raise ConfigEditError("a value that should be an object is none")
    members: list[_Member] = []
    depth, key, value = 0, None, None
    previous_end = opening + 1
    for token in _tokens(text):
        if token.start <= opening or token.is_comment:
            continue
        if depth == 0 and token.text in (",", "}"):
            if key is not None and value is not None:
                members.append(_Member(json.loads(key.text), key.start, value, previous_end))
            key = value = None
            if token.text == "}":
                return members
        elif depth == 0 and key is None:
            key = token
        elif depth == 0 and token.text == ":":
            pass
        elif value is None:
            value = token.start
        depth += (token.text in "{[") - (token.text in "}]")
        previous_end = token.end
    raise ConfigEditError("an object is not closed")


def _with_member(text: str, opening: int, members: list[_Member], name: str, value: Data, unit: str, depth: int) -> str:
    """Return the text with a new member after the last one, indented like that one."""
    margin = unit * depth
    if members:
        line_start = text[text.rfind("\n", 0, members[-1].start) + 1 : members[-1].start]
        margin = line_start if line_start.strip() == "" else margin
    newline = _newline(text)
    rendered = json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", f"{newline}{margin}")
    member = f"{newline}{margin}{json.dumps(name)}: {rendered}"
    if members:
        end = members[-1].end
        return f"{text[:end]},{member}{text[end:]}"
    closing = text.index("}", opening)
    if text[opening + 1 : closing].strip():
        raise ConfigEditError("an object holds nothing but a comment")
    return f"{text[: opening + 1]}{member}{newline}{unit * (depth - 1)}{text[closing:]}"


def _without_member(text: str, members: list[_Member], index: int, opening: int) -> str:
    """Return the text without a member, and without the comma that separated it."""
    member = members[index]
    if index > 0:
        return text[: members[index - 1].end] + text[member.end :]
    if len(members) > 1:
        return text[: member.start] + text[members[1].start :]
    return text[: opening + 1] + text[text.index("}", member.end) :]


def _indent(text: str) -> str:
    match = re.search(r'\n([ \t]+)"', text)
    return match[1] if match else "  "


# --- TOML --------------------------------------------------------------------------------------------------------


def toml_data(text: str) -> Data:
    """Return the data of a file. Raises ConfigEditError if it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigEditError(f"it is no TOML ({error})") from None


def toml_with(text: str, table: str, name: str, entry: Data) -> str:
    """Return the text with the table ``[table.name]`` at its end."""
    before = toml_data(text)
    newline = _newline(text)
    gap = "" if not text else newline if text.endswith("\n") else newline * 2
    lines = [f"{key} = {_toml(value)}" for key, value in entry.items()]
    changed = text + gap + newline.join([f"[{table}.{name}]", *lines, ""])
    return _checked(changed, toml_data(changed), _data_with(before, table, name, entry))


def toml_without(text: str, table: str, name: str) -> str:
    """Return the text without the table ``[table.name]``, and without the empty line before it."""
    before = toml_data(text)
    header = rf"^\[{re.escape(table)}\.{re.escape(name)}\]\r?\n"
    # The table ends at an empty line, too: comments after that belong to the next table.
    match = re.search(rf"(?:^\r?\n)?{header}(?:[^\[\n].*\n?)*", text, re.MULTILINE)
    if match is None:
        raise ConfigEditError(f"[{table}.{name}] is not written as a table of its own")
    changed = text[: match.start()] + text[match.end() :]
    return _checked(changed, toml_data(changed), _data_without(before, table, name))


def _toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {_toml(member)}' for key, member in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


# --- both --------------------------------------------------------------------------------------------------------


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _data_with(data: Data, table: str, name: str, entry: Data) -> Data:
    return {**data, table: {**data.get(table, {}), name: entry}}


def _data_without(data: Data, table: str, name: str) -> Data:
    rest = {key: value for key, value in data[table].items() if key != name}
    return {**data, table: rest} if rest else {key: value for key, value in data.items() if key != table}


def _checked(text: str, data: Data, expected: Data) -> str:
    if data != expected:
        raise ConfigEditError("it is written in a way that cannot be changed safely")
    return text

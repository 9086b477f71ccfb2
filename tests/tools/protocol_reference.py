"""The generated parts of the protocol: the tables in docs/protocol.md, and the schema docs/protocol.schema.json.

Both are made from `waggle.wire.messages` and `waggle.wire.errors`; `make protocol` writes them. A table stands between
two comments of the page, ``<!-- fields: NAME -->`` and ``<!-- end -->``. NAME is an op, or a struct of the vocabulary.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from waggle.wire import errors
from waggle.wire import messages as m

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "protocol.md"
SCHEMA = DOCS / "protocol.schema.json"

_TABLE = re.compile(r"<!-- fields: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_LINK = re.compile(r"\[([^]]*)\]\(#[^)]*\)")
_WORDS: dict[Any, str] = {
    int: "integer", float: "number", str: "string", bool: "boolean", Any: "any JSON", type(None): "null",
    Raw: "any JSON",
}  # fmt: skip
_STRUCTS = {
    "Awaited": "[condition](#condition-of-a-wait)",
    "Condition": "[condition](#condition-of-a-txn)",
    "Entry": "[entry](#4-entries)",
    "Guard": "[guard](#guard)",
    "HeldLock": "[held lock](#locks)",
    "Hit": "[entry](#4-entries) with `score`",
    "Holder": "[holder](#not-granted)",
    "HubInfo": "object `{name, version}`",
    "Lateness": "object `{count, p50, p99, max}`",
    "LogWindow": "object `{events, bytes, floor, rev}`",
    "NamespaceCount": "object `{ns, keys, bytes}`",
    "OpCount": "object `{count, errors, mean}`",
    "Rates": "object `{commands, revisions, events, sends}`",
    "SeenSession": "[session](#inspect)",
    "SeenSubscription": "[subscription](#inspect)",
    "SeenWait": "[waiting command](#inspect)",
    "Since": "[since](#since)",
    "Waiter": "[waiter](#locks)",
    "Where": "[where](#where)",
}
"""What the tables call a struct: a link to its own table, or its fields."""
_LISTED = 4
"""Values that a type lists; the meaning of a field tells longer lists."""

EVENT_FIELDS: dict[str, list[str]] = {
    "set": ["version", "kind", "created_at", "expires_at"],
    "delete": ["version"],
    "expire": ["version", "expires_at", "late"],
    "evict": ["version"],
    "touch": ["expires_at"],
    "lock": ["token", "mode", "session", "expires_at"],
    "renew": ["token", "session", "expires_at"],
    "unlock": ["token", "session", "reason"],
    "queue": ["waiting", "session"],
    "message": ["data"],
}
"""The fields that an event of a type always has, beside those that every event has."""
_PLACE = ["sub", "rev", "after", "key", "ns", "at", "by"]


class Field(NamedTuple):
    """One field of a struct, as a table shows it."""

    name: str
    type: str
    default: str
    limit: str
    meaning: str


# --- reading the vocabulary --------------------------------------------------------------------------------------


@functools.cache
def _docstrings() -> dict[tuple[str, str], str]:
    """Return the docstring of each field by (struct, field), also where it is said at an earlier struct."""
    found: dict[tuple[str, str], str] = {}
    latest: dict[str, str] = {}
    for node in ast.parse(inspect.getsource(m)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            name = statement.target.id
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                latest[name] = " ".join(str(following.value.value).split())
            found[node.name, name] = latest[name]
    return found


def _docstring(struct: type[Struct], field: str) -> str:
    said = _docstrings()
    return next(said[cls.__name__, field] for cls in struct.__mro__ if (cls.__name__, field) in said)


def fields(struct: type[Struct]) -> Iterator[Field]:
    """Return the fields of a struct but for ``id``, which all commands have."""
    hints = typing.get_type_hints(struct)
    for field in structs.fields(struct):
        if field.name == "id" and issubclass(struct, m.Command):
            continue
        default = field.default_factory() if callable(field.default_factory) else field.default
        meaning, _, limit = _docstring(struct, field.name).partition(" Limit: ")
        if field.required:
            shown = "required"
        elif default is UNSET:
            shown = "absent"
        elif default is None:
            shown = "none"
        else:
            shown = f"`{msgspec.json.encode(default).decode().removesuffix('.0')}`"
        yield Field(field.encode_name, _type(hints[field.name]), shown, limit.removesuffix("."), meaning)


def _type(hint: Any) -> str:
    """Return the JSON type of a Python type, in words."""
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case types.UnionType | typing.Union:
            return " or ".join(_type(one) for one in arguments if one is not UnsetType)
        case typing.Literal:
            return " or ".join(f"`{json.dumps(one)}`" for one in arguments) if len(arguments) <= _LISTED else "string"
        case origin if origin is list:
            return f"array of {_type(arguments[0])}"
        case origin if origin is dict:
            return "object" if arguments[1] is Any else f"object of {_type(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _STRUCTS[hint.__name__]
    return _WORDS[hint]


# --- tables ------------------------------------------------------------------------------------------------------


def render(page: str) -> str:
    """Return the page with each table as the vocabulary has it now."""
    return _TABLE.sub(lambda found: f"<!-- fields: {found[1]} -->\n{_tables(found[1])}<!-- end -->", page)


def tables_in(page: str) -> list[str]:
    """Return the names of the tables of a page."""
    return [found[1] for found in _TABLE.finditer(page)]


def _tables(name: str) -> str:
    command = m.OPS.get(name)
    if command is not None:
        asked = _input_table(command) or "It has no fields of its own.\n"
        return f"{asked}\n{_output_table(m.REPLIES[command], 'field of `ok`') or '`ok` is `{}`.'}"
    struct = getattr(m, name)
    return _input_table(struct) if struct.__struct_config__.forbid_unknown_fields else _output_table(struct, "field")


def _input_table(struct: type[Struct]) -> str:
    """Return the table of what a client sends: the required fields, then the others, then ``rid``."""
    ordered = sorted(fields(struct), key=lambda field: (field.name == "rid", field.default != "required"))
    rows = []
    for field in ordered:
        # Null is the same as no field where that is the default: the page says so once.
        type_words = field.type.removesuffix(" or null") if field.default == "none" else field.type
        rows.append([f"`{field.name}`", type_words, field.default, field.limit, field.meaning])
    return _table(["field", "type", "default", "limit", "meaning"], rows)


def _output_table(struct: type[Struct], title: str) -> str:
    """Return the table of what the hub sends. The page says which fields an event type has."""
    omits = struct.__struct_config__.omit_defaults
    rows = []
    for field in fields(struct):
        optional = struct is not m.Event and (field.default == "absent" or (omits and field.default != "required"))
        rows.append([f"`{field.name}`", field.type + ("; may be absent" if optional else ""), field.meaning])
    return _table([title, "type", "meaning"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table, or nothing if it has no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


# --- schema ------------------------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """Return the JSON Schema of one line of the wire, in either direction."""
    commands = list(m.REPLIES)
    replies = list(dict.fromkeys(m.REPLIES.values()))
    named = [*commands, *replies, m.Event, m.LostLock]
    _, shapes = msgspec.json.schema_components(named, ref_template="#/$defs/{name}")
    for name, shape in shapes.items():
        for field in structs.fields(getattr(m, name)):
            described = shape["properties"][field.encode_name]
            described["description"] = _LINK.sub(r"\1", _docstring(getattr(m, name), field.name))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of waggle.v1",
        "description": "One JSON object of the wire of Waggle: a command to the hub, or a reply, an error, an event or "
        "a lost lock from it. Replies and events may have more fields than are listed here: ignore them.",
        "anyOf": [_ref(name) for name in ("Command", "Reply", "Error", "AnyEvent", "Lost")],
        "$defs": {
            "Command": {"anyOf": [_ref(command.__name__) for command in commands]},
            "Reply": {"anyOf": [_ref(_reply_to(command)) for command in commands]},
            **{_reply_to(command): _reply(command) for command in commands},
            "Error": _error(),
            "AnyEvent": _event(),
            "Lost": {"type": "object", "properties": {"lost": _ref("LostLock")}, "required": ["lost"]},
            **shapes,
        },
    }


def schema_text() -> str:
    """Return the schema as its file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _reply_to(command: type[m.Command]) -> str:
    return f"ReplyTo{command.__name__}"


def _reply(command: type[m.Command]) -> dict[str, Any]:
    properties = {
        "id": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "ok": _ref(m.REPLIES[command].__name__),
        "dup": {"type": "boolean", "description": "The outcome is that of an earlier command with the same rid."},
    }
    return {"type": "object", "properties": properties, "required": ["id", "ok"]}


def _error() -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {"code": {"enum": sorted(errors.BY_CODE)}, "message": {"type": "string"}},
        "required": ["code", "message"],
    }
    id = {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}
    return {"type": "object", "properties": {"id": id, "error": error}, "required": ["id", "error"]}


def _event() -> dict[str, Any]:
    """Return the schema of an event, or of a line that a subscription says of itself."""
    needed = {name: [*_PLACE, *more] for name, more in EVENT_FIELDS.items()}
    needed |= {"synced": ["sub", "rev"], "mark": ["rev"], "lost": ["sub", "reason"]}
    return {
        "type": "object",
        "allOf": [_ref("Event")],
        "required": ["type"],
        "oneOf": [{"properties": {"type": {"const": name}}, "required": more} for name, more in needed.items()],
    }


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
    SCHEMA.write_text(schema_text())

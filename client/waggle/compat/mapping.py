"""The place of earlier systems' entries in a hub: namespace, key, kind, value and meta.

Three systems keep data: Shared Memory MCP v2, SharedMemoryStore and claude-flow. This is the one module that says
what an entry of theirs is here, for imports and for the profiles that show it as they did.

| | namespace | key | value | meta |
| --- | --- | --- | --- | --- |
| Shared Memory MCP | `memory` | its entry_id | the whole `Memory` | |
| SharedMemoryStore | its own, by default `shared_state` | the same | the same | its metadata, and `agentId` |
| claude-flow | its own, by default `default` | the same | its text's JSON, if no text; else its text | its metadata
|
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Raw, Struct

from waggle.wire import plain_json
from waggle.wire.errors import BadRequest
from waggle.wire.export_lines import ExportLine
from waggle.wire.messages import Kind

__all__ = [
    "FLOW",
    "HIVE",
    "KINDS",
    "MEMORY",
    "MOST_MEMORIES",
    "SETTINGS",
    "Memory",
    "Priority",
    "flow_line",
    "flow_read",
    "flow_value",
    "hive_line",
    "instant_of",
    "memory_line",
    "memory_of",
    "most_memories",
    "tags_of",
]

MEMORY = "memory"
"""The namespace of what Shared Memory MCP keeps."""
SETTINGS = "settings"
"""The key there that says how many memories there may be: ``{"max_entries": 5000}``."""
MOST_MEMORIES = 1_000
"""How many there may be if nothing is said."""
HIVE = "shared_state"
"""The namespace that SharedMemoryStore means where none is named."""
FLOW = "default"
"""The namespace that claude-flow means where none is named."""

Priority = Literal["low", "medium", "high"]


def _encoded(value: Any, field: str) -> Raw:
    """Return a value as JSON text. Raises BadRequest."""
    plain_json.check(value, field)
    try:
        return Raw(msgspec.json.encode(value))
    except UnicodeEncodeError:
        raise BadRequest(f"{field} holds half a surrogate pair: it is no valid Unicode", field=field) from None


# --- Shared Memory MCP v2 ----------------------------------------------------------------------------------------


class Memory(Struct, kw_only=True, forbid_unknown_fields=True):
    """An entry of Shared Memory MCP, its fields in its order. ``timestamp`` and ``updated_at`` are ISO 8601."""

    entry_id: str
    timestamp: str
    agent_name: str
    content: str
    word_count: int
    tags: list[str] = []
    priority: Priority = "medium"
    metadata: dict[str, Any] = {}
    updated_at: str | None = None


class _Settings(Struct, forbid_unknown_fields=True):
    max_entries: Annotated[int, msgspec.Meta(ge=1)] = MOST_MEMORIES


_read_memory = msgspec.json.Decoder(Memory).decode
_read_settings = msgspec.json.Decoder(_Settings).decode
_LONGEST_ID = 64
"""Characters of an entry_id: a UUID in any of its ways of writing."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def memory_of(key: str, value: bytes) -> Memory | None:
    """Return the memory at this key, its value JSON text; None if it is not one: any door can write there."""
    try:
        memory = _read_memory(value)
        _check_id(memory.entry_id)
        instant_of(memory.timestamp)
        if memory.updated_at is not None:
            instant_of(memory.updated_at)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, BadRequest):
        return None
    return memory if memory.entry_id == key and len(key) <= _LONGEST_ID else None


def instant_of(text: str) -> int:
    """Return the instant of ISO 8601 text in microseconds; without a zone it is UTC. Raises ValueError."""
    instant = datetime.fromisoformat(text)
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def most_memories(settings: bytes | None) -> tuple[int, str | None]:
    """Return the limit on memories from the JSON text of the entry `SETTINGS`, and what is wrong with the setting."""
    if settings is None:
        return MOST_MEMORIES, None
    try:
        return _read_settings(settings).max_entries, None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        return MOST_MEMORIES, f'key {SETTINGS} in namespace {MEMORY} is no {{"max_entries": N}}: {fault}'


def tags_of(tags: Iterable[str]) -> list[str]:
    """Return tags as they are stored: stripped, in lower case, without blank ones."""
    return [tag for tag in (tag.strip().lower() for tag in tags) if tag]


def memory_line(record: Any) -> ExportLine:
    """Return the export line of an entry of its file, of version 2 or 1. Raises BadRequest or msgspec's error."""
    if isinstance(record, dict) and "entry_id" not in record:
        record = {**record, "entry_id": _made_id(record)}
    memory = msgspec.convert(record, Memory)
    _check_id(memory.entry_id)
    _check_instant(memory.timestamp, "timestamp")
    if memory.updated_at is not None:
        _check_instant(memory.updated_at, "updated_at")
    if not memory.content.strip() or not memory.agent_name.strip():
        raise BadRequest("content and agent_name are text that is more than white space")
    memory.tags, memory.word_count = tags_of(memory.tags), len(memory.content.split())
    return ExportLine(ns=MEMORY, key=memory.entry_id, value=_encoded(msgspec.to_builtins(memory), "entry"))


def _made_id(record: dict[str, Any]) -> str:
    """Return the id of a version 1 entry, which has none: the same entry gets the same id each time."""
    said = "\0".join(str(record.get(field)) for field in ("timestamp", "agent_name", "content"))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, said.encode("utf-8", "replace").hex()))


def _check_id(entry_id: str) -> None:
    try:
        uuid.UUID(entry_id)
    except ValueError:
        raise BadRequest(f"entry_id {entry_id!r} is no UUID", field="entry_id") from None


def _check_instant(text: str, field: str) -> None:
    try:
        instant_of(text)
    except ValueError:
        raise BadRequest(f"{field} {text!r} is no instant as of ISO 8601", field=field) from None


# --- SharedMemoryStore -------------------------------------------------------------------------------------------

KINDS: dict[str, Kind] = {
    "persistent": "persistent",
    "transient": "transient",
    "cached": "cached",
    "versioned": "versioned",
    "shared": "persistent",
    "locked": "persistent",
}
"""The kind of an entry for each of its data types: everything is shared, and a lock is a lock of the same name."""

_OWN = {
    "namespace", "dataType", "version", "createdAt", "updatedAt", "expiresAt", "accessCount", "lastAccessed", "size",
    "compressed",
}  # fmt: skip
"""What it knows of an entry itself; the rest of its metadata is what somebody said of it."""


def hive_line(key: str, value: Any, metadata: Any) -> ExportLine:
    """Return the export line of an entry of its file, with its metadata or None. Raises BadRequest."""
    known = {} if metadata is None else metadata
    if not isinstance(known, dict):
        raise BadRequest("its metadata is no object")
    kind = KINDS.get(known.get("dataType") or "persistent")
    if kind is None:
        raise BadRequest(f"dataType {known['dataType']!r} is none of {', '.join(KINDS)}")
    expires = known.get("expiresAt")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int | float)):
        raise BadRequest(f"expiresAt {expires!r} is no number of milliseconds")
    meta = {name: said for name, said in known.items() if name not in _OWN}
    return ExportLine(
        ns=_namespace(known.get("namespace"), HIVE),
        key=key,
        value=_encoded(value, "value"),
        kind=kind,
        meta=meta or None,
        expires_at=None if not expires else expires / 1000,
    )


def _namespace(said: Any, default: str) -> str:
    if said is not None and not isinstance(said, str):
        raise BadRequest(f"namespace {said!r} is no text")
    return said or default


# --- claude-flow -------------------------------------------------------------------------------------------------


def flow_value(text: str) -> Any:
    """Return the value of a stored text: its JSON, or the text itself if that JSON is a text or null.

    So no reader needs to know which program wrote a value: `flow_read` gives the same for both.
    """
    value = flow_read(text)
    return text if isinstance(value, str) else value


def flow_read(value: Any) -> Any:
    """Return a value as claude-flow returns it: the JSON of a text, if that can be a value, else the text."""
    if not isinstance(value, str):
        return value
    try:
        said = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return value
    return said if plain_json.is_plain(said) else value


def flow_line(key: Any, text: Any, namespace: Any, metadata: Any, expires_at: Any) -> ExportLine:
    """Return the export line of a row of its store; ``expires_at`` is in seconds, ``metadata`` is JSON. Raises
    BadRequest."""
    if not isinstance(key, str) or not isinstance(text, str):
        raise BadRequest("key and value are text")
    if expires_at is not None and not isinstance(expires_at, int | float):
        raise BadRequest(f"expires_at {expires_at!r} is no number of seconds")
    meta = _metadata(metadata)
    return ExportLine(
        ns=_namespace(namespace, FLOW),
        key=key,
        value=_encoded(flow_value(text), "value"),
        meta=meta or None,
        expires_at=expires_at or None,
    )


def _metadata(text: Any) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        metadata = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as fault:
        raise BadRequest(f"its metadata is no JSON: {fault}") from None
    if metadata is not None and not isinstance(metadata, dict):
        raise BadRequest("its metadata is no object")
    return metadata

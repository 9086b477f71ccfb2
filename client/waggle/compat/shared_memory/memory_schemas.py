"""The arguments of the nine tools, and the errors about them.

They are read as the original read them, by the same library: flat, as its document shows, or under ``params``, as on
the wire; text is stripped, a number may be given as text, and an unknown argument is an error. The messages of the
table in its document are exact.
"""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from waggle.compat.mapping import Priority, tags_of
from waggle.compat.shared_memory.memory_rows import Order

__all__ = [
    "MAX_QUERY_CHARS", "Add", "Arguments", "Clear", "Delete", "Get", "Health", "Read", "Refused", "Search", "Stats",
    "Update", "cut", "read", "schema",
]  # fmt: skip

MAX_QUERY_CHARS = 200
"""Words of a memory's content."""
MAX_TAGS = 10
MAX_FILTERED = 100
"""Tags of a filter: each is a condition of a statement, of which SQLite takes no more than 1,000."""
MAX_ERROR_CHARS = 1_000
"""Characters of what is told of an error."""


class Refused(Exception):
    """An error about arguments; its text says why, in the words of the original where it has some."""


def _few_words(more: str) -> AfterValidator:
    def check(content: str) -> str:
        words = len(content.split())
        if words > MAX_QUERY_CHARS:
            said = f"Content exceeds maximum of {MAX_QUERY_CHARS} words. Current word count: {words}.{more}"
            raise PydanticCustomError("said", "{said}", {"said": said})
        return content

    return AfterValidator(check)


def _is_id(text: str) -> str:
    try:
        uuid.UUID(text)
    except ValueError:
        raise PydanticCustomError("said", "{said}", {"said": f"Invalid entry_id format: {text}"}) from None
    return text


Id = Annotated[str, Field(description="The entry_id, a UUID"), AfterValidator(_is_id)]
Tags = Annotated[list[str], Field(max_length=MAX_TAGS), AfterValidator(tags_of)]
FilterTags = Annotated[list[str], Field(max_length=MAX_FILTERED), AfterValidator(tags_of)]
Format = Literal["markdown", "json"]
Limit = Annotated[int, Field(ge=1, le=1_000)]
Metadata = dict[str, Any]
_CURSOR = "next_cursor of the page before, with the same other arguments"


class Arguments(BaseModel):
    """The arguments of a tool."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Add(Arguments):
    agent_name: str = Field(min_length=1, max_length=100, description="Name of the agent")
    content: Annotated[str, Field(min_length=1), _few_words(" Please shorten your message.")] = Field(
        description=f"Memory content, at most {MAX_QUERY_CHARS} words"
    )
    tags: Tags | None = Field(default=None, description=f"Tags for categorization, at most {MAX_TAGS}")
    priority: Priority = "medium"
    metadata: Metadata | None = Field(default=None, description="Custom metadata, any JSON object")


class Read(Arguments):
    response_format: Format = "markdown"
    limit: Limit | None = Field(default=None, description="Entries to return: the newest, or the first by priority")
    agent_filter: str | None = Field(default=None, description="Only those of this agent")
    tags: FilterTags | None = Field(default=None, description="Only those that have all of these tags")
    priority: Priority | None = Field(default=None, description="Only those of this priority")
    sort_order: Order = "chronological"
    cursor: str | None = Field(default=None, description=_CURSOR)


class Update(Arguments):
    entry_id: Id
    content: Annotated[str, Field(min_length=1), _few_words("")] | None = Field(
        default=None, description=f"New content, at most {MAX_QUERY_CHARS} words"
    )
    tags: Tags | None = Field(default=None, description="New tags, instead of those that there are")
    priority: Priority | None = None
    metadata: Metadata | None = Field(default=None, description="New metadata, instead of what there is")


class Delete(Arguments):
    entry_id: Id


class Get(Arguments):
    entry_id: Id
    response_format: Format = "json"


class Search(Arguments):
    query: str = Field(min_length=1, max_length=200, description="Stands in the content, an agent's name, or a tag")
    case_sensitive: bool = False
    response_format: Format = "markdown"
    limit: Limit | None = Field(default=None, description="Entries to return, the newest")
    cursor: str | None = Field(default=None, description=_CURSOR)


class Stats(Arguments):
    response_format: Format = "json"


class Clear(Arguments):
    confirm: bool = Field(description="Must be true")


class Health(Arguments):
    pass


A = TypeVar("A", bound=Arguments)


def read(arguments: type[A], said: dict[str, Any]) -> A:
    """Return the checked arguments. Raises Refused."""
    try:
        return arguments.model_validate(_flat(said))
    except ValidationError as fault:
        known = ", ".join(arguments.model_fields)
        found = [_told(error, known) for error in fault.errors(include_url=False, include_context=False)]
        raise Refused(cut("; ".join(dict.fromkeys(found)))) from None
    except RecursionError:
        raise Refused("the arguments are nested too deeply") from None


def schema(arguments: type[Arguments]) -> dict[str, Any]:
    """Return the schema of a tool's arguments, as it is listed."""
    found = arguments.model_json_schema()
    for one in (found, *found.get("properties", {}).values()):
        one.pop("title", None)
    found.pop("description", None)
    return {"required": [], "properties": {}, **found}


def _flat(said: dict[str, Any]) -> Any:
    """Return the arguments, whether they stood under ``params`` or not; also from JSON text, as some clients send
    them."""
    if list(said) != ["params"]:
        return said
    params = said["params"]
    if isinstance(params, str):
        try:
            params = json.loads(params)
        except (ValueError, RecursionError):
            raise Refused("params is an object: put the arguments there, or beside nothing else") from None
    return params


def _told(error: Any, known: str) -> str:
    if error["type"] == "said":
        return str(error["msg"])
    where = ".".join(f"{part}" for part in error["loc"]) or "arguments"
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such parameter; there are: {known or 'none'}"
    return f"{where}: {error['msg']}"


def cut(text: str) -> str:
    """Return as much of an error as is shown."""
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[:MAX_ERROR_CHARS]}..."

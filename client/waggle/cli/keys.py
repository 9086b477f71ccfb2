"""The commands about keys: get, set, delete, list."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from waggle import Conflict, Hub
from waggle.cli.options import DEFAULT_URL, Agent, IfRev, Json, Ns, Token, Url, Where
from waggle.cli.show import entry_row, in_table, in_tabs, to_json
from waggle.cli.visit import no, visit

__all__ = ["delete", "get", "list_", "set_"]

Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False)]


class Kinds(StrEnum):
    """What `waggle.messages.Kind` names, as typer takes it."""

    persistent = "persistent"
    transient = "transient"
    cached = "cached"
    versioned = "versioned"


def get(
    key: Key,
    text: Annotated[bool, typer.Option("--text", help="Print a value that is text without its quotes.")] = False,
    json: Json = False,
    ns: Ns = None,
    url: Url = DEFAULT_URL,
    agent: Agent = None,
    token: Token = None,
) -> None:
    """Print the value of KEY, as JSON. Exit code 1 if it is absent.

    With --json: the whole entry, with its revision, deadline and author; null if it is absent.
    """

    async def work(hub: Hub) -> None:
        entry = await hub.get(key, ns=ns)
        if json:
            print(to_json(entry))
        if entry is None:
            no(f"there is no key {key!r}{_in(ns)}")
        if text and not json and isinstance(entry.value, str):
            print(entry.value)
        elif not json:
            print(to_json(entry.value, indented=sys.stdout.isatty()))

    visit(Where(url, agent, token), work)


def set_(
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", show_default=False, help="JSON; - reads it from standard input.")
    ],
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", metavar="SECONDS", help="It expires after so long; else never."),
    ] = None,
    keep_ttl: Annotated[bool, typer.Option("--keep-ttl", help="Leave the deadline as it is.")] = False,
    if_rev: IfRev = None,
    kind: Annotated[Kinds, typer.Option("--kind", help="How it is kept.")] = Kinds.persistent,
    text: Annotated[bool, typer.Option("--text", help="VALUE is text, not JSON.")] = False,
    json: Json = False,
    ns: Ns = None,
    url: Url = DEFAULT_URL,
    agent: Agent = None,
    token: Token = None,
) -> None:
    """Write VALUE under KEY. Exit code 1 if --if-rev does not hold.

    Of text from standard input, one newline at the end is left out. A VALUE that begins with a hyphen, such as a
    negative number, goes after two of them: waggle set -- KEY -5
    """
    content = _value(value, text)

    async def work(hub: Hub) -> None:
        try:
            written = await hub.set(key, content, ns=ns, ttl=ttl, keep_ttl=keep_ttl, if_rev=if_rev, kind=kind.value)
        except Conflict as conflict:
            _refuse(conflict, key, if_rev, json)
        print(to_json(written) if json else f"{key}: rev {written.rev}, version {written.version}")

    visit(Where(url, agent, token), work)


def delete(
    key: Key,
    if_rev: IfRev = None,
    json: Json = False,
    ns: Ns = None,
    url: Url = DEFAULT_URL,
    agent: Agent = None,
    token: Token = None,
) -> None:
    """Delete KEY. Exit code 1 if it was absent, or if --if-rev does not hold."""

    async def work(hub: Hub) -> None:
        try:
            deleted = await hub.delete(key, ns=ns, if_rev=if_rev)
        except Conflict as conflict:
            _refuse(conflict, key, if_rev, json)
        if json:
            print(to_json({"deleted": deleted}))
        if not deleted:
            no(f"there is no key {key!r}{_in(ns)}")
        if not json:
            print(f"{key}: deleted")

    visit(Where(url, agent, token), work)


def list_(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Quote it, or the shell takes it.")] = "*",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many; else all.")] = None,
    json: Json = False,
    ns: Ns = None,
    url: Url = DEFAULT_URL,
    agent: Agent = None,
    token: Token = None,
) -> None:
    """List the entries whose key matches PATTERN, in key order.

    Each with its value, the time it has left, who wrote it, and its revision; with tabs between them, and nothing
    cut, where the output is not a terminal. In a PATTERN, * is any run of characters, ? is one, [abc] one of these.
    """

    async def work(hub: Hub) -> None:
        entries = await hub.list(pattern, ns=ns, limit=limit)
        if json:
            sys.stdout.writelines(f"{to_json(entry)}\n" for entry in entries)
            return
        now = (await hub.ping()).at
        rows = [entry_row(entry, now) for entry in entries]
        if sys.stdout.isatty():
            in_table(("KEY", "VALUE", "LEFT", "BY", "REV"), rows, wide=1)
        else:
            sys.stdout.write(in_tabs(rows))

    visit(Where(url, agent, token), work)


def _value(said: str, text: bool) -> Any:
    """What VALUE means. Raises typer.BadParameter if it is not what it should be."""
    try:
        content = sys.stdin.buffer.read() if said == "-" else said.encode()
        if text:
            return content.decode().removesuffix("\n") if said == "-" else said
    except UnicodeError:
        raise typer.BadParameter("VALUE is not valid UTF-8.") from None
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as fault:
        hint = f"""--text {said}, or as JSON '"{said}"'""" if len(said) < 40 and said.isalnum() else "--text"
        raise typer.BadParameter(f"VALUE is not JSON ({fault}). If it is meant to be text: {hint}.") from None


def _refuse(conflict: Conflict, key: str, if_rev: int | None, json: bool) -> NoReturn:
    """Say that ``--if-rev`` did not hold, and what is there instead, so that no further read is needed."""
    current = conflict.current
    if json:
        print(to_json({"error": conflict.to_wire()}))
    found = "it is absent" if current is None else f"it is at rev {current.rev}, written by {current.by}"
    expected = "absent" if if_rev == 0 else f"at rev {if_rev}"
    no(f"{key!r} is not {expected}: {found}. Read it, and decide anew.")


def _in(ns: str | None) -> str:
    return "" if ns is None else f" in namespace {ns!r}"

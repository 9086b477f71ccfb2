"""Conditions of `waggle wait`, as they are typed.

A condition on the value is a line of two or three words, with spaces between them::

    [POINTER] OP [VALUE]        /state == "done"        /n >= 3        == 5        /error exists

POINTER leads to a part of the value (RFC 6901); without it, it is all of it. OP is a sign or a word of the wire. VALUE
is JSON where it can be, and else text: ``/state == done`` is what it looks like.
"""

from __future__ import annotations

from typing import Any

import typer

from waggle import Where
from waggle.api.wait import WaitFor
from waggle.cli.shared.json_args import json_or_string, read_json
from waggle.wire.messages import Comparison

__all__ = ["build_conditions", "parse_conditions", "parse_where"]

OPS: dict[str, Comparison] = {
    "==": "eq", "=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge",
    "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge",
    "in": "in", "contains": "contains", "exists": "exists",
}  # fmt: skip


def parse_where(said: str) -> Where:
    """What ``--where`` says. Raises typer.BadParameter if it says nothing."""
    pointer, rest = "", said.strip()
    if rest.startswith("/"):
        pointer, _, rest = rest.partition(" ")
    sign, _, value = rest.strip().partition(" ")
    op = OPS.get(sign)
    if op is None or (value.strip() == "") != (op == "exists"):
        raise typer.BadParameter(f"--where is like '/state == done' or '/error exists', with spaces: not {said!r}.")
    if op == "exists":
        return {"pointer": pointer, "op": op}
    return {"pointer": pointer, "op": op, "value": json_or_string(value.strip())}


def build_conditions(
    keys: list[str],
    patterns: list[str],
    *,
    count: int,
    absent: bool,
    unlocked: bool,
    since: int | None,
    wheres: list[Where],
) -> list[WaitFor]:
    """A condition for each key and pattern; several where there are several to be met by the value of a key."""
    if patterns and len(wheres) > 1:
        raise typer.BadParameter(
            "a pattern takes one --where: several might be met by several entries. With KEYs it takes any number."
        )
    if count != 1 and not patterns:
        raise typer.BadParameter("--count goes with --pattern.")
    both: WaitFor = {"absent": absent, "unlocked": unlocked, "since": since}
    found: list[WaitFor] = []
    each: list[Where | None] = [*wheres] or [None]
    for where in each:
        found += [{**both, "key": key, "where": where} for key in keys]
        found += [{**both, "pattern": pattern, "count": count, "where": where} for pattern in patterns]
    return found


def parse_conditions(said: str) -> list[WaitFor]:
    """The conditions as JSON, in the words of the wire. Raises typer.BadParameter if they are none."""
    conditions: Any = read_json(said, "--conditions")
    if not isinstance(conditions, list) or not all(isinstance(one, str | dict) for one in conditions):
        raise typer.BadParameter('--conditions is a list, such as [{"pattern": "result:*", "count": 3}].')
    return [{"key": one} if isinstance(one, str) else one for one in conditions]

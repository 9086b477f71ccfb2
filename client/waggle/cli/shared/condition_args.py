"""Conditions of `waggle wait`, parsed from arguments.

A condition on a value is a line of two or three words, with spaces between them::

    [POINTER] OP [VALUE]        /state == "done"        /n >= 3        == 5        /error exists

POINTER names a part of the value (RFC 6901); without it, the condition is on the whole value. OP is a sign, or a
word of the wire. VALUE is JSON if it parses as JSON, else text: ``/state == done`` compares with the text ``done``.
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


def parse_where(text: str) -> Where:
    """Return the condition of a ``--where``. Raises typer.BadParameter if the text is not one."""
    pointer, rest = "", text.strip()
    if rest.startswith("/"):
        pointer, _, rest = rest.partition(" ")
    sign, _, value = rest.strip().partition(" ")
    op = OPS.get(sign)
    if op is None or (value.strip() == "") != (op == "exists"):
        raise typer.BadParameter(f"--where is like '/state == done' or '/error exists', with spaces: not {text!r}.")
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
    """Return a condition for each key and pattern, once for each ``--where`` if there are several.

    Raises typer.BadParameter for options that do not go together.
    """
    if patterns and len(wheres) > 1:
        raise typer.BadParameter(
            "a pattern takes one --where: several entries could each meet another one. A KEY takes any number."
        )
    if count != 1 and not patterns:
        raise typer.BadParameter("--count needs --pattern.")
    common: WaitFor = {"absent": absent, "unlocked": unlocked, "since": since}
    conditions: list[WaitFor] = []
    alternatives: list[Where | None] = [*wheres] or [None]
    for where in alternatives:
        conditions += [{**common, "key": key, "where": where} for key in keys]
        conditions += [{**common, "pattern": pattern, "count": count, "where": where} for pattern in patterns]
    return conditions


def parse_conditions(text: str) -> list[WaitFor]:
    """Return the conditions of a JSON list, in the words of the wire. Raises typer.BadParameter for anything else."""
    conditions: Any = read_json(text, "--conditions")
    if not isinstance(conditions, list) or not all(isinstance(condition, str | dict) for condition in conditions):
        raise typer.BadParameter('--conditions is a list, such as [{"pattern": "result:*", "count": 3}].')
    return [{"key": condition} if isinstance(condition, str) else condition for condition in conditions]

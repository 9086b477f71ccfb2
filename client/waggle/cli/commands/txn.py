"""The command `txn`: several changes, all or nothing, at one revision."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from waggle import Conflict, Hub, Locked, NotFound, NotHolder
from waggle.cli.output.format import to_json, visible
from waggle.cli.shared.connect import exit_no, run_with_hub
from waggle.cli.shared.json_args import read_json
from waggle.cli.shared.options import Guard, Options, shared

__all__ = ["txn"]

BRANCHES = ("if", "then", "else")
GUARDED = ("set", "delete", "touch", "update")
"""The changes that take a guard."""


@shared
def txn(
    options: Options,
    what: Annotated[
        str, typer.Argument(metavar="JSON", show_default=False, help="The changes; - reads them from standard input.")
    ] = "-",
    guard: Guard = None,
) -> None:
    """Make several changes, all or nothing: {"if": [...], "then": [...], "else": [...]}

    A condition: {"key": "a", "exists": true}, {"key": "a", "rev": 7}, {"key": "a", "pointer": "/n", "equals": 1}. A
    change: {"op": "set", "key": "a", "value": 1}; also delete, touch, update and publish. If every condition holds,
    "then" is done, and the exit code is 0; if not, "else" is done, and the exit code is 1. It is also 1 if a change
    was refused because its entry was absent or not as expected; then nothing has changed.
    """
    branches = _branches(read_json(what, "JSON"), options.ns)

    async def work(hub: Hub) -> None:
        conditions, then, otherwise = (branches[name] for name in BRANCHES)
        try:
            done = await hub.txn(_with_guard(guard, then), if_=conditions, else_=_with_guard(guard, otherwise))
        except (Conflict, Locked, NotFound, NotHolder) as refusal:
            refusal.message = f"nothing was done, step {refusal.details.get('index', 0)}: {refusal.message}"
            raise
        if options.json:
            print(to_json(done))
        else:
            print(f"{done.done}: rev {done.rev}")
            for step, result in zip(branches[done.done], done.results, strict=True):
                print("  " + _outcome(step, msgspec.to_builtins(result)))
        if done.done == "else":
            exit_no("not all conditions hold" + ("" if branches["else"] else ": nothing was done"))

    run_with_hub(options, work)


def _branches(document: Any, ns: str | None) -> dict[str, list[Any]]:
    """Return the three lists, with the namespace in each item. Raises typer.BadParameter for other JSON."""
    if not isinstance(document, dict) or "then" not in document or set(document) - set(BRANCHES):
        raise typer.BadParameter('JSON is an object with the lists "then", and if wanted "if" and "else".')
    branches = {name: document.get(name, []) for name in BRANCHES}
    if not all(isinstance(branch, list) for branch in branches.values()):
        raise typer.BadParameter('"if", "then" and "else" are lists.')
    return {name: [_in_namespace(ns, item) for item in branch] for name, branch in branches.items()}


def _in_namespace(ns: str | None, item: Any) -> Any:
    return {"ns": ns, **item} if ns is not None and isinstance(item, dict) else item


def _with_guard(token: int | None, steps: list[Any]) -> list[Any]:
    """Return the changes with a guard, except those that have one already."""
    if token is None:
        return steps
    guard = {"guard": {"token": token}}
    return [{**guard, **step} if isinstance(step, dict) and step.get("op") in GUARDED else step for step in steps]


def _outcome(step: dict[str, Any], result: dict[str, Any]) -> str:
    """Return the result of a step: the op, its key or channel, and the hub's answer."""
    where = step.get("key", step.get("channel"))
    details = ", ".join(
        f"{name} {to_json(value)}" for name, value in result.items() if name != "rev" and value is not None
    )
    return f"{step['op']} {visible(str(where))}" + (f": {details}" if details else "")

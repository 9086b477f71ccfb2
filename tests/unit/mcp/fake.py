"""A caller whose hub is a list of answers, and the call of a tool by it."""

from __future__ import annotations

import asyncio
from typing import Any

from waggle.mcp.call import Call
from waggle.mcp.parked_waits import Parking
from waggle.mcp.time_limits import TimeLimit
from waggle.mcp.tools import run
from waggle.wire.changefeed import Put
from waggle.wire.file_locks import UNKNOWN_ROOT, Place
from waggle.wire.messages import Since

Ok = dict[str, Any]


class FakeCaller:
    """Gives each op its next answer, the last one again and again; an error is raised, a future awaited."""

    def __init__(self, **answers: Any) -> None:
        self.agent, self.ns = "me", "shop"
        self._answers = {op: list(one) if isinstance(one, list) else [one] for op, one in answers.items()}
        self.asked: list[tuple[str, Ok]] = []
        self.lost: list[str] = []

    async def call(self, op: str, fields: Ok) -> Ok:
        self.asked.append((op, fields))
        answers = self._answers[op]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, asyncio.Future):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        ok: Ok = answer
        return ok

    async def catch_up(self, ns: str, since: Since | None, put: Put) -> Since:
        raise AssertionError("no tool of Waggle's own keeps an index")

    def losses(self) -> list[str]:
        lost, self.lost = self.lost, []
        return lost

    def fields(self, op: str) -> Ok:
        """Return the last command with this op."""
        return [fields for asked, fields in self.asked if asked == op][-1]


async def silent(progress: float, total: float, message: str) -> None:
    """Ignore the subscription."""


async def use(
    name: str,
    caller: FakeCaller,
    *,
    place: Place = UNKNOWN_ROOT,
    limit: float = 55.0,
    parking: Parking | None = None,
    **said: Any,
) -> Ok:
    """Call a tool; gives its reply."""
    reply, _ = await run(name, said, Call(caller, TimeLimit(limit, silent), place, parking or Parking()))
    return reply


def entry(key: str, value: Any, *, by: str = "impl-1", rev: int = 7, expires_at: float | None = None) -> Ok:
    """An entry as the wire has it."""
    times = {"created_at": 1_700_000_000.0, "updated_at": 1_700_000_000.0, "expires_at": expires_at}
    return {"key": key, "ns": "shop", "rev": rev, "version": 1, "kind": "persistent", **times, "by": by, "value": value}

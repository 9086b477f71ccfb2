"""A barrier: so many parties wait until all of them are there (made of keys and waits).

How it works: an entry ``barrier:NAME`` counts the rounds that are over, and each party that has come has an ephemeral
entry under ``barrier:NAME/ROUND/``. A party waits until there are enough of these, or the round is over; whoever goes
through first says that it is over. So:

* what opens it is a state at one revision, which every party is told of, however slow it is;
* a party that dies while it waits, or gives up, does not count; one that only loses its session comes anew;
* the next round begins with the next party that comes: one barrier serves a loop.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from waggle.api.wait import WaitFor
from waggle.wire.errors import BadRequest, Conflict, TimedOut
from waggle.wire.names import quoted

if TYPE_CHECKING:
    from waggle.api.hub import Hub

__all__ = ["meet"]


async def meet(hub: Hub, name: str, parties: int, ns: str | None, timeout: float | None) -> None:
    """Wait until ``parties`` have come, this one included. Raises TimedOut."""
    if parties < 1:
        raise BadRequest("A barrier is for one party or more.", field="parties")
    rounds = f"barrier:{name}"
    before = await hub.get(rounds, ns=ns)
    number = 0 if before is None else int(before.value)
    mine = f"{rounds}/{number}/{uuid.uuid4().hex}"
    enough: WaitFor = {"pattern": quoted(f"{rounds}/{number}/") + "*", "count": parties, "ns": ns}
    over: WaitFor = {"key": rounds, "where": {"op": "gt", "value": number}, "ns": ns}
    forgotten: WaitFor = {"key": mine, "absent": True, "ns": ns}
    try:
        met = [2]
        while met == [2]:
            await hub.set(mine, hub.agent, ns=ns, ephemeral=True)
            met = (await hub.wait_any([enough, over, forgotten], timeout=timeout)).met
        try:
            await hub.set(rounds, number + 1, ns=ns, if_rev=0 if before is None else before.rev)
        except Conflict:
            pass  # another party was faster
    except TimedOut as late:
        raise TimedOut(f"Of {parties} parties not all came to {name!r} in time.", **late.details) from None
    finally:
        await hub.delete(mine, ns=ns)

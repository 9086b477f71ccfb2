"""A barrier: parties wait until all of them have come. Built of keys and waits.

An entry ``barrier:NAME`` counts the rounds that are over. Each party that has come writes an ephemeral entry under
``barrier:NAME/ROUND/``, then waits until there are enough of these or the round is over. The first party to continue
counts the round. So:

* the barrier opens at a state of one revision, which reaches every party, however slow it is;
* a party that dies or gives up does not count; a party that only loses its session writes its entry again;
* the next round begins with the next party that comes: one barrier serves a loop.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from waggle.api.wait import WaitFor
from waggle.wire.errors import BadRequest, Conflict, TimedOut
from waggle.wire.patterns import quoted

if TYPE_CHECKING:
    from waggle.api.hub import Hub

__all__ = ["wait_at"]


async def wait_at(hub: Hub, name: str, parties: int, ns: str | None, timeout: float | None) -> None:
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
        while met == [2]:  # only `forgotten`: this party's entry ended with its session, so it comes again
            await hub.set(mine, hub.agent, ns=ns, ephemeral=True)
            met = (await hub.wait_any([enough, over, forgotten], timeout=timeout)).met
        try:
            await hub.set(rounds, number + 1, ns=ns, if_rev=0 if before is None else before.rev)
        except Conflict:
            pass  # another party was faster
    except TimedOut as error:
        raise TimedOut(f"Fewer than {parties} parties came to {name!r} in time.", **error.details) from None
    finally:
        await hub.delete(mine, ns=ns)

"""Shared state: many agents write into one entry, and no change is lost.

    initializer -> shared/project-state <- two developers, a tester, an auditor, an analyst
    manager: begins when all of it is there -> shared/report

Each agent sends a change instead of a whole new value: the hub applies the change in one step. A change that must be
computed from the present value (`analyst`) is computed again if another agent was faster.

    python -m waggle.examples.shared manager
"""

from __future__ import annotations

from functools import partial
from typing import Any

import waggle
from waggle.examples.roles import Busy, Cast

STATE = "shared/project-state"
ENDPOINTS = 5
"""How many each developer adds."""


async def begun(hub: waggle.Hub) -> None:
    """Wait until there is a state to write into."""
    await hub.status("waiting for the state")
    await hub.wait(STATE, timeout=None)
    await hub.status("adding to the state")


async def initializer(hub: waggle.Hub, busy: Busy) -> None:
    """Lay out the state, if it is not there."""
    await hub.status("laying out the state")
    await busy(1.0)
    await hub.set(STATE, {"endpoints": [], "issues": [], "rounds": 0, "coverage": 0, "metrics": {}}, if_rev=0)


async def developer(hub: waggle.Hub, busy: Busy, service: str) -> None:
    """Add endpoints, one by one: ``append`` at a place within the value."""
    await begun(hub)
    for number in range(ENDPOINTS):
        await busy(0.5)
        await hub.update(STATE, append=f"/{service}/{number}", pointer="/endpoints")


async def tester(hub: waggle.Hub, busy: Busy) -> None:
    """Set members of its own (``merge``), and count (``incr``)."""
    await begun(hub)
    for coverage in 40, 70, 85:
        await busy(0.8)
        await hub.update(STATE, merge={"coverage": coverage})
        await hub.update(STATE, incr=1, pointer="/rounds")


async def auditor(hub: waggle.Hub, busy: Busy) -> None:
    """Add each finding to a list in the shared state."""
    await begun(hub)
    for issue in "no rate limit", "weak password rule":
        await busy(1.2)
        await hub.update(STATE, append=issue, pointer="/issues")


async def analyst(hub: waggle.Hub, busy: Busy) -> None:
    """Compute from the state: compare and set, again if another agent wrote meanwhile."""
    await begun(hub)

    def measured(state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "metrics": {"latency_ms": 20 + len(state["endpoints"])}}

    await busy(1.5)
    await hub.update(STATE, measured)


async def manager(hub: waggle.Hub, busy: Busy) -> None:
    """Report when every part of the state says that it is complete: they hold at one revision."""
    await hub.status("waiting until the state is complete")
    state = await hub.wait_all(
        [
            {"key": STATE, "where": {"pointer": f"/endpoints/{2 * ENDPOINTS - 1}", "op": "exists", "value": True}},
            {"key": STATE, "where": {"pointer": "/issues/1", "op": "exists", "value": True}},
            {"key": STATE, "where": {"pointer": "/rounds", "op": "ge", "value": 3}},
            {"key": STATE, "where": {"pointer": "/metrics/latency_ms", "op": "exists", "value": True}},
        ],
        timeout=None,
    )
    await hub.status("writing the report")
    await busy(1.0)
    await hub.set("shared/report", {**state.matched[0].value, "version": state.matched[0].version})


CAST = Cast(
    {
        "initializer": initializer,
        "users-developer": partial(developer, service="users"),
        "orders-developer": partial(developer, service="orders"),
        "tester": tester,
        "auditor": auditor,
        "analyst": analyst,
        "manager": manager,
    }
)

if __name__ == "__main__":
    CAST.play()

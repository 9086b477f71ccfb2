"""Fan-out and fan-in: one specification, several who build at the same time, one who needs all of it.

    architect -> fanout/spec -> a developer for each service -> fanout/complete/<service> (all) -> integrator

One entry lets them all begin; the integrator names what it needs, and is told once, when the last of it is there.

    python -m waggle.examples.fan architect
"""

from __future__ import annotations

from functools import partial

import waggle
from waggle.examples.roles import Busy, Cast

SERVICES = ("users", "products", "orders", "payments")


async def architect(hub: waggle.Hub, busy: Busy) -> None:
    """Specify each service."""
    await hub.status("designing")
    await busy(1.5)
    await hub.set("fanout/spec", {service: {"path": f"/{service}"} for service in SERVICES})


async def developer(hub: waggle.Hub, busy: Busy, service: str) -> None:
    """Build one service."""
    await hub.status("waiting for the specification")
    spec = await hub.wait("fanout/spec", timeout=None)
    await hub.status(f"building {service}")
    await busy(2.5)
    await hub.set(f"fanout/complete/{service}", spec.value[service])


async def integrator(hub: waggle.Hub, busy: Busy) -> None:
    """Put all services together."""
    await hub.status("waiting for all services")
    complete = await hub.wait_all([f"fanout/complete/{service}" for service in SERVICES], timeout=None)
    await hub.status("integrating")
    await busy(1.5)
    await hub.set("fanout/gateway", {"routes": [entry.value["path"] for entry in complete.matched]})


DEVELOPERS = {f"{service}-developer": partial(developer, service=service) for service in SERVICES}

CAST = Cast({"architect": architect, **DEVELOPERS, "integrator": integrator})

if __name__ == "__main__":
    CAST.play()

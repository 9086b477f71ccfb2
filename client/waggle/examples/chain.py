"""Hand-off chain: each agent begins when the one before it has handed over.

    researcher -> handoff/research/findings -> designer -> handoff/design/spec
        -> developer -> handoff/code/api -> tester -> handoff/tests/result

A wait is one command, however long it takes, and gives what was waited for. It does not matter who was started first:
what is there already ends the wait at once.

    python -m waggle.examples.chain designer
"""

from __future__ import annotations

import waggle
from waggle.examples.roles import Busy, Cast


async def researcher(hub: waggle.Hub, busy: Busy) -> None:
    """Find out what is needed."""
    await hub.status("researching")
    await busy(1.5)
    await hub.set("handoff/research/findings", {"approach": "JWT", "library": "pyjwt"})


async def designer(hub: waggle.Hub, busy: Busy) -> None:
    """Make a specification of the findings."""
    await hub.status("waiting for the findings")
    findings = await hub.wait("handoff/research/findings", timeout=None)
    await hub.status("designing")
    await busy(1.5)
    await hub.set("handoff/design/spec", {"auth": findings.value["approach"], "endpoints": ["/login", "/logout"]})


async def developer(hub: waggle.Hub, busy: Busy) -> None:
    """Build what the specification says."""
    await hub.status("waiting for the specification")
    spec = await hub.wait("handoff/design/spec", timeout=None)
    await hub.status("building")
    await busy(2.0)
    await hub.set("handoff/code/api", dict.fromkeys(spec.value["endpoints"], f"POST, {spec.value['auth']}"))


async def tester(hub: waggle.Hub, busy: Busy) -> None:
    """Test what was built."""
    await hub.status("waiting for the code")
    api = await hub.wait("handoff/code/api", timeout=None)
    await hub.status("testing")
    await busy(1.5)
    await hub.set("handoff/tests/result", {"endpoints": len(api.value), "passed": True})


CAST = Cast({"researcher": researcher, "designer": designer, "developer": developer, "tester": tester})

if __name__ == "__main__":
    CAST.play()

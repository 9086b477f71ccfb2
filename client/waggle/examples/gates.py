"""Checkpoint gates: work stops until it is approved, and a person has the last word.

    planner    -> checkpoint/plan/work    -> architect: approves                        -> checkpoint/gates/plan
    developer  -> checkpoint/code/work    -> reviewer: rejects, with a reason; approves -> checkpoint/gates/code
    operator   -> checkpoint/release/work -> a person decides                           -> checkpoint/gates/release

Work is handed in together with its gate, which is "pending" then: both are written at one revision, so no agent sees
one without the other. The agent that handed it in waits for a verdict *after* that revision; rejected work is improved
and handed in again. The next phase waits for "approved", whatever was before that.

A person needs no program: any way to write the gate will do.

    waggle set --ns demo-gates checkpoint/gates/release '{"status": "approved"}'
    waggle set --ns demo-gates checkpoint/gates/release '{"status": "rejected", "reason": "not on a Friday"}'
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import waggle
from waggle.examples.roles import Ask, Busy, Cast

PENDING: waggle.Where = {"pointer": "/status", "value": "pending"}
APPROVED: waggle.Where = {"pointer": "/status", "value": "approved"}
DECIDED: waggle.Where = {"pointer": "/status", "op": "ne", "value": "pending"}

RELEASE = "checkpoint/gates/release"
"""The gate that a person opens."""


async def deliver(hub: waggle.Hub, busy: Busy, phase: str, what: str) -> None:
    """Work until the gate is open; work that is rejected is improved and handed in again."""
    mended: list[str] = []
    while True:
        await hub.status(f"working on the {phase}")
        await busy(1.5)
        handed_in = await hub.txn(
            [
                {"op": "set", "key": f"checkpoint/{phase}/work", "value": {"what": what, "mended": mended}},
                {"op": "set", "key": f"checkpoint/gates/{phase}", "value": {"status": "pending"}},
            ]
        )
        await hub.status(f"waiting for the gate of the {phase}")
        gate = await hub.wait(f"checkpoint/gates/{phase}", since=handed_in.rev, where=DECIDED, timeout=None)
        if gate.value["status"] == "approved":
            return
        mended = [*mended, gate.value["reason"]]


async def judge(hub: waggle.Hub, busy: Busy, phase: str, fault: Callable[[Any], str | None]) -> None:
    """Look at the work that is handed in, until there is no fault in it."""
    seen = 0
    while True:
        await hub.status(f"waiting for the {phase}")
        work = await hub.wait(f"checkpoint/{phase}/work", since=seen, timeout=None)
        seen = work.rev
        await hub.status(f"reviewing the {phase}")
        await busy(1.0)
        reason = fault(work.value)
        verdict = {"status": "rejected", "reason": reason} if reason else {"status": "approved"}
        await hub.set(f"checkpoint/gates/{phase}", verdict)
        if reason is None:
            return


# --- who hands in ------------------------------------------------------------------------------------------------


async def planner(hub: waggle.Hub, busy: Busy) -> None:
    """Make a plan."""
    await deliver(hub, busy, "plan", "a login page")


async def developer(hub: waggle.Hub, busy: Busy) -> None:
    """Build what was planned, once the plan is approved."""
    await hub.status("waiting for an approved plan")
    await hub.wait("checkpoint/gates/plan", where=APPROVED, timeout=None)
    await deliver(hub, busy, "code", "login.py")


async def operator(hub: waggle.Hub, busy: Busy) -> None:
    """Release what was built, once the code is approved, and a person agrees."""
    await hub.status("waiting for approved code")
    await hub.wait("checkpoint/gates/code", where=APPROVED, timeout=None)
    await deliver(hub, busy, "release", "version 1.0")
    await hub.set("checkpoint/released", "version 1.0")


# --- who decides -------------------------------------------------------------------------------------------------


async def architect(hub: waggle.Hub, busy: Busy) -> None:
    """Approve every plan."""
    await judge(hub, busy, "plan", lambda plan: None)


async def reviewer(hub: waggle.Hub, busy: Busy) -> None:
    """Send back code that comes without tests."""
    await judge(hub, busy, "code", lambda code: None if code["mended"] else "there are no tests")


async def person(hub: waggle.Hub, ask: Ask) -> None:
    """Decide about the release, here or from anywhere else: the first answer counts, until it is a yes."""
    seen = 0
    while True:
        gate = await hub.wait(RELEASE, since=seen, where=PENDING, timeout=None)
        seen = gate.rev
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(decide(hub, ask, seen))
            gate = await hub.wait(RELEASE, since=seen, where=DECIDED, timeout=None)
            asking.cancel()
        if gate.value["status"] == "approved":
            return


async def decide(hub: waggle.Hub, ask: Ask, pending: int) -> None:
    """Ask, and write down the answer, unless another answer was faster."""
    said = await ask(RELEASE, 'May version 1.0 be released? Say "yes", or why not')
    verdict = {"status": "approved"} if said == "yes" else {"status": "rejected", "reason": said}
    try:
        await hub.set(RELEASE, verdict, if_rev=pending)
    except waggle.Conflict:
        pass


CAST = Cast(
    {"planner": planner, "developer": developer, "operator": operator, "architect": architect, "reviewer": reviewer},
    person=person,
)

if __name__ == "__main__":
    CAST.play()

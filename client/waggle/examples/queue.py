"""A work queue: each job is for one worker, and a worker that dies costs a little time and no job.

    producer -> job/1 ... job/9 -> three workers -> result/1 ... result/9 -> producer: report

A worker takes the oldest job under a lease that renews itself. Done, the job is deleted. One of the workers is killed
with a job in its hands: that lease is renewed no more, so it ends, and another worker gets the job, as its second
delivery.

    python -m waggle.examples.queue worker-1
"""

from __future__ import annotations

import os
import signal

import waggle
from waggle.examples.roles import Busy, Cast

JOBS = range(1, 10)
LEASE = 2.0
"""Seconds after which the job of a worker that has died is for somebody else."""


async def producer(hub: waggle.Hub, busy: Busy) -> None:
    """Write jobs once the workers are there, and report when all jobs are done."""
    await hub.status("waiting for workers")
    await hub.wait(pattern="*worker*", count=3, ns="$agents", timeout=None)
    await hub.status("looking for work")
    await busy(1.0)
    await hub.txn([{"op": "set", "key": f"job/{number}", "value": {"page": number}} for number in JOBS])
    await hub.status("waiting for results")
    done = await hub.wait_all(
        [{"pattern": "result/*", "count": len(JOBS)}, {"pattern": "job/*", "absent": True}], timeout=None
    )
    await hub.set("report", {"words": sum(result.value["words"] for result in done.matched)})


async def worker(hub: waggle.Hub, busy: Busy) -> None:
    """Do one job after another."""
    async for job in hub.work("job/*", lease=LEASE):
        try:
            async with job:
                await count(hub, busy, job)
        except waggle.LockLost:
            pass  # this process was asleep for longer than its lease: somebody else has the job by now
        await hub.status(None)


async def count(hub: waggle.Hub, busy: Busy, job: waggle.Job) -> None:
    """Do one job. The guard lets its result through only as long as the job is ours."""
    page = job.value["page"]
    await hub.status(f"counting page {page}")
    await busy(0.6)
    await hub.set(f"result/{page}", {"words": 100 * page, "delivery": job.delivery}, guard=job)


async def unlucky(hub: waggle.Hub, busy: Busy) -> None:
    """Take a job, and be killed."""
    async with hub.take("job/*", lease=LEASE, timeout=None):
        await busy(0.3)
        os.kill(os.getpid(), signal.SIGKILL)


CAST = Cast(
    {"producer": producer},
    services={"worker-1": worker, "worker-2": worker},
    doomed={"unlucky-worker": unlucky},
)

if __name__ == "__main__":
    CAST.play()

"""A worker, in a process of its own: does items under a lease until it is stopped. `worker.py URL NS NAME SECONDS`."""

from __future__ import annotations

import asyncio
import sys

import waggle

LEASE = 2.0
"""Seconds."""


async def main(url: str, ns: str, name: str, seconds: float) -> None:
    async with waggle.connect(url, agent=name, ns=ns) as hub:
        async for job in hub.work("item:*", lease=LEASE):
            try:
                async with job:
                    await asyncio.sleep(seconds)
                    done = {"delivery": job.delivery, "token": job.token}
                    await hub.set(job.key.replace("item", "done"), done, guard=job)
            except waggle.LockLost:
                pass  # another worker has it by now


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))

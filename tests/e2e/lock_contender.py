"""An agent that does not look whether it still holds its lock, in a process of its own.

Run as `lock_contender.py URL NS NAME`. It writes with the token alone, which the client does not check: so it is the
hub that has to refuse. It tells the test what became of each write.
"""

from __future__ import annotations

import asyncio
import random
import sys

import waggle

TTL = 1.0
"""Seconds."""
DOORS = 5


async def main(url: str, ns: str, name: str) -> None:
    async with waggle.connect(url, agent=name, ns=ns) as hub:
        while True:
            door = f"door:{random.randrange(DOORS)}"
            try:
                lock = await hub.lock(door, ttl=TTL, wait=None)
            except waggle.LockLost:
                continue  # it was stopped as it was granted
            for step in "first", "last":
                await write(hub, door, lock.token, step)
                await asyncio.sleep(random.uniform(0.02, 0.1))
            try:
                await lock.release()
            except waggle.LockLost:
                pass


async def write(hub: waggle.Hub, door: str, token: int, step: str) -> None:
    """Write to what the lock protects, and say what came of it."""
    try:
        await hub.set(door, {"token": token, "step": step}, guard=token)
        outcome = "done"
    except waggle.NotHolder:
        outcome = "refused"
    await hub.publish("outcome", {"token": token, "step": step, "outcome": outcome})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

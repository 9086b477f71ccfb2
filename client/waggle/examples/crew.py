"""A crew of agents that build software together, and meet only in the hub.

Each build goes through the same keys, and each role waits for those of the one before:

    researcher          build/7/research/findings
                           |            |            |              fan-out: one finding, three builders
    builders            user-service product-service order-service
                           |            |            |
                        build/7/builders/<service>/complete
                           |            |            |              fan-in: the tester needs all three
    tester              build/7/tests/result
                           |
    researcher          build/8/research/findings ...               hand-off: the result begins the next build

How to wait is the same everywhere: ``async for event in hub.watch(pattern, snapshot=True)``. The hub first tells what
is there already, then what happens, in order and without a gap. So the agents may start in any order, and none has to
ask twice.

    python -m waggle.examples.crew builder --service user-service       # WAGGLE_URL says where the hub is
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
from collections import defaultdict
from typing import NamedTuple

import waggle

SERVICES = ("user-service", "product-service", "order-service")

KEEP = 300.0
"""Seconds that a build's results stay: an agent that is late can still read them, and the hub does not fill up."""
FRESH = 5.0
"""Seconds that word of progress is worth something. It expires by itself, also if its author is gone."""


class Job(NamedTuple):
    """The builds to work on, and the speed."""

    first: int = 1
    builds: int | None = None
    speed: float = 1.0

    def includes(self, build: int) -> bool:
        """Return whether this build is ours: an older build of another crew may still be there."""
        return build >= self.first and (self.builds is None or build < self.first + self.builds)

    def ends_with(self, build: int) -> bool:
        """Return whether this build is the last."""
        return self.builds is not None and build + 1 >= self.first + self.builds

    async def work(self, seconds: float) -> None:
        """Stand in for the work of a real agent."""
        await asyncio.sleep(seconds * random.uniform(0.7, 1.3) / self.speed)


# --- the roles ---------------------------------------------------------------------------------------------------


async def researcher(hub: waggle.Hub, job: Job) -> None:
    """Find out what to build; begin the next build when this one is tested."""
    build = job.first
    while True:
        await hub.status(f"researching build {build}")
        await job.work(2.0)
        findings = f"build/{build}/research/findings"
        await hub.set(findings, {"services": SERVICES, "style": "REST", "auth": "JWT"}, ttl=KEEP)
        await hub.publish("chat", {"from": hub.agent, "text": f"build {build}: the findings are there, go!"})

        await hub.status(f"waiting for the tests of build {build}")
        async for event in hub.watch(f"build/{build}/tests/result", snapshot=True):
            if event.type == "set":
                break
        await hub.touch(findings, ttl=KEEP / 5)  # done with: they need not stay that long any more
        if job.ends_with(build):
            return
        await hub.status("resting")
        await job.work(1.5)
        build += 1


async def builder(hub: waggle.Hub, job: Job, service: str) -> None:
    """Build one service, whenever there are findings."""
    await hub.status("waiting for findings")
    async for event in hub.watch("build/*/research/findings", types=["set"], snapshot=True):
        if event.type != "set" or not job.includes(number(event.key)):
            continue
        build = number(event.key)
        mine = f"build/{build}/builders/{service}"
        for percent, step in (0, "designing"), (30, "writing"), (70, "reviewing"):
            await hub.status(f"{step} {service}, build {build}")
            await hub.set(f"{mine}/progress", {"status": step, "percent": percent}, ttl=FRESH)
            await job.work(1.5)
        await hub.set(f"{mine}/complete", {"service": service, "endpoints": random.randint(4, 9)}, ttl=KEEP)
        if job.ends_with(build):
            return
        await hub.status("waiting for findings")


async def tester(hub: waggle.Hub, job: Job) -> None:
    """Test a build when the last of its services is complete."""
    complete: defaultdict[int, set[str]] = defaultdict(set)
    await hub.status("waiting for services")
    async for event in hub.watch("build/*/builders/*/complete", types=["set"], snapshot=True):
        if event.type != "set" or not job.includes(number(event.key)):
            continue
        build = number(event.key)
        complete[build].add(event.value["service"])
        if complete[build] != set(SERVICES):
            continue  # not all of them yet: the hub will tell

        await hub.status(f"testing build {build}")
        # Ephemeral: should this process die, the hub deletes the entry, and the environment is free again.
        await hub.set("environments/staging", {"used_for": f"build {build}"}, ephemeral=True)
        await job.work(2.0)
        tests = random.randint(120, 180)
        await hub.set(f"build/{build}/tests/result", {"passed": tests, "failed": 0}, ttl=KEEP)
        await hub.delete("environments/staging")
        await hub.publish("chat", {"from": hub.agent, "text": f"build {build}: all {tests} tests pass"})
        if job.ends_with(build):
            return
        await hub.status("waiting for services")


def number(key: str) -> int:
    """Return the number of the build that a key belongs to."""
    return int(key.split("/")[1])


# --- as a process ------------------------------------------------------------------------------------------------


async def main() -> None:
    """Play one role until the job is done, or until told to stop."""
    args = arguments()
    job = Job(args.first, args.builds, args.speed)
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # leave the hub in good order
    name = args.service if args.role == "builder" else args.role
    async with waggle.connect(agent=name, meta={"role": args.role}) as hub:
        if args.role == "researcher":
            await researcher(hub, job)
        elif args.role == "builder":
            await builder(hub, job, args.service)
        else:
            await tester(hub, job)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m waggle.examples.crew", description="One agent of the sample crew.")
    parser.add_argument("role", choices=("researcher", "builder", "tester"))
    parser.add_argument("--service", choices=SERVICES, default=SERVICES[0], help="what a builder builds")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first build to work on")
    parser.add_argument("--builds", type=int, metavar="N", help="how many builds; without it, no end")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="so many times as fast")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (asyncio.CancelledError, KeyboardInterrupt):
        pass  # told to stop
    except waggle.WaggleError as error:
        sys.exit(f"{' '.join(sys.argv[1:])}: {error}")

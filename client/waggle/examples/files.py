"""File locks: agents that edit the same files take turns, without knowing each other.

    login-editor     locks src/auth/login.py
    session-editor   locks src/auth/session.py: at the same time as the one above
    renamer          locks both at once: all of them or none, so no two agents wait for each other in a circle
    formatter        locks src/*, files that are yet to come included
    test-runner      locks src/* too, but shared: it only reads, and so may others

First come, first served. Here each file is an entry of the same name, so the hub refuses a write by an agent without
the lock. For files on disk, the lock works among the agents that ask for it.

    python -m waggle.examples.files renamer
"""

from __future__ import annotations

from functools import partial

import waggle
from waggle.examples.roles import Busy, Cast

LOGIN, SESSION = "src/auth/login.py", "src/auth/session.py"
ROUNDS = 3


async def edit(hub: waggle.Hub, busy: Busy, lock: waggle.Lock, *files: str) -> None:
    """Work on files that are locked."""
    await hub.status(f"editing {' and '.join(files)}")
    for file in files:
        await busy(0.3)
        await hub.update(file, append=f"a line of {hub.agent}", guard=lock)
    await hub.status(None)


async def editor(hub: waggle.Hub, busy: Busy, file: str) -> None:
    """Edit one file, again and again."""
    for _ in range(ROUNDS):
        async with hub.lock(file, wait=None) as lock:
            await edit(hub, busy, lock, file)
        await busy(0.3)


async def renamer(hub: waggle.Hub, busy: Busy) -> None:
    """Edit two files that must change together."""
    for _ in range(ROUNDS):
        async with hub.lock(LOGIN, SESSION, wait=None) as lock:
            await edit(hub, busy, lock, LOGIN, SESSION)
        await busy(0.3)


async def formatter(hub: waggle.Hub, busy: Busy) -> None:
    """Lock all files by a pattern, once there are some."""
    await hub.status("waiting for files")
    await hub.wait_all([LOGIN, SESSION], timeout=None)
    async with hub.lock(pattern="src/*", wait=None) as lock:
        files = [entry.key for entry in await hub.list("src/*", values=False)]
        await edit(hub, busy, lock, *files)


async def test_runner(hub: waggle.Hub, busy: Busy) -> None:
    """Read all files while no agent writes."""
    for number in range(ROUNDS):
        async with hub.lock(pattern="src/*", shared=True, wait=None):
            await hub.status("testing")
            before = await hub.list("src/*")
            await busy(0.5)
            after = await hub.list("src/*")
            await hub.set(
                f"tests/{number}", {"lines": sum(len(file.value) for file in after), "still": before == after}
            )
        await hub.status(None)


CAST = Cast(
    {
        "login-editor": partial(editor, file=LOGIN),
        "session-editor": partial(editor, file=SESSION),
        "renamer": renamer,
        "formatter": formatter,
        "test-runner": test_runner,
    }
)

if __name__ == "__main__":
    CAST.play()

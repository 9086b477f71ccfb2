"""Questions and answers: agents that know something answer those who ask, one question after another.

    two developers ask the architect; for one answer the architect has to ask security first
    each leaves a message for the lead, who is not there yet, and reads both later

A question is a message in the other's inbox with a place for its answer; who asks waits for that, and polls nothing. An
inbox keeps what comes in order, until it is read and acknowledged.

    python -m waggle.examples.questions architect
"""

from __future__ import annotations

from functools import partial

import waggle
from waggle.examples.roles import Busy, Cast

TOPICS = {"storage": "a database", "tokens": "short-lived"}


async def developer(hub: waggle.Hub, busy: Busy, topic: str) -> None:
    """Begin after the architect has answered."""
    await hub.status(f"waiting for an answer about {topic}")
    answer = await hub.ask("architect", {"topic": topic}, timeout=600)
    await hub.status(f"building {topic}")
    await busy(1.0)
    await hub.set(f"decision/{topic}", answer)
    await hub.send("lead", {"built": topic})


async def architect(hub: waggle.Hub, busy: Busy) -> None:
    """Answer questions, and ask security about secrets."""
    async for question in hub.inbox():
        async with question:
            topic = question.body["topic"]
            await hub.status(f"thinking about {topic}, for {question.sender}")
            await busy(0.8)
            checked = await hub.ask("security", {"topic": topic}, timeout=600) if topic == "tokens" else None
            await question.answer({"choice": TOPICS[topic], "checked": checked})
        await hub.status(None)


async def security(hub: waggle.Hub, busy: Busy) -> None:
    """Answer questions, too."""
    async for question in hub.inbox():
        async with question:
            await hub.status(f"checking {question.body['topic']}, for {question.sender}")
            await busy(0.8)
            await question.answer("at most 15 minutes")
        await hub.status(None)


async def lead(hub: waggle.Hub, busy: Busy) -> None:
    """Come late, and find the messages that wait."""
    await hub.status("busy elsewhere")
    await busy(3.0)
    inbox = hub.inbox()
    built = []
    for _ in TOPICS:
        async with await inbox.receive() as message:
            built.append(message.body["built"])
    await hub.set("report", {"built": built})


CAST = Cast(
    {f"{topic}-developer": partial(developer, topic=topic) for topic in TOPICS} | {"lead": lead},
    services={"architect": architect, "security": security},
)

if __name__ == "__main__":
    CAST.play()

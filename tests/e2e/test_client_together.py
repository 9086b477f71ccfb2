"""Barrier, election, inbox, ask and answer, with real hubs, dead agents and cut connections."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest

import waggle
from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.relay import Relay
from waggle.sync import connect
from waggle.transport import driver
from waggle.wire.errors import BadRequest, LockLost, TimedOut

pytestmark = pytest.mark.e2e

PATIENCE = 20.0

LEADER = """
import sys
from waggle.sync import connect
hub = connect(sys.argv[1], agent="first")
with hub.elect("planner") as term:
    print(term.token, flush=True)
    sys.stdin.read()
"""

COMER = """
import sys
from waggle.sync import connect
hub = connect(sys.argv[1], agent="doomed")
print("here", flush=True)
hub.barrier("start", 2)
"""


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "random", lambda: 0.01)


async def waiting(hub: waggle.Hub, number: int) -> None:
    """Wait until so many commands wait in the hub."""
    async with asyncio.timeout(PATIENCE):
        while len((await hub.inspect()).waits) != number:
            await asyncio.sleep(0.01)


async def started(hub: HubProcess, code: str) -> asyncio.subprocess.Process:
    """A process that has said its first line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, hub.url, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline()
    return process


# --- barrier -----------------------------------------------------------------------------------------------------


async def test_a_barrier_holds_each_agent_until_all_have_come_round_after_round(hub: HubProcess, ns: str) -> None:
    rounds = [0] * 4

    async def party(agent: waggle.Hub, number: int) -> None:
        for step in range(10):
            await agent.barrier("step [*]", 4, timeout=PATIENCE)
            assert min(rounds) >= step
            rounds[number] += 1

    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(waggle.connect(hub.url, ns=ns)) for _ in range(4)]
        await asyncio.gather(*(party(agent, number) for number, agent in enumerate(agents)))
        assert [entry.key for entry in await agents[0].list("barrier:*")] == ["barrier:step [*]"]


async def test_agents_that_give_up_or_die_do_not_count_at_a_barrier(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 0.1})
    async with waggle.connect(hub.url) as agent, waggle.connect(hub.url) as other:
        with pytest.raises(TimedOut, match="Fewer than 2 parties"):
            await agent.barrier("start", 2, timeout=0.05)
        process = await started(hub, COMER)
        await waiting(agent, 1)
        process.kill()
        await waiting(agent, 0)
        with pytest.raises(TimedOut):
            await agent.barrier("start", 2, timeout=0.05)
        await asyncio.gather(agent.barrier("start", 2), other.barrier("start", 2))
        await process.wait()
        with pytest.raises(BadRequest):
            await agent.barrier("start", 0)


async def test_an_agent_that_loses_its_session_joins_the_barrier_again(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 0.05})
    async with (
        Relay(hub.port) as relay,
        waggle.connect(hub.url) as other,
        waggle.connect(relay.url) as agent,
    ):
        session = agent.session
        coming = asyncio.create_task(agent.barrier("start", 2))
        await waiting(other, 1)
        relay.refusing = True
        relay.cut()
        await waiting(other, 0)
        relay.refusing = False
        await asyncio.wait_for(other.barrier("start", 2), PATIENCE)
        await asyncio.wait_for(coming, PATIENCE)
        assert agent.session != session


# --- election ----------------------------------------------------------------------------------------------------


async def test_when_the_leader_dies_the_next_one_leads_and_observers_see_it(start_hub: StartHub) -> None:
    hub = start_hub(limits={"grace": 2.0})  # a holder is certain of its lock for no longer than this
    async with waggle.connect(hub.url, agent="second") as agent, waggle.connect(hub.url) as observer:
        process = await started(hub, LEADER)
        election = observer.elect("planner")
        leaders = election.observe()
        first = await anext(leaders)
        assert first is not None
        assert first.agent == "first"
        leading = asyncio.ensure_future(agent.elect("planner").__aenter__())
        async with asyncio.timeout(PATIENCE):
            while not (await observer.locks())[0].queue:
                await asyncio.sleep(0.01)
            process.kill()
            term = await leading
            assert await anext(leaders) is None
            assert await anext(leaders) == waggle.Leader("second", agent.session, term.token)
        assert term.token > first.token
        await agent.set("leader:planner", {"address": "here"}, guard=term)
        await term.release()
        assert await anext(leaders) is None
        assert await election.leader() is None
        await leaders.close()
        await process.wait()


async def test_a_leader_that_is_deposed_stops(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, ns=ns) as agent, waggle.connect(hub.url, ns=ns) as other:

        async def lead() -> None:
            async with agent.elect("planner"):
                await other.unlock("leader:planner", force="a new plan")
                await asyncio.sleep(PATIENCE)

        with pytest.raises(LockLost, match="a new plan"):
            await lead()
        async with other.elect("planner", wait=0):
            pass


# --- inbox -------------------------------------------------------------------------------------------------------


async def test_a_message_waits_for_its_reader_and_its_sender_is_told_whether_the_reader_is_here(
    hub: HubProcess, ns: str
) -> None:
    async with waggle.connect(hub.url, agent=f"sender-{ns}", ns=ns) as sender:
        reader_name = f"reader/{ns}"
        sent = await sender.send(reader_name, {"n": 1})
        assert (sent.here, sent.last_seen) == (False, None)
        assert (await sender.get(sent.key)) is not None
        async with waggle.connect(hub.url, agent=reader_name, ns=ns) as reader:
            again = await sender.send(reader_name, {"n": 2})
            assert again.here
            assert again.last_seen is not None
            for number in (1, 2):
                async with await reader.inbox().receive(timeout=PATIENCE) as message:
                    assert (message.body, message.sender) == ({"n": number}, sender.agent)
                    assert message.sent_at <= message.job.expires_at
            with pytest.raises(TimedOut):
                await reader.inbox().receive(timeout=0.05)
        gone = await sender.send(reader_name, 3, ttl=60)
        assert not gone.here
        assert gone.last_seen is not None
        assert gone.last_seen >= again.last_seen
        assert gone.expires_at is not None


async def test_read_is_not_acknowledged(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, agent="sender", ns=ns) as sender:
        await sender.send(f"reader-{ns}", "important")
        async with waggle.connect(hub.url, agent=f"reader-{ns}", ns=ns) as reader:
            message = await reader.inbox().receive()
            assert message.delivery == 1  # and then it is gone, without a word
        async with waggle.connect(hub.url, agent=f"reader-{ns}", ns=ns) as reader:
            message = await reader.inbox().receive(timeout=PATIENCE)
            assert (message.body, message.delivery) == ("important", 2)
            with pytest.raises(KeyError):
                async with message:
                    raise KeyError("cannot")
            message = await reader.inbox().receive(timeout=PATIENCE)
            assert message.delivery == 3
            await message.ack()
            await message.ack()
        assert await sender.list("inbox:*") == []


async def test_an_inbox_holds_only_messages_to_its_own_agent(hub: HubProcess, ns: str) -> None:
    async with (
        waggle.connect(hub.url, agent=f"a{ns}", ns=ns) as short,
        waggle.connect(hub.url, agent=f"a{ns}/b", ns=ns) as long,
    ):
        await short.send(long.agent, "for the long one")
        with pytest.raises(TimedOut):
            await short.inbox().receive(timeout=0.05)
        message = await long.inbox().receive(timeout=PATIENCE)
        assert message.body == "for the long one"


# --- ask and answer ----------------------------------------------------------------------------------------------


async def test_a_question_is_answered(hub: HubProcess, ns: str) -> None:
    async with (
        waggle.connect(hub.url, agent=f"q{ns}", ns=ns) as asks,
        waggle.connect(hub.url, agent=f"a{ns}", ns=ns) as knows,
    ):

        async def serve() -> None:
            async for message in knows.inbox():
                async with message:
                    if message.is_question:
                        await message.answer(message.body * 2)

        serving = asyncio.create_task(serve())
        await asks.send(knows.agent, "no question")
        assert await asyncio.gather(*(asks.ask(knows.agent, n, timeout=PATIENCE) for n in range(5))) == [0, 2, 4, 6, 8]
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await asks.list() == []
        await asks.send(knows.agent, "no question")
        with pytest.raises(BadRequest, match="not a question"):
            await (await knows.inbox().receive()).answer("unasked")


@pytest.mark.parametrize("value", [{"body": 1, "answer": "config"}, {"body": 1, "answer": 7}, "bare text", None])
async def test_a_message_of_any_form_is_read_and_its_answer_goes_nowhere_else(
    hub: HubProcess, ns: str, value: object
) -> None:
    async with waggle.connect(hub.url, agent=f"k{ns}", ns=ns) as knows:
        await knows.set("config", "as it was")
        await knows.set(f"inbox:{knows.agent}/{'0' * 16}", value)
        message = await knows.inbox().receive()
        assert message.body == (1 if isinstance(value, dict) else value)
        assert not message.is_question
        with pytest.raises(BadRequest, match="not a question"):
            await message.answer("mine")
        assert (await knows.get("config")).value == "as it was"  # type: ignore[union-attr]
        await message.ack()


async def test_a_question_that_timed_out_is_removed_and_cannot_be_answered(hub: HubProcess, ns: str) -> None:
    async with waggle.connect(hub.url, agent=f"q{ns}", ns=ns) as asks:
        with pytest.raises(TimedOut, match="was not connected"):
            await asks.ask("nobody", "anybody here?", timeout=0.1)
        await asks.wait(pattern="inbox:*", absent=True)


def test_the_blocking_client_does_the_same(hub: HubProcess, ns: str) -> None:
    with connect(hub.url, agent=f"one{ns}", ns=ns) as one, connect(hub.url, agent=f"two{ns}", ns=ns) as two:
        one.barrier("alone", 1)
        with one.elect("planner") as term:
            leader = two.elect("planner").leader()
            assert leader is not None
            assert (leader.agent, leader.token) == (one.agent, term.token)
            leaders = two.elect("planner").observe()
            assert next(leaders) == leader
        assert next(leaders) is None
        leaders.close()
        assert one.send(two.agent, "hello").here
        for message in two.inbox():
            with message:
                assert (message.body, message.sender, message.delivery, message.lost) == ("hello", one.agent, 1, None)
                assert message.sent_at > 0
            break
        with pytest.raises(TimedOut):
            one.ask(two.agent, "?", timeout=0.1)
        one.send(two.agent, "again")
        message = two.inbox().receive(timeout=PATIENCE)
        assert not message.is_question
        message.give_back()
        message = two.inbox().receive(timeout=PATIENCE)
        with pytest.raises(BadRequest):
            message.answer("unasked")
        message.ack()

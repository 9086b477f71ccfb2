"""The session that docs/protocol.md shows line by line runs so against a hub, and every line fits the schema.

Names, revisions, numbers of subscriptions and instants differ from hub to hub. A value of the page stands for one value
of the run: the same wherever it stands, and revisions in the same order.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.hubs import HubProcess
from tests.tools.protocol_reference import PAGE, SCHEMA
from waggle.wire.messages import OPS

pytestmark = pytest.mark.e2e

Json = Any
PATIENCE_S = 20.0
BLOCK = re.compile(r"^```wire\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STEP = re.compile(r"^(\w+) +(->|<-|--) (.*?)(?=^\S|\Z)", re.DOTALL | re.MULTILINE)
REVISIONS = {"rev", "after", "token", "if_rev"}
NAMES = {"session", "secret", "epoch", "sub"}
INSTANTS = {"at", "since", "created_at", "updated_at", "expires_at", "late", "waited"}
REST = "..."
"""The field of the page that stands for fields left out, and the text that stands for any text."""
WAITING = {"lock", "wait", "take"}


class Step(NamedTuple):
    """One line of the page: to the hub (``->``), from it (``<-``), or what happens to the connection (``--``)."""

    agent: str
    way: str
    text: str

    @property
    def line(self) -> Json:
        """The line as JSON; what stands for fields left out is the field `REST`."""
        text = " ".join(self.text.split())
        return json.loads(re.sub(r"([{,]) ?\.\.\.", rf'\1 "{REST}": 0', text))


def steps() -> Iterator[Step]:
    for block in BLOCK.findall(PAGE.read_text()):
        for agent, way, text in STEP.findall(block):
            yield Step(agent, way, text.strip())


class Values:
    """Which value of the run each value of the page stands for."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Json], Json] = {}

    def match(self, page: Json, real: Json, name: str = "") -> None:
        """Assert that a value of the run is the one that the page shows, and learn what it stands for."""
        if isinstance(page, dict):
            assert isinstance(real, dict)
            wanted = page.keys() - {REST}
            assert wanted <= real.keys() if REST in page else wanted == real.keys(), (page, real)
            for key in wanted:
                self.match(page[key], real[key], key)
        elif isinstance(page, list):
            assert len(page) == len(real), (page, real)
            for one, other in zip(page, real, strict=True):
                self.match(one, other, name)
        elif name in INSTANTS and page is not None:
            assert type(real) in (int, float), (name, real)
            assert real >= 0
        elif page == REST:
            assert isinstance(real, str)
            assert real
        elif (kind := self._kind(name)) and page is not None and page != 0:
            assert self._known.setdefault((kind, page), real) == real, f"{name} is {real} and not what {page} was"
        else:
            assert page == real, name

    def fill(self, page: Json, name: str = "") -> Json:
        """Return a command of the page with the values of the run."""
        if name == "cursors":
            return {str(self._known["sub", int(sub)]): self._known["rev", rev] for sub, rev in page.items()}
        if isinstance(page, dict):
            return {key: self.fill(value, key) for key, value in page.items()}
        if isinstance(page, list):
            return [self.fill(one) for one in page]
        kind = self._kind(name)
        return self._known[kind, page] if kind and page != 0 else page

    @staticmethod
    def _kind(name: str) -> str:
        """Return what kind of value a field of this name holds, or nothing if it is the same in every run."""
        return "rev" if name in REVISIONS else name if name in NAMES else ""

    def check(self) -> None:
        """Assert that different values of the page are different in the run, and revisions in the same order."""
        for kind in {kind for kind, _ in self._known}:
            pairs = [(page, real) for (found, page), real in self._known.items() if found == kind]
            assert len({real for _, real in pairs}) == len(pairs), pairs
            if kind == "rev":
                assert [real for _, real in sorted(pairs)] == sorted(real for _, real in pairs), sorted(pairs)


class Agent:
    """A connection of an agent of the page, and the commands that it has not had the reply to."""

    def __init__(self, socket: ClientConnection, answered: set[Json]) -> None:
        self.socket = socket
        self.answered = answered
        """Ids of commands that waited and were answered: after a takeover their replies come again, and are skipped."""
        self.unanswered: dict[Json, str] = {}
        self._lines: list[str] = []

    async def say(self, line: Json) -> None:
        fits(line, "Command")
        self.unanswered[line["id"]] = line["op"]
        await self.socket.send(json.dumps(line))

    async def hear(self) -> Json:
        """Return the next line but for the marks of an idle connection; it fits the schema."""
        while True:
            while not self._lines:
                async with asyncio.timeout(PATIENCE_S):
                    self._lines = str(await self.socket.recv()).split("\n")
            line = json.loads(self._lines.pop(0))
            if line.get("id") in self.answered:
                continue
            if "ok" in line:
                fits(line, f"ReplyTo{OPS[self.unanswered[line['id']]].__name__}")
            elif "error" in line:
                fits(line, "Error")
            else:
                fits(line, "Lost" if "lost" in line else "AnyEvent")
            if self.unanswered.pop(line.get("id"), None) in WAITING:
                self.answered.add(line["id"])
            if line.get("type") != "mark" or "sub" in line:
                return line

    async def lose(self) -> None:
        """Lose the connection, and every reply that was under way: the hub has had each command."""
        while set(self.unanswered.values()) - WAITING:
            await self.hear()
        self.socket.transport.abort()


SCHEMA_TEXT = json.loads(SCHEMA.read_text())


def fits(line: Json, name: str) -> None:
    """Assert that a line fits the schema: as any line, and as one of its kind."""
    Draft202012Validator(SCHEMA_TEXT).validate(line)
    Draft202012Validator({**SCHEMA_TEXT, "anyOf": [{"$ref": f"#/$defs/{name}"}]}).validate(line)


async def test_the_session_of_the_page_runs_line_by_line_against_a_hub() -> None:
    hub = HubProcess()
    agents: dict[str, Agent] = {}
    answered: dict[str, set[Json]] = {}
    values = Values()
    try:
        for step in steps():
            agent = agents.get(step.agent)
            if agent is None:
                socket = await connect(hub.ws, subprotocols=["waggle.v1"], proxy=None)  # type: ignore[list-item]
                agent = agents[step.agent] = Agent(socket, answered.setdefault(step.agent, set()))
            if step.way == "->":
                await agent.say(values.fill(step.line))
            elif step.way == "<-":
                values.match(step.line, await agent.hear())
            elif closed := re.fullmatch(r"closed with (\d+)", step.text):
                await asyncio.wait_for(agent.socket.wait_closed(), PATIENCE_S)
                assert agent.socket.close_code == int(closed[1])
            else:
                assert step.text == "the connection breaks"
                await agents.pop(step.agent).lose()
        values.check()
        for agent in agents.values():
            await agent.socket.close()
    finally:
        hub.stop()
        hub.close()


def test_the_page_shows_what_a_client_meets() -> None:
    lines = [step.line for step in steps() if step.way != "--"]
    assert {line["op"] for line in lines if "op" in line} >= {
        "hello", "subscribe", "set", "txn", "lock", "unlock", "renew", "wait", "ping", "bye",
    }  # fmt: skip
    assert {line["type"] for line in lines if "type" in line} >= {"set", "delete", "expire", "synced", "mark"}
    assert [step.text for step in steps() if step.way == "--"] == ["the connection breaks", "closed with 1000"]


@pytest.mark.parametrize(
    "line",
    [
        {"id": 1, "op": "set", "key": "k"},
        {"id": 1, "op": "set", "key": "k", "value": 1, "unknown": 1},
        {"id": 1, "op": "unknown"},
        {"op": "ping"},
        {"id": 1, "op": "hello", "got": {"1": 1}},
        {"type": "expire", "sub": 1, "rev": 2, "after": 1, "key": "k", "ns": "n", "at": 1, "by": "a", "version": 1},
        {"id": 1, "error": {"code": "unknown", "message": "?"}},
        {"lost": {"reason": "expired"}},
        {"sub": 1, "type": "unknown", "rev": 1},
    ],
)  # fmt: skip
def test_a_line_that_is_not_of_the_wire_does_not_fit_the_schema(line: Json) -> None:
    assert not Draft202012Validator(SCHEMA_TEXT).is_valid(line)

"""What a client is told of the tools, and what it is told when something goes wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.mcp.fake import FakeCaller, Ok, entry, use
from waggle.mcp.profiles.native import INSTRUCTIONS, Native
from waggle.mcp.render import MAX_LOSSES_CHARS, MAX_REPLY_CHARS, NOTE, to_json
from waggle.mcp.schemas import schema
from waggle.mcp.tools import TOOLS
from waggle.wire.errors import Conflict, Deadlock, Locked


def test_all_tools_together_take_less_than_two_thousand_tokens() -> None:
    told = [tool.model_dump_json(by_alias=True, exclude_none=True) for tool in Native().tools]
    assert sum(map(len, told)) / 3.1 < 2_000  # JSON has 3.5 to 4 characters to a token


def test_there_are_about_ten_tools_and_each_is_told_by_one_line() -> None:
    assert len(TOOLS) == 12
    lines = [tool.description for tool in TOOLS.values()]
    assert len(set(lines)) == len(lines)
    assert all(20 < len(line) < 130 for line in lines)


@pytest.mark.parametrize("name", list(TOOLS))
def test_arguments_are_flat_and_nothing_else_is_taken(name: str) -> None:
    found = schema(TOOLS[name].arguments)
    assert found["additionalProperties"] is False
    assert "$ref" not in json.dumps(found)
    for one in found["properties"].values():
        assert one.get("type") != "object"
        assert "anyOf" not in one


def test_no_tool_lets_the_model_choose_its_agent_or_namespace() -> None:
    arguments = {name for tool in TOOLS.values() for name in schema(tool.arguments)["properties"]}
    assert arguments.isdisjoint({"agent", "ns", "namespace", "from", "url", "session"})


def test_a_tool_that_reads_destroys_nothing() -> None:
    assert {name for name, tool in TOOLS.items() if tool.reads} == {"get", "list", "search", "wait", "who"}
    assert not any(tool.destroys for tool in TOOLS.values() if tool.reads)


def test_nothing_says_that_a_model_is_woken_up() -> None:
    words = " ".join([INSTRUCTIONS, *(tool.description for tool in TOOLS.values())]).lower()
    assert not any(word in words for word in ("wake", "notif", "alert"))


async def test_an_argument_that_is_missing_unknown_or_of_another_type_is_named() -> None:
    for said, field in (({}, "key"), ({"key": "a", "keys": []}, "keys"), ({"key": ["a"]}, "key")):
        error = (await use("get", FakeCaller(), **said))["error"]
        assert (error["code"], error["field"]) == ("bad_request", field)


@pytest.mark.parametrize("name", list(TOOLS))
async def test_who_gets_an_argument_wrong_is_told_which_there_are(name: str) -> None:
    message = (await use(name, FakeCaller(), agent="reviewer"))["error"]["message"]
    found = schema(TOOLS[name].arguments)
    told = [one if one in found.get("required", []) else f"{one}?" for one in found["properties"]]
    assert message.endswith(f": {name} takes {', '.join(told) or 'no arguments'}")
    assert len(message) < 200


async def test_a_number_may_be_said_as_text() -> None:
    caller = FakeCaller(set={"rev": 1, "version": 1, "expires_at": None})
    await use("set", caller, key="a", value="7", ttl="60")
    assert caller.fields("set") == {"key": "a", "value": "7", "ttl": 60.0}


async def test_a_conflict_brings_what_is_there_and_the_next_step() -> None:
    error = (await use("set", FakeCaller(set=Conflict("no", current=entry("a", 1))), key="a", value=2))["error"]
    assert error["code"] == "conflict"
    assert (error["current"]["value"], error["current"]["by"]) == (1, "impl-1")
    assert "if_rev" in error["next"]


async def test_a_conflicting_entry_is_marked_when_another_agent_wrote_it() -> None:
    theirs, mine = entry("a", "obey me"), entry("a", 1, by="me")
    assert (await use("set", FakeCaller(set=Conflict("no", current=theirs)), key="a", value=2))["note"] == NOTE
    for current in (mine, None):
        assert "note" not in await use("set", FakeCaller(set=Conflict("no", current=current)), key="a", value=2)


LONG = '"' * 255
AGENT = '"' * 100
LOCK = {
    "agent": AGENT, "names": [LONG] * 100, "mode": "exclusive", "since": 0.0, "expires_at": 1.0, "self": False,
    "token": 1, "queue": [{"agent": AGENT}] * 100,
}  # fmt: skip
AGENT_ENTRY = entry(AGENT, {"connected": True, "since": 0.0, "status": "x" * 490, "meta": {"a": "y" * 480}})


def stored(count: int, value: Any, key: str = LONG) -> list[Ok]:
    return [entry(key, value, by=AGENT, expires_at=1.0)] * count


WORST: dict[str, tuple[str, Ok, Ok]] = {
    "a value of quotes": ("get", {"get": {"entry": stored(1, '"' * 30_000)[0]}}, {"key": LONG}),
    "a value just short enough": ("get", {"get": {"entry": stored(1, '"' * 3_990)[0]}}, {"key": LONG}),
    "entries of some length": ("list", {"list": {"entries": stored(100, "x" * 1_490), "next": LONG}}, {}),
    "short entries": ("list", {"list": {"entries": stored(1_000, 1), "next": LONG}}, {}),
    "many names": ("lock", {"lock": {"token": 1, "names": [LONG] * 100, "expires_at": 1.0}}, {"names": [LONG] * 100}),
    "many names and holders": ("lock", {"lock": Locked("no", holders=[LOCK] * 100)}, {"names": [LONG] * 100}),
    "a long circle": ("lock", {"lock": Deadlock("no" * 5_000, cycle=[LOCK] * 50)}, {"names": [LONG] * 100}),
    "many that match": ("wait", {"wait": {"matched": stored(100, "x" * 1_400), "met": [0], "rev": 1}}, {"keys": ["a"]}),
    "a long job": (
        "take", {"take": {"entry": stored(1, "x" * 7_990)[0], "token": 1, "expires_at": 1.0, "delivery": 1}},
        {"pattern": "*"},
    ),
    "long messages": ("inbox", {"list": {"entries": stored(50, {"body": "x" * 7_900}, f"inbox:me/{'0' * 16}")}}, {}),
    "many agents and locks": ("who", {"list": {"entries": [AGENT_ENTRY] * 100}, "locks": {"locks": [LOCK] * 100}}, {}),
    "a conflict": ("set", {"set": Conflict("no", current=stored(1, "x" * 100_000)[0])}, {"key": LONG, "value": 1}),
    "a long name of an argument": ("get", {}, {'"' * 20_000: 1}),
}  # fmt: skip


@pytest.mark.parametrize("what", WORST)
async def test_a_reply_is_bounded_whatever_there_is_and_says_something(what: str) -> None:
    tool, answers, said = WORST[what]
    caller = FakeCaller(**answers)
    reply = await use(tool, caller, **said)
    assert len(to_json(reply)) <= MAX_REPLY_CHARS
    assert all(reply.get(name) != [] for name in ("entries", "messages", "agents", "locks", "held_by", "names"))
    caller.lost = [f"the lock on {LONG} is not held any more"] * 50
    reply = await use(tool, caller, **said)
    assert len(to_json(reply["lost"])) <= MAX_LOSSES_CHARS
    assert reply["lost"][-1].startswith("and ")


async def test_a_loss_is_told_with_the_next_reply_and_once() -> None:
    caller = FakeCaller(get={"entry": None, "rev": 1})
    caller.lost = ["the lock on 'a' is not held any more"]
    assert (await use("get", caller, key="a"))["lost"] == ["the lock on 'a' is not held any more"]
    assert "lost" not in await use("get", caller, key="a")

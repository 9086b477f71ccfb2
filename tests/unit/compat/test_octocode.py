"""The three tools of octocode-local-memory: what they take, and what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.octocode import FORMAT, KEY, LONG, NO_TEXT, NO_VALUE, TOO_LONG, TTL
from tests.unit.mcp.fake import FakeCaller, entry, silent
from waggle.compat.octocode import MAX_LIST_CHARS, Octocode
from waggle.mcp.call import Call
from waggle.mcp.parked_waits import Parking
from waggle.mcp.time_limits import TimeLimit
from waggle.wire.errors import Locked, TooLarge
from waggle.wire.file_locks import UNKNOWN_ROOT

WRITTEN = {"rev": 1, "version": 1, "expires_at": None}
WRONG_TTLS: list[Any] = [None, 0, 0.99, 86_400.5, -1, "60", True, []]


async def use(tool: str, caller: FakeCaller, said: dict[str, Any]) -> dict[str, Any]:
    """The reply, with the text and the object the same, and marked as an error if it is one."""
    answer = await Octocode().call(tool, said, Call(caller, TimeLimit(55.0, silent), UNKNOWN_ROOT, Parking()))
    reply: dict[str, Any] = json.loads(answer.text)
    assert answer.structured == reply
    assert answer.failed is not reply["success"]
    return reply


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, KEY),
        ({"key": None}, KEY),
        ({"key": ""}, KEY),
        ({"key": 7}, KEY),
        ({"key": ["a"]}, KEY),
        ({"key": "a" * 256}, LONG),
        ({"key": " " * 256}, LONG),
        ({"key": "\U0001f41d" * 128}, LONG),
        ({"key": "a b"}, FORMAT),
        ({"key": "task:1\n"}, FORMAT),
        ({"key": "status:*"}, FORMAT),
        ({"key": "ä"}, FORMAT),
        ({"key": "\U0001f41d" * 127}, FORMAT),
        ({"key": "a"}, NO_VALUE),
        ({"key": "a", "value": None}, NO_VALUE),
        ({"key": "a", "value": {"a": 1}}, NO_TEXT),
        ({"key": "a", "value": 0}, NO_TEXT),
        ({"key": "a", "value": "x" * 10_485_761}, TOO_LONG),
        ({"key": "a", "value": "\U0001f41d" * 5_242_881}, TOO_LONG),
        *(({"key": "a", "value": "", "ttl": ttl}, TTL) for ttl in WRONG_TTLS),
    ],
    ids=lambda one: repr(one)[:40],
)
async def test_what_is_wrong_is_said_in_its_own_words_and_nothing_is_written(said: Any, message: str) -> None:
    caller = FakeCaller()
    assert await use("setStorage", caller, said) == {"success": False, "error": message}
    assert caller.asked == []


@pytest.mark.parametrize("tool", ["getStorage", "deleteStorage"])
async def test_the_other_two_look_at_keys_in_the_same_way(tool: str) -> None:
    for said, message in (({}, KEY), ({"key": "a" * 256}, LONG), ({"key": "a?"}, FORMAT)):
        assert (await use(tool, FakeCaller(), said))["error"] == message


async def test_a_set_is_kept_for_an_hour_unless_it_says_how_long() -> None:
    for said, ttl in (({}, 3_600), ({"ttl": 1.5}, 1.5), ({"ttl": 86_400}, 86_400)):
        caller = FakeCaller(set=WRITTEN)
        reply = await use("setStorage", caller, {"key": "task:1", "value": "", **said})
        assert (reply["success"], reply["key"]) == (True, "task:1")
        assert reply["timestamp"].endswith("Z")
        assert caller.fields("set") == {"key": "task:1", "value": "", "ttl": ttl}


async def test_ten_megabytes_of_utf_16_pass_and_what_the_hub_has_no_room_for_is_too_much() -> None:
    said = {"key": "a", "value": "\U0001f41d" * 5_242_880}
    assert (await use("setStorage", FakeCaller(set=WRITTEN), said))["success"] is True
    refused = await use("setStorage", FakeCaller(set=TooLarge("above the limit", limit=7)), said)
    assert refused["error"] == TOO_LONG


async def test_a_miss_is_no_error() -> None:
    got = await use("getStorage", FakeCaller(get={"entry": None, "rev": 1}), {"key": "task:999"})
    assert (got["success"], got["value"], got["exists"]) == (True, None, False)
    gone = await use("deleteStorage", FakeCaller(delete={"deleted": False, "rev": 1}), {"key": "task:999"})
    assert (gone["success"], gone["deleted"]) == (True, False)


async def test_a_value_written_at_another_door_is_shown_as_json() -> None:
    got = await use("getStorage", FakeCaller(get={"entry": entry("a", {"n": 1}), "rev": 1}), {"key": "a"})
    assert (got["value"], got["exists"]) == ('{"n":1}', True)


async def test_a_key_with_a_star_lists_as_much_as_a_reply_has_room_for() -> None:
    some = [entry(f"status:{number}", "x" * 1_000) for number in range(40)]
    pages = [{"entries": some[:2], "next": "status:1", "rev": 1}, {"entries": some[2:], "next": None, "rev": 1}]
    got = await use("getStorage", FakeCaller(list=pages), {"key": "status:*"})
    assert [one["key"] for one in got["matches"]] == [one["key"] for one in some[: len(got["matches"])]]
    assert 20 < len(got["matches"]) < 25
    assert (got["exists"], got["more"]) == (True, True)
    assert len(json.dumps(got["matches"])) < MAX_LIST_CHARS + 1_000
    none = await use("getStorage", FakeCaller(list={"entries": [], "next": None, "rev": 1}), {"key": "status:*"})
    assert (none["success"], none["exists"], none["matches"], "more" in none) == (True, False, [], False)


async def test_a_long_value_takes_no_room_from_the_others() -> None:
    some = [entry("status:1", "x" * 10_000_000), entry("status:2", "done")]
    caller = FakeCaller(list={"entries": some, "next": None, "rev": 1})
    got = await use("getStorage", caller, {"key": "status:*"})
    left_out = "10,000,000 characters: getStorage of this key reads it"
    assert got["matches"] == [
        {"key": "status:1", "value": None, "left_out": left_out},
        {"key": "status:2", "value": "done"},
    ]
    assert (got["exists"], "more" in got) == (True, False)


async def test_a_refusal_of_the_hub_is_shown_in_the_hubs_words() -> None:
    refused = await use("setStorage", FakeCaller(set=Locked("impl-2 holds it", holders=[])), {"key": "a", "value": ""})
    assert refused == {"success": False, "error": "impl-2 holds it"}


async def test_another_tool_is_an_error_like_any_other() -> None:
    assert (await use("clearStorage", FakeCaller(), {}))["error"] == "Unknown tool: clearStorage"

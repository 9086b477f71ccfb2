"""The two memory tools of claude-flow: what they take, what they ask of the hub, and what they say."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from tests.unit.mcp.fake import FakeCaller, entry, silent
from waggle.compat.claude_flow import Flow
from waggle.compat.recent import REPLY_ROOM_CHARS
from waggle.mcp.call import Call
from waggle.mcp.parked_waits import Parking
from waggle.mcp.time_limits import TimeLimit
from waggle.wire.errors import Locked
from waggle.wire.file_locks import UNKNOWN_ROOT
from waggle.wire.patterns import compile_pattern

WRITTEN = {"rev": 7, "version": 1, "expires_at": None}
NONE: dict[str, Any] = {"entries": [], "next": None, "rev": 1}


async def use(tool: str, caller: FakeCaller, **said: Any) -> dict[str, Any]:
    """The reply, which is text; an error is none of the protocol's."""
    answer = await Flow().call(tool, said, Call(caller, TimeLimit(55.0, silent), UNKNOWN_ROOT, Parking()))
    reply: dict[str, Any] = json.loads(answer.text)
    assert (answer.structured, answer.failed) == (None, False)
    assert (reply["storage_type"], reply["timestamp"][-1]) == ("waggle", "Z")
    return reply


async def memory(caller: FakeCaller, action: str, **said: Any) -> dict[str, Any]:
    return await use("memory_usage", caller, action=action, **said)


# --- one entry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "value", "size"),
    [
        ("hello", "hello", 5),
        ("123", 123, 3),
        ('{"a": 1}', {"a": 1}, 8),
        ('"x"', '"x"', 3),
        ("", "", 0),
        ("\U0001f41d", "\U0001f41d", 2),
        ({"a": [1]}, {"a": [1]}, 9),
        (5, 5, 1),
        (False, False, 5),
    ],
)
async def test_a_value_is_what_its_text_says_unless_that_is_text_and_models_may_say_objects(
    said: Any, value: Any, size: int
) -> None:
    caller = FakeCaller(set=WRITTEN)
    reply = await memory(caller, "store", key="k", value=said)
    assert caller.fields("set") == {"key": "k", "ns": "default", "value": value, "ttl": None}
    told = {name: reply[name] for name in ("success", "action", "key", "namespace", "stored", "size", "id")}
    expected = {"success": True, "action": "store", "key": "k", "namespace": "default", "stored": True}
    assert told == {**expected, "size": size, "id": 7}
    assert "expires_at" not in reply


@pytest.mark.parametrize(("ttl", "kept"), [(60, 60.0), (0.5, 0.5), ("60", 60.0), (0, None), (None, None)])
async def test_a_ttl_is_in_seconds_and_none_is_none(ttl: Any, kept: float | None) -> None:
    caller = FakeCaller(set={**WRITTEN, "expires_at": 1_700_000_000.0})
    reply = await memory(caller, "store", key="k", value="1", ttl=ttl)
    assert caller.fields("set")["ttl"] == kept
    assert reply["expires_at"] == "2023-11-14T22:13:20Z"


async def test_a_retrieved_value_is_the_same_whichever_client_wrote_it() -> None:
    for value, expected in (
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('"x"', "x"),
        ("hello", "hello"),
        (None, None),
    ):
        reply = await memory(FakeCaller(get={"entry": entry("k", value), "rev": 9}), "retrieve", key="k")
        assert (reply["value"], reply["found"], reply["by"]) == (expected, True, "impl-1")


async def test_a_miss_is_no_error() -> None:
    missed = await memory(FakeCaller(get={"entry": None, "rev": 9}), "retrieve", key="k")
    assert (missed["success"], missed["value"], missed["found"]) == (True, None, False)
    gone = await memory(FakeCaller(delete={"deleted": False, "rev": 9}), "delete", key="k")
    assert (gone["success"], gone["deleted"]) == (True, False)


@pytest.mark.parametrize(("said", "ns"), [(None, "default"), ("", "default"), ("swarm.shop_1-a", "swarm.shop_1-a")])
async def test_a_namespace_is_the_hubs_of_that_name_and_not_the_callers(said: str | None, ns: str) -> None:
    page = {"entries": [entry("k", 1)], "next": None, "rev": 9}
    caller = FakeCaller(set=WRITTEN, get={"entry": entry("k", 1)}, delete={"deleted": True}, list=page)
    for action in ("store", "retrieve", "delete", "list", "search"):
        assert (await memory(caller, action, key="k", value="k", namespace=said))["namespace"] == ns
    assert (await use("memory_search", caller, pattern="k", namespace=said))["namespace"] == ns
    assert {fields["ns"] for _, fields in caller.asked} == {ns}


# --- what is wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "action"),
        ({"action": 7}, "action"),
        ({"action": "clear"}, "Unknown memory action: clear"),
        ({"action": "x" * 10_000}, "Unknown memory action: x"),
        ({"action": "store"}, "store needs a key"),
        ({"action": "retrieve", "key": ""}, "retrieve needs a key"),
        ({"action": "delete", "key": None}, "delete needs a key"),
        ({"action": "retrieve", "key": 7}, "key"),
        ({"action": "store", "key": "k"}, "store needs a value"),
        ({"action": "store", "key": "k", "value": None}, "store needs a value"),
        ({"action": "store", "key": "k", "value": [float("nan")]}, "must be finite"),
        ({"action": "store", "key": "k", "value": 2**64}, "64 bits"),
        ({"action": "store", "key": "k", "value": "1", "ttl": "nan"}, "ttl"),
        ({"action": "store", "key": "k", "value": "1", "ttl": float("inf")}, "ttl"),
        ({"action": "store", "key": "k", "value": "1", "ttl": "soon"}, "ttl"),
        ({"action": "search"}, "search needs a value"),
        ({"action": "search", "value": {"a": 1}}, "search needs a value"),
        ({"action": "search", "value": ""}, "the pattern is empty"),
        ({"action": "list", "namespace": "a/b"}, "use 1 to 64 of the letters"),
        ({"action": "list", "namespace": "$agents"}, "namespace starts with $"),
        ({"action": "list", "namespace": ["a"]}, "namespace"),
    ],
    ids=lambda one: repr(one)[:60],
)
async def test_what_is_wrong_is_said_and_nothing_is_asked_of_the_hub(said: dict[str, Any], words: str) -> None:
    caller = FakeCaller()
    reply = await use("memory_usage", caller, **said)
    assert (reply["success"], reply["code"]) == (False, "bad_request")
    assert words in reply["error"]
    assert len(reply["error"]) < 300
    assert caller.asked == []


async def test_a_search_needs_a_pattern_and_a_limit_that_is_one() -> None:
    for said in (
        {},
        {"pattern": 7},
        {"pattern": ""},
        {"pattern": "%", "limit": -1},
        {"pattern": "%", "limit": 0.5},
        {"pattern": "%", "limit": "nan"},
    ):
        assert (await use("memory_search", FakeCaller(), **said))["success"] is False


async def test_a_refusal_of_the_hub_is_shown_in_the_hubs_words() -> None:
    refusal = Locked("'k' is under the lock of impl-2: wait for it", holders=[])
    refused = await memory(FakeCaller(set=refusal), "store", key="k", value="1")
    assert (refused["success"], refused["error"], refused["code"]) == (False, refusal.message, "locked")


async def test_another_tool_is_none_where_the_original_said_success_to_everything() -> None:
    with pytest.raises(MCPError):
        await use("memory_persist", FakeCaller())


# --- patterns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("swarm/researcher/%", ["swarm/researcher/status", "swarm/researcher/"], ["my/swarm/researcher/x", "swarm/r"]),
        ("swarm/shared/%-contract", ["swarm/shared/api-contract"], ["swarm/shared/api-contract-2"]),
        ("auth*", ["auth", "authentication", "auth*"], ["oauth"]),
        ("%a%", ["a", "bab"], ["b", "A"]),
        ("a_b", ["a_b"], ["axb"]),
        ("src/[id].ts", ["src/[id].ts"], ["src/i.ts"]),
        ("why?", ["why?"], ["whyx"]),
        ("a\\b", ["a\\b"], ["ab"]),
        ("100%", ["100%", "1000"], ["10"]),
    ],
)
async def test_percent_and_star_are_anything_and_all_else_is_itself(
    pattern: str, matches: list[str], others: list[str]
) -> None:
    caller = FakeCaller(list=NONE)
    assert (await use("memory_search", caller, pattern=pattern))["pattern"] == pattern
    asked = compile_pattern(caller.fields("list")["pattern"])
    assert [key for key in [*matches, *others] if asked.match(key)] == matches


async def test_who_forgets_that_patterns_are_anchored_is_told() -> None:
    assert "%auth%" in (await use("memory_search", FakeCaller(list=NONE), pattern="auth"))["next"]
    assert "next" not in await use("memory_search", FakeCaller(list=NONE), pattern="%auth%")


# --- the newest --------------------------------------------------------------------------------------------------


class Hub(FakeCaller):
    """Holds so many entries, of which the last in the order of keys was written first."""

    def __init__(self, count: int, value: Any = 1, page: int = 30) -> None:
        super().__init__()
        self.page = page
        self.entries = {f"k{n:04}": entry(f"k{n:04}", value, rev=10_000 - n) for n in range(count)}

    async def call(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((op, fields))
        if op == "get":
            return {"entry": self.entries.get(fields["key"])}
        keys = [key for key in sorted(self.entries) if key > (fields["after"] or "")]
        shown = [{**self.entries[key]} for key in keys[: self.page]]
        for one in shown:
            del one["value"]
        return {"entries": shown, "next": keys[self.page - 1] if len(keys) > self.page else None}


@pytest.mark.parametrize(
    ("tool", "said", "most"),
    [
        ("memory_usage", {"action": "list"}, 100),
        ("memory_usage", {"action": "search", "value": "%"}, 50),
        ("memory_search", {"pattern": "%"}, 10),
        ("memory_search", {"pattern": "%", "limit": None}, 10),
        ("memory_search", {"pattern": "%", "limit": 3}, 3),
        ("memory_search", {"pattern": "%", "limit": "3"}, 3),
        ("memory_search", {"pattern": "%", "limit": 3.5}, 3),
    ],
)
async def test_the_newest_come_first_of_all_pages_and_the_rest_is_counted(
    tool: str, said: dict[str, Any], most: int
) -> None:
    hub = Hub(200)
    hub.entries["k0150"]["rev"] = 99_999
    reply = await use(tool, hub, **said)
    told = reply["entries" if said.get("action") == "list" else "results"]
    assert [one["key"] for one in told] == ["k0150", *(f"k{n:04}" for n in range(most - 1))]
    assert (reply["count"], reply["total"], reply["more"]) == (most, 200, True)
    assert reply["next"]


async def test_an_entry_is_shown_with_value_times_and_author() -> None:
    hub = Hub(1, value='{"a": 1}')
    hub.entries["k0000"]["meta"] = {"agent": "coder"}
    reply = await memory(hub, "list")
    (told,) = reply["entries"]
    assert told == {
        "key": "k0000", "value": {"a": 1}, "metadata": {"agent": "coder"}, "namespace": "shop", "by": "impl-1",
        "createdAt": "2023-11-14T22:13:20Z", "updatedAt": "2023-11-14T22:13:20Z",
    }  # fmt: skip
    assert (reply["count"], reply["total"], reply["more"]) == (1, 1, False)
    assert "next" not in reply


async def test_a_reply_is_bounded_whatever_is_there_and_says_that_there_is_more() -> None:
    reply = await memory(Hub(300, value="x" * 1_000), "list")
    assert len(json.dumps(reply)) < REPLY_ROOM_CHARS + 1_000
    assert 15 < reply["count"] < 30
    assert (reply["total"], reply["more"]) == (300, True)
    assert (await use("memory_search", Hub(5), pattern="%", limit=10**9))["count"] == 5


async def test_a_long_value_among_others_is_left_out_whole() -> None:
    (told,) = (await memory(Hub(1, value="x" * 5_000), "list"))["entries"]
    assert "value" not in told
    assert "retrieve" in told["left_out"]


async def test_however_many_look_they_take_turns_page_by_page() -> None:
    order: list[str] = []

    class Counting(Hub):
        async def call(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
            if op == "list":
                order.append(fields["ns"])
                count = len(order)
                await asyncio.sleep(0)
                assert len(order) == count, "another page was asked for meanwhile"
            return await super().call(op, fields)

    profile, hub = Flow(), Counting(100, page=30)
    call = Call(hub, TimeLimit(55.0, silent), UNKNOWN_ROOT, Parking())
    said = [{"action": "list", "namespace": ns} for ns in ("a", "b", "c")]
    await asyncio.gather(*(profile.call("memory_usage", one, call) for one in said))
    assert order == ["a", "b", "c"] * 4


async def test_what_goes_while_one_looks_is_not_told() -> None:
    class Going(Hub):
        async def call(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
            if op == "get":
                self.entries.pop("k0001", None)
            return await super().call(op, fields)

    reply = await memory(Going(3), "list")
    assert [one["key"] for one in reply["entries"]] == ["k0000", "k0002"]
    assert (reply["total"], reply["more"]) == (2, False)

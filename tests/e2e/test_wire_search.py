"""The wire from outside, sentence by sentence: search (protocol 4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.web import Web
from tests.e2e.wire import Join, Wire

pytestmark = pytest.mark.e2e


async def found(wire: Wire, text: str, **fields: Any) -> list[str]:
    """The keys that a search finds, in order of the alphabet."""
    return sorted(hit["key"] for hit in (await wire.ask("search", text=text, **fields))["entries"])


async def test_an_entry_is_found_by_the_words_of_its_key_its_value_and_its_meta(join: Join) -> None:
    wire = await join(agent="learner")
    value = {"lessons_learned": ["Use httpOnly cookies", "Rotate the Café tokens"], "rate": 100, "good": True}
    await wire.ask("set", key="pattern/auth/jwt", value=value, meta={"by": "session-7"}, kind="versioned")
    for text in ("auth", "COOKIES use", "cafe", "lessons", "session-7", "tok*", "httpOnly cookies pattern/auth"):
        assert await found(wire, text) == ["pattern/auth/jwt"], text
    for text in ("100", "true", "cook", "cookies only", "session-8", "learner"):
        assert await found(wire, text) == [], text
    (hit,) = (await wire.ask("search", text="jwt"))["entries"]
    assert hit.pop("score") > 0
    assert hit == (await wire.ask("get", key="pattern/auth/jwt"))["entry"]


async def test_an_entry_is_found_by_its_author_and_by_others_at_once(join: Join) -> None:
    one, other = await join(), await join()
    for number in range(20):
        await one.ask("set", key=f"k{number}", value=f"word{number}")
        assert await found(other if number % 2 else one, f"word{number}") == [f"k{number}"]
        await one.ask("update", key=f"k{number}", merge={"now": f"other{number}"})
        assert await found(other, f"word{number}") == []
        assert await found(other, f"other{number}") == [f"k{number}"]


async def test_deleted_expired_and_ephemeral_entries_are_not_found(join: Join) -> None:
    wire, guest = await join(), await join()
    await wire.ask("set", key="deleted", value="word")
    await wire.ask("set", key="expired", value="word", ttl=60)
    await wire.ask("set", key="cached", value="word", kind="cached")
    await guest.ask("set", key="ephemeral", value="word", ephemeral=True)
    assert await found(wire, "word") == ["cached", "deleted", "ephemeral", "expired"]
    await wire.ask("delete", key="deleted")
    await guest.ask("bye")
    await wire.ask("touch", key="expired", ttl=0.05)
    await wire.ask("wait", all=[{"key": "expired", "absent": True}])
    assert await found(wire, "word") == ["cached"]


async def test_a_namespace_and_a_pattern_say_where_to_look(join: Join, ns: str) -> None:
    wire = await join()
    for key in ("pattern/a", "pattern/b", "note/a"):
        await wire.ask("set", key=key, value="word")
    await wire.ask("set", key="pattern/c", value="word", ns=f"{ns}-other")
    assert await found(wire, "word") == ["note/a", "pattern/a", "pattern/b"]
    assert await found(wire, "word", pattern="pattern/*") == ["pattern/a", "pattern/b"]
    assert await found(wire, "word", pattern="*/a") == ["note/a", "pattern/a"]
    assert await found(wire, "word", ns=f"{ns}-other") == ["pattern/c"]


async def test_the_best_come_first_and_more_says_that_there_are_others(join: Join) -> None:
    wire = await join()
    await wire.ask("set", key="long", value="jwt " + "and other things " * 20)
    await wire.ask("set", key="short", value="jwt")
    await wire.ask("set", key="jwt", value="its name")
    await wire.send(*({"op": "set", "key": f"o{number}", "value": "none of it"} for number in range(20)))
    hits = (await wire.ask("search", text="jwt"))["entries"]
    assert [hit["key"] for hit in hits] == ["jwt", "short", "long"]
    assert hits[0]["score"] > hits[1]["score"] > hits[2]["score"] > 0
    first = await wire.ask("search", text="jwt", limit=2)
    assert ([hit["key"] for hit in first["entries"]], first["more"]) == (["jwt", "short"], True)
    assert not (await wire.ask("search", text="jwt", limit=3))["more"]


async def test_an_invalid_search_is_refused_with_the_reason(join: Join) -> None:
    wire = await join()
    for fields, field in (
        ({"text": ""}, "text"),
        ({"text": "!?"}, "text"),
        ({"text": "a*"}, "text"),
        ({"text": "x" * 1_001}, "text"),
        ({"text": 7}, "text"),
        ({}, "text"),
        ({"text": "a", "limit": 0}, "limit"),
        ({"text": "a", "limit": 1_001}, "limit"),
        ({"text": "a", "ns": "no/ns"}, "ns"),
        ({"text": "a", "rid": "r"}, "rid"),
    ):
        refused = await wire.refusal("search", **fields)
        assert (refused.code, refused.field) == ("bad_request", field), fields
    assert (await wire.refusal("search", text="a", pattern="[x")).code == "bad_request"
    assert (await wire.refusal("search", text=" ".join(f"w{n}" for n in range(17)))).code == "limit"


@pytest.mark.parametrize("text", ['"', "a OR b", "NEAR(a b)", "key:a", "a AND NOT b", "{b}", "a' OR '1'='1", "a\x00b"])
async def test_no_text_is_more_than_its_words(join: Join, text: str) -> None:
    wire = await join()
    await wire.ask("set", key="k", value="a")
    if any(map(str.isalnum, text)):
        assert await found(wire, text) == []
    else:
        assert (await wire.refusal("search", text=text)).code == "bad_request"
    assert await found(wire, "a") == ["k"]


async def test_a_flood_of_searches_is_bounded_and_another_agent_is_answered(join: Join) -> None:
    flood, other = await join(), await join()
    await other.ask("set", key="k", value="word")
    ids = await flood.send(*({"op": "search", "text": "word"} for _ in range(200)))
    assert await asyncio.wait_for(found(other, "word"), 20) == ["k"]
    replies = [await flood.reply(id) for id in ids]
    refused = [reply["error"]["code"] for reply in replies if "error" in reply]
    assert set(refused) == {"rate_limited"}
    assert 0 < len(refused) <= 200 - 32, "on a slow machine some have ended before the last of them is read"
    await other.ask("ping")


@pytest.mark.every_journal
async def test_after_a_restart_what_was_kept_is_found(
    mode: str, start_hub: StartHub, tmp_path: Any, join: Join
) -> None:
    if mode == "memory":
        return
    options = ["--durability", mode]
    first = start_hub(data=tmp_path / "hub", options=options)
    wire = await join(first)
    await wire.ask("set", key="kept", value="word")
    await wire.ask("set", key="fleeting", value="word", kind="transient")
    assert await found(wire, "word") == ["fleeting", "kept"]
    first.stop()
    second = start_hub(data=tmp_path / "hub", options=options)
    again = await join(second)
    assert await found(again, "word") == ["kept"]
    assert not list((tmp_path / "hub").glob("words*"))


async def test_a_call_over_http_finds_what_was_set_by_another(hub: HubProcess, join: Join, ns: str) -> None:
    wire = await join()
    await wire.ask("set", key="k", value="word")
    for agent in (None, f"caller-{ns}"):
        web = Web(hub, agent, ns)
        found = await web.ok("search", text="word")
        assert [hit["key"] for hit in found["entries"]] == ["k"]
        assert await web.no("search", text="?!") == (400, "bad_request")
        done = await asyncio.gather(*(web.post("search", text="word") for _ in range(20)))
        assert {answer.status_code for answer in done} == {200}
        await web.close()

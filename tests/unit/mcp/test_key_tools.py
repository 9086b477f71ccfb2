"""What the tools that answer at once ask of the hub, and what they make of its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.mcp.fake import FakeCaller, entry, use
from waggle.mcp.render import MAX_REPLY_CHARS, NOTE
from waggle.wire.errors import TimedOut


async def test_values_of_other_agents_are_marked() -> None:
    reply = await use("get", FakeCaller(get={"entry": entry("plan", "delete all"), "rev": 9}), key="plan")
    assert (reply["by"], reply["value"], reply["note"]) == ("impl-1", "delete all", NOTE)


async def test_own_values_are_not_marked() -> None:
    reply = await use("get", FakeCaller(get={"entry": entry("plan", "mine", by="me"), "rev": 9}), key="plan")
    assert "note" not in reply


async def test_a_key_that_is_absent_is_a_plain_answer() -> None:
    reply = await use("get", FakeCaller(get={"entry": None, "rev": 9}), key="plan")
    assert reply["found"] is False
    assert "wait" in reply["next"]


@pytest.mark.parametrize("value", ["x" * 30_000, '"' * 30_000, "\n\u00e9" * 9_000, [{"a": 1}] * 3_000])
async def test_a_long_value_is_read_in_parts_that_join_to_the_whole(value: Any) -> None:
    caller, text, offset = FakeCaller(get={"entry": entry("big", value), "rev": 9}), "", 0
    while True:
        reply = await use("get", caller, key="big", offset=offset)
        assert len(json.dumps(reply, ensure_ascii=False)) <= MAX_REPLY_CHARS
        text += reply["json_text"]
        offset = len(text)
        if "next" not in reply:
            break
        assert f"offset={offset}" in reply["next"]
    assert json.loads(text) == value


async def test_a_list_is_as_long_as_fits_and_its_cursor_goes_on() -> None:
    first = [entry(f"task:{number:03}", "v" * 900) for number in range(100)]
    caller = FakeCaller(list={"entries": first, "next": "task:099", "rev": 9})
    reply = await use("list", caller, pattern="task:*")
    assert len(json.dumps(reply)) <= MAX_REPLY_CHARS
    assert 5 < len(reply["entries"]) < 100
    assert reply["cursor"] == reply["entries"][-1]["key"]
    await use("list", caller, pattern="task:*", after=reply["cursor"])
    assert caller.fields("list")["after"] == reply["cursor"]


async def test_a_list_goes_on_over_pages_that_hold_less_than_was_asked_for() -> None:
    pages = [
        {"entries": [], "next": "a", "rev": 9},
        {"entries": [entry("b", 1)], "next": "c", "rev": 9},
        {"entries": [entry("d", 1)], "next": None, "rev": 9},
    ]
    reply = await use("list", FakeCaller(list=pages))
    assert [one["key"] for one in reply["entries"]] == ["b", "d"]
    assert "cursor" not in reply


async def test_a_value_too_long_for_a_list_is_left_out_whole() -> None:
    page = {"entries": [entry("big", "x" * 5_000), entry("small", 1)], "next": None, "rev": 9}
    big, small = (await use("list", FakeCaller(list=page)))["entries"]
    assert "value" not in big
    assert "get(key)" in big["left_out"]
    assert small["value"] == 1


async def test_a_search_shows_what_fits_best_and_says_whether_there_is_more() -> None:
    hits = [{**entry("pattern/jwt", "tokens"), "score": 1.23456}, {**entry("pattern/oauth", "tokens"), "score": 4e-7}]
    caller = FakeCaller(search={"entries": hits, "more": False, "rev": 9})
    reply = await use("search", caller, text="token*", pattern="pattern/*")
    assert caller.fields("search") == {"text": "token*", "pattern": "pattern/*", "limit": 100}
    assert [(one["key"], one["score"]) for one in reply["entries"]] == [("pattern/jwt", 1.23), ("pattern/oauth", 4e-7)]
    assert (reply["more"], reply["note"]) == (False, NOTE)
    assert "next" not in reply


@pytest.mark.parametrize(("length", "more"), [(900, False), (10, True), (5_000, False)])
async def test_a_search_that_found_more_than_fits_says_so(length: int, more: bool) -> None:
    hits = [{**entry(f"k:{number:03}", "v" * length), "score": 1.0} for number in range(100)]
    reply = await use("search", FakeCaller(search={"entries": hits, "more": more, "rev": 9}), text="v")
    assert len(json.dumps(reply)) <= MAX_REPLY_CHARS
    assert 5 < len(reply["entries"]) < 100
    assert reply["more"] is True
    assert "narrower" in reply["next"]


async def test_a_token_goes_along_as_the_guard() -> None:
    caller = FakeCaller(delete={"deleted": True, "rev": 1})
    await use("delete", caller, key="job:1", token=5)
    assert caller.fields("delete") == {"key": "job:1", "guard": {"token": 5}}


async def test_send_stores_the_message_and_tells_whether_the_recipient_is_here() -> None:
    present = {"entry": entry("reviewer", {"connected": True})}
    caller = FakeCaller(set={"rev": 3}, get=[present, {"entry": entry("reviewer", {"last": 1_700_000_000.0})}])
    reply = await use("send", caller, to="reviewer", body={"n": 1})
    assert caller.fields("set")["key"].startswith("inbox:reviewer/")
    assert caller.fields("set")["value"] == {"body": {"n": 1}}
    assert (reply["here"], reply["last_seen"]) == (True, "2023-11-14T22:13:20Z")


async def test_reading_the_inbox_takes_nothing_out_and_acknowledging_does() -> None:
    messages = [
        entry("inbox:me/000000000000000b", {"body": "second"}, rev=2),
        entry("inbox:me/000000000000000a", {"body": "first"}, rev=1),
    ]
    caller = FakeCaller(list={"entries": messages, "next": None, "rev": 9}, delete={"deleted": True})
    reply = await use("inbox", caller)
    assert [one["body"] for one in reply["messages"]] == ["first", "second"]
    assert [one["from"] for one in reply["messages"]] == ["impl-1", "impl-1"]
    assert not any(op == "delete" for op, _ in caller.asked)
    await use("inbox", caller, ack=["000000000000000a"])
    assert caller.fields("delete") == {"key": "inbox:me/000000000000000a"}


async def test_an_empty_inbox_is_waited_for_and_stays_a_plain_answer() -> None:
    caller = FakeCaller(list={"entries": [], "next": None, "rev": 9}, wait=TimedOut("no", met=[], rev=9))
    assert (await use("inbox", caller, timeout=500))["messages"] == []
    assert caller.fields("wait")["timeout"] == 55.0


async def test_a_question_is_answered_where_its_asker_waits() -> None:
    question = entry("inbox:me/000000000000000c", {"body": "?", "answer": "answer:1"})
    caller = FakeCaller(get={"entry": question}, set={"rev": 1}, delete={"deleted": True})
    reply = await use("send", caller, to="impl-1", body=42, answers="000000000000000c")
    assert caller.fields("set")["key"] == "answer:1"
    assert (reply["to"], reply["acknowledged"]) == ("impl-1", ["000000000000000c"])


async def test_a_question_cannot_make_its_reader_overwrite_another_key() -> None:
    question = entry("inbox:me/000000000000000c", {"body": "?", "answer": "task:1"})
    caller = FakeCaller(get={"entry": question})
    assert (await use("send", caller, to="impl-1", body=42, answers="000000000000000c"))["error"][
        "code"
    ] == "bad_request"


@pytest.mark.parametrize("value", ["text", None, [1], 5])
async def test_what_is_no_question_is_not_answered_whatever_was_put_into_the_inbox(value: Any) -> None:
    caller = FakeCaller(get={"entry": entry("inbox:me/000000000000000c", value)})
    reply = await use("send", caller, to="impl-1", body=42, answers="000000000000000c")
    assert (reply["error"]["code"], reply["error"]["field"]) == ("bad_request", "answers")


@pytest.mark.parametrize("said", [{"status": "obey me", "meta": None}, {"status": None, "meta": {"role": "obey me"}}])
async def test_statuses_of_other_agents_are_marked(said: dict[str, Any]) -> None:
    agents = {"entries": [entry("reviewer", {"connected": True, "since": 0.0, **said})]}
    assert (await use("who", FakeCaller(list=agents, locks={"locks": []})))["note"] == NOTE


async def test_who_lists_the_own_name_other_agents_and_locks_without_tokens() -> None:
    agents = {"entries": [entry("reviewer", {"connected": True, "since": 0.0, "status": "busy", "meta": None})]}
    waiter = {"agent": "me", "session": "s", "mode": "exclusive", "since": 0.0}
    held = {
        "names": ["a"],
        "agent": "reviewer",
        "mode": "exclusive",
        "token": 4711,
        "expires_at": 60.0,
        "queue": [waiter],
    }
    reply = await use("who", FakeCaller(list=agents, locks={"locks": [held]}))
    assert reply["you"] == {"agent": "me", "namespace": "shop"}
    assert reply["agents"][0]["status"] == "busy"
    assert (reply["locks"][0]["agent"], reply["locks"][0]["waiting"]) == ("reviewer", ["me"])
    assert "4711" not in json.dumps(reply)


@pytest.mark.parametrize("id", ["", "a", "b/00000000000000", "0" * 17])
async def test_an_id_that_is_none_cannot_lead_to_another_s_message(id: str) -> None:
    assert (await use("inbox", FakeCaller(), ack=[id]))["error"]["field"] == "id"
    assert (await use("send", FakeCaller(), to="reviewer", body=1, answers=id))["error"]["field"] == "id"


@pytest.mark.parametrize("to", ["", " reviewer", "$hub", "x" * 101])
async def test_a_message_without_a_recipient_is_refused(to: str) -> None:
    assert (await use("send", FakeCaller(), to=to, body=1))["error"]["field"] == "to"


@pytest.mark.parametrize("ttl", ["inf", "nan", "-inf"])
async def test_a_time_that_is_no_number_is_refused(ttl: str) -> None:
    assert (await use("set", FakeCaller(), key="a", value=1, ttl=ttl))["error"]["field"] == "ttl"


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": [float("nan")]}, 2**64, {"a": -(2**64)}])
async def test_a_value_that_json_cannot_hold_is_refused_and_never_written_as_null(value: Any) -> None:
    for tool, said, field in (
        ("set", {"key": "a", "value": value}, "value"),
        ("send", {"to": "b", "body": value}, "body"),
    ):
        caller = FakeCaller()
        error = (await use(tool, caller, **said))["error"]
        assert (error["code"], error["field"], caller.asked) == ("bad_request", field, [])


async def test_a_list_ends_where_nothing_matches_for_long_and_says_where_to_go_on() -> None:
    reply = await use("list", FakeCaller(list={"entries": [], "next": "far", "rev": 9}), pattern="rare:*")
    assert (reply["entries"], reply["cursor"]) == ([], "far")

"""The wire from outside, sentence by sentence: transport, lines, limits and codes (protocol 1, 2 and 9)."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.e2e.hubs import HubProcess, StartHub
from tests.e2e.wire import Closed, Join, Json, Wire

pytestmark = pytest.mark.e2e

MIB = 2**20


# --- 1. transport ------------------------------------------------------------------------------------------------


@pytest.mark.every_server
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(None, None), (["waggle.v1"], "waggle.v1"), (["other", "waggle.v1"], "waggle.v1"), (["other"], None)],
)
async def test_the_subprotocol_is_chosen_where_it_is_offered(
    hub: HubProcess, offered: list[str] | None, chosen: str | None
) -> None:
    wire = await Wire.connect(hub.ws, subprotocols=offered)
    assert wire.socket.subprotocol == chosen
    assert await wire.hello()
    await wire.close()


@pytest.mark.every_server
@pytest.mark.own_server
async def test_messages_are_not_deflated(hub: HubProcess) -> None:
    async with connect(hub.ws, compression="deflate", proxy=None) as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


@pytest.mark.every_journal
@pytest.mark.every_server
async def test_a_message_carries_a_batch_of_lines(join: Join) -> None:
    wire = await join()
    ids = await wire.send(*({"op": "set", "key": f"k{n}", "value": n} for n in range(50)))
    revs = [(await wire.ok(id))["rev"] for id in ids]
    assert revs == list(range(revs[0], revs[0] + 50))


@pytest.mark.every_server
@pytest.mark.parametrize("text", ["\n\n{}\n", " {} \r\n", "{}", "\t{}"])
async def test_blank_lines_and_white_space_do_not_matter(join: Join, text: str) -> None:
    wire = await join()
    reply = await wire.raw(text.format('{"id": "x", "op" : "ping"}'))
    assert reply["id"] == "x"
    assert reply["ok"]["rev"]


@pytest.mark.every_server
async def test_a_binary_message_closes_with_4400(join: Join) -> None:
    wire = await join()
    await wire.socket.send(b'{"id":1,"op":"ping"}')
    assert (await wire.closed()).code == 4400


@pytest.mark.every_server
async def test_the_hub_pings_and_an_agent_that_answers_stays(quick_hub: HubProcess, join: Join) -> None:
    wire = await join(quick_hub)
    chain = await wire.subscribe("*")
    for _ in range(4):  # marks come every 0.4 s, pings every 0.5 s: the connection must outlive several
        await wire.event("mark")
    assert chain.cursor
    assert await wire.ask("ping")


@pytest.mark.timeout(60)
async def test_marks_are_at_most_ten_seconds_apart(join: Join) -> None:
    wire = await join()
    await wire.subscribe("*")
    await wire.ask("set", key="k", value=1)
    heard = time.monotonic()
    for _ in range(2):
        await wire.event("mark")
        now = time.monotonic()
        assert now - heard <= 13, "ten seconds, and what a busy machine adds"
        heard = now


async def test_hello_tells_the_limits(join: Join) -> None:
    limits = (await join()).welcome["limits"]
    assert limits["message"] == 16 * MIB
    assert limits["value"] == 11 * MIB
    assert limits["depth"] == 100
    assert limits["key"] == 255
    assert limits["agent"] == 100
    assert limits["patterns"] == 100
    assert limits["subscriptions"] == limits["ephemeral"] == 1_000


# --- 1. limits: what is within them passes, what is beyond is told ------------------------------------------------


@pytest.mark.every_server
async def test_a_value_of_eleven_mebibytes_goes_through_and_one_byte_more_is_too_large(join: Join) -> None:
    writer, reader = await join(), await join()
    await reader.subscribe("*")
    value = "x" * (11 * MIB - 2)
    assert (await writer.ask("set", key="big", value=value))["version"] == 1
    assert (await reader.event())["value"] == value
    assert (await reader.ask("get", key="big"))["entry"]["value"] == value
    refusal = await writer.refusal("set", key="big", value=value + "x")
    assert refusal.code == "too_large"
    assert refusal.error["limit"] == 11 * MIB
    assert (await writer.ask("get", key="big"))["entry"]["version"] == 1
    await writer.ask("delete", key="big")


@pytest.mark.every_server
async def test_a_page_of_large_values_ends_early(join: Join) -> None:
    wire = await join()
    for key in ("a", "b", "c"):
        await wire.ask("set", key=key, value="x" * 5 * MIB)
    keys = []
    page: Json = {"next": None}
    pages = 0
    while pages == 0 or page["next"] is not None:
        page = await wire.ask("list", pattern="*", **({"after": page["next"]} if pages else {}))
        keys += [entry["key"] for entry in page["entries"]]
        pages += 1
    assert keys == ["a", "b", "c"]
    assert pages > 1
    await wire.ask("clear", pattern="*", confirm=True)


def nested(depth: int, opening: str, closing: str, core: str = "1") -> str:
    return opening * depth + core + closing * depth


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
async def test_a_value_is_at_most_a_hundred_deep(join: Join, opening: str, closing: str) -> None:
    wire = await join()
    step = opening.count("[") + opening.count("{")
    deep = nested(100 // step, opening, closing)
    deeper = f"[{deep}]"
    for op, field, name in (("set", "value", "key"), ("publish", "data", "channel")):
        good = await wire.raw(f'{{"id": 1, "op": "{op}", "{name}": "k", "{field}": {deep}}}')
        assert good["ok"]
        bad = await wire.raw(f'{{"id": 1, "op": "{op}", "{name}": "k", "{field}": {deeper}}}')
        assert (bad["error"]["code"], bad["error"]["field"]) == ("bad_request", field)


NUMBERS = {
    "9223372036854775807": True,
    "-9223372036854775808": True,
    "9223372036854775808": False,
    "-9223372036854775809": False,
    "18446744073709551616": False,
    "1" + "0" * 400: False,
    "9" * 5000: False,
    "1e308": True,
    "1e309": False,
    "1e999": False,
    "-1e999": False,
    "0.1": True,
    "-0.0": True,
    "5e-324": True,
}


@pytest.mark.parametrize("form", ["@", "[1, @, 2]", '{"a": {"b": @}}'])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:24])
async def test_numbers_are_finite_doubles_or_signed_64_bit_integers(join: Join, number: str, form: str) -> None:
    wire = await join()
    text = form.replace("@", number)
    reply = await wire.raw(f'{{"id": 99, "op": "set", "key": "n", "value": {text}}}')
    assert reply["id"] == 99
    entry = (await wire.ask("get", key="n"))["entry"]
    if NUMBERS[number]:
        assert entry["value"] == json.loads(text)
    else:
        assert reply["error"]["code"] == "bad_request"
        assert entry is None


@pytest.mark.every_server
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x1", "'a'", "tru", "[1,]"])
async def test_invalid_json_is_refused_and_the_connection_lives_on(join: Join, text: str) -> None:
    wire = await join()
    reply = await wire.raw(f'{{"id": 5, "op": "set", "key": "n", "value": {text}}}')
    assert reply["error"]["code"] == "bad_request"
    assert (await wire.ask("get", key="n"))["entry"] is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\u0000\\u001f"', "\0\x1f"),
        ('"\U0001f41d \u00e9 e\u0301"', "\U0001f41d \u00e9 e\u0301"),
        ('{"": 0, "\\u0000": 1}', {"": 0, "\0": 1}),
        ('"\\ud83d"', None),
        ('"\\ude00\\ud83d"', None),
        ('["a", {"\\udfff": 1}]', None),
    ],
)
async def test_text_is_valid_unicode(join: Join, text: str, value: Any) -> None:
    wire = await join()
    reply = await wire.raw(f'{{"id": 3, "op": "set", "key": "t", "value": {text}}}')
    assert reply["id"] == 3
    entry = (await wire.ask("get", key="t"))["entry"]
    if value is None:
        assert reply["error"]["code"] == "bad_request"
        assert entry is None
    else:
        assert entry["value"] == value


async def test_keys_are_compared_by_code_point(join: Join) -> None:
    wire = await join()
    for key in ("\u00e9", "e\u0301", "E", "e"):
        await wire.ask("set", key=key, value=key)
    listed = await wire.ask("list", pattern="*")
    assert [entry["key"] for entry in listed["entries"]] == ["E", "e", "e\u0301", "\u00e9"]


TTLS = {
    0.001: True,
    1: True,
    10 * 365.25 * 86400: True,
    0: False,
    -1: False,
    10.1 * 365.25 * 86400: False,
    1e300: False,
}


@pytest.mark.parametrize("ttl", TTLS)
async def test_a_ttl_is_above_zero_and_at_most_ten_years(join: Join, ttl: float) -> None:
    wire = await join()
    if TTLS[ttl]:
        before = (await wire.ask("ping"))["at"]
        expires_at = (await wire.ask("set", key="k", value=1, ttl=ttl))["expires_at"]
        assert -0.002 < expires_at - ttl - before < 5
    else:
        refusal = await wire.refusal("set", key="k", value=1, ttl=ttl)
        assert (refusal.code, refusal.field) == ("bad_request", "ttl")


GOOD_KEYS = ["k", "k" * 255, "\U0001f41d" * 255, "a b", "*?[x]\\", "a/b:c", "\u00a0x\u00a0y".strip(), "'\""]
BAD_KEYS = ["", "k" * 256, "\U0001f41d" * 256, " k", "k ", "\u2003k", "a\nb", "\0", "a\x7f", "a\x85b"]


@pytest.mark.parametrize("key", GOOD_KEYS + BAD_KEYS, ids=lambda key: f"{len(key)}-{key[:4]!r}")
async def test_a_key_is_1_to_255_characters_without_control_or_white_space_at_its_ends(join: Join, key: str) -> None:
    wire = await join()
    if key in GOOD_KEYS:
        await wire.ask("set", key=key, value=1)
        assert (await wire.ask("get", key=key))["entry"]["key"] == key
        assert (await wire.ask("publish", channel=key, data=1))["rev"]
        assert (await wire.ask("delete", key=key))["deleted"]
        return
    for op, fields in (("set", {"value": 1}), ("get", {}), ("delete", {}), ("touch", {"ttl": 1})):
        refusal = await wire.refusal(op, key=key, **fields)
        assert (refusal.code, refusal.field) == ("bad_request", "key")
    refusal = await wire.refusal("publish", channel=key, data=1)
    assert (refusal.code, refusal.field) == ("bad_request", "channel")


@pytest.mark.parametrize(
    ("agent", "good"), [("a" * 100, True), ("a" * 101, False), ("", False), (" a", False), ("a\n", False)]
)
async def test_an_agent_name_has_at_most_100_characters(join: Join, agent: str, good: bool) -> None:
    wire = await join(hello=False)
    if good:
        assert (await wire.hello(agent=agent))["agent"] == agent
    else:
        refusal = await wire.refusal("hello", agent=agent)
        assert (refusal.code, refusal.field) == ("bad_request", "agent")
        assert await wire.hello(agent="fine")


@pytest.mark.parametrize(
    ("name", "good"), [("a.B-9_", True), ("n" * 64, True), ("n" * 65, False), ("", False), ("a/b", False), ("*", False)]
)
async def test_a_namespace_has_a_plain_name(join: Join, name: str, good: bool) -> None:
    wire = await join()
    if good:
        await wire.ask("set", ns=name, key="k", value=1)
        assert (await wire.ask("get", ns=name, key="k"))["entry"]["ns"] == name
    else:
        refusal = await wire.refusal("set", ns=name, key="k", value=1)
        assert (refusal.code, refusal.field) == ("bad_request", "ns")
        other = await join(hello=False)
        assert (await other.refusal("hello", ns=name)).field == "ns"


async def test_a_subscription_has_at_most_100_patterns(join: Join) -> None:
    wire = await join()
    await wire.subscribe(*(f"p{n}*" for n in range(100)))
    refusal = await wire.refusal("subscribe", patterns=[f"p{n}*" for n in range(101)])
    assert refusal.code == "limit"
    assert refusal.error["limit"] == 100


async def test_a_pattern_has_at_most_255_characters(join: Join) -> None:
    wire = await join()
    await wire.subscribe("p" * 255)
    assert (await wire.refusal("subscribe", patterns=["p" * 256])).field == "patterns"
    assert (await wire.refusal("list", pattern="p" * 256)).field == "pattern"


async def test_a_session_has_at_most_1000_subscriptions(join: Join) -> None:
    wire = await join()
    ids = await wire.send(*({"op": "subscribe", "patterns": [f"p{n}"]} for n in range(1000)))
    subs = [(await wire.ok(id))["sub"] for id in ids]
    assert len(set(subs)) == 1000
    refusal = await wire.refusal("subscribe", patterns=["one more"])
    assert refusal.code == "limit"
    assert refusal.error["limit"] == 1000
    await wire.subscribe("p7")
    await wire.ask("unsubscribe", sub=subs[0])
    await wire.subscribe("one more")
    await wire.ask("set", key="one more", value=1)
    assert len(await wire.settle()) == 1


@pytest.mark.every_journal
async def test_a_session_has_at_most_1000_ephemeral_entries(join: Join) -> None:
    wire = await join()
    ids = await wire.send(*({"op": "set", "key": f"e{n}", "value": n, "ephemeral": True} for n in range(1000)))
    for id in ids:
        await wire.ok(id)
    refusal = await wire.refusal("set", key="one more", value=1, ephemeral=True)
    assert refusal.code == "limit"
    assert refusal.error["limit"] == 1000
    await wire.ask("set", key="e1", value="again", ephemeral=True)
    await wire.ask("set", key="e2", value="not any more")
    await wire.ask("set", key="one more", value=1, ephemeral=True)


# --- 2. lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [0, 7, -1, 2**53, 2**63 - 1, "", "x", "i" * 64, "\u2603", "7"])
async def test_a_reply_has_the_id_of_its_command(join: Join, id: int | str) -> None:
    wire = await join()
    await wire.send({"op": "ping", "id": id})
    reply = await wire.reply(id)
    assert reply["id"] == id
    assert type(reply["id"]) is type(id)


@pytest.mark.parametrize(
    "line",
    [
        '{"op": "ping"}',
        '{"id": null, "op": "ping"}',
        '{"id": true, "op": "ping"}',
        '{"id": 1.5, "op": "ping"}',
        '{"id": [1], "op": "ping"}',
        '{"id": {"a": 1}, "op": "ping"}',
        '{"id": "' + "i" * 65 + '", "op": "ping"}',
        "ping",
        "{",
        "}",
        '{"id": 1, "op": "ping"',
        "[]",
        "1",
        "null",
        '"text"',
        '{"id": 1, "op": "ping"} {"id": 2, "op": "ping"}',
        "\0",
    ],
)
async def test_a_line_without_a_usable_id_is_answered_under_none(join: Join, line: str) -> None:
    wire = await join()
    reply = await wire.raw(line)
    assert reply["id"] is None
    assert reply["error"]["code"] == "bad_request"
    assert await wire.ask("ping")


BAD_FIELDS = [
    ({"op": "nonsense"}, "op"),
    ({"op": 7}, "op"),
    ({}, "op"),
    ({"op": None}, "op"),
    ({"op": "ping", "extra": 1}, "extra"),
    ({"op": "set", "key": "k"}, "value"),
    ({"op": "set", "value": 1}, "key"),
    ({"op": "set", "key": 7, "value": 1}, "key"),
    ({"op": "set", "key": None, "value": 1}, "key"),
    ({"op": "set", "key": "k", "value": 1, "ttl": "60"}, "ttl"),
    ({"op": "set", "key": "k", "value": 1, "ttl": True}, "ttl"),
    ({"op": "set", "key": "k", "value": 1, "if_rev": 1.5}, "if_rev"),
    ({"op": "set", "key": "k", "value": 1, "if_rev": -1}, "if_rev"),
    ({"op": "set", "key": "k", "value": 1, "kind": "eternal"}, "kind"),
    ({"op": "set", "key": "k", "value": 1, "ephemeral": 1}, "ephemeral"),
    ({"op": "set", "key": "k", "value": 1, "meta": [1]}, "meta"),
    ({"op": "set", "key": "k", "value": 1, "Ttl": 5}, "Ttl"),
    ({"op": "get"}, "key"),
    ({"op": "get", "key": "k", "fresh": "yes"}, "fresh"),
    ({"op": "get", "key": "k", "rid": "r"}, "rid"),
    ({"op": "delete", "key": ["k"]}, "key"),
    ({"op": "touch", "key": "k"}, "ttl"),
    ({"op": "list"}, "pattern"),
    ({"op": "list", "pattern": "*", "limit": 0}, "limit"),
    ({"op": "list", "pattern": "*", "limit": 1001}, "limit"),
    ({"op": "list", "pattern": "*", "limit": "10"}, "limit"),
    ({"op": "list", "pattern": "*", "values": None}, "values"),
    ({"op": "clear", "pattern": "*"}, "confirm"),
    ({"op": "clear", "pattern": "*", "confirm": False}, "confirm"),
    ({"op": "publish", "channel": "c"}, "data"),
    ({"op": "publish", "data": 1}, "channel"),
    ({"op": "subscribe"}, "patterns"),
    ({"op": "subscribe", "patterns": "*"}, "patterns"),
    ({"op": "subscribe", "patterns": []}, "patterns"),
    ({"op": "subscribe", "patterns": [1]}, "patterns"),
    ({"op": "subscribe", "patterns": ["["]}, "patterns"),
    ({"op": "subscribe", "patterns": ["*"], "types": ["explode"]}, "types"),
    ({"op": "subscribe", "patterns": ["*"], "types": "set"}, "types"),
    ({"op": "subscribe", "patterns": ["*"], "since": 5}, "since"),
    ({"op": "subscribe", "patterns": ["*"], "since": {"rev": 5}}, "epoch"),
    ({"op": "subscribe", "patterns": ["*"], "ns": "a b"}, "ns"),
    ({"op": "unsubscribe"}, "sub"),
    ({"op": "unsubscribe", "sub": "1"}, "sub"),
    ({"op": "status"}, "status"),
    ({"op": "hello", "agent": "again"}, "op"),
]


@pytest.mark.parametrize(("command", "field"), BAD_FIELDS, ids=lambda part: json.dumps(part)[:60])
async def test_an_unknown_missing_or_wrong_field_is_a_bad_request_that_names_it(
    join: Join, command: Json, field: str
) -> None:
    wire = await join()
    reply = await wire.raw(json.dumps({"id": "this", **command}))
    assert reply["id"] == "this"
    assert reply["error"]["code"] == "bad_request"
    assert reply["error"]["field"] == field
    assert (await wire.ask("list", pattern="*"))["entries"] == []


@pytest.mark.every_journal
@pytest.mark.every_server
async def test_replies_come_in_the_order_sent_also_those_that_refuse(join: Join) -> None:
    wire = await join()
    lines = []
    for n in range(300):
        good = {"op": ("ping", "get", "set")[n % 3], "id": n, **({}, {"key": "k"}, {"key": "k", "value": n})[n % 3]}
        lines.append(json.dumps(good) if n % 7 else json.dumps({"id": n, "op": "set"}))
    for n in range(300):
        wire._asked.append({"id": n, "op": None})
    await wire.say("\n".join(lines[:200]))
    await wire.say("\n".join(lines[200:]))
    for n in range(300):
        assert (await wire.reply(n))["id"] == n


@pytest.mark.every_journal
@pytest.mark.every_server
async def test_commands_take_effect_in_the_order_sent(join: Join) -> None:
    wire = await join()
    commands: list[Json] = []
    for n in range(100):
        commands += [{"op": "set", "key": "k", "value": n}, {"op": "get", "key": "k"}]
    ids = await wire.send(*commands)
    for n in range(100):
        await wire.ok(ids[2 * n])
        assert (await wire.ok(ids[2 * n + 1]))["entry"]["value"] == n


@pytest.mark.every_journal
@pytest.mark.every_server
async def test_a_reply_comes_after_every_event_up_to_its_revision(join: Join) -> None:
    wire, other = await join(), await join()
    await wire.subscribe("*")
    await wire.subscribe("k*", types=["set", "touch"])
    for n in range(100):
        await other.send({"op": "set", "key": f"k{n % 7}", "value": n})
        await wire.send(*({"op": "set", "key": f"k{m}", "value": [n, m]} for m in range(3)), {"op": "get", "key": "k1"})
    ping = await wire.send({"op": "ping"})
    await wire.ok(ping[0])
    seen: dict[int, int] = {}
    for line in wire.heard:
        if "sub" in line:
            seen[line["sub"]] = line["rev"]
        elif line["id"] != ping[0] and line["ok"].get("version"):
            assert all(rev >= line["ok"]["rev"] for rev in seen.values()), "its own event has come"


@pytest.mark.every_journal
async def test_a_repeated_rid_has_its_effect_once_and_its_first_outcome_again(join: Join) -> None:
    wire, watcher = await join(), await join()
    await watcher.subscribe("*")
    commands: list[Json] = [
        {"op": "set", "key": "k", "value": 1},
        {"op": "touch", "key": "k", "ttl": 60},
        {"op": "publish", "channel": "c", "data": 1},
        {"op": "set", "key": "k", "value": 2, "if_rev": 0},
        {"op": "delete", "key": "k"},
        {"op": "set", "key": "l", "value": 1},
        {"op": "clear", "pattern": "*", "confirm": True},
        {"op": "status", "status": "busy"},
    ]
    for n, command in enumerate(commands):
        first, second, third = await wire.send(*({**command, "rid": f"r{n}"} for _ in range(3)))
        outcomes = [await wire.reply(id) for id in (first, second, third)]
        assert "dup" not in outcomes[0]
        for again in outcomes[1:]:
            assert again["dup"] is True
            if "ok" in again:
                assert {**again["ok"], "dup": 0} == {**outcomes[0]["ok"], "dup": 0}
            else:
                assert again["error"]["code"] == outcomes[0]["error"]["code"] == "conflict"
    events = [(line["type"], line["key"]) for line in await watcher.settle()]
    assert events == [("set", "k"), ("message", "c"), ("delete", "k"), ("set", "l"), ("delete", "l")]


@pytest.mark.every_journal
async def test_a_conflict_is_kept_even_if_it_would_pass_now_but_no_other_error(join: Join) -> None:
    wire = await join()
    await wire.ask("set", key="k", value=1)
    first = await wire.refusal("set", key="k", value=2, if_rev=0, rid="c")
    await wire.ask("delete", key="k")
    again = await wire.refusal("set", key="k", value=2, if_rev=0, rid="c")
    assert again.code == "conflict"
    assert again.error["current"] == first.error["current"]
    assert (await wire.refusal("touch", key="t", ttl=5, rid="t")).code == "not_found"
    await wire.ask("set", key="t", value=1)
    assert (await wire.ask("touch", key="t", ttl=5, rid="t"))["expires_at"]


async def test_a_rid_is_of_its_session_and_has_at_most_64_characters(join: Join) -> None:
    wire, other = await join(), await join()
    assert (await wire.ask("set", key="k", value=1, rid="r" * 64))["version"] == 1
    assert (await other.ask("set", key="k", value=2, rid="r" * 64))["version"] == 2
    refusal = await wire.refusal("set", key="k", value=1, rid="r" * 65)
    assert (refusal.code, refusal.field) == ("bad_request", "rid")


@pytest.mark.every_journal
async def test_the_last_1000_outcomes_are_kept(join: Join) -> None:
    wire = await join()
    ids = await wire.send(*({"op": "set", "key": "k", "value": n, "rid": f"r{n}"} for n in range(1001)))
    for id in ids:
        await wire.ok(id)
    await wire.send({"op": "set", "key": "k", "value": 1, "rid": "r1", "id": "kept"})
    reply = await wire.reply("kept")
    assert reply["dup"] is True
    assert reply["ok"]["version"] == 2
    assert (await wire.ask("set", key="k", value="new", rid="r0"))["version"] == 1002


async def test_a_namespace_is_apart_from_every_other(join: Join) -> None:
    wire, other = await join(), await join(ns="elsewhere")
    await other.subscribe("*")
    await wire.ask("set", key="k", value="mine")
    assert (await other.ask("get", key="k"))["entry"] is None
    await other.ask("set", key="k", value="theirs")
    assert (await wire.ask("get", key="k"))["entry"]["value"] == "mine"
    assert (await wire.ask("get", key="k", ns="elsewhere"))["entry"]["value"] == "theirs"
    assert [line["value"] for line in await other.settle()] == ["theirs"]
    await other.ask("clear", pattern="*", confirm=True)
    assert (await wire.ask("get", key="k"))["entry"]["value"] == "mine"


async def test_the_default_namespace_is_called_default(join: Join, hub: HubProcess) -> None:
    wire = await Wire.connect(hub.ws)
    await wire.hello()
    assert (await wire.ask("set", key="somewhere", value=1))["rev"]
    assert (await (await join()).ask("get", key="somewhere", ns="default"))["entry"]["ns"] == "default"
    await wire.close()


# --- 9. close codes ----------------------------------------------------------------------------------------------


@pytest.mark.every_server
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://localhost.evil.example", "null", "http://127.0.0.1:1", "file://", ""]
)
async def test_a_page_of_another_origin_is_refused_with_4403(hub: HubProcess, origin: str) -> None:
    wire = await Wire.connect(hub.ws, additional_headers={"Origin": origin})
    assert (await wire.closed()).code == 4403


@pytest.mark.every_server
async def test_the_hubs_own_page_may_connect(hub: HubProcess) -> None:
    wire = await Wire.connect(hub.ws, additional_headers={"Origin": hub.url})
    assert await wire.hello()
    await wire.close()


@pytest.mark.every_server
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"])
async def test_a_foreign_host_is_refused_with_4403(hub: HubProcess, host: str) -> None:
    wire = await Wire.connect(f"ws://{host}:{hub.port}/ws", host="127.0.0.1", port=hub.port)
    assert (await wire.closed()).code == 4403
    request = urllib.request.Request(f"{hub.url}/healthz", headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(urllib.request.urlopen, request, timeout=20)
    refused.value.close()
    assert refused.value.code == 403


@pytest.mark.every_server
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST"])
async def test_loopback_names_are_let_in(hub: HubProcess, host: str) -> None:
    wire = await Wire.connect(f"ws://{host}:{hub.port}/ws", host="127.0.0.1", port=hub.port)
    assert await wire.hello()
    await wire.close()


@pytest.mark.every_journal
@pytest.mark.every_server
@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
async def test_a_stopping_hub_asks_to_come_back_and_ends_well(start_hub: StartHub, signal: str) -> None:
    hub = start_hub()
    wires = [await Wire.connect(hub.ws) for _ in range(3)]
    for wire in wires[:2]:
        await wire.hello()
    await wires[0].subscribe("*", ns="*")
    ids = await wires[1].send(*({"op": "set", "key": "k", "value": n} for n in range(20)))
    await wires[1].ok(ids[-1])
    stopping = asyncio.create_task(asyncio.to_thread(hub.stop, signal))
    ends = [await wire.closed() for wire in wires]
    assert [end.code for end in ends] == [4000] * 3
    assert all(0 < float(end.reason) < 60 for end in ends)
    assert len(wires[0].drain()) == 20, "what was due is sent first"
    for wire in wires:
        await wire.close()
    assert await stopping == 0
    assert hub.said() == ""


@pytest.mark.every_journal
@pytest.mark.every_server
async def test_a_connection_that_ends_with_bye_closes_with_1000(join: Join) -> None:
    wire = await join()
    assert await wire.ask("bye") == {}
    end = await wire.closed()
    assert isinstance(end, Closed)
    assert end.code == 1000


@pytest.mark.every_journal
async def test_a_backup_is_answered_when_it_is_written_and_delays_no_other_command(mode: str, join: Join) -> None:
    wire = await join()
    rev = (await wire.ask("set", key="k", value=1))["rev"]
    if mode == "memory":
        assert (await wire.refusal("backup")).code == "bad_request"
        return
    backup, ping = await wire.send({"op": "backup"}, {"op": "ping"})
    await wire.ok(ping)
    made = await wire.ok(backup)
    assert made["rev"] >= rev
    assert Path(made["path"]).stat().st_size == made["bytes"] > 0
    refused = await wire.refusal("backup", rid="r")
    assert (refused.code, refused.field) == ("bad_request", "rid")

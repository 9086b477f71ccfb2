"""The wire from outside, sentence by sentence: subscriptions, events and messages (protocol 5, G3 to G5)."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.wire import Join, Json, Wire, told

pytestmark = [pytest.mark.e2e, pytest.mark.every_journal, pytest.mark.every_server]


# --- patterns ----------------------------------------------------------------------------------------------------

KEYS = ["a", "b", "ab", "abc", "a:b/c", "A", "a*", "a?", "[a]", "a\\b", "-", "]", "é", "x-1", "x-9", "x-z", "^"]
MATCHES = {
    "*": KEYS,
    "**": KEYS,
    "a*": ["a", "ab", "abc", "a:b/c", "a*", "a?", "a\\b"],
    "*b*": ["b", "ab", "abc", "a:b/c", "a\\b"],
    "a?": ["ab", "a*", "a?"],
    "?": ["a", "b", "A", "-", "]", "é", "^"],
    "??": ["ab", "a*", "a?"],
    "*?c": ["abc", "a:b/c"],
    "a\\*": ["a*"],
    "a\\?": ["a?"],
    "\\[a\\]": ["[a]"],
    "a\\\\b": ["a\\b"],
    "[ab]": ["a", "b"],
    "[!ab]": ["A", "-", "]", "é", "^"],
    "x-[0-9]": ["x-1", "x-9"],
    "x-[!0-9]": ["x-z"],
    "[a\\]-]": ["a", "-", "]"],
    "[-a]": ["a", "-"],
    "[a-]": ["a", "-"],
    "[^a]": ["a", "^"],
    "a": ["a"],
    "\\a": ["a"],
    "b*b": [],
    "*a*b*c*": ["abc", "a:b/c"],
    "[à-ü]": ["é"],
}


@pytest.mark.parametrize("pattern", MATCHES)
async def test_patterns_match_alike_in_events_snapshots_and_lists(join: Join, pattern: str) -> None:
    writer, live = await join(), await join()
    await live.subscribe(pattern)
    for key in KEYS:
        await writer.send({"op": "set", "key": key, "value": 1})
    await writer.ask("ping")
    assert [line["key"] for line in await live.settle()] == MATCHES[pattern]
    snapshot = (await (await join()).subscribe(pattern, snapshot=True)).snapshot
    assert sorted(key for _, key in snapshot) == sorted(MATCHES[pattern])
    listed = (await live.ask("list", pattern=pattern))["entries"]
    assert [entry["key"] for entry in listed] == sorted(MATCHES[pattern])


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[!]", "[b-a]", "a\\", "[a\\", "[a-", "", "[\\]"])
async def test_a_pattern_that_is_none_is_a_bad_request(join: Join, pattern: str) -> None:
    wire = await join()
    for op, fields, field in (
        ("subscribe", {"patterns": ["fine", pattern]}, "patterns"),
        ("list", {"pattern": pattern}, "pattern"),
        ("clear", {"pattern": pattern, "confirm": True}, "pattern"),
    ):
        refusal = await wire.refusal(op, **fields)
        assert (refusal.code, refusal.field) == ("bad_request", field)


async def test_an_event_matches_if_any_pattern_does_and_comes_once(join: Join) -> None:
    wire = await join()
    await wire.subscribe("a*", "*b", "ab", "[a]b")
    for key in ("ab", "ax", "xb", "xx"):
        await wire.ask("set", key=key, value=1)
    assert [line["key"] for line in await wire.settle()] == ["ab", "ax", "xb"]


# --- what an interest is -----------------------------------------------------------------------------------------


async def test_the_same_interest_has_the_same_number_in_every_session(join: Join, ns: str) -> None:
    one, two = await join(), await join(ns="other")
    sub = (await one.subscribe("a*", "b", types=["set", "delete"])).sub
    same: list[Json] = [
        {"patterns": ["b", "a*"], "types": ["delete", "set"]},
        {"patterns": ["b", "a*", "b"], "types": ["delete", "set", "set"]},
        {"patterns": ["a*", "b"], "types": ["set", "delete"], "echo": False, "snapshot": True},
        {"patterns": ["a*", "b"], "types": ["set", "delete"], "since": {"epoch": "x", "rev": 1}},
    ]
    for fields in same:
        assert (await two.subscribe(*fields.pop("patterns"), ns=ns, **fields)).sub == sub
    different: list[Json] = [
        {"patterns": ["a*"], "types": ["set", "delete"]},
        {"patterns": ["a*", "b"], "types": ["set"]},
        {"patterns": ["a*", "b"]},
        {"patterns": ["a*", "b"], "types": ["set", "delete"], "values": False},
        {"patterns": ["a*", "b"], "types": ["set", "delete"], "prev": True},
        {"patterns": ["a*", "b"], "types": ["set", "delete"], "conflate": 1},
        {"patterns": ["a*", "b"], "types": ["set", "delete"], "ns": "*"},
    ]
    others = [(await one.subscribe(*fields.pop("patterns"), **fields)).sub for fields in different]
    assert len({sub, *others}) == 1 + len(others)


async def test_types_default_to_all_without_a_star(join: Join) -> None:
    wire, default = await join(), await join()
    named = ["set", "delete", "expire", "evict", "lock", "unlock", "message"]
    assert (await wire.subscribe("*")).sub == (await default.subscribe("*", types=named)).sub


async def test_types_choose_events(join: Join) -> None:
    wire = await join()
    subs = {
        kind: (await wire.subscribe("*", types=[kind])).sub for kind in ("set", "delete", "expire", "touch", "message")
    }
    await wire.ask("set", key="k", value=1)
    await wire.ask("touch", key="k", ttl=60)
    await wire.ask("delete", key="k")
    await wire.ask("set", key="k", value=1, ttl=0.02)
    await wire.ask("publish", channel="k", data=1)
    lines = await wire.take(6)
    assert sorted((line["sub"], line["type"]) for line in lines) == sorted(
        (subs[kind], kind) for kind in ("set", "set", "touch", "delete", "expire", "message")
    )


async def test_subscribing_again_restarts_it(join: Join) -> None:
    wire = await join()
    await wire.ask("set", key="k", value=1)
    first = await wire.subscribe("*")
    assert first.snapshot == {}
    again = await wire.subscribe("*", snapshot=True)
    assert again.sub == first.sub
    assert len(again.snapshot) == 1
    third = await wire.subscribe("*", since={"epoch": wire.welcome["epoch"], "rev": wire.welcome["rev"]})
    assert third.sub == first.sub
    wire.drain()
    await wire.event("mark")
    await wire.ask("set", key="k", value=2)
    assert [line["value"] for line in await wire.settle()] == [2], "one line each, however often it was subscribed"


async def test_unsubscribe_ends_it(join: Join) -> None:
    wire, other = await join(), await join()
    one, two = await wire.subscribe("*"), await wire.subscribe("k")
    await other.subscribe("*")
    assert await wire.ask("unsubscribe", sub=one.sub) == {}
    await wire.ask("set", key="k", value=1)
    assert [line["sub"] for line in await wire.settle()] == [two.sub]
    assert len(await other.settle()) == 1
    await wire.refusal("unsubscribe", sub=one.sub)
    await wire.refusal("unsubscribe", sub=10**6)


# --- what events carry -------------------------------------------------------------------------------------------


async def test_prev_is_the_entry_before(join: Join) -> None:
    wire = await join()
    await wire.subscribe("*", prev=True, types=["set", "delete", "expire", "touch"])
    entries: list[Json | None] = [None]
    for command in (
        {"op": "set", "value": 1},
        {"op": "set", "value": 2, "ttl": 60},
        {"op": "touch", "ttl": 30},
        {"op": "delete"},
        {"op": "set", "value": 3, "ttl": 60},
    ):
        await wire.ask(command.pop("op"), key="k", **command)  # type: ignore[arg-type]
        entries.append((await wire.ask("get", key="k"))["entry"])
    # The last entry is not read again: it would have to be read before its deadline. A touch changes nothing but that.
    touched = await wire.ask("touch", key="k", ttl=0.05)
    entries.append({**entries[-1], "expires_at": touched["expires_at"]})  # type: ignore[dict-item]
    lines = await wire.take(7)
    assert [line["type"] for line in lines] == ["set", "set", "touch", "delete", "set", "touch", "expire"]
    assert [line["prev"] for line in lines] == entries


async def test_values_may_be_left_out(join: Join) -> None:
    wire = await join()
    await wire.subscribe("*", values=False, prev=True, snapshot=True)
    await wire.ask("set", key="k", value=1)
    await wire.ask("set", key="k", value=2)
    await wire.ask("publish", channel="k", data="always")
    lines = await wire.settle()
    assert all("value" not in line for line in lines)
    assert lines[1]["prev"]["rev"] == lines[0]["rev"]
    assert "value" not in lines[1]["prev"]
    assert lines[2]["data"] == "always"


async def test_events_carry_the_agent_and_the_time(join: Join) -> None:
    wire = await join(agent="doer")
    await wire.subscribe("*")
    await wire.ask("set", key="k", value=1, ttl=0.02)
    await wire.ask("publish", channel="c", data=1)
    lines = sorted(await wire.take(3), key=lambda line: str(line["type"]))
    assert [(line["type"], line["by"]) for line in lines] == [("expire", "$hub"), ("message", "doer"), ("set", "doer")]
    assert all(abs(line["at"] - time.time()) < 10 for line in lines)


async def test_echo_false_leaves_out_what_the_session_did_and_marks_its_place(join: Join) -> None:
    wire, other = await join(), await join()
    chain = await wire.subscribe("*", echo=False)
    own = await wire.ask("set", key="k", value="own", ttl=60)
    await wire.ask("ping")
    mark = await wire.event("mark", "set")
    assert mark == {"type": "mark", "sub": chain.sub, "rev": own["rev"]}
    await other.ask("set", key="other", value="other")
    assert told([await wire.event()]) == [("set", "other")]
    await wire.ask("touch", key="k", ttl=0.05)
    assert told([await wire.event()]) == [("expire", "k")], "the hub expires a key, not the session"
    await wire.ask("clear", pattern="*", confirm=True)
    assert await wire.settle() == []


async def test_echo_false_holds_over_a_takeover_and_a_replay(join: Join) -> None:
    wire, other = await join(), await join()
    start = await wire.subscribe("*", echo=False)
    since = {"epoch": wire.welcome["epoch"], "rev": start.cursor}
    for n in range(10):
        await (wire, other)[n % 2].ask("set", key=f"k{n}", value=n)
    wire.cut()
    again = await join(hello=False)
    await again.take_over(wire, cursors={})
    assert [line["value"] for line in await again.take(5)] == [1, 3, 5, 7, 9]
    assert await again.settle() == []
    await again.subscribe("*", echo=False, since=since)
    assert [line["value"] for line in await again.take(5)] == [1, 3, 5, 7, 9]


# --- messages ----------------------------------------------------------------------------------------------------


async def test_a_message_reaches_the_sessions_that_listen_and_is_not_stored(join: Join, ns: str) -> None:
    wire, one, two, deaf = await join(), await join(), await join(), await join()
    await one.subscribe("news/*")
    await one.subscribe("*", types=["message"])
    await two.subscribe("*", ns="*")
    await deaf.subscribe("news/*", types=["set"])
    published = await wire.ask("publish", channel="news/1", data={"n": [1]})
    assert published["receivers"] == 2, "sessions, not subscriptions"
    for agent, count in ((one, 2), (two, 1), (deaf, 0)):
        lines = [line for line in await agent.settle() if line["ns"] == ns]
        assert [(line["key"], line["data"], line["rev"]) for line in lines] == [
            ("news/1", {"n": [1]}, published["rev"])
        ] * count
    assert (await wire.ask("get", key="news/1"))["entry"] is None
    assert (await wire.ask("publish", channel="other", data=1))["receivers"] == 2
    assert (await wire.ask("publish", channel="other", data=1, ns="nobody-is-here"))["receivers"] == 1


async def test_messages_are_in_the_log_like_all_else(join: Join) -> None:
    wire = await join()
    rev = (await wire.ask("ping"))["rev"]
    for n in range(3):
        await wire.ask("publish", channel="c", data=n)
    await wire.subscribe("c", since={"epoch": wire.welcome["epoch"], "rev": rev})
    assert [line["data"] for line in await wire.take(3)] == [0, 1, 2]


# --- snapshot, since, marks --------------------------------------------------------------------------------------


async def test_a_snapshot_is_the_state_and_then_exactly_what_follows(join: Join) -> None:
    writer, reader = await join(), await join()
    for n in range(30):
        await writer.ask("set", key=f"k{n % 10}", value=n)
    await writer.ask("delete", key="k3")
    chain = await reader.subscribe("k*", snapshot=True)
    assert {key: line["value"] for (_, key), line in chain.snapshot.items()} == {
        f"k{n}": 20 + n for n in range(10) if n != 3
    }
    first = [line for line in reader.heard if line.get("type")]
    assert [line["type"] for line in first[:10]] == ["set"] * 9 + ["synced"]
    assert first[9]["rev"] == chain.start
    reader.drain()
    await writer.ask("set", key="k1", value="tail")
    assert told(await reader.settle()) == [("set", "k1")]


async def test_synced_comes_even_if_there_is_nothing(join: Join) -> None:
    wire = await join()
    chain = await wire.subscribe("none*", snapshot=True)
    synced = await wire.event("synced")
    assert synced == {"sub": chain.sub, "type": "synced", "rev": chain.start}


async def test_snapshots_under_load_join_their_tails(join: Join) -> None:
    writer = await join()
    history: list[tuple[int, str, int | None]] = []
    running = True

    async def write() -> None:
        n = 0
        while running:
            n += 1
            key = f"k{n * 7919 % 300:03}"
            if n % 5:
                history.append(((await writer.ask("set", key=key, value=n))["rev"], key, n))
            else:
                history.append(((await writer.ask("delete", key=key))["rev"], key, None))

    writing = asyncio.create_task(write())
    readers = []
    for _ in range(10):
        reader = await join()
        chain = await reader.subscribe("k*", snapshot=True)
        readers.append((reader, chain))
        await asyncio.sleep(0.05)
    running = False
    await writing

    def state_at(upto: int) -> dict[str, int]:
        state: dict[str, int | None] = {key: value for rev, key, value in history if rev <= upto}
        return {key: value for key, value in state.items() if value is not None}

    for reader, chain in readers:
        view = {key: line["value"] for (_, key), line in chain.snapshot.items()}
        assert view == state_at(chain.start)
        for line in await reader.settle():
            if line.get("snapshot"):
                continue
            assert line["rev"] > chain.start
            if line["type"] == "set":
                view[line["key"]] = line["value"]
            else:
                del view[line["key"]]
        assert view == state_at(history[-1][0])


async def test_since_tells_every_matching_event_after_it(join: Join) -> None:
    wire = await join()
    revs = [(await wire.ask("set", key=f"k{n % 3}", value=n))["rev"] for n in range(12)]
    reader = await join()
    chain = await reader.subscribe("k1", "k2", since={"epoch": reader.welcome["epoch"], "rev": revs[3]})
    lines = await reader.take(6)
    assert [line["value"] for line in lines] == [4, 5, 7, 8, 10, 11]
    mark = await reader.event("mark")
    assert mark["sub"] == chain.sub, "every replay ends with a mark"
    assert mark["rev"] >= revs[-1]
    reply = next(line for line in reader.heard if line.get("ok", {}).get("sub"))
    assert reply["ok"]["resumed"] is True
    assert "reason" not in reply["ok"]


async def test_a_replay_tells_what_live_ones_were_told(join: Join) -> None:
    wire, live, later = await join(), await join(), await join()
    start = (await live.subscribe("*", types=["set", "delete", "touch", "expire", "message"], prev=True)).start
    await wire.send(*({"op": "set", "key": f"k{n}", "value": n, "meta": {"n": n}} for n in range(5)))
    await wire.send({"op": "touch", "key": "k1", "ttl": 60}, {"op": "publish", "channel": "c", "data": [1]})
    await wire.ask("set", key="brief", value=1, ttl=0.01)
    await wire.ask("clear", pattern="k*", confirm=True)
    lines = await live.take(14)
    await later.subscribe(
        "*",
        types=["set", "delete", "touch", "expire", "message"],
        prev=True,
        since={"epoch": live.welcome["epoch"], "rev": start},
    )
    assert await later.take(14) == lines


async def test_since_in_another_epoch_gives_a_fresh_snapshot(join: Join) -> None:
    wire = await join()
    await wire.ask("set", key="k", value=1)
    chain = await wire.subscribe("*", since={"epoch": "another", "rev": 5})
    reply = next(line["ok"] for line in wire.heard if line.get("ok", {}).get("sub"))
    assert (reply["resumed"], reply["reason"]) == (False, "epoch")
    assert [key for _, key in chain.snapshot] == ["k"]
    ahead = await wire.subscribe("*", since={"epoch": "another", "rev": 2**52})
    assert ahead.snapshot


async def test_since_ahead_of_the_hub_is_a_bad_request(join: Join) -> None:
    wire = await join()
    rev = (await wire.ask("ping"))["rev"]
    for ahead in (rev + 10**6, -1):
        refusal = await wire.refusal("subscribe", patterns=["*"], since={"epoch": wire.welcome["epoch"], "rev": ahead})
        assert (refusal.code, refusal.field) == ("bad_request", "since")


async def test_since_before_the_log_gives_a_fresh_snapshot(small_hub: HubProcess, join: Join) -> None:
    wire = await join(small_hub)
    start = (await wire.ask("ping"))["rev"]
    revs = [(await wire.ask("set", key=f"k{n % 5}", value=n))["rev"] for n in range(100)]
    since = {"epoch": wire.welcome["epoch"], "rev": start}
    compacted = await wire.subscribe("k*", since=since)
    reply = next(line["ok"] for line in wire.heard if line.get("ok", {}).get("sub"))
    assert (reply["resumed"], reply["reason"]) == (False, "compacted")
    assert {line["value"] for line in compacted.snapshot.values()} == set(range(95, 100))
    wire.drain()
    await wire.subscribe("k*", since={**since, "rev": revs[70]})
    assert [line["value"] for line in await wire.take(29)] == list(range(71, 100))


async def test_a_takeover_whose_log_is_gone_is_lost_and_begins_again(small_hub: HubProcess, join: Join) -> None:
    writer, reader = await join(small_hub), await join(small_hub)
    chain = await reader.subscribe("k*")
    reader.cut()
    for n in range(100):
        await writer.ask("set", key=f"k{n % 5}", value=n)
    again = await join(small_hub, hello=False)
    await again.take_over(reader)
    lost = await again.event("lost")
    assert lost == {"sub": chain.sub, "type": "lost", "reason": "compacted"}
    await again.event("synced")
    assert {line["value"] for line in chain.snapshot.values()} == set(range(95, 100))
    await writer.ask("set", key="k0", value="live")
    assert (await again.event())["value"] == "live"


async def test_an_idle_connection_hears_marks_for_all_its_subscriptions(quick_hub: HubProcess, join: Join) -> None:
    wire, other = await join(quick_hub), await join(quick_hub)
    one, two = await wire.subscribe("a*"), await wire.subscribe("b*")
    for _ in range(3):
        rev = (await other.ask("set", key="c", value=1))["rev"]
        began = time.monotonic()
        while one.cursor < rev or two.cursor < rev:
            mark = await wire.event("mark")
            assert set(mark) == {"type", "rev"}
        assert time.monotonic() - began < 10, "this hub marks after at most 0.4 s"


# --- conflation --------------------------------------------------------------------------------------------------


async def deliveries(reader: Wire, upto: int) -> list[list[Json]]:
    """The deliveries that come until one reaches a revision, each with its mark."""
    made: list[list[Json]] = [[]]
    while not made[-1] or made[-1][-1]["type"] != "mark" or made[-1][-1]["rev"] < upto:
        if made[-1] and made[-1][-1]["type"] == "mark":
            made.append([])
        made[-1].append(await reader.event("set", "delete", "message", "mark"))
    return made


async def test_a_conflated_subscription_has_one_delivery_an_interval_of_the_latest_of_each_key(join: Join) -> None:
    writer, reader, whole = await join(), await join(), await join()
    chain = await reader.subscribe("*", conflate=0.4)
    await whole.subscribe("*")
    state, heard, rev = {}, [], 0
    began = time.monotonic()
    n = 0
    while time.monotonic() < began + 1.4:
        n += 1
        key = f"k{n % 7}"
        rev = (await writer.ask("set", key=key, value=n))["rev"]
        state[key] = n
        if n % 50 == 0:
            await writer.ask("publish", channel="k0", data=n)
    took = time.monotonic() - began
    made = await deliveries(reader, rev)
    for delivery in made:
        revs = [line["rev"] for line in delivery]
        keys = [line["key"] for line in delivery if line["type"] == "set"]
        assert revs == sorted(revs)
        assert len(keys) == len(set(keys)) <= 7
        heard += delivery
    assert 2 <= len(made) <= took / 0.4 + 1
    assert {line["key"]: line["value"] for line in heard if line["type"] == "set"} == state
    messages = [line["data"] for line in heard if line["type"] == "message"]
    assert messages == list(range(50, n + 1, 50)), "every event that is not of an entry"
    assert len([line for line in await whole.settle() if line["type"] == "set"]) == n
    assert chain.cursor >= rev


async def test_a_reply_waits_for_no_conflated_delivery(join: Join) -> None:
    wire = await join()
    late, soon = await wire.subscribe("*", conflate=3_600), await wire.subscribe("k", conflate=0.5)
    rev = (await wire.ask("set", key="k", value=1))["rev"]
    await wire.ask("ping")
    assert late.cursor < rev, "both replies came before the delivery of this one"
    (delivery,) = await deliveries(wire, rev)
    assert told(delivery[:1]) == [("set", "k")]
    assert {line["sub"] for line in delivery} == {soon.sub}


async def test_a_conflated_subscription_begins_with_a_snapshot_and_goes_on_without_a_gap(join: Join) -> None:
    writer, reader = await join(), await join()
    for n in range(300):
        await writer.send({"op": "set", "key": f"k{n}", "value": n})
    await writer.ask("ping")
    chain = await reader.subscribe("*", conflate=0.2, snapshot=True)
    assert len(chain.snapshot) == 300
    state = {key: line["value"] for (_, key), line in chain.snapshot.items()}
    reader.drain()
    for n in range(100):
        await writer.send({"op": "set", "key": f"k{n % 9}", "value": -n}, {"op": "delete", "key": f"k{n % 11 + 50}"})
    rev = (await writer.ask("ping"))["rev"]
    for delivery in await deliveries(reader, rev):
        for line in delivery:
            if line["type"] == "set":
                state[line["key"]] = line["value"]
            elif line["type"] == "delete":
                del state[line["key"]]
    entries = (await writer.ask("list", pattern="*", limit=1000))["entries"]
    assert state == {entry["key"]: entry["value"] for entry in entries}


async def test_a_takeover_gets_the_latest_of_what_a_delivery_had_not_told(join: Join) -> None:
    writer, reader = await join(), await join()
    chain = await reader.subscribe("*", conflate=3_600)
    for n in range(20):
        await writer.ask("set", key=f"k{n % 3}", value=n)
    reader.cut()
    again = await join(hello=False)
    await again.take_over(reader)
    assert [line["value"] for line in await again.take(3)] == [17, 18, 19]
    mark = await again.event("mark")
    assert (mark["sub"], mark["rev"] >= chain.cursor) == (chain.sub, True)


async def test_own_events_are_no_part_of_a_delivery_without_echo(join: Join) -> None:
    wire, other = await join(), await join()
    await wire.subscribe("*", conflate=2.0, echo=False)  # long enough for three commands on a busy machine
    await other.ask("set", key="theirs", value=1)
    await other.ask("set", key="both", value=1)
    rev = (await wire.ask("set", key="both", value=2))["rev"]
    (delivery,) = await deliveries(wire, rev)
    assert [(line["type"], line.get("key")) for line in delivery] == [("set", "theirs"), ("mark", None)]


async def test_no_mark_of_the_connection_speaks_for_what_a_delivery_has_not_told(
    quick_hub: HubProcess, join: Join
) -> None:
    wire, other = await join(quick_hub), await join(quick_hub)
    held, whole = await wire.subscribe("a*", conflate=3_600), await wire.subscribe("b*")
    rev = (await other.ask("set", key="a", value=1))["rev"]
    while whole.cursor < rev:
        mark = await wire.event("mark")
        assert mark.get("sub") == whole.sub or mark["rev"] < rev
    assert held.cursor < rev


@pytest.mark.parametrize("seconds", [0, -1, 3_601, 1e300])
async def test_an_interval_that_is_none_is_a_bad_request(join: Join, seconds: float) -> None:
    refusal = await (await join()).refusal("subscribe", patterns=["*"], conflate=seconds)
    assert (refusal.code, refusal.field) == ("bad_request", "conflate")


async def test_a_conflated_subscription_that_is_not_read_is_refilled_with_the_latest(join: Join) -> None:
    writer, reader = await join(), await join()
    reader.slow = True
    chain = await reader.subscribe("*", conflate=0.05)
    for n in range(150):
        await writer.ask("set", key=f"k{n % 40}", value=[n, "x" * 200_000])
    rev = (await writer.ask("ping"))["rev"]
    state = {}
    for delivery in await deliveries(reader, rev):
        state.update({line["key"]: line["value"][0] for line in delivery if line["type"] == "set"})
    assert sorted(state.values()) == list(range(110, 150))
    assert chain.losses == 0


# --- the chain under pressure ------------------------------------------------------------------------------------


async def flood(writer: Wire, key: str, count: int, size: int) -> None:
    """Set a key `count` times to a value of `size` characters."""
    for n in range(count):
        await writer.ask("set", key=key, value=[n, "x" * size])


async def test_a_connection_that_fell_behind_catches_up_without_a_gap(join: Join) -> None:
    """A quiet subscription shares a connection with a busy one that goes over the bound: its chain must hold, too."""
    writer, reader = await join(), await join()
    reader.slow = True
    quiet, busy = await reader.subscribe("quiet"), await reader.subscribe("busy")
    await writer.ask("set", key="quiet", value="first")
    await flood(writer, "busy", 100, 200_000)
    await writer.ask("set", key="quiet", value="second")
    lines: list[Json] = []
    while not lines or lines[-1].get("value") != "second":
        lines.append(await reader.event())
    values = [line["value"] for line in lines if line["sub"] == quiet.sub]
    assert values == ["first", "second"]
    while busy.cursor < quiet.cursor:
        lines.append(await reader.event("set", "mark"))
    numbers = [line["value"][0] for line in lines if line["sub"] == busy.sub and line["type"] == "set"]
    assert numbers == list(range(100))


async def test_a_subscription_that_falls_behind_the_log_is_lost_and_starts_over_from_a_snapshot(
    small_hub: HubProcess, join: Join
) -> None:
    writer, reader = await join(small_hub), await join(small_hub)
    reader.slow = True
    chain = await reader.subscribe("busy")
    await flood(writer, "busy", 150, 200_000)
    # The hub may take the snapshot before the last write. The events after it follow live, and while they do, this slow
    # reader may fall out of the log once more.
    number, losses, synced = -1, 0, False
    while number != 149 or not synced:
        line = await reader.event("set", "lost", "synced")
        if line["type"] == "lost":
            losses, synced = losses + 1, False
        elif line["type"] == "synced":
            synced = True
        else:
            assert line["value"][0] >= number, "values never go back"
            number = line["value"][0]
    assert 1 <= losses == chain.losses <= 3
    assert len(chain.snapshot) == 1
    await writer.ask("set", key="busy", value="live")
    while (await reader.event("set"))["value"] != "live":
        pass

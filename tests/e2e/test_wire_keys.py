"""The wire from outside, sentence by sentence: keys and their deadlines (protocol 4, G6)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.hubs import HubProcess
from tests.e2e.wire import Join, Json, Wire, told

pytestmark = [pytest.mark.e2e, pytest.mark.every_journal]

MILLISECOND = 0.001


async def entry_of(wire: Wire, key: str) -> Json:
    """An entry that must be there."""
    entry = (await wire.ask("get", key=key))["entry"]
    assert entry is not None
    found: Json = entry
    return found


async def fill(wire: Wire, *keys: str, **fields: Any) -> None:
    """Set these keys, each to its own name."""
    ids = await wire.send(*({"op": "set", "key": key, "value": key, **fields} for key in keys))
    for id in ids:
        await wire.ok(id)


# --- set, get, delete, touch -------------------------------------------------------------------------------------


async def test_an_entry_says_all_that_is_known_of_it(join: Join, ns: str) -> None:
    wire, other = await join(agent="first"), await join(agent="second")
    written = await wire.ask("set", key="k", value={"a": [1, None]}, ttl=60, kind="transient", meta={"m": 1})
    entry = await entry_of(other, "k")
    now = (await other.ask("ping"))["at"]
    assert (entry["key"], entry["ns"], entry["value"]) == ("k", ns, {"a": [1, None]})
    assert (entry["rev"], entry["version"], entry["expires_at"]) == (
        written["rev"],
        written["version"],
        written["expires_at"],
    )
    assert (entry["kind"], entry["by"], entry["meta"]) == ("transient", "first", {"m": 1})
    assert entry["created_at"] == entry["updated_at"]
    assert abs(now - entry["created_at"]) < 10
    assert abs(now - time.time()) < 10
    second = await other.ask("set", key="k", value=2)
    again = await entry_of(wire, "k")
    assert (again["version"], again["rev"], again["by"]) == (2, second["rev"], "second")
    assert (again["kind"], again["meta"], again["expires_at"]) == ("persistent", None, None)
    assert again["created_at"] == entry["created_at"]
    assert again["updated_at"] >= entry["updated_at"]


async def test_an_absent_key_is_null(join: Join) -> None:
    wire = await join()
    got = await wire.ask("get", key="nothing", fresh=True)
    assert got["entry"] is None
    assert got["rev"]


async def test_a_value_may_be_null(join: Join) -> None:
    wire = await join()
    await wire.ask("set", key="k", value=None)
    assert (await entry_of(wire, "k"))["value"] is None


async def test_if_rev_zero_means_only_if_absent(join: Join) -> None:
    wire = await join()
    first = await wire.ask("set", key="k", value=1, if_rev=0)
    refusal = await wire.refusal("set", key="k", value=2, if_rev=0)
    assert refusal.code == "conflict"
    assert refusal.error["current"] == await entry_of(wire, "k")
    assert refusal.error["current"]["rev"] == first["rev"]


@pytest.mark.parametrize("op", ["set", "delete"])
async def test_if_rev_means_only_if_its_rev_is_that(join: Join, op: str) -> None:
    wire = await join()
    fields: Json = {"value": 2} if op == "set" else {}
    refusal = await wire.refusal(op, key="k", if_rev=5, **fields)
    assert refusal.code == "conflict"
    assert refusal.error["current"] is None
    first = await wire.ask("set", key="k", value=1)
    second = await wire.ask("set", key="k", value=1)
    refusal = await wire.refusal(op, key="k", if_rev=first["rev"], **fields)
    assert refusal.error["current"]["rev"] == second["rev"]
    assert await wire.ask(op, key="k", if_rev=refusal.error["current"]["rev"], **fields)


async def test_of_many_that_race_one_wins(join: Join) -> None:
    wires = [await join() for _ in range(5)]
    ids = [(await wire.send({"op": "set", "key": "k", "value": n, "if_rev": 0}))[0] for n, wire in enumerate(wires)]
    outcomes = [await wire.reply(id) for wire, id in zip(wires, ids, strict=True)]
    assert sum("ok" in outcome for outcome in outcomes) == 1
    winner = next(n for n, outcome in enumerate(outcomes) if "ok" in outcome)
    assert all(out["error"]["current"]["value"] == winner for out in outcomes if "error" in out)


async def test_delete_tells_whether_there_was_something(join: Join) -> None:
    wire = await join()
    assert (await wire.ask("delete", key="k"))["deleted"] is False
    assert (await wire.ask("delete", key="k", if_rev=0))["deleted"] is False
    await wire.ask("set", key="k", value=1)
    rev = (await wire.ask("ping"))["rev"]
    gone = await wire.ask("delete", key="k")
    assert gone["deleted"] is True
    assert gone["rev"] > rev
    assert (await wire.ask("get", key="k"))["entry"] is None


async def test_a_version_never_starts_again(join: Join) -> None:
    wire, watcher = await join(), await join()
    await watcher.subscribe("*")
    versions = []
    for _ in range(3):
        versions.append((await wire.ask("set", key="k", value=1))["version"])
        await wire.ask("delete", key="k")
    versions.append((await wire.ask("set", key="k", value=1, ttl=0.01))["version"])
    lines = await watcher.take(8)
    assert lines[-1]["type"] == "expire"
    versions.append((await wire.ask("set", key="k", value=1))["version"])
    assert versions == [1, 2, 3, 4, 5]
    assert [line["version"] for line in lines] == [1, 1, 2, 2, 3, 3, 4, 4]


async def test_touch_changes_the_deadline_and_nothing_else(join: Join) -> None:
    wire, watcher = await join(), await join()
    await watcher.subscribe("*")
    await watcher.subscribe("*", types=["touch"], prev=True)
    await wire.ask("set", key="k", value=1, ttl=60, meta={"m": 1})
    before = await entry_of(wire, "k")
    touched = await wire.ask("touch", key="k", ttl=600)
    after = await entry_of(wire, "k")
    assert after == {**before, "expires_at": touched["expires_at"]}
    assert 500 < touched["expires_at"] - before["expires_at"] < 600
    assert touched["rev"] > before["rev"]
    assert (await wire.refusal("set", key="k", value=1, if_rev=touched["rev"])).code == "conflict"
    assert (await wire.ask("touch", key="k", ttl=None))["expires_at"] is None
    lines = await watcher.settle()
    assert told(lines) == [("set", "k"), ("touch", "k"), ("touch", "k")], "told only where it was asked for"
    assert [line["expires_at"] for line in lines[1:]] == [touched["expires_at"], None]
    assert lines[1]["prev"] == before


@pytest.mark.parametrize("ttl", [0, -1, 1e12])
async def test_touch_refuses_what_set_refuses(join: Join, ttl: float) -> None:
    wire = await join()
    assert (await wire.refusal("touch", key="absent", ttl=5)).code == "not_found"
    await wire.ask("set", key="k", value=1)
    refusal = await wire.refusal("touch", key="k", ttl=ttl)
    assert (refusal.code, refusal.field) == ("bad_request", "ttl")


async def test_a_write_without_ttl_takes_the_deadline_away_unless_it_keeps_it(join: Join) -> None:
    wire = await join()
    expires_at = (await wire.ask("set", key="k", value=1, ttl=60))["expires_at"]
    assert (await wire.ask("set", key="k", value=2, keep_ttl=True))["expires_at"] == expires_at
    assert (await wire.ask("set", key="k", value=3))["expires_at"] is None
    assert (await wire.ask("set", key="k", value=3, ttl=None))["expires_at"] is None
    assert (await wire.ask("set", key="k", value=4, keep_ttl=True))["expires_at"] is None
    assert (await wire.ask("set", key="new", value=4, keep_ttl=True))["expires_at"] is None


@pytest.mark.parametrize("kind", ["persistent", "transient", "cached", "versioned"])
async def test_kinds_are_kept(join: Join, kind: str) -> None:
    wire = await join()
    chain = await wire.subscribe("*")
    await wire.ask("set", key="k", value=1, kind=kind)
    assert (await entry_of(wire, "k"))["kind"] == kind
    assert (await wire.event())["kind"] == kind
    assert chain.cursor


async def test_a_meta_is_an_object_and_comes_with_events(join: Join) -> None:
    wire = await join()
    await wire.subscribe("*")
    await wire.ask("set", key="k", value=1, meta={"label": {"deep": [1]}})
    assert (await wire.event())["meta"] == {"label": {"deep": [1]}}
    assert (await wire.refusal("set", key="k", value=1, meta={"label": "x" * 70_000})).code == "too_large"


# --- list, clear, namespaces -------------------------------------------------------------------------------------


async def test_list_pages_through_the_keys_in_order(join: Join) -> None:
    wire = await join()
    keys = [f"{letter}{n}" for letter in "acb" for n in range(12)]
    await fill(wire, *keys)
    found: list[str] = []
    page: Json = {"next": None}
    while not found or page["next"] is not None:
        page = await wire.ask("list", pattern="[ab]*", limit=7, **({"after": page["next"]} if found else {}))
        assert len(page["entries"]) <= 7
        found += [entry["key"] for entry in page["entries"]]
    assert found == sorted(key for key in keys if key[0] in "ab")
    await wire.ask("delete", key="a5")
    after = await wire.ask("list", pattern="a*", after="a5", limit=2)
    assert [entry["key"] for entry in after["entries"]] == ["a6", "a7"], "after need not exist"


async def test_list_leaves_values_out_where_asked(join: Join) -> None:
    wire = await join()
    await fill(wire, "k")
    assert (await wire.ask("list", pattern="*"))["entries"][0]["value"] == "k"
    assert "value" not in (await wire.ask("list", pattern="*", values=False))["entries"][0]


async def test_a_page_may_be_empty_while_next_is_not_null(small_hub: HubProcess, join: Join) -> None:
    wire = await join(small_hub)
    await fill(wire, *(f"k{n:03}" for n in range(180)), "kz")
    found = []
    pages = [await wire.ask("list", pattern="*z")]
    while pages[-1]["next"] is not None:
        pages.append(await wire.ask("list", pattern="*z", after=pages[-1]["next"]))
    found = [entry["key"] for page in pages for entry in page["entries"]]
    assert found == ["kz"]
    assert [len(page["entries"]) for page in pages].count(0) >= 2
    assert (await wire.ask("list", pattern="kz"))["entries"], "a literal is looked up"


async def test_clear_deletes_what_matches_in_one_step(join: Join) -> None:
    wire, watcher = await join(agent="sweeper"), await join()
    await fill(wire, "a1", "a2", "a3", "b1")
    await watcher.subscribe("*")
    cleared = await wire.ask("clear", pattern="a*", confirm=True)
    assert (cleared["deleted"], cleared["more"]) == (3, False)
    lines = await watcher.settle()
    assert told(lines) == [("delete", "a1"), ("delete", "a2"), ("delete", "a3")]
    assert {line["rev"] for line in lines} == {cleared["rev"]}
    assert [line.get("more", False) for line in lines] == [True, True, False]
    assert {line["by"] for line in lines} == {"sweeper"}
    assert [entry["key"] for entry in (await wire.ask("list", pattern="*"))["entries"]] == ["b1"]


async def test_a_clear_that_matches_nothing_changes_nothing(join: Join) -> None:
    wire = await join()
    rev = (await wire.ask("ping"))["rev"]
    cleared = await wire.ask("clear", pattern="*", confirm=True)
    assert (cleared["deleted"], cleared["more"], cleared["rev"]) == (0, False, rev)


async def test_clear_says_more_until_all_is_gone(small_hub: HubProcess, join: Join) -> None:
    wire = await join(small_hub)
    keys = [f"k{n:03}" for n in range(75)] + [f"x{n:03}" for n in range(120)] + ["kk"]
    await fill(wire, *keys)
    deleted = 0
    for _ in range(40):
        cleared = await wire.ask("clear", pattern="*k*", confirm=True)
        deleted += cleared["deleted"]
        assert cleared["deleted"] <= 10
        if not cleared["more"]:
            break
    assert deleted == 76
    left = (await wire.ask("list", pattern="*k*"))["entries"]
    assert left == []


async def test_namespaces_counts_keys_and_bytes(join: Join, ns: str) -> None:
    wire = await join()

    async def count() -> Json | None:
        counts: list[Json] = (await wire.ask("namespaces"))["namespaces"]
        assert all(set(one) == {"ns", "keys", "bytes"} for one in counts)
        return next((one for one in counts if one["ns"] == ns), None)

    assert await count() is None
    await fill(wire, "a", "b")
    few = await count()
    assert few is not None
    assert few["keys"] == 2
    await wire.ask("set", key="b", value="x" * 1000)
    more = await count()
    assert more is not None
    assert more["keys"] == 2
    assert 990 < more["bytes"] - few["bytes"] < 1010
    await wire.ask("clear", pattern="*", confirm=True)
    assert await count() is None


# --- deadlines (G6) ----------------------------------------------------------------------------------------------


async def test_an_entry_expires_at_its_deadline_and_never_before(join: Join) -> None:
    wire, watcher = await join(), await join()
    await watcher.subscribe("*", prev=True)
    deadlines = {}
    for n in range(20):
        deadlines[f"k{n}"] = (await wire.ask("set", key=f"k{n}", value=n, ttl=0.05 + n * 0.011))["expires_at"]
    lines = [line for line in await watcher.take(40) if line["type"] == "expire"]
    assert [line["key"] for line in lines] == [key for key, _ in sorted(deadlines.items(), key=lambda item: item[1])]
    for line in lines:
        assert line["expires_at"] == deadlines[line["key"]]
        assert line["at"] >= line["expires_at"]
        assert 0 <= line["late"] < 3
        assert abs(line["at"] - line["expires_at"] - line["late"]) < 2 * MILLISECOND
        assert line["by"] == "$hub"
        assert line["prev"]["value"] == int(line["key"][1:])
        assert line["version"] == line["prev"]["version"]


async def test_an_entry_is_never_seen_at_or_after_its_deadline_and_always_before(join: Join) -> None:
    wire = await join()
    for ttl in (0.001, 0.02, 0.0505):
        deadline = (await wire.ask("set", key="k", value=1, ttl=ttl))["expires_at"]
        seen: Any = True
        while seen:
            ids = await wire.send({"op": "ping"}, {"op": "get", "key": "k"}, {"op": "ping"})
            before, got, after = [await wire.ok(id) for id in ids]
            seen = got["entry"]
            if seen:
                assert before["at"] <= deadline + MILLISECOND, "seen after its deadline"
            else:
                assert after["at"] >= deadline - MILLISECOND, "gone before its deadline"


async def test_a_due_entry_is_absent_to_every_command(join: Join) -> None:
    wire = await join()
    await wire.subscribe("*")

    async def due() -> None:
        deadline = (await wire.ask("set", key="k", value=1, ttl=0.03))["expires_at"]
        while (await wire.ask("ping"))["at"] <= deadline:
            pass

    await due()
    assert (await wire.refusal("touch", key="k", ttl=60)).code == "not_found"
    await due()
    assert (await wire.ask("delete", key="k"))["deleted"] is False
    await due()
    assert (await wire.ask("list", pattern="*"))["entries"] == []
    await due()
    assert (await wire.ask("clear", pattern="*", confirm=True))["deleted"] == 0
    await due()
    assert (await wire.ask("set", key="k", value=2, if_rev=0))["version"] == 6
    lines = await wire.settle()
    assert told(lines) == [("set", "k"), ("expire", "k")] * 5 + [("set", "k")]


async def test_a_new_deadline_replaces_the_old_one(join: Join) -> None:
    wire = await join()
    await wire.subscribe("*")
    # The two commands of a key are one message: the hub reads them together, long before the first deadline.
    await wire.send({"op": "set", "key": "longer", "value": 1, "ttl": 1}, {"op": "touch", "key": "longer", "ttl": 60})
    await wire.send({"op": "set", "key": "none", "value": 1, "ttl": 1}, {"op": "touch", "key": "none", "ttl": None})
    await wire.send({"op": "set", "key": "shorter", "value": 1, "ttl": 60}, {"op": "touch", "key": "shorter", "ttl": 1})
    await wire.send({"op": "set", "key": "gone", "value": 1, "ttl": 1}, {"op": "delete", "key": "gone"})
    await wire.ask("set", key="last", value=1, ttl=1.2)
    lines = [line for line in await wire.take(8) if line["type"] != "set"]
    assert told(lines) == [("delete", "gone"), ("expire", "shorter"), ("expire", "last")]
    assert [entry["key"] for entry in (await wire.ask("list", pattern="*"))["entries"]] == ["longer", "none"]


async def test_five_thousand_due_at_one_instant_expire_soon_and_in_order(join: Join) -> None:
    wire, watcher = await join(), await join()
    await watcher.subscribe("*", types=["expire"], values=False)
    for start in range(0, 5000, 1000):
        ids = await wire.send(
            *({"op": "set", "key": f"k{n}", "value": n, "ttl": 3} for n in range(start, start + 1000))
        )
        for id in ids:
            await wire.ok(id)
    lines = await watcher.take(5000)
    assert len({line["key"] for line in lines}) == 5000
    deadlines = [line["expires_at"] for line in lines]
    assert deadlines == sorted(deadlines)
    assert all(line["at"] >= line["expires_at"] for line in lines)
    assert max(line["late"] for line in lines) < 3

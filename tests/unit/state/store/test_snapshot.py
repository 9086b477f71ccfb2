"""Snapshots: the state at one revision, exactly, however much changes while it is read (G4)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.state.table import Table
from waggle.wire.errors import NotFound
from waggle.wire.names import Pattern
from waggle_hub.settings import Limits
from waggle_hub.state.store.keyspace import Entry
from waggle_hub.state.store.snapshot import Snapshot

READER = "reader"


def subscribe(table: Table, **fields: Any) -> Snapshot:
    """A snapshot that has just begun."""
    table.do(READER, "subscribe", **{"patterns": ["*"], "snapshot": True, **fields})
    (attach,) = table.attached()
    assert attach.snapshot is not None
    return attach.snapshot


def seated(limits: Limits | None = None, keys: str = "") -> Table:
    table = Table(limits)
    table.sit(READER)
    for key in keys:
        table.do(READER, "set", key=key, value=key)
    return table


def read(table: Table, snapshot: Snapshot, most: int = 100) -> list[str]:
    return [entry.key for entry in snapshot.read(table.now, max_keys=most, max_bytes=10**9)]


def rest(table: Table, snapshot: Snapshot, most: int = 100) -> list[Entry]:
    found: list[Entry] = []
    for _ in range(10_000):
        if snapshot.done:
            return found
        found += snapshot.read(table.now, max_keys=most, max_bytes=10**9)
    raise AssertionError("it never ends")


def test_it_is_read_in_slices_in_key_order() -> None:
    table = seated(keys="dbac")
    snapshot = subscribe(table)
    assert read(table, snapshot, 3) == ["a", "b", "c"]
    assert not snapshot.done
    assert read(table, snapshot, 3) == ["d"]
    assert snapshot.done


def test_a_deadline_that_was_taken_back_is_not_shown() -> None:
    """A txn touches an entry, writes it, and is refused: what was handed over is the entry with its own deadline."""
    table = seated(keys="ab")
    snapshot = subscribe(table)
    steps = [{"op": "touch", "key": "b", "ttl": 1}, {"op": "touch", "key": "b", "ttl": 2},
             {"op": "set", "key": "b", "value": 2}, {"op": "touch", "key": "absent", "ttl": 1}]  # fmt: skip
    with pytest.raises(NotFound):
        table.do(READER, "txn", **{"if": [], "then": steps})
    table.now += 10
    assert [(entry.key, entry.expires_at) for entry in rest(table, snapshot) if entry.ns == "default"] == [
        ("b", None), ("a", None),
    ]  # fmt: skip


def test_of_nothing_it_is_done_at_once() -> None:
    assert subscribe(seated()).done


def test_a_slice_ends_when_it_has_enough_bytes() -> None:
    table = seated(keys="abc")
    snapshot = subscribe(table)
    assert [entry.key for entry in snapshot.read(table.now, max_keys=100, max_bytes=1)] == ["a"]
    assert [entry.key for entry in snapshot.read(table.now, max_keys=100, max_bytes=300)] == ["b", "c"]


def test_a_slice_ends_when_it_has_looked_at_enough_keys_even_if_none_matched() -> None:
    table = seated(keys="abcdef")
    snapshot = subscribe(table, patterns=["*z"])
    assert read(table, snapshot, 4) == []
    assert not snapshot.done


def test_what_was_handed_over_goes_out_in_slices_too() -> None:
    table = seated(keys="abcdef")
    snapshot = subscribe(table)
    table.do(READER, "clear", pattern="*", confirm=True)
    assert len(read(table, snapshot, 4)) == 4
    assert not snapshot.done
    assert len(read(table, snapshot, 4)) == 2
    assert snapshot.done


@pytest.mark.parametrize("change", ["set", "delete", "clear", "expire", "the end of a session"])
@pytest.mark.parametrize("read_before", [0, 1, 2, 3])
def test_what_changes_is_shown_as_it_was(change: str, read_before: int) -> None:
    table = seated(keys="ac")
    table.sit("other")
    ttl = 5.0 if change == "expire" else None
    table.do("other", "set", key="b", value="b", ttl=ttl, ephemeral=change == "the end of a session")
    snapshot = subscribe(table)
    found = [entry for _ in range(read_before) for entry in snapshot.read(table.now, max_keys=1, max_bytes=10**9)]
    if change == "set":
        table.do("other", "set", key="b", value="new")
    elif change == "delete":
        table.do("other", "delete", key="b")
    elif change == "clear":
        table.do("other", "clear", pattern="b", confirm=True)
    elif change == "expire":
        table.now += 5.0
        table.expire()
    else:
        table.do("other", "bye")
    found += rest(table, snapshot)
    seen = {entry.key: entry.value for entry in found}
    assert len(seen) == len(found), "each once"
    if change == "expire" and read_before < 2:
        assert seen == {"a": b'"a"', "c": b'"c"'}, "what is due is shown to nobody; that it expired follows"
    else:
        assert seen == {"a": b'"a"', "b": b'"b"', "c": b'"c"'}


def test_what_is_new_is_not_shown() -> None:
    table = seated(keys="b")
    snapshot = subscribe(table)
    for key in ("a", "c"):
        table.do(READER, "set", key=key, value="new")
    assert [entry.key for entry in rest(table, snapshot)] == ["b"]


def test_a_key_that_went_and_came_again_is_shown_as_it_was_at_first() -> None:
    table = seated(keys="b")
    snapshot = subscribe(table)
    for _ in range(3):
        table.do(READER, "delete", key="b")
        table.do(READER, "set", key="b", value="again")
    assert [(entry.key, entry.version) for entry in rest(table, snapshot)] == [("b", 1)]


def test_a_namespace_that_went_and_came_again_is_read_once() -> None:
    table = seated()
    table.do(READER, "set", key="k", ns="middle", value=1)
    snapshot = subscribe(table, ns="*")
    table.do(READER, "delete", key="k", ns="middle")
    for ns in ("aaa", "middle", "zzz"):
        table.do(READER, "set", key="k", ns=ns, value=2)
    assert [(entry.ns, entry.value) for entry in rest(table, snapshot)] == [("middle", b"1")]


def test_a_touch_after_the_snapshot_began_does_not_hide_the_entry() -> None:
    """Few hear of touches: an entry that was left out since its old deadline had come would be missed for ever."""
    table = seated()
    table.do(READER, "set", key="k", value=1, ttl=5)
    snapshot = subscribe(table)
    table.do(READER, "touch", key="k", ttl=100)
    table.do(READER, "touch", key="k", ttl=200)
    table.now += 50
    assert [(entry.key, entry.expires_at) for entry in rest(table, snapshot)] == [("k", 1_200.0)]


def test_a_touch_that_made_the_deadline_earlier_counts_too() -> None:
    table = seated()
    table.do(READER, "set", key="k", value=1)
    snapshot = subscribe(table)
    table.do(READER, "touch", key="k", ttl=5)
    table.now += 5
    assert rest(table, snapshot) == []


def test_a_txn_that_was_taken_back_leaves_the_snapshot_exact() -> None:
    table = seated(keys="abc")
    snapshot = subscribe(table)
    read(table, snapshot, 1)
    steps = [{"op": "set", "key": key, "value": "no"} for key in "abcd"] + [{"op": "delete", "key": "b"}]
    with pytest.raises(Exception, match="no entry"):
        table.do(READER, "txn", **{"if": [], "then": [*steps, {"op": "touch", "key": "nothing", "ttl": 1}]})
    assert sorted(entry.value for entry in rest(table, snapshot)) == [b'"b"', b'"c"']


def test_an_entry_that_several_patterns_match_is_shown_once() -> None:
    table = seated(keys="abc")
    assert sorted(e.key for e in rest(table, subscribe(table, patterns=["*", "a", "?", "[ab]", "b*"]), 1)) == [
        "a",
        "b",
        "c",
    ]


def test_a_slice_tries_no_more_patterns_than_it_may_look_at_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """However a hundred patterns overlap, a slice stays short for everybody else."""
    table = seated()
    for number in range(50):
        table.do(READER, "set", key=f"k{number}", value=1)
    snapshot = subscribe(table, patterns=[f"*{'?' * number}z*" for number in range(99)] + ["[k-l]*"])
    tries = 0
    match = Pattern.match

    def counted(pattern: Pattern, key: str) -> bool:
        nonlocal tries
        tries += 1
        return match(pattern, key)

    monkeypatch.setattr(Pattern, "match", counted)
    found = []
    while not snapshot.done:
        found += read(table, snapshot, 200)
        assert tries <= 200 + 100
        tries = 0
    assert len(found) == 50


def test_it_holds_back_no_more_than_its_limit_and_then_lets_go() -> None:
    """A reader who never comes costs `snapshot_bytes`, not all that was ever overwritten (G12)."""
    table = seated(Limits(snapshot_bytes=5_000))
    for number in range(100):
        table.do(READER, "set", key=str(number), value="x" * 400)
    snapshot = subscribe(table)
    for number in range(100):
        table.do(READER, "set", key=str(number), value="y")
        held = sum(entry.size for entry in snapshot._handed)
        assert held <= 5_000
    assert snapshot.overrun
    assert not snapshot._handed
    assert not snapshot._ahead


# --- who pays for it ---


def opened(table: Table) -> int:
    return len(table.machine.state.snapshots)


def test_a_snapshot_is_open_until_all_of_it_has_been_read() -> None:
    table = seated(keys="ab")
    snapshot = subscribe(table)
    read(table, snapshot, 1)
    assert opened(table) == 1
    read(table, snapshot, 2)
    assert snapshot.done
    assert opened(table) == 0


def test_a_snapshot_that_is_closed_costs_nobody_anything() -> None:
    table = seated(keys="ab")
    one, two = subscribe(table), subscribe(table)
    one.close()
    one.close()
    assert opened(table) == 1
    table.do(READER, "set", key="a", value="new")
    assert (len(one._handed), len(two._handed)) == (0, 1)
    two.close()
    assert opened(table) == 0


def test_a_snapshot_that_is_overrun_is_closed() -> None:
    table = seated(Limits(snapshot_bytes=1_000), keys="abcdef")
    snapshot = subscribe(table)
    table.do(READER, "clear", pattern="*", confirm=True)
    assert snapshot.overrun
    assert opened(table) == 0


def test_a_snapshot_of_nothing_but_messages_has_nothing_to_read() -> None:
    table = seated(keys="ab")
    assert subscribe(table, types=["message"]).done
    assert opened(table) == 0


def test_a_change_is_handed_over_to_those_whom_it_concerns_and_asks_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    table = seated(keys="abc")
    table.do(READER, "set", key="a", ns="other", value=1)
    for number in range(50):
        subscribe(table, patterns=[f"b{number}", f"{number}*"])
        subscribe(table, ns="other", patterns=["*", f"{number}"])
    concerned = [subscribe(table, patterns=["a", "b"]), subscribe(table, ns="*"), subscribe(table, patterns=["?"])]
    asked: list[Snapshot] = []
    before_change = Snapshot.before_change

    def counted(snapshot: Snapshot, *change: Any) -> None:
        asked.append(snapshot)
        before_change(snapshot, *change)

    monkeypatch.setattr(Snapshot, "before_change", counted)
    table.do(READER, "set", key="a", value="new")
    assert sorted(asked, key=id) == sorted(concerned, key=id)


def test_of_snapshots_of_one_interest_the_patterns_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = seated(keys="a")
    snapshots = [subscribe(table, patterns=[f"{number}*" for number in range(99)] + ["a*"]) for _ in range(20)]
    table.do(READER, "set", key="a", value="first")
    tries = 0
    match = Pattern.match

    def counted(pattern: Pattern, key: str) -> bool:
        nonlocal tries
        tries += 1
        return match(pattern, key)

    monkeypatch.setattr(Pattern, "match", counted)
    table.machine.state.snapshots.before_change("default", "a", None)
    assert tries <= 100
    assert all(len(snapshot._handed) == 1 for snapshot in snapshots)


PATTERNS = ["*", "a*", "*a", "?", "b", "[ab]*", "*b*", "c?", "\\*"]


@pytest.mark.parametrize("seed", range(60))
def test_random_walk(seed: int) -> None:
    """Several snapshots, read in slices while everything changes: each is the state at its revision."""
    random = Random(seed)
    limit = random.choice([2_500, 10**6])
    table = seated(Limits(snapshot_bytes=limit, sessions=100))
    keys = [first + second for first in "abc*" for second in ("", "a", "b")]
    spaces = ["default", "one", "two", "$agents"]
    reading: list[tuple[Snapshot, dict[tuple[str, str], Entry], list[Entry]]] = []
    exact = lost = 0
    for number in range(250):
        _change(table, random, keys, spaces, number)
        if random.random() < 0.1 and len(reading) < 4:
            patterns = random.sample(PATTERNS, random.randint(1, 4))
            ns = random.choice(["*", "default", "one", "$agents"])
            snapshot = subscribe(table, patterns=patterns, ns=ns)
            reading.append((snapshot, _state(table, snapshot), []))
        for place in random.sample(range(len(reading)), len(reading)):
            snapshot, _, found = reading[place]
            if random.random() < 0.4 and not snapshot.overrun:
                room = random.choice([1, 20, 10**6])
                found += snapshot.read(table.now, max_keys=random.randint(1, 6), max_bytes=room)
        lost += sum(snapshot.overrun for snapshot, _, _ in reading)
        for _, wanted, found in [one for one in reading if one[0].done and not one[0].overrun]:
            _compare(table, wanted, found)
            exact += 1
        reading = [one for one in reading if not one[0].done and not one[0].overrun]
        assert opened(table) == len(reading)
    assert exact > 3
    assert lost == 0 or limit == 2_500


def _change(table: Table, random: Random, keys: list[str], spaces: list[str], number: int) -> None:
    key, ns = random.choice(keys), random.choice(spaces[:3])
    match random.randrange(9):
        case 0 | 1 | 2:
            ttl = random.choice([None, None, 1.0, 4.0])
            table.do(READER, "set", key=key, ns=ns, value="x" * random.randint(0, 300), ttl=ttl)
        case 3 | 4:
            table.do(READER, "delete", key=key, ns=ns)
        case 5:
            table.now += random.choice([0.0, 0.5, 2.0])
        case 6:
            table.expire(random.randint(1, 5))
        case 7:
            table.sit(f"s{number}", agent=random.choice(["a", "ab", "b", None]))
        case _:
            table.drop(f"s{random.randrange(number + 1)}")


def _state(table: Table, snapshot: Snapshot) -> dict[tuple[str, str], Entry]:
    """All entries that match, the hard way."""
    keyspace = table.machine.state.keyspace
    stored = [entry for ns in keyspace.namespaces() for entry in keyspace._key_maps[ns].values()]
    return {(e.ns, e.key): e for e in stored if snapshot.interest.matches(e.ns, e.key, "set")}


def _compare(table: Table, wanted: dict[tuple[str, str], Entry], found: list[Entry]) -> None:
    seen = {(entry.ns, entry.key): entry for entry in found}
    assert len(seen) == len(found), "each once"
    for place, entry in wanted.items():
        shown = seen.pop(place, None)
        assert shown is entry or (shown is None and entry.is_due(table.now))
    assert not seen, "nothing else"

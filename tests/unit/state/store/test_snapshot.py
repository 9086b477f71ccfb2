"""Snapshots: the state at one revision, exactly, however much changes while it is read (G4)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire.errors import NotFound
from waggle.wire.patterns import Pattern
from waggle_hub.settings import Limits
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.snapshot import Snapshot

READER = "reader"


def subscribe(harness: MachineHarness, **fields: Any) -> Snapshot:
    """A snapshot that has just begun."""
    harness.do(READER, "subscribe", **{"patterns": ["*"], "snapshot": True, **fields})
    (attach,) = harness.attached()
    assert attach.snapshot is not None
    return attach.snapshot


def with_sessions(limits: Limits | None = None, keys: str = "") -> MachineHarness:
    harness = MachineHarness(limits)
    harness.open_session(READER)
    for key in keys:
        harness.do(READER, "set", key=key, value=key)
    return harness


def read(harness: MachineHarness, snapshot: Snapshot, most: int = 100) -> list[str]:
    return [entry.key for entry in snapshot.read(harness.now, max_keys=most, max_bytes=10**9)]


def rest(harness: MachineHarness, snapshot: Snapshot, most: int = 100) -> list[Entry]:
    found: list[Entry] = []
    for _ in range(10_000):
        if snapshot.done:
            return found
        found += snapshot.read(harness.now, max_keys=most, max_bytes=10**9)
    raise AssertionError("it never ends")


def test_a_snapshot_is_read_in_slices_in_key_order() -> None:
    harness = with_sessions(keys="dbac")
    snapshot = subscribe(harness)
    assert read(harness, snapshot, 3) == ["a", "b", "c"]
    assert not snapshot.done
    assert read(harness, snapshot, 3) == ["d"]
    assert snapshot.done


def test_an_undone_deadline_is_not_shown() -> None:
    """A txn touches an entry, writes it, and is refused: what was handed over is the entry with its own deadline."""
    harness = with_sessions(keys="ab")
    snapshot = subscribe(harness)
    steps = [{"op": "touch", "key": "b", "ttl": 1}, {"op": "touch", "key": "b", "ttl": 2},
             {"op": "set", "key": "b", "value": 2}, {"op": "touch", "key": "absent", "ttl": 1}]  # fmt: skip
    with pytest.raises(NotFound):
        harness.do(READER, "txn", **{"if": [], "then": steps})
    harness.now += 10
    assert [(entry.key, entry.expires_at) for entry in rest(harness, snapshot) if entry.ns == "default"] == [
        ("b", None), ("a", None),
    ]  # fmt: skip


def test_a_snapshot_without_entries_is_done_at_once() -> None:
    assert subscribe(with_sessions()).done


def test_a_slice_ends_when_it_has_enough_bytes() -> None:
    harness = with_sessions(keys="abc")
    snapshot = subscribe(harness)
    assert [entry.key for entry in snapshot.read(harness.now, max_keys=100, max_bytes=1)] == ["a"]
    assert [entry.key for entry in snapshot.read(harness.now, max_keys=100, max_bytes=300)] == ["b", "c"]


def test_a_slice_ends_when_it_has_looked_at_enough_keys_even_if_none_matched() -> None:
    harness = with_sessions(keys="abcdef")
    snapshot = subscribe(harness, patterns=["*z"])
    assert read(harness, snapshot, 4) == []
    assert not snapshot.done


def test_entries_given_to_a_snapshot_leave_in_slices_too() -> None:
    harness = with_sessions(keys="abcdef")
    snapshot = subscribe(harness)
    harness.do(READER, "clear", pattern="*", confirm=True)
    assert len(read(harness, snapshot, 4)) == 4
    assert not snapshot.done
    assert len(read(harness, snapshot, 4)) == 2
    assert snapshot.done


@pytest.mark.parametrize("change", ["set", "delete", "clear", "expire", "the end of a session"])
@pytest.mark.parametrize("read_before", [0, 1, 2, 3])
def test_a_changed_entry_is_shown_as_it_was_at_the_revision(change: str, read_before: int) -> None:
    harness = with_sessions(keys="ac")
    harness.open_session("other")
    ttl = 5.0 if change == "expire" else None
    harness.do("other", "set", key="b", value="b", ttl=ttl, ephemeral=change == "the end of a session")
    snapshot = subscribe(harness)
    found = [entry for _ in range(read_before) for entry in snapshot.read(harness.now, max_keys=1, max_bytes=10**9)]
    if change == "set":
        harness.do("other", "set", key="b", value="new")
    elif change == "delete":
        harness.do("other", "delete", key="b")
    elif change == "clear":
        harness.do("other", "clear", pattern="b", confirm=True)
    elif change == "expire":
        harness.now += 5.0
        harness.expire()
    else:
        harness.do("other", "bye")
    found += rest(harness, snapshot)
    seen = {entry.key: entry.value for entry in found}
    assert len(seen) == len(found), "each once"
    if change == "expire" and read_before < 2:
        assert seen == {"a": b'"a"', "c": b'"c"'}, "what is due is shown to nobody; that it expired follows"
    else:
        assert seen == {"a": b'"a"', "b": b'"b"', "c": b'"c"'}


def test_entries_newer_than_a_snapshot_are_not_shown() -> None:
    harness = with_sessions(keys="b")
    snapshot = subscribe(harness)
    for key in ("a", "c"):
        harness.do(READER, "set", key=key, value="new")
    assert [entry.key for entry in rest(harness, snapshot)] == ["b"]


def test_a_key_deleted_and_set_again_is_shown_as_it_was_at_the_revision() -> None:
    harness = with_sessions(keys="b")
    snapshot = subscribe(harness)
    for _ in range(3):
        harness.do(READER, "delete", key="b")
        harness.do(READER, "set", key="b", value="again")
    assert [(entry.key, entry.version) for entry in rest(harness, snapshot)] == [("b", 1)]


def test_a_namespace_emptied_and_filled_again_is_read_once() -> None:
    harness = with_sessions()
    harness.do(READER, "set", key="k", ns="middle", value=1)
    snapshot = subscribe(harness, ns="*")
    harness.do(READER, "delete", key="k", ns="middle")
    for ns in ("aaa", "middle", "zzz"):
        harness.do(READER, "set", key="k", ns=ns, value=2)
    assert [(entry.ns, entry.value) for entry in rest(harness, snapshot)] == [("middle", b"1")]


def test_a_touch_after_the_snapshot_began_does_not_hide_the_entry() -> None:
    """Few hear of touches: an entry that was left out since its old deadline had come would be missed for ever."""
    harness = with_sessions()
    harness.do(READER, "set", key="k", value=1, ttl=5)
    snapshot = subscribe(harness)
    harness.do(READER, "touch", key="k", ttl=100)
    harness.do(READER, "touch", key="k", ttl=200)
    harness.now += 50
    assert [(entry.key, entry.expires_at) for entry in rest(harness, snapshot)] == [("k", 1_200.0)]


def test_a_touch_that_made_the_deadline_earlier_counts_too() -> None:
    harness = with_sessions()
    harness.do(READER, "set", key="k", value=1)
    snapshot = subscribe(harness)
    harness.do(READER, "touch", key="k", ttl=5)
    harness.now += 5
    assert rest(harness, snapshot) == []


def test_an_undone_txn_leaves_the_snapshot_exact() -> None:
    harness = with_sessions(keys="abc")
    snapshot = subscribe(harness)
    read(harness, snapshot, 1)
    steps = [{"op": "set", "key": key, "value": "no"} for key in "abcd"] + [{"op": "delete", "key": "b"}]
    with pytest.raises(Exception, match="no entry"):
        harness.do(READER, "txn", **{"if": [], "then": [*steps, {"op": "touch", "key": "nothing", "ttl": 1}]})
    assert sorted(entry.value for entry in rest(harness, snapshot)) == [b'"b"', b'"c"']


def test_an_entry_that_several_patterns_match_is_shown_once() -> None:
    harness = with_sessions(keys="abc")
    assert sorted(e.key for e in rest(harness, subscribe(harness, patterns=["*", "a", "?", "[ab]", "b*"]), 1)) == [
        "a",
        "b",
        "c",
    ]


def test_a_slice_tries_no_more_patterns_than_it_may_look_at_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """However a hundred patterns overlap, a slice stays short for everybody else."""
    harness = with_sessions()
    for number in range(50):
        harness.do(READER, "set", key=f"k{number}", value=1)
    snapshot = subscribe(harness, patterns=[f"*{'?' * number}z*" for number in range(99)] + ["[k-l]*"])
    tries = 0
    match = Pattern.match

    def counted(pattern: Pattern, key: str) -> bool:
        nonlocal tries
        tries += 1
        return match(pattern, key)

    monkeypatch.setattr(Pattern, "match", counted)
    found = []
    while not snapshot.done:
        found += read(harness, snapshot, 200)
        assert tries <= 200 + 100
        tries = 0
    assert len(found) == 50


def test_a_snapshot_beyond_its_limit_is_overrun_and_holds_nothing() -> None:
    """A reader who never comes costs `snapshot_bytes`, not all that was ever overwritten (G12)."""
    harness = with_sessions(Limits(snapshot_bytes=5_000))
    for number in range(100):
        harness.do(READER, "set", key=str(number), value="x" * 400)
    snapshot = subscribe(harness)
    for number in range(100):
        harness.do(READER, "set", key=str(number), value="y")
        held = sum(entry.size for entry in snapshot._handed)
        assert held <= 5_000
    assert snapshot.overrun
    assert not snapshot._handed
    assert not snapshot._ahead


# --- who pays for it ---


def opened(harness: MachineHarness) -> int:
    return len(harness.machine.state.snapshots)


def test_a_snapshot_is_open_until_all_of_it_has_been_read() -> None:
    harness = with_sessions(keys="ab")
    snapshot = subscribe(harness)
    read(harness, snapshot, 1)
    assert opened(harness) == 1
    read(harness, snapshot, 2)
    assert snapshot.done
    assert opened(harness) == 0


def test_a_closed_snapshot_takes_no_more_work() -> None:
    harness = with_sessions(keys="ab")
    one, two = subscribe(harness), subscribe(harness)
    one.close()
    one.close()
    assert opened(harness) == 1
    harness.do(READER, "set", key="a", value="new")
    assert (len(one._handed), len(two._handed)) == (0, 1)
    two.close()
    assert opened(harness) == 0


def test_a_snapshot_that_is_overrun_is_closed() -> None:
    harness = with_sessions(Limits(snapshot_bytes=1_000), keys="abcdef")
    snapshot = subscribe(harness)
    harness.do(READER, "clear", pattern="*", confirm=True)
    assert snapshot.overrun
    assert opened(harness) == 0


def test_a_snapshot_of_nothing_but_messages_has_nothing_to_read() -> None:
    harness = with_sessions(keys="ab")
    assert subscribe(harness, types=["message"]).done
    assert opened(harness) == 0


def test_a_change_is_given_only_to_the_snapshots_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = with_sessions(keys="abc")
    harness.do(READER, "set", key="a", ns="other", value=1)
    for number in range(50):
        subscribe(harness, patterns=[f"b{number}", f"{number}*"])
        subscribe(harness, ns="other", patterns=["*", f"{number}"])
    concerned = [
        subscribe(harness, patterns=["a", "b"]),
        subscribe(harness, ns="*"),
        subscribe(harness, patterns=["?"]),
    ]
    asked: list[Snapshot] = []
    before_change = Snapshot.before_change

    def counted(snapshot: Snapshot, *change: Any) -> None:
        asked.append(snapshot)
        before_change(snapshot, *change)

    monkeypatch.setattr(Snapshot, "before_change", counted)
    harness.do(READER, "set", key="a", value="new")
    assert sorted(asked, key=id) == sorted(concerned, key=id)


def test_snapshots_of_one_interest_share_the_trial_of_its_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = with_sessions(keys="a")
    snapshots = [subscribe(harness, patterns=[f"{number}*" for number in range(99)] + ["a*"]) for _ in range(20)]
    harness.do(READER, "set", key="a", value="first")
    tries = 0
    match = Pattern.match

    def counted(pattern: Pattern, key: str) -> bool:
        nonlocal tries
        tries += 1
        return match(pattern, key)

    monkeypatch.setattr(Pattern, "match", counted)
    harness.machine.state.snapshots.before_change("default", "a", None)
    assert tries <= 100
    assert all(len(snapshot._handed) == 1 for snapshot in snapshots)


PATTERNS = ["*", "a*", "*a", "?", "b", "[ab]*", "*b*", "c?", "\\*"]


@pytest.mark.parametrize("seed", range(60))
def test_a_snapshot_is_exact_on_a_random_walk(seed: int) -> None:
    """Several snapshots, read in slices while everything changes: each is the state at its revision."""
    random = Random(seed)
    limit = random.choice([2_500, 10**6])
    harness = with_sessions(Limits(snapshot_bytes=limit, sessions=100))
    keys = [first + second for first in "abc*" for second in ("", "a", "b")]
    spaces = ["default", "one", "two", "$agents"]
    reading: list[tuple[Snapshot, dict[tuple[str, str], Entry], list[Entry]]] = []
    exact = lost = 0
    for number in range(250):
        _change(harness, random, keys, spaces, number)
        if random.random() < 0.1 and len(reading) < 4:
            patterns = random.sample(PATTERNS, random.randint(1, 4))
            ns = random.choice(["*", "default", "one", "$agents"])
            snapshot = subscribe(harness, patterns=patterns, ns=ns)
            reading.append((snapshot, _state(harness, snapshot), []))
        for place in random.sample(range(len(reading)), len(reading)):
            snapshot, _, found = reading[place]
            if random.random() < 0.4 and not snapshot.overrun:
                room = random.choice([1, 20, 10**6])
                found += snapshot.read(harness.now, max_keys=random.randint(1, 6), max_bytes=room)
        lost += sum(snapshot.overrun for snapshot, _, _ in reading)
        for _, wanted, found in [one for one in reading if one[0].done and not one[0].overrun]:
            _compare(harness, wanted, found)
            exact += 1
        reading = [one for one in reading if not one[0].done and not one[0].overrun]
        assert opened(harness) == len(reading)
    assert exact > 3
    assert lost == 0 or limit == 2_500


def _change(harness: MachineHarness, random: Random, keys: list[str], spaces: list[str], number: int) -> None:
    key, ns = random.choice(keys), random.choice(spaces[:3])
    match random.randrange(9):
        case 0 | 1 | 2:
            ttl = random.choice([None, None, 1.0, 4.0])
            harness.do(READER, "set", key=key, ns=ns, value="x" * random.randint(0, 300), ttl=ttl)
        case 3 | 4:
            harness.do(READER, "delete", key=key, ns=ns)
        case 5:
            harness.now += random.choice([0.0, 0.5, 2.0])
        case 6:
            harness.expire(random.randint(1, 5))
        case 7:
            harness.open_session(f"s{number}", agent=random.choice(["a", "ab", "b", None]))
        case _:
            harness.drop(f"s{random.randrange(number + 1)}")


def _state(harness: MachineHarness, snapshot: Snapshot) -> dict[tuple[str, str], Entry]:
    """All entries that match, the hard way."""
    keyspace = harness.machine.state.keyspace
    stored = [entry for ns in keyspace.namespaces() for entry in keyspace._key_maps[ns].values()]
    return {(e.ns, e.key): e for e in stored if snapshot.interest.matches(e.ns, e.key, "set")}


def _compare(harness: MachineHarness, wanted: dict[tuple[str, str], Entry], found: list[Entry]) -> None:
    seen = {(entry.ns, entry.key): entry for entry in found}
    assert len(seen) == len(found), "each once"
    for place, entry in wanted.items():
        shown = seen.pop(place, None)
        assert shown is entry or (shown is None and entry.is_due(harness.now))
    assert not seen, "nothing else"

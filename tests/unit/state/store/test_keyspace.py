"""The keyspace: entries in key order and in order of their deadlines, and versions that never start again."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from waggle.wire.patterns import compile_pattern
from waggle_hub.state.persistence.dirty import DirtySet
from waggle_hub.state.store.entry import Entry
from waggle_hub.state.store.keyspace import Keyspace


def entry(
    key: str, version: int = 1, ns: str = "default", expires_at: float | None = None, value: bytes = b"1"
) -> Entry:
    return Entry(key, ns, value, version, version, "persistent", 0.0, 0.0, expires_at, "a", None)


def put(space: Keyspace, key: str, ns: str = "default", expires_at: float | None = None, value: bytes = b"1") -> Entry:
    prev = space.get(ns, key)
    new = entry(key, space.next_version(ns, key, prev), ns, expires_at, value)
    space.put(new, prev)
    return new


def drop(space: Keyspace, key: str, ns: str = "default") -> None:
    stored = space.get(ns, key)
    assert stored is not None
    space.remove(stored)


def scan(space: Keyspace, pattern: str, after: str | None = None) -> list[str]:
    return [stored.key for stored in space.scan("default", compile_pattern(pattern), after)]


def test_a_write_replaces_the_previous_entry() -> None:
    space = Keyspace(10, DirtySet())
    first = put(space, "a", expires_at=5.0)
    second = put(space, "a", value=b"22")
    assert space.get("default", "a") is second
    assert (first.version, second.version) == (1, 2)
    assert (space.keys, space.bytes) == (1, 3)
    assert space.deadlines.head() is None
    space.check()


def test_a_namespace_exists_while_it_holds_an_entry() -> None:
    space = Keyspace(10, DirtySet())
    put(space, "b", ns="two")
    put(space, "a", ns="one", value=b"12345")
    assert space.namespaces() == ["one", "two"]
    assert [(count.ns, count.keys, count.bytes) for count in space.counts()] == [("one", 1, 6), ("two", 1, 2)]
    drop(space, "a", ns="one")
    assert space.namespaces() == ["two"]
    assert space.get("one", "a") is None
    space.check()


def test_a_version_goes_on_after_a_delete() -> None:
    space = Keyspace(10, DirtySet())
    put(space, "a")
    put(space, "a")
    drop(space, "a")
    assert put(space, "a").version == 3


def test_a_key_whose_tombstone_was_dropped_starts_above_every_dropped_version() -> None:
    space = Keyspace(1, DirtySet())
    for _ in range(5):
        put(space, "a")
    drop(space, "a")
    put(space, "b")
    drop(space, "b")
    assert put(space, "a").version == 6
    assert put(space, "never seen").version == 6
    assert put(space, "b").version == 2, "its grave is still there"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=200), st.integers(0, 3))
def test_no_version_of_a_key_is_ever_given_twice(steps: list[tuple[str, bool]], graves: int) -> None:
    space = Keyspace(graves, DirtySet())
    highest = dict.fromkeys("abcdef", 0)
    for key, write in steps:
        if write:
            version = put(space, key).version
            assert version > highest[key]
            highest[key] = version
        elif space.get("default", key) is not None:
            drop(space, key)
    space.check()


def test_there_are_at_most_as_many_tombstones_as_the_limit() -> None:
    space = Keyspace(3, DirtySet())
    for number in range(50):
        put(space, str(number))
        drop(space, str(number))
    assert len(space.tombstones) == 3


def test_a_scan_goes_from_where_the_pattern_could_match_to_where_it_no_longer_can() -> None:
    space = Keyspace(10, DirtySet())
    for key in ("a", "task:", "task:1", "task:10", "task;", "z"):
        put(space, key)
    assert scan(space, "task:*") == ["task:", "task:1", "task:10"]
    assert scan(space, "task:*0") == ["task:", "task:1", "task:10"], "the caller matches"
    assert scan(space, "task:*", after="task:1") == ["task:10"]
    assert scan(space, "task:*", after="a") == ["task:", "task:1", "task:10"]
    assert scan(space, "task:*", after="zz") == []
    assert scan(space, "task:1") == ["task:1"]
    assert scan(space, "task:1", after="task:1") == []
    assert scan(space, "?") == ["a", "task:", "task:1", "task:10", "task;", "z"]


KEYS = st.text("ab:", min_size=1, max_size=4)


@given(st.sets(KEYS), st.sampled_from(["*", "a*", "ab*", "?b", "*a", "a:b", "[ab]*"]), KEYS | st.none())
def test_a_scan_leaves_out_nothing_that_matches(keys: set[str], pattern: str, after: str | None) -> None:
    space = Keyspace(10, DirtySet())
    for key in keys:
        put(space, key)
    found = scan(space, pattern, after)
    assert found == sorted(found)
    wanted = {key for key in keys if fnmatchcase(key, pattern) and (after is None or key > after)}
    assert wanted <= set(found) <= {key for key in keys if after is None or key > after}


def test_keys_are_in_order_of_their_code_points() -> None:
    space = Keyspace(10, DirtySet())
    keys = ["Z", "a", "é", "\U0001f41d", "\uffee"]
    for key in keys:
        put(space, key)
    assert scan(space, "*") == sorted(keys, key=lambda key: [ord(character) for character in key])


def test_changes_that_were_rolled_back_leave_no_trace() -> None:
    space = Keyspace(10, DirtySet())
    put(space, "a", expires_at=9.0)
    before = space.get("default", "a")
    for _ in range(2):
        written = put(space, "a")
        space.undo(written, before)
        assert space.get("default", "a") is before
        assert space.deadlines.head() is before
        new = put(space, "new")
        space.undo(new, None)
        assert space.get("default", "new") is None
        assert put(space, "new").version == 1
        drop(space, "new")
        space.tombstones.pop("default", "new")
    space.check()

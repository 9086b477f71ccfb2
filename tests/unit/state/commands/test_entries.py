"""The commands on entries: what they do, reply and refuse (protocol 4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire.errors import BadRequest, Conflict, Forbidden, LimitReached, NotFound, TooLarge, WaggleError
from waggle_hub.settings import Limits


def with_sessions(limits: Limits | None = None) -> MachineHarness:
    harness = MachineHarness(limits)
    harness.open_session("s", agent="a")
    harness.now += 1.0
    return harness


def wire(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "value"}


# --- set and get ---


def test_get_returns_all_fields_of_an_entry() -> None:
    harness = with_sessions()
    written = harness.do("s", "set", key="k", value={"n": 1}, ttl=2, kind="transient", meta={"m": 1}, ns="other")
    assert (written.rev, written.version, written.expires_at) == (2, 1, 1_003.0)
    got = harness.do("s", "get", key="k", ns="other")
    assert got.rev == 2
    assert wire(got.entry) == {
        "key": "k", "ns": "other", "rev": 2, "version": 1, "kind": "transient", "created_at": 1_001.0,
        "updated_at": 1_001.0, "expires_at": 1_003.0, "by": "a", "meta": got.entry.meta,
    }  # fmt: skip
    assert (bytes(got.entry.value), bytes(got.entry.meta)) == (b'{"n":1}', b'{"m":1}')


def test_a_second_write_keeps_only_the_creation_of_an_entry() -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value=1, ttl=9, meta={"m": 1}, kind="transient")
    harness.open_session("w", agent="b")
    harness.now += 1.0
    harness.do("w", "set", key="k", value=2)
    entry = harness.do("s", "get", key="k").entry
    assert (entry.created_at, entry.updated_at, entry.version, entry.by) == (1_001.0, 1_002.0, 2, "b")
    assert (entry.expires_at, entry.meta, entry.kind) == (None, None, "persistent")


def test_get_of_an_absent_key_returns_null() -> None:
    harness = with_sessions()
    assert harness.do("s", "get", key="k").entry is None
    assert harness.do("s", "delete", key="k").deleted is False


def test_a_command_that_changes_nothing_takes_no_revision() -> None:
    harness = with_sessions()
    before = harness.machine.state.log.rev
    commands: list[tuple[str, dict[str, Any]]] = [
        ("get", {"key": "k"}),
        ("delete", {"key": "k"}),
        ("clear", {"pattern": "*", "confirm": True}),
        ("list", {"pattern": "*"}),
        ("namespaces", {}),
        ("ping", {}),
    ]
    for op, fields in commands:  # fmt: skip
        ok = harness.do("s", op, **fields)
        assert getattr(ok, "rev", before) == before
        assert harness.commits() == []


def test_namespaces_are_apart() -> None:
    harness = with_sessions()
    harness.open_session("w", ns="project")
    harness.do("w", "set", key="k", value=1)
    assert harness.value("s", "k") is None
    assert harness.value("s", "k", ns="project") == 1
    assert [count.ns for count in harness.do("s", "namespaces").namespaces] == ["$agents", "$seen", "project"]


def test_times_are_shown_in_milliseconds() -> None:
    harness = with_sessions()
    harness.now = 1_700_000_000.123456
    harness.do("s", "set", key="k", value=1, ttl=1)
    entry = harness.do("s", "get", key="k").entry
    assert (entry.created_at, entry.expires_at) == (1_700_000_000.123, 1_700_000_001.124)
    assert harness.do("s", "ping").at == 1_700_000_000.123


def test_keep_ttl_keeps_the_deadline_of_the_entry() -> None:
    harness = with_sessions()
    assert harness.do("s", "set", key="k", value=1, keep_ttl=True).expires_at is None
    harness.do("s", "set", key="k", value=1, ttl=5)
    harness.now += 4.0
    assert harness.do("s", "set", key="k", value=2, keep_ttl=True).expires_at == 1_006.0
    harness.now += 2.0
    assert harness.do("s", "set", key="k", value=3, keep_ttl=True).expires_at is None, "there was none left to keep"


# --- if_rev ---


def test_a_write_with_the_right_if_rev_is_accepted() -> None:
    harness = with_sessions()
    rev = harness.do("s", "set", key="k", value=1, if_rev=0).rev
    rev = harness.do("s", "set", key="k", value=2, if_rev=rev).rev
    assert harness.do("s", "delete", key="k", if_rev=rev).deleted
    assert harness.do("s", "delete", key="k", if_rev=0).deleted is False


@pytest.mark.parametrize("op", ["set", "delete"])
def test_a_conflict_has_the_current_entry(op: str) -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value="now")
    fields = {"value": 1} if op == "set" else {}
    for if_rev in (0, 1, 3, 2**70, 10**4_000):
        with pytest.raises(Conflict) as refused:
            harness.do("s", op, key="k", if_rev=if_rev, **fields)
        assert bytes(refused.value.current.value) == b'"now"'
        assert harness.commits() == []
    with pytest.raises(Conflict) as refused:
        harness.do("s", op, key="absent", if_rev=2, **fields)
    assert refused.value.details == {"current": None}


def test_a_touch_does_not_change_the_revision_for_if_rev() -> None:
    harness = with_sessions()
    rev = harness.do("s", "set", key="k", value=1).rev
    touched = harness.do("s", "touch", key="k", ttl=5)
    assert touched.rev == rev + 1
    with pytest.raises(Conflict):
        harness.do("s", "set", key="k", value=2, if_rev=touched.rev)
    assert harness.do("s", "set", key="k", value=2, if_rev=rev).version == 2


# --- touch ---


def test_touch_changes_the_deadline_and_neither_rev_nor_version() -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value=1, ttl=5, ephemeral=True, meta={"m": 1})
    before = wire(harness.do("s", "get", key="k").entry)
    assert harness.do("s", "touch", key="k", ttl=50).expires_at == 1_051.0
    (event,) = harness.events()
    assert (event.type, event.entry is not None and event.entry.expires_at) == ("touch", 1_051.0)
    after = wire(harness.do("s", "get", key="k").entry)
    assert {**after, "meta": None} == {**before, "meta": None, "expires_at": 1_051.0}
    assert harness.do("s", "touch", key="k", ttl=None).expires_at is None
    assert harness.machine.next_deadline() is not None, "the session's memory"
    harness.do("s", "bye")
    harness.open_session("w")
    assert harness.value("w", "k") is None, "it was still tied to the session"


def test_a_touch_of_an_absent_key_is_refused() -> None:
    harness = with_sessions()
    with pytest.raises(NotFound):
        harness.do("s", "touch", key="k", ttl=1)


# --- expiry ---


@pytest.mark.parametrize(("op", "fields"), [
    ("get", {}), ("set", {"value": 2}), ("set", {"value": 2, "if_rev": 0}), ("delete", {}), ("history", {}),
    ("update", {"incr": 1}),
])  # fmt: skip
def test_a_command_that_names_a_due_entry_expires_it_first(op: str, fields: dict[str, Any]) -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value=1, ttl=5)
    harness.now += 7.25
    harness.do("s", op, key="k", **fields)
    first, *rest = harness.commits()
    (event,) = first.events
    assert (event.type, event.by, event.origin, event.late) == ("expire", "$hub", None, 2.25)
    for commit in rest:
        assert commit.events[0].by == "a"
        assert commit.events[0].prev is None


def test_an_entry_is_gone_at_its_deadline_and_not_before() -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value=1, ttl=5)
    harness.now = 1_005.999
    assert harness.value("s", "k") == 1
    assert harness.keys("s") == ["k"]
    harness.now = 1_006.0
    assert harness.keys("s") == []
    assert harness.machine.state.keyspace.get("default", "k") is not None, "it lingers, and nobody sees it"
    assert harness.value("s", "k") is None


def test_due_entries_are_absent_for_commands_that_scan_many_keys() -> None:
    harness = with_sessions()
    for number in range(4):
        harness.do("s", "set", key=f"k{number}", value=1, ttl=5 if number % 2 else None)
    harness.now += 5.0
    assert harness.keys("s") == ["k0", "k2"]
    assert harness.do("s", "clear", pattern="*", confirm=True).deleted == 2


def test_due_entries_expire_in_order_in_slices_each_in_its_own_revision() -> None:
    harness = with_sessions()
    for key, ttl in (("c", 3), ("a", 1), ("b", 2), ("late", 9)):
        harness.do("s", "set", key=key, value=1, ttl=ttl)
    harness.now += 5.0
    harness.expire(2)
    assert [(commit.events[0].key, commit.events[0].late) for commit in harness.commits()] == [("a", 4.0), ("b", 3.0)]
    assert harness.machine.next_deadline() == 1_004.0, "there is more to do, and it is overdue"
    harness.expire(2)
    assert [commit.events[0].key for commit in harness.commits()] == ["c"]
    assert harness.machine.next_deadline() == 1_010.0


def test_an_entry_with_a_tiny_ttl_does_not_expire_within_its_txn() -> None:
    """An entry that one step of a txn has written is not due for the next step."""
    harness = with_sessions()
    steps = [{"op": "set", "key": "k", "value": 1, "ttl": 1e-12}, {"op": "touch", "key": "k", "ttl": 1e-12}]
    assert harness.do("s", "txn", **{"if": [], "then": steps}).done == "then"
    harness.now += 0.001
    assert harness.value("s", "k") is None


# --- list ---


def test_pages_follow_one_another_without_gap_or_repetition() -> None:
    harness = with_sessions()
    for key in "edcba":
        harness.do("s", "set", key=key, value=key)
    first = harness.do("s", "list", pattern="*", limit=2)
    assert ([entry.key for entry in first.entries], first.next) == (["a", "b"], "b")
    second = harness.do("s", "list", pattern="*", limit=2, after="b")
    assert ([entry.key for entry in second.entries], second.next) == (["c", "d"], "d")
    third = harness.do("s", "list", pattern="*", limit=2, after="d")
    assert ([entry.key for entry in third.entries], third.next) == (["e"], None)


def test_a_page_with_exactly_all_entries_has_no_next() -> None:
    harness = with_sessions()
    for key in "ab":
        harness.do("s", "set", key=key, value=key)
    assert harness.do("s", "list", pattern="*", limit=2).next is None


def test_a_list_without_values_has_none() -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value="long")
    (entry,) = harness.do("s", "list", pattern="*", values=False).entries
    assert not isinstance(entry.value, bytes)
    assert entry.version == 1


def test_a_page_ends_at_the_scan_limit_even_if_it_is_empty() -> None:
    harness = with_sessions(Limits(scan=10))
    for number in range(25):
        harness.do("s", "set", key=f"{number:02}", value=1)
    pages = []
    after = None
    while True:
        page = harness.do("s", "list", pattern="*9", after=after)
        pages.append([entry.key for entry in page.entries])
        after = page.next
        if after is None:
            break
    assert pages == [["09"], ["19"], []]


def test_a_page_ends_at_its_limit_of_bytes() -> None:
    harness = with_sessions(Limits(page_bytes=1_000))
    for key in "abc":
        harness.do("s", "set", key=key, value="x" * 900)
    page = harness.do("s", "list", pattern="*")
    assert ([entry.key for entry in page.entries], page.next) == (["a"], "a")
    assert len(harness.do("s", "list", pattern="*", values=False).entries) == 3


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_page_has_1_to_1000_entries(limit: int) -> None:
    with pytest.raises(BadRequest) as refused:
        with_sessions().do("s", "list", pattern="*", limit=limit)
    assert refused.value.details["field"] == "limit"


# --- clear ---


def test_clear_deletes_what_matches_in_one_step() -> None:
    harness = with_sessions()
    for key in ("a:1", "a:2", "b:1"):
        harness.do("s", "set", key=key, value=1)
    cleared = harness.do("s", "clear", pattern="a:*", confirm=True)
    assert (cleared.deleted, cleared.more) == (2, False)
    (commit,) = harness.commits()
    assert [(event.type, event.key) for event in commit.events] == [("delete", "a:1"), ("delete", "a:2")]
    assert harness.keys("s") == ["b:1"]


def test_clear_needs_a_confirmation() -> None:
    with pytest.raises(BadRequest) as refused:
        with_sessions().do("s", "clear", pattern="*", confirm=False)
    assert refused.value.details["field"] == "confirm"


def test_a_large_clear_goes_on_in_the_next_call() -> None:
    harness = with_sessions(Limits(clear=2, scan=4))
    for number in range(10):
        harness.do("s", "set", key=f"{number:02}", value=1)
    calls: list[tuple[int, bool]] = []
    while not calls or calls[-1][1]:
        cleared = harness.do("s", "clear", pattern="*[02468]", confirm=True)
        calls.append((cleared.deleted, cleared.more))
    assert all(deleted <= 2 for deleted, _ in calls)
    assert sum(deleted for deleted, _ in calls) == 5
    assert harness.keys("s") == ["01", "03", "05", "07", "09"]


def test_a_clear_of_another_pattern_drops_the_cursor() -> None:
    harness = with_sessions(Limits(clear=1))
    for key in "abc":
        harness.do("s", "set", key=key, value=1)
    assert harness.do("s", "clear", pattern="*", confirm=True).more
    harness.do("s", "clear", pattern="nothing", confirm=True)
    harness.do("s", "set", key="a", value="again")
    assert harness.do("s", "clear", pattern="*", confirm=True).deleted == 1
    assert harness.keys("s") == ["b", "c"]


# --- refusals ---


@pytest.mark.parametrize("key", ["", " a", "a ", "a\nb", "\x7f", "x" * 256, "\ud800"])
@pytest.mark.parametrize(("op", "fields"), [
    ("set", {"value": 1}), ("get", {}), ("delete", {}), ("touch", {"ttl": 1}), ("update", {"incr": 1}), ("history", {}),
])  # fmt: skip
def test_an_invalid_key_is_refused(op: str, fields: dict[str, Any], key: str) -> None:
    with pytest.raises(BadRequest) as refused:
        with_sessions().do("s", op, key=key, **fields)
    assert refused.value.details["field"] == "key"


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("set", {"key": "k", "value": 1}), ("delete", {"key": "k"}), ("touch", {"key": "k", "ttl": 1}),
    ("update", {"key": "k", "incr": 1}), ("clear", {"pattern": "*", "confirm": True}),
    ("publish", {"channel": "c", "data": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "fields"), WRITES)
@pytest.mark.parametrize("ns", ["$agents", "$seen", "$anything"])
def test_the_hubs_namespaces_cannot_be_written(op: str, fields: dict[str, Any], ns: str) -> None:
    with pytest.raises(Forbidden) as refused:
        with_sessions().do("s", op, ns=ns, **fields)
    assert refused.value.details["need"] == "hub"


@pytest.mark.parametrize(("op", "fields"), [*WRITES, ("get", {"key": "k"}), ("list", {"pattern": "*"})])
@pytest.mark.parametrize("ns", ["", "a b", "x" * 65, "*", "$"])
def test_an_invalid_namespace_is_refused(op: str, fields: dict[str, Any], ns: str) -> None:
    with pytest.raises(BadRequest) as refused:
        with_sessions().do("s", op, ns=ns, **fields)
    assert refused.value.details["field"] == "ns"


@pytest.mark.parametrize("ttl", [0, -1, -0.0, 10 * 365.25 * 86400 + 1, 1e308, float("inf"), float("nan")])
@pytest.mark.parametrize(("op", "fields"), [("set", {"value": 1}), ("touch", {}), ("update", {"incr": 1})])
def test_a_ttl_is_above_0_and_at_most_ten_years(op: str, fields: dict[str, Any], ttl: float) -> None:
    harness = with_sessions()
    harness.do("s", "set", key="k", value=1)
    with pytest.raises(BadRequest) as refused:
        harness.do("s", op, key="k", ttl=ttl, **fields)
    assert refused.value.details["field"] == "ttl"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"ttl": 1, "keep_ttl": True}, "keep_ttl"),
        ({"if_rev": -1}, "if_rev"),
        ({"value": 2**64}, "value"),
        ({"meta": {"n": 2**64}}, "meta"),
    ],
)
def test_a_malformed_set_is_refused_with_the_field(fields: dict[str, Any], field: str) -> None:
    harness = with_sessions()
    with pytest.raises(BadRequest) as refused:
        harness.do("s", "set", **{"key": "k", "value": 1, **fields})
    assert refused.value.details["field"] == field
    assert harness.commits() == []


@pytest.mark.parametrize("pattern", ["", "[", "[]", "[z-a]", "\\", "x" * 256])
@pytest.mark.parametrize("op", ["list", "clear"])
def test_an_invalid_pattern_is_refused(op: str, pattern: str) -> None:
    fields = {"confirm": True} if op == "clear" else {}
    with pytest.raises(BadRequest) as refused:
        with_sessions().do("s", op, pattern=pattern, **fields)
    assert refused.value.details["field"] == "pattern"


def test_a_too_large_value_is_refused_with_the_limit() -> None:
    harness = with_sessions(Limits(value=100, meta=10))
    for fields in ({"value": "x" * 99}, {"value": 1, "meta": {"x": "y" * 9}}):
        with pytest.raises(TooLarge) as refused:
            harness.do("s", "set", key="k", **fields)
        assert refused.value.details["limit"] in (100, 10)


def test_a_full_hub_accepts_writes_that_need_no_more_room() -> None:
    harness = with_sessions(Limits(keys=3, bytes=250))
    harness.do("s", "set", key="k", value=1)
    with pytest.raises(LimitReached) as refused:
        harness.do("s", "set", key="l", value=1)
    assert refused.value.details["limit"] == 3
    assert harness.do("s", "set", key="k", value=2).version == 2
    with pytest.raises(LimitReached) as refused:
        harness.do("s", "set", key="k", value="x" * 200)
    assert refused.value.details["limit"] == 250
    harness.do("s", "delete", key="k")
    harness.do("s", "set", key="l", value=1)


def test_a_full_hub_still_shows_the_agents() -> None:
    harness = with_sessions(Limits(keys=2, bytes=10))
    harness.open_session("w", agent="b")
    assert harness.keys("s", ns="$agents") == ["a", "b"]


def test_a_session_has_a_limit_of_ephemeral_entries() -> None:
    harness = with_sessions(Limits(ephemeral=1))
    harness.do("s", "set", key="k", value=1, ephemeral=True)
    harness.do("s", "set", key="k", value=2, ephemeral=True)
    with pytest.raises(LimitReached) as refused:
        harness.do("s", "set", key="l", value=1, ephemeral=True)
    assert refused.value.details["limit"] == 1
    harness.do("s", "set", key="k", value=3)
    harness.do("s", "set", key="l", value=1, ephemeral=True)


def test_a_refusal_changes_nothing() -> None:
    harness = with_sessions(Limits(keys=3))
    harness.do("s", "set", key="k", value=1)
    before = harness.machine.state.log.rev
    refusals: list[tuple[str, dict[str, Any]]] = [
        ("set", {"key": "l", "value": 1, "ephemeral": True}),
        ("set", {"key": "k", "value": 1, "if_rev": 0}),
        ("touch", {"key": "absent", "ttl": 1}),
        ("update", {"key": "k", "append": 1}),
        ("unsubscribe", {"sub": 9}),
        ("hello", {}),
    ]
    for op, fields in refusals:
        with pytest.raises(WaggleError):
            harness.do("s", op, **fields)
        assert harness.commits() == []
        assert harness.machine.state.log.rev == before

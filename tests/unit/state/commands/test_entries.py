"""The commands on entries: what they do, what they answer, what they refuse (protocol 4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.state.table import Table
from waggle.wire.errors import BadRequest, Conflict, Forbidden, LimitReached, NotFound, TooLarge, WaggleError
from waggle_hub.settings import Limits


def seated(limits: Limits | None = None) -> Table:
    table = Table(limits)
    table.sit("s", agent="a")
    table.now += 1.0
    return table


def wire(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "value"}


# --- set and get ---


def test_an_entry_has_everything_that_is_known_of_it() -> None:
    table = seated()
    written = table.do("s", "set", key="k", value={"n": 1}, ttl=2, kind="transient", meta={"m": 1}, ns="other")
    assert (written.rev, written.version, written.expires_at) == (2, 1, 1_003.0)
    got = table.do("s", "get", key="k", ns="other")
    assert got.rev == 2
    assert wire(got.entry) == {
        "key": "k", "ns": "other", "rev": 2, "version": 1, "kind": "transient", "created_at": 1_001.0,
        "updated_at": 1_001.0, "expires_at": 1_003.0, "by": "a", "meta": got.entry.meta,
    }  # fmt: skip
    assert (bytes(got.entry.value), bytes(got.entry.meta)) == (b'{"n":1}', b'{"m":1}')


def test_a_second_write_keeps_when_it_began_and_nothing_else() -> None:
    table = seated()
    table.do("s", "set", key="k", value=1, ttl=9, meta={"m": 1}, kind="transient")
    table.sit("w", agent="b")
    table.now += 1.0
    table.do("w", "set", key="k", value=2)
    entry = table.do("s", "get", key="k").entry
    assert (entry.created_at, entry.updated_at, entry.version, entry.by) == (1_001.0, 1_002.0, 2, "b")
    assert (entry.expires_at, entry.meta, entry.kind) == (None, None, "persistent")


def test_what_is_absent_is_null_and_no_error() -> None:
    table = seated()
    assert table.do("s", "get", key="k").entry is None
    assert table.do("s", "delete", key="k").deleted is False


def test_a_command_that_changes_nothing_takes_no_revision() -> None:
    table = seated()
    before = table.machine.state.log.rev
    commands: list[tuple[str, dict[str, Any]]] = [
        ("get", {"key": "k"}),
        ("delete", {"key": "k"}),
        ("clear", {"pattern": "*", "confirm": True}),
        ("list", {"pattern": "*"}),
        ("namespaces", {}),
        ("ping", {}),
    ]
    for op, fields in commands:  # fmt: skip
        ok = table.do("s", op, **fields)
        assert getattr(ok, "rev", before) == before
        assert table.commits() == []


def test_namespaces_are_apart() -> None:
    table = seated()
    table.sit("w", ns="project")
    table.do("w", "set", key="k", value=1)
    assert table.value("s", "k") is None
    assert table.value("s", "k", ns="project") == 1
    assert [count.ns for count in table.do("s", "namespaces").namespaces] == ["$agents", "$seen", "project"]


def test_times_are_shown_in_milliseconds() -> None:
    table = seated()
    table.now = 1_700_000_000.123456
    table.do("s", "set", key="k", value=1, ttl=1)
    entry = table.do("s", "get", key="k").entry
    assert (entry.created_at, entry.expires_at) == (1_700_000_000.123, 1_700_000_001.124)
    assert table.do("s", "ping").at == 1_700_000_000.123


def test_keep_ttl_keeps_the_deadline_there_is() -> None:
    table = seated()
    assert table.do("s", "set", key="k", value=1, keep_ttl=True).expires_at is None
    table.do("s", "set", key="k", value=1, ttl=5)
    table.now += 4.0
    assert table.do("s", "set", key="k", value=2, keep_ttl=True).expires_at == 1_006.0
    table.now += 2.0
    assert table.do("s", "set", key="k", value=3, keep_ttl=True).expires_at is None, "there was none left to keep"


# --- if_rev ---


def test_if_rev_lets_through_who_knows_what_is_there() -> None:
    table = seated()
    rev = table.do("s", "set", key="k", value=1, if_rev=0).rev
    rev = table.do("s", "set", key="k", value=2, if_rev=rev).rev
    assert table.do("s", "delete", key="k", if_rev=rev).deleted
    assert table.do("s", "delete", key="k", if_rev=0).deleted is False


@pytest.mark.parametrize("op", ["set", "delete"])
def test_a_conflict_carries_what_is_there_now(op: str) -> None:
    table = seated()
    table.do("s", "set", key="k", value="now")
    fields = {"value": 1} if op == "set" else {}
    for if_rev in (0, 1, 3, 2**70, 10**4_000):
        with pytest.raises(Conflict) as refused:
            table.do("s", op, key="k", if_rev=if_rev, **fields)
        assert bytes(refused.value.current.value) == b'"now"'
        assert table.commits() == []
    with pytest.raises(Conflict) as refused:
        table.do("s", op, key="absent", if_rev=2, **fields)
    assert refused.value.details == {"current": None}


def test_a_touch_is_no_use_as_if_rev() -> None:
    table = seated()
    rev = table.do("s", "set", key="k", value=1).rev
    touched = table.do("s", "touch", key="k", ttl=5)
    assert touched.rev == rev + 1
    with pytest.raises(Conflict):
        table.do("s", "set", key="k", value=2, if_rev=touched.rev)
    assert table.do("s", "set", key="k", value=2, if_rev=rev).version == 2


# --- touch ---


def test_touch_changes_the_deadline_and_neither_rev_nor_version() -> None:
    table = seated()
    table.do("s", "set", key="k", value=1, ttl=5, ephemeral=True, meta={"m": 1})
    before = wire(table.do("s", "get", key="k").entry)
    assert table.do("s", "touch", key="k", ttl=50).expires_at == 1_051.0
    (event,) = table.events()
    assert (event.type, event.entry is not None and event.entry.expires_at) == ("touch", 1_051.0)
    after = wire(table.do("s", "get", key="k").entry)
    assert {**after, "meta": None} == {**before, "meta": None, "expires_at": 1_051.0}
    assert table.do("s", "touch", key="k", ttl=None).expires_at is None
    assert table.machine.next_deadline() is not None, "the session's memory"
    table.do("s", "bye")
    table.sit("w")
    assert table.value("w", "k") is None, "it was still tied to the session"


def test_what_is_absent_cannot_be_touched() -> None:
    table = seated()
    with pytest.raises(NotFound):
        table.do("s", "touch", key="k", ttl=1)


# --- expiry ---


@pytest.mark.parametrize(("op", "fields"), [
    ("get", {}), ("set", {"value": 2}), ("set", {"value": 2, "if_rev": 0}), ("delete", {}), ("history", {}),
    ("update", {"incr": 1}),
])  # fmt: skip
def test_a_command_that_names_a_due_entry_expires_it_first(op: str, fields: dict[str, Any]) -> None:
    table = seated()
    table.do("s", "set", key="k", value=1, ttl=5)
    table.now += 7.25
    table.do("s", op, key="k", **fields)
    first, *rest = table.commits()
    (event,) = first.events
    assert (event.type, event.by, event.origin, event.late) == ("expire", "$hub", None, 2.25)
    for commit in rest:
        assert commit.events[0].by == "a"
        assert commit.events[0].prev is None


def test_at_its_deadline_an_entry_is_gone_and_not_before() -> None:
    table = seated()
    table.do("s", "set", key="k", value=1, ttl=5)
    table.now = 1_005.999
    assert table.value("s", "k") == 1
    assert table.keys("s") == ["k"]
    table.now = 1_006.0
    assert table.keys("s") == []
    assert table.machine.state.keyspace.get("default", "k") is not None, "it lingers, and nobody sees it"
    assert table.value("s", "k") is None


def test_due_entries_are_absent_to_commands_that_look_at_many() -> None:
    table = seated()
    for number in range(4):
        table.do("s", "set", key=f"k{number}", value=1, ttl=5 if number % 2 else None)
    table.now += 5.0
    assert table.keys("s") == ["k0", "k2"]
    assert table.do("s", "clear", pattern="*", confirm=True).deleted == 2


def test_what_is_due_expires_in_order_in_slices_each_a_revision() -> None:
    table = seated()
    for key, ttl in (("c", 3), ("a", 1), ("b", 2), ("late", 9)):
        table.do("s", "set", key=key, value=1, ttl=ttl)
    table.now += 5.0
    table.expire(2)
    assert [(commit.events[0].key, commit.events[0].late) for commit in table.commits()] == [("a", 4.0), ("b", 3.0)]
    assert table.machine.next_deadline() == 1_004.0, "there is more to do, and it is overdue"
    table.expire(2)
    assert [commit.events[0].key for commit in table.commits()] == ["c"]
    assert table.machine.next_deadline() == 1_010.0


def test_a_ttl_that_ends_within_the_millisecond_ends_no_command_half_way() -> None:
    """What a step of a txn has written is not due for the next step."""
    table = seated()
    steps = [{"op": "set", "key": "k", "value": 1, "ttl": 1e-12}, {"op": "touch", "key": "k", "ttl": 1e-12}]
    assert table.do("s", "txn", **{"if": [], "then": steps}).done == "then"
    table.now += 0.001
    assert table.value("s", "k") is None


# --- list ---


def test_pages_follow_one_another_without_gap_or_repetition() -> None:
    table = seated()
    for key in "edcba":
        table.do("s", "set", key=key, value=key)
    first = table.do("s", "list", pattern="*", limit=2)
    assert ([entry.key for entry in first.entries], first.next) == (["a", "b"], "b")
    second = table.do("s", "list", pattern="*", limit=2, after="b")
    assert ([entry.key for entry in second.entries], second.next) == (["c", "d"], "d")
    third = table.do("s", "list", pattern="*", limit=2, after="d")
    assert ([entry.key for entry in third.entries], third.next) == (["e"], None)


def test_a_page_that_holds_exactly_all_says_that_there_is_no_next() -> None:
    table = seated()
    for key in "ab":
        table.do("s", "set", key=key, value=key)
    assert table.do("s", "list", pattern="*", limit=2).next is None


def test_a_list_without_values_has_none() -> None:
    table = seated()
    table.do("s", "set", key="k", value="long")
    (entry,) = table.do("s", "list", pattern="*", values=False).entries
    assert not isinstance(entry.value, bytes)
    assert entry.version == 1


def test_a_page_ends_after_so_many_keys_were_looked_at_even_if_it_is_empty() -> None:
    table = seated(Limits(scan=10))
    for number in range(25):
        table.do("s", "set", key=f"{number:02}", value=1)
    pages = []
    after = None
    while True:
        page = table.do("s", "list", pattern="*9", after=after)
        pages.append([entry.key for entry in page.entries])
        after = page.next
        if after is None:
            break
    assert pages == [["09"], ["19"], []]


def test_a_page_ends_early_when_it_has_enough_bytes() -> None:
    table = seated(Limits(page_bytes=1_000))
    for key in "abc":
        table.do("s", "set", key=key, value="x" * 900)
    page = table.do("s", "list", pattern="*")
    assert ([entry.key for entry in page.entries], page.next) == (["a"], "a")
    assert len(table.do("s", "list", pattern="*", values=False).entries) == 3


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_page_has_1_to_1000_entries(limit: int) -> None:
    with pytest.raises(BadRequest) as refused:
        seated().do("s", "list", pattern="*", limit=limit)
    assert refused.value.details["field"] == "limit"


# --- clear ---


def test_clear_deletes_what_matches_in_one_step() -> None:
    table = seated()
    for key in ("a:1", "a:2", "b:1"):
        table.do("s", "set", key=key, value=1)
    cleared = table.do("s", "clear", pattern="a:*", confirm=True)
    assert (cleared.deleted, cleared.more) == (2, False)
    (commit,) = table.commits()
    assert [(event.type, event.key) for event in commit.events] == [("delete", "a:1"), ("delete", "a:2")]
    assert table.keys("s") == ["b:1"]


def test_clear_asks_twice() -> None:
    with pytest.raises(BadRequest) as refused:
        seated().do("s", "clear", pattern="*", confirm=False)
    assert refused.value.details["field"] == "confirm"


def test_a_large_clear_goes_on_where_it_stopped() -> None:
    table = seated(Limits(clear=2, scan=4))
    for number in range(10):
        table.do("s", "set", key=f"{number:02}", value=1)
    calls: list[tuple[int, bool]] = []
    while not calls or calls[-1][1]:
        cleared = table.do("s", "clear", pattern="*[02468]", confirm=True)
        calls.append((cleared.deleted, cleared.more))
    assert all(deleted <= 2 for deleted, _ in calls)
    assert sum(deleted for deleted, _ in calls) == 5
    assert table.keys("s") == ["01", "03", "05", "07", "09"]


def test_another_clear_in_between_begins_at_the_beginning() -> None:
    table = seated(Limits(clear=1))
    for key in "abc":
        table.do("s", "set", key=key, value=1)
    assert table.do("s", "clear", pattern="*", confirm=True).more
    table.do("s", "clear", pattern="nothing", confirm=True)
    table.do("s", "set", key="a", value="again")
    assert table.do("s", "clear", pattern="*", confirm=True).deleted == 1
    assert table.keys("s") == ["b", "c"]


# --- refusals ---


@pytest.mark.parametrize("key", ["", " a", "a ", "a\nb", "\x7f", "x" * 256, "\ud800"])
@pytest.mark.parametrize(("op", "fields"), [
    ("set", {"value": 1}), ("get", {}), ("delete", {}), ("touch", {"ttl": 1}), ("update", {"incr": 1}), ("history", {}),
])  # fmt: skip
def test_what_cannot_be_a_key_is_refused(op: str, fields: dict[str, Any], key: str) -> None:
    with pytest.raises(BadRequest) as refused:
        seated().do("s", op, key=key, **fields)
    assert refused.value.details["field"] == "key"


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("set", {"key": "k", "value": 1}), ("delete", {"key": "k"}), ("touch", {"key": "k", "ttl": 1}),
    ("update", {"key": "k", "incr": 1}), ("clear", {"pattern": "*", "confirm": True}),
    ("publish", {"channel": "c", "data": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "fields"), WRITES)
@pytest.mark.parametrize("ns", ["$agents", "$seen", "$anything"])
def test_the_hubs_own_namespaces_are_written_by_nobody(op: str, fields: dict[str, Any], ns: str) -> None:
    with pytest.raises(Forbidden) as refused:
        seated().do("s", op, ns=ns, **fields)
    assert refused.value.details["need"] == "hub"


@pytest.mark.parametrize(("op", "fields"), [*WRITES, ("get", {"key": "k"}), ("list", {"pattern": "*"})])
@pytest.mark.parametrize("ns", ["", "a b", "x" * 65, "*", "$"])
def test_what_cannot_be_a_namespace_is_refused(op: str, fields: dict[str, Any], ns: str) -> None:
    with pytest.raises(BadRequest) as refused:
        seated().do("s", op, ns=ns, **fields)
    assert refused.value.details["field"] == "ns"


@pytest.mark.parametrize("ttl", [0, -1, -0.0, 10 * 365.25 * 86400 + 1, 1e308, float("inf"), float("nan")])
@pytest.mark.parametrize(("op", "fields"), [("set", {"value": 1}), ("touch", {}), ("update", {"incr": 1})])
def test_a_ttl_is_above_0_and_at_most_ten_years(op: str, fields: dict[str, Any], ttl: float) -> None:
    table = seated()
    table.do("s", "set", key="k", value=1)
    with pytest.raises(BadRequest) as refused:
        table.do("s", op, key="k", ttl=ttl, **fields)
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
def test_a_set_that_is_wrong_names_the_field(fields: dict[str, Any], field: str) -> None:
    table = seated()
    with pytest.raises(BadRequest) as refused:
        table.do("s", "set", **{"key": "k", "value": 1, **fields})
    assert refused.value.details["field"] == field
    assert table.commits() == []


@pytest.mark.parametrize("pattern", ["", "[", "[]", "[z-a]", "\\", "x" * 256])
@pytest.mark.parametrize("op", ["list", "clear"])
def test_what_cannot_be_a_pattern_is_refused(op: str, pattern: str) -> None:
    fields = {"confirm": True} if op == "clear" else {}
    with pytest.raises(BadRequest) as refused:
        seated().do("s", op, pattern=pattern, **fields)
    assert refused.value.details["field"] == "pattern"


def test_too_large_says_how_large_it_may_be() -> None:
    table = seated(Limits(value=100, meta=10))
    for fields in ({"value": "x" * 99}, {"value": 1, "meta": {"x": "y" * 9}}):
        with pytest.raises(TooLarge) as refused:
            table.do("s", "set", key="k", **fields)
        assert refused.value.details["limit"] in (100, 10)


def test_a_full_hub_takes_what_makes_it_no_fuller() -> None:
    table = seated(Limits(keys=3, bytes=250))
    table.do("s", "set", key="k", value=1)
    with pytest.raises(LimitReached) as refused:
        table.do("s", "set", key="l", value=1)
    assert refused.value.details["limit"] == 3
    assert table.do("s", "set", key="k", value=2).version == 2
    with pytest.raises(LimitReached) as refused:
        table.do("s", "set", key="k", value="x" * 200)
    assert refused.value.details["limit"] == 250
    table.do("s", "delete", key="k")
    table.do("s", "set", key="l", value=1)


def test_a_full_hub_goes_on_showing_who_is_there() -> None:
    table = seated(Limits(keys=2, bytes=10))
    table.sit("w", agent="b")
    assert table.keys("s", ns="$agents") == ["a", "b"]


def test_so_many_ephemeral_entries_belong_to_a_session() -> None:
    table = seated(Limits(ephemeral=1))
    table.do("s", "set", key="k", value=1, ephemeral=True)
    table.do("s", "set", key="k", value=2, ephemeral=True)
    with pytest.raises(LimitReached) as refused:
        table.do("s", "set", key="l", value=1, ephemeral=True)
    assert refused.value.details["limit"] == 1
    table.do("s", "set", key="k", value=3)
    table.do("s", "set", key="l", value=1, ephemeral=True)


def test_a_refusal_changes_nothing() -> None:
    table = seated(Limits(keys=3))
    table.do("s", "set", key="k", value=1)
    before = table.machine.state.log.rev
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
            table.do("s", op, **fields)
        assert table.commits() == []
        assert table.machine.state.log.rev == before

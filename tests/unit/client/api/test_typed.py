"""A view reads values as its type or raises where they are read, and writes only values that can be read."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
import pytest
from msgspec import UNSET

from waggle.api.compare_and_set import KEEP
from waggle.api.mirror import MirrorView, Replica
from waggle.api.typed import TypedCodec, TypedEntry, TypedEvent, TypedMirrorView, TypedUpdated
from waggle.core.incoming import Incoming
from waggle.wire.errors import BadRequest, Mismatch
from waggle.wire.messages import Entry, Event, Updated


@dataclasses.dataclass
class Task:
    owner: str
    points: int = 0
    due: datetime.date | None = None
    log: list[str] = dataclasses.field(default_factory=list)


class Build(msgspec.Struct, frozen=True):
    service: str
    tests: dict[int, bool] = {}


class Note(TypedDict):
    text: str


class Unknown:
    """A class that msgspec cannot convert to."""


def entry(value: Any, key: str = "task:auth") -> Entry:
    return Entry(
        key=key, ns="n", rev=7, version=2, kind="cached", created_at=1.0, updated_at=2.0, expires_at=9.0,
        by="impl-1", meta={"a": 1}, value=value,
    )  # fmt: skip


@pytest.fixture
def lens() -> TypedCodec[Task]:
    return TypedCodec(Task, "n", "task:")


# --- reading -----------------------------------------------------------------------------------------------------


def test_a_typed_entry_has_a_typed_value_and_the_other_fields_unchanged(lens: TypedCodec[Task]) -> None:
    typed = lens.entry(entry({"owner": "me", "points": 3, "due": "2030-01-02"}))
    assert typed.value == Task("me", 3, datetime.date(2030, 1, 2))
    assert typed.value is typed.value
    assert (typed.key, typed.ns, typed.rev, typed.version, typed.kind) == ("auth", "n", 7, 2, "cached")
    assert (typed.created_at, typed.updated_at, typed.expires_at) == (1.0, 2.0, 9.0)
    assert (typed.by, typed.meta) == ("impl-1", {"a": 1})
    assert isinstance(typed, Entry)
    assert typed == lens.entry(entry({"owner": "me", "points": 3, "due": "2030-01-02"}))
    assert repr(typed).startswith("TypedEntry(key='auth'")


@pytest.mark.parametrize(
    ("stored", "path", "expected"),
    [
        ({"owner": "me", "points": "many"}, "$.points", "Expected `int`, got `str`"),
        ({"owner": "me", "log": ["a", 5]}, "$.log[1]", "Expected `str`, got `int`"),
        ({"points": 1}, "$", "Object missing required field `owner`"),
        ("text", "$", "Expected `object`, got `str`"),
        (None, "$", "Expected `object`, got `null`"),
    ],
)
def test_what_does_not_fit_is_told_where_the_value_is_read_with_key_and_path(
    lens: TypedCodec[Task], stored: Any, path: str, expected: str
) -> None:
    typed = lens.entry(entry(stored))
    assert (typed.key, typed.rev, typed.by) == ("auth", 7, "impl-1")
    for _ in range(2):
        with pytest.raises(Mismatch) as mismatch:
            _ = typed.value
        assert mismatch.value.details == {"key": "task:auth", "path": path, "expected": expected}
        assert all(part in str(mismatch.value) for part in ("'task:auth'", "impl-1", "Task", path, expected))


def test_an_event_has_its_value_and_the_entry_before_as_the_type(lens: TypedCodec[Task]) -> None:
    before = entry({"owner": "me"})
    event = Incoming(type="set", key="task:auth", ns="n", rev=8, by="b", value={"owner": "you"}, prev=before, sub=3)
    typed = lens.event(event)
    assert (typed.type, typed.key, typed.rev, typed.by, typed.sub) == ("set", "auth", 8, "b", 3)
    assert typed.value == Task("you")
    assert isinstance(typed.prev, TypedEntry)
    assert typed.prev.value == Task("me")
    assert isinstance(typed, Event)
    with pytest.raises(Mismatch, match=r"\$\.owner"):
        _ = lens.event(Event(type="set", key="task:auth", value={"owner": 1})).value


@pytest.mark.parametrize("type", ["delete", "expire", "synced", "lost"])
def test_the_value_of_an_event_without_one_raises_mismatch(lens: TypedCodec[Task], type: str) -> None:
    typed = lens.event(Event(type=type, key="task:auth" if type == "delete" else ""))
    assert typed.key in ("auth", "")
    assert (typed.type, typed.prev) == (type, UNSET)
    with pytest.raises(Mismatch, match=f"{type} has no value"):
        _ = typed.value


def test_an_update_that_left_nothing_there_has_no_value(lens: TypedCodec[Task]) -> None:
    done = lens.updated("auth", Updated(8, 3, {"owner": "me"}, None))
    assert isinstance(done, TypedUpdated)
    assert (done.rev, done.version, done.value, done.expires_at) == (8, 3, Task("me"), None)
    with pytest.raises(Mismatch, match="task:auth"):
        _ = lens.updated("auth", Updated(0, 0, None, None)).value


# --- writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "value", "plain"),
    [
        (Task, Task("me", 1, datetime.date(2030, 1, 2)), {"owner": "me", "points": 1, "due": "2030-01-02", "log": []}),
        (Build, Build("auth", {1: True}), {"service": "auth", "tests": {"1": True}}),
        (Note, {"text": "a"}, {"text": "a"}),
        (int, 5, 5),
        (list[str], ["a"], ["a"]),
        (dict[str, Build], {"a": Build("b")}, {"a": {"service": "b", "tests": {}}}),
    ],
)
def test_every_kind_of_type_goes_in_and_comes_back(model: type[Any], value: Any, plain: Any) -> None:
    lens = TypedCodec(model, None, "")
    assert lens.plain("k", value) == plain
    assert lens.entry(entry(plain)).value == value


@pytest.mark.parametrize("wrong", [Task(5), {"owner": 5}, "text", Task("me", log=[1]), Unknown(), {1: Unknown()}])  # type: ignore[arg-type, list-item]
def test_a_value_that_could_not_be_read_back_is_not_written(lens: TypedCodec[Task], wrong: Any) -> None:
    with pytest.raises(Mismatch, match="'task:auth'"):
        lens.plain("auth", wrong)


def test_the_function_of_a_typed_update_gets_and_returns_the_type(lens: TypedCodec[Task]) -> None:
    assert lens.value("auth", {"owner": "me"}) == Task("me")
    assert lens.value("auth", None) is None
    with pytest.raises(Mismatch, match="task:auth"):
        lens.value("auth", "text")
    assert lens.decided("auth", Task("me"))["owner"] == "me"
    assert lens.decided("auth", KEEP) is KEEP
    assert lens.decided("auth", None) is None, "the hub's client refuses it, and says why"  # type: ignore[arg-type]


def test_a_type_that_json_cannot_be_read_as_is_refused_at_once() -> None:
    with pytest.raises(BadRequest, match="Unknown is not a JSON type"):
        TypedCodec(Unknown, None, "")


# --- keys --------------------------------------------------------------------------------------------------------


def test_keys_are_relative_to_the_view_and_its_prefix_is_quoted_in_patterns() -> None:
    lens = TypedCodec(int, None, r"a[*?\:")
    assert lens.key("b") == r"a[*?\:b"
    assert lens.within(lens.key("b")) == "b"
    assert lens.pattern("*") == r"a\[\*\?\\:*"
    assert TypedCodec(int, None, "").pattern("task:*") == "task:*"


# --- mirrors -----------------------------------------------------------------------------------------------------


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture
def view(replica: Replica, lens: TypedCodec[Task]) -> TypedMirrorView[Task]:
    return TypedMirrorView(MirrorView(replica), lens)


def change(replica: Replica, type: str, key: str, value: Any = UNSET) -> None:
    replica.put([Event(type=type, key=f"task:{key}", rev=5, value=value)], 0, None)


def test_a_mirror_is_read_through_the_view(replica: Replica, view: TypedMirrorView[Task]) -> None:
    change(replica, "set", "a", {"owner": "me"})
    change(replica, "set", "odd", 5)
    assert (list(view), len(view), "a" in view, "task:a" in view) == (["a", "odd"], 2, True, False)
    assert view["a"].value == Task("me")
    assert (view.value("a"), view.value("b"), view.value("b", 7)) == (Task("me"), None, 7)
    assert [key for key, _ in view.items()] == [entry.key for entry in view.values()] == [*view.snapshot()]
    with pytest.raises(Mismatch, match="task:odd"):
        view.value("odd")
    with pytest.raises(KeyError):
        view["b"]
    assert (view.synced, view.rev, view.changes) == (False, 0, 2)
    assert "2 entries" in repr(view)


def test_a_mirror_converts_each_value_once(replica: Replica, view: TypedMirrorView[Task]) -> None:
    change(replica, "set", "a", {"owner": "me"})
    first = view["a"]
    assert view["a"] is first
    assert [*view.values()] == [first]
    change(replica, "set", "a", {"owner": "you"})
    assert (first.value, view["a"].value) == (Task("me"), Task("you"))


def test_converted_values_of_deleted_entries_are_dropped(replica: Replica, view: TypedMirrorView[Task]) -> None:
    for number in range(1000):
        change(replica, "set", str(number), {"owner": "me"})
        assert view[str(number)].value == Task("me")
        change(replica, "delete", str(number))
    assert len(view._known) < 200


# --- events as they are shown ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Event, Incoming, lambda **fields: TypedCodec(int, None, "").event(Event(**fields))])
def test_an_event_is_shown_as_an_event(make: Callable[..., Event]) -> None:
    name = "TypedEvent" if isinstance(make(), TypedEvent) else "Event"
    assert repr(make(type="set", key="Incoming", value=5)) == f"{name}(type='set', key='Incoming', value=5)"

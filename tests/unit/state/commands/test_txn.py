"""Updates and txns as commands: all or nothing, at one revision, and a refusal leaves nothing behind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.wire import messages as m
from waggle.wire.errors import BadRequest, Conflict, LimitReached, NotFound, TooLarge, WaggleError
from waggle_hub.settings import Limits
from waggle_hub.state.effects import Effect, Reply
from waggle_hub.state.log import Commit
from waggle_hub.state.machine import Machine
from waggle_hub.state.sessions import SessionIds

INFO = m.Welcome(
    session="", secret="", agent="", resumed=False, epoch="", rev=0, grace=1, hub=m.HubInfo("waggle", "0"),
    features=[], durability="memory", limits={}, subs={},
)  # fmt: skip


class Desk:
    """A machine with one session, and a clock that the test sets."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.machine = Machine(limits or Limits(), "epoch")
        self.now = 1_000.0
        self.outputs: list[Effect] = []
        self.machine.hello(m.Hello(id=0, agent="a"), SessionIds("s", "secret", "made"), self.now, INFO)

    def do(self, op: str, **fields: Any) -> Any:
        """Return the `ok` of a command; raise its error."""
        command = msgspec.convert({"op": op, "id": 1, **fields}, m.AnyCommand)
        self.outputs = self.machine.apply(command, "s", self.now)
        self.machine.check()
        (reply,) = [output for output in self.outputs if isinstance(output, Reply)]
        if reply.outcome.error is not None:
            raise reply.outcome.error
        return reply.outcome.ok

    def commits(self) -> list[Commit]:
        """Return the commits of the last command."""
        return [output for output in self.outputs if isinstance(output, Commit)]

    def value(self, key: str) -> Any:
        entry = self.do("get", key=key).entry
        return None if entry is None else msgspec.json.decode(entry.value)

    def picture(self) -> list[tuple[Any, ...]]:
        """Return everything that a txn could have changed."""
        entries = self.do("list", pattern="*", limit=1000).entries
        return [(e.key, bytes(e.value), e.rev, e.version, e.kind, e.expires_at, e.by) for e in entries]


def test_an_update_keeps_kind_meta_and_deadline() -> None:
    desk = Desk()
    desk.do("set", key="k", value={"n": 1}, kind="transient", meta={"x": 1}, ttl=60)
    before = desk.do("get", key="k").entry
    updated = desk.do("update", key="k", merge={"n": 2})
    after = desk.do("get", key="k").entry
    assert bytes(updated.value) == b'{"n":2}'
    assert (after.kind, after.expires_at, bytes(after.meta)) == ("transient", before.expires_at, b'{"x":1}')
    assert (after.version, after.rev) == (before.version + 1, updated.rev)


def test_an_update_with_a_ttl_gives_a_new_deadline() -> None:
    desk = Desk()
    desk.do("set", key="k", value=1, ttl=60)
    assert desk.do("update", key="k", incr=1, ttl=5).expires_at == desk.now + 5


def test_an_update_of_an_ephemeral_entry_keeps_its_owner() -> None:
    desk = Desk()
    desk.do("set", key="k", value=1, ephemeral=True)
    desk.do("update", key="k", incr=1)
    desk.do("bye")
    assert desk.machine.state.keyspace.get("default", "k") is None


def test_an_update_of_a_due_entry_starts_from_an_absent_value() -> None:
    desk = Desk()
    desk.do("set", key="k", value=5, ttl=1)
    desk.now += 1
    assert bytes(desk.do("update", key="k", incr=1).value) == b"1"
    assert [commit.events[0].type for commit in desk.commits()] == ["expire", "set"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "merge"),
        ({"merge": {}, "incr": 1}, "incr"),
        ({"merge": {}, "pointer": "/a"}, "pointer"),
        ({"incr": 1, "pointer": "a"}, "pointer"),
        ({"append": 1}, "append"),
        ({"incr": 2**63}, "incr"),
        ({"patch": [{"op": "zap", "path": ""}]}, "patch"),
    ],
)
def test_an_update_that_does_not_fit_changes_nothing_and_names_the_field(fields: Any, field: str) -> None:
    desk = Desk()
    desk.do("set", key="k", value={"a": 1})
    before = desk.picture()
    with pytest.raises(BadRequest) as refused:
        desk.do("update", key="k", **fields)
    assert refused.value.details["field"] == field
    assert desk.picture() == before


def test_a_failed_test_of_a_patch_is_a_conflict_that_shows_the_entry() -> None:
    desk = Desk()
    desk.do("set", key="k", value={"a": 1})
    with pytest.raises(Conflict) as conflict:
        desk.do("update", key="k", patch=[{"op": "test", "path": "/a", "value": True}])
    assert bytes(conflict.value.current.value) == b'{"a":1}'


def test_a_result_that_is_too_large_is_refused() -> None:
    desk = Desk(Limits(value=100))
    desk.do("set", key="k", value=["x" * 60])
    with pytest.raises(TooLarge):
        desk.do("update", key="k", append="x" * 60)


def test_incr_cannot_leave_the_64_bits() -> None:
    desk = Desk()
    desk.do("set", key="k", value=2**63 - 1)
    with pytest.raises(BadRequest):
        desk.do("update", key="k", incr=1)


def test_a_versioned_entry_shows_its_history_newest_first_and_keeps_the_last_ones() -> None:
    desk = Desk(Limits(history=3))
    for number in range(6):
        desk.do("set", key="k", value=number, kind="versioned")
    desk.do("update", key="k", incr=10)
    history = desk.do("history", key="k").entries
    assert [bytes(entry.value) for entry in history] == [b"15", b"5", b"4", b"3"]
    assert [entry.version for entry in history] == [7, 6, 5, 4]
    assert [bytes(entry.value) for entry in desk.do("history", key="k", limit=2).entries] == [b"15", b"5"]


def test_history_of_another_kind_has_one_version_and_of_an_absent_key_none() -> None:
    desk = Desk()
    desk.do("set", key="k", value=1)
    desk.do("set", key="k", value=2)
    assert [bytes(entry.value) for entry in desk.do("history", key="k").entries] == [b"2"]
    assert desk.do("history", key="none").entries == []


def test_a_txn_is_one_revision_whose_steps_see_each_other() -> None:
    desk = Desk()
    done = desk.do(
        "txn",
        **{
            "if": [{"key": "a", "exists": False}],
            "then": [
                {"op": "set", "key": "a", "value": 1},
                {"op": "update", "key": "a", "incr": 1},
                {"op": "set", "key": "b", "value": 1},
                {"op": "delete", "key": "b"},
                {"op": "publish", "channel": "c", "data": 1},
            ],
        },
    )
    (commit,) = desk.commits()
    assert done.done == "then"
    assert [event.type for event in commit.events] == ["set", "set", "set", "delete", "message"]
    assert {done.rev, *(result.rev for result in done.results)} == {commit.rev}
    assert desk.value("a") == 2
    assert desk.value("b") is None


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"key": "k", "exists": True}, True),
        ({"key": "k", "exists": False}, False),
        ({"key": "none", "exists": False}, True),
        ({"key": "none", "rev": 0}, True),
        ({"key": "k", "rev": 0}, False),
        ({"key": "k", "pointer": "/n", "equals": 1}, True),
        ({"key": "k", "pointer": "/n", "equals": True}, False),
        ({"key": "k", "pointer": "/n/x", "equals": 1}, False),
        ({"key": "k", "equals": {"n": 1.0}}, True),
        ({"key": "none", "equals": None}, False),
        ({"key": "k", "ns": "other", "exists": True}, False),
    ],
)
def test_a_condition_chooses_the_branch(condition: dict[str, Any], holds: bool) -> None:
    desk = Desk()
    desk.do("set", key="k", value={"n": 1})
    assert desk.do("txn", **{"if": [condition], "then": [], "else": []}).done == ("then" if holds else "else")


@pytest.mark.parametrize(
    "txn",
    [
        {"if": [{"key": "k"}], "then": []},
        {"if": [{"key": "k", "rev": 1, "exists": True}], "then": []},
        {"if": [{"key": "k", "rev": 1, "pointer": "/a"}], "then": []},
        {"if": [{"key": "", "rev": 1}], "then": []},
        {"if": [], "then": [{"op": "get", "key": "k"}]},
        {"if": [], "then": [{"op": "set", "key": "k"}]},
        {"if": [], "then": [{"op": "set", "key": "k", "value": 1, "id": 1}]},
        {"if": [], "then": [{"op": "set", "key": "k", "value": 1, "rid": "r"}]},
        {"if": [], "then": [], "else": [{"op": "set", "key": "k", "value": 1, "zap": 1}]},
    ],
)
def test_a_malformed_txn_is_refused_whole(txn: dict[str, Any]) -> None:
    desk = Desk()
    with pytest.raises(BadRequest) as refused:
        desk.do("txn", **txn)
    assert refused.value.details["index"] == 0
    assert desk.picture() == []


@pytest.mark.parametrize("step", [{"op": "sett", "key": "k"}, {"key": "k"}, {"op": ["set"]}, {"op": "get", "key": "k"}])
def test_an_unknown_step_is_refused_with_the_valid_ops(step: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"^then\[1\]: .* delete, publish, set, touch, update$") as refused:
        Desk().do("txn", **{"if": [], "then": [{"op": "set", "key": "k", "value": 1}, step]})
    assert refused.value.details["index"] == 1


def test_a_txn_has_a_limit_of_steps() -> None:
    desk = Desk(Limits(steps=2))
    with pytest.raises(LimitReached):
        desk.do("txn", **{"if": [], "then": [{"op": "delete", "key": "k"}] * 3})


def test_a_refused_step_undoes_the_txn_and_is_named() -> None:
    desk = Desk()
    desk.do("set", key="plain", value=1)
    desk.do("set", key="mine", value=1, ephemeral=True, ttl=60)
    desk.do("set", key="history", value=1, kind="versioned")
    desk.do("set", key="gone", value=1)
    desk.do("delete", key="gone")
    before, rev = desk.picture(), desk.machine.state.log.rev
    with pytest.raises(NotFound) as refused:
        desk.do(
            "txn",
            **{
                "if": [],
                "then": [
                    {"op": "set", "key": "plain", "value": 2, "ttl": 5},
                    {"op": "set", "key": "mine", "value": 2},
                    {"op": "set", "key": "history", "value": 2, "kind": "versioned"},
                    {"op": "set", "key": "gone", "value": 2},
                    {"op": "set", "key": "new", "value": 2, "ephemeral": True},
                    {"op": "delete", "key": "plain"},
                    {"op": "touch", "key": "mine", "ttl": 1},
                    {"op": "touch", "key": "plain", "ttl": 1},
                ],
            },
        )
    assert refused.value.details["index"] == 7
    assert desk.commits() == []
    assert desk.picture() == before
    assert desk.machine.state.log.rev == rev
    assert desk.do("set", key="gone", value=3).version == 2
    assert desk.do("set", key="new", value=3).version == 1
    desk.do("bye")
    assert desk.machine.state.keyspace.get("default", "mine") is None


def test_a_conflict_within_a_txn_has_current_and_index() -> None:
    desk = Desk()
    desk.do("set", key="k", value=1)
    with pytest.raises(Conflict) as conflict:
        desk.do("txn", **{"if": [], "then": [{"op": "set", "key": "k", "value": 2, "if_rev": 0}]})
    assert bytes(conflict.value.current.value) == b"1"
    assert conflict.value.details["index"] == 0


def test_a_due_entry_that_a_txn_names_expires_before_it() -> None:
    desk = Desk()
    desk.do("set", key="k", value=1, ttl=1)
    desk.now += 1
    done = desk.do("txn", **{"if": [{"key": "k", "exists": False}], "then": [{"op": "set", "key": "k", "value": 2}]})
    assert done.done == "then"
    assert [[event.type for event in commit.events] for commit in desk.commits()] == [["expire"], ["set"]]


KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.builds(
        lambda key, value, ttl, ephemeral, if_rev, kind: {
            "op": "set", "key": key, "value": value, "ttl": ttl, "ephemeral": ephemeral, "if_rev": if_rev, "kind": kind
        },
        KEYS, st.integers(0, 3), st.sampled_from([None, 1, 5]), st.booleans(), st.sampled_from([None, None, 0]),
        st.sampled_from(["persistent", "versioned"]),
    ),
    st.builds(lambda key: {"op": "delete", "key": key}, KEYS),
    st.builds(lambda key: {"op": "touch", "key": key, "ttl": 3}, KEYS),
    st.builds(lambda key: {"op": "update", "key": key, "incr": 1}, KEYS),
    st.builds(lambda key: {"op": "update", "key": key, "append": 1}, KEYS),
    st.just({"op": "publish", "channel": "c", "data": 1}),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=8), st.lists(STEPS, max_size=6))
def test_a_txn_does_what_its_steps_would_do_alone_or_nothing(
    first: list[dict[str, Any]], txn: list[dict[str, Any]]
) -> None:
    together, apart = Desk(), Desk()
    for desk in (together, apart):
        for step in first:
            try:
                desk.do(**step)
            except WaggleError:
                pass
    before = together.picture()
    refused_at = None
    for index, step in enumerate(txn):
        try:
            apart.do(**step)
        except WaggleError:
            refused_at = index
            break
    if refused_at is None:
        together.do("txn", **{"if": [], "then": txn})
        assert [(row[0], row[1], row[3]) for row in together.picture()] == [
            (row[0], row[1], row[3]) for row in apart.picture()
        ]
    else:
        with pytest.raises(WaggleError) as refused:
            together.do("txn", **{"if": [], "then": txn})
        assert refused.value.details["index"] == refused_at
        assert together.picture() == before

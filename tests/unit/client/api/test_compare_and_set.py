"""An update by a function starts from one whole entry, writes only the value, and ends."""

from __future__ import annotations

from typing import Any

import pytest

from waggle.api import compare_and_set
from waggle.api.compare_and_set import KEEP, Attempts, check_update
from waggle.wire.errors import BadRequest, Conflict
from waggle.wire.messages import Entry, Update, Updated


def entry(rev: int, value: Any) -> Entry:
    return Entry(
        key="k", ns="default", rev=rev, version=3, kind="cached", created_at=1.0, updated_at=2.0, expires_at=9.0,
        by="b", value=value,
    )  # fmt: skip


def begun(found: Entry | None) -> Attempts:
    return Attempts(Update(id=0, key="k", ns="n", ttl=5.0), found)


def test_an_attempt_is_written_only_if_its_entry_has_not_changed() -> None:
    attempt = begun(entry(7, {"n": 1}))
    assert attempt.value == {"n": 1}
    command = attempt.command({"n": 2})
    assert (command.key, command.ns, command.ttl, command.if_rev) == ("k", "n", 5.0, 7)
    assert command.patch == [{"op": "add", "path": "", "value": {"n": 2}}]


def test_an_absent_key_is_written_only_while_it_is_absent() -> None:
    attempt = begun(None)
    assert attempt.value is None
    assert attempt.command([]).if_rev == 0


def test_after_a_conflict_the_next_attempt_starts_from_the_present_entry() -> None:
    attempt = begun(entry(7, 1))
    attempt.on_conflict(Conflict("no", current=entry(9, 5)), 0.5)
    assert (attempt.value, attempt.command(6).if_rev) == (5, 9)
    attempt.on_conflict(Conflict("no", current=None), 0.5)
    assert (attempt.value, attempt.command(6).if_rev) == (None, 0)


def test_pauses_begin_after_a_few_attempts_grow_and_have_an_end() -> None:
    attempt = begun(None)
    pauses = [attempt.on_conflict(Conflict("no", current=None), 0.5) for _ in range(compare_and_set.MAX_ATTEMPTS - 1)]
    assert pauses[:4] == [0.0, 0.0, 0.001, 0.002]
    assert pauses[-1] == 0.05
    assert pauses == sorted(pauses)
    assert 2 * sum(pauses) < 10


def test_in_the_end_the_conflict_is_raised_with_what_to_do() -> None:
    attempt = begun(None)
    for _ in range(compare_and_set.MAX_ATTEMPTS - 1):
        attempt.on_conflict(Conflict("no", current=None), 0.0)
    with pytest.raises(Conflict, match="merge=") as conflict:
        attempt.on_conflict(Conflict("no", current=entry(9, 5)), 0.0)
    assert conflict.value.current == entry(9, 5)


def test_none_is_taken_for_a_forgotten_return() -> None:
    with pytest.raises(BadRequest, match=r"waggle\.KEEP"):
        begun(entry(7, 1)).command(None)


def test_values_that_json_cannot_hold_are_not_written() -> None:
    with pytest.raises(BadRequest, match=r"value\['n'\]"):
        begun(None).command({"n": float("nan")})


def test_keep_returns_the_entry_as_it_was_read() -> None:
    assert begun(entry(7, [1])).kept() == Updated(rev=7, version=3, value=[1], expires_at=9.0)
    assert begun(None).kept() == Updated(rev=0, version=0, value=None, expires_at=None)
    assert repr(KEEP) == "waggle.KEEP"


@pytest.mark.parametrize(
    "fields",
    [{"merge": {}}, {"merge": None}, {"patch": []}, {"incr": 0}, {"append": None, "pointer": "/a", "if_rev": 0}],
)
def test_each_way_to_change_a_value_will_do(fields: dict[str, Any]) -> None:
    check_update(Update(id=0, key="k", **fields), None)
    with pytest.raises(BadRequest, match="exactly one"):
        check_update(Update(id=0, key="k", **fields), repr)
    with pytest.raises(BadRequest, match="exactly one"):
        check_update(Update(id=0, key="k", **{"incr": 1, "append": 1, **fields}), None)


def test_no_way_is_refused_too() -> None:
    with pytest.raises(BadRequest, match="exactly one"):
        check_update(Update(id=0, key="k"), None)


def test_options_that_exclude_an_update_function_are_refused() -> None:
    with pytest.raises(BadRequest, match="whole value"):
        check_update(Update(id=0, key="k", pointer="/a"), repr)
    with pytest.raises(BadRequest, match=r"set\(if_rev=\)"):
        check_update(Update(id=0, key="k", if_rev=3), repr)
    with pytest.raises(BadRequest, match="pass merge="):
        check_update(Update(id=0, key="k"), {"n": 1})  # type: ignore[arg-type]


def test_operands_are_plain_json() -> None:
    for fields in ({"merge": {1}}, {"patch": [object()]}, {"incr": float("inf")}, {"append": {1: 2}}):
        with pytest.raises(BadRequest):
            check_update(Update(id=0, key="k", **fields), None)

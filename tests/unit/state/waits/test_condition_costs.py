"""The costs of conditions, in counts that do not depend on the machine: decodes and comparisons in one step."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest

from tests.unit.state.waiting_harness import WaitingHarness
from waggle.wire import messages as m
from waggle.wire.errors import TimedOut
from waggle_hub.settings import Limits
from waggle_hub.state.effects import DeferredReply, Effect, Reply
from waggle_hub.state.waits import decoded_values
from waggle_hub.state.waits.decoded_values import DecodedValues
from waggle_hub.state.waits.predicate import Predicate

SMALL = Limits(condition_bytes=1)
"""A step compares one value."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The texts that were decoded for conditions, in order."""
    texts: list[bytes] = []

    def decode(text: bytes) -> Any:
        texts.append(text)
        return json.loads(text)

    monkeypatch.setattr(decoded_values, "decode", decode)
    return texts


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Predicate]:
    """The predicates that were applied to a value, in order."""
    predicates: list[Predicate] = []
    holds = Predicate.holds

    def counted(self: Predicate, value: Any) -> bool:
        predicates.append(self)
        return holds(self, value)

    monkeypatch.setattr(Predicate, "holds", counted)
    return predicates


def listing(item: int, **fields: Any) -> dict[str, Any]:
    return {
        "where": {"op": "contains", "value": item},
        **({"key": "m"} | fields if "pattern" not in fields else fields),
    }


def on_key(number: int = 0, key: str = "m") -> dict[str, Any]:
    return {"key": key, "where": {"pointer": "/done", "value": number}}


def test_a_value_is_decoded_once_for_all_conditions_of_a_wait(decoded: list[bytes]) -> None:
    harness = WaitingHarness()
    harness.set("m", value={"done": False})
    harness.ask("b", "wait", any=[on_key(number) for number in range(100)])
    assert decoded == [b'{"done":false}']


def test_each_version_of_a_value_is_decoded_once_for_all_waits(decoded: list[bytes]) -> None:
    harness = WaitingHarness()
    harness.set("m", value={"done": False})
    for session in "abcd":
        for number in range(10):
            harness.ask(session, "wait", all=[on_key(number)])
            harness.ask(session, "wait", all=[{"pattern": "m*", "where": {"pointer": "/done", "value": number}}])
    assert decoded == [b'{"done":false}']
    harness.set("m", value={"done": 3})
    assert decoded == [b'{"done":false}', b'{"done":3}']
    assert len(harness.answers()) == 8


def test_a_condition_is_compared_once_with_each_version_of_a_value(compared: list[Predicate]) -> None:
    harness = WaitingHarness()
    harness.set("m", "n", value={"done": False})
    harness.ask("b", "wait", all=[on_key(1, "m"), on_key(1, "n")])
    compared.clear()
    for number in range(5):
        harness.machine.apply(m.Set(id=number, key="n", value={"done": 1}), "a", harness.now)
        harness.machine.apply(m.Touch(id=number, key="n", ttl=60), "a", harness.now)
    assert len(compared) == 5, "the condition on m has not changed, and touch does not change a value"
    answered = harness.machine.apply(m.Set(id=9, key="m", value={"done": 1}), "a", harness.now)
    assert len([output for output in answered if isinstance(output, DeferredReply)]) == 1
    assert len(compared) == 6


def test_decoded_values_are_kept_up_to_a_bound_and_the_newest_always(decoded: list[bytes]) -> None:
    values = DecodedValues(max_bytes=5_000)
    for number in [*range(6), 5, 4, 0]:
        assert values.get(b"%d" % number) == number
    assert decoded == [b"0", b"1", b"2", b"3", b"4", b"5", b"0"]
    long = json.dumps("x" * 9_000).encode()
    assert values.get(long) is values.get(long)
    assert decoded[7:] == [long]


# --- in slices ---


def test_a_step_compares_values_up_to_a_bound_and_the_rest_goes_on_in_slices(compared: list[Predicate]) -> None:
    size = 50_000
    harness = WaitingHarness(Limits(condition_bytes=5 * size))
    harness.set("m", value=[0] * (size // 2))
    id = harness.ask("b", "wait", any=[listing(number) for number in range(1, 101)], timeout=0)
    assert len(compared) <= 5
    harness.now += 1
    slices = 0
    while harness.machine.has_pending_scan:
        compared.clear()
        assert harness.proceed(most=1) == 1
        assert len(compared) <= 5
        slices += 1
    assert slices >= 20
    assert isinstance(harness.answers()[id], TimedOut), "it is answered when all is compared"


def test_a_change_wakes_waits_up_to_a_bound_and_the_rest_in_slices_in_the_same_order() -> None:
    harness = WaitingHarness(Limits(condition_bytes=256 * 100))
    ids = [harness.ask("b", "wait", all=[{"key": "k"}], timeout=100) for _ in range(1_000)]
    rev = harness.set("k")
    answered = list(harness.answers())
    assert 50 <= len(answered) <= 101
    harness.set("k", value="newer")
    while harness.machine.has_pending_scan:
        harness.proceed(most=1)
        assert 0 < len(harness.answers()) <= 101
        assert {outcome.rev for outcome in harness.answers().values()} == {rev}
        answered += list(harness.answers())
    assert answered == ids


@pytest.mark.parametrize("on", [{"key": "m"}, {"pattern": "m*"}])
def test_a_wait_is_answered_even_if_what_met_it_is_gone_before_it_is_compared(on: dict[str, Any]) -> None:
    harness = WaitingHarness(SMALL)
    harness.set("m", value=[])
    ids = [harness.ask("b", "wait", all=[listing(number, **on)]) for number in (2, 1)]
    harness.proceed()
    rev = harness.set("m", value=[1, 2])
    harness.set("m", value=[])
    harness.do("a", "delete", key="m")
    harness.tick(1)
    harness.proceed()
    assert set(harness.answers()) <= set(ids)
    waited = harness.answer(ids[1])
    assert (waited.rev, bytes(waited.matched[0].value), waited.met) == (rev, b"[1,2]", [0])


def test_a_wait_for_all_is_not_met_by_values_of_different_revisions() -> None:
    harness = WaitingHarness(SMALL)
    harness.set("m", "n", value=[])
    id = harness.ask("b", "wait", all=[listing(1), listing(1, key="n")], timeout=10)
    harness.proceed()
    for key, value in [("m", [1]), ("m", []), ("n", [1]), ("n", [])]:
        harness.set(key, value=value)
    harness.proceed()
    assert harness.answers() == {}
    harness.tick(10)
    assert harness.answers()[id].details["met"] == []


def test_a_cancelled_wait_is_compared_no_more() -> None:
    harness = WaitingHarness(SMALL)
    harness.set("m", value=[])
    id = harness.ask("b", "wait", any=[listing(number) for number in range(10)])
    harness.do("b", "cancel", target=id)
    assert not harness.machine.has_pending_scan


def test_a_wait_keeps_a_bounded_number_of_moments(compared: list[Predicate]) -> None:
    harness = WaitingHarness(SMALL)
    harness.set("m", value=[])
    first = harness.ask("b", "wait", any=[listing(1), listing(2)])
    harness.ask("b", "wait", any=[listing(1), listing(2)])
    for _ in range(200):
        harness.machine.apply(m.Set(id=0, key="m", value=[0]), "a", harness.now)
    assert all(len(wait.moments) <= 101 for wait in harness.machine.state.condition_index.waits)
    rev = harness.set("m", value=[1])
    harness.set("m", value=[])
    harness.proceed(most=10_000)
    assert harness.answer(first).rev == rev


CONDITIONS: list[dict[str, Any]] = [
    *({**on, "where": {"op": op, "value": 1}, **more}
      for on in ({"key": "m"}, {"key": "n"}, {"pattern": "*"}, {"pattern": "m*"})
      for op in ("eq", "ne", "contains")
      for more in ({}, {"absent": True})),
    {"key": "m"}, {"key": "n", "absent": True}, {"key": "m", "unlocked": True}, {"pattern": "*", "count": 2},
    {"key": "n", "unlocked": True, "absent": True}, {"pattern": "*", "unlocked": True},
]  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_the_answers_do_not_depend_on_the_bound(seed: int) -> None:
    assert answers(seed, Limits()) == answers(seed, SMALL)


def answers(seed: int, limits: Limits) -> dict[Any, Any]:
    """Return the outcome of each wait, by id, after random commands."""
    random = Random(seed)
    harness = WaitingHarness(limits)
    outcomes: dict[Any, Any] = {}

    def collect(effects: list[Effect], command: m.AnyCommand | None = None) -> None:
        for effect in effects:
            if isinstance(effect, DeferredReply) or (isinstance(effect, Reply) and isinstance(command, m.Wait)):
                outcomes[effect.id] = effect.outcome
        harness.machine.check()

    def apply(command: m.AnyCommand, session: str) -> None:
        collect(harness.machine.apply(command, session, harness.now), command)

    # All waits come before the first entry: so nothing is left to the scan of a pattern, which sees only what stays.
    for id in range(1, 41):
        conditions = [m.Awaited(**_typed(random.choice(CONDITIONS))) for _ in range(random.randint(1, 3))]
        fields: dict[str, Any] = {random.choice(["all", "any"]): conditions}
        apply(m.Wait(id=id, timeout=1_000, **fields), "b")
    for id in range(100, 160):
        key = random.choice(["m", "n", "mm"])
        match random.randint(0, 5):
            case 0 | 1 | 2:
                apply(m.Set(id=id, key=key, value=random.choice([0, 1, [1], [0, 1], [2]])), "a")
            case 3:
                apply(m.Delete(id=id, key=key), "a")
            case 4:
                apply(m.Lock(id=id, name=key, ttl=3_000), "c")
            case _:
                apply(m.Unlock(id=id, name=key, force=True, reason="test"), "a")
    while harness.machine.has_pending_scan:
        collect(harness.machine.continue_scan(harness.now))
    assert all(outcome.ok is not None for outcome in outcomes.values())
    return {id: msgspec.json.encode(outcome.ok) for id, outcome in outcomes.items()}


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | ({"where": m.Where(**fields["where"])} if "where" in fields else {})


def test_a_value_is_decoded_once_for_all_conditions_of_a_txn(decoded: list[bytes]) -> None:
    harness = WaitingHarness()
    harness.set("m", value={"done": False})
    conditions = [{"key": "m", "pointer": "/done", "equals": False}] * 128
    done = harness.do("a", "txn", **{"if": conditions, "then": [], "else": []})
    assert done.done == "then"
    assert decoded == [b'{"done":false}']

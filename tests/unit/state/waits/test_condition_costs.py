"""The costs of conditions, in counts that do not depend on the machine: decodes and comparisons in one step."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.state.waiting_harness import WaitingHarness
from waggle.wire import messages as m
from waggle_hub.state.effects import DeferredReply
from waggle_hub.state.waits import decoded_values
from waggle_hub.state.waits.decoded_values import DecodedValues
from waggle_hub.state.waits.predicate import Predicate

NEVER = {"pointer": "/done", "value": True}


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

"""The rule of search: which texts are accepted (protocol 4)."""

from __future__ import annotations

import pytest

from tests.unit.state.machine_harness import MachineHarness
from waggle.wire.errors import BadRequest, LimitReached
from waggle_hub.state.effects import StartSearch, Word


def wanted(harness: MachineHarness, **fields: object) -> StartSearch:
    """Return the search that the machine has started."""
    with pytest.raises(ValueError, match="not enough values"):
        harness.do("a", "search", **fields)
    (output,) = harness.outputs
    assert isinstance(output, StartSearch)
    return output


@pytest.fixture
def harness() -> MachineHarness:
    harness = MachineHarness()
    harness.open_session("a", ns="home")
    return harness


def test_a_search_is_an_effect_and_changes_nothing(harness: MachineHarness) -> None:
    rev = harness.machine.state.log.rev
    found = wanted(harness, text="jwt  Tokens*\n jwt")
    assert (found.session, found.ns, found.pattern.text, found.limit) == ("a", "home", "*", 20)
    assert found.words == (Word("jwt", False), Word("Tokens", True))
    assert harness.machine.state.log.rev == rev


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--- a !!", [("a", False)]),
        ("a\x00b\x1fc", [("a", False), ("b", False), ("c", False)]),
        ('"x" OR (y)', [('"x"', False), ("OR", False), ("(y)", False)]),
        ("ab** \u00fc", [("ab", True), ("\u00fc", False)]),
    ],
)
def test_the_words_of_a_search_are_separated_by_white_space(
    harness: MachineHarness, text: str, words: list[tuple[str, bool]]
) -> None:
    assert wanted(harness, text=text).words == tuple(Word(*word) for word in words)


@pytest.mark.parametrize("text", ["", "   ", "*", "!! ?", "a*", "x" * 1_001, "\ud800x"])
def test_a_search_without_words_or_with_a_short_prefix_is_refused(harness: MachineHarness, text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        harness.do("a", "search", text=text)
    assert refused.value.details["field"] == "text"


def test_a_search_has_a_limit_of_words(harness: MachineHarness) -> None:
    assert len(wanted(harness, text=" ".join(f"w{n}" for n in range(16))).words) == 16
    with pytest.raises(LimitReached):
        harness.do("a", "search", text=" ".join(f"w{n}" for n in range(17)))


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"limit": 0}, "limit"), ({"limit": 1_001}, "limit"), ({"pattern": "[a"}, "pattern"), ({"ns": "no/ns"}, "ns")],
)
def test_a_malformed_search_is_refused_with_the_field(
    harness: MachineHarness, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        harness.do("a", "search", text="word", **fields)
    assert refused.value.details.get("field", field) == field


def test_a_search_can_be_in_a_namespace_of_the_hub(harness: MachineHarness) -> None:
    assert wanted(harness, text="word", ns="$agents").ns == "$agents"

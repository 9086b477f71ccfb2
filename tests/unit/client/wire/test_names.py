"""The grammar of keys, namespaces and agent names: by example."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from waggle.wire.errors import BadRequest
from waggle.wire.names import check_agent, check_key, check_ns

LONG = "a" * 255
HALF = "\ud83d"


def refused(check: Callable[[], object]) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        check()
    return caught.value


@pytest.mark.parametrize(
    "key", ["a", LONG, "src/a b.py", "*?[x]\\", "日本", "🐝" * 255, "$x", "a\u00a0b", "a\u2028b", "\u200b"]
)
def test_a_key_is_up_to_255_characters_of_nearly_any_kind(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", LONG + "a", "🐝" * 256])
def test_a_key_is_neither_empty_nor_longer_than_255(key: str) -> None:
    assert refused(lambda: check_key(key)).details == {"field": "key"}


@pytest.mark.parametrize("point", [*range(0x20), *range(0x7F, 0xA0)])
def test_a_key_has_no_control_characters(point: int) -> None:
    for key in (f"a{chr(point)}b", chr(point), f"{chr(point)}b", f"a{chr(point)}"):
        refused(lambda key=key: check_key(key))  # type: ignore[misc]


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000"])
def test_a_key_has_no_white_space_at_its_ends(space: str) -> None:
    check_key(f"a{space}b")
    for key in (f"{space}a", f"a{space}", space):
        assert "strip" in refused(lambda key=key: check_key(key)).message  # type: ignore[misc]


def test_a_key_has_no_half_of_a_surrogate_pair() -> None:
    refused(lambda: check_key(f"a{HALF}b"))


def test_a_refusal_names_the_given_field() -> None:
    assert refused(lambda: check_key("", "channel")).details == {"field": "channel"}
    assert refused(lambda: check_ns("", "where")).details == {"field": "where"}
    assert refused(lambda: check_agent("", "who")).details == {"field": "who"}


@pytest.mark.parametrize("ns", ["a", "A.b_c-9", "a" * 64, ".", "-"])
def test_a_namespace_is_letters_digits_and_three_signs(ns: str) -> None:
    check_ns(ns)
    check_ns(ns, hub=True)
    check_ns("$" + ns, hub=True)


@pytest.mark.parametrize("ns", ["", "a" * 65, "a b", "a/b", "é", "a\n", "*", "a$", "$", "$$a", "$" + "a" * 65])
def test_anything_else_is_no_namespace(ns: str) -> None:
    refused(lambda: check_ns(ns))
    refused(lambda: check_ns(ns, hub=True))


def test_a_namespace_with_a_dollar_is_the_hubs() -> None:
    assert "hub" in refused(lambda: check_ns("$agents")).message


def test_an_agents_name_is_a_key_of_at_most_100_characters() -> None:
    check_agent("impl 1/日本")
    check_agent("a" * 100)
    for name in ("", "a" * 101, " a", "a ", "a\n", HALF):
        refused(lambda name=name: check_agent(name))  # type: ignore[misc]


def test_an_agents_name_does_not_start_with_a_dollar() -> None:
    check_agent("a$")
    assert "$" in refused(lambda: check_agent("$hub")).message

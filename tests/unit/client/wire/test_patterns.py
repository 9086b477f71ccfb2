"""The grammar of patterns, and matching: by example, against an oracle, and by counting the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import waggle.wire.patterns
from waggle.wire.errors import BadRequest
from waggle.wire.patterns import Pattern, compile_pattern

LONG = "a" * 255
HALF = "\ud83d"


def refused(check: Callable[[], object]) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        check()
    return caught.value


def matches(pattern: str, *keys: str) -> bool:
    """Return whether the pattern matches every one of the keys."""
    return all(compile_pattern(pattern).match(key) for key in keys)


def misses(pattern: str, *keys: str) -> bool:
    """Return whether the pattern matches none of the keys."""
    return not any(compile_pattern(pattern).match(key) for key in keys)


# --- patterns by example -----------------------------------------------------------------------------------------


def test_plain_text_matches_itself_only() -> None:
    assert matches("task:1", "task:1")
    assert misses("task:1", "task:", "task:11", "xtask:1", "Task:1", "")


def test_a_star_is_any_run_of_characters_also_none() -> None:
    assert matches("task:*", "task:", "task:1", "task:1:owner")
    assert misses("task:*", "task", "xtask:1")


def test_a_star_crosses_slashes_newlines_and_dots() -> None:
    assert matches("src/*.py", "src/a.py", "src/a/b/c.py", "src/.py", "src/\n.py")
    assert matches("*", ".hidden", "a/b", "a:b", "\n", "")


def test_two_stars_are_one() -> None:
    assert matches("src/**/a", "src//a", "src/b/c/a")
    assert misses("src/**/a", "src/a")


def test_a_question_mark_is_one_character_of_any_kind() -> None:
    assert matches("a?c", "abc", "a/c", "a\nc", "a🐝c")
    assert misses("a?c", "ac", "abbc")


def test_a_class_is_one_of_its_members() -> None:
    assert matches("[abc]", "a", "b", "c")
    assert misses("[abc]", "d", "", "ab", "A")
    assert matches("[a-cx-z]", "b", "y")
    assert misses("[a-cx-z]", "d", "-")


def test_a_negated_class_is_one_of_all_others_slash_and_newline_too() -> None:
    assert matches("[!a-c]", "d", "/", "\n", "🐝", "!")
    assert misses("[!a-c]", "a", "b", "c", "", "dd")


def test_a_hyphen_first_or_last_or_after_a_range_is_itself() -> None:
    assert matches("[-a]", "-", "a")
    assert matches("[a-]", "-", "a")
    assert matches("[!-a]", "b")
    assert misses("[!-a]", "-", "a")
    assert matches("[a-c-e]", "b", "-", "e")
    assert misses("[a-c-e]", "d")
    assert matches("[-]", "-")
    assert matches("[--]", "-")


def test_a_hyphen_may_end_a_range() -> None:
    assert matches("[+--]", "+", ",", "-")
    assert matches("[--/]", "-", ".", "/")


def test_a_caret_does_not_negate() -> None:
    assert matches("[^a]", "^", "a")
    assert misses("[^a]", "b")


def test_an_exclamation_mark_negates_only_at_the_front() -> None:
    assert matches("[a!]", "a", "!")
    assert matches(r"[\!a]", "a", "!")
    assert misses("[!!]", "!")


def test_signs_without_meaning_are_themselves() -> None:
    assert matches("a]!-^{b}", "a]!-^{b}")
    assert matches("[[]", "[")
    assert matches("[*?]", "*", "?")
    assert matches("[[:alpha:]]", "a]", ":]")


def test_a_backslash_takes_the_next_character_as_itself() -> None:
    assert matches(r"\*\?\[\\\a", r"*?[\a")
    assert misses(r"\*", "a", r"\*")
    assert matches(r"[\]\\]", "]", "\\")
    assert matches(r"[a\-c]", "a", "-", "c")
    assert misses(r"[a\-c]", "b")
    assert matches(r"[\[-\]]", "[", "\\", "]")


def test_characters_are_code_points() -> None:
    assert matches("?", "é", "🐝")
    assert misses("?", "e\u0301")
    assert misses("é", "e\u0301")
    assert matches("[\U0010fffe-\U0010ffff]", "\U0010ffff")
    assert matches("[!a]*[\U0010ffff]*", "\U0010ffff\U0010ffff")


@pytest.mark.parametrize(
    "text",
    [
        "", LONG + "a", "a\\", "*\\", f"a{HALF}", f"[{HALF}-z]",
        "[", "[a", "[!", "[!a", "a[b-", "[a-\\", "[\\", "[a\\]", "[]", "[!]", "[]a]", "[!]a]", "a[]b",
        "[b-a]", "[a--]", "[!z-a]", "[a-cz-x]",
    ],
)  # fmt: skip
def test_an_invalid_pattern_is_a_bad_request_with_a_remedy(text: str) -> None:
    error = refused(lambda: compile_pattern(text))
    assert error.details == {"field": "pattern"}
    assert error.message.count(":") or "," in error.message


def test_a_class_of_all_characters_and_a_class_of_none_work() -> None:
    everything = "\0-\U0010ffff"
    assert compile_pattern(f"a[{everything}]") == compile_pattern("a?")
    assert misses(f"*[!{everything}]*", "a", "", "\U0010ffff")


# --- what an index reads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "exact", "prefix", "only_prefix", "runs"),
    [
        ("task:1", "task:1", "task:1", False, ()),
        (r"a\*[b]", "a*b", "a*b", False, ()),
        ("*", None, "", True, ()),
        ("task:*", None, "task:", True, ()),
        (r"a\***", None, "a*", True, ()),
        ("a?*", None, "a", False, ()),
        ("a?", None, "a", False, ()),
        ("*a", None, "", False, ("a",)),
        ("inbox/*/agent-[12]x?y", None, "inbox/", False, ("/agent-", "x", "y")),
        ("?a", None, "", False, ("a",)),
        ("[ab]c*", None, "", False, ("c",)),
    ],
)
def test_a_pattern_tells_its_plain_text(
    text: str, exact: str | None, prefix: str, only_prefix: bool, runs: tuple[str, ...]
) -> None:
    pattern = compile_pattern(text)
    assert pattern.text == text
    assert (pattern.exact, pattern.prefix, pattern.only_prefix, pattern.runs) == (exact, prefix, only_prefix, runs)


@pytest.mark.parametrize(
    "texts",
    [
        ("a*", "a**", r"\a***", "[a]*"),
        ("*?", "?*", "*?*", "**?**"),
        ("?*?*a", "*??*a", "??*a"),
        ("[a-c]", "[cba]", "[a-bb-c]", "[aa-c]"),
        ("[!b-y]", "[\0-az-\U0010ffff]"),
        ("[\U0010ffff]", "\U0010ffff"),
        ("[!\0-`b-\U0010ffff]", "a"),
    ],
)
def test_patterns_that_differ_only_in_writing_are_equal(texts: tuple[str, ...]) -> None:
    assert len({compile_pattern(text) for text in texts}) == 1
    assert compile_pattern(texts[0]).text == texts[0]


def test_patterns_that_mean_different_things_are_not_equal() -> None:
    texts = ["a", "b", "a*", "*a", "a?", "?a", "[ab]", "[!ab]", r"\*", "*", "?", "a*b", "ab*", "*ab", "aa"]
    assert len({compile_pattern(text) for text in texts}) == len(texts)
    assert compile_pattern("a") != "a"


def test_a_refused_pattern_names_the_given_field() -> None:
    assert refused(lambda: compile_pattern("", "patterns")).details == {"field": "patterns"}


def test_a_pattern_is_compiled_once_and_a_refusal_still_names_each_field() -> None:
    assert compile_pattern("task:*", "pattern") is compile_pattern("task:*", "patterns")
    for field in ("one", "two"):
        assert refused(lambda field=field: compile_pattern("[", field)).details == {"field": field}  # type: ignore[misc]


# --- against an oracle -------------------------------------------------------------------------------------------

Token = tuple[str, Callable[[str], bool] | None]
"""A piece of a pattern: how it is written, and the test for its one character; None for a star."""


def oracle(tokens: Iterable[Token], key: str) -> bool:
    """Return whether the tokens match, by tracking every position of the key that can be reached."""
    reached = {0}
    for _, test in tokens:
        if test is None:
            reached = set(range(min(reached), len(key) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(key) and test(key[at])}
    return len(key) in reached


def written(tokens: Iterable[Token]) -> str:
    return "".join(text for text, _ in tokens)


ALPHABET = "abc-]!\\[*?\n"


def escaped(character: str) -> str:
    return "\\" + character


@st.composite
def literals(draw: st.DrawFn) -> Token:
    character = draw(st.sampled_from(ALPHABET))
    plain = character not in "\\[*?" and draw(st.booleans())
    return (character if plain else escaped(character)), lambda other: other == character


@st.composite
def classes(draw: st.DrawFn) -> Token:
    negated = draw(st.booleans())
    pairs = st.tuples(st.sampled_from(ALPHABET), st.sampled_from(ALPHABET)).map(lambda pair: sorted(pair))
    ranges = draw(st.lists(pairs, min_size=1, max_size=3))
    body = "".join(escaped(low) if low == high else f"{escaped(low)}-{escaped(high)}" for low, high in ranges)
    return (
        f"[{'!' * negated}{body}]",
        lambda other: any(low <= other <= high for low, high in ranges) != negated,
    )


star: Token = ("*", None)
any_one: Token = ("?", lambda _: True)
tokens_of = st.lists(
    st.one_of(st.just(star), literals(), st.just(any_one), classes(), st.just(star)), min_size=1, max_size=12
)
keys = st.text(alphabet=ALPHABET, max_size=14)


@settings(max_examples=1500, deadline=None)
@given(tokens_of, st.lists(keys, min_size=1, max_size=8))
def test_matching_agrees_with_the_oracle(tokens: list[Token], some: list[str]) -> None:
    pattern = compile_pattern(written(tokens))
    for key in some:
        assert pattern.match(key) == oracle(tokens, key), (pattern, key)


def all_rows(pieces: Iterable[Token], most: int) -> Iterator[tuple[Token, ...]]:
    pieces = list(pieces)
    for length in range(1, most + 1):
        yield from product(pieces, repeat=length)


def test_matching_agrees_with_the_oracle_on_every_small_pattern_and_key() -> None:
    pieces: list[Token] = [
        star,
        any_one,
        ("a", lambda character: character == "a"),
        ("b", lambda character: character == "b"),
        ("[ab]", lambda character: character in "ab"),
        ("[!a]", lambda character: character != "a"),
    ]
    every_key = ["".join(letters) for length in range(6) for letters in product("ab", repeat=length)]
    meaning: dict[Pattern, list[bool]] = {}
    for tokens in all_rows(pieces, 4):
        pattern = compile_pattern(written(tokens))
        matched = [pattern.match(key) for key in every_key]
        assert matched == [oracle(tokens, key) for key in every_key], pattern
        assert meaning.setdefault(pattern, matched) == matched, pattern


@settings(max_examples=1500, deadline=None)
@given(st.text(alphabet="ab*?[]!-\\", min_size=1, max_size=10), keys)
def test_every_text_is_refused_or_describes_what_it_matches(text: str, key: str) -> None:
    try:
        pattern = compile_pattern(text)
    except BadRequest:
        return
    if pattern.exact is not None:
        assert pattern.match(key) == (key == pattern.exact)
        assert pattern.match(pattern.exact)
    if pattern.only_prefix:
        assert pattern.match(key) == key.startswith(pattern.prefix)
        assert pattern.match(pattern.prefix)
    if pattern.match(key):
        assert key.startswith(pattern.prefix)
        at = len(pattern.prefix)
        for run in pattern.runs:
            assert run in key[at:]
            at = key.index(run, at) + len(run)


# --- how much work matching is -----------------------------------------------------------------------------------


class Watched(str):
    """A key that counts the characters that are read."""

    looked = 0

    def find(self, sub: str, start: object = 0, end: object = None, /) -> int:
        assert isinstance(start, int)
        assert isinstance(end, int)
        found = str.find(self, sub, start, end)
        self.looked += (end if found < 0 else found + len(sub)) - start
        return found

    def startswith(self, prefix: object, start: object = 0, end: object = None, /) -> bool:
        assert isinstance(prefix, str)
        assert isinstance(start, int)
        self.looked += len(prefix)
        return str.startswith(self, prefix, start)

    def __getitem__(self, index: object, /) -> str:
        assert isinstance(index, (int, slice))
        part = str.__getitem__(self, index)
        self.looked += len(part)
        return part


HOSTILE = [
    "*a*a*a*a*b", "*a*a*a*a*b*", "*?????[ab]?*", "*aaaaaaab*", "*" + "[ab]" * 63, "*" + "[ab]" * 60 + "b*",
    "*a" * 126 + "*b*", "*a?" * 84 + "*", "*[ab]c" * 40 + "*", "?*" * 127, "*[!b]" * 50 + "*b*",
    "*" + "?[a-c]" * 41 + "b*", "*" + "a" * 120 + "[ab]" + "a" * 120 + "b*", "a" * 100 + "*" + "[ab]" * 20 + "*b",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("length", [255, 20_000])
def test_a_character_of_the_key_is_looked_at_about_once(text: str, length: int) -> None:
    key = Watched("a" * length)
    compile_pattern(text).match(key)
    assert key.looked <= length + 2 * len(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_character_that_is_looked_at_costs_one_lookup(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = 0

    def counting(points: list[str], character: str) -> int:
        nonlocal lookups
        lookups += 1
        return sum(point <= character for point in points)

    pattern = compile_pattern(text)
    monkeypatch.setattr(waggle.wire.patterns, "bisect_right", counting)
    pattern.match("a" * 20_000)
    assert lookups <= 20_000 + len(text)

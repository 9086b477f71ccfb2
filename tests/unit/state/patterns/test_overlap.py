"""Overlap: by example, against every short string, against a search of both automata, and by counting the work."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from itertools import combinations, combinations_with_replacement, product
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from waggle.wire.patterns import Pattern, compile_pattern
from waggle_hub.state.patterns import overlap as module
from waggle_hub.state.patterns.overlap import overlap

NONE = "[!\0-\U0010ffff]"
"""A class that no character is in."""


def overlaps(one: str, other: str) -> bool:
    """Whether the two patterns overlap, which is the same both ways round."""
    a, b = compile_pattern(one), compile_pattern(other)
    answer = overlap(a, b)
    assert overlap(b, a) == answer, (one, other)
    return answer


# --- sentences ---------------------------------------------------------------------------------------------------


def test_two_names_overlap_if_they_are_the_same() -> None:
    assert overlaps("src/a.py", "src/a.py")
    assert overlaps(r"\s[r]c", "src")
    assert not overlaps("src/a.py", "src/b.py")
    assert not overlaps("src", "src/")


def test_a_name_overlaps_the_patterns_that_match_it() -> None:
    assert overlaps("src/a.py", "src/*")
    assert overlaps("src/a.py", "*.??")
    assert not overlaps("src/a.py", "docs/*")
    assert not overlaps("src", "src?*")


def test_a_folder_overlaps_what_is_in_it_and_not_its_neighbours() -> None:
    for inner in ("src/*", "src/**", "src/auth/*", "src/auth/*.py", "src/?", "src/[a-z]*", "*", "*.py", "s*/x", "src/"):
        assert overlaps("src/*", inner)
    for outer in ("docs/*", "src", "srv/*", "src2/*.py", "[!s]*", "?", "sr?", "???[!/]*", "SRC/*"):
        assert not overlaps("src/*", outer)


def test_different_beginnings_keep_patterns_apart_and_so_do_different_ends() -> None:
    assert not overlaps("a*", "b*")
    assert not overlaps("*.py", "*.ts")
    assert not overlaps("src/*.py", "src/auth/*.ts")
    assert not overlaps("[a-m]*", "[n-z]*")
    assert not overlaps("*[0-9]", "*[a-z]")
    assert not overlaps("x?a*", "xyb*")


def test_text_between_stars_keeps_no_two_patterns_apart() -> None:
    assert overlaps("a*b*c", "a*x*y*c")
    assert overlaps("*test*", "*[0-9][0-9]*")
    assert overlaps("a*", "*b")
    assert overlaps("ab*", "*ba")


def test_a_beginning_and_an_end_may_share_characters_only_where_a_star_lets_them() -> None:
    assert overlaps("ab*", "?b")
    assert overlaps("aba?", "aba*")
    assert not overlaps("ab[a]?", "ab*ba?")
    assert not overlaps("?b?", "ab*ba")
    assert overlaps("?b??", "ab*ba")


def test_a_pattern_without_a_star_must_have_room_for_the_text_between_stars() -> None:
    assert overlaps("?????", "*ab*cd*")
    assert overlaps("????", "*ab*cd*")
    assert not overlaps("???", "*ab*cd*")
    assert overlaps("a?c?", "*[bc]?*")
    assert not overlaps("[ab][ab][ab]", "*c*")
    assert not overlaps("?ab", "*ab*ab*")
    assert overlaps("?bab", "*ab*ab*")
    assert overlaps("[ab]bc[xy]z", "*bc*y*")
    assert not overlaps("[ab]yc[xz]z", "*c*y*")


def test_without_stars_both_must_be_of_one_length() -> None:
    assert overlaps("??", "a?")
    assert overlaps("[ab]?", "?[cd]")
    assert not overlaps("??", "???")
    assert not overlaps("[ab]?", "[cd]?")
    assert not overlaps("?[ab]", "?[cd]")


def test_classes_meet_in_a_character_that_both_have() -> None:
    assert overlaps("[a-m]?", "[m-z]?")
    assert not overlaps("[a-l]?", "[m-z]?")
    assert overlaps("[!a]?", "[!b]?")
    assert overlaps("[!a]?", "[ab]?")
    assert not overlaps("[!a-c]?", "[abc]?")
    assert not overlaps("[!a-y]?", "[b-y]?")
    assert not overlaps("[acegik]?", "[bdfhjl]?")
    assert overlaps("[acegik]?", "[bdfhjlk]?")
    assert overlaps("[!-]?", "[*-,]?")


def test_every_character_of_unicode_counts() -> None:
    assert overlaps("[\U0001f41d-\U0010ffff]*", "*\U0010ffff")
    assert overlaps("[!\0-\U0010fffe]?", "[\U0010fff0-\U0010ffff]?")
    assert not overlaps("[!\0-\U0010fffe]?", "[\0-\U0010fffe]?")
    assert overlaps("[!\1-\U0010ffff]?", "[\0-a]?")
    assert overlaps("??", "\U0001f41d\U0001f41d")
    assert not overlaps("???", "\U0001f41d\U0001f41d")
    assert not overlaps("[\U0001f400-\U0001f4ff]?", "[\U0001f500-\U0001f5ff]?")
    assert not overlaps("?[\U0010ffff]", "*[!\U0010ffff]*[!\U0010ffff]")


def test_a_class_of_nothing_but_surrogates_still_has_members() -> None:
    halves = "[!\0-\ud7ff\ue000-\U0010ffff]"
    assert overlaps(f"{halves}?", "??")
    assert overlaps(f"{halves}?", "[\ud7ff-\ue000]*")
    assert overlaps(f"?{halves}?", f"*{halves}*")
    assert not overlaps(f"{halves}?", "[!\ud7ff-\ue000]*")
    assert not overlaps(f"?{halves}?", "*[\0-\ud7ff]*[\0-\ud7ff]*a")


def test_a_pattern_that_matches_nothing_overlaps_nothing() -> None:
    for nothing in (NONE, f"a{NONE}*", f"*{NONE}", f"*{NONE}*", f"a*{NONE}b*c"):
        for other in ("*", "a", "a*", "*a", "?", "a*c", "*b*", nothing):
            assert not overlaps(nothing, other)


def test_a_string_that_is_too_long_for_a_key_counts() -> None:
    assert overlaps("a" * 200 + "*", "*" + "b" * 200)


# --- against every short string ----------------------------------------------------------------------------------


def test_every_two_small_patterns_overlap_if_and_only_if_some_short_string_matches_both() -> None:
    """Strings of six are long enough for patterns of three pieces: each character that is not for a star of both is
    for a piece of one. And a, b, c are all the letters it takes: to these patterns, the rest are c."""
    strings = ["".join(letters) for length in range(7) for letters in product("abc", repeat=length)]
    pieces = ["*", "?", "a", "b", "[ab]", "[!a]", NONE]
    texts = ("".join(row) for length in (1, 2, 3) for row in product(pieces, repeat=length))
    matched = {
        pattern: sum(1 << at for at, string in enumerate(strings) if pattern.match(string))
        for pattern in {compile_pattern(text) for text in texts}
    }
    assert len(matched) > 300
    for one, other in combinations_with_replacement(matched, 2):
        common = matched[one] & matched[other] != 0
        assert overlap(one, other) == overlap(other, one) == common, (one, other)


# --- against a search of both automata ---------------------------------------------------------------------------

Ranges = tuple[tuple[str, str], ...]
Token = tuple[str, Callable[[str], bool] | None, Ranges]
"""A piece of a pattern: how it is written, the test for its one character (None for a star), what that depends on."""

ALPHABETS = ["abcd", "a-]!\\[*?^\n", "\0\x01\ud7ff\ue000\uffff\U00010000\U0001f41d\U0010fffe\U0010ffff"]


def escaped(character: str) -> str:
    return "\\" + character


def literal(character: str) -> Token:
    return escaped(character), lambda other: other == character, ((character, character),)


def class_of(ranges: Ranges, negated: bool) -> Token:
    body = "".join(escaped(low) if low == high else f"{escaped(low)}-{escaped(high)}" for low, high in ranges)
    return (
        f"[{'!' * negated}{body}]",
        lambda other: any(low <= other <= high for low, high in ranges) != negated,
        ranges,
    )


def classes(alphabet: str) -> list[Token]:
    """All classes of one or two ranges between characters of the alphabet."""
    ranges = list(combinations_with_replacement(sorted(alphabet), 2))
    return [class_of(members, negated) for members in combinations(ranges, 2) for negated in (False, True)] + [
        class_of((one,), negated) for one in ranges for negated in (False, True)
    ]


star: Token = ("*", None, ())
any_one: Token = ("?", lambda _: True, ())

without_stars = [
    st.one_of(st.sampled_from([*map(literal, alphabet), any_one]), st.sampled_from(classes(alphabet)))
    for alphabet in ALPHABETS
]
with_stars = [st.one_of(tokens, st.just(star)) for tokens in without_stars]
row_of = [st.lists(tokens, min_size=1, max_size=10) for tokens in with_stars]
places_of = [st.lists(tokens, min_size=1, max_size=10) for tokens in without_stars]
between_stars = [st.lists(tokens, max_size=6).map(lambda row: [star, *row, star]) for tokens in with_stars]


def written(row: Iterable[Token]) -> str:
    return "".join(text for text, _, _ in row)


def witness(one: list[Token], other: list[Token]) -> str | None:
    """A string that both match, by a search of all pairs of what is left of each.

    One character stands for all others from it to the next point at which a range begins or has ended.
    """
    points = {0}
    for _, _, ranges in one + other:
        for low, high in ranges:
            points |= {ord(low), ord(high) + 1}
    characters = [chr(point) for point in sorted(points) if point <= sys.maxunicode]
    ones, others = (
        [None if test is None else frozenset(filter(test, characters)) for _, test, _ in row] for row in (one, other)
    )
    seen = {(0, 0)}
    queue = deque([(0, 0, "")])
    while queue:
        i, j, text = queue.popleft()
        if (i, j) == (len(one), len(other)):
            return text
        if i == len(one) or j == len(other):
            left = ones[i:] + others[j:]
            steps = [] if any(members is not None for members in left) else [(len(one), len(other), text)]
        else:
            x, y = ones[i], others[j]
            both = frozenset(characters) if x is None and y is None else x if y is None else y if x is None else x & y
            steps = [(i + (x is not None), j + (y is not None), text + min(both))] if both else []
            steps += [(i + 1, j, text)] * (x is None) + [(i, j + 1, text)] * (y is None)
        for step in steps:
            if step[:2] not in seen:
                seen.add(step[:2])
                queue.append(step)
    return None


def agrees(pair: tuple[list[Token], list[Token]]) -> None:
    one, other = map(written, pair)
    found = witness(*pair)
    assert overlaps(one, other) == (found is not None), (one, other, found)
    if found is not None:
        assert compile_pattern(one).match(found)
        assert compile_pattern(other).match(found)


@settings(max_examples=1500, deadline=None)
@given(st.one_of(*map(st.tuples, row_of, row_of)))
def test_overlap_agrees_with_a_search_of_both_automata(pair: tuple[list[Token], list[Token]]) -> None:
    agrees(pair)


@settings(max_examples=1500, deadline=None)
@given(st.one_of(*map(st.tuples, places_of, between_stars)))
def test_overlap_agrees_with_a_search_where_only_one_side_has_stars(pair: tuple[list[Token], list[Token]]) -> None:
    agrees(pair)


@settings(max_examples=500, deadline=None)
@given(st.one_of(row_of))
@example([("[!\0-\U0010ffff]", lambda _: False, (("\0", "\U0010ffff"),))])
def test_a_pattern_overlaps_itself_unless_it_matches_nothing(row: list[Token]) -> None:
    text = written(row)
    assert overlaps(text, text) == (witness(row, [star]) is not None)
    assert overlaps(text, "*") == overlaps(text, text)


@settings(max_examples=500, deadline=None)
@given(st.text("ab", max_size=12), st.data())
def test_two_patterns_made_of_one_string_overlap(string: str, data: st.DataObject) -> None:
    """Each character is kept, blurred to ``?`` or a class, or taken in by a star."""
    texts = []
    for _ in range(2):
        kinds = [data.draw(st.sampled_from(["{}", "?", "[{}c]", "[!{}c]", "*", "*{}", "{}*"])) for _ in string]
        flipped = {"a": "b", "b": "a"}
        texts.append(
            "".join(k.format(flipped[c] if "!" in k else c) for k, c in zip(kinds, string, strict=True)) or "*"
        )
    assert all(compile_pattern(text).match(string) for text in texts)
    assert overlaps(*texts)


# --- how much work it is -----------------------------------------------------------------------------------------


def lines(one: Pattern, other: Pattern) -> int:
    """How many lines of the module it takes to tell whether the two overlap."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != module.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        overlap(one, other)
    finally:
        sys.settrace(before)
    return count


def spread(n: int) -> str:
    """The n-th of many characters, no two of which are neighbours."""
    return chr(0x100 + 3 * n)


DISTINCT = "".join(map(spread, range(254)))
HOSTILE = [
    ("a" * 254 + "?", "*a" * 127 + "*"),
    ("a" * 254 + "?", "*" + "a" * 120 + "b*"),
    ("[ab]" * 63 + "?", "*[bc]" * 50 + "*"),
    ("[ab]" * 63 + "?", "*" + "[bc]" * 40 + "*c"),
    ("?" * 255, "*?a" * 84 + "*"),
    (DISTINCT + "?", "*" + "".join(f"[!{spread(4 * n)}]" for n in range(63)) + "*"),
    (DISTINCT + "?", "*" + "".join(f"[{spread(4 * n)}-{spread(200 + n)}]" for n in range(50)) + "*"),
    (DISTINCT + "?", "*" + "*".join(DISTINCT[:126]) + "*"),
    (f"[{DISTINCT[:125]}]?" + "a" * 124, f"*[{DISTINCT[125:]}]*" + "a*" * 60),
    (f"[{DISTINCT[:125]}]*" + "a" * 124, f"[{DISTINCT[124:]}]*" + "a" * 100),
    ("[ab]" * 63 + "*", "[bc]" * 63 + "*"),
    ("".join(f"[!{spread(4 * n)}]" for n in range(63)) + "*", "".join(f"[!{spread(5 * n)}]" for n in range(63)) + "*"),
    ("*a" * 127 + "*", "*b" * 127 + "*"),
]


@pytest.mark.parametrize(("one", "other"), HOSTILE)
def test_the_cost_of_overlap_is_linear_in_both_patterns_however_hostile(one: str, other: str) -> None:
    a, b = compile_pattern(one), compile_pattern(other)
    assert max(lines(a, b), lines(b, a)) <= 32 * (len(one) + len(other))


def test_the_overlap_of_common_patterns_takes_a_few_steps() -> None:
    rest = "[ab]*x?" * 30
    assert lines(compile_pattern(f"src/{rest}"), compile_pattern(f"docs/{rest}")) < 10
    assert lines(compile_pattern("src/*"), compile_pattern("src/auth/*")) < 10
    assert lines(compile_pattern("src/*.py"), compile_pattern("src/auth/*.ts")) < 50

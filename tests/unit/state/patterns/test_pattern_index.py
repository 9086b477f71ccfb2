"""The pattern index: what it finds, in which order, and how few patterns it tries."""

from __future__ import annotations

import random
from typing import ClassVar

import pytest

from waggle.wire.patterns import Pattern, compile_pattern
from waggle_hub.state.patterns import pattern_index
from waggle_hub.state.patterns.pattern_index import PatternIndex


class Counted(Pattern):
    """A pattern that counts how often any of its kind was tried."""

    __slots__ = ()
    tried: ClassVar[int] = 0

    def match(self, key: str) -> bool:
        Counted.tried += 1
        return super().match(key)


class Sliced(str):
    """A key that counts how often it is sliced."""

    slices = 0

    def __getitem__(self, index: object, /) -> str:
        assert isinstance(index, (int, slice))
        self.slices += 1
        return str.__getitem__(self, index)


def index_of(*texts: str) -> PatternIndex[str]:
    """An index in which each pattern's item is its text."""
    index = PatternIndex[str]()
    for text in texts:
        index.add(compile_pattern(text), text)
    return index


def tried(texts: list[str], key: str, found: int = 1) -> int:
    """How many patterns a find tries in an index of these."""
    index = PatternIndex[str]()
    for text in texts:
        index.add(Counted(text), text)
    Counted.tried = 0
    assert len(index.find(key)) == found
    return Counted.tried


# --- what is found -----------------------------------------------------------------------------------------------


def test_an_empty_index_finds_nothing() -> None:
    index = PatternIndex[str]()
    assert index.find("a") == []
    assert len(index) == 0
    index.check()


def test_every_kind_of_pattern_is_found() -> None:
    texts = ["task:1", "task:*", "*", "*:1", "task:?", "[st]ask:*", "*[0-9]", "t*k:1", "????:?", r"task\:1*"]
    assert index_of(*texts).find("task:1") == texts


def test_patterns_that_do_not_match_are_not_found() -> None:
    texts = ["task:2", "task:1:*", "*:2", "task:??", "[!t]ask:*", "*[a-z]", "t*x:1", "Task:*", "a?", "*1*1"]
    assert index_of(*texts).find("task:1") == []


def test_a_run_counts_only_after_the_prefix() -> None:
    index = index_of("ab*ab", *(f"ab*{n:03}" for n in range(200)))
    assert index.find("ab") == []
    assert index.find("abab") == ["ab*ab"]


def test_a_run_that_occurs_twice_gives_its_item_once() -> None:
    index = index_of(*(f"*x{n:03}*" for n in range(200)))
    assert index.find("x007x007/x007") == ["*x007*"]


def test_an_item_is_found_once_however_many_of_its_patterns_match() -> None:
    index = PatternIndex[str]()
    for text in ("a", "a*", "*", "?", "[ab]"):
        index.add(compile_pattern(text), "one")
    assert index.find("a") == ["one"]


def test_items_are_found_in_the_order_in_which_they_were_added() -> None:
    index = PatternIndex[int]()
    for item, text in enumerate(("*", "a", "a*", "?", "*a", "a")):
        index.add(compile_pattern(text), 10 - item)
    index.add(compile_pattern("a"), 10)
    assert index.find("a") == [10, 9, 8, 7, 6, 5]


def test_an_item_removed_and_added_again_comes_last() -> None:
    index = index_of("a", "a*")
    index.remove(compile_pattern("a"), "a")
    index.add(compile_pattern("a"), "a")
    assert index.find("a") == ["a*", "a"]


def test_a_pair_is_in_as_often_as_it_was_added() -> None:
    index = PatternIndex[str]()
    index.add(compile_pattern("a*"), "one")
    index.add(compile_pattern("a**"), "one")
    assert len(index) == 2
    index.remove(compile_pattern("a*"), "one")
    assert index.find("a") == ["one"]
    index.remove(compile_pattern("a**"), "one")
    assert index.find("a") == []
    assert len(index) == 0


def test_removing_an_absent_pair_raises_and_changes_nothing() -> None:
    index = index_of("a*")
    for text, item in (("b*", "a*"), ("a*", "other")):
        with pytest.raises(KeyError):
            index.remove(compile_pattern(text), item)
    index.check()
    assert index.find("a") == ["a*"]


# --- the front cache ---------------------------------------------------------------------------------------------


def test_a_change_invalidates_the_cached_result_of_a_find() -> None:
    index = index_of("a*")
    assert index.find("ab") == ["a*"]
    index.add(compile_pattern("*b"), "*b")
    assert index.find("ab") == ["a*", "*b"]
    index.remove(compile_pattern("a*"), "a*")
    assert index.find("ab") == ["*b"]


def test_changing_a_found_list_does_not_change_the_index() -> None:
    index = index_of("a*")
    index.find("a").append("more")
    assert index.find("a") == ["a*"]


def test_a_second_find_of_a_key_tries_no_pattern() -> None:
    index = PatternIndex[int]()
    index.add(Counted("*a?"), 1)
    assert index.find("ab") == [1]
    Counted.tried = 0
    assert index.find("ab") == [1]
    assert Counted.tried == 0


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_index, "MAX_CACHED_ITEMS", 10)
    index = index_of("a*", "ab*", "abc*")
    for n in range(100):
        assert index.find(f"abc{n}") == ["a*", "ab*", "abc*"]
        index.check()
    for n in range(12):
        index.add(compile_pattern("*"), f"item {n}")
    assert len(index.find("a")) == 13
    index.check()


# --- how much is tried -------------------------------------------------------------------------------------------

MANY = range(5_000)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("job-{}", "job-77"),
        ("task:{}:*", "task:77:owner"),
        ("*:x{}", "task:auth:x77"),
        ("inbox/*/agent-{}", "inbox/spec/agent-77"),
        ("*:{}:done", "team:77:done"),
        ("*/{}[ab]*", "team/77b"),
        ("*:task:*:{}", "team:task:auth:77"),
        ("[st]ask:*/of/*/{}/*", "task:1/of/all/77/x"),
    ],
)
def test_a_find_tries_few_of_many_patterns(written: str, key: str) -> None:
    assert tried([written.format(n) for n in MANY], key) <= 4


def test_a_pattern_of_a_prefix_and_a_star_is_not_tried() -> None:
    assert tried([f"{'a' * n}*" for n in range(200)], "a" * 150, found=151) == 0


def test_a_pattern_is_filed_under_the_run_that_fewest_others_have() -> None:
    texts = [f"{n:02}*:common:*:{m}:*:end" for n in range(10) for m in range(500)]
    assert tried(texts, "07x:common:x:77:x:end") <= 4


def test_a_pattern_without_plain_text_is_tried_only_under_its_prefix() -> None:
    texts = [f"task:{n}:[ab]*" for n in MANY]
    assert tried(texts, "task:77:b") <= 1


def test_a_run_that_occurs_often_is_tried_once() -> None:
    assert tried([f"*x{n:04}*" for n in MANY], "x0077" * 50) == 1


def test_runs_of_very_many_lengths_cost_no_more_than_trying_each() -> None:
    texts = [f"*{'a' * n}*b" for n in range(1, 200)]
    key = Sliced("a" * 255)
    assert tried(texts, key, found=0) <= len(texts)
    assert key.slices <= pattern_index.TRY_COST * len(texts)


# --- random walks ------------------------------------------------------------------------------------------------

PIECES = ["a", "b", "ab", ":", "*", "*", "?", "[ab]", "[!a]", "a:b", r"\*"]


def some_patterns(chance: random.Random, count: int) -> list[Pattern]:
    return [compile_pattern("".join(chance.choices(PIECES, k=chance.randint(1, 5)))) for _ in range(count)]


def some_key(chance: random.Random) -> str:
    return "".join(chance.choices("aab:*", k=chance.randint(0, 9)))


@pytest.mark.parametrize("seed", range(20))
def test_a_random_walk_finds_what_a_linear_scan_finds(seed: int) -> None:
    chance = random.Random(seed)
    patterns = some_patterns(chance, chance.choice([5, 60, 400]))
    index = PatternIndex[str]()
    pairs: list[tuple[Pattern, str]] = []
    order: list[str] = []
    growing = True
    for step in range(1_500):
        if step % 300 == 0:
            growing = not growing or not pairs
        if not pairs or chance.random() < (0.7 if growing else 0.3):
            pairs.append((chance.choice(patterns), f"item {chance.randrange(30)}"))
            index.add(*pairs[-1])
            if pairs[-1][1] not in order:
                order.append(pairs[-1][1])
        else:
            gone = pairs.pop(chance.randrange(len(pairs)))
            index.remove(*gone)
            if all(item != gone[1] for _, item in pairs):
                order.remove(gone[1])
        for key in (some_key(chance), "a:b"):
            matched = {item for pattern, item in pairs if pattern.match(key)}
            assert index.find(key) == [item for item in order if item in matched]
        assert len(index) == len(pairs)
        if step % 25 == 0:
            index.check()
    chance.shuffle(pairs)
    for pair in pairs:
        index.remove(*pair)
    index.check()
    assert len(index) == 0
    assert index.find("a") == []


def test_matches_do_not_depend_on_the_order_of_adding() -> None:
    chance = random.Random(7)
    patterns = list(dict.fromkeys(some_patterns(chance, 500)))
    forwards, backwards = PatternIndex[Pattern](), PatternIndex[Pattern]()
    for pattern in patterns:
        forwards.add(pattern, pattern)
    for pattern in reversed(patterns):
        backwards.add(pattern, pattern)
    for _ in range(500):
        key = some_key(chance)
        assert forwards.find(key) == list(reversed(backwards.find(key)))

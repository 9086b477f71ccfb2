"""The index of words: what the words of an entry are, and that what is asked for is never more than words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from waggle.wire.patterns import compile_pattern
from waggle_hub.fulltext.word_index import TooSlow, Words, text_of
from waggle_hub.state.effects import Word
from waggle_hub.state.store.entry import Entry

ALL = compile_pattern("*")


def entry(key: str, value: Any, ns: str = "default", meta: Any = None) -> Entry:
    label = None if meta is None else msgspec.json.encode(meta)
    return Entry(key, ns, msgspec.json.encode(value), 1, 1, "persistent", 0, 0, None, "a", label)


@pytest.fixture
def words() -> Iterator[Words]:
    with closing(Words(None, 65_536, 60)) as words:
        yield words


def put(words: Words, *entries: Entry) -> None:
    words.put([(one.ns, one.key, one) for one in entries])


def found(words: Words, *looked_for: str, ns: str = "default", pattern: str = "*", most: int = 100) -> list[str]:
    asked = [Word(text.rstrip("*"), text.endswith("*")) for text in looked_for]
    return [key for key, _ in words.find(ns, compile_pattern(pattern), asked, most)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ({"a": ["b", {"c": "d"}]}, "a b c d"),
        ([1, -2.5, True, False, None], ""),
        ("one\ntwo\tthree", "one two three"),
        ('say "hi" or \\n', "say  hi  or  n"),
        ("\x00\x1f", "  "),
        ("Café ü 字", "Café ü 字"),
        ("", ""),
    ],
)
def test_the_text_of_an_entry_is_its_strings_and_the_names_of_its_members(value: Any, text: str) -> None:
    assert text_of(entry("k", value), 65_536) == text


def test_the_text_of_a_meta_comes_after_that_of_the_value() -> None:
    assert text_of(entry("k", "a", meta={"tag": "b"}), 65_536) == "a tag b"


def test_of_a_large_value_its_beginning_is_read_wherever_that_ends() -> None:
    whole = entry("k", ["word" * 3, 'a\\"b', "é" * 10])
    for most in range(len(whole.value) + 2):
        text_of(whole, most)
    assert text_of(whole, 6) == "word"


def test_a_word_is_found_in_key_value_and_meta_whatever_its_case_and_accents(words: Words) -> None:
    put(
        words, entry("task/Auth", 1), entry("b", {"AUTH": 1}), entry("c", 1, meta={"tag": "aüth"}), entry("d", "author")
    )
    assert sorted(found(words, "auth")) == ["b", "c", "task/Auth"]
    assert sorted(found(words, "AÜTH")) == ["b", "c", "task/Auth"]
    assert sorted(found(words, "auth*")) == ["b", "c", "d", "task/Auth"]


def test_all_words_have_to_be_there_wherever_they_are(words: Words) -> None:
    put(words, entry("alpha", "beta"), entry("x", "alpha gamma"), entry("y", "beta alpha"))
    assert sorted(found(words, "alpha", "beta")) == ["alpha", "y"]


def test_what_has_marks_within_stands_for_its_words_one_after_another(words: Words) -> None:
    put(words, entry("rest-conventions", 1), entry("x", "rest of conventions"), entry("y", "rest, conventions"))
    assert sorted(found(words, "rest-conventions")) == ["rest-conventions", "y"]


def test_a_word_in_the_key_counts_more_than_one_in_the_value(words: Words) -> None:
    put(words, entry("a", "jwt and more"), entry("jwt", "something else"), *(entry(f"o{n}", "other") for n in range(9)))
    assert found(words, "jwt") == ["jwt", "a"]


def test_a_namespace_is_apart_from_every_other_its_case_too(words: Words) -> None:
    put(words, entry("a", "word"), entry("b", "word", ns="Default"), entry("c", "word", ns="$agents"))
    assert found(words, "word") == ["a"]
    assert found(words, "word", ns="Default") == ["b"]
    assert found(words, "word", ns="$agents") == ["c"]
    assert found(words, "word", ns="default2") == []
    assert found(words, "default") == found(words, "64656661756c74") == []


def test_a_pattern_picks_from_what_has_the_words_however_many_have_them(words: Words) -> None:
    put(words, *(entry(f"{'odd' if n % 2 else 'even'}:{n}", "word") for n in range(1_200)))
    assert len(found(words, "word", pattern="odd:*", most=1_000)) == 600
    assert found(words, "word", pattern="odd:7") == ["odd:7"]
    assert len(found(words, "word", pattern="odd:*", most=3)) == 3
    assert found(words, "word", pattern="[0-9]*") == []


@pytest.mark.parametrize(
    "asked",
    ['"', '""', "word*x", "NEAR(word", "word)", "key:word", "{text}", "^word", "-word", "+", "a OR b", "'; DROP", "*"],
)
def test_nothing_in_a_word_is_read_as_a_query(words: Words, asked: str) -> None:
    put(words, entry("k", "only this word"))
    found(words, asked, "word")
    assert found(words, "word") == ["k"]


@pytest.mark.parametrize("asked", ["OR", "NOT", "AND", "NEAR"])
def test_the_operators_of_the_index_are_words_like_any_other(words: Words, asked: str) -> None:
    put(words, entry("k", "word"), entry("l", f"word {asked.lower()}"))
    assert found(words, asked, "word") == ["l"]


def test_an_overwritten_entry_is_found_by_its_new_words_and_a_deleted_one_by_none(words: Words) -> None:
    put(words, entry("k", "old"), entry("l", "old"))
    words.put([("default", "k", entry("k", "new")), ("default", "l", None), ("default", "absent", None)])
    assert found(words, "old") == []
    assert found(words, "new") == ["k"]
    words._db.execute("INSERT INTO words (words) VALUES ('integrity-check')")


def test_many_changes_have_their_effect_in_order(words: Words) -> None:
    words.put([("default", f"k{n % 700}", entry(f"k{n % 700}", f"write{n}")) for n in range(5_000)])
    assert found(words, "write4999") == ["k99"]
    assert found(words, "write1") == []
    assert len(found(words, "write*", most=1_000)) == 700


def test_a_command_that_takes_too_long_is_given_up_and_the_next_is_answered() -> None:
    with closing(Words(None, 65_536, -1.0)) as words:
        put(words, entry("k", "word"))
        with pytest.raises(TooSlow):
            words.find("default", ALL, [Word("word", False)], 10)
        words._seconds = 60.0
        assert found(words, "word") == ["k"]


def test_its_file_has_no_name_once_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "words.tmp"
    path.write_bytes(b"what another hub has left behind")
    with closing(Words(path, 65_536, 60)) as words:
        assert list(tmp_path.iterdir()) == []
        put(words, *(entry(f"k{n}", "word " * 50) for n in range(5_000)))
        assert len(found(words, "word", most=10_000)) == 5_000


def test_where_no_file_can_be_made_there_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        Words(tmp_path / "absent" / "words.tmp", 65_536, 60)

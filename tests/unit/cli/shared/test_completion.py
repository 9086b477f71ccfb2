"""Completion: bounded, silent, and right also where bash takes words apart at colons."""

from __future__ import annotations

import time
from typing import Any

import pytest

from waggle.cli.shared import completion
from waggle.cli.shared.completion import COLON_PREFIX, join_colon_words, keys, namespaces


class Typed:
    """A command line so far, as typer hands it on."""

    def __init__(self, **params: Any) -> None:
        self.params = params


NOWHERE: Any = Typed(url="http://127.0.0.1:1")


@pytest.mark.parametrize("names", [keys, namespaces])
def test_without_a_hub_it_is_soon_silent(names: Any, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert names(NOWHERE, "task") == []
    assert time.monotonic() - began < completion.TIMEOUT_S + 2
    assert capfd.readouterr() == ("", "")


def test_a_url_that_is_none_is_silence(capfd: pytest.CaptureFixture[str]) -> None:
    nonsense: Any = Typed(url="ftp://x")
    assert keys(nonsense, "") == []
    assert capfd.readouterr() == ("", "")


def line(*words: str, place: int) -> dict[str, str]:
    return {"_WAGGLE_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": f"{place}"}


@pytest.mark.parametrize(
    ("words", "place", "glued", "at", "before"),
    [
        (["waggle", "get", "tas"], 2, ["waggle", "get", "tas"], 2, ""),
        (["waggle", "get", ""], 2, ["waggle", "get", ""], 2, ""),
        (["waggle", "get", "task", ":"], 3, ["waggle", "get", ""], 2, "task:"),
        (["waggle", "get", "task", ":", "1"], 4, ["waggle", "get", "1"], 2, "task:"),
        (["waggle", "get", "a", "::", "b", ":", "c"], 6, ["waggle", "get", "c"], 2, "a::b:"),
        (["waggle", "get", "a", ":", "b", "--ns", "x"], 6, ["waggle", "get", "a:b", "--ns", "x"], 4, ""),
        (["waggle", "get", "k", "--url", "http", ":", "//h", ":", "1", ""], 9,
         ["waggle", "get", "k", "--url", "http://h:1", ""], 5, ""),
        (["waggle", "get", "task", ":", "1", "--json"], 4, ["waggle", "get", "1"], 2, "task:"),
    ],
)  # fmt: skip
def test_words_that_bash_splits_at_colons_are_joined_again(
    words: list[str], place: int, glued: list[str], at: int, before: str
) -> None:
    env = line(*words, place=place)
    join_colon_words(env)
    assert env["COMP_WORDS"].split("\n") == glued
    assert (env["COMP_CWORD"], env[COLON_PREFIX]) == (f"{at}", before)


@pytest.mark.parametrize(
    "env", [{}, {"_WAGGLE_COMPLETE": "complete_zsh"}, {"_WAGGLE_COMPLETE": "complete_bash"}, line("waggle", place=0)]
)
def test_anything_else_is_left_alone(env: dict[str, str]) -> None:
    before = dict(env)
    join_colon_words(env)
    assert {name: env[name] for name in before} == before

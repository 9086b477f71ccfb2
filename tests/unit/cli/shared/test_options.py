"""The shared options: each defined once, given to every command that wants them."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from waggle.cli.shared.options import Options, parse_time, parse_timeout, shared
from waggle.wire.limits import DEFAULT_URL


def called(body: object, *args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(body)  # type: ignore[type-var]
    said: dict[str, str | None] = dict.fromkeys(("WAGGLE_URL", "WAGGLE_NS", "WAGGLE_AGENT", "WAGGLE_TOKEN"))
    result = CliRunner().invoke(app, args, env={**said, **(env or {})})
    return result.exit_code, result.output


def test_a_command_gets_the_shared_options_and_its_own_arguments() -> None:
    seen: list[object] = []

    @shared
    def command(options: Options, key: str, often: Annotated[int, typer.Option("--often")] = 1) -> None:
        seen.append((options, key, often))

    assert called(command, "k")[0] == 0
    assert called(command, "k", "--often", "3", "--json", "--ns", "demo", "--url", "http://a", "--agent", "me")[0] == 0
    assert called(command, "k", env={"WAGGLE_NS": "env", "WAGGLE_TOKEN": "secret"})[0] == 0
    assert seen == [
        (Options(url=DEFAULT_URL), "k", 1),
        (Options(json=True, ns="demo", url="http://a", agent="me"), "k", 3),
        (Options(ns="env", token="secret"), "k", 1),
    ]


def test_a_command_without_a_namespace_takes_no_ns_option() -> None:
    seen: list[Options] = []

    @shared(ns=False)
    def command(options: Options) -> None:
        seen.append(options)

    assert called(command, "--json")[0] == 0
    assert called(command, "--ns", "demo")[0] == 2
    assert seen == [Options(json=True)]


def test_the_help_is_the_command_s_own() -> None:
    @shared
    def command(options: Options, key: str) -> None:
        """Do something with KEY."""

    _, text = called(command, "--help")
    assert "Do something with KEY." in text
    assert text.index("--json") < text.index("--ns") < text.index("--token")


def test_a_sentence_names_the_namespace_where_it_is_not_the_default_one() -> None:
    assert Options().within == ""
    assert Options(ns="demo").within == " in namespace 'demo'"


@pytest.mark.parametrize(("said", "meant"), [("0", 0.0), ("1.5", 1.5), ("forever", None)])
def test_a_time_to_wait_is_seconds_or_for_ever(said: str, meant: float | None) -> None:
    assert parse_timeout(said, "--wait") == meant


@pytest.mark.parametrize("said", ["", "soon", "-1", "inf", "nan", "1 s"])
def test_a_time_that_is_none_is_refused_with_the_option_s_name(said: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"--wait takes seconds, .* or forever"):
        parse_timeout(said, "--wait")


@pytest.mark.parametrize(
    ("said", "so_many"),
    [
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("500ms", 0.5),
        ("30s", 30),
        ("10m", 600),
        ("12h", 43_200),
        ("7d", 604_800),
        ("1e3", 1_000),
    ],
)
def test_a_time_is_in_seconds_or_has_a_unit(said: str, so_many: float) -> None:
    assert parse_time(said) == so_many
    assert parse_timeout(said, "--wait") == so_many


@pytest.mark.parametrize("said", ["", "soon", "-1", "nan", "inf", "1e", "1e999", "10 m", "10M", "m", "1.5.5", "\u0663"])
def test_an_invalid_time_is_refused_with_the_valid_units(said: str) -> None:
    for parse in (parse_time, lambda text: parse_timeout(text, "--wait")):
        with pytest.raises(typer.BadParameter, match="30s, 10m, 12h or 7d"):
            parse(said)

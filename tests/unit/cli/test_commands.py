"""The command line as far as it goes without a hub: what it understands, what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from waggle import BadRequest, Disconnected, Lost, TimedOut, Unauthorized, Written
from waggle.cli import serve as serving
from waggle.cli.app import app
from waggle.cli.visit import ERROR, NO, fail, in_words, no

COMMANDS = ("serve", "demo", "get", "set", "delete", "list", "watch", "agents")
NOWHERE = "http://127.0.0.1:1"


def run(*args: str, input: str | bytes | None = None, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(app, args, input=input, env={"WAGGLE_URL": NOWHERE, **(env or {})})


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there, and nobody needs to be waited for."""
    monkeypatch.setattr("waggle.cli.visit.PATIENCE", 0.0)


def test_alone_it_says_what_it_is_and_how_to_begin() -> None:
    result = run()
    assert result.exit_code == 0
    assert result.output == run("--help").output
    text = result.output
    assert text.index("where AI agents") < text.index("waggle serve") < text.index("waggle demo")
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_the_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("waggle ")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "serve"])
def test_each_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f" {command} [OPTIONS]" in result.output.splitlines()[0]


@pytest.mark.parametrize(
    "command", [("get", "k"), ("set", "k", "1"), ("delete", "k"), ("list",), ("watch",), ("agents",)]
)
@pytest.mark.usefixtures("hurry")
def test_without_a_hub_it_is_an_error_with_a_remedy(command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "waggle serve" in result.stderr
    assert "WAGGLE_URL" in result.stderr
    assert "--url" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("get",),
        ("get", "a", "b"),
        ("set", "k"),
        ("set", "k", "1", "--ttl", "soon"),
        ("set", "k", "1", "--kind", "solid"),
        ("set", "k", "1", "--if-rev", "x"),
        ("list", "--limit", "0"),
        ("watch", "--types", "set,sat"),
        ("watch", "--count", "0"),
        ("watch", "--timeout", "-1"),
        ("demo", "--port", "66666"),
        ("demo", "--speed", "0"),
        ("dance",),
        ("--dance",),
        ("get", "k", "--url", "ftp://hub"),
    ],
)
def test_what_it_does_not_understand_is_an_error(command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.exit_code == 2
    assert result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


@pytest.mark.parametrize("value", ["hello", "{", "{'a': 1}", "[1,]", "", "NaN", "[" * 5000])
def test_a_value_that_is_not_json_is_refused_with_a_hint(value: str) -> None:
    result = run("set", "k", value)
    assert result.exit_code == 2
    assert "--text" in result.stderr


def test_the_hint_shows_how_to_quote() -> None:
    assert "--text hello, or as JSON '\"hello\"'" in " ".join(run("set", "k", "hello").stderr.split())


@pytest.mark.parametrize("options", [(), ("--text",)])
def test_what_is_not_utf8_is_refused(options: tuple[str, ...]) -> None:
    result = run("set", "k", "-", *options, input=b"\xff\xfe")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("said", "options", "input", "value"),
    [
        ('{"a": [1]}', (), None, {"a": [1]}),
        ("hello", ("--text",), None, "hello"),
        ("1", ("--text",), None, "1"),
        ("-", (), '{"a": 1}\n', {"a": 1}),
        ("-", ("--text",), "two\nlines\n\n", "two\nlines\n"),
        ("-", ("--text",), "no newline", "no newline"),
    ],
)
def test_what_a_value_means(
    said: str, options: tuple[str, ...], input: str | None, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    class Recorder:
        async def set(self, key: str, value: object, **_: object) -> Written:
            seen.append((key, value))
            return Written(rev=1, version=1, expires_at=None)

    def visit(where: object, work: Any) -> None:
        asyncio.run(work(Recorder()))

    monkeypatch.setattr("waggle.cli.keys.visit", visit)
    result = run("set", "k", said, *options, input=input)
    assert result.exit_code == 0, result.output
    assert seen == [("k", value)]


# --- errors in words ---------------------------------------------------------------------------------------------


def test_errors_speak_of_options_where_the_client_speaks_of_arguments() -> None:
    assert in_words(Disconnected("start one, or pass url= if")) == "start one, or pass --url if"
    assert in_words(Unauthorized("set WAGGLE_TOKEN or pass token=.")) == "set WAGGLE_TOKEN or pass --token."
    assert in_words(Lost("watch with snapshot=True, which")) == "watch with --snapshot, which"
    assert in_words(BadRequest("the key is empty")) == "the key is empty"
    assert "still take effect" in in_words(TimedOut("pass a longer timeout="))


def test_no_and_error_have_their_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as plain_no:
        no("it is not there")
    with pytest.raises(typer.Exit) as error:
        fail("it broke")
    assert (plain_no.value.exit_code, error.value.exit_code) == (NO, ERROR) == (1, 2)
    said = capsys.readouterr()
    assert said.err == "waggle: it is not there\nwaggle: it broke\n"
    assert said.out == ""


# --- serve -------------------------------------------------------------------------------------------------------


def test_serve_becomes_the_hub_with_all_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    monkeypatch.setattr(os, "execv", lambda path, argv: became.append((path, argv)))
    options = ["--host", "::1", "--port", "0", "--memory", "--allow-host", "a", "--allow-host", "b", "--help", "-x"]
    assert run("serve", *options).exit_code == 0
    assert became == [(sys.executable, [sys.executable, "-P", "-m", "waggle_hub", *options])]


@pytest.mark.parametrize("command", [("serve",), ("serve", "--help"), ("demo", "--port", "0")])
def test_without_the_hub_s_packages_it_says_what_to_install(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "NEEDED", ("waggle_hub", "no_such_package"))
    result = run(*command)
    assert result.exit_code == 2
    assert "pip install 'wagglehub[hub]'" in result.stderr
    assert "no_such_package" in result.stderr


# --- what it costs -----------------------------------------------------------------------------------------------


def test_a_command_imports_neither_the_hub_nor_what_only_others_need() -> None:
    code = "import sys, waggle.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"waggle_hub", "starlette", "uvicorn", "rich", "waggle.cli.stage", "waggle.examples.crew"}
    assert not heavy & set(loaded)

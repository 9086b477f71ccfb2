"""The command line without a hub: accepted arguments, refused arguments, and the messages."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from waggle import BadRequest, Disconnected, Lost, TimedOut, Unauthorized, Written
from waggle.cli.app import COMMANDS, SECTIONS, app
from waggle.cli.commands import serve as serving
from waggle.cli.shared.connect import ERROR, NO, describe, exit_error, exit_no
from waggle.wire.messages import OPS

WITHOUT_HUB = ("serve", "demo", "restore", "mcp", "install")
"""Commands that need no hub: they start one, or it must not run."""
LEAST = {
    "get": ("k",), "set": ("k", "1"), "update": ("k", "--incr", "1"), "touch": ("k", "--forever"), "delete": ("k",),
    "clear": ("*", "--yes"), "txn": ('{"then": []}',), "history": ("k",), "publish": ("c", "1"), "status": ("at work",),
    "top": ("--once",), "lock": ("a", "--", "true"), "unlock": ("a", "--force", "--reason", "b"), "wait": ("k",),
    "search": ("words",), "take": ("a", "--", "true"), "send": ("a", "hi"), "inbox": ("--agent", "a"),
    "import": (str(Path(__file__).with_name("entries.jsonl")),),
}  # fmt: skip
"""The arguments that a command cannot do without."""
NOWHERE = "http://127.0.0.1:1"


def run(*args: str, input: str | bytes | None = None, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(app, args, input=input, env={"WAGGLE_URL": NOWHERE, **(env or {})})


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection fail at once: no hub is there."""
    monkeypatch.setattr("waggle.cli.shared.connect.CONNECT_TIMEOUT_S", 0.0)


def test_waggle_without_a_command_prints_its_help() -> None:
    result = run()
    assert result.exit_code == 0
    assert result.output == run("--help").output
    text = result.output
    assert text.index("where AI agents") < text.index("waggle serve") < text.index("waggle demo")
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert all(f"\n{title}:\n" in text for title in SECTIONS)
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("waggle ")


def test_each_op_of_the_wire_has_a_command() -> None:
    elsewhere = {
        "hello": "agents", "bye": "agents", "subscribe": "watch", "unsubscribe": "watch", "renew": "lock",
        "cancel": "wait", "inspect": "why",
    }  # fmt: skip
    assert {elsewhere.get(op, op) for op in OPS} <= set(COMMANDS)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "serve"])
def test_each_command_has_help_with_a_description(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f" {command} [OPTIONS]" in result.output.splitlines()[0]
    assert result.output.splitlines()[2].startswith("  ")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in WITHOUT_HUB])
def test_each_command_that_goes_to_a_hub_takes_the_shared_options(command: str) -> None:
    text = run(command, "--help").output
    assert all(f"  {option} " in text for option in ("--json", "--url", "--agent", "--token"))
    nowhere = ("ping", "stats", "top", "namespaces", "agents", "status", "why", "backup", "bench", "doctor")
    assert ("  --ns " in text) == (command not in nowhere)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in WITHOUT_HUB])
@pytest.mark.usefixtures("hurry")
def test_without_a_hub_it_is_an_error_with_a_remedy(command: str) -> None:
    result = run(command, *LEAST.get(command, ()))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f" {NOWHERE} " in result.stderr
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
        ("watch", "--fail"),
        ("log", "--types", "sat"),
        ("log", "--last", "0"),
        ("touch", "k"),
        ("touch", "k", "--ttl", "1", "--forever"),
        ("update", "k"),
        ("update", "k", "--incr", "1", "--append", "1"),
        ("update", "k", "--merge", "{"),
        ("set", "k", "1", "--meta", "{"),
        ("txn", "[]"),
        ("txn", "{}"),
        ("txn", '{"then": [], "otherwise": []}'),
        ("txn", "then"),
        ("txn", '{"then": {"op": "delete"}}'),
        ("clear",),
        ("clear", "*"),
        ("lock",),
        ("lock", "a"),
        ("lock", "a", "--"),
        ("lock", "--", "true"),
        ("lock", "a", "--wait", "soon", "--", "true"),
        ("lock", "a", "--wait", "-1", "--", "true"),
        ("lock", "a", "--wait", "nan", "--", "true"),
        ("lock", "a", "--on-loss", "cry", "--", "true"),
        ("unlock", "a"),
        ("unlock", "a", "--force"),
        ("unlock", "a", "--reason", "b"),
        ("wait",),
        ("wait", "k", "--timeout", "soon"),
        ("wait", "k", "--where", "done"),
        ("wait", "k", "--where", "/state =="),
        ("wait", "k", "--where", "/state exists 1"),
        ("wait", "k", "--count", "2"),
        ("wait", "--pattern", "*", "--where", "== 1", "--where", "== 2"),
        ("wait", "--conditions", "{}"),
        ("wait", "--conditions", "[1]"),
        ("wait", "k", "--conditions", "[]"),
        ("take",),
        ("take", "a"),
        ("take", "a", "--max-deliveries", "0", "--", "true"),
        ("send", "a"),
        ("inbox",),
        ("inbox", "--agent", "a", "--peek", "--follow"),
        ("top",),
        ("status",),
        ("restore",),
        ("restore", "a", "--data", "b", "--port", "4483"),
        ("export", "--output", "/dev/null"),
        ("export", "--output", "/nowhere/a"),
        ("import",),
        ("import", "/nowhere/a"),
        ("import", "-"),
        ("import", "a", "--overwrite", "--skip-existing"),
        ("demo", "--port", "66666"),
        ("demo", "--speed", "0"),
        ("dance",),
        ("--dance",),
        ("get", "k", "--url", "ftp://hub"),
        ("get", "k", "--url", "hub:port"),
        ("get", "k", "--url", "hub:99999"),
        ("get", "k", "--url", "http://[::1"),
    ],
)
def test_arguments_that_are_not_valid_are_an_error(command: tuple[str, ...]) -> None:
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
def test_invalid_utf8_is_refused(options: tuple[str, ...]) -> None:
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
def test_a_value_is_json_or_text_from_the_argument_or_standard_input(
    said: str, options: tuple[str, ...], input: str | None, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    class Recorder:
        async def set(self, key: str, value: object, **_: object) -> Written:
            seen.append((key, value))
            return Written(rev=1, version=1, expires_at=None)

    def run_with_hub(options: object, work: Any, **_: object) -> None:
        asyncio.run(work(Recorder()))

    monkeypatch.setattr("waggle.cli.commands.keys.run_with_hub", run_with_hub)
    result = run("set", "k", said, *options, input=input)
    assert result.exit_code == 0, result.output
    assert seen == [("k", value)]


# --- errors in words ---------------------------------------------------------------------------------------------


def test_errors_speak_of_options_where_the_client_speaks_of_arguments() -> None:
    assert describe(Disconnected("start one, or pass url= if")) == "start one, or pass --url if"
    assert describe(Unauthorized("set WAGGLE_TOKEN or pass token=.")) == "set WAGGLE_TOKEN or pass --token."
    assert describe(Lost("watch with snapshot=True, which")) == "watch with --snapshot, which"
    assert describe(BadRequest("the key is empty")) == "the key is empty"
    assert describe(Disconnected("at ws://a:1/ws for 3 s")) == "at http://a:1 for 3 s"
    assert describe(Disconnected("at wss://a/b/ws: gone")) == "at https://a/b: gone"
    assert "still take effect" in describe(TimedOut("pass a longer timeout="))


def test_no_and_error_have_their_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as plain_no:
        exit_no("it is not there")
    with pytest.raises(typer.Exit) as error:
        exit_error("it broke")
    assert (plain_no.value.exit_code, error.value.exit_code) == (NO, ERROR) == (1, 2)
    said = capsys.readouterr()
    assert said.err == "waggle: it is not there\nwaggle: it broke\n"
    assert said.out == ""


def test_values_in_errors_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        exit_no("written by \x1b[2J\u202e")
    assert capsys.readouterr().err == "waggle: written by \\u001b[2J\\u202e\n"


# --- serve -------------------------------------------------------------------------------------------------------


def test_serve_becomes_the_hub_with_all_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    monkeypatch.setattr(os, "execv", lambda path, argv: became.append((path, argv)))
    options = ["--host", "::1", "--port", "0", "--memory", "--allow-host", "a", "--allow-host", "b", "--help", "-x"]
    assert run("serve", *options).exit_code == 0
    assert became == [(sys.executable, [sys.executable, "-P", "-m", "waggle_hub", *options])]


def test_restore_becomes_the_hub_s_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    monkeypatch.setattr(os, "execv", lambda path, argv: became.append((path, argv)))
    assert run("restore", "a.db", "--port", "4484").exit_code == 0
    program = [sys.executable, "-P", "-m", "waggle_hub.restore"]
    assert became == [(sys.executable, [*program, "--port", "4484", "--", "a.db"])]


@pytest.mark.parametrize(
    "command", [("serve",), ("serve", "--help"), ("demo", "--port", "0"), ("restore", "a.db", "--data", "d")]
)
def test_without_the_hub_s_packages_the_error_names_what_to_install(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HUB_PACKAGES", ("waggle_hub", "no_such_package"))
    result = run(*command)
    assert result.exit_code == 2
    assert "pip install 'wagglehub[hub]'" in result.stderr
    assert "no_such_package" in result.stderr


# --- what it costs -----------------------------------------------------------------------------------------------


def modules_after(code: str) -> set[str]:
    """Return the imported modules after this code has run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], check=True, capture_output=True, text=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_a_command_imports_neither_the_hub_nor_modules_of_other_commands() -> None:
    loaded = modules_after("import waggle.cli.app")
    assert (
        not {"waggle_hub", "starlette", "uvicorn", "rich", "waggle.cli.commands.keys", "waggle.examples.crew"} & loaded
    )


def test_a_command_that_takes_text_does_not_pay_for_typer_s_checks() -> None:
    """They import pydantic: more than a quarter of the time that a command takes."""
    code = f"""
from waggle.cli.app import app
try:
    app(["get", "k", "--url", "{NOWHERE}x"], prog_name="waggle")
except SystemExit as exit:
    assert exit.code == 2
"""
    assert not {"pydantic", "rich", "waggle.cli.commands.watch", "waggle.cli.demo.launcher"} & modules_after(code)

"""docs/commands.md and the commands agree; that its examples run is `tests/e2e/test_docs.py`."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from waggle.cli.app import COMMANDS, app

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "commands.md").read_text()
RUN = set(re.findall(r"\bwaggle (\w+)", "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))))
"""The commands that the examples run."""

RUN_ELSEWHERE = {
    "serve": "tests/e2e/cli/test_serve.py", "demo": "tests/e2e/test_demo.py", "restore": "tests/e2e/cli/test_backup.py",
    "install": "tests/unit/cli/install/test_command.py",
}  # fmt: skip
"""Commands that do not end by themselves, take long, or need a hub that is stopped: each with the test that runs it."""


def test_every_command_is_run_by_an_example_or_by_a_test() -> None:
    assert RUN | set(RUN_ELSEWHERE) == set(COMMANDS)
    for command, test in RUN_ELSEWHERE.items():
        assert f'"{command}"' in (ROOT / test).read_text()


def test_every_option_that_the_page_names_is_one() -> None:
    pages = "".join(CliRunner().invoke(app, [name, "--help"]).output for name in COMMANDS if name != "serve")
    pages += CliRunner().invoke(app, ["--help"]).output
    pages += (ROOT / "hub" / "waggle_hub" / "cli_options.py").read_text()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--ephemeral", "--help"}
    assert len(named) > 30
    assert {option for option in named if not re.search(rf"{option}\b", pages)} == set()


def test_every_option_of_a_command_is_on_the_page_or_shared() -> None:
    """So that a new option is told of: here, or in a sentence that says where."""
    shared = {"--json", "--ns", "--url", "--agent", "--token", "--help", "--version"}
    small = {"--text", "--keep-ttl", "--keep", "--speed", "--port"}
    for name in sorted(set(COMMANDS) - {"serve"}):
        options = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", CliRunner().invoke(app, [name, "--help"]).output, re.M)
        assert options
        for option in options:
            assert option in PAGE or option in shared | small, f"{name} {option}"

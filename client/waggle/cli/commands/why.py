"""The command `why`: what is stuck, and because of whom. The sentences are in `sentences`."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Annotated

import msgspec
import typer

from waggle import Hub, Inspection
from waggle.cli.output.explain import Reasons, is_stuck
from waggle.cli.output.format import count_of, to_json
from waggle.cli.shared import completion
from waggle.cli.shared.connect import NO, exit_no, notify, run_with_hub
from waggle.cli.shared.options import Options, shared
from waggle.wire.messages import SeenWait

__all__ = ["why"]


@shared(ns=False)
def why(
    options: Options,
    agents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Only what these agents wait for, and who waits for them.",
            autocompletion=completion.agents,
        ),
    ] = None,
) -> None:
    """Say who waits for what and for whom, in sentences, in every namespace. Exit code 1 if anybody does, else 0.

    Who has a lock that others wait for, until when, and what it waits for itself; which conditions of a wait hold, and
    which do not. Agents that are ready for work are told of, too, but they are not stuck: they have nothing to do.
    """

    async def work(hub: Hub) -> None:
        seen = await hub.inspect()
        reasons = Reasons(seen)
        unknown = set(agents or ()) - {session.agent for session in seen.sessions}
        if unknown and "sessions" not in seen.cut:
            exit_no(f"there is no agent {min(unknown)!r} here: `waggle agents` lists those that are")
        waits = [wait for wait in seen.waits if not agents or reasons.agents(wait) & set(agents)]
        _print(options, seen, waits)
        if {"waits", "locks"} & set(seen.cut):
            notify("there is more than the hub tells at a time: this is the beginning")
        if any(map(is_stuck, waits)):
            raise typer.Exit(NO)

    run_with_hub(options, work)


def _print(options: Options, seen: Inspection, waits: list[SeenWait]) -> None:
    """A paragraph for each, those who are stuck first; or that all is well."""
    reasons = Reasons(seen)
    waits = sorted(waits, key=lambda wait: (not is_stuck(wait), wait.since))
    for wait in waits:
        sentence = reasons.sentence(wait)
        if options.json:
            facts = msgspec.to_builtins(wait)
            print(to_json({"agent": wait.agent, "stuck": is_stuck(wait), "sentence": sentence, **facts}))
        elif sys.stdout.isatty():
            print(textwrap.fill(sentence, shutil.get_terminal_size().columns, subsequent_indent="  "))
        else:
            print(sentence)
    if not options.json and not any(map(is_stuck, waits)):
        held, others = count_of(len(seen.locks), "lock"), count_of(len(seen.sessions) - 1, "session")
        print(f"Nothing is stuck: {others}, {held}, and nobody waits for anybody.")

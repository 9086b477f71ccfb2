"""The command `why`: which agents are stuck, and because of which others. `waggle.cli.output.explain` has the
sentences.
"""

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
            help="Only the waits of these agents, and for these agents.",
            autocompletion=completion.agents,
        ),
    ] = None,
) -> None:
    """Explain in sentences which agents wait, for what, and for which agents, in every namespace. Exit code 1 if
    any does.

    A sentence names the holder of a lock, until when, and what the holder waits for itself; and which conditions of
    a wait hold, and which do not. Agents that are ready for work are listed too, but they are not stuck.
    """

    async def work(hub: Hub) -> None:
        inspection = await hub.inspect()
        reasons = Reasons(inspection)
        unknown = set(agents or ()) - {session.agent for session in inspection.sessions}
        if unknown and "sessions" not in inspection.cut:
            exit_no(f"there is no agent {min(unknown)!r} here: `waggle agents` lists those that are")
        waits = [wait for wait in inspection.waits if not agents or reasons.agents(wait) & set(agents)]
        _print(options, inspection, waits)
        if {"waits", "locks"} & set(inspection.cut):
            notify("the list is cut off: the hub sends only the first part")
        if any(map(is_stuck, waits)):
            raise typer.Exit(NO)

    run_with_hub(options, work)


def _print(options: Options, inspection: Inspection, waits: list[SeenWait]) -> None:
    """Print a paragraph for each wait, stuck agents first; or that nothing is stuck."""
    reasons = Reasons(inspection)
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
        held, others = count_of(len(inspection.locks), "lock"), count_of(len(inspection.sessions) - 1, "session")
        print(f"Nothing is stuck: {others}, {held}, and no agent waits for another.")

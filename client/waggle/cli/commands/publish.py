"""The command `publish`: a message to all watchers of a channel."""

from __future__ import annotations

from typing import Annotated

import typer

from waggle import Hub
from waggle.cli.output.format import count_of, to_json, visible
from waggle.cli.shared.connect import run_with_hub
from waggle.cli.shared.json_args import read_value
from waggle.cli.shared.options import Options, Text, shared

__all__ = ["publish"]


@shared
def publish(
    options: Options,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", show_default=False)],
    data: Annotated[
        str, typer.Argument(metavar="DATA", show_default=False, help="JSON; - reads it from standard input.")
    ],
    text: Text = False,
) -> None:
    """Send DATA to all sessions that watch CHANNEL now, and print their number. The message is not stored."""
    content = read_value(data, text, "DATA")

    async def work(hub: Hub) -> None:
        receivers = await hub.publish(channel, content, ns=options.ns)
        if options.json:
            print(to_json({"receivers": receivers}))
        else:
            print(f"{visible(channel)}: heard by {count_of(receivers, 'session')}")

    run_with_hub(options, work)

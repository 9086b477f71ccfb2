"""The commands `send` and `inbox`: messages for one agent. `waggle.api.inbox` says how they are kept and read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from waggle import Hub, Sent, TimedOut
from waggle.api.inbox import ID_CHARS, MESSAGE_TTL_S, answer_key, body_of
from waggle.cli.output.format import duration, iso_time, to_json, visible
from waggle.cli.output.tables import tab_line
from waggle.cli.process.stay_connected import HubStatus
from waggle.cli.shared import completion
from waggle.cli.shared.connect import exit_no, run_with_hub
from waggle.cli.shared.json_args import json_or_string, read_value
from waggle.cli.shared.options import FOREVER, Options, Text, parse_timeout, shared
from waggle.wire.patterns import quoted

__all__ = ["ShownMessage", "inbox", "message_row", "message_text", "send"]


@shared
def send(
    options: Options,
    to: Annotated[
        str, typer.Argument(metavar="AGENT", show_default=False, help="The receiver.", autocompletion=completion.agents)
    ],
    message: Annotated[
        list[str],
        typer.Argument(metavar="MESSAGE", show_default=False, help="JSON, or text; - reads it from standard input."),
    ],
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="TIME", help="How long it is kept unread, or forever; else 30 days.")
    ] = f"{MESSAGE_TTL_S:g}",
    text: Text = False,
) -> None:
    """Leave MESSAGE in the inbox of an agent, and print whether that agent is connected.

    A MESSAGE that is no JSON is text: it needs no quotes. Name yourself with --agent.
    """
    body = _body(message, text)
    kept = parse_timeout(ttl, "--ttl")

    async def work(hub: Hub) -> None:
        sent = await hub.send(to, body, ns=options.ns, ttl=kept)
        if options.json:
            print(to_json(sent))
        else:
            print(f"{visible(to)}: {_whereabouts(sent, (await hub.ping()).at)}")

    run_with_hub(options, work)


def _body(words: list[str], text: bool) -> Any:
    """Return the message of the words, or of standard input: parsed if it is JSON, else text."""
    joined = read_value("-", True, "MESSAGE") if words == ["-"] else " ".join(words)
    return joined if text else json_or_string(joined)


def _whereabouts(sent: Sent, now: float) -> str:
    """Return whether the recipient is connected, and what happens to the message if not."""
    if sent.here:
        return "is connected, and has it in its inbox"
    presence = (
        "was never connected"
        if sent.last_seen is None
        else f"is not connected, last seen {duration(now - sent.last_seen)} ago"
    )
    waits = "for ever" if sent.expires_at is None else duration(sent.expires_at - now)
    return f"{presence}; the message waits {waits}"


# --- reading -----------------------------------------------------------------------------------------------------


class ShownMessage(NamedTuple):
    """A message, with the fields that are printed."""

    sender: str
    sent_at: float
    body: Any
    question: bool


Show = Callable[[ShownMessage], None]


@shared
def inbox(
    options: Options,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new messages.")] = False,
    peek: Annotated[bool, typer.Option("--peek", help="Only print: the messages stay in the inbox.")] = False,
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="At most N.")] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Wait for a message this time, or forever; else not."),
    ] = None,
) -> None:
    """Print the messages for the agent that --agent or WAGGLE_AGENT names, oldest first. Exit code 1 if there are
    none.

    A printed message is acknowledged, and does not come again. A message that could not be printed does. To keep a
    message until a program is done with it: waggle take 'inbox:NAME/*' -- CMD.
    """
    if options.agent is None:
        raise typer.BadParameter("say whose inbox it is: --agent NAME, or WAGGLE_AGENT.")
    if peek and (follow or timeout):
        raise typer.BadParameter("--peek does not wait: leave out --follow and --timeout.")
    wait_s = parse_timeout(timeout or (FOREVER if follow else "0"), "--timeout")

    async def work(hub: Hub) -> None:
        show = _message_printer(options)
        if peek:
            shown = await _peek(hub, options.ns, count, show)
        else:
            shown = await _read(hub, options.ns, wait_s, follow, count, show)
        if not shown:
            exit_no(f"there is no message for {hub.agent}{options.within}")

    run_with_hub(options, work, on_state=HubStatus())


async def _peek(hub: Hub, ns: str | None, count: int | None, show: Show) -> int:
    """Print the waiting messages without taking them. Returns their number."""
    entries = await hub.list(quoted(f"inbox:{hub.agent}/") + "?" * ID_CHARS, ns=ns)
    shown = sorted(entries, key=lambda entry: entry.rev)[:count]
    for message in shown:
        show(
            ShownMessage(message.by, message.created_at, body_of(message.value), answer_key(message.value) is not None)
        )
    return len(shown)


async def _read(hub: Hub, ns: str | None, wait_s: float | None, follow: bool, count: int | None, show: Show) -> int:
    """Print and acknowledge each message that waits or comes in time. Returns their number."""
    inbox, shown = hub.inbox(ns=ns), 0
    while shown != count:
        try:
            message = await inbox.receive(timeout=wait_s)
        except TimedOut as error:
            if error.details.get("unanswered"):
                raise
            break
        async with message:
            show(ShownMessage(message.sender, message.sent_at, message.body, message.is_question))
        shown += 1
        wait_s = wait_s if follow else 0.0
    return shown


def _message_printer(options: Options) -> Show:
    """Return a function that prints a message: as JSON, for a terminal, or for a program."""
    if options.json:
        return lambda message: print(
            to_json(
                {"from": message.sender, "sent_at": message.sent_at, "body": message.body, "question": message.question}
            ),
            flush=True,
        )
    if sys.stdout.isatty():
        return lambda message: print(message_text(message), flush=True)
    return lambda message: print(tab_line(message_row(message)), end="", flush=True)


def message_row(message: ShownMessage) -> list[str]:
    """Return a message as columns: when it was sent, its sender, and its body as JSON."""
    return [iso_time(message.sent_at), visible(message.sender), to_json(message.body)]


def message_text(message: ShownMessage) -> str:
    """Return a message for people: a line with its time and sender, and the body below."""
    body = message.body.splitlines() if isinstance(message.body, str) else [to_json(message.body)]
    asks = ", who waits for an answer" if message.question else ""
    at = iso_time(message.sent_at)[:19].replace("T", " ")
    return "\n".join([f"{at} {visible(message.sender)}{asks}:", *(f"  {visible(line)}" for line in body)])

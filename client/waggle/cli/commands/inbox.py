"""The commands about messages for one agent: send and inbox. How they wait and are read is `waggle.api.inbox`'."""

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
from waggle.wire.names import quoted

__all__ = ["ShownMessage", "inbox", "message_row", "message_text", "send"]


@shared
def send(
    options: Options,
    to: Annotated[
        str, typer.Argument(metavar="AGENT", show_default=False, help="To whom.", autocompletion=completion.agents)
    ],
    message: Annotated[
        list[str],
        typer.Argument(metavar="MESSAGE", show_default=False, help="JSON, or text; - reads it from standard input."),
    ],
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="TIME", help="It waits so long to be read, or forever; else 30 days.")
    ] = f"{MESSAGE_TTL_S:g}",
    text: Text = False,
) -> None:
    """Leave MESSAGE for an agent, which finds it in its inbox; and say whether that agent is here.

    What is no JSON is text: no quotes are needed. Say with --agent who you are.
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


def _body(said: list[str], text: bool) -> Any:
    """What the words of the command line mean, or standard input: JSON where it can be, and else text."""
    everything = read_value("-", True, "MESSAGE") if said == ["-"] else " ".join(said)
    return everything if text else json_or_string(everything)


def _whereabouts(sent: Sent, now: float) -> str:
    """Whether the recipient is here, and what becomes of the message if not."""
    if sent.here:
        return "is here, and has it in its inbox"
    seen = (
        "was never here" if sent.last_seen is None else f"is not here, last seen {duration(now - sent.last_seen)} ago"
    )
    waits = "for ever" if sent.expires_at is None else duration(sent.expires_at - now)
    return f"{seen}; the message waits {waits}"


# --- reading -----------------------------------------------------------------------------------------------------


class ShownMessage(NamedTuple):
    """A message, as it is shown."""

    sender: str
    sent_at: float
    body: Any
    question: bool


Show = Callable[[ShownMessage], None]


@shared
def inbox(
    options: Options,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with those that come.")] = False,
    peek: Annotated[bool, typer.Option("--peek", help="Only look: all of them stay in the inbox.")] = False,
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="At most so many.")] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Wait for the next, so long or forever; else not at all."),
    ] = None,
) -> None:
    """Print the messages for the agent that --agent or WAGGLE_AGENT names, oldest first. Exit code 1 if there are none.

    What was printed is acknowledged, and does not come again. One that could not be printed does. To have a message
    stay until a program is done with it: waggle take 'inbox:NAME/*' -- CMD.
    """
    if options.agent is None:
        raise typer.BadParameter("say whose inbox it is: --agent NAME, or WAGGLE_AGENT.")
    if peek and (follow or timeout):
        raise typer.BadParameter("--peek only looks at what is there: leave out --follow and --timeout.")
    patience = parse_timeout(timeout or (FOREVER if follow else "0"), "--timeout")

    async def work(hub: Hub) -> None:
        show = _message_printer(options)
        if peek:
            seen = await _peek(hub, options.ns, count, show)
        else:
            seen = await _read(hub, options.ns, patience, follow, count, show)
        if not seen:
            exit_no(f"there is no message for {hub.agent}{options.within}")

    run_with_hub(options, work, on_state=HubStatus())


async def _peek(hub: Hub, ns: str | None, count: int | None, show: Show) -> int:
    """Show the messages that wait, which go on waiting; gives how many."""
    entries = await hub.list(quoted(f"inbox:{hub.agent}/") + "?" * ID_CHARS, ns=ns)
    shown = sorted(entries, key=lambda entry: entry.rev)[:count]
    for one in shown:
        show(ShownMessage(one.by, one.created_at, body_of(one.value), answer_key(one.value) is not None))
    return len(shown)


async def _read(hub: Hub, ns: str | None, patience: float | None, follow: bool, count: int | None, show: Show) -> int:
    """Show each message that waits, or comes in time, and acknowledge it; gives how many."""
    inbox, seen = hub.inbox(ns=ns), 0
    while seen != count:
        try:
            message = await inbox.receive(timeout=patience)
        except TimedOut as late:
            if late.details.get("unanswered"):
                raise
            break
        async with message:
            show(ShownMessage(message.sender, message.sent_at, message.body, message.is_question))
        seen += 1
        patience = patience if follow else 0.0
    return seen


def _message_printer(options: Options) -> Show:
    """What shows a message as suits whoever reads it, before it is acknowledged."""
    if options.json:
        return lambda one: print(
            to_json({"from": one.sender, "sent_at": one.sent_at, "body": one.body, "question": one.question}),
            flush=True,
        )
    if sys.stdout.isatty():
        return lambda one: print(message_text(one), flush=True)
    return lambda one: print(tab_line(message_row(one)), end="", flush=True)


def message_row(one: ShownMessage) -> list[str]:
    """A message as columns: when it was sent, by whom, and what it says, as JSON."""
    return [iso_time(one.sent_at), visible(one.sender), to_json(one.body)]


def message_text(one: ShownMessage) -> str:
    """A message for people: a line that says who sent it and when, and what it says below."""
    body = one.body.splitlines() if isinstance(one.body, str) else [to_json(one.body)]
    asks = ", who waits for an answer" if one.question else ""
    at = iso_time(one.sent_at)[:19].replace("T", " ")
    return "\n".join([f"{at} {visible(one.sender)}{asks}:", *(f"  {visible(line)}" for line in body)])

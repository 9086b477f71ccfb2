"""One visit to the hub: connect, do the work, say goodbye, and turn what went wrong into words and an exit code."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from waggle import Conflict, Hub, Locked, NotFound, NotHolder, TimedOut, WaggleError, connect
from waggle.cli import discard_output
from waggle.cli.output.format import to_json, visible
from waggle.cli.shared.options import Options
from waggle.core.session import State

__all__ = [
    "ERROR",
    "NO",
    "describe",
    "exit_error",
    "exit_no",
    "exit_output_closed",
    "exit_refused",
    "notify",
    "route_signals",
    "run_until_signal",
    "run_with_hub",
]

NO = 1
ERROR = 2

CONNECT_TIMEOUT_S = 3.0
"""Seconds to find the hub: a command that is typed should not be silent for longer."""

_ARGUMENT = re.compile(r"\b(url|token|snapshot)=(True)?")
"""How the client's messages name an argument, where the command line has an option of that name."""
_ADDRESS = re.compile(r"\bws(s?://\S+?)/ws\b")
"""The address of the hub's door, where the person has said that of the hub."""

Work = Callable[[Hub], Coroutine[Any, Any, None]]
Receiver = Callable[[signal.Signals], None]

_signal_receivers: dict[signal.Signals, Receiver] = {}
"""Who is told of a signal now: see `route_signals`."""


def run_with_hub(options: Options, work: Work, *, on_state: Callable[[State], None] | None = None) -> None:
    """Do ``work`` with a connection to the hub. Raises typer.Exit unless all went well.

    The session says that it is a command line's. It has no name of its own unless one was given, so the hub makes
    one, which it does not remember. What the hub found absent, or not as expected, is a plain no.
    """
    try:
        ended_by = run_until_signal(_connect_and_run(options, work, on_state))
        sys.stdout.flush()
    except BrokenPipeError:
        exit_output_closed()
    except (Conflict, Locked, NotFound, NotHolder) as refusal:
        exit_refused(options, refusal, describe(refusal))
    except WaggleError as error:
        exit_error(describe(error))
    if ended_by is not None:
        raise typer.Exit(128 + ended_by)


def run_until_signal(work: Coroutine[Any, Any, None]) -> signal.Signals | None:
    """Run ``work`` to its end; SIGINT and SIGTERM cancel it, and are then returned.

    Not by way of KeyboardInterrupt alone: a shell has its background jobs ignore SIGINT, and SIGTERM must still work.
    """
    ended_by: list[signal.Signals] = []

    async def stoppable() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: signal.Signals) -> None:
            ended_by.append(number)
            task.cancel()

        with route_signals(stop, (signal.SIGINT, signal.SIGTERM)):
            try:
                await work
            except asyncio.CancelledError:
                if not ended_by:
                    raise

    try:
        asyncio.run(stoppable())
    except KeyboardInterrupt:
        ended_by.append(signal.SIGINT)
    return ended_by[0] if ended_by else None


@contextmanager
def route_signals(receiver: Receiver, numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Within the block ``receiver`` is told of these signals, instead of whoever is else; not of those ignored."""
    loop = asyncio.get_running_loop()
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: _signal_receivers.get(number) for number in heard}
    for number in heard:
        _signal_receivers[number] = receiver
        loop.add_signal_handler(number, receiver, number)
    try:
        yield
    finally:
        for number, earlier in before.items():
            if earlier is None:
                del _signal_receivers[number]
                loop.remove_signal_handler(number)
            else:
                _signal_receivers[number] = earlier
                loop.add_signal_handler(number, earlier, number)


async def _connect_and_run(options: Options, work: Work, on_state: Callable[[State], None] | None) -> None:
    async with connect(
        options.url,
        agent=options.agent,
        ns="default",  # each command names its own, which may be one that no session can live in
        token=options.token,
        meta={"role": "cli"},
        connect_timeout=CONNECT_TIMEOUT_S,
        on_state=on_state,
    ) as hub:
        await work(hub)


def describe(error: WaggleError) -> str:
    """What went wrong and what to do, in the words of the command line."""
    if isinstance(error, TimedOut):
        return (
            "The hub did not answer in time, and what was asked may still take effect: check that the hub runs, and"
            " look before you try again."
        )
    return _ADDRESS.sub(r"http\1", _ARGUMENT.sub(r"--\1", error.message))


def exit_output_closed() -> NoReturn:
    """Nobody reads our output any more: they have had enough, and that is no error."""
    discard_output(sys.stdout)
    raise typer.Exit


def notify(message: str) -> None:
    """Tell the person something that is not the result."""
    print(f"waggle: {visible(message)}", file=sys.stderr, flush=True)


def exit_refused(options: Options, refusal: WaggleError, message: str) -> NoReturn:
    """The hub's answer is a plain no, for people in these words."""
    if options.json:
        print(to_json({"error": refusal.to_wire()}))
    exit_no(message)


def exit_no(message: str) -> NoReturn:
    """The answer is a plain no."""
    sys.stdout.flush()  # what was asked for comes before what is said of it
    notify(message)
    raise typer.Exit(NO)


def exit_error(message: str) -> NoReturn:
    """It is an error."""
    notify(message)
    raise typer.Exit(ERROR)

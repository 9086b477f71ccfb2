"""The connection of a command to the hub: connect, do the work, say goodbye, and turn errors into words and exit
codes.
"""

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
"""Limit for the connection: a person should not wait longer without a message."""

_ARGUMENT = re.compile(r"\b(url|token|snapshot)=(True)?")
"""An argument in a message of the client, for which the command line has an option."""
_ADDRESS = re.compile(r"\bws(s?://\S+?)/ws\b")
"""The WebSocket address in a message: the person knows the hub's HTTP address."""

Work = Callable[[Hub], Coroutine[Any, Any, None]]
Receiver = Callable[[signal.Signals], None]

_signal_receivers: dict[signal.Signals, Receiver] = {}
"""The receiver of each signal now: see `route_signals`."""


def run_with_hub(options: Options, work: Work, *, on_state: Callable[[State], None] | None = None) -> None:
    """Run ``work`` with a connection to the hub. Raises typer.Exit unless it succeeds.

    The session has the role ``cli``. Without ``--agent`` the hub makes a name, which it does not remember. The hub's
    refusals (absent, not as expected, locked) are a plain no, exit code 1; other errors of the hub are exit code 2.
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
    """Run ``work`` to its end. SIGINT and SIGTERM cancel it, and are then returned; None without a signal.

    KeyboardInterrupt alone is not enough: a shell makes its background jobs ignore SIGINT, and SIGTERM must still
    work.
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
    """Within the block, call ``receiver`` for these signals, instead of an outer receiver; except ignored signals."""
    loop = asyncio.get_running_loop()
    watched = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    previous_receivers = {number: _signal_receivers.get(number) for number in watched}
    for number in watched:
        _signal_receivers[number] = receiver
        loop.add_signal_handler(number, receiver, number)
    try:
        yield
    finally:
        for number, previous in previous_receivers.items():
            if previous is None:
                del _signal_receivers[number]
                loop.remove_signal_handler(number)
            else:
                _signal_receivers[number] = previous
                loop.add_signal_handler(number, previous, number)


async def _connect_and_run(options: Options, work: Work, on_state: Callable[[State], None] | None) -> None:
    async with connect(
        options.url,
        agent=options.agent,
        ns="default",  # commands name their namespace themselves: it may be "*", which no session can have
        token=options.token,
        meta={"role": "cli"},
        connect_timeout=CONNECT_TIMEOUT_S,
        on_state=on_state,
    ) as hub:
        await work(hub)


def describe(error: WaggleError) -> str:
    """Return what went wrong and what to do, with the command line's names for options."""
    if isinstance(error, TimedOut):
        return (
            "The hub did not answer in time, and the command may still take effect: check that the hub runs, and"
            " what has changed, before you try again."
        )
    return _ADDRESS.sub(r"http\1", _ARGUMENT.sub(r"--\1", error.message))


def exit_output_closed() -> NoReturn:
    """Exit with code 0: the reader of the output has closed it, which is no error."""
    discard_output(sys.stdout)
    raise typer.Exit


def notify(message: str) -> None:
    """Print a line for the person, to standard error: anything but the result."""
    print(f"waggle: {visible(message)}", file=sys.stderr, flush=True)


def exit_refused(options: Options, refusal: WaggleError, message: str) -> NoReturn:
    """Exit with code 1 after a refusal of the hub: ``message`` for people; with ``--json``, the error as the
    result."""
    if options.json:
        print(to_json({"error": refusal.to_wire()}))
    exit_no(message)


def exit_no(message: str) -> NoReturn:
    """Print why the answer is no, and exit with code 1."""
    sys.stdout.flush()  # the result comes before the message about it
    notify(message)
    raise typer.Exit(NO)


def exit_error(message: str) -> NoReturn:
    """Print the error, and exit with code 2."""
    notify(message)
    raise typer.Exit(ERROR)

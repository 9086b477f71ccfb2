"""The `waggle` command: the hub for shells, scripts, and agents that have nothing else.

The rules, the same for every command:

1. **What was asked for goes to standard output, everything else to standard error.** With ``--json`` the output is
   JSON, one object a line; without it, it is for people, and plain text where it is not a terminal.
2. **The exit code is the answer:** 0 done, 1 a plain "no" (absent, not the expected revision, out of time), 2 an
   error, bad usage included.
3. **An error is a sentence or two that end in what to do.** Never a traceback.
4. **Ctrl-C, SIGTERM and a reader that has gone end it quietly,** and the session with it, so that no agent is left
   on the list that is not there. Output that cannot be written, to a disk that is full, is an error; where standard
   output is closed, nobody wants it.

`app` lists the commands, `options` has what they share, `visit` is how each of them gets to the hub and back. A file
of commands is named after what they are about, and imported only when one of them is called. What things look like is
in `show`, `tables`, `lines`, `diff` and `board`.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import NoReturn, TextIO

__all__ = ["discard_output", "main"]

SIGNAL_BY_EXIT_CODE: dict[object, signal.Signals] = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM)}
"""Exit codes that say which signal has ended a command, as shells count."""


def main() -> None:
    """Run the command line, and exit with its code; by the signal, where one has ended it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115 - Python has None for one that is closed
        setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "_WAGGLE_COMPLETE" in os.environ:
        from waggle.cli.shared.completion import join_colon_words

        join_colon_words(os.environ)
    try:
        from waggle.cli.app import app

        try:
            app(prog_name="waggle")
        finally:
            sys.stdout.flush()  # what is left, while there is somebody to tell that it cannot be written
    except OSError as error:
        if error.filename is not None:
            raise
        _exit_unwritable(error)
    except KeyboardInterrupt:
        _die_by_signal(signal.SIGINT)
    except SystemExit as exit:
        if exit.code in SIGNAL_BY_EXIT_CODE:
            _die_by_signal(SIGNAL_BY_EXIT_CODE[exit.code])
        raise


def _exit_unwritable(error: OSError) -> NoReturn:
    """The output cannot be written: since its reader has gone, which is no error, or for another reason."""
    discard_output(sys.stdout)
    if isinstance(error, BrokenPipeError):
        sys.exit(0)
    try:
        print(
            f"waggle: the output cannot be written ({error.strerror}): make room, or have it go elsewhere",
            file=sys.stderr,
        )
    except OSError:
        discard_output(sys.stderr)  # it goes to the same place
    sys.exit(2)


def discard_output(stream: TextIO) -> None:
    """What is left in this stream, which Python flushes once more at exit, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _die_by_signal(number: signal.Signals) -> None:
    """End as if nobody had caught the signal: a shell then stops its loop, instead of starting the next round."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)

"""The `waggle` command: the hub for shells, scripts, and agents that have only a shell.

The same rules hold for every command:

1. **Results go to standard output, everything else to standard error.** With ``--json`` the output is JSON, one
   object a line. Without it, the output is for people, or plain text where it is not a terminal.
2. **The exit code is the answer:** 0 done, 1 a plain "no" (absent, not the expected revision, out of time), 2 an
   error, bad usage included.
3. **An error is a sentence or two that end with what to do.** A command never prints a traceback.
4. **Ctrl-C, SIGTERM and a closed output end a command quietly,** and its session too, so that the list of agents
   shows no agent that has ended. Output that cannot be written, to a full disk for example, is an error. A closed
   standard output is none.

`app` lists the commands. `commands` has one file for each command or group of commands; commands of several files
have a folder of their own. A command's module is imported only when the command is called. `shared` has the options
and the connection to the hub, `output` has tables, event lines and sentences, `process` has the child processes.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import NoReturn, TextIO

__all__ = ["discard_output", "main"]

SIGNAL_BY_EXIT_CODE: dict[object, signal.Signals] = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM)}
"""The signal that ended a command, by the command's exit code, as shells count."""


def main() -> None:
    """Run the command line, and exit with its code; if a signal ended the command, end by that signal."""
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
            sys.stdout.flush()  # here, where a failure can still be reported
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
    """Exit after a write to the output failed: code 0 if the reader has closed it, which is no error, else code 2."""
    discard_output(sys.stdout)
    if isinstance(error, BrokenPipeError):
        sys.exit(0)
    try:
        print(
            f"waggle: the output cannot be written ({error.strerror}): make room, or write it elsewhere",
            file=sys.stderr,
        )
    except OSError:
        discard_output(sys.stderr)  # it may be the same full disk
    sys.exit(2)


def discard_output(stream: TextIO) -> None:
    """Send what is left in this stream to the null device: Python flushes the stream once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _die_by_signal(number: signal.Signals) -> None:
    """End as an uncaught signal does: a shell then stops its loop, instead of starting the next round."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)

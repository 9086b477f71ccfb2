"""The `waggle` command: the hub for shells, scripts, and agents that have nothing else.

The rules, the same for every command:

1. **What was asked for goes to standard output, everything else to standard error.** With ``--json`` the output is
   JSON, one object a line; without it, it is for people, and plain text where it is not a terminal.
2. **The exit code is the answer:** 0 done, 1 a plain "no" (absent, not the expected revision, out of time), 2 an
   error, bad usage included.
3. **An error is a sentence or two that end in what to do.** Never a traceback.
4. **Ctrl-C, SIGTERM and a reader that has gone end it quietly,** and the session with it, so that no agent is left
   on the list that is not there.

`app` lists the commands, `options` has what they share, `visit` is how each of them gets to the hub and back. A file
of commands is named after what they are about, and imported only when one of them is called. What things look like is
in `show`, `tables`, `lines`, `diff` and `board`.
"""

from __future__ import annotations

import io
import os
import signal
import sys

__all__ = ["main"]

BY_SIGNAL: dict[object, signal.Signals] = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM)}
"""Exit codes that say which signal has ended a command, as shells count."""


def main() -> None:
    """Run the command line, and exit with its code; by the signal, where one has ended it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "_WAGGLE_COMPLETE" in os.environ:
        from waggle.cli.complete import glue

        glue(os.environ)
    try:
        from waggle.cli.app import app

        app(prog_name="waggle")
    except KeyboardInterrupt:
        _die_of(signal.SIGINT)
    except SystemExit as exit:
        if exit.code in BY_SIGNAL:
            _die_of(BY_SIGNAL[exit.code])
        raise


def _die_of(number: signal.Signals) -> None:
    """End as if nobody had caught the signal: a shell then stops its loop, instead of starting the next round."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)

"""Servers are started, waited for, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.bench.processes import answers, child, first_line, free_port, many_files, until

SAYS = [sys.executable, "-c", "print('at home', flush=True); import time; time.sleep(60)"]


def test_at_the_end_of_the_block_the_process_is_gone_whatever_happened() -> None:
    with pytest.raises(KeyboardInterrupt), child(SAYS, stdout=subprocess.PIPE) as process:
        raise KeyboardInterrupt
    assert process.poll() is not None


def test_a_server_is_heard_also_where_a_thousand_files_are_open() -> None:
    many_files()
    with ExitStack() as stack:
        for _ in range(1_100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        process = stack.enter_context(child(SAYS, stdout=subprocess.PIPE))
        assert first_line(process, "it") == "at home\n"


def test_a_server_that_ends_before_it_is_there_is_an_error_at_once() -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with child(command, stdout=subprocess.PIPE) as process:
        with pytest.raises(RuntimeError, match="did not start"):
            first_line(process, "it")
        process.wait()
        with pytest.raises(RuntimeError, match="ended with code 3"):
            until(lambda: False, process, "it")


def test_nobody_answers_on_a_port_that_is_free() -> None:
    assert not answers(free_port(), b"PING\r\n", b"+PONG")

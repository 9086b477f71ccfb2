"""System calls that fail in one thread, as on a disk that is full or broken (Linux: seccomp, for everybody)."""

from __future__ import annotations

import ctypes
import errno
import platform
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

_NUMBERS = {
    "x86_64": {"write": [1, 18], "sync": [74, 75], "truncate": [77]},
    "aarch64": {"write": [64, 68], "sync": [82, 83], "truncate": [46]},
}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IS, _GIVE = 0x20, 0x15, 0x06
_FAIL, _ALLOW = 0x00050000, 0x7FFF0000


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint32)
    ]  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction))]


def where_fails(call: str, error: int, work: Callable[[], T]) -> T:
    """Run `work` in a thread where these system calls fail: write, sync or truncate."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            _let_fail(_NUMBERS[platform.machine()][call], error)
            results.append(work())
        except BaseException as raised:
            errors.append(raised)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _let_fail(calls: list[int], error: int) -> None:
    steps = [_Instruction(_LOAD, 0, 0, 0)]
    for call in calls:
        steps += [_Instruction(_IS, 0, 1, call), _Instruction(_GIVE, 0, 0, _FAIL | error)]
    steps.append(_Instruction(_GIVE, 0, 0, _ALLOW))
    program = _Program(len(steps), (_Instruction * len(steps))(*steps))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "no filter for system calls")


FULL = errno.ENOSPC
BROKEN = errno.EIO

"""The one way in which a blocking class is made of its asyncio twin: each method runs the twin's in the loop's thread.

A blocking class derives from `Twin` and lists the methods of the asyncio class::

    class Hub(Twin[api.hub.Hub]):
        get = blocking(api.hub.Hub.get)                 # awaits, gives plain data
        watch = giving(api.hub.Hub.watch, Watcher)      # gives an object that has a blocking twin, too

Signature, types and docstring come along, so the two clients cannot drift apart. What differs is written out in the
blocking class, with `like` for a signature that is the same.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from waggle.blocking.loop_thread import LoopThread

__all__ = ["Closing", "Twin", "blocking", "documented_as", "giving", "like", "with_parameters_of"]

A = TypeVar("A")
B = TypeVar("B")
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")


class Twin(Generic[A]):
    """An object of the asyncio client, and the thread in which it lives."""

    def __init__(self, twin: A, thread: LoopThread) -> None:
        self._twin, self._thread = twin, thread


class Closing(ABC):
    """A block whose end closes the object that was entered."""

    @abstractmethod
    def close(self) -> None:
        """End what the object does; a second call does nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def blocking(method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Twin[A], P], R]:
    """Make a blocking method of a coroutine method of the twin."""

    @functools.wraps(method)
    def call(self: Twin[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._thread.run(method(self._twin, *args, **kwargs))

    return call


def giving(
    method: Callable[Concatenate[A, P], B], wrap: Callable[[B, LoopThread], R]
) -> Callable[Concatenate[Twin[A], P], R]:
    """Make a method that wraps what a plain method of the twin returns."""

    @functools.wraps(method)
    def call(self: Twin[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return wrap(method(self._twin, *args, **kwargs), self._thread)

    return call


def like(
    method: Callable[Concatenate[A, P], object],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Twin[A], P], R]]:
    """Give a method that is written out the parameters and the docstring of the twin's."""

    def decorate(implementation: Callable[..., R]) -> Callable[Concatenate[Twin[A], P], R]:
        return functools.wraps(method)(implementation)

    return decorate


def documented_as(method: Callable[..., object]) -> Callable[[F], F]:
    """Give a method with overloads of its own the signature and the docstring of the twin's."""

    def decorate(implementation: F) -> F:
        functools.update_wrapper(implementation, method)
        return implementation

    return decorate


def with_parameters_of(function: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function the parameters of another one; its docstring stays its own."""

    def decorate(implementation: Callable[..., R]) -> Callable[P, R]:
        functools.update_wrapper(implementation, function, assigned=("__annotations__",))
        return implementation

    return decorate

"""One decorator for functions and generators, sync and async, that runs each call inside a block of its own.

A generator shares its caller's context: a block with a current span pauses while the consumer has an item, so that the consumer
never sees the span between two items.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial, wraps
from inspect import isasyncgenfunction, isclass, iscoroutinefunction, isgeneratorfunction, isroutine
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

__all__ = ["CallBlock", "decorated"]

P = ParamSpec("P")
R = TypeVar("R")


class CallBlock:
    """A context manager around one call."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        pass

    def pause(self) -> None:
        """Called before a generator hands an item to its consumer."""

    def resume(self) -> None:
        """Called when the generator goes on."""


def decorated(function: Callable[P, R], new_block: Callable[[], CallBlock]) -> Callable[P, R]:
    """Returns ``function`` with each call inside a block of its own, which ``new_block`` makes.

    Args:
        function: A function, a generator, either of them async, a static or class method, a ``functools.partial``, or an object
            with such a ``__call__``. A generator's block runs from its first step to its end.
        new_block: Makes the block of one call.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(decorated(function.__func__, new_block))
    called = _called(function)
    if isasyncgenfunction(called):
        wrapper: Any = _async_generator
    elif isgeneratorfunction(called):
        wrapper = _generator
    elif iscoroutinefunction(called):
        wrapper = _coroutine
    else:
        wrapper = _function
    # The attributes of an object that is called are its own, not its wrapper's.
    updated = ("__dict__",) if called is function else ()
    decorate: Callable[[Callable[P, R]], Callable[P, R]] = wraps(function, updated=updated)
    return decorate(wrapper(function, new_block))


def _called(function: Any) -> Any:
    """Returns the function that a call of ``function`` runs."""
    while isinstance(function, partial):
        function = function.func
    return function if isroutine(function) or isclass(function) else type(function).__call__


def _function(function: Callable[..., Any], new_block: Callable[[], CallBlock]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with new_block():
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Any], new_block: Callable[[], CallBlock]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with new_block():
            return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Any], new_block: Callable[[], CallBlock]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with new_block() as block:
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = inner.__next__
            while True:
                try:
                    item = step()
                except StopIteration as stop:
                    return stop.value
                block.pause()
                try:
                    sent = yield item
                except BaseException as thrown:
                    step = partial(inner.throw, thrown)
                else:
                    step = partial(inner.send, sent)
                block.resume()

    return call


def _async_generator(function: Callable[..., Any], new_block: Callable[[], CallBlock]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with new_block() as block:
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = inner.__anext__
            while True:
                try:
                    item = await step()
                except StopAsyncIteration:
                    return
                block.pause()
                try:
                    sent = yield item
                except BaseException as thrown:
                    step = partial(inner.athrow, thrown)
                else:
                    step = partial(inner.asend, sent)
                block.resume()

    return call

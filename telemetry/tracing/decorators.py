"""One decorator for functions and generators, sync and async, that runs each call inside a timed block of its own.

A generator shares its caller's context: the span is current only while the generator itself runs, so that the consumer never
sees it between two items.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from telemetry.tracing.span import SpanScope

__all__ = ["TimedBlock", "decorated"]

P = ParamSpec("P")
R = TypeVar("R")


class TimedBlock(Protocol):
    """A context manager around one call, with the span that it opens."""

    scope: SpanScope | None

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def decorated(function: Callable[P, R], new_block: Callable[[], TimedBlock]) -> Callable[P, R]:
    """Returns ``function`` with each call inside a block of its own, which ``new_block`` makes."""
    if isasyncgenfunction(function):
        wrapper: Any = _async_generator
    elif isgeneratorfunction(function):
        wrapper = _generator
    elif iscoroutinefunction(function):
        wrapper = _coroutine
    else:
        wrapper = _function
    decorate: Callable[[Callable[P, R]], Callable[P, R]] = wraps(function)
    return decorate(wrapper(function, new_block))


def _function(function: Callable[..., Any], new_block: Callable[[], TimedBlock]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with new_block():
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Any], new_block: Callable[[], TimedBlock]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with new_block():
            return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Any], new_block: Callable[[], TimedBlock]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with new_block() as block:
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = inner.__next__
            while True:
                try:
                    item = step()
                except StopIteration as stop:
                    return stop.value
                if block.scope is not None:
                    block.scope.leave()
                try:
                    sent = yield item
                except BaseException as thrown:
                    step = partial(inner.throw, thrown)
                else:
                    step = partial(inner.send, sent)
                if block.scope is not None:
                    block.scope.enter()

    return call


def _async_generator(function: Callable[..., Any], new_block: Callable[[], TimedBlock]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with new_block() as block:
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = inner.__anext__
            while True:
                try:
                    item = await step()
                except StopAsyncIteration:
                    return
                if block.scope is not None:
                    block.scope.leave()
                try:
                    sent = yield item
                except BaseException as thrown:
                    step = partial(inner.athrow, thrown)
                else:
                    step = partial(inner.asend, sent)
                if block.scope is not None:
                    block.scope.enter()

    return call

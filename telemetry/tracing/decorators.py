"""One decorator for functions and generators, sync and async, around a span that is opened a call.

A generator shares its caller's context: the span is current only while the generator itself runs, so that it never leaks
into the consumer between two items.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, ParamSpec, TypeVar

from telemetry.tracing.span import SpanScope

__all__ = ["decorated"]

P = ParamSpec("P")
R = TypeVar("R")
Open = Callable[[], tuple[SpanScope | None, Callable[[BaseException | None], None]]]


def decorated(function: Callable[P, R], begin: Open) -> Callable[P, R]:
    """``function`` with ``begin()`` before each call, and what it returned called at the end with the exception or None."""
    wrapper: Any
    if isasyncgenfunction(function):
        wrapper = _async_generator(function, begin)
    elif isgeneratorfunction(function):
        wrapper = _generator(function, begin)
    elif iscoroutinefunction(function):
        wrapper = _coroutine(function, begin)
    else:
        wrapper = _function(function, begin)
    return wraps(function)(wrapper)


def _function(function: Callable[..., Any], begin: Open) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        _, end = begin()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            end(error)
            raise
        end(None)
        return result

    return call


def _coroutine(function: Callable[..., Any], begin: Open) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        _, end = begin()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            end(error)
            raise
        end(None)
        return result

    return call


def _generator(function: Callable[..., Any], begin: Open) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        scope, end = begin()
        inner = function(*args, **kwargs)
        step: Callable[[], Any] = inner.__next__
        while True:
            try:
                item = step()
            except StopIteration as stop:
                end(None)
                return stop.value
            except BaseException as error:
                end(error)
                raise
            if scope is not None:
                scope.leave()
            try:
                sent = yield item
            except BaseException as thrown:
                step = _throwing(inner.throw, thrown)
            else:
                step = _sending(inner.send, sent)
            if scope is not None:
                scope.enter()

    return call


def _async_generator(function: Callable[..., Any], begin: Open) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        scope, end = begin()
        inner = function(*args, **kwargs)
        step: Callable[[], Any] = inner.__anext__
        while True:
            try:
                item = await step()
            except StopAsyncIteration:
                end(None)
                return
            except BaseException as error:
                end(error)
                raise
            if scope is not None:
                scope.leave()
            try:
                sent = yield item
            except BaseException as thrown:
                step = _throwing(inner.athrow, thrown)
            else:
                step = _sending(inner.asend, sent)
            if scope is not None:
                scope.enter()

    return call


def _throwing(throw: Callable[[BaseException], Any], error: BaseException) -> Callable[[], Any]:
    return lambda: throw(error)


def _sending(send: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    return lambda: send(value)

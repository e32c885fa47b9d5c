"""RequestTimer as a decorator: functions and generators, sync and async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace

from telemetry import RequestTimer, Telemetry
from telemetry.agentos import catalogue as rows
from tests.helpers.samples import counts


def timed(telemetry: Telemetry) -> RequestTimer:
    return RequestTimer(telemetry[rows.A2A_REQUEST_DURATION], agent="navi", operation="query")


def test_function(traced: Telemetry) -> None:
    """Each call is timed; name, result and exception stay."""

    @timed(traced)
    def divide(a: int, b: int) -> float:
        """Divides."""
        return a / b

    assert divide(4, 2) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    assert (divide.__name__, divide.__doc__) == ("divide", "Divides.")
    assert counts(traced) == {"success": 1.0, "error": 1.0}


async def test_coroutine(traced: Telemetry) -> None:
    """A coroutine function stays one and is timed until it ends."""

    @timed(traced)
    async def divide(a: int, b: int) -> float:
        return a / b

    assert await divide(4, 2) == 2
    with pytest.raises(ZeroDivisionError):
        await divide(1, 0)
    assert counts(traced) == {"success": 1.0, "error": 1.0}


def test_generator_sends_throws_and_returns(traced: Telemetry) -> None:
    """A generator is timed to its end; what is sent and thrown goes through; its span is current only while it runs."""
    seen = []

    @timed(traced)
    def talk() -> Iterator[object]:
        seen.append(trace.get_current_span().get_span_context().span_id)
        got = yield "first"
        try:
            yield got
        except KeyError:
            seen.append(trace.get_current_span().get_span_context().span_id)
        return "end"

    outside = trace.get_current_span()
    generator = talk()
    assert next(generator) == "first"
    assert trace.get_current_span() is outside
    assert generator.send("echo") == "echo"  # type: ignore[attr-defined]
    with pytest.raises(StopIteration) as stop:
        generator.throw(KeyError("x"))  # type: ignore[attr-defined]
    assert stop.value.value == "end"
    assert seen[0] == seen[1] != 0
    assert counts(traced) == {"success": 1.0}


def test_generator_closed_early_is_an_error(traced: Telemetry) -> None:
    """A reader who leaves ends the block with GeneratorExit."""

    @timed(traced)
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    generator = numbers()
    next(generator)
    generator.close()  # type: ignore[attr-defined]
    assert counts(traced) == {"error": 1.0}


async def test_async_generator(traced: Telemetry) -> None:
    """An async generator is timed to its end, and its span does not leak between two items."""
    outside = trace.get_current_span()

    @timed(traced)
    async def numbers(fails: bool) -> AsyncIterator[int]:
        assert trace.get_current_span() is not outside
        yield 1
        assert trace.get_current_span() is not outside
        if fails:
            raise LookupError
        yield 2

    got = []
    async for number in numbers(False):
        assert trace.get_current_span() is outside
        got.append(number)
    assert got == [1, 2]
    with pytest.raises(LookupError):
        [_ async for _ in numbers(True)]
    assert counts(traced) == {"success": 1.0, "error": 1.0}


async def test_async_generator_closed_early_is_an_error(traced: Telemetry) -> None:
    """aclose() ends the block, and the generator's own clean-up runs inside it."""
    cleaned = []

    @timed(traced)
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            cleaned.append(True)

    generator = numbers()
    await anext(generator)
    await generator.aclose()  # type: ignore[attr-defined]
    assert cleaned == [True]
    assert counts(traced) == {"error": 1.0}

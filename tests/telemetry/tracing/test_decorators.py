"""RequestTimer as a decorator: functions and generators, sync and async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import RequestTimer, Telemetry
from tests.helpers.catalogue import DURATION
from tests.helpers.samples import counts


def timed(telemetry: Telemetry) -> RequestTimer:
    return RequestTimer(telemetry[DURATION], shop="north", operation="pay")


def test_function(shop: Telemetry) -> None:
    """Each call of a function is timed; its name, result and exception are unchanged."""

    @timed(shop)
    def divide(a: int, b: int) -> float:
        """Divides."""
        return a / b

    assert divide(4, 2) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    assert (divide.__name__, divide.__doc__) == ("divide", "Divides.")
    assert counts(shop, DURATION.prometheus_name) == {"success": 1.0, "error": 1.0}


def test_recursive_call_is_timed_by_itself(shop: Telemetry, spans: InMemorySpanExporter) -> None:
    """Calls inside one another have a span and an observation each."""

    @timed(shop)
    def down(steps: int) -> None:
        if steps:
            down(steps - 1)

    down(2)
    assert counts(shop, DURATION.prometheus_name) == {"success": 3.0}
    assert len({span.context.span_id for span in spans.get_finished_spans()}) == 3


def test_calls_of_many_threads_are_timed_by_themselves(shop: Telemetry) -> None:
    """Threads that are inside the decorated function together each get their own status."""
    barrier = threading.Barrier(4)

    @timed(shop)
    def work(fails: bool) -> None:
        barrier.wait(30)
        if fails:
            raise LookupError

    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(work, n == 0) for n in range(4)]
    assert [type(result.exception()) for result in results] == [LookupError, type(None), type(None), type(None)]
    assert counts(shop, DURATION.prometheus_name) == {"success": 3.0, "error": 1.0}


async def test_coroutine(shop: Telemetry) -> None:
    """A coroutine function stays one and is timed until it ends."""

    @timed(shop)
    async def divide(a: int, b: int) -> float:
        return a / b

    assert await divide(4, 2) == 2
    with pytest.raises(ZeroDivisionError):
        await divide(1, 0)
    assert counts(shop, DURATION.prometheus_name) == {"success": 1.0, "error": 1.0}


def test_generator_sends_throws_and_returns(shop: Telemetry) -> None:
    """A generator is timed to its end, gets the values sent and exceptions thrown, and its span is current while it runs."""
    seen = []

    @timed(shop)
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
    assert counts(shop, DURATION.prometheus_name) == {"success": 1.0}


def test_generator_closed_early_is_an_error(shop: Telemetry) -> None:
    """A consumer that closes the generator early ends the block with ``GeneratorExit``, which is an error."""

    @timed(shop)
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    generator = numbers()
    next(generator)
    generator.close()  # type: ignore[attr-defined]
    assert counts(shop, DURATION.prometheus_name) == {"error": 1.0}


async def test_calls_of_many_tasks_are_timed_by_themselves(shop: Telemetry, spans: InMemorySpanExporter) -> None:
    """Tasks that overlap and end in another order than they began each get their own status and span."""
    first, second = asyncio.Event(), asyncio.Event()

    @timed(shop)
    async def work(until: asyncio.Event, fails: bool) -> None:
        await until.wait()
        if fails:
            raise LookupError

    a = asyncio.create_task(work(first, True))
    b = asyncio.create_task(work(second, False))
    second.set()
    await b
    first.set()
    with pytest.raises(LookupError):
        await a
    assert counts(shop, DURATION.prometheus_name) == {"success": 1.0, "error": 1.0}
    assert len(spans.get_finished_spans()) == 2


async def test_async_generator(shop: Telemetry) -> None:
    """An async generator is timed to its end, and its span does not leak between two items."""
    outside = trace.get_current_span()

    @timed(shop)
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
    assert counts(shop, DURATION.prometheus_name) == {"success": 1.0, "error": 1.0}


async def test_async_generator_closed_early_is_an_error(shop: Telemetry) -> None:
    """``aclose()`` ends the block after the generator's clean-up."""
    cleaned = []

    @timed(shop)
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            cleaned.append(True)

    generator = numbers()
    await anext(generator)
    await generator.aclose()  # type: ignore[attr-defined]
    assert cleaned == [True]
    assert counts(shop, DURATION.prometheus_name) == {"error": 1.0}

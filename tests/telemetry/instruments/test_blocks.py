"""Blocks around code: timers, running calls and exceptions, as context managers and as decorators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from inspect import signature
from typing import Any

import pytest

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.metric import counter, histogram, telemetry_metrics, up_down_counter
from tests.helpers.clock import Clock
from tests.helpers.samples import read

WAIT = histogram("wait", "s", "Wait", bounds=(1, 10))
RUNNING = up_down_counter("running", "", "Running")
FAILED = counter("failed", "", "Failed")
UNITS = {"s": 90.0, "ms": 90_000.0, "us": 9e7, "ns": 9e10, "min": 1.5, "h": 0.025, "d": 90 / 86400}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry(clock: Clock) -> Telemetry:
    return Telemetry(Catalogue([WAIT, RUNNING, FAILED, *telemetry_metrics.TELEMETRY]), clock=clock)


def value(telemetry: Telemetry, name: str) -> float | None:
    return read(telemetry).get((name, ()))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("make", [lambda h: h.time(), RequestTimer], ids=["time", "RequestTimer"])
def test_duration_is_in_the_unit_of_the_metric(clock: Clock, unit: str, make: Callable[[Any], Any]) -> None:
    """A block of 90 seconds is observed as that many of the metric's unit."""
    wait = histogram("wait", unit, "Wait", bounds=(1, 10))
    telemetry = Telemetry(Catalogue([wait, *telemetry_metrics.TELEMETRY]), clock=clock)
    with make(telemetry[wait]):
        clock.now += 90
    assert value(telemetry, f"{wait.prometheus_name}_sum") == pytest.approx(UNITS[unit], rel=1e-15)


@pytest.mark.parametrize("unit", ["By", "1", "{call}", ""])
@pytest.mark.parametrize("make", [lambda h: h.time(), RequestTimer], ids=["time", "RequestTimer"])
def test_unit_that_is_no_time_is_refused(unit: str, make: Callable[[Any], Any]) -> None:
    """A timer on bytes is refused when it is made, in a sentence with the metric, its unit and the units allowed."""
    size = histogram("size", unit, "Size", bounds=(1, 10))
    telemetry = Telemetry(Catalogue([size, *telemetry_metrics.TELEMETRY]))
    with pytest.raises(ValueError, match="needs one of") as caught:
        make(telemetry[size])
    assert str(caught.value) == f"size has the unit {unit!r}: a timer needs one of s, ms, us, ns, min, h, d"


def test_timer_that_runs_is_not_started_again(telemetry: Telemetry, clock: Clock) -> None:
    """A second entry beside the first raises, the first block is measured, and the timer can be used again."""
    timer = telemetry[WAIT].time()
    with timer:
        clock.now += 2
        with pytest.raises(RuntimeError, match="runs already"):
            timer.__enter__()
    with timer:
        clock.now += 3
    assert (value(telemetry, "wait_seconds_count"), value(telemetry, "wait_seconds_sum")) == (2.0, 5.0)


def test_blocks_that_overlap_are_counted_by_one_tracker(telemetry: Telemetry) -> None:
    """One tracker around two overlapping blocks counts both."""
    tracker = telemetry[RUNNING].track_inprogress()
    with tracker, tracker:
        assert value(telemetry, "running") == 2.0
    assert value(telemetry, "running") == 0.0


def test_only_the_named_exceptions_are_counted(telemetry: Telemetry) -> None:
    """An exception of a named class is counted and raised unchanged; another class is only raised."""
    for error in (KeyError("a"), OSError("b"), ValueError("c")):
        with pytest.raises(type(error)) as caught, telemetry[FAILED].count_exceptions((LookupError, OSError)):
            raise error
        assert caught.value is error
    assert value(telemetry, "failed_total") == 2.0


def test_what_is_no_exception_class_is_refused(telemetry: Telemetry) -> None:
    """A mistake in ``count_exceptions`` raises where it is written."""
    with pytest.raises(TypeError):
        telemetry[FAILED].count_exceptions("KeyError")


class Work:
    """Calls of each sort, which take 2 seconds and see themselves running."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self.telemetry = telemetry
        self.clock = clock

    def step(self) -> None:
        self.clock.now += 2
        assert value(self.telemetry, "running") == 1.0
        raise KeyError

    def function(self) -> None:
        self.step()

    async def coroutine(self) -> None:
        self.step()

    def generator(self) -> Iterator[int]:
        yield 1
        self.step()

    async def async_generator(self) -> AsyncIterator[int]:
        yield 1
        self.step()

    async def __call__(self) -> None:
        self.step()


async def run(made: Any) -> None:
    if hasattr(made, "__anext__"):
        async for _ in made:
            pass
    elif hasattr(made, "__next__"):
        for _ in made:
            pass
    elif made is not None:
        await made


@pytest.mark.parametrize(
    "sort", ["function", "coroutine", "generator", "async_generator", "__call__", "object", "partial", "static"]
)
async def test_decorated_call_is_measured_to_its_end(telemetry: Telemetry, clock: Clock, sort: str) -> None:
    """All three decorators enclose the whole call: its time, its running, its exception."""
    work = Work(telemetry, clock)
    function: Any = {
        "object": work,
        "partial": partial(partial(Work.coroutine), work),
        "static": staticmethod(work.coroutine),
    }.get(sort)
    decorated: Any = function or getattr(work, sort)
    for block in (telemetry[FAILED].count_exceptions(), telemetry[RUNNING].track_inprogress(), telemetry[WAIT].time()):
        decorated = block(decorated)
    with pytest.raises(KeyError):
        await run(decorated())
    assert [value(telemetry, name) for name in ("wait_seconds_sum", "running", "failed_total")] == [2.0, 0.0, 1.0]


def test_decorated_methods_keep_their_binding_and_signature(telemetry: Telemetry) -> None:
    """A class method gets its class, a static method nothing, and the signature stays."""

    timed: Callable[[Any], Any] = telemetry[WAIT].time()

    class Shop:
        @timed
        @classmethod
        def name(cls, n: int) -> tuple[str, int]:
            """Says its name."""
            return cls.__name__, n

        @timed
        @staticmethod
        def plain(n: int) -> int:
            return n

    assert (Shop.name(1), Shop().name(2), Shop.plain(3), Shop().plain(4)) == (("Shop", 1), ("Shop", 2), 3, 4)
    assert (str(signature(Shop.plain)), Shop.name.__doc__) == ("(n: 'int') -> 'int'", "Says its name.")
    assert value(telemetry, "wait_seconds_count") == 4.0

"""A measurement that interrupts its own thread, as in a signal handler or a finalizer, neither hangs nor is lost."""

from __future__ import annotations

import dis
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from math import nan
from types import FrameType
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from telemetry import RequestTimer, Telemetry
from telemetry._sdk.aggregation import feed_twofold
from telemetry._sdk.native import TwofoldAggregation
from telemetry.instruments.decimals import ObservableValues
from telemetry.instruments.event import BoundEvent
from telemetry.metric import (
    Catalogue,
    Native,
    counter,
    gauge,
    histogram,
    observable_counter,
    open_label,
    telemetry_metrics,
    up_down_counter,
)
from tests.helpers.samples import read

NAME = open_label("name", "name", limit=5000)
FEW = open_label("few", "a name of few", limit=1)
HITS = counter("hits", "", "Hits", NAME)
CROWD = counter("crowd", "", "Crowd", FEW)
RUNNING = up_down_counter("running", "", "Running", NAME)
TOOK = histogram("took", "s", "Took", NAME, bounds=(0.1, 1))
LEVEL = gauge("level", "", "Level", NAME)
SPENT = observable_counter("spent", "", "Spent", NAME)
BOTH = histogram("both", "s", "Both", NAME, bounds=(0.1, 1), native=Native())
WIDE = histogram("wide", "By", "Wide", NAME, bounds=(1, 10), native=Native())
ALONE = histogram("alone", "s", "Alone", NAME, native=Native())
ROWS = Catalogue([HITS, CROWD, RUNNING, TOOK, BOTH, WIDE, ALONE, LEVEL, SPENT, *telemetry_metrics.TELEMETRY])
DELTA = dict.fromkeys((Counter, Histogram, UpDownCounter), AggregationTemporality.DELTA)


def run_interrupted(block: Callable[[], object], at: int, interrupt: Callable[[], object]) -> bool:
    """Runs a block, with an interruption before its line number ``at``; returns whether it has so many lines.

    Lines of the library, of OpenTelemetry and of ``threading`` count: that is where locks are held.
    """
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if event == "line" and frame.f_globals.get("__name__", "").startswith(("telemetry", "opentelemetry", "threading")):
            lines += 1
            if lines == at:
                sys.settrace(None)
                interrupt()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        block()
    finally:
        sys.settrace(before)
    return lines >= at


@contextmanager
def ends(seconds: float = 60) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function in a thread and fails, in place of a hanging test run, if it does not end."""

    def run(function: Callable[[], None]) -> None:
        errors: list[BaseException] = []

        def work() -> None:
            try:
                function()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(seconds)
        assert not thread.is_alive(), "the thread hangs"
        if errors:
            raise errors[0]

    yield run


def total(telemetry: Telemetry, prefix: str) -> float:
    """Returns the sum of all series of a sample name."""
    return sum(value for (name, _), value in read(telemetry).items() if name == prefix)


def time_a_block(telemetry: Telemetry, name: str) -> None:
    with RequestTimer(telemetry[TOOK], name=name, clock=Ticks()):
        pass


def record_event(telemetry: Telemetry, name: str) -> None:
    """Records an event three times: from the second on its series are fed together."""
    event = BoundEvent(telemetry[TOOK].labels(name), telemetry[HITS].labels(name))
    for _ in range(3):
        event.record(0.5, None, None)


def record_both_forms(telemetry: Telemetry, name: str) -> None:
    """Records an event whose duration and size have native buckets too, likewise."""
    event = BoundEvent(telemetry[BOTH].labels(name), telemetry[HITS].labels(name), telemetry[WIDE].labels(name))
    for _ in range(2):
        event.record(0.5, 2, None)


RECORDINGS: dict[str, tuple[Callable[[Telemetry, str], object], str, float]] = {
    "counter": (lambda t, name: t[HITS].labels(name).inc(2), "hits_total", 2),
    "counter in a context": (lambda t, name: t[HITS].add(2, {"name": name}, Context()), "hits_total", 2),
    "up-down counter": (lambda t, name: t[RUNNING].labels(name).dec(2), "running", -2),
    "histogram": (lambda t, name: t[TOOK].labels(name).observe(0.5), "took_seconds_sum", 0.5),
    "histogram in a context": (lambda t, name: t[TOOK].record(0.5, {"name": name}, Context()), "took_seconds_sum", 0.5),
    "histogram in both forms": (lambda t, name: t[BOTH].labels(name).observe(0.5), "both_seconds_sum", 0.5),
    "native histogram": (lambda t, name: t[ALONE].labels(name).observe(0.5), "alone_seconds_sum", 0.5),
    "event": (record_event, "hits_total", 3),
    "event's duration": (record_event, "took_seconds_count", 3),
    "event in both forms": (record_both_forms, "wide_bytes_sum", 4),
    "timer": (time_a_block, "took_seconds_sum", 1),
    "gauge": (lambda t, name: t[LEVEL].labels(name).inc(2), "level", 2),
    "label over its limit": (lambda t, name: t[CROWD].labels(name).inc(), "agentos_telemetry_overflow_total", 1),
    "refused": (lambda t, name: t[HITS].labels(name).inc(nan), "agentos_telemetry_dropped_total", 1),
}


class Ticks:
    """A clock of one second a reading."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1
        return self._now


def new(temporality: dict[type, Any] | None) -> tuple[Telemetry, list[InMemoryMetricReader]]:
    readers = [] if temporality is None else [InMemoryMetricReader(temporality)]
    telemetry = Telemetry(ROWS, metric_readers=readers)
    telemetry[CROWD].labels("first").inc(0)
    return telemetry, readers


@pytest.mark.parametrize("temporality", [None, {}, DELTA], ids=["one reader", "two readers", "deltas too"])
@pytest.mark.parametrize("recording", RECORDINGS)
def test_recording_interrupted_at_any_line_by_the_same(recording: str, temporality: dict[type, Any] | None) -> None:
    """Each first measurement of a series is interrupted before each of its lines by another one: both are counted."""
    telemetry, _ = new(temporality)
    record, sample, amount = RECORDINGS[recording]

    def interrupt_each_line() -> None:
        at = 0
        interrupted = True
        while interrupted:
            at += 1
            name = f"n{at}"
            again = partial(record, telemetry, name)
            interrupted = run_interrupted(again, at, again)
        assert at > 20
        assert total(telemetry, sample) == amount * (2 * at - 1)

    with ends() as run:
        run(interrupt_each_line)


@pytest.mark.parametrize("recording", RECORDINGS)
@pytest.mark.parametrize("collect", ["scrape", "the SDK's collect", "the SDK's collect of deltas"])
def test_collect_interrupted_at_any_line_by_a_measurement(recording: str, collect: str) -> None:
    """A scrape or a collect that is interrupted before any of its lines ends, and the measurement is in the next one."""
    telemetry, readers = new({} if collect == "the SDK's collect" else DELTA if "deltas" in collect else None)
    record, sample, amount = RECORDINGS[recording]
    record(telemetry, "a")
    collecting: Callable[[], object] = readers[0].collect if readers else lambda: telemetry.reader.expose()

    def interrupt_each_line() -> None:
        count, at = 1, 0
        interrupted = True
        while interrupted and at < 3000:
            at += 1
            interrupted = run_interrupted(collecting, at, partial(record, telemetry, "a"))
            count += interrupted
        assert at > 100
        assert total(telemetry, sample) == amount * count

    with ends(300) as run:
        run(interrupt_each_line)


@pytest.mark.parametrize("function", [feed_twofold, TwofoldAggregation.aggregate])
def test_signal_handler_cannot_raise_between_the_counts_of_both_forms(function: Callable[..., object]) -> None:
    """Between the two counts lies no instruction after which CPython runs signal handlers: no call, no jump."""
    names = [instruction.opname for instruction in dis.get_instructions(function)]
    second = len(names) - 1 - names[::-1].index("STORE_SUBSCR")
    first = second - 1 - names[:second][::-1].index("STORE_SUBSCR")
    assert not any("CALL" in name or "JUMP" in name or name == "RESUME" for name in names[first:second])


def test_values_added_while_values_are_added() -> None:
    """Sums that are kept outside of the SDK lose nothing either."""
    telemetry, _ = new(None)
    spent = ObservableValues(telemetry[SPENT])

    def interrupt_each_line() -> None:
        at = 0
        interrupted = True
        while interrupted:
            at += 1
            interrupted = run_interrupted(lambda: spent.add(Decimal(1), "a"), at, lambda: spent.add(Decimal(1), "a"))
        assert total(telemetry, "spent_total") == 2 * at - 1

    with ends() as run:
        run(interrupt_each_line)


def test_signal_handler_records_at_the_first_measurement() -> None:
    """A real signal that comes while a series is bound is counted, and both measurements are there."""
    telemetry, _ = new(None)
    hits = telemetry[HITS]
    source = hits.source
    find = type(source)._find

    def raising(self: Any, attributes: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return find(self, attributes)

    before = signal.signal(signal.SIGUSR1, lambda *_: hits.labels("a").inc())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "_find", raising)
        hits.labels("a").inc()
    signal.signal(signal.SIGUSR1, before)
    assert total(telemetry, "hits_total") == 2


def test_finalizer_records_while_a_stream_is_read() -> None:
    """An object that the garbage collector ends during a scrape may record into the series that is read."""
    telemetry, _ = new(None)
    telemetry[TOOK].labels("a").observe(0.5)

    class Recording:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            telemetry[TOOK].labels("a").observe(0.5)

    def scrape() -> None:
        before = gc.get_threshold()
        gc.set_threshold(1)
        for _ in range(20):
            Recording()
            telemetry.reader.expose()
        gc.set_threshold(*before)
        gc.collect()

    with ends() as run:
        run(scrape)
    assert total(telemetry, "took_seconds_count") == 21

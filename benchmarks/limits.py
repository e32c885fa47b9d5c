"""What the interpreter, the lock, the SDK and prometheus_client cost by themselves: ``python -m benchmarks.limits``

Each row is the time of one statement on the processor, less that of an empty loop. The rows of what a measurement cannot do
without are its floors: ``FLOORS`` names them for the rows of the other tables.
"""

from __future__ import annotations

import struct
import threading
import timeit
from bisect import bisect_left
from collections.abc import Iterator
from contextvars import ContextVar
from random import getrandbits
from statistics import median
from time import perf_counter, process_time, time_ns

import prometheus_client as peer
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, ParentBased, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer

from benchmarks.measure import Row, one_core, show

__all__ = ["FLOORS", "limits"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LABELS = {"agent": "navi", "operation": "query", "status": "success"}
FEED = "feed of a histogram: bisect, lock, count, sum, least, greatest"
EVENT = "event: call, look-up, two such histograms, a counter"
EXEMPLARS = "that event with three exemplars of the current span"
SAMPLED = "SDK: start_as_current_span, sampled, 3 attributes"
CHILD = "span that is not sampled: its id, SpanContext, NonRecordingSpan, made current"
TIMED = "with block, two readings of the clock, such a histogram"

FLOORS = {
    "bound handle observe": (FEED,),
    "record_a2a_request": (EVENT,),
    "record_a2a_request, sampled span, exemplars": (EXEMPLARS,),
    "RequestTimer, span sampled": (SAMPLED, TIMED),
    "RequestTimer, parent not sampled": (CHILD, TIMED),
    "RequestTimer, root dropped by the sampler": (CHILD, TIMED),
    "RequestTimer, no tracer provider set": (TIMED,),
    "RequestTimer, without tracing": (TIMED,),
}
"""The rows of ``limits`` that a row of ``record`` cannot do without."""


class Feed:
    """The least that adds a measurement to a histogram, as exactly as the SDK's aggregation does."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0
        self.least = self.greatest = 0.3

    def observe(self, value: float) -> None:
        index = bisect_left(BOUNDS, value)
        with self.lock:
            self.counts[index] += 1
            self.sum += value
            if value < self.least:
                self.least = value
            if value > self.greatest:
                self.greatest = value


class Count:
    """The least that adds to a counter."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value = 0.0

    def inc(self, amount: float) -> None:
        with self.lock:
            self.value += amount


class Event:
    """The least that records a duration, a count and a size of one label set."""

    def __init__(self) -> None:
        self.series = {tuple(LABELS.values()): (Feed(), Count(), Feed())}
        self.exemplars: list[tuple[float, bytes]] = [(0.0, b"")] * 3

    def record(self, agent: str, operation: str, status: str, duration: float, size: float) -> None:
        durations, count, sizes = self.series[agent, operation, status]
        durations.observe(duration)
        count.inc(1)
        sizes.observe(size)

    def record_with_exemplars(self, agent: str, operation: str, status: str, duration: float, size: float) -> None:
        durations, count, sizes = self.series[agent, operation, status]
        found = trace.get_current_span().get_span_context()
        reference = pack(time_ns(), found.trace_id >> 64, found.trace_id & _LOW, found.span_id)
        durations.observe(duration)
        count.inc(1)
        sizes.observe(size)
        self.exemplars[0] = duration, reference
        self.exemplars[1] = 1.0, reference
        self.exemplars[2] = size, reference


class Timed:
    """The least that times a block."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    def __enter__(self) -> None:
        self.start = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.feed.observe(perf_counter() - self.start)


_LOW = (1 << 64) - 1
pack = struct.Struct(">QQQQ").pack


def current(tracer: Tracer) -> None:
    """Starts a span, makes it current, and ends it, without the contextlib generator of ``start_as_current_span``."""
    span = tracer.start_span("a2a.request", attributes=LABELS)
    token = context.attach(trace.set_span_in_context(span))
    context.detach(token)
    span.end()


def as_current(tracer: Tracer) -> None:
    """Does the same in the SDK's usual way."""
    with tracer.start_as_current_span("a2a.request", attributes=LABELS):
        pass


def unsampled(variable: ContextVar[object]) -> None:
    """Makes a span that is not sampled, as the SDK would have, and makes it current in a variable."""
    span = NonRecordingSpan(SpanContext(1, getrandbits(64), False, TraceFlags(0)))
    token = variable.set(Context({"span": span}))
    variable.reset(token)


def limits() -> Iterator[Row]:
    """Measures each statement."""
    yield timed("call of an empty function", "nothing()")
    yield timed("look-up of a tuple of three in a dict", "series[agent, operation, status]")
    yield timed("with lock", "with lock: pass")
    yield timed("bisect in 11 bounds", "bisect_left(BOUNDS, 0.3)")
    yield timed("reading of the clock: perf_counter", "perf_counter()")
    yield timed("reading of the clock: time_ns", "time_ns()")
    yield timed("pack of time, trace and span", "pack(1, 2, 3, 4)")
    yield timed("value of a context variable", "variable.get()")
    yield timed("OpenTelemetry: get_current_span", "trace.get_current_span()")
    yield timed(FEED, "feed.observe(0.3)")
    yield timed(EVENT, "event.record('navi', 'query', 'success', 0.3, 1200)")
    with trace.use_span(NonRecordingSpan(SpanContext(1 << 100, 1, is_remote=False))):
        yield timed(EXEMPLARS, "event.record_with_exemplars('navi', 'query', 'success', 0.3, 1200)")
        yield timed("SDK: start_span below a span that is not sampled, made current", "current(rare)", number=5_000)
    yield timed(TIMED, "with Timed(feed): pass")
    yield timed("SDK: record() of a histogram, 3 attributes", "recorded.record(0.3, LABELS)", number=5_000)
    yield timed(CHILD, "unsampled(variable)")
    yield timed("SDK: start_span of a root that is dropped, made current", "current(dropped)", number=5_000)
    yield timed("SDK: start_span, sampled, 3 attributes, made current", "current(sampled)", number=2_000)
    yield timed(SAMPLED, "as_current(sampled)", number=2_000)
    yield timed("prometheus_client: child.observe", "child.observe(0.3)")
    yield timed("prometheus_client: labels() by position", "parent.labels('navi', 'query', 'success')")
    by_keywords = "parent.labels(agent='navi', operation='query', status='success')"
    yield timed("prometheus_client: labels() by keywords", by_keywords)
    yield timed("prometheus_client: child.time()", "with child.time(): pass")


def timed(what: str, statement: str, *, number: int = 50_000, rounds: int = 9) -> Row:
    """Times a statement in nanoseconds, less an empty loop."""
    names = {**globals(), **_objects()}
    timers = [timeit.Timer(each, timer=process_time, globals=names) for each in (statement, "pass")]
    times = []
    for _ in range(rounds):
        spent, loop = (each.timeit(number) for each in timers)
        times.append((spent - loop) / number * 1e9)
    return Row.of_rounds(what, "", times, None, unit="ns", ours=median(times) / 1e9)


def _objects() -> dict[str, object]:
    """Returns what the statements name beside this module's own names."""
    parent = peer.Histogram("d", "d", list(LABELS), buckets=BOUNDS, registry=peer.CollectorRegistry())
    meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("limits")
    return {
        **LABELS,
        "nothing": lambda: None,
        "series": {tuple(LABELS.values()): 1},
        "lock": threading.Lock(),
        "variable": ContextVar("variable", default=None),
        "feed": Feed(),
        "event": Event(),
        "recorded": meter.create_histogram("h"),
        "sampled": tracer(DEFAULT_ON),
        "dropped": tracer(ALWAYS_OFF),
        "rare": tracer(ParentBased(ALWAYS_OFF)),
        "parent": parent,
        "child": parent.labels(**LABELS),
    }


def tracer(sampler: Sampler) -> Tracer:
    """Returns a tracer of the SDK with this sampler and a processor that does nothing."""
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    return provider.get_tracer("limits")


def main() -> None:
    """Prints the table."""
    with one_core():
        show("What a measurement is made of", limits())


if __name__ == "__main__":
    main()

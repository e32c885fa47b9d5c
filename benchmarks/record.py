"""The cost of a measurement, against prometheus_client and bare OpenTelemetry: ``python -m benchmarks.record [table ...]``

The tables are ``alone`` (one Prometheus reader), ``otlp`` and ``delta`` (an OTLP reader beside it) and ``cores``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from itertools import chain, cycle
from time import perf_counter
from typing import Any

import prometheus_client as peer
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext

from benchmarks.measure import Row, compare, one_core, show
from benchmarks.otlp import DELTA, otlp_reader
from telemetry import AgentOSTelemetry, RequestTimer
from telemetry.agentos import catalogue as rows

Readers = Callable[[], list[MetricReader]]
LABELS = {"agent": "navi", "operation": "query", "status": "success"}


class PrometheusClient:
    """The same metrics with plain prometheus_client, called by position (its fastest spelling) and by keywords."""

    def __init__(self) -> None:
        registry = peer.CollectorRegistry()
        keys = list(LABELS)
        self.duration = peer.Histogram("d", "d", keys, buckets=rows.A2A_REQUEST_DURATION.bounds, registry=registry)
        self.count = peer.Counter("c", "c", keys, registry=registry)
        self.size = peer.Histogram("s", "s", ["agent"], buckets=rows.A2A_RESPONSE_SIZE.bounds, registry=registry)

    def request(self) -> None:
        self.duration.labels("navi", "query", "success").observe(0.3)
        self.count.labels("navi", "query", "success").inc()
        self.size.labels("navi").observe(1200)

    def request_by_keywords(self) -> None:
        self.duration.labels(agent="navi", operation="query", status="success").observe(0.3)
        self.count.labels(agent="navi", operation="query", status="success").inc()
        self.size.labels(agent="navi").observe(1200)

    def request_with_exemplars(self) -> None:
        context = trace.get_current_span().get_span_context()
        ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        self.duration.labels("navi", "query", "success").observe(0.3, ids)
        self.count.labels("navi", "query", "success").inc(1, ids)
        self.size.labels("navi").observe(1200, ids)

    def timed(self) -> None:
        with self.duration.labels("navi", "query", "success").time():
            pass

    def timed_by_keywords(self) -> None:
        with self.duration.labels(agent="navi", operation="query", status="success").time():
            pass


BY_POSITION = "3 x labels(...) by position"
BY_KEYWORDS = "3 x labels(...) by keywords"
TIMED = "labels(...).time() by position"
TIMED_BY_KEYWORDS = "labels(...).time() by keywords"


def a2a_request(t: AgentOSTelemetry) -> Callable[[], None]:
    """Returns a function that records duration, count and size of a request."""
    record = t.recorder.record_a2a_request
    return lambda: record("navi", "query", "success", 0.3, 1200)


class Table:
    """The rows, with another reader beside the Prometheus reader or without.

    Args:
        readers: Makes the readers beside the Prometheus reader. They collect before each round, so that each round pays once
            for what a collect replaces.
        extra: Names them in the rows.
        record, keywords, sampled, handle: Goals of the rows that record.
        timed: Whether the rows of the timer and the threads have their goals.
    """

    def __init__(
        self,
        readers: Readers = list,
        extra: str = "",
        *,
        record: float = 0.4,
        keywords: float | None = 0.3,
        sampled: float | None = 0.6,
        handle: float = 0.75,
        timed: bool = True,
    ) -> None:
        self._readers = readers
        self._extra = extra
        self._record, self._keywords, self._sampled, self._handle = record, keywords, sampled, handle
        self._timed = timed
        self._beside: list[MetricReader] = []

    def row(
        self,
        what: str,
        ours: Callable[[], object],
        peers: str,
        theirs: Callable[[], object],
        goal: float | None,
        **options: Any,
    ) -> Row:
        return compare(what + self._extra, ours, peers, theirs, goal, between=self._collect, **options)

    def _collect(self) -> None:
        for reader in self._beside:
            reader.collect()

    def telemetry(self, **options: Any) -> AgentOSTelemetry:
        readers = self._readers()
        self._beside += readers
        return AgentOSTelemetry(metric_readers=readers, **options)

    def recording(self) -> Iterator[Row]:
        theirs, t = PrometheusClient(), self.telemetry(span_processors=[SpanProcessor()])
        child, handle = theirs.duration.labels(**LABELS), t[rows.A2A_REQUEST_DURATION].labels(**LABELS)
        record, ours = "record_a2a_request", a2a_request(t)
        yield self.row(record, ours, BY_POSITION, theirs.request, self._record)
        yield self.row(record, ours, BY_KEYWORDS, theirs.request_by_keywords, self._keywords)
        with t.tracer.start_as_current_span("a2a.request", attributes=LABELS):
            sampled = f"{record}, sampled span, exemplars"
            yield self.row(sampled, ours, f"{BY_POSITION}, no exemplars", theirs.request, self._sampled)
            yield self.row(sampled, ours, f"{BY_KEYWORDS}, no exemplars", theirs.request_by_keywords, None)
            yield self.row(sampled, ours, f"{BY_POSITION}, exemplars", theirs.request_with_exemplars, None)
        yield self.row(
            "bound handle observe", lambda: handle.observe(0.3), "child.observe", lambda: child.observe(0.3), self._handle
        )

    def timing(self) -> Iterator[Row]:
        """RequestTimer in each state of the span: sampled, not sampled, no provider, no tracing."""
        traced, theirs = self.telemetry(span_processors=[SpanProcessor()]), PrometheusClient()
        rare, never = (
            self.telemetry(span_processors=[SpanProcessor()], sampler=ParentBased(TraceIdRatioBased(share)))
            for share in (0.01, 0.0)
        )
        unset = self.telemetry()
        untraced = self.telemetry(tracer_provider=trace.NoOpTracerProvider())
        what, bare = "RequestTimer, span sampled", bare_span()
        yield self.row(what, timer(traced), "bare span, same attributes", bare, self._goal(1.08), number=5_000)
        with trace.use_span(NonRecordingSpan(SpanContext(1, 1, is_remote=False))):
            yield from self._timed_rows("parent not sampled", rare, theirs, 1.3)
        yield from self._timed_rows("root dropped by the sampler", never, theirs, 1.3)
        yield from self._timed_rows("no tracer provider set", unset, theirs, 1.3)
        yield from self._timed_rows("without tracing", untraced, theirs, 1.0)

    def _timed_rows(self, span: str, t: AgentOSTelemetry, theirs: PrometheusClient, goal: float) -> Iterator[Row]:
        what, ours = f"RequestTimer, {span}", timer(t)
        yield self.row(what, ours, TIMED, theirs.timed, self._goal(goal))
        if self._timed:
            yield self.row(what, ours, TIMED_BY_KEYWORDS, theirs.timed_by_keywords, None)

    def _goal(self, goal: float) -> float | None:
        return goal if self._timed else None

    def native(self) -> Iterator[Row]:
        """Native buckets beside the explicit ones, from the same measurement."""
        off, on = self.telemetry(), self.telemetry(native_histograms=True)
        without, both = (t[rows.A2A_REQUEST_DURATION].labels(**LABELS) for t in (off, on))
        observe, other = numbers(both.observe), numbers(without.observe)
        yield self.row("record_a2a_request, native buckets", a2a_request(on), "without them", a2a_request(off), 1.3)
        yield self.row("bound handle observe, native buckets", observe, "without them", other, 1.3)

    def threads(self) -> Iterator[Row]:
        """Several threads on one series."""
        theirs, t = PrometheusClient(), self.telemetry()
        child, handle = theirs.duration.labels(**LABELS), t[rows.A2A_REQUEST_DURATION].labels(**LABELS)
        for number in (4, 8):
            yield self.row(
                f"{number} threads, same series",
                in_threads(number, handle.observe),
                "child.observe",
                in_threads(number, child.observe),
                self._goal(0.8),
                number=1,
                clock=perf_counter,
            )


def bare_span() -> Callable[[], None]:
    """Returns a function that opens and closes a sampled span of the SDK with the timer's attributes."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    tracer = provider.get_tracer("bare")

    def span() -> None:
        with tracer.start_as_current_span("a2a.request", attributes=LABELS):
            pass

    return span


def timer(t: AgentOSTelemetry) -> Callable[[], None]:
    histogram = t[rows.A2A_REQUEST_DURATION]

    def run() -> None:
        with RequestTimer(histogram, agent="navi", operation="query"):
            pass

    return run


def numbers(observe: Callable[[float], None]) -> Callable[[], None]:
    """Returns one observation a call, of a thousand numbers from 2 ms to 8 s in turn: one alone would be found faster."""
    following = cycle([2 ** (n * 0.012 - 9) for n in range(1000)])
    return lambda: observe(next(following))


def in_threads(number: int, observe: Callable[[float], None]) -> Callable[[], None]:
    """Returns a function that observes 80,000 times in all, in ``number`` threads."""

    def loop() -> None:
        for _ in range(80_000 // number):
            observe(0.3)

    def run() -> None:
        workers = [threading.Thread(target=loop) for _ in range(number)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return run


def flood() -> Iterator[Row]:
    """Measurements whose labels are over their limits, against measurements of existing series."""
    t = AgentOSTelemetry(limits={"workspace_id": 10, "agent": 10, "operation": 10})
    decision, request, numbers = t.recorder.record_rate_limit_hit, t.recorder.record_a2a_request, iter(range(10**9))
    for n in range(20):
        decision("/a", "allowed", f"w{n}")
        request(f"a{n}", f"o{n}", "success", 0.3, 1200)

    def known() -> None:
        n = next(numbers) % 10
        request(f"a{n}", f"o{n}", "success", 0.3, 1200)

    def unknown() -> None:
        n = next(numbers)
        request(f"b{n}", f"p{n}", "success", 0.3, 1200)

    yield compare(
        "record_rate_limit_hit, workspace over its limit",
        lambda: decision("/a", "allowed", f"x{next(numbers)}"),
        "workspace known",
        lambda: decision("/a", "allowed", f"w{next(numbers) % 10}"),
        2.0,
    )
    yield compare("record_a2a_request, agent and operation over", unknown, "both known", known, 2.0)


def alone() -> None:
    """Prints the table of one Prometheus reader."""
    table = Table()
    found = chain(table.recording(), table.native(), table.timing(), table.threads(), flood())
    with one_core():
        show("Recording, one Prometheus reader", found)


def otlp() -> None:
    """Prints the table of a cumulative OTLP reader beside it."""
    table = Table(lambda: [otlp_reader()], ", OTLP too", record=0.5, keywords=None, sampled=None, handle=1.0, timed=False)
    with one_core():
        show("Recording, an OTLP reader beside it", chain(table.recording(), table.timing(), table.threads()))


def delta() -> None:
    """Prints the table of an OTLP reader of deltas beside it."""
    table = Table(
        lambda: [otlp_reader(DELTA)], ", delta OTLP too", record=0.9, keywords=None, sampled=None, handle=1.8, timed=False
    )
    with one_core():
        show("Recording, an OTLP reader of deltas beside it", chain(table.recording(), table.timing(), table.threads()))


def cores() -> None:
    """Prints the table of threads on every core."""
    show("Recording, several cores", Table().threads())


TABLES = {"alone": alone, "otlp": otlp, "delta": delta, "cores": cores}


if __name__ == "__main__":
    for name in sys.argv[1:] or TABLES:
        TABLES[name]()

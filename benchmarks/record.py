"""The cost of a measurement, against prometheus_client and bare OpenTelemetry: ``python -m benchmarks.record``"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import cycle
from time import perf_counter
from typing import Any

import prometheus_client as peer
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from benchmarks.measure import Row, compare, one_core, show
from benchmarks.otlp import DELTA, otlp_reader
from telemetry import AgentOSTelemetry, RequestTimer
from telemetry.agentos import catalogue as rows

Readers = Callable[[], list[MetricReader]]
LABELS = {"agent": "navi", "operation": "query", "status": "success"}


class PrometheusClient:
    """The same metrics with plain prometheus_client."""

    def __init__(self) -> None:
        registry = peer.CollectorRegistry()
        keys = list(LABELS)
        self.duration = peer.Histogram("d", "d", keys, buckets=rows.A2A_REQUEST_DURATION.bounds, registry=registry)
        self.count = peer.Counter("c", "c", keys, registry=registry)
        self.size = peer.Histogram("s", "s", ["agent"], buckets=rows.A2A_RESPONSE_SIZE.bounds, registry=registry)

    def request(self) -> None:
        self.duration.labels(agent="navi", operation="query", status="success").observe(0.3)
        self.count.labels(agent="navi", operation="query", status="success").inc()
        self.size.labels(agent="navi").observe(1200)

    def timed(self) -> None:
        with self.duration.labels(agent="navi", operation="query", status="success").time():
            pass


def helper(t: AgentOSTelemetry) -> Callable[[], None]:
    record = t.recorder.record_a2a_request
    return lambda: record("navi", "query", "success", 0.3, 1200)


class Table:
    """The rows, with other readers beside the Prometheus reader. The goals hold for the Prometheus reader alone."""

    def __init__(self, readers: Readers = list, extra: str = "") -> None:
        self._readers = readers
        self._extra = extra

    def row(
        self,
        what: str,
        ours: Callable[[], object],
        peers: str,
        theirs: Callable[[], object],
        goal: float | None,
        **options: Any,
    ) -> Row:
        return compare(what + self._extra, ours, peers, theirs, None if self._extra else goal, **options)

    def telemetry(self, **options: Any) -> AgentOSTelemetry:
        return AgentOSTelemetry(metric_readers=self._readers(), **options)

    def recording(self) -> list[Row]:
        theirs, t = PrometheusClient(), self.telemetry(span_processors=[SpanProcessor()])
        child, handle = theirs.duration.labels(**LABELS), t[rows.A2A_REQUEST_DURATION].labels(**LABELS)
        three = "3 x labels().observe/inc"
        out = [self.row("record_a2a_request", helper(t), three, theirs.request, 0.5)]
        with t.tracer.start_as_current_span("a2a.request", attributes=LABELS):
            out.append(self.row("record_a2a_request, sampled span, exemplars", helper(t), three, theirs.request, 0.7))
        out.append(
            self.row("bound handle observe", lambda: handle.observe(0.3), "child.observe", lambda: child.observe(0.3), 1.2)
        )
        return out

    def timing(self) -> list[Row]:
        """RequestTimer with a span and without."""
        theirs = PrometheusClient()
        traced = self.telemetry(span_processors=[SpanProcessor()])
        untraced = self.telemetry(tracer_provider=trace.NoOpTracerProvider())
        tracer = TracerProvider(shutdown_on_exit=False)
        tracer.add_span_processor(SpanProcessor())
        bare = tracer.get_tracer("bare")

        def span() -> None:
            with bare.start_as_current_span("a2a.request", attributes=LABELS):
                pass

        return [
            self.row("RequestTimer with span", timer(traced), "start_as_current_span", span, 1.2, number=5_000),
            self.row("RequestTimer without tracing", timer(untraced), "labels().time()", theirs.timed, 1.0),
            self.row("RequestTimer, span not sampled", timer(self.telemetry()), "labels().time()", theirs.timed, None),
        ]

    def native(self) -> list[Row]:
        """Native buckets beside the explicit ones, from the same measurement."""
        off, on = self.telemetry(), self.telemetry(native_histograms=True)
        without, both = (t[rows.A2A_REQUEST_DURATION].labels(**LABELS) for t in (off, on))
        what = ", native buckets"
        return [
            self.row(f"record_a2a_request{what}", helper(on), "without them", helper(off), 1.3),
            self.row(f"bound handle observe{what}", numbers(both.observe), "without them", numbers(without.observe), 1.3),
        ]

    def threads(self) -> Row:
        """Four threads on one series."""
        theirs, t = PrometheusClient(), self.telemetry()
        child, handle = theirs.duration.labels(**LABELS), t[rows.A2A_REQUEST_DURATION].labels(**LABELS)
        return self.row(
            "4 threads, same series",
            lambda: four(handle.observe),
            "child.observe",
            lambda: four(child.observe),
            1.0,
            number=1,
            clock=perf_counter,
        )


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


def four(function: Callable[[float], None]) -> None:
    def loop() -> None:
        for _ in range(20_000):
            function(0.3)

    workers = [threading.Thread(target=loop) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def flood() -> list[Row]:
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

    return [
        compare(
            "record_rate_limit_hit, workspace over its limit",
            lambda: decision("/a", "allowed", f"x{next(numbers)}"),
            "workspace known",
            lambda: decision("/a", "allowed", f"w{next(numbers) % 10}"),
            2.0,
        ),
        compare("record_a2a_request, agent and operation over", unknown, "both known", known, 2.0),
    ]


def main() -> None:
    """Prints the tables."""
    with one_core():
        alone = Table()
        show(
            "Recording, one Prometheus reader",
            [*alone.recording(), *alone.native(), *alone.timing(), alone.threads(), *flood()],
        )
        beside = Table(lambda: [otlp_reader()], ", OTLP too")
        show("Recording, an OTLP reader beside it", [*beside.recording(), *beside.timing(), beside.threads()])
        delta = Table(lambda: [otlp_reader(DELTA)], ", delta OTLP too")
        show("Recording, an OTLP reader of deltas beside it: record() of the SDK for everything", delta.recording())
    show("Recording, several cores", [Table().threads()])


if __name__ == "__main__":
    main()

"""What a measurement costs: ours against prometheus_client and against bare OpenTelemetry. ``python -m benchmarks.record``"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import prometheus_client as peer
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from benchmarks.measure import Row, compare, one_core, show
from telemetry import RequestTimer, Telemetry
from telemetry import catalogue as rows

LABELS = {"agent": "navi", "operation": "query", "status": "success"}
TWO = {"agent": "navi", "operation": "query"}


class Peer:
    """The same metrics by plain prometheus_client."""

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


def helper(t: Telemetry) -> Callable[[], None]:
    record = t.recorder.record_a2a_request
    return lambda: record("navi", "query", "success", 0.3, 1200)


def recording(extra: str = "", readers: Callable[[], list[Any]] = list) -> list[Row]:
    """The rows of recording; ``readers`` beside the Prometheus reader."""
    theirs = Peer()
    t = Telemetry(metric_readers=readers(), span_processors=[SpanProcessor()])
    child, handle = theirs.duration.labels(**LABELS), t[rows.A2A_REQUEST_DURATION].labels(**LABELS)
    out = [
        compare(
            f"record_a2a_request{extra}", helper(t), "3 x labels().observe/inc", theirs.request, 0.5 if not extra else None
        ),
        compare(
            f"bound handle observe{extra}",
            lambda: handle.observe(0.3),
            "child.observe",
            lambda: child.observe(0.3),
            1.2 if not extra else None,
        ),
    ]
    with t.tracer.start_as_current_span("a2a.request", attributes=LABELS):
        out.insert(
            1,
            compare(
                f"record_a2a_request, sampled span, exemplars{extra}",
                helper(t),
                "3 x labels().observe/inc",
                theirs.request,
                None if extra else 0.7,
            ),
        )
    return out


def timing() -> list[Row]:
    """RequestTimer with a span and without."""
    theirs = Peer()
    traced = Telemetry(span_processors=[SpanProcessor()])
    untraced = Telemetry(tracer_provider=trace.NoOpTracerProvider())
    unsampled = Telemetry()
    tracer = TracerProvider(shutdown_on_exit=False)
    tracer.add_span_processor(SpanProcessor())
    bare = tracer.get_tracer("bare")

    def timer(t: Telemetry) -> Callable[[], None]:
        histogram = t[rows.A2A_REQUEST_DURATION]

        def run() -> None:
            with RequestTimer(histogram, agent="navi", operation="query"):
                pass

        return run

    def span() -> None:
        with bare.start_as_current_span("a2a.request", attributes=LABELS):
            pass

    return [
        compare("RequestTimer with span", timer(traced), "start_as_current_span", span, 1.2, number=5_000),
        compare("RequestTimer without tracing", timer(untraced), "labels().time()", theirs.timed, 1.0),
        compare("RequestTimer, span not sampled", timer(unsampled), "labels().time()", theirs.timed, None),
    ]


def threads() -> Row:
    """Four threads on one series."""
    theirs = Peer()
    t = Telemetry()
    child, handle = theirs.duration.labels(**LABELS), t[rows.A2A_REQUEST_DURATION].labels(**LABELS)

    def four(function: Callable[[float], None]) -> None:
        def loop() -> None:
            for _ in range(20_000):
                function(0.3)

        workers = [threading.Thread(target=loop) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return compare(
        "4 threads, same series", lambda: four(handle.observe), "child.observe", lambda: four(child.observe), 1.0, number=1
    )


def flood() -> Row:
    """A record whose workspace is over the limit, against one whose workspace has its series."""
    t = Telemetry(limits={"workspace_id": 10})
    record = t.recorder.record_rate_limit_hit
    numbers = iter(range(10**9))
    for n in range(20):
        record("/a", "allowed", f"w{n}")
    return compare(
        "a record in a label flood",
        lambda: record("/a", "allowed", f"x{next(numbers)}"),
        "the same, label known",
        lambda: record("/a", "allowed", f"w{next(numbers) % 10}"),
        2.0,
    )


def main() -> None:
    """Print the table."""
    with one_core():
        show("Recording, one Prometheus reader", [*recording(), *timing(), flood()])
        show("Recording, a second cumulative reader beside it", recording(", 2 readers", lambda: [InMemoryMetricReader()]))
    show("Recording, several threads", [threads()])


if __name__ == "__main__":
    main()

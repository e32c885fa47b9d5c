"""The cost of a scrape: ``python -m benchmarks.scrape``

Every side has the same content: one histogram with 9 bounds, ``_created`` samples off. Each round changes the series, then
times one scrape of each side on the processor; the row has the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time

from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client import Histogram as PeerHistogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from benchmarks.measure import Row, one_core, show
from telemetry.exposition import PrometheusReader
from telemetry.prefork import Workers

BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
IN_EACH_BUCKET = (0.005, 0.02, 0.07, 0.2, 0.3, 0.7, 2.0, 3.0, 7.0, 20.0)
NAME, HELP = "a2a_request_duration_seconds", "A2A request duration in seconds"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
LABELS = ("agent", "operation", "status")


class Side:
    """One exporter with its histogram."""

    def __init__(self, scrape: Callable[[], bytes], record: Callable[[dict[str, str], float], None]) -> None:
        self.scrape = scrape
        self.record = record


def label_sets(number: int) -> list[dict[str, str]]:
    """Returns ``number`` label sets, spread over 100 agents."""
    return [{"agent": f"agent-{i % 100}", "operation": f"operation-{i // 100}", "status": "success"} for i in range(number)]


def _histogram(reader: MetricReader, *, exemplars: bool) -> Histogram:
    view = View(
        instrument_name="a2a.request.duration",
        aggregation=ExplicitBucketHistogramAggregation(BOUNDS),
        aggregation_cardinality_limit=1_000_000,
    )
    sampling = AlwaysOnExemplarFilter() if exemplars else AlwaysOffExemplarFilter()
    provider = MeterProvider([reader], exemplar_filter=sampling, shutdown_on_exit=False, views=[view])
    return provider.get_meter("agents").create_histogram("a2a.request.duration", "s", HELP)  # type: ignore[return-value]  # the SDK's


def ours(*, exemplars: bool = False, workers: Workers | None = None, direct: bool = True) -> Side:
    """Returns ``PrometheusReader``'s side: one of several ``workers``, or without ``direct`` one that reads by ``collect``."""
    reader = PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False, direct=direct)
    histogram = _histogram(reader, exemplars=exemplars)
    if workers is not None:
        reader.share(workers)
    accept = OPENMETRICS if exemplars else None
    return Side(lambda: reader.expose(accept).body, lambda labels, value: histogram.record(value, labels))


def stock() -> Side:
    """Returns the side of OpenTelemetry's own exporter."""
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    histogram = _histogram(reader, exemplars=False)
    return Side(lambda: generate_latest(registry), lambda labels, value: histogram.record(value, labels))


def peer(*, exemplars: bool = False) -> Side:
    """Returns the side of plain prometheus_client."""
    registry = CollectorRegistry()
    histogram = PeerHistogram(NAME, HELP, LABELS, buckets=BOUNDS, registry=registry)
    if not exemplars:
        return Side(lambda: generate_latest(registry), lambda labels, value: histogram.labels(**labels).observe(value))

    def record(labels: dict[str, str], value: float) -> None:
        context = trace.get_current_span().get_span_context()
        ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        histogram.labels(**labels).observe(value, ids)

    return Side(lambda: generate_openmetrics(registry), record)  # type: ignore[no-untyped-call]  # prometheus_client has no types here


def change(sides: Sequence[Side], labels: Sequence[dict[str, str]], values: Sequence[float]) -> None:
    """Records each value in each series of each side, in a new span."""
    span = NonRecordingSpan(SpanContext(random.getrandbits(128), random.getrandbits(64), False, TraceFlags(TraceFlags.SAMPLED)))
    with trace.use_span(span):
        for side in sides:
            for attributes in labels:
                for value in values:
                    side.record(attributes, value)


def seconds(side: Side) -> float:
    """Returns the processor time of one scrape."""
    gc.collect()
    start = process_time()
    side.scrape()
    return process_time() - start


def rows(
    what: str,
    mine: Side,
    others: dict[str, Side],
    labels: Sequence[dict[str, str]],
    goal: float | None,
    *,
    changed: int = 1,
    values: Sequence[float] = (),
    rounds: int = 7,
) -> list[Row]:
    """Compares our scrape with each peer's.

    Args:
        what: The rows' title.
        mine: Our side.
        others: The peers by name.
        labels: The label sets of every side.
        goal: The highest good ratio, if there is a goal.
        changed: Every ``changed``-th series changes between two scrapes.
        values: The values to record in a changed series; a random one if empty.
        rounds: Number of timed scrapes per side.
    """
    sides = [mine, *others.values()]
    change(sides, labels, values or [1.5])
    for side in sides:
        seconds(side)
    times: list[list[float]] = []
    for round_ in range(rounds):
        change(sides, labels[round_ % changed :: changed], values or [random.random() * 3])
        times.append([seconds(side) for side in sides])
    return [
        Row(
            what,
            name,
            median(t[0] / t[i] for t in times),
            goal,
            f"{median(t[0] for t in times) * 1e3:.1f} ms / {median(t[i] for t in times) * 1e3:.1f} ms",
        )
        for i, name in enumerate(others, 1)
    ]


def growth(small: int, large: int, rounds: int = 7) -> Row:
    """Compares the cost per series among many with the cost per series among few."""
    sides = [(ours(), label_sets(number)) for number in (large, small)]
    costs: list[list[float]] = []
    for round_ in range(rounds + 1):
        for side, labels in sides:
            change([side], labels, [random.random()])
        spent = [seconds(side) / len(labels) for side, labels in sides]
        if round_ > 0:  # the first scrape makes the label texts
            costs.append(spent)
    return Row(
        f"cost per series of {large:,} label sets",
        f"of {small:,}",
        median(many / few for many, few in costs),
        1.3,
        f"{median(many for many, _ in costs) * 1e6:.2f} us / {median(few for _, few in costs) * 1e6:.2f} us",
    )


def peak(number: int) -> Row:
    """Compares the peak memory of a scrape, its body included, with the size of the body."""
    side, labels = ours(), label_sets(number)
    change([side], labels, [1.0])
    body = len(side.scrape())
    gc.collect()
    tracemalloc.start()
    side.scrape()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Row(f"peak memory of a scrape, {number:,} label sets", "its body", most / body, None, f"{most:,} B / {body:,} B")


def main() -> None:
    """Prints the table."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # as above
    labels = label_sets(10_000)
    with one_core():
        found = rows(
            "10,000 label sets, all changed", ours(), {"prometheus_client": peer(), "stock exporter": stock()}, labels, 0.08
        )
        found += rows(
            "10,000 label sets, all changed, read directly", ours(), {"direct=False": ours(direct=False)}, labels, 0.5
        )
        found += rows(
            "10,000 label sets, 1 % changed",
            ours(),
            {"prometheus_client": peer(), "stock exporter": stock()},
            labels,
            None,
            changed=100,
        )
        found += rows(
            "10,000 label sets, an exemplar in every bucket, all changed",
            ours(exemplars=True),
            {"prometheus_client": peer(exemplars=True)},
            labels,
            0.12,
            values=IN_EACH_BUCKET,
        )
        found.append(growth(10_000, 100_000))
        found.append(peak(10_000))
    show("scrape", found)


if __name__ == "__main__":
    main()

"""The cost of a scrape: ``python -m benchmarks.scrape``

Every side has the same content: one histogram with 9 bounds, ``_created`` samples off unless the row says otherwise. Each round
changes the series, then times one scrape of each side on the processor; the row has the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from time import process_time
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest, make_asgi_app
from prometheus_client import Histogram as PeerHistogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from benchmarks.measure import Row, one_core, show
from benchmarks.scraped_over_http import Client, serving
from telemetry import Telemetry
from telemetry.exposition import PrometheusReader, metrics_app
from telemetry.metric import Catalogue, Native, histogram, open_label
from telemetry.prefork import Workers

BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
IN_EACH_BUCKET = (0.005, 0.02, 0.07, 0.2, 0.3, 0.7, 2.0, 3.0, 7.0, 20.0)
NAME, HELP = "a2a_request_duration_seconds", "A2A request duration in seconds"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
OPENMETRICS_2 = "application/openmetrics-text;version=2.0.0"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
LABELS = ("agent", "operation", "status")


class Side:
    """One exporter with its histogram."""

    def __init__(self, scrape: Callable[[], bytes], record: Callable[[dict[str, str], float], None]) -> None:
        self.scrape = scrape
        self.record = record


def label_sets(number: int) -> list[dict[str, str]]:
    """Returns ``number`` label sets, spread over 100 agents."""
    return [{"agent": f"agent-{i % 100}", "operation": f"operation-{i // 100}", "status": "success"} for i in range(number)]


def _meter(reader: MetricReader, *, exemplars: bool = False, **of_view: Any) -> Meter:
    view = View(instrument_name="a2a.request.*", aggregation_cardinality_limit=2_000_000, **of_view)
    sampling = AlwaysOnExemplarFilter() if exemplars else AlwaysOffExemplarFilter()
    return MeterProvider([reader], exemplar_filter=sampling, shutdown_on_exit=False, views=[view]).get_meter("agents")


def _histogram(reader: MetricReader, *, exemplars: bool) -> Histogram:
    meter = _meter(reader, exemplars=exemplars, aggregation=ExplicitBucketHistogramAggregation(BOUNDS))
    return meter.create_histogram("a2a.request.duration", "s", HELP)


def _reader(**options: Any) -> PrometheusReader:
    return PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False, **options)


def _recorded_in(reader: PrometheusReader) -> Side:
    histogram = _histogram(reader, exemplars=False)
    return Side(lambda: reader.expose().body, lambda labels, value: histogram.record(value, labels))


def _counted_in(reader: PrometheusReader) -> Side:
    counter = _meter(reader).create_counter("a2a.request.count")

    def scrape() -> bytes:
        for piece in reader.pieces().body:
            last = piece
        return last

    return Side(scrape, lambda labels, value: counter.add(value, labels))


def _peer_in(registry: CollectorRegistry) -> Side:
    histogram = PeerHistogram(NAME, HELP, LABELS, buckets=BOUNDS, registry=registry)
    return Side(lambda: generate_latest(registry), lambda labels, value: histogram.labels(**labels).observe(value))


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


def seconds(side: Side, scrapes: int = 1) -> float:
    """Returns the processor time of one scrape, or of several."""
    gc.collect()
    start = process_time()
    for _ in range(scrapes):
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
        Row.of_rounds(
            what,
            name,
            [t[0] / t[i] for t in times],
            goal,
            f"{median(t[0] for t in times) * 1e3:.1f} ms / {median(t[i] for t in times) * 1e3:.1f} ms",
        )
        for i, name in enumerate(others, 1)
    ]


def over_http(labels: Sequence[dict[str, str]], goal: float, rounds: int = 5) -> Iterator[Row]:
    """Compares the server's processor time of gzipped scrapes over HTTP with prometheus_client's ASGI application."""
    reader, registry = _reader(), CollectorRegistry()
    sides = [_recorded_in(reader), _peer_in(registry)]
    change(sides, labels, [1.5])
    with serving(metrics_app(reader)) as ours_at, serving(make_asgi_app(registry)) as theirs_at:
        for coding, peers in (("gzip", True), ("zstd", False)):
            ports = [ours_at, theirs_at] if peers else [ours_at]
            clients = [Client(port, {"Accept-Encoding": coding}) for port in ports]
            found: list[list[tuple[float, str]]] = []
            for round_ in range(rounds + 1):
                change(sides, labels, [random.random() * 3])
                scraped = [client.scrape() for client in clients]
                if round_ > 0:  # the first scrape makes the label texts
                    found.append(scraped)
            for client in clients:
                client.close()
            mine = [each[0][0] for each in found]
            if peers:
                theirs, gzipped = [each[1][0] for each in found], mine
                ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
                detail = (
                    f"{median(mine) * 1e3:.1f} ms / {median(theirs) * 1e3:.1f} ms; {found[-1][0][1]} B / {found[-1][1][1]} B"
                )
                what = f"{len(labels):,} label sets over HTTP, gzip"
                yield Row.of_rounds(what, "prometheus_client's make_asgi_app", ratios, goal, detail)
            else:
                detail = f"{median(mine) * 1e3:.1f} ms / {median(gzipped) * 1e3:.1f} ms; {found[-1][0][1]} B"
                yield Row("the same, zstd", "gzip", median(mine) / median(gzipped), None, detail)


def of_formats(labels: Sequence[dict[str, str]], rounds: int = 7) -> Iterator[Row]:
    """Compares our formats with each other, with the same content."""
    reader = _reader(created=True)
    side = _recorded_in(reader)
    change([side], labels, [1.5])
    accepts = {"text": None, "OpenMetrics 1 with _created": OPENMETRICS, "OpenMetrics 2": OPENMETRICS_2, "protobuf": PROTOBUF}
    sizes = {name: len(reader.expose(accept).body) for name, accept in accepts.items()}
    times: dict[str, list[float]] = {name: [] for name in accepts}
    for _ in range(rounds):
        change([side], labels, [random.random() * 3])
        for name, accept in accepts.items():
            times[name].append(seconds(Side(lambda accept=accept: reader.expose(accept).body, side.record)))  # type: ignore[misc]  # an argument that keeps the loop's value
    for name, other, time_goal, size_goal in (
        ("protobuf", "text", 0.8, 0.5),
        ("OpenMetrics 2", "OpenMetrics 1 with _created", None, 0.5),
    ):
        ratios = [a / b for a, b in zip(times[name], times[other], strict=True)]
        detail = f"{median(times[name]) * 1e3:.1f} ms / {median(times[other]) * 1e3:.1f} ms"
        yield Row.of_rounds(f"{name}, {len(labels):,} label sets, time", other, ratios, time_goal, detail)
        detail = f"{sizes[name]:,} B / {sizes[other]:,} B"
        yield Row(f"{name}, {len(labels):,} label sets, bytes", other, sizes[name] / sizes[other], size_goal, detail)


def of_native(number: int = 1000, measurements: int = 100) -> Iterator[Row]:
    """Compares native histograms with classic ones of the same measurements: logarithms with a standard deviation of 0.5."""
    labels = [open_label(key, key, limit=number) for key in LABELS]
    classic = histogram("a2a.request.duration", "s", HELP, *labels, bounds=BOUNDS)
    native = histogram("a2a.request.duration", "s", HELP, *labels, native=Native())
    telemetries = [Telemetry(Catalogue([metric]), max_series=2 * number**3) for metric in (classic, native)]
    handles = [
        [telemetry[metric].labels(*each.values()) for each in label_sets(number)]
        for telemetry, metric in zip(telemetries, (classic, native), strict=True)
    ]
    for one, other in zip(*handles, strict=True):
        for _ in range(measurements):
            value = random.lognormvariate(-1.0, 0.5)
            one.observe(value)
            other.observe(value)
    accepts = {"text": None, "OpenMetrics 1": OPENMETRICS, "OpenMetrics 2": OPENMETRICS_2, "protobuf": PROTOBUF}
    sizes = [{name: len(each.reader.expose(accept).body) for name, accept in accepts.items()} for each in telemetries]
    for telemetry in telemetries:
        telemetry.shutdown()
    for name, other, goal in (
        ("protobuf", "text", 0.25),
        ("protobuf", "protobuf", None),
        ("OpenMetrics 2", "OpenMetrics 1", None),
        ("OpenMetrics 2", "OpenMetrics 2", None),
    ):
        mine, theirs = sizes[1][name], sizes[0][other]
        what = f"native histograms by {name}, {number:,} of {measurements} measurements, bytes"
        yield Row(what, f"classic ones by {other}", mine / theirs, goal, f"{mine:,} B / {theirs:,} B")


def growth(small: int, large: int, rounds: int = 3) -> Row:
    """Compares the cost per series of a counter among many with the cost per series among few. Few series change."""
    sides = [(_counted_in(_reader()), label_sets(number)) for number in (large, small)]
    for side, labels in sides:
        change([side], labels, [1.0])
        seconds(side)  # makes the label texts
    costs: list[list[float]] = []
    for _ in range(rounds):
        spent = []
        for side, labels in sides:
            change([side], labels[:: len(labels) // 1000], [1.0])
            repeats = large // len(labels) // 10 or 1
            spent.append(seconds(side, repeats) / repeats / len(labels))
        costs.append(spent)
    return Row.of_rounds(
        f"cost per series of {large:,} label sets of a counter",
        f"of {small:,}",
        [many / few for many, few in costs],
        1.3,
        f"{median(many for many, _ in costs) * 1e6:.2f} us / {median(few for _, few in costs) * 1e6:.2f} us",
    )


def peaks(number: int) -> Iterator[Row]:
    """Compares the peak memory of a streamed scrape with the size of its body."""
    reader, labels = _reader(), label_sets(number)
    change([_recorded_in(reader)], labels, [1.0])
    for name, accept in (("text", None), ("OpenMetrics 2", OPENMETRICS_2), ("protobuf", PROTOBUF)):
        body = sum(map(len, reader.pieces(accept).body))
        gc.collect()
        tracemalloc.start()
        for _ in reader.pieces(accept).body:
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        what = f"peak memory of a streamed scrape, {number:,} label sets, {name}"
        yield Row(what, "its body", most / body, 0.1, f"{most:,} B / {body:,} B")


def main() -> None:
    """Prints the table, each row as soon as it is known."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # as above
    with one_core():
        show("scrape", _all(label_sets(10_000)))


def _all(labels: list[dict[str, str]]) -> Iterator[Row]:
    yield from of_formats(labels)
    yield from of_native()
    yield from peaks(10_000)
    yield from over_http(labels, 0.05)
    title = "10,000 label sets, all changed"
    others = {"prometheus_client": peer(), "stock exporter": stock()}
    yield from rows(title, ours(), others, labels, 0.08, rounds=3)
    yield from rows(f"{title}, read directly", ours(), {"direct=False": ours(direct=False)}, labels, 0.5, rounds=5)
    others = {"prometheus_client": peer(), "stock exporter": stock()}
    yield from rows("10,000 label sets, 1 % changed", ours(), others, labels, None, changed=100, rounds=3)
    title = "10,000 label sets, an exemplar in every bucket, all changed"
    others = {"prometheus_client": peer(exemplars=True)}
    yield from rows(title, ours(exemplars=True), others, labels, 0.12, values=IN_EACH_BUCKET, rounds=2)
    yield growth(10_000, 1_000_000)


if __name__ == "__main__":
    main()

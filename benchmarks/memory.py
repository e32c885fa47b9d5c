"""Memory of a histogram series, ours and prometheus_client's: ``python -m benchmarks.memory``"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import prometheus_client as peer
from opentelemetry.sdk.trace import SpanProcessor

from benchmarks.measure import Row, show
from telemetry import Telemetry
from telemetry.metric import Catalogue, histogram, open_label

SERIES = 10_000
BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CUSTOMER = open_label("customer", "customer", limit=SERIES)
TOOK = histogram("took", "s", "Took", CUSTOMER, bounds=BOUNDS)
NAMES = [f"customer-{n:06d}" for n in range(SERIES)]


def _bytes(fill: Callable[[], object]) -> float:
    """Returns the bytes per series that ``fill`` leaves allocated."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = fill()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return (after - before) / SERIES


def ours() -> Telemetry:
    """Our series, one per name."""
    t = Telemetry(Catalogue([TOOK]), span_processors=[SpanProcessor()])
    for name in NAMES:
        t[TOOK].labels(name).observe(0.3)
    return t


def ours_with_native() -> Telemetry:
    """Our series with native buckets too, each measured over three decades: 80 of them are filled."""
    t = Telemetry(Catalogue([TOOK]), span_processors=[SpanProcessor()], native_histograms=True)
    for name in NAMES:
        handle = t[TOOK].labels(name)
        for n in range(80):
            handle.observe(0.01 * 2 ** (n / 8))
    return t


def ours_with_exemplars() -> Telemetry:
    """Our series, one per name, with an exemplar of a new span in every bucket."""
    t = Telemetry(Catalogue([TOOK]), span_processors=[SpanProcessor()])
    for name in NAMES:
        handle = t[TOOK].labels(name)
        for bound in (*BOUNDS, 20.0):
            with t.tracer.start_as_current_span("s"):
                handle.observe(bound * 0.99)  # a float of its own, as measured ones are
    return t


def scraped(make: Callable[[], Telemetry]) -> Callable[[], Telemetry]:
    """The same after a scrape, which keeps label texts for the next one."""

    def fill() -> Telemetry:
        t = make()
        t.reader.expose("application/openmetrics-text")
        return t

    return fill


def theirs() -> peer.Histogram:
    """prometheus_client's series, one per name."""
    parent = peer.Histogram("took", "Took", ["customer"], buckets=BOUNDS, registry=peer.CollectorRegistry())
    for name in NAMES:
        parent.labels(name).observe(0.3)
    return parent


def main() -> None:
    """Prints the table."""
    base = _bytes(theirs)

    def row(what: str, fill: Callable[[], object], goal: float | None) -> Row:
        mine = _bytes(fill)
        return Row(what, "prometheus_client", mine / base, goal, f"{mine:.0f} / {base:.0f} bytes")

    show(
        f"Memory of a histogram series ({SERIES:,} series, {len(BOUNDS)} bounds)",
        [
            row("without exemplars", ours, 0.6),
            row("an exemplar in every bucket", ours_with_exemplars, 0.8),
            row("native buckets too, 80 filled", ours_with_native, None),
            row("without exemplars, after a scrape", scraped(ours), None),
            row("an exemplar in every bucket, after a scrape", scraped(ours_with_exemplars), None),
        ],
    )


if __name__ == "__main__":
    main()

"""Floods of label values, threads and tasks: no measurement is lost, and memory stays bounded."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from telemetry import Telemetry
from telemetry.metric import Catalogue, counter, histogram, open_label
from tests.helpers.catalogue import CATALOGUE, DURATION, LABELS, LOOKUP, REQUESTS
from tests.helpers.samples import above_zero, read


def total(telemetry: Telemetry, name: str) -> float:
    """Returns the sum over all series of a sample."""
    return sum(value for (n, _), value in read(telemetry).items() if n == name)


def test_flood_of_labels_stays_within_the_limits_and_loses_nothing() -> None:
    """Of 20,000 distinct values the limit is admitted: series and memory stay bounded, and all sums are exact."""
    telemetry = Telemetry(CATALOGUE, known={"shop": ["north"]}, limits={"shop": 10, "operation": 10})
    requests, duration = telemetry[REQUESTS], telemetry[DURATION]

    def record(numbers: range) -> None:
        for n in numbers:
            requests.labels(f"s{n}", f"o{n}", "success").inc()
            duration.record(0.1, {"shop": f"s{n}", "operation": f"o{n}", "status": "success"})
            if n % 1000 == 0:
                requests.labels("north", "o1", "success").inc()

    record(range(2_000))  # everything that is admitted, and every path once
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    record(range(2_000, 20_000))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 1_000_000
    assert total(telemetry, "shop_requests_total") == 20_000 + 20
    assert total(telemetry, "shop_request_duration_seconds_count") == 20_000
    assert above_zero(telemetry)["shop_requests_total", (("operation", "o1"), ("shop", "north"), ("status", "success"))] == 20
    shops = {dict(labels)["shop"] for name, labels in read(telemetry) if name == "shop_requests_total"}
    assert shops == {"north", "other", *(f"s{n}" for n in range(10))}
    overflow = ("agentos_telemetry_overflow_total", (("label", "shop"), ("metric", "shop_requests_total")))
    assert read(telemetry)[overflow] == 19_990.0


def test_overflow_series_of_the_sdk_stays_empty() -> None:
    """A View's cardinality limit follows from the limits of the labels: all combinations fit, in every reader."""
    a, b = open_label("a", "a", limit=30), open_label("b", "b", limit=30)
    both = Catalogue([counter("hits", "", "h", a, b), histogram("took", "s", "h", a, b, bounds=(1,))])
    reader = InMemoryMetricReader()
    telemetry = Telemetry(both, metric_readers=[reader])
    for n in range(40):
        for m in range(40):
            telemetry[both[0]].labels(f"a{n}", f"b{m}").inc()
            telemetry[both[1]].labels(f"a{n}", f"b{m}").observe(1)
    data = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics  # type: ignore[union-attr]
    assert [len(metric.data.data_points) for metric in metrics] == [31 * 31, 31 * 31]
    assert not any("otel.metric.overflow" in p.attributes for m in metrics for p in m.data.data_points)


def test_threads_and_tasks_are_counted_to_the_unit() -> None:
    """8 threads and 200 tasks record 10,000 times each while a reader scrapes: the totals are exact."""
    telemetry = Telemetry(CATALOGUE)
    duration = telemetry[DURATION].labels(**LABELS)
    requests, lookup = telemetry[REQUESTS], telemetry[LOOKUP]
    stop = threading.Event()

    def scrape() -> None:
        while not stop.is_set():
            telemetry.reader.expose()

    def loop() -> None:
        for _ in range(10_000):
            duration.observe(0.25)
            requests.labels(**LABELS).inc()
            lookup.record(0.002, {"operation": "get"})

    async def task() -> None:
        for n in range(10_000):
            duration.observe(0.5)
            if n % 1000 == 0:
                await asyncio.sleep(0)

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(200)))

    scraper = threading.Thread(target=scrape)
    threads = [threading.Thread(target=loop) for _ in range(8)]
    scraper.start()
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    stop.set()
    scraper.join()
    assert total(telemetry, "shop_request_duration_seconds_count") == 8 * 10_000 + 200 * 10_000
    assert total(telemetry, "shop_request_duration_seconds_sum") == 8 * 2_500 + 200 * 5_000
    assert total(telemetry, "shop_requests_total") == 80_000
    assert total(telemetry, "shop_lookup_duration_seconds_count") == 80_000

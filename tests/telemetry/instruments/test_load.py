"""Under load nothing is lost and nothing grows: floods of labels, threads, tasks."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos import catalogue as rows
from telemetry.metric import Catalogue, counter, histogram, open_label
from tests.helpers.samples import above_zero, read

LABELS = {"agent": "navi", "operation": "query", "status": "success"}


def total(telemetry: Telemetry, name: str) -> float:
    """The sum over all series of a metric."""
    return sum(value for (n, _), value in read(telemetry).items() if n == name)


def test_flood_of_labels_stays_within_the_limits_and_loses_nothing() -> None:
    """100,000 distinct workspaces, agents and operations: series bounded, memory bounded, sums and other series exact."""
    telemetry = AgentOSTelemetry(known={"agent": ["navi"]}, limits={"workspace_id": 100, "agent": 10, "operation": 10})
    record, limit = telemetry.recorder.record_a2a_request, telemetry.recorder.record_rate_limit_hit
    for n in range(2_000):  # what is admitted, and every path once
        record(f"a{n}", f"o{n}", "success", 0.1, 10)
        limit("/a", "allowed", f"w{n}")
    record("navi", "o1", "success", 0.1, 10)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for n in range(2_000, 100_000):
        record(f"a{n}", f"o{n}", "success", 0.1, 10)
        limit("/a", "allowed", f"w{n}")
        if n % 1000 == 0:
            record("navi", "o1", "success", 0.1, 10)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 10_000_000
    assert total(telemetry, "a2a_requests_total") == 100_000 + 1 + 98
    assert total(telemetry, "a2a_request_duration_seconds_count") == 100_000 + 1 + 98
    assert total(telemetry, "rate_limit_hits_total") == 100_000
    series = [labels for name, labels in read(telemetry) if name == "rate_limit_hits_total"]
    assert len({dict(labels)["workspace_id"] for labels in series}) == 101
    assert above_zero(telemetry)["a2a_requests_total", (("agent", "navi"), ("operation", "o1"), ("status", "success"))] == 99
    overflow = ("agentos_telemetry_overflow_total", (("label", "workspace_id"), ("metric", "rate_limit_hits_total")))
    assert read(telemetry)[overflow] == 99_900.0


def test_the_sdks_own_overflow_is_never_reached() -> None:
    """A View's limit follows from the labels' limits: all combinations fit, in every reader."""
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
    """8 threads and 200 tasks with 10,000 records each, scraped meanwhile: totals are exact."""
    telemetry = AgentOSTelemetry()
    handle = telemetry[rows.A2A_REQUEST_DURATION].labels(**LABELS)
    record = telemetry.recorder.record_cache_operation
    stop = threading.Event()

    def scrape() -> None:
        while not stop.is_set():
            telemetry.reader.expose()

    def loop() -> None:
        for _ in range(10_000):
            handle.observe(0.25)
            record("get", "hit", 0.002)

    async def task() -> None:
        for n in range(10_000):
            handle.observe(0.5)
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
    assert total(telemetry, "a2a_request_duration_seconds_count") == 8 * 10_000 + 200 * 10_000
    assert total(telemetry, "a2a_request_duration_seconds_sum") == 8 * 2_500 + 200 * 5_000
    assert total(telemetry, "cache_operations_total") == 80_000
    assert total(telemetry, "cache_latency_seconds_count") == 80_000

"""A real Prometheus scrapes native histograms of several workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import log2
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service
from tests.helpers.asgi_server import serving
from tests.helpers.noted_scrapes import NotedScrapes, forward_to
from tests.helpers.recorded import buckets

FINE = (1.0, 1.0625, 1.0625)
COARSE = (0.5, 2.0, 1024.0)
"""Of one worker and of the other: the second one's need a coarser schema."""


@contextmanager
def each_worker(url: str, count: int) -> Iterator[list[httpx.Client]]:
    """Yields one connection to each worker."""
    with ExitStack() as stack:
        found: dict[str, httpx.Client] = {}

        def connected() -> bool:
            client = stack.enter_context(httpx.Client(base_url=url))
            found.setdefault(client.get("/").text, client)
            return len(found) == count

        until("a connection to each worker", connected)
        yield list(found.values())


@pytest.mark.parametrize(
    ("protocol", "content_type"),
    [
        ("OpenMetricsText2.0.0", "application/openmetrics-text; version=2.0.0"),
        ("PrometheusProto", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"),
    ],
    ids=["openmetrics_2", "protobuf"],
)
def test_native_histograms_of_two_workers(
    service: Callable[..., Service], prometheus: Callable[..., Prometheus], tmp_path: Path, protocol: str, content_type: str
) -> None:
    """Native and explicit buckets of two workers are added up exactly, at the schema of the coarser one."""
    state = {"STATE_DIRECTORY": str(tmp_path / "state")}
    running = service(state, app="tests.helpers.recording_app:app", workers=2)
    with each_worker(running.url, 2) as (first, second):
        first.get(f"/record/{','.join(map(str, FINE))}")
        second.get(f"/record/{','.join(map(str, COARSE))}")
    notes = NotedScrapes(forward_to(running.url))
    with serving(notes, lifespan="off") as url:
        options: dict[str, Any] = {"scrape_native_histograms": True, "always_scrape_classic_histograms": True}
        job = scrape_job("workers", urlsplit(url).netloc, interval="2s", scrape_protocols=[protocol], **options)
        store = prometheus([job], features=["openmetrics2"])
        store.await_scrape("workers")
    for name in ("size_bytes", "both_seconds"):
        histogram = store.histogram(name)
        assert (histogram.count, histogram.sum) == (6, sum(FINE + COARSE))
        # 11 powers of two in at most 40 buckets
        assert {round(log2(bucket.upper) * 2**1): bucket.count for bucket in histogram.buckets} == buckets(1, FINE + COARSE)
    assert {sample.labels["le"]: sample.value for sample in store.query("both_seconds_bucket")} == {
        "1.0": 2,
        "8.0": 5,
        "+Inf": 6,
    }
    assert notes.by_path["/metrics"].format == content_type

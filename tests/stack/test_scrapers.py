"""The Collector's receiver and VictoriaMetrics scrape what they ask for, and get the recorded numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from stack.servers.collector import Collector
from stack.servers.process import Server, until
from stack.servers.prometheus import scrape_job
from stack.servers.victoria import VictoriaMetrics
from telemetry.exposition import metrics_app
from tests.helpers.asgi_server import serving
from tests.helpers.noted_scrapes import NotedScrapes
from tests.helpers.otlp_receiver import Receiver, receiving
from tests.helpers.recorded import BOTHS, LABEL, SIZES, WAITS, Recorded, buckets
from tests.helpers.required_servers import built_server

Start = Callable[[Server], Server]


@contextmanager
def served(recorded: Recorded) -> Iterator[tuple[NotedScrapes, str]]:
    """Serves the process; yields the notes and the address."""
    notes = NotedScrapes(metrics_app(recorded.reader))
    with serving(notes, lifespan="off") as url:
        yield notes, urlsplit(url).netloc


def collected(started: Start, folder: Path, receiver: Receiver, job: dict[str, object]) -> dict[str, Metric]:
    """Returns the metrics of one scrape, as the Collector's receiver sends them on over OTLP."""
    config = folder / "collector.yaml"
    content = {
        "extensions": {"health_check": {"endpoint": "${env:HEALTH_ENDPOINT}"}},
        "receivers": {"prometheus": {"config": {"scrape_configs": [job]}}},
        "exporters": {"otlp_http": {"endpoint": receiver.url}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"metrics": {"receivers": ["prometheus"], "exporters": ["otlp_http"]}},
        },
    }
    config.write_text(yaml.safe_dump(content))
    started(Collector(built_server("otelcol"), folder / "collector", config=config, gates=()))
    while True:
        request = receiver.metrics.get(timeout=30)
        found = {
            metric.name: metric
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        if "level" in found:  # else the scrape took too long
            return found


def attributes(point: Any) -> dict[str, str]:
    """Returns the attributes of an OTLP data point."""
    return {one.key: one.value.string_value for one in point.attributes}


def positive(point: Any) -> dict[int, int]:
    """Returns the counts of an OTLP exponential histogram by Prometheus' index, which is one more."""
    return {point.positive.offset + 1 + at: count for at, count in enumerate(point.positive.bucket_counts) if count}


def test_the_collectors_receiver_by_default(started: Start, tmp_path: Path) -> None:
    """Without options the Collector gets OpenMetrics: counter and explicit histogram as they were recorded."""
    recorded = Recorded()
    with receiving() as receiver, served(recorded) as (notes, target):
        found = collected(started, tmp_path, receiver, scrape_job("j", target, interval="2s"))
    (work,) = found["work_done_bytes_total"].sum.data_points
    assert (attributes(work), work.as_double) == ({"k": LABEL}, 5.0)
    assert found["work_done_bytes_total"].sum.is_monotonic
    (wait,) = found["wait_seconds"].histogram.data_points
    assert (list(wait.explicit_bounds), list(wait.bucket_counts)) == ([0.5, 1.0], [2, 2, 2])
    assert (wait.count, wait.sum) == (len(WAITS), sum(WAITS))
    assert notes.by_path["/metrics"].format == "application/openmetrics-text; version=1.0.0"


def test_the_exemplars_of_the_collectors_receiver(started: Start, tmp_path: Path) -> None:
    """The Collector has the exemplars with their trace ids, values and times in milliseconds."""
    recorded = Recorded()
    with receiving() as receiver, served(recorded) as (_, target):
        found = collected(started, tmp_path, receiver, scrape_job("j", target, interval="2s"))
    (wait,) = found["wait_seconds"].histogram.data_points
    expected = {(one.trace_id, one.value, one.time_unix_nano // 10**6) for one in recorded.point("wait").exemplars}
    assert {(int.from_bytes(one.trace_id), one.as_double, one.time_unix_nano // 10**6) for one in wait.exemplars} == expected
    assert len(expected) == 3


def test_native_histograms_of_the_collectors_receiver(started: Start, tmp_path: Path) -> None:
    """With ``scrape_native_histograms`` the Collector gets Protocol Buffers, and the buckets of exponential histograms."""
    recorded = Recorded()
    with receiving() as receiver, served(recorded) as (notes, target):
        found = collected(started, tmp_path, receiver, scrape_job("j", target, interval="2s", scrape_native_histograms=True))
    points = {attributes(point)["how"]: point for point in found["size_bytes"].exponential_histogram.data_points}
    assert {how: (point.scale, positive(point)) for how, point in points.items()} == {
        how: (schema, buckets(schema, values)) for how, (schema, values) in SIZES.items()
    }
    assert {how: (point.count, point.sum, point.zero_count) for how, point in points.items()} == {
        how: (len(values), sum(values), values.count(0.0)) for how, (_, values) in SIZES.items()
    }
    for both in found["both_seconds"].exponential_histogram.data_points:
        assert (both.scale, positive(both)) == (BOTHS[0], buckets(*BOTHS))
    assert notes.by_path["/metrics"].format == "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"


@pytest.mark.parametrize("options", [{}, {"stream_parse": True}], ids=["whole", "stream"])
def test_victoria_metrics(started: Start, tmp_path: Path, options: dict[str, Any]) -> None:
    """VictoriaMetrics gets text 0.0.4: each series as it was recorded, an exponential histogram by its count and sum."""
    with served(Recorded()) as (notes, target):
        job = scrape_job("j", target, interval="1s", **options)
        store = started(VictoriaMetrics(built_server("victoria-metrics"), tmp_path / "victoria", [job]))
        assert isinstance(store, VictoriaMetrics)
        until("a scrape", lambda: store.query('up{job="j"} == 1'))
        rows = store.query('{job="j", __name__=~".*(seconds|bytes).*"}')
    found = {
        (labels["__name__"], labels.get("le") or labels.get("how") or labels.get("k")): value
        for labels, value in rows
        if not labels["__name__"].startswith(("size_bytes_bucket", "scrape_")) and labels.get("how") != "second"
    }
    expected: dict[tuple[str, str | None], Any] = {
        ("work_done_bytes_total", LABEL): 5.0,
        ("wait_seconds_bucket", "0.5"): 2.0,
        ("wait_seconds_bucket", "1.0"): 4.0,
        ("wait_seconds_bucket", "+Inf"): 6.0,
        ("wait_seconds_count", None): 6.0,
        ("wait_seconds_sum", None): 8.0,
        ("both_seconds_bucket", "1.0"): 2.0,
        ("both_seconds_bucket", "8.0"): 4.0,
        ("both_seconds_bucket", "+Inf"): 5.0,
        ("both_seconds_count", "first"): 5.0,
        ("both_seconds_sum", "first"): 112.5,
        **{("size_bytes_count", how): len(values) for how, (_, values) in SIZES.items()},
        **{("size_bytes_sum", how): pytest.approx(sum(values), rel=1e-8) for how, (_, values) in SIZES.items()},
    }
    assert found == expected
    note = notes.by_path["/metrics"]
    assert (note.format, note.content_encoding) == ("text/plain; version=0.0.4", "gzip")

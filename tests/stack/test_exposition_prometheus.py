"""A real Prometheus scrapes the exposition, in both formats."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from time import time
from typing import Any

import pytest
import uvicorn
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stack.servers.process import free_port, until
from stack.servers.prometheus import Prometheus, scrape_job
from telemetry.exposition import PrometheusReader, Translation, metrics_app

TEXT: dict[str, Any] = {"scrape_protocols": ["PrometheusText0.0.4"]}
OPENMETRICS: dict[str, Any] = {"scrape_protocols": ["OpenMetricsText1.0.0"]}
TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")


@contextmanager
def served(reader: PrometheusReader) -> Iterator[str]:
    """Serves the reader's application on a loopback port; yields its address."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(metrics_app(reader), host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    )
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    until("the application", lambda: server.started)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


def everything(**options: Any) -> tuple[MeterProvider, PrometheusReader, str]:
    """Returns a provider with every kind of metric, its reader, and the trace id that the exemplars name."""
    reader = PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False, info=["about.info"], **options)
    meters = MeterProvider(
        [reader],
        shutdown_on_exit=False,
        views=[View(instrument_name="exp", aggregation=ExponentialBucketHistogramAggregation(max_size=8))],
    )
    meter = meters.get_meter("m")
    with TRACER.start_as_current_span("call") as span:
        meter.create_counter("work.done", "By", "Work done").add(5, {"k": 'quote " slash \\ line\nend ü'})
        meter.create_histogram("work.time", "s", "Time", explicit_bucket_boundaries_advisory=[0.5, 1]).record(0.75)
        trace_id = f"{span.get_span_context().trace_id:032x}"
    for value in (0, 1.5, 3):
        meter.create_histogram("exp").record(value)
    meter.create_up_down_counter("level", description="Level").add(-2)
    meter.create_observable_gauge("about.info", [lambda _: [Observation(1, {"version": "1"})]], description="About")
    return meters, reader, trace_id


def arrived(store: Prometheus, expression: str) -> float:
    """Waits for a query to have a value, and returns it."""
    return until(expression, partial(store.value, expression))


@pytest.mark.parametrize("created", [False, True])
def test_promtool_finds_no_error(promtool: Path, created: bool) -> None:
    """``promtool check metrics`` reads the text format without an error, and reports only the missing help text."""
    _, reader, _ = everything(created=created)
    result = subprocess.run(
        [promtool, "check", "metrics"], input=reader.expose().body, capture_output=True, timeout=30, check=False
    )
    said = (result.stdout + result.stderr).decode().splitlines()
    assert said == ["exp no help text"]


def test_both_formats(prometheus: Callable[..., Prometheus]) -> None:
    """Both formats arrive with the same values, and OpenMetrics with exemplars, type, unit and help."""
    _, reader, trace_id = everything()
    with served(reader) as target:
        store = prometheus([scrape_job("text", target, **TEXT), scrape_job("om", target, **OPENMETRICS)])
        for job in ("text", "om"):
            arrived(store, f'level{{job="{job}"}}')
        for job in ("text", "om"):
            only = f'{{job="{job}"}}'
            assert store.health(job) == "up"
            done = store.query(f"work_done_bytes_total{only}")
            assert [(s.labels["k"], s.value) for s in done] == [('quote " slash \\ line\nend ü', 5.0)]
            assert {s.labels["le"]: s.value for s in store.query(f"work_time_seconds_bucket{only}")} == {
                "0.5": 0.0,
                "1.0": 1.0,
                "+Inf": 1.0,
            }
            assert store.value(f"work_time_seconds_sum{only}") == 0.75
            assert store.value(f"exp_count{only}") == 3.0
            assert store.value(f'exp_bucket{{job="{job}",le="0.0"}}') == 1.0
            assert store.value(f"level{only}") == -2.0
            assert store.query(f"about_info{only}")[0].labels["version"] == "1"
        now = time()
        for name in ("work_done_bytes_total", "work_time_seconds_bucket"):
            found = store.exemplars(name, now - 600, now + 600)
            assert [(row["seriesLabels"]["job"], row["exemplars"][0]["labels"]["trace_id"]) for row in found] == [
                ("om", trace_id)
            ]
        # One row for each format: text 0.0.4 has no units.
        rows = store.get("metadata", metric="work_time_seconds")["work_time_seconds"]
        assert {"type": "histogram", "unit": "seconds", "help": "Time"} in rows
        (rows,) = store.get("metadata", metric="work_done_bytes").values()
        assert rows == [{"type": "counter", "unit": "bytes", "help": "Work done"}]


def test_created_times(prometheus: Callable[..., Prometheus]) -> None:
    """With ``created`` and Prometheus' feature flag a counter begins at 0 at its created time, without an additional series."""
    _, reader, _ = everything(created=True)
    with served(reader) as target:
        store = prometheus([scrape_job("om", target, **OPENMETRICS)], features=["created-timestamp-zero-ingestion"])
        until("two scrapes", lambda: (store.value("count_over_time(work_done_bytes_total[5m])") or 0) >= 3)
        rows = store.get("query", query="work_done_bytes_total[5m]")["result"]
        assert [value for _, value in rows[0]["values"]][:2] == ["0", "5"]
        data = reader.state()
        assert data is not None
        counter = data.resource_metrics[0].scope_metrics[0].metrics[0]
        assert rows[0]["values"][0][0] == counter.data.data_points[0].start_time_unix_nano // 10**6 / 1000
        assert store.query("work_done_bytes_created") == []


def test_utf8_names(prometheus: Callable[..., Prometheus]) -> None:
    """With ``Translation.UTF8`` a Prometheus that accepts UTF-8 names gets them; by default it gets names with underscores."""
    for translation, name in (
        (Translation.UTF8, '{"work.done_bytes_total"}'),
        (Translation.UNDERSCORES, "work_done_bytes_total"),
    ):
        _, reader, _ = everything(translation=translation)
        with served(reader) as target:
            store = prometheus([scrape_job("om", target)], name=translation.name)
            assert arrived(store, name) == 5.0

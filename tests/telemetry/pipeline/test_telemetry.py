"""One object a process: providers, readers, start and end."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor

from telemetry import AgentOSTelemetry, PrometheusReader, Telemetry
from telemetry.agentos import catalogue as rows
from telemetry.instruments.views import views
from telemetry.metric import Catalogue, counter, open_label
from tests.helpers.samples import above_zero, samples_of

ORDERS = counter("shop.orders", "{order}", "Orders", open_label("shop", "shop", limit=3))
VISITS = counter("shop.visits", "{visit}", "Visits")


def test_somebody_elses_catalogue() -> None:
    """A service of one's own brings its own list: two metrics, nothing of AgentOS."""
    telemetry = Telemetry(Catalogue([ORDERS, VISITS]), resource=Resource({"service.name": "shop"}))
    telemetry[ORDERS].labels(shop="north").inc()
    telemetry[VISITS].inc(2)
    assert telemetry.reader.expose().body.decode() == (
        "# HELP target_info Target metadata\n"
        "# TYPE target_info gauge\n"
        'target_info{service_name="shop"} 1\n'
        "# HELP shop_orders_total Orders\n"
        "# TYPE shop_orders_total counter\n"
        'shop_orders_total{shop="north"} 1\n'
        "# HELP shop_visits_total Visits\n"
        "# TYPE shop_visits_total counter\n"
        "shop_visits_total 2\n"
    )


def test_host_with_a_provider_of_its_own() -> None:
    """A host adds our Views and our reader to its own MeterProvider, and has its own metrics beside ours."""
    from prometheus_client import CollectorRegistry

    reader = PrometheusReader(scope_info_enabled=False, disable_target_info=True, registry=CollectorRegistry())
    provider = MeterProvider([reader], views=views(rows.AGENTOS), shutdown_on_exit=False)
    telemetry = AgentOSTelemetry(meter_provider=provider)
    telemetry.recorder.record_cache_operation("get", "hit", 0.002)
    provider.get_meter("host").create_counter("host.things").add(1)
    samples = samples_of(reader.expose().body.decode())
    assert samples["cache_operations_total", (("operation", "get"), ("result", "hit"))] == 1.0
    assert samples["cache_latency_seconds_bucket", (("le", "0.005"), ("operation", "get"))] == 1.0
    assert samples["host_things_total", ()] == 1.0
    telemetry.shutdown()
    provider.get_meter("host").create_counter("host.things").add(1)
    assert samples_of(reader.expose().body.decode())["host_things_total", ()] == 2.0
    provider.shutdown()


def test_readers_beside_the_prometheus_reader_see_the_same() -> None:
    """The same state can be pushed: another reader gets the same series."""
    reader = InMemoryMetricReader()
    telemetry = AgentOSTelemetry(metric_readers=[reader])
    telemetry[rows.A2A_REQUESTS].labels("navi", "query", "success").inc(3)
    data = reader.get_metrics_data()
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics  # type: ignore[union-attr]
    assert [(metric.name, p.value) for p in metric.data.data_points] == [("a2a.requests", 3)]
    assert list(above_zero(telemetry).values()) == [3.0]


class FailsToStop(SpanProcessor):
    def shutdown(self) -> None:
        raise RuntimeError("stuck")


def test_shutdown_that_fails_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    """A processor that cannot be stopped does not stop the others, nor the service."""
    telemetry = AgentOSTelemetry(span_processors=[FailsToStop()])
    with caplog.at_level(logging.WARNING, "telemetry"):
        telemetry.shutdown()
        telemetry.shutdown()
    assert [r.getMessage() for r in caplog.records] == ["telemetry: shutdown failed: RuntimeError('stuck')"]


def test_default_starts_no_thread_and_no_exporter() -> None:
    """The process default is safe before a fork: it scrapes only."""
    code = (
        "import threading; from agents.observability import record_a2a_request as r, get_metrics;"
        "r('navi', 'query', 'success', 0.1); get_metrics(); print(threading.active_count())"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(("already", "ours"), [(False, True), (True, False)])
def test_global_tracer_provider_is_set_only_where_nobody_has(already: bool, ours: bool) -> None:
    """A host's global provider stays; where there is none, ours becomes it."""
    code = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider;"
        "from telemetry import AgentOSTelemetry;"
        f"{already} and trace.set_tracer_provider(TracerProvider()); t = AgentOSTelemetry(); t.offer_globally();"
        "print(trace.get_tracer_provider() is t.tracer_provider)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ours)

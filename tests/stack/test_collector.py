"""``otel-collector.yaml`` on the real Collector: data sent by StatsD and OTLP, and the data that it passes on."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from stack.load import traffic
from stack.pipeline_checks import OURS, own_series, stored_series
from stack.servers.binaries import binary
from stack.servers.collector import CONFIG, Collector
from stack.servers.jaeger import Jaeger, Span
from stack.servers.process import until
from stack.servers.prometheus import Prometheus
from stack.servers.service import Service
from stack.servers.victoria import VictoriaMetrics

Start = Callable[..., Collector]


def endpoints(prometheus: Prometheus | None = None, jaeger: Jaeger | None = None) -> dict[str, str]:
    """Returns the Collector's variables for these stores."""
    found = {}
    if prometheus is not None:
        found["PROMETHEUS_OTLP_ENDPOINT"] = f"{prometheus.url}/api/v1/otlp"
    if jaeger is not None:
        found["TRACES_ENDPOINT"] = f"127.0.0.1:{jaeger.otlp}"
    return found


def test_the_configuration_is_valid_as_it_is(collector: Start) -> None:
    """`otelcol validate` reports no problem in the file with its defaults."""
    done = subprocess.run([binary("otelcol"), "validate", "--config", CONFIG], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_collectors_own_metrics_are_served(collector: Start) -> None:
    """The Collector serves its own metrics on a separate port, without scope labels."""
    running = collector()
    text = httpx.get(f"http://127.0.0.1:{running.telemetry}/metrics").text
    assert "otelcol_process_uptime" in text
    assert "otel_scope_name" not in text


def test_statsd_metrics_arrive_with_their_tags(prometheus: Callable[..., Prometheus], collector: Start) -> None:
    """A StatsD counter, gauge and timer become series of job statsd, with tags as labels and a cumulative counter."""
    store = prometheus()
    running = collector(endpoints(store))
    lines = ["orders:3|c|#shop:north", "orders:4|c|#shop:north", "depth:12|g|#shop:north"]
    lines += [f"checkout.time:{ms}|ms|#shop:north" for ms in (7, 40, 400)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for line in lines:
            sender.sendto(line.encode(), ("127.0.0.1", running.statsd))
        assert until("the counter", lambda: store.value('orders_total{job="statsd",shop="north"}')) == 7
        assert store.value('depth{job="statsd",shop="north"}') == 12
        assert store.value('checkout_time_count{job="statsd",shop="north"}') == 3
        assert store.value('checkout_time_bucket{job="statsd",shop="north",le="50"}') == 2
        sender.sendto(b"orders:5|c|#shop:north", ("127.0.0.1", running.statsd))
        until("the next interval", lambda: store.value('orders_total{job="statsd"}') == 12)


SENT: dict[str, AttributeValue] = {
    "http.request.header.authorization": ["Bearer 0123456789abcdef"],
    "http.request.header.x-auth-token": "0123456789abcdef",
    "gen_ai.input.messages": "my secret question",
    "gen_ai.tool.call.result": "my secret result",
    "llm.prompts": "my secret prompt",
    "gen_ai.usage.input_tokens": 7,
    "note": "sent with Bearer 0123456789abcdef",
    "key": "is sk-proj-0123456789abcdef",
    "url.full": "https://user:hush@models.example/v1?model=m&api_key=hush#top",
}
KEPT: dict[str, AttributeValue] = {
    "gen_ai.usage.input_tokens": 7,
    "note": "sent with Bearer ****",
    "key": "is sk-****",
    "url.full": "https://****@models.example/v1?model=m&api_key=****#top",
}
"""The attributes that remain of ``SENT``."""


def complaint(values: dict[str, AttributeValue]) -> str:
    """Returns a status message as an exception with these values might give it."""
    return f"refused {values['url.full']!s} {values['key']!s} {values['note']!s}"


def test_secrets_do_not_reach_the_trace_store(jaeger: Jaeger, collector: Start) -> None:
    """Credentials and prompts are removed from spans, events and status; all other attributes stay."""
    running = collector(endpoints(jaeger=jaeger))
    provider = TracerProvider(resource=Resource.create({"service.name": "leaky"}))
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{running.grpc}", insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("chat", attributes=SENT) as span:
        span.add_event("gen_ai.choice", {**SENT, "index": 1})
        span.set_status(Status(StatusCode.ERROR, complaint(SENT)))
    provider.shutdown()

    def arrived() -> Span | None:
        return next(iter(jaeger.trace(format(span.get_span_context().trace_id, "032x"))), None)

    found = until("the span", arrived)
    assert {key: found.tags.get(key) for key in SENT if key in found.tags} == KEPT
    assert found.events == [{"event": "gen_ai.choice", "index": 1, **KEPT}]
    assert found.tags["otel.status_description"] == complaint(KEPT)


def test_secrets_do_not_reach_prometheus(prometheus: Callable[..., Prometheus], collector: Start) -> None:
    """The same attributes are removed from a pushed metric and its resource."""
    store = prometheus()
    running = collector(endpoints(store))
    exporter = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{running.grpc}", insecure=True)
    reader = PeriodicExportingMetricReader(exporter)
    provider = MeterProvider([reader], resource=Resource.create({"service.name": "leaky", "service.instance.id": "1", **SENT}))
    provider.get_meter("test").create_counter("asked").add(1, SENT)
    provider.shutdown()
    (sample,) = until("the counter", lambda: store.query('asked_total{job="otlp/leaky"}'))
    (about,) = store.query('target_info{job="otlp/leaky"}')
    names = {re.sub(r"[^a-z_]", "_", key): str(value) for key, value in KEPT.items()}
    removed = {re.sub(r"[^a-z_]", "_", key) for key in SENT.keys() - KEPT.keys()}
    for labels in (sample.labels, about.labels):
        assert names.items() <= labels.items()
        assert not removed & labels.keys()


def test_remote_write_carries_the_scraped_series(
    victoria: VictoriaMetrics, service: Callable[..., Service], collector: Start
) -> None:
    """With REMOTE_WRITE on, VictoriaMetrics has every series of the service's /metrics with the same value."""
    running = service({"AGENTOS_RATE_LIMIT": "off"})
    traffic.make(running.url, traffic.mixed(40))
    collector(
        {
            "REMOTE_WRITE": "prometheus_remote_write",
            "REMOTE_WRITE_ENDPOINT": victoria.write_url,
            "SCRAPE_TARGETS": f'["{running.address}"]',
        }
    )
    own = own_series(running)
    found = until("the scrape", lambda: stored_series(victoria.query(f'{{job="agentos",{OURS}}}')), timeout=60)
    assert found.keys() == own.keys()
    assert found == pytest.approx(own, rel=1e-8)  # VictoriaMetrics keeps about 9 digits of a fraction
    assert len(own) > 150


def test_remote_write_carries_the_pushed_series(victoria: VictoriaMetrics, collector: Start) -> None:
    """Series pushed by OTLP and StatsD are in VictoriaMetrics, under the same jobs as in Prometheus."""
    running = collector({"REMOTE_WRITE": "prometheus_remote_write", "REMOTE_WRITE_ENDPOINT": victoria.write_url})
    exporter = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{running.grpc}", insecure=True)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource=Resource.create({"service.name": "shop"}))
    provider.get_meter("test").create_counter("asked").add(2, {"shop": "north"})
    provider.shutdown()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"orders:3|c|#shop:north", ("127.0.0.1", running.statsd))

    def stored() -> list[tuple[str, str, str, float]]:
        rows = victoria.query('{__name__=~"(asked|orders)_total"}')
        return sorted((labels["job"], labels["__name__"], labels["shop"], value) for labels, value in rows)

    expected = [("otlp/shop", "asked_total", "north", 2), ("statsd", "orders_total", "north", 3)]
    until("both counters", lambda: len(stored()) == 2)
    assert stored() == expected

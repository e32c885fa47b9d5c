"""``otel-collector.yaml`` on the real Collector: what goes in by StatsD and OTLP, what comes out."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable

import httpx
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from stack import traffic
from stack.chain import OURS, own_series, stored_series
from stack.collector import CONFIG, Collector
from stack.jaeger import Jaeger, Span
from stack.parts import binary
from stack.process import until
from stack.prometheus import Prometheus
from stack.service import Service
from stack.victoria import VictoriaMetrics

Start = Callable[..., Collector]


def endpoints(prometheus: Prometheus | None = None, jaeger: Jaeger | None = None) -> dict[str, str]:
    """The Collector's variables for these stores."""
    found = {}
    if prometheus is not None:
        found["PROMETHEUS_OTLP_ENDPOINT"] = f"{prometheus.url}/api/v1/otlp"
    if jaeger is not None:
        found["TRACES_ENDPOINT"] = f"127.0.0.1:{jaeger.otlp}"
    return found


def test_the_configuration_is_valid_as_it_is(collector: Start) -> None:
    """`otelcol validate` has no complaint about the file with its defaults."""
    done = subprocess.run([binary("otelcol"), "validate", "--config", CONFIG], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_collectors_own_metrics_are_served(collector: Start) -> None:
    """The Collector counts its own work on a port of its own, without scope labels."""
    running = collector()
    text = httpx.get(f"http://127.0.0.1:{running.telemetry}/metrics").text
    assert "otelcol_process_uptime" in text
    assert "otel_scope_name" not in text


def test_statsd_metrics_arrive_with_their_tags(prometheus: Callable[..., Prometheus], collector: Start) -> None:
    """A StatsD counter, gauge and timer are series of job statsd, tags as labels, the counter cumulative."""
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


def test_secrets_do_not_reach_the_trace_store(jaeger: Jaeger, collector: Start) -> None:
    """Authorization headers and prompts are removed from spans and events, what else a span carries stays."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    running = collector(endpoints(jaeger=jaeger))
    provider = TracerProvider(resource=Resource.create({"service.name": "leaky"}))
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{running.grpc}", insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("chat") as span:
        span.set_attribute("http.request.header.authorization", ["Bearer 0123456789abcdef"])
        span.set_attribute("gen_ai.input.messages", "my secret question")
        span.set_attribute("gen_ai.usage.input_tokens", 7)
        span.set_attribute("note", "sent with Bearer 0123456789abcdef")
        span.set_attribute("url.full", "https://user:hush@models.example/v1")
        span.add_event("gen_ai.choice", {"gen_ai.completion": "my secret answer", "index": 1})
    provider.shutdown()

    def arrived() -> Span | None:
        return next(iter(jaeger.trace(format(span.get_span_context().trace_id, "032x"))), None)

    found = until("the span", arrived)
    assert found.tags["gen_ai.usage.input_tokens"] == 7
    assert found.tags["note"] == "sent with Bearer ****"
    assert found.tags["url.full"] == "https://****@models.example/v1"
    assert not {"http.request.header.authorization", "gen_ai.input.messages"} & found.tags.keys()
    assert found.events == [{"event": "gen_ai.choice", "index": 1}]


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

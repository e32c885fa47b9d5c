"""The two tiers of Collectors in ``deploy/scale``: an agent, and gateways behind it, on the operator's own configurations."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from stack.servers.collector import CONFIG, Collector
from stack.servers.process import until
from stack.servers.prometheus import Prometheus
from tests.helpers.gateway_addresses import GatewayAddresses, gateway_addresses
from tests.helpers.required_servers import built_server
from tests.helpers.span_store import SpanStore, span_store

SCALE = Path(__file__).parents[2] / "deploy/scale"
AGENT, GATEWAY = SCALE / "collector-agent.yaml", SCALE / "collector-gateway.yaml"
SPANS = 5
"""Spans of each trace; they are sent in two requests."""

NOW = 1_700_000_000_000_000_000


class Tiers:
    """An agent with two gateways, each of which has a trace store of its own."""

    def __init__(self, stack: ExitStack, folder: Path, prometheus: Prometheus | None, wait: str) -> None:
        self._started = stack.enter_context
        self._folder = folder
        self._environment = {} if prometheus is None else {"PROMETHEUS_OTLP_ENDPOINT": f"{prometheus.url}/api/v1/otlp"}
        self._wait = wait
        self.addresses: GatewayAddresses = self._started(gateway_addresses())
        self.stores = [self._started(span_store()) for _ in range(2)]
        self.gateways = [self._gateway(n, store) for n, store in enumerate(self.stores)]
        self.addresses.ports = [gateway.grpc for gateway in self.gateways]
        overlays: list[str | Path] = [
            AGENT,
            *map(GatewayAddresses.resolver, ("load_balancing/traces", "load_balancing/metrics")),
        ]
        self.agent = Collector(
            built_server("otelcol"),
            folder / "agent",
            {**self.addresses.environment, "AGENT_NAME": "agent-0"},
            overlays=overlays,
        )
        self._started(self.agent)

    def _gateway(self, number: int, store: SpanStore) -> Collector:
        environment = {**self._environment, "TRACES_ENDPOINT": store.address, "COLLECTOR_NAME": f"gateway-{number}"}
        overlays: list[str | Path] = [GATEWAY, f"yaml:processors::tail_sampling::decision_wait: {self._wait}"]
        gateway = Collector(built_server("otelcol"), self._folder / f"gateway-{number}", environment, overlays=overlays)
        return self._started(gateway)

    def send(self, traces: int, *, failing: int) -> list[bytes]:
        """Sends traces to the agent, each in two halves, and returns the ids of those whose last span failed."""
        ids = [secrets.token_bytes(16) for _ in range(traces)]
        failed = set(ids[:failing])
        spans = {trace: [_span(trace, n, failed=trace in failed and n == SPANS - 1) for n in range(SPANS)] for trace in ids}
        for half in (slice(0, 3), slice(3, None)):
            request = ExportTraceServiceRequest()
            resource = request.resource_spans.add()
            resource.resource.attributes.add(key="service.name").value.string_value = "shop"
            resource.scope_spans.add().spans.extend(span for trace in ids for span in spans[trace][half])
            headers = {"Content-Type": "application/x-protobuf"}
            url = f"http://127.0.0.1:{self.agent.http}/v1/traces"
            httpx.post(url, content=request.SerializeToString(), headers=headers, timeout=30).raise_for_status()
        return list(failed)

    def accepted(self, number: int) -> int:
        """Returns how many spans a gateway has accepted."""
        return _counted(self.gateways[number], "otelcol_receiver_accepted_spans")

    def stored(self) -> dict[bytes, list[set[bytes]]]:
        """Returns the spans of each trace, by store, without the stores that have none."""
        found: dict[bytes, list[set[bytes]]] = {}
        for store in self.stores:
            for trace, spans in store.traces().items():
                found.setdefault(trace, []).append(spans)
        return found


def _span(trace: bytes, number: int, *, failed: bool) -> Span:
    status = Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET)
    end = NOW + 1_000_000
    return Span(
        trace_id=trace,
        span_id=bytes([number + 1]) * 8,
        name="call",
        start_time_unix_nano=NOW,
        end_time_unix_nano=end,
        status=status,
    )


def _await(store: Prometheus, query: str) -> None:
    until(query, lambda: store.query(query))


def _counted(collector: Collector, name: str, label: str = "") -> int:
    """Returns the sum of a counter of the Collector itself, of the series with this label."""
    lines = httpx.get(f"http://127.0.0.1:{collector.telemetry}/metrics", timeout=10).text.splitlines()
    own = [line for line in lines if line.startswith((f"{name}{{", f"{name}_total{{")) and label in line]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in own)


@pytest.fixture
def tiers(tmp_path: Path) -> Iterator[Callable[..., Tiers]]:
    """Starts an agent and two gateways that decide about a trace after ``wait``."""
    with ExitStack() as stack:
        yield lambda prometheus=None, wait="1s": Tiers(stack, tmp_path, prometheus, wait)


@pytest.mark.parametrize("overlay", [AGENT, GATEWAY], ids=lambda path: path.stem)
def test_the_configurations_are_valid(overlay: Path) -> None:
    """``otelcol validate`` reports no problem in either tier with its defaults."""
    command: list[str | Path] = [built_server("otelcol"), "validate", "--config", CONFIG, "--config", overlay]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_trace_goes_whole_to_one_gateway(tiers: Callable[..., Tiers]) -> None:
    """Of 100 failing traces, whose spans come in two requests, each is kept whole, once, by one gateway; both have some."""
    running = tiers()
    failed = running.send(100, failing=100)
    every = {bytes([number + 1]) * 8 for number in range(SPANS)}
    until("all traces", lambda: sum(len(store.spans) for store in running.stores) == 100 * SPANS)
    assert running.stored() == {trace: [every] for trace in failed}
    assert all(store.spans.keys() and set(store.spans.values()) == {1} for store in running.stores)


def test_a_gateway_samples_whole_traces(tiers: Callable[..., Tiers]) -> None:
    """A trace whose last span failed is kept with its first ones; what is not sampled leaves no part."""
    running = tiers()
    failed = running.send(300, failing=30)
    decided = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    until("the decisions", lambda: sum(_counted(gateway, decided) for gateway in running.gateways) == 300)
    for gateway in running.gateways:
        gateway.stop()
        gateway.start()  # what it has kept is sent, or waits on disk and is sent now
    until("30 traces", lambda: set(failed) <= running.stored().keys())
    stored = running.stored()
    assert set(failed) < stored.keys()
    assert {(len(parts), len(parts[0])) for parts in stored.values()} == {(1, SPANS)}
    assert 30 < len(stored) < 120  # those that failed, and about a tenth of the others


def test_each_gateway_writes_series_of_its_own(prometheus: Callable[..., Prometheus], tiers: Callable[..., Tiers]) -> None:
    """Both gateways' span metrics stand side by side in Prometheus, and their sum is the number of kept spans."""
    store = prometheus()
    running = tiers(store)
    running.send(100, failing=100)
    total = 'sum(spans_calls_total{job="otlp/shop"})'
    until("the calls", lambda: store.value(total) == 100 * SPANS)
    names = {sample.labels["collector_instance_id"] for sample in store.query("spans_calls_total")}
    assert names == {"gateway-0", "gateway-1"}


def test_an_instance_pushes_through_one_gateway(prometheus: Callable[..., Prometheus], tiers: Callable[..., Tiers]) -> None:
    """The metrics of 40 instances arrive once each under their own names, spread over both gateways."""
    store = prometheus()
    running = tiers(store)
    for number in range(40):
        exporter = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{running.agent.grpc}", insecure=True)
        resource = Resource.create({"service.name": "shop", "service.instance.id": f"shop-{number}"})
        provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource=resource)
        provider.get_meter("test").create_counter("asked").add(number + 1)
        provider.shutdown()
    until("all instances", lambda: len(store.query("asked_total")) == 40)
    found = {sample.labels["instance"]: sample.value for sample in store.query('asked_total{job="otlp/shop"}')}
    assert found == {f"shop-{number}": number + 1 for number in range(40)}
    points = [_counted(each, "otelcol_receiver_accepted_metric_points") for each in running.gateways]
    assert min(points) > 0


def test_the_statsd_series_are_the_agents(prometheus: Callable[..., Prometheus], tiers: Callable[..., Tiers]) -> None:
    """A StatsD counter passes a gateway as the cumulative series of the agent that counted it."""
    store = prometheus()
    running = tiers(store)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for more, total in ((3, 3), (4, 7)):
            sender.sendto(f"orders:{more}|c|#shop:north".encode(), ("127.0.0.1", running.agent.statsd))
            _await(store, f'orders_total{{job="statsd", instance="agent-0", shop="north"}} == {total}')


def test_a_killed_gateways_traces_go_to_the_other(tiers: Callable[..., Tiers]) -> None:
    """What comes while a killed gateway is still listed reaches the other whole, once the list is without it."""
    running = tiers()
    running.gateways[1].kill()
    failed = running.send(100, failing=100)
    until("a failed attempt", lambda: _counted(running.agent, "otelcol_loadbalancer_backend_outcome", 'success="false"'))
    running.addresses.ports = [running.gateways[0].grpc]
    store = running.stores[0]
    until("all traces", lambda: len(store.spans) == 100 * SPANS, timeout=90)
    assert set(store.traces()) == set(failed)
    assert {len(spans) for spans in store.traces().values()} == {SPANS}
    assert max(store.spans.values()) in (2, 3)  # the living gateway's part of the batch comes again with each attempt


def test_a_gateway_that_ends_loses_nothing(tiers: Callable[..., Tiers]) -> None:
    """On SIGTERM a gateway decides about the traces that it holds; what it has not sent by its end it sends when it is back."""
    running = tiers(wait="10m")
    running.send(100, failing=100)
    until("all spans", lambda: running.accepted(0) + running.accepted(1) == 100 * SPANS)
    for gateway in running.gateways:
        gateway.stop(signal.SIGTERM)
        gateway.start()
    until("all traces", lambda: sum(len(store.spans) for store in running.stores) == 100 * SPANS)


def test_a_killed_gateway_loses_what_it_had_not_decided(tiers: Callable[..., Tiers]) -> None:
    """The traces that a gateway holds in memory are gone when it is killed; the other's are not."""
    running = tiers(wait="10m")
    running.send(100, failing=100)
    until("all spans", lambda: running.accepted(0) + running.accepted(1) == 100 * SPANS)
    kept = running.accepted(0)
    running.gateways[1].kill()
    for gateway in running.gateways:
        gateway.stop()
        gateway.start()
    until("the other's", lambda: len(running.stores[0].spans) == kept)
    assert len(running.stores[1].spans) == 0
    assert 0 < kept < 100 * SPANS


def test_a_killed_agent_loses_nothing_that_it_accepted(tiers: Callable[..., Tiers]) -> None:
    """Traces that an agent could send to no gateway before it was killed are sent once both are back."""
    running = tiers()
    for gateway in running.gateways:
        gateway.kill()
    failed = running.send(100, failing=100)
    running.agent.kill()
    for server in (*running.gateways, running.agent):
        server.start()
    until("all traces", lambda: sum(len(store.spans) for store in running.stores) == 100 * SPANS, timeout=60)
    assert running.stored().keys() == set(failed)

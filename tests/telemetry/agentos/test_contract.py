"""The contract, written down by hand: plain prometheus_client metrics get the same events and must show the same samples."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from telemetry import AgentOSTelemetry
from telemetry.agentos import catalogue as rows

CALL = ["agent", "operation", "status"]


class ByHand:
    """The metrics of the contract as plain prometheus_client metrics."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.info = Info("agentos", "AgentOS service information", registry=r)
        self.duration = Histogram(
            "a2a_request_duration_seconds",
            "A2A request duration in seconds",
            CALL,
            buckets=[0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
            registry=r,
        )
        self.requests = Counter("a2a_requests_total", "Total A2A requests", CALL, registry=r)
        self.errors = Counter(
            "a2a_errors_total", "A2A requests that failed, by reason", ["agent", "operation", "error_type"], registry=r
        )
        self.active = Gauge("a2a_active_tasks", "Currently active A2A tasks", ["agent"], registry=r)
        self.size = Histogram(
            "a2a_response_size_bytes",
            "A2A response size in bytes",
            ["agent"],
            buckets=[100, 500, 1000, 5000, 10000, 50000, 100000],
            registry=r,
        )
        self.cache = Counter("cache_operations_total", "Cache operations", ["operation", "result"], registry=r)
        self.cache_latency = Histogram(
            "cache_latency_seconds",
            "Cache operation latency",
            ["operation"],
            buckets=[0.001, 0.005, 0.01, 0.025, 0.05, 0.1],
            registry=r,
        )
        self.hits = Counter(
            "rate_limit_hits_total", "Rate limit enforcement events", ["endpoint", "workspace_id", "result"], registry=r
        )
        self.ccr = Counter("ccr_requests_total", "CCR routing requests", ["provider", "task_type", "status"], registry=r)
        self.ccr_latency = Histogram(
            "ccr_latency_seconds", "CCR routing latency", ["provider"], buckets=[0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5], registry=r
        )
        self.tokens = Counter("ccr_tokens_total", "CCR tokens used", ["provider", "direction"], registry=r)


def a2a(rnd: random.Random, telemetry: AgentOSTelemetry, hand: ByHand) -> None:
    agent, operation = rnd.choice(["navi", "herald"]), rnd.choice(["query", "digest"])
    status, seconds = rnd.choice(["success", "error"]), rnd.choice([rnd.expovariate(1), 0.01, 10, 0])
    size = rnd.choice([None, 0, 100, 100_000, rnd.randrange(200_000)])
    reason = rnd.choice([None, "timeout", "cancelled"])
    telemetry.recorder.record_a2a_request(agent, operation, status, seconds, size, error_type=reason)
    hand.duration.labels(agent, operation, status).observe(seconds)
    hand.requests.labels(agent, operation, status).inc()
    if size is not None:
        hand.size.labels(agent).observe(size)
    if status == "error":
        hand.errors.labels(agent, operation, reason or "internal").inc()


def tasks(rnd: random.Random, telemetry: AgentOSTelemetry, hand: ByHand) -> None:
    agent, amount = rnd.choice(["navi", "herald"]), rnd.choice([1, -1])
    telemetry[rows.A2A_ACTIVE_TASKS].labels(agent=agent).inc(amount)
    hand.active.labels(agent=agent).inc(amount)


def cache(rnd: random.Random, telemetry: AgentOSTelemetry, hand: ByHand) -> None:
    operation, result = rnd.choice(["get", "set", "delete"]), rnd.choice(["hit", "miss", "ok", "error"])
    seconds = rnd.choice([None, rnd.expovariate(50)])
    telemetry.recorder.record_cache_operation(operation, result, seconds)
    hand.cache.labels(operation, result).inc()
    if seconds is not None:
        hand.cache_latency.labels(operation).observe(seconds)


def limit(rnd: random.Random, telemetry: AgentOSTelemetry, hand: ByHand) -> None:
    endpoint, workspace = rnd.choice(["/agents/{agent}/runs", "/agents"]), rnd.choice(["w1", "w.2", "unknown"])
    result = rnd.choice(["allowed", "denied", "error"])
    telemetry.recorder.record_rate_limit_hit(endpoint, result, workspace)
    hand.hits.labels(endpoint, workspace, result).inc()


def model(rnd: random.Random, telemetry: AgentOSTelemetry, hand: ByHand) -> None:
    provider, task = rnd.choice(["builtin", "other-one"]), rnd.choice(["chat", "digest"])
    status, seconds = rnd.choice(["success", "error"]), rnd.choice([None, rnd.expovariate(2)])
    given, made, beyond = rnd.randrange(1000), rnd.randrange(1000), rnd.choice([0, rnd.randrange(50)])
    telemetry.recorder.record_ccr_request(provider, task, status, seconds, given, made, given + made + beyond)
    hand.ccr.labels(provider, task, status).inc()
    if seconds is not None:
        hand.ccr_latency.labels(provider).observe(seconds)
    for direction, count in (("input", given), ("output", made), ("unknown", beyond)):
        if count:
            hand.tokens.labels(provider, direction).inc(count)


EVENTS = (a2a, tasks, cache, limit, model)
Described = dict[str, tuple[str, str]]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str, parse: Any, families: Collection[str] | None = None) -> tuple[Described, Samples]:
    """Returns family -> (type, help), and the samples above 0 but for created ones: of all families, or of those named."""
    described, samples = {}, {}
    for family in parse(text):
        if family.name in ("target", "target_info") or (families is not None and family.name not in families):
            continue
        kept = [s for s in family.samples if not s.name.endswith("_created")]
        if kept:
            described[family.name] = (family.type, family.documentation)
        for sample in kept:
            assert sample.exemplar is None or set(sample.exemplar.labels) == {"trace_id", "span_id"}
            samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return described, without_zeros(samples)


def without_zeros(samples: Samples) -> Samples:
    """Returns the samples of the series that are not 0, with all buckets of their histograms."""
    empty = {
        (name.removesuffix("_count"), labels) for (name, labels), v in samples.items() if name.endswith("_count") and not v
    }
    kept = {}
    for (name, labels), value in samples.items():
        bare = tuple(pair for pair in labels if pair[0] != "le")
        family = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        if (family, bare) not in empty and (value or name.endswith(("_bucket", "_sum", "_tasks"))):
            kept[name, labels] = value
    return kept


@pytest.fixture(scope="module")
def both() -> tuple[AgentOSTelemetry, ByHand]:
    """Both, after the same 5,000 random events."""
    rnd, telemetry, hand = random.Random(17), AgentOSTelemetry(strict=True), ByHand()
    facts = {"version": "1.2.3", "service_name": "agentos", "environment": "test"}
    telemetry[rows.AGENTOS_INFO].info(facts)
    hand.info.info(facts)
    for _ in range(5_000):
        rnd.choice(EVENTS)(rnd, telemetry, hand)
    return telemetry, hand


def test_text_is_that_of_plain_prometheus_client(both: tuple[AgentOSTelemetry, ByHand]) -> None:
    """Text 0.0.4 has the same names, labels, le, values, HELP and TYPE; further series are at 0."""
    telemetry, hand = both
    theirs = parsed(generate_latest(hand.registry).decode(), parse_text)
    assert parsed(telemetry.reader.expose().body.decode(), parse_text, theirs[0]) == theirs


def test_openmetrics_is_that_of_plain_prometheus_client(both: tuple[AgentOSTelemetry, ByHand]) -> None:
    """OpenMetrics 1.0 has the same too, with agentos as an info."""
    telemetry, hand = both
    theirs = parsed(openmetrics.generate_latest(hand.registry).decode(), parse_openmetrics)
    body = telemetry.reader.expose("application/openmetrics-text").body.decode()
    assert parsed(body, parse_openmetrics, theirs[0]) == theirs
    assert theirs[0]["agentos"] == ("info", "AgentOS service information")


def test_every_family_is_a_row_of_the_catalogue(both: tuple[AgentOSTelemetry, ByHand]) -> None:
    """/metrics has no family that is not in the catalogue."""
    described, _ = parsed(both[0].reader.expose().body.decode(), parse_text)
    assert set(described) <= {row.prometheus_name.removesuffix("_total") for row in rows.AGENTOS}


def test_le_is_written_as_prometheus_writes_floats(both: tuple[AgentOSTelemetry, ByHand]) -> None:
    """Bounds are written as 0.01, 1.0, 100.0 and +Inf."""
    text = both[0].reader.expose().body.decode()
    les = {line.split('le="')[1].split('"')[0] for line in text.splitlines() if "_size_bytes_bucket{" in line}
    assert les == {"100.0", "500.0", "1000.0", "5000.0", "10000.0", "50000.0", "100000.0", "+Inf"}
    assert 'le="0.01"' in text


def test_only_the_application_is_exposed(both: tuple[AgentOSTelemetry, ByHand]) -> None:
    """/metrics has no python_*, process_* or http_* series, and no otel_scope_* labels."""
    text = both[0].reader.expose().body.decode()
    assert not [line for line in text.splitlines() if line.startswith(("python_", "process_", "http_"))]
    assert "otel_scope" not in text

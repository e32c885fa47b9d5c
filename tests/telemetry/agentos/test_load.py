"""Floods of label values and failing Views, through the recorder of AgentOS' events."""

from __future__ import annotations

import tracemalloc

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View

from telemetry import AgentOSTelemetry, Telemetry
from tests.helpers.failing_view import FailingAggregation
from tests.helpers.samples import above_zero, read


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


@pytest.mark.parametrize("strict", [True, False])
def test_failing_view_never_reaches_the_measured_code(strict: bool) -> None:
    """A View that fails costs its own metric: counted as dropped, nothing raised."""
    broken = FailingAggregation()
    provider = MeterProvider(
        [InMemoryMetricReader()], views=[View(instrument_name="a2a.requests", aggregation=broken)], shutdown_on_exit=False
    )
    telemetry = AgentOSTelemetry(meter_provider=provider, strict=strict)
    with telemetry.recorder.a2a_call(agent="navi", operation="query"):
        pass
    telemetry.recorder.record_a2a_request("navi", "query", "success", 0.1)
    assert broken.made > 0
    assert telemetry.diagnostics.values("agentos.telemetry.dropped")["a2a_requests_total", "failed"] > 0
    provider.shutdown()
